"""The relay on python-socketio and aiohttp, with their default options.

It sends each claude_event to everybody but its sender; returning acknowledges it.

    python3 server.py PORT
"""

import asyncio
import sys

import socketio
from aiohttp import web


async def main(port):
    sio = socketio.AsyncServer(async_mode="aiohttp")
    app = web.Application()
    sio.attach(app)

    @sio.event
    async def claude_event(sid, event):
        await sio.emit("claude_event", event, skip_sid=sid)

    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
