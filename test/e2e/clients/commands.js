// What a test can have clients of the stock library do, in Node.js as in a browser.
// `io` is the library; `say` takes answers (with the command's id) and notes (what
// happened to a client, and when).
"use strict";

globalThis.makeCommands = function (io, say) {
  const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };
  const clients = new Map();

  const note = (client, what, facts) => say({ note: what, client, at: Date.now(), ...facts });

  const commands = {
    // Opens a client and keeps it: reconnecting is the library's own business.
    open({ client, url, transport, auth, options }) {
      if (!TRANSPORTS[transport]) throw new Error(`no transport is called ${transport}`);
      if (clients.has(client)) throw new Error(`there is a client ${client} already`);
      const socket = io(url, { transports: TRANSPORTS[transport], forceNew: true, auth, ...options });
      clients.set(client, socket);
      socket.io.on("open", () => {
        socket.io.engine.on("upgrade", (t) => note(client, "upgrade", { transport: t.name }));
      });
      socket.io.on("reconnect_attempt", (attempt) => note(client, "reconnect_attempt", { attempt }));
      socket.on("connect", () =>
        note(client, "connect", { sid: socket.id, recovered: socket.recovered, transport: socket.io.engine.transport.name }));
      socket.on("connect_error", (err) => note(client, "connect_error", { reason: err.message }));
      socket.on("disconnect", (reason) => note(client, "disconnect", { reason }));
      socket.onAny((name, ...args) => note(client, "event", { name, args }));
    },
    emit({ client, event, args }) {
      named(client).emit(event, ...(args ?? []));
    },
    // Emits and answers with what the server's acknowledgement carried.
    ack({ client, event, args, timeout }) {
      return new Promise((resolve, reject) => {
        named(client).timeout(timeout ?? 5000).emit(event, ...(args ?? []), (err, ...answer) =>
          err ? reject(err) : resolve({ args: answer }));
      });
    },
    // Emits a burst without waiting, `count` times.
    burst({ client, event, args, count }) {
      const socket = named(client);
      for (let i = 0; i < count; i++) socket.emit(event, ...(args ?? []));
    },
    state({ client }) {
      const socket = named(client);
      return { connected: socket.connected, active: socket.active, transport: socket.io.engine?.transport?.name };
    },
    close({ client }) {
      named(client).disconnect();
      clients.delete(client);
    },
  };

  function named(client) {
    const socket = clients.get(client);
    if (!socket) throw new Error(`there is no client ${client}`);
    return socket;
  }

  // obey does one command and answers it.
  return async function obey(command) {
    try {
      if (!commands[command.do]) throw new Error(`no command is called ${command.do}`);
      say({ id: command.id, ...(await commands[command.do](command)) });
    } catch (err) {
      say({ id: command.id, error: String(err.message ?? err) });
    }
  };
};
