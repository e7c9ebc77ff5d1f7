// A crowd of stock Socket.IO clients that count events: {url, transports, each,
// closeEvery} comes as JSON in the first argument. Each client keeps what every
// event said of its number and place (the offset behind it), until one says that
// it is the last. With closeEvery, transports are closed again and again, every so
// many milliseconds. On standard output: a line when all have connected and upgraded,
// and a line
// with what each has seen when all have seen the last.
"use strict";

const { createHash } = require("node:crypto");
const { io } = require("socket.io-client");

const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };
const { url, transports, each, closeEvery } = JSON.parse(process.argv[2]);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const clients = [];
let connected = 0;
let done = 0;
let begun = false;

function report() {
  const text = JSON.stringify({
    clients: clients.map(({ transport, connects, unrecovered, renamed, disorder, seen }) => ({
      transport, connects, unrecovered, renamed, disorder,
      events: seen.length,
      digest: createHash("sha256").update(seen.join(" ")).digest("hex"),
    })),
    seen: clients[0].seen,
  });
  process.stdout.write(text + "\n", () => process.exit(0));
}

for (const transport of transports) {
  for (let i = 0; i < each; i++) {
    const c = { transport, connects: 0, unrecovered: 0, renamed: 0, disorder: [], seen: [] };
    clients.push(c);
    let id;
    let place = 0;
    const socket = c.socket = io(url, {
      transports: TRANSPORTS[transport], forceNew: true,
      reconnectionDelay: 20, reconnectionDelayMax: 200, timeout: 10000,
    });
    socket.on("connect", () => {
      if (++c.connects === 1) {
        id = socket.id;
        const ready = () => {
          begun = ++connected === transports.length * each;
          if (begun) say({ ready: connected });
        };
        const { engine } = socket.io;
        if (transport === "upgrade" && engine.transport.name === "polling") engine.once("upgrade", ready);
        else ready();
        return;
      }
      if (!socket.recovered) c.unrecovered++;
      if (socket.id !== id) c.renamed++;
    });
    socket.on("claude_event", (event, offset) => {
      const at = parseInt(offset.split("-")[1], 36);
      if (at <= place) c.disorder.push(`${at} after ${place}`);
      place = at;
      c.seen.push(`${at}:${event.n}`);
      if (event.last && ++done === clients.length) report();
    });
    // Not in the middle of an upgrade: the library then puts aside the events that come
    // with its last poll, asks for them again, and hands out both.
    const close = () => begun && socket.connected && !socket.io.engine.upgrading && socket.io.engine.close();
    if (closeEvery > 0) setTimeout(() => setInterval(close, closeEvery), Math.random() * closeEvery);
  }
}

// Asked how it stands, it says who has not seen the last event.
process.on("SIGUSR2", () => {
  for (const { transport, connects, seen, unrecovered, socket } of clients) {
    const engine = socket.io.engine;
    process.stderr.write(JSON.stringify({
      transport, connects, unrecovered, connected: socket.connected, active: socket.active, manager: socket.io._readyState,
      engine: engine?.readyState, by: engine?.transport?.name, last: seen.at(-1),
    }) + "\n");
  }
});
