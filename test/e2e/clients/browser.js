// The stock Socket.IO client in a real browser, driven as client.js is: commands on
// standard input, answers and notes on standard output. Arguments: the port of the
// page, and the browser's executable.
//
// The page is served from here. Commands reach it as server-sent events, and what it
// says comes back by POST, so that nothing of the browser's own remote control is
// needed, and what the page does is what any page can do.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

const [port, executable] = process.argv.slice(2);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "upkeep-browser-"));

const page = `<!doctype html>
<meta charset="utf-8"><title>clients</title><link rel="icon" href="data:,">
<script src="/socket.io.js"></script>
<script src="/commands.js"></script>
<script>
  let waiting = [], sending = false;
  async function send() { // one request at a time keeps the order
    if (sending) return;
    sending = true;
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      await fetch("/say", { method: "POST", body: lines.join("\\n") });
    }
    sending = false;
  }
  const say = (message) => { waiting.push(JSON.stringify(message)); send(); };
  addEventListener("error", (event) => say({ note: "error", reason: event.message }));
  addEventListener("unhandledrejection", (event) => say({ note: "error", reason: String(event.reason) }));
  const obey = makeCommands(io, say);
  new EventSource("/commands").onmessage = (event) => obey(JSON.parse(event.data));
</script>`;

const files = {
  "/socket.io.js": path.join(path.dirname(require.resolve("socket.io-client/package.json")), "dist", "socket.io.js"),
  "/commands.js": path.join(__dirname, "commands.js"),
};

const early = []; // commands that came before the page
let commands = null; // the response that carries them to the page

function tell(line) {
  if (commands) commands.write(`data: ${line}\n\n`);
  else early.push(line);
}

const server = http.createServer((request, response) => {
  if (request.url === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(page);
  } else if (files[request.url]) {
    response.setHeader("Content-Type", "text/javascript; charset=utf-8");
    fs.createReadStream(files[request.url]).pipe(response);
  } else if (request.url === "/commands") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    commands = response;
    early.splice(0).forEach(tell);
  } else if (request.url === "/say" && request.method === "POST") {
    let text = "";
    request.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => {
      process.stdout.write(text + "\n");
      response.writeHead(204).end();
    });
  } else {
    response.writeHead(404).end();
  }
});

let browser = null;

// end takes the browser along, whatever it has forked, and what it has written.
function end(code, reason) {
  if (reason) process.stderr.write(reason + "\n");
  try {
    if (browser?.pid) process.kill(-browser.pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  process.exit(code);
}

server.on("error", (err) => end(1, `the page cannot be served: ${err.message}`));
server.listen(Number(port), "127.0.0.1", () => {
  let said = "";
  browser = spawn(executable, [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--no-proxy-server", `--user-data-dir=${folder}`, `http://127.0.0.1:${port}/`,
  ], { detached: true, stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder } });
  browser.stderr.setEncoding("utf8").on("data", (part) => (said = (said + part).slice(-4000)));
  browser.on("error", (err) => end(1, `the browser does not start: ${err.message}`));
  browser.on("exit", (code, signal) => end(1, `the browser ended with ${signal ?? code}: ${said}`));
});

readline.createInterface({ input: process.stdin }).on("line", tell).on("close", () => {
  browser?.removeAllListeners("exit");
  end(0);
});
