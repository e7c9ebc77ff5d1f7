"""Serves a plugin of Upkeep: what every plugin does, so that main.py holds only
what yours does. It needs grpcio and protobuf, of any version of the last years.

    serve(checker)   with an object that has name, version, metrics, schema, check(...)
    serve(strategy)  with one that has name, version, schema, decide(...), and
                     actions and execute(...) if it brings actions along

The messages are those of proto/upkeep/plugin/v1; upkeep.binpb is their compiled
form. Print and log as you like: standard output goes to standard error, where
host reads it.
"""

import os
import re
import signal
import stat
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf import duration_pb2, empty_pb2, struct_pb2, timestamp_pb2  # noqa: F401 (upkeep.binpb builds on them)

COOKIE = "8f0c4f0e5f8f4b0fb2f3c3a06a4c7d0f6f6b1a52f9a24d8e8f4e0d1f7a9be3c1"
PROTOCOL_VERSION = 1

HEALTHY, WARNING, CRITICAL, UNKNOWN = 1, 2, 3, 0


def _load():
    """Makes the message classes from the compiled .proto files."""
    pool = descriptor_pool.Default()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "upkeep.binpb"), "rb") as file:
        compiled = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    classes = {}
    for file in compiled.file:
        pool.AddSerializedFile(file.SerializeToString())
        for message in file.message_type:
            found = pool.FindMessageTypeByName("%s.%s" % (file.package, message.name))
            if hasattr(message_factory, "GetMessageClass"):
                classes[message.name] = message_factory.GetMessageClass(found)
            else:
                classes[message.name] = message_factory.MessageFactory(pool).GetPrototype(found)
    return type("Messages", (), classes)


pb = _load()


def over(value, threshold):
    """Judges a value that should not rise above a threshold, as the bundled checkers do."""
    if value > threshold and value >= 1.2 * threshold:
        return CRITICAL
    return WARNING if value > threshold else HEALTHY


def metric(name, value, status, **more):
    """Makes a metric; more are threshold, unit, message, labels and load.
    A value of None was not measured: say why in message."""
    made = pb.Metric(name=name, status=status, **more)
    if isinstance(value, bool):
        made.flag = value
    elif isinstance(value, (int, float)):
        made.number = value
    elif value is not None:
        made.text = str(value)
    return made


class Call:
    """One call: how long it may take, and whether anybody still waits for it."""

    def __init__(self, context):
        self._context = context
        self._over = threading.Event()
        context.add_callback(self._over.set)

    def remaining(self):
        """Seconds until the deadline; a large number without one."""
        left = self._context.time_remaining()
        return 3600.0 if left is None else max(0.0, left)

    def over(self):
        """Whether the call was cancelled or is too late: stop working on it."""
        return self._over.is_set() or self.remaining() == 0

    def wait(self, seconds):
        """Sleeps, but not beyond the end of the call."""
        self._over.wait(min(seconds, self.remaining()))


# What a configuration may be ------------------------------------------------

_TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "integer": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and v == int(v),
}


