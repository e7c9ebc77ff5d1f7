// Serves a plugin of Upkeep: what every plugin does, so that main.js holds only
// what yours does.
//
//   serve({ name, version, metrics, schema, check(request, config, call) {...} })
//   serve({ name, version, schema, decide(request, config) {...} })
//
// The messages are those of proto/upkeep/plugin/v1 with the names that stand
// there. Statuses are the words 'healthy', 'warning', 'critical' and 'unknown',
// times are Date or undefined. Log as you like: console.log goes to standard
// error, where host reads it.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const cookie = '8f0c4f0e5f8f4b0fb2f3c3a06a4c7d0f6f6b1a52f9a24d8e8f4e0d1f7a9be3c1';
const protocolVersion = 1;

const definition = loader.loadSync(
  ['upkeep/plugin/v1/plugin.proto', 'upkeep/plugin/v1/checker.proto', 'upkeep/plugin/v1/recovery.proto'],
  { includeDirs: [path.join(__dirname, 'proto')], keepCase: true, longs: Number, enums: String, defaults: true, arrays: true, oneofs: true },
);
const api = grpc.loadPackageDefinition(definition).upkeep.plugin.v1;

// over judges a value that should not rise above a threshold, as the bundled
// checkers do.
function over(value, threshold) {
  if (value > threshold && value >= 1.2 * threshold) return 'critical';
  return value > threshold ? 'warning' : 'healthy';
}

// metric makes a metric; more are threshold, unit, message, labels and load. A
// value of undefined was not measured: say why in message.
function metric(name, value, status, more = {}) {
  const made = { name, status, ...more };
  if (typeof value === 'boolean') made.flag = value;
  else if (typeof value === 'number') made.number = value;
  else if (value !== undefined) made.text = String(value);
  return made;
}

// Between words and the wire --------------------------------------------------

const toTime = (date) => date && { seconds: Math.floor(date.getTime() / 1000), nanos: (date.getTime() % 1000) * 1e6 };
const isTime = (v) => v && typeof v === 'object' && 'seconds' in v && 'nanos' in v;
const word = (text) => text.replace(/^(STATUS|OUTCOME|KIND)_/, '').toLowerCase().replace(/^unspecified$/, 'unknown');
const toStatus = (text) => (!text || text === 'unknown' ? 'STATUS_UNSPECIFIED' : `STATUS_${text.toUpperCase()}`);

// fromWire makes times Dates and enums words, in a whole message.
function fromWire(value) {
  if (Array.isArray(value)) return value.map(fromWire);
  if (isTime(value)) return new Date(value.seconds * 1000 + value.nanos / 1e6);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, v === null ? undefined : fromWire(v)]));
  return typeof value === 'string' && /^(STATUS|OUTCOME)_[A-Z_]+$/.test(value) ? word(value) : value;
}

const metricToWire = (m) => ({ ...m, status: toStatus(m.status) });

function resultToWire(result) {
  const { status, metrics = [], observed_at: observed = new Date(), ...rest } = result;
  return { ...rest, status: toStatus(status), metrics: metrics.map(metricToWire), observed_at: toTime(observed) };
}

// fromStruct reads a google.protobuf.Struct.
function fromStruct(struct) {
  const value = (v) => {
    switch (v.kind) {
      case 'structValue': return fromStruct(v.structValue);
      case 'listValue': return (v.listValue.values || []).map(value);
      case 'nullValue': return null;
      default: return v[v.kind];
    }
  };
  return Object.fromEntries(Object.entries((struct && struct.fields) || {}).map(([k, v]) => [k, value(v)]));
}

// What a configuration may be -------------------------------------------------

const types = {
  object: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
  array: Array.isArray,
  string: (v) => typeof v === 'string',
  boolean: (v) => typeof v === 'boolean',
  number: (v) => typeof v === 'number',
  integer: Number.isInteger,
};

