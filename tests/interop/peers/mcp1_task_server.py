"""Version 1 of the official SDK as a server with tasks of 2025-11-25: `mcp1_task_server.py stdio`, or `http PORT`.

Written with its low-level `Server`, the only one of its own that has tasks, as its documentation teaches it. Runs in
the environment of `mcp1`.

Follows: no page of the specification; the tools are those of `tests/interop/task_steps.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from mcp import McpError, types
from mcp.server.experimental.task_context import ServerTaskContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Mount

server: Server[Any, Any] = Server("peer", version="1.0.0")
support = server.experimental.enable_tasks()
released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
cancelled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
Work = Callable[[ServerTaskContext], Awaitable[types.CallToolResult]]


async def was_stopped(task: str) -> bool:
    """Whether a task was cancelled."""
    found = await support.store.get_task(task)
    return found is not None and found.status == "cancelled"


def text(said: str, *, error: bool = False) -> types.CallToolResult:
    """A result that is one text."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)], isError=error)


def work(key: str) -> Work:
    """Say that half of it is done, and go on once released."""

    async def run(task: ServerTaskContext) -> types.CallToolResult:
        await task.update_status("half way")
        await released[key].wait()
        return text(f"done {key}")

    return run


def endless(key: str) -> Work:
    """Go on until cancelled, which this SDK tells nobody: the work has to look."""

    async def run(task: ServerTaskContext) -> types.CallToolResult:
        await task.update_status("begun")
        while not await was_stopped(task.task_id):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        cancelled[key].set()
        await (
            asyncio.Event().wait()
        )  # an end after the cancellation is refused, and takes the session with it
        return text("unreachable")

    return run


async def fail(_task: ServerTaskContext) -> types.CallToolResult:
    """Fail in a way that the model can read."""
    return text("no luck today", error=True)


async def refuse(_task: ServerTaskContext) -> types.CallToolResult:
    """Fail with an error of the protocol."""
    raise McpError(types.ErrorData(code=-31050, message="not today"))


async def ask(task: ServerTaskContext) -> types.CallToolResult:
    """Greet whoever answers."""
    answer = await task.elicit("What is your name?", FORM)
    return text(f"Hello, {(answer.content or {}).get('name')}")


async def was_cancelled(key: str) -> types.CallToolResult:
    """Say whether the endless task with this key was cancelled, or is within three seconds."""
    try:
        async with asyncio.timeout(3):
            await cancelled[key].wait()
    except TimeoutError:
        return text("no")
    return text("yes")


async def put_off() -> types.CallToolResult:
    """Ask for a name by a task of the client's, and greet."""
    answer = await server.request_context.session.experimental.elicit_as_task("What is your name?", FORM)
    return text(f"Hello, {(answer.content or {}).get('name')}")


@server.list_tools()
async def list_tools() -> list[types.Tool]:
    """All tools, and which of them may be tasks."""
    keyed = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    plain = {"type": "object"}
    may = types.ToolExecution(taskSupport="optional")
    must = types.ToolExecution(taskSupport="required")
    return [
        types.Tool(name="work", inputSchema=keyed, execution=may),
        types.Tool(name="endless", inputSchema=keyed, execution=must),
        *(types.Tool(name=name, inputSchema=plain, execution=must) for name in ("fail", "refuse", "ask")),
        *(types.Tool(name=name, inputSchema=keyed) for name in ("release", "was_cancelled")),
        types.Tool(name="put_off", inputSchema=plain),
    ]


@server.call_tool()
async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
    """Any tool."""
    key = str(arguments.get("key", ""))
    context = server.request_context.experimental
    if name == "release":
        released[key].set()
        return text("released")
    if name == "was_cancelled":
        return await was_cancelled(key)
    if name == "put_off":
        return await put_off()
    if name == "work" and not context.is_task:
        await released[key].wait()
        return text(f"done {key}")
    works = {"work": work(key), "endless": endless(key), "fail": fail, "refuse": refuse, "ask": ask}
    return await context.run_task(works[name])


async def over_stdio() -> None:
    """Serve the streams of this process."""
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def over_http(port: int) -> None:
    """Serve a port of the loopback interface."""
    manager = StreamableHTTPSessionManager(app=server)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    app = Starlette(routes=[Mount("/", app=manager.handle_request)], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", given]:
            over_http(int(given))
        case _:
            asyncio.run(over_stdio())