def _judge(schema, value, path, found):
    """Appends (path, summary, detail) for whatever schema does not allow. It knows
    type, properties, additionalProperties, required, items, enum, minimum,
    maximum, exclusiveMinimum, exclusiveMaximum, minLength and pattern."""
    wanted = schema.get("type")
    if wanted and not _TYPES[wanted](value):
        found.append((path, "is %r" % (value,), "want a value of type " + wanted))
        return
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key in sorted(value):
            at = path + "." + key if path else key
            if key in properties:
                _judge(properties[key], value[key], at, found)
            elif schema.get("additionalProperties", True) is False:
                found.append((at, "is not known", "known keys are " + ", ".join(sorted(properties)) if properties else "remove the key"))
        for key in schema.get("required", []):
            if key not in value:
                found.append((path + "." + key if path else key, "is missing", "this key is required"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _judge(schema.get("items", {}), item, "%s.%d" % (path, index), found)
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            found.append((path, "is too short", "want at least %d characters" % schema["minLength"]))
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append((path, "is %r" % value, "want text that matches " + schema["pattern"]))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        for word, broken, want in (
            ("minimum", lambda b: value < b, "at least"), ("maximum", lambda b: value > b, "at most"),
            ("exclusiveMinimum", lambda b: value <= b, "more than"), ("exclusiveMaximum", lambda b: value >= b, "less than"),
        ):
            if word in schema and broken(schema[word]):
                found.append((path, "is %r" % value, "want %s %r" % (want, schema[word])))
    if "enum" in schema and value not in schema["enum"]:
        found.append((path, "is %r" % (value,), "want one of " + ", ".join(map(str, schema["enum"]))))


def _defaults(schema):
    if "properties" not in schema:
        return schema.get("default")
    return {key: _defaults(below) for key, below in schema["properties"].items() if _defaults(below) is not None}


def _merged(below, above):
    result = dict(below)
    for key, value in above.items():
        result[key] = _merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


# The services ---------------------------------------------------------------


class _Services:
    def __init__(self, plugin):
        import json

        self.plugin = plugin
        self.schema = dict(getattr(plugin, "schema", None) or {})
        self.text = json.dumps(self.schema) if self.schema else ""
        self.config = _defaults(self.schema) or {}

    def describe(self, request, context):
        plugin = self.plugin
        kinds = [kind for kind, method in ((1, "check"), (2, "decide")) if hasattr(plugin, method)]
        return pb.DescribeResponse(
            name=plugin.name, version=plugin.version, api_minor=0, kinds=kinds, config_schema=self.text,
            check_name=getattr(plugin, "check_name", ""),
            metrics=[pb.MetricDescriptor(**m) for m in getattr(plugin, "metrics", [])],
            actions=[pb.ActionDescriptor(**a) for a in getattr(plugin, "actions", [])],
        )

    def _found(self, request):
        config = json_format.MessageToDict(request.config)
        found = []
        _judge(self.schema or {"additionalProperties": False}, config, "", found)
        return config, [pb.Diagnostic(severity=2, path=p, summary=s, detail=d) for p, s, d in found]

    def validate(self, request, context):
        return pb.ValidateResponse(diagnostics=self._found(request)[1])

    def configure(self, request, context):
        config, found = self._found(request)
        if not found:
            self.config = _merged(_defaults(self.schema) or {}, config)  # in one step: a check sees the one or the other
        return pb.ConfigureResponse(diagnostics=found)

    def shutdown(self, request, context):
        if hasattr(self.plugin, "shutdown"):
            self.plugin.shutdown()
        return pb.ShutdownResponse()

    def check(self, request, context):
        return self._guarded(context, lambda: self.plugin.check(request, self.config, Call(context)))

    def decide(self, request, context):
        return self._guarded(context, lambda: self.plugin.decide(request, self.config))

    def execute(self, request, context):
        if request.action not in [a["name"] for a in getattr(self.plugin, "actions", [])]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "there is no action %r: ask for one that Describe names" % request.action)
        return self._guarded(context, lambda: pb.ExecuteResponse(message=self.plugin.execute(request, self.config, Call(context))))

    def _guarded(self, context, method):
        """An exception means "I could not look": its text goes to host."""
        try:
            return method()
        except Exception as error:  # pylint: disable=broad-except
            context.abort(grpc.StatusCode.UNKNOWN, "%s: %s" % (type(error).__name__, error))


def _health(request, context):
    """grpc.health.v1: a message with the service's name in, one with the status out."""
    if request not in (b"", b"\x0a\x06plugin"):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return b"\x08\x01"  # SERVING


def _handlers(name, methods):
    def unary(method, request):
        reads = bytes if request is None else request.FromString
        writes = (lambda answer: answer) if request is None else (lambda answer: answer.SerializeToString())
        return grpc.unary_unary_rpc_method_handler(method, request_deserializer=reads, response_serializer=writes)

    return grpc.method_handlers_generic_handler(name, {word: unary(method, request) for word, (method, request) in methods.items()})


# The process ----------------------------------------------------------------


def _end_with_host():
    """Host holds the other end of a pipe: its end means that host is gone."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode) and not stat.S_ISSOCK(os.fstat(0).st_mode):
        return

    def read():
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()


def serve(plugin):
    """Is the main of a plugin: answers host until host ends it."""
    if os.environ.get("UPKEEP_PLUGIN_COOKIE") != COOKIE:
        sys.exit("%s %s is a plugin of Upkeep: it works for the host and does nothing by itself.\n"
                 "Start: host --plugins DIR, with this folder in DIR" % (plugin.name, plugin.version))
    offered = os.environ.get("PLUGIN_PROTOCOL_VERSIONS", str(PROTOCOL_VERSION)).split(",")
    if str(PROTOCOL_VERSION) not in offered:
        sys.exit("this plugin speaks version %d of the plugin API, host offers %s" % (PROTOCOL_VERSION, ",".join(offered)))
    host, sys.stdout = sys.stdout, sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's business
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    services = _Services(plugin)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", 4 << 20)])

    def leave(request, context):
        context.add_callback(lambda: threading.Timer(0.05, os._exit, [0]).start())
        return b""

    handlers = [
        _handlers("grpc.health.v1.Health", {"Check": (_health, None)}),
        _handlers("plugin.GRPCController", {"Shutdown": (leave, None)}),
        _handlers("upkeep.plugin.v1.PluginService", {
            "Describe": (services.describe, pb.DescribeRequest), "Validate": (services.validate, pb.ValidateRequest),
            "Configure": (services.configure, pb.ConfigureRequest), "Shutdown": (services.shutdown, pb.ShutdownRequest),
        }),
    ]
    if hasattr(plugin, "check"):
        handlers.append(_handlers("upkeep.plugin.v1.CheckerService", {"Check": (services.check, pb.CheckRequest)}))
    if hasattr(plugin, "decide"):
        handlers.append(_handlers("upkeep.plugin.v1.RecoveryService", {
            "Decide": (services.decide, pb.DecideRequest), "Execute": (services.execute, pb.ExecuteRequest),
        }))
    server.add_generic_rpc_handlers(handlers)
    if os.name == "nt":
        address = "127.0.0.1:%d" % server.add_insecure_port("127.0.0.1:0")
        network = "tcp"
    else:
        folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.mkdtemp()
        address, network = os.path.join(folder, "plugin%d" % os.getpid()), "unix"
        server.add_insecure_port("unix:" + address)
    server.start()
    _end_with_host()
    host.write("1|%d|%s|%s|grpc|\n" % (PROTOCOL_VERSION, network, address))
    host.flush()
    while True:
        time.sleep(3600)