// judge gives a finding for whatever schema does not allow. It knows type,
// properties, additionalProperties, required, items, enum, minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, minLength and pattern.
function judge(schema, value, at = '') {
  const found = [];
  const wrong = (where, summary, detail) => found.push({ severity: 'SEVERITY_ERROR', path: where, summary, detail });
  const shown = `is ${JSON.stringify(value)}`;
  const below = (key) => (at ? `${at}.${key}` : String(key));
  if (schema.type && !types[schema.type](value)) {
    wrong(at, shown, `want a value of type ${schema.type}`);
    return found;
  }
  if (types.object(value)) {
    const known = schema.properties || {};
    for (const key of Object.keys(value).sort()) {
      if (Object.hasOwn(known, key)) found.push(...judge(known[key], value[key], below(key)));
      else if (schema.additionalProperties === false) wrong(below(key), 'is not known', Object.keys(known).length ? `known keys are ${Object.keys(known).sort().join(', ')}` : 'remove the key');
    }
    for (const key of schema.required || []) if (!Object.hasOwn(value, key)) wrong(below(key), 'is missing', 'this key is required');
  } else if (Array.isArray(value)) {
    value.forEach((item, i) => found.push(...judge(schema.items || {}, item, below(i))));
  } else if (typeof value === 'string') {
    if (value.length < (schema.minLength || 0)) wrong(at, 'is too short', `want at least ${schema.minLength} characters`);
    if (schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) wrong(at, shown, `want text that matches ${schema.pattern}`);
  } else if (typeof value === 'number') {
    if (value < schema.minimum) wrong(at, shown, `want at least ${schema.minimum}`);
    if (value > schema.maximum) wrong(at, shown, `want at most ${schema.maximum}`);
    if (value <= schema.exclusiveMinimum) wrong(at, shown, `want more than ${schema.exclusiveMinimum}`);
    if (value >= schema.exclusiveMaximum) wrong(at, shown, `want less than ${schema.exclusiveMaximum}`);
  }
  if (schema.enum && !schema.enum.includes(value)) wrong(at, shown, `want one of ${schema.enum.join(', ')}`);
  return found;
}

function defaultsOf(schema) {
  if (!schema.properties) return schema.default;
  return Object.fromEntries(Object.entries(schema.properties).map(([k, s]) => [k, defaultsOf(s)]).filter(([, v]) => v !== undefined));
}

function merged(under, above) {
  const result = { ...under };
  for (const [key, value] of Object.entries(above)) result[key] = types.object(value) && types.object(result[key]) ? merged(result[key], value) : value;
  return result;
}

// The services ----------------------------------------------------------------

// answer makes a method of a function that may be async. An exception means "I
// could not look": its text goes to host.
function answer(method) {
  return (call, reply) => {
    const ended = new AbortController();
    let open = true;
    const send = (error, value) => {
      if (open) reply(error, value);
      open = false;
    };
    call.on('cancelled', () => { // by host, or by the deadline
      ended.abort();
      send({ code: grpc.status.CANCELLED, details: 'the call is over' });
    });
    Promise.resolve()
      .then(() => method(call.request, { signal: ended.signal, deadline: new Date(call.getDeadline()) }))
      .then((value) => send(null, value))
      .catch((error) => send({ code: error.code in grpc.status ? error.code : grpc.status.UNKNOWN, details: `${error.message || error}` }));
  };
}

