// As much of the Redis protocol as a PING needs.
'use strict';

const net = require('node:net');
const tls = require('node:tls');

// Refused is an answer that begins with "-"; word is its first word.
class Refused extends Error {
  get word() {
    return this.message.split(' ', 1)[0];
  }
}

// maxAnswer is how much is read before the answers are given up, in bytes.
const maxAnswer = 4096;

const encode = (words) => `*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`;

// ping connects, shows credentials if there are any, and gives the milliseconds
// until PONG. It fails after limit milliseconds, or when signal is aborted; the
// connection is closed in any case.
function ping({ host, port, username, password, tls: secure }, limit, signal) {
  const commands = [...(password || username ? [['AUTH', username || 'default', password]] : []), ['PING']];
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = (secure ? tls : net).connect({ host, port, ...(secure && !net.isIP(host) ? { servername: host } : {}) });
    let text = '';
    let answered = 0;
    const end = (settle, value) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.destroy();
      settle(value);
    };
    const fail = (error) => end(reject, error);
    const aborted = () => fail(new Error('the check was given up'));
    const timer = setTimeout(() => fail(new Error(`no PONG within ${Math.round(limit)} ms`)), limit);
    if (signal?.aborted) return aborted();
    signal?.addEventListener('abort', aborted);

    socket.on(secure ? 'secureConnect' : 'connect', () => socket.write(commands.map(encode).join('')));
    socket.on('error', fail);
    socket.on('end', () => fail(new Error('the connection was closed before PONG')));
    socket.setEncoding('utf8');
    socket.on('data', (more) => {
      text += more;
      for (let at; (at = text.indexOf('\r\n')) >= 0; ) {
        const line = text.slice(0, at);
        text = text.slice(at + 2);
        answered++;
        if (line.startsWith('-')) return fail(new Refused(line.slice(1)));
        const want = answered === commands.length ? '+PONG' : '+OK';
        if (line !== want) return fail(new Error(`it is no Redis server: it answers ${JSON.stringify(line.slice(0, 80))}`));
        if (answered === commands.length) return end(resolve, performance.now() - began);
      }
      if (text.length > maxAnswer) fail(new Error('it is no Redis server: its answer has no end'));
    });
  });
}

module.exports = { ping, Refused };
