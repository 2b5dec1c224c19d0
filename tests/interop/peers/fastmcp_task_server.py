"""FastMCP as a server with tasks: `fastmcp_task_server.py stdio`, or `http PORT`. `FASTMCP_DOCKET_URL` in the
environment says where they are kept; without it that is this process.

Written with its public API, as its own documentation teaches it. Runs in the environment of `fastmcp`.

Follows: no page of the specification; the tools are those of `tests/interop/task_steps.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from datetime import timedelta

import mcp_types as types
from fastmcp import Context, FastMCP
from fastmcp.dependencies import Progress
from fastmcp.exceptions import ToolError
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from mcp import MCPError

server = FastMCP("peer", version="1.0.0")
server.add_extension(TasksExtension())
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
async def refuse() -> str:
    """Fail with an error of the protocol."""
    raise MCPError(code=-31050, message="not today")


@server.tool(task=TASK)
async def ask(ctx: Context) -> str | types.InputRequiredResult:
    """Greet whoever answers."""
    given = (ctx.input_responses or {}).get("name")
    if isinstance(given, types.ElicitResult):
        return f"Hello, {(given.content or {}).get('name')}"
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    params = types.ElicitRequestFormParams(message="What is your name?", requested_schema=form)
    return types.InputRequiredResult(input_requests={"name": types.ElicitRequest(params=params)})


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