function services(plugin) {
  const schema = plugin.schema || { type: 'object', additionalProperties: false };
  let config = defaultsOf(schema) || {};
  const pluginService = {
    Describe: answer(() => ({
      name: plugin.name, version: plugin.version, api_minor: 0,
      kinds: [...(plugin.check ? ['KIND_CHECKER'] : []), ...(plugin.decide ? ['KIND_RECOVERY'] : [])],
      config_schema: plugin.schema ? JSON.stringify(plugin.schema) : '',
      check_name: plugin.check_name || '', metrics: plugin.metrics || [], actions: plugin.actions || [],
    })),
    Validate: answer((request) => ({ diagnostics: judge(schema, fromStruct(request.config)) })),
    Configure: answer((request) => {
      const wanted = fromStruct(request.config);
      const diagnostics = judge(schema, wanted);
      if (diagnostics.length === 0) config = merged(defaultsOf(schema) || {}, wanted); // in one step: a check sees the one or the other
      return { diagnostics };
    }),
    Shutdown: answer(async () => {
      if (plugin.shutdown) await plugin.shutdown();
      return {};
    }),
  };
  const checkerService = { Check: answer(async (request, call) => resultToWire(await plugin.check(fromWire(request), config, call))) };
  const recoveryService = {
    Decide: answer((request) => plugin.decide(fromWire(request), config)),
    Execute: answer(async (request, call) => {
      if (!(plugin.actions || []).some((a) => a.name === request.action)) {
        throw Object.assign(new Error(`there is no action ${JSON.stringify(request.action)}: ask for one that Describe names`), { code: grpc.status.INVALID_ARGUMENT });
      }
      return { message: await plugin.execute(fromWire(request), config, call) };
    }),
  };
  return { pluginService, checkerService, recoveryService };
}

// unary describes a service of which only the bytes are known.
function unary(service, method) {
  const bytes = (v) => v;
  return {
    [method]: {
      path: `/${service}/${method}`, requestStream: false, responseStream: false,
      requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes,
    },
  };
}

// The process -----------------------------------------------------------------

// serve is the main of a plugin: it answers host until host ends it.
function serve(plugin) {
  if (process.env.UPKEEP_PLUGIN_COOKIE !== cookie) {
    console.error(`${plugin.name} ${plugin.version} is a plugin of Upkeep: it works for the host and does nothing by itself.\nStart: host --plugins DIR, with this folder in DIR`);
    process.exit(1);
  }
  const offered = (process.env.PLUGIN_PROTOCOL_VERSIONS || String(protocolVersion)).split(',');
  if (!offered.includes(String(protocolVersion))) {
    console.error(`this plugin speaks version ${protocolVersion} of the plugin API, host offers ${offered}`);
    process.exit(1);
  }
  for (const name of ['log', 'info', 'debug', 'dir', 'table']) console[name] = (...args) => console.error(...args);
  process.on('SIGINT', () => {}); // Ctrl-C is the host's business
  process.on('SIGTERM', () => process.exit(0));

  const { pluginService, checkerService, recoveryService } = services(plugin);
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 4 << 20 });
  server.addService(api.PluginService.service, pluginService);
  if (plugin.check) server.addService(api.CheckerService.service, checkerService);
  if (plugin.decide) server.addService(api.RecoveryService.service, recoveryService);
  // grpc.health.v1: a message with the service's name in, one with the status out.
  server.addService(unary('grpc.health.v1.Health', 'Check'), {
    Check(call, reply) {
      const service = call.request.subarray(2).toString();
      if (service === '' || service === 'plugin') reply(null, Buffer.from([8, 1])); // SERVING
      else reply({ code: grpc.status.NOT_FOUND, details: 'no such service' });
    },
  });
  server.addService(unary('plugin.GRPCController', 'Shutdown'), {
    Shutdown(call, reply) {
      reply(null, Buffer.alloc(0));
      setTimeout(() => process.exit(0), 50); // after the answer has left
    },
  });

  const windows = process.platform === 'win32';
  const folder = windows ? '' : process.env.PLUGIN_UNIX_SOCKET_DIR || fs.mkdtempSync(path.join(os.tmpdir(), 'plugin'));
  const socket = path.join(folder, `plugin${process.pid}`);
  server.bindAsync(windows ? '127.0.0.1:0' : `unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) {
      console.error(error);
      process.exit(1);
    }
    process.stdout.write(`1|${protocolVersion}|${windows ? `tcp|127.0.0.1:${port}` : `unix|${socket}`}|grpc|\n`);
  });

  // Host holds the other end of a pipe: its end means that host is gone.
  const input = fs.fstatSync(0);
  if (input.isFIFO() || input.isSocket()) {
    process.stdin.on('end', () => process.exit(0));
    process.stdin.on('error', () => process.exit(0));
    process.stdin.resume();
  }
}

module.exports = { serve, metric, over };
