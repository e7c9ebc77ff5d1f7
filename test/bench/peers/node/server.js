// The relay on the official Node.js server, with its default options. It sends
// each claude_event to everybody but its sender and acknowledges it.
//
//   node server.js PORT
"use strict";
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http);
io.on("connection", (socket) => {
  socket.on("claude_event", (event, ack) => {
    socket.broadcast.emit("claude_event", event);
    if (typeof ack === "function") ack();
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
