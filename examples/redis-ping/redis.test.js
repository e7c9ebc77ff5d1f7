'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const { test } = require('node:test');
const { ping, Refused } = require('./redis');

// server answers each connection with what speak writes, and says on closed when
// one has ended.
async function server(t, speak) {
  let closed;
  const gone = new Promise((resolve) => { closed = resolve; });
  const listener = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('close', closed);
    speak(socket);
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  t.after(() => listener.close());
  return { at: { host: '127.0.0.1', port: listener.address().port }, gone };
}

test('a PONG takes its time', async (t) => {
  const { at } = await server(t, (s) => s.on('data', (d) => s.write(d.toString() === '*1\r\n$4\r\nPING\r\n' ? '+PONG\r\n' : '-ERR\r\n')));
  assert.ok((await ping(at, 5000)) > 0);
});

test('credentials go first, and answers may come in pieces', async (t) => {
  const { at } = await server(t, (s) => s.on('data', (d) => {
    assert.equal(d.toString(), '*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$3\r\nf\u00fc\r\n*1\r\n$4\r\nPING\r\n');
    s.write('+OK\r');
    setImmediate(() => s.write('\n+PONG\r\n'));
  }));
  assert.ok((await ping({ ...at, password: 'f\u00fc' }, 5000)) > 0);
});

test('a refusal has its word', async (t) => {
  const { at } = await server(t, (s) => s.write('-LOADING Redis is loading the dataset in memory\r\n'));
  await assert.rejects(ping(at, 5000), (e) => e instanceof Refused && e.word === 'LOADING');
});

test('what is no Redis server is no PONG', async (t) => {
  for (const said of ['HTTP/1.1 400 Bad Request\r\n', 'x'.repeat(5000)]) {
    const { at } = await server(t, (s) => s.write(said));
    await assert.rejects(ping(at, 5000), /no Redis server/);
  }
  const { at } = await server(t, (s) => s.end());
  await assert.rejects(ping(at, 5000), /closed before PONG/);
});

test('a server that does not answer costs the limit, and its connection is closed', async (t) => {
  const { at, gone } = await server(t, (s) => s.resume());
  await assert.rejects(ping(at, 100), /no PONG within 100 ms/);
  await gone;
});

test('a check that is given up closes its connection', async (t) => {
  const ended = new AbortController();
  const { at, gone } = await server(t, (s) => s.on('data', () => ended.abort()));
  await assert.rejects(ping(at, 60000, ended.signal), /given up/);
  await gone;
  await assert.rejects(ping(at, 60000, ended.signal), /given up/);
});
