"""A server to be killed: its arguments are a port (0: any) and, if it is to remember, the path of a store.

Writes a line with its port once it listens, and a line per call that has begun. Follows: no page of the
specification.
"""

import asyncio
import socket
import sys

import uvicorn

from dovetail import App, Context
from dovetail.stores import SQLiteStore


def say(text: object) -> None:
    """A line for whoever started us."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


store = SQLiteStore(sys.argv[2]) if len(sys.argv) > 2 else None
app = App("dying", store=store)
released = asyncio.Event()


@app.tool
async def forever(ctx: Context) -> str:
    """Say that it has begun, and never end."""
    await ctx.progress(1)
    say("begun")
    await asyncio.Event().wait()
    return "never"


@app.tool
async def poll(ctx: Context) -> str:
    """Hang up and let the client come back for the answer, which is there once somebody calls `release`."""
    await ctx.close_stream(retry=0.1)
    await released.wait()
    return "the answer of old"


@app.tool
async def release() -> None:
    """Let `poll` end."""
    released.set()


@app.tool
async def echo(text: str) -> str:
    """Give back the text."""
    return text


async def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app.asgi(), log_config=None, lifespan="off"))
    say(listener.getsockname()[1])
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
