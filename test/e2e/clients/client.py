"""python-socketio as the hub's Python clients use it, driven by a test over
JSON lines: commands on standard input, answers (with the command's id) and
notes (what happened to a client, and when) on standard output.

The handlers take exactly one argument, as those clients' do: an event that
arrives with more is a TypeError, which is noted as `error`.
"""
import asyncio
import json
import os
import sys
import threading
import time

import socketio

TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
EVENTS = ["connection_ack", "server_status", "compatibility_warning", "claude_event", "event_history", "pong",
          "version_info"]

clients = {}
out = threading.Lock()
loop = asyncio.new_event_loop()  # of the asynchronous clients


def say(message):
    with out:
        print(json.dumps(message), flush=True)


def note(client, what, **facts):
    say({"note": what, "client": client, "at": int(time.time() * 1000), **facts})


def failed(args):
    note("", "error", reason=f"{args.exc_type.__name__}: {args.exc_value}")


threading.excepthook = failed
loop.set_exception_handler(lambda _, c: note("", "error", reason=str(c.get("exception") or c["message"])))
threading.Thread(target=loop.run_forever, daemon=True).start()


def done(result):
    """The result of a call to a client of either kind: an asynchronous one gives a coroutine."""
    return asyncio.run_coroutine_threadsafe(result, loop).result() if asyncio.iscoroutine(result) else result


def handler(client, event):
    def one_argument(data):
        note(client, "event", name=event, args=[data])

    return one_argument


def do_open(command):
    client = command["client"]
    sio = socketio.AsyncClient() if command.get("asynchronous") else socketio.Client()
    clients[client] = sio
    for event in EVENTS:
        sio.on(event, handler(client, event))
    sio.on("connect", lambda: note(client, "connect", sid=sio.get_sid(), transport=sio.transport()))
    sio.on("connect_error", lambda data=None: note(client, "connect_error", reason=str(data)))
    sio.on("disconnect", lambda: note(client, "disconnect"))
    done(sio.connect(command["url"], auth=command.get("auth"), transports=TRANSPORTS[command["transport"]],
                     wait_timeout=1))


def do_emit(command):
    args = command.get("args") or []
    done(clients[command["client"]].emit(command["event"], tuple(args) if args else None))


def do_ack(command):
    args = command.get("args") or []
    timeout = command.get("timeout", 5000) / 1000
    sio = clients[command["client"]]
    answer = done(sio.call(command["event"], tuple(args) if args else None, timeout=timeout))
    return {"args": [] if answer is None else [answer]}


def do_state(command):
    sio = clients[command["client"]]
    return {"connected": sio.connected, "transport": sio.transport() if sio.connected else None}


def do_close(command):
    done(clients.pop(command["client"]).disconnect())


COMMANDS = {"open": do_open, "emit": do_emit, "ack": do_ack, "state": do_state, "close": do_close}


def run(command):
    try:
        say({"id": command["id"], **(COMMANDS[command["do"]](command) or {})})
    except Exception as err:  # the test decides what an error means
        say({"id": command["id"], "error": f"{type(err).__name__}: {err}"})


for line in sys.stdin:
    threading.Thread(target=run, args=(json.loads(line),), daemon=True).start()

os._exit(0)  # the library's own threads would keep the process alive
