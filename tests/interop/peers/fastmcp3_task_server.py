"""FastMCP 3 as a server with tasks of 2025-11-25: `fastmcp3_task_server.py stdio`, or `http PORT`.

Written with its public API, as its own documentation teaches it. Runs in the environment of `fastmcp3`.

Follows: no page of the specification; the tools are those of `tests/interop/task_steps.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from datetime import timedelta

from fastmcp import Context, FastMCP
from fastmcp.dependencies import Progress
from fastmcp.exceptions import ToolError
from fastmcp.server.tasks import TaskConfig

server = FastMCP("peer", version="1.0.0")
TASK = TaskConfig(poll_interval=timedelta(milliseconds=100))
released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
cancelled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


@server.tool(task=TASK)
async def work(key: str, progress: Progress = Progress()) -> str:
    """Say that half of it is done, and go on once released."""
    await progress.set_message("half way")
    await released[key].wait()
    return f"done {key}"


@server.tool
async def release(key: str) -> str:
    """Let the work with this key go on."""
    released[key].set()
    return "released"


@server.tool(task=TASK)
async def fail() -> str:
    """Fail in a way that the model can read."""
    raise ToolError("no luck today")


@server.tool(task=TASK)
async def ask(ctx: Context) -> str:
    """Greet whoever answers."""
    answer = await ctx.elicit("What is your name?", str)
    return f"Hello, {answer.data}" if answer.action == "accept" else "nobody answered"


@server.tool(task=TASK)
async def endless(key: str, progress: Progress = Progress()) -> str:
    """Go on until cancelled."""
    try:
        await progress.set_message("begun")
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled[key].set()
        raise
    return "unreachable"


@server.tool
async def was_cancelled(key: str) -> str:
    """Say whether the endless task with this key was cancelled, or is within three seconds."""
    try:
        async with asyncio.timeout(3):
            await cancelled[key].wait()
    except TimeoutError:
        return "no"
    return "yes"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", port]:
            server.run("http", show_banner=False, host="127.0.0.1", port=int(port), path="/mcp")
        case _:
            server.run("stdio", show_banner=False)
