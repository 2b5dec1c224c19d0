"""The official Python SDK as a server: `mcp_server.py stdio`, `mcp_server.py http PORT` or `mcp_server.py sse PORT`.

Written with its public high-level API, as its own documentation teaches it. Runs in the environment of `mcp`.

Follows: no page of the specification; the features are those of `tests/interop/steps.py`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Annotated

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context, Elicit, ListRoots, MCPServer, Resolve, Sample
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("peer", version="1.0.0", log_level="WARNING")
cancelled: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)


class Person(BaseModel):
    """What is asked for."""

    name: str


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail in a way that the model can read."""
    raise ToolError("no luck today")


@server.tool()
async def slow(key: str, ctx: Context) -> str:
    """Report 1, 2 and 3, then go on until cancelled."""
    try:
        for done in (1, 2, 3):
            await ctx.report_progress(done, 3, f"part {done}")
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled[key].set()
        raise
    return "unreachable"


@server.tool()
async def was_cancelled(key: str) -> str:
    """Say whether the slow call with this key was cancelled, or is within three seconds."""
    with anyio.move_on_after(3):
        await cancelled[key].wait()
        return "yes"
    return "no"


def ask_name() -> Elicit[Person]:
    """The question; it travels as each era has it."""
    return Elicit("What is your name?", Person)


@server.tool()
async def ask(person: Annotated[Person, Resolve(ask_name)]) -> str:
    """Greet whoever answers."""
    return f"Hello, {person.name}"


@server.tool()
async def tell(ctx: Context) -> str:
    """Log something."""
    await ctx.warning("something is odd")
    return "told"


def ask_model() -> Sample:
    """The question to the client's model."""
    content = types.TextContent(text="What is two and two?")
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=100)


@server.tool()
async def think(said: Annotated[types.CreateMessageResult, Resolve(ask_model)]) -> str:
    """Pass on what the client's model says."""
    return f"The model says {getattr(said.content, 'text', said.content)}"


def ask_model_for(person: Annotated[Person, Resolve(ask_name)]) -> Sample:
    """A question to the client's model that needs the person's answer: a round of its own."""
    content = types.TextContent(text=f"What is two and two, {person.name}?")
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=100)


@server.tool()
async def both(
    person: Annotated[Person, Resolve(ask_name)],
    said: Annotated[types.CreateMessageResult, Resolve(ask_model_for)],
) -> str:
    """Ask the person, then the model."""
    return f"{person.name} hears {getattr(said.content, 'text', said.content)}"


def ask_roots() -> ListRoots:
    """The question for the client's roots."""
    return ListRoots()


@server.tool()
async def where(found: Annotated[types.ListRootsResult, Resolve(ask_roots)]) -> str:
    """Name the client's roots."""
    return " ".join(str(root.uri) for root in found.roots)


@server.tool()
async def touch(ctx: Context) -> str:
    """Say that the tools have changed and that the note was updated."""
    if ctx.protocol_version is not None and ctx.protocol_version >= "2026":
        await ctx.notify_tools_changed()
        await ctx.notify_resource_updated("note://a")
    else:
        await ctx.session.send_tool_list_changed()
        await ctx.session.send_resource_updated("note://a")
    return "touched"


@server.resource("note://a")
def note_a() -> str:
    """A note."""
    return "first note"


@server.resource("note://by/{name}")
def note_by(name: str) -> str:
    """A note by somebody."""
    return f"note by {name}"


@server.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}"


@server.completion()
async def names(_ref: object, argument: types.CompletionArgument, _context: object) -> types.Completion:
    """Names that begin like this."""
    return types.Completion(
        values=[name for name in ("Ada", "Alan", "Grace") if name.startswith(argument.value)]
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", port]:
            server.run("streamable-http", host="127.0.0.1", port=int(port))
        case ["sse", port]:
            server.run("sse", host="127.0.0.1", port=int(port))
        case _:
            server.run()
