// redis-ping: a checker of Upkeep. It asks a Redis server for a PONG, as its
// clients do. redis.js speaks to Redis.
'use strict';

const { serve, metric, over } = require('./upkeep');
const { ping, Refused } = require('./redis');

// load: a restart of the hub mends no Redis, so that its trouble is told and
// logged, and nothing is restarted.
const load = true;

serve({
  name: 'redis-ping', // equal to the name of the folder
  version: '0.1.0',
  check_name: 'redis_ping',
  metrics: [
    { name: 'redis_reachable', load, help: 'Whether the server answers PING with PONG: if not, critical; while it loads its data, a warning.' },
    { name: 'redis_ping_ms', unit: 'ms', load, help: 'Time from connecting to PONG: over max_ping_ms a warning, from 1.2 times it critical.' },
  ],
  schema: {
    type: 'object',
    additionalProperties: false,
    properties: {
      host: { type: 'string', minLength: 1, default: '127.0.0.1', description: 'Name or address of the server.' },
      port: { type: 'integer', minimum: 1, maximum: 65535, default: 6379, description: 'Its port.' },
      username: { type: 'string', default: '', description: 'Who asks; empty: the default user.' },
      password: { type: 'string', default: '', writeOnly: true, description: 'Empty: none is sent.' },
      tls: { type: 'boolean', default: false, description: 'Whether the server wants TLS.' },
      max_ping_ms: { type: 'number', exclusiveMinimum: 0, default: 100, description: 'How long a PONG may take.' },
      timeout_seconds: { type: 'number', exclusiveMinimum: 0, maximum: 60, default: 1, description: 'After this time a server that does not answer is critical. The check itself has a deadline, too, which comes first if it is shorter.' },
    },
  },

  // A server that does not answer is bad news, and so a result. One that answers
  // that we may not ask is an exception: "I could not look".
  async check(request, config, call) {
    const where = `${config.host}:${config.port}`;
    const left = call.deadline.getTime() - Date.now() - 100; // for the answer to host
    const ill = (status, message) => ({
      status,
      message,
      metrics: [metric('redis_reachable', false, status, { load }), metric('redis_ping_ms', undefined, 'unknown', { unit: 'ms', load, message })],
    });
    try {
      const took = await ping(config, Math.max(1, Math.min(1000 * config.timeout_seconds, left)), call.signal);
      const status = over(took, config.max_ping_ms);
      return {
        status,
        message: status === 'healthy' ? '' : `${where} took ${took.toFixed(1)} ms for a PONG`,
        metrics: [metric('redis_reachable', true, 'healthy', { load }), metric('redis_ping_ms', took, status, { threshold: config.max_ping_ms, unit: 'ms', load })],
      };
    } catch (error) {
      if (!(error instanceof Refused)) return ill('critical', `${where}: ${error.message || error.code}`);
      switch (error.word) {
        case 'LOADING': return ill('warning', `${where} is loading its data`);
        case 'NOAUTH': case 'WRONGPASS': case 'NOPERM': throw new Error(`${where} wants other credentials: ${error.message}`);
        default: return ill('critical', `${where} answers ${error.message}`);
      }
    }
  },
});
