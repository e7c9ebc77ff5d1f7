// The stock Socket.IO client, driven by a test over JSON lines: commands on
// standard input, answers and notes on standard output, see commands.js. Its end of
// input is its end.
"use strict";

const readline = require("node:readline");
const { io } = require("socket.io-client");
require("./commands.js");

const obey = makeCommands(io, (message) => process.stdout.write(JSON.stringify(message) + "\n"));

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => obey(JSON.parse(line)))
  .on("close", () => process.exit(0));
