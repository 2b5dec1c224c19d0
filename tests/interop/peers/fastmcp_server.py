"""FastMCP as a server: `fastmcp_server.py stdio`, `fastmcp_server.py http PORT` or `fastmcp_server.py sse PORT`.

Written with its public API, as its own documentation teaches it: a question has to be asked in one way in each era.
Runs in the environment of `fastmcp`.

Follows: no page of the specification; the features are those of `tests/interop/steps.py`.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import anyio
import mcp_types as types
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError

server = FastMCP("peer", version="1.0.0")
cancelled: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)
QUESTION = "What is your name?"


def modern(ctx: Context) -> bool:
    """Whether this request is of the stateless era."""
    request = ctx.request_context
    return request is not None and (request.protocol_version or "") >= "2026"


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
def fail() -> str:
    """Fail in a way that the model can read."""
    raise ToolError("no luck today")


@server.tool
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


@server.tool
async def was_cancelled(key: str) -> str:
    """Say whether the slow call with this key was cancelled, or is within three seconds."""
    with anyio.move_on_after(3):
        await cancelled[key].wait()
        return "yes"
    return "no"


@server.tool
async def ask(ctx: Context) -> str | types.InputRequiredResult:
    """Greet whoever answers."""
    if not modern(ctx):
        answer = await ctx.elicit(QUESTION, str)
        return f"Hello, {answer.data}" if answer.action == "accept" else "nobody answered"
    given = (ctx.input_responses or {}).get("name")
    if isinstance(given, types.ElicitResult):
        return f"Hello, {(given.content or {}).get('name')}"
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    question = types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=QUESTION, requested_schema=form)
    )
    return types.InputRequiredResult(input_requests={"name": question})


@server.tool
async def tell(ctx: Context) -> str:
    """Log something."""
    await ctx.warning("something is odd")
    return "told"


@server.tool
async def think(ctx: Context) -> str | types.InputRequiredResult:
    """Pass on what the client's model says."""
    content = types.TextContent(text="What is two and two?")
    messages = [types.SamplingMessage(role="user", content=content)]
    if modern(ctx):
        said = (ctx.input_responses or {}).get("model")
        if said is None:
            params = types.CreateMessageRequestParams(messages=messages, max_tokens=100)
            return types.InputRequiredResult(
                input_requests={"model": types.CreateMessageRequest(params=params)}
            )
    else:
        said = await ctx.session.create_message(messages, max_tokens=100, related_request_id=ctx.request_id)
    return f"The model says {getattr(getattr(said, 'content', None), 'text', said)}"


@server.tool
async def both(ctx: Context) -> str | types.InputRequiredResult:
    """Ask the person, then the model."""
    content = types.TextContent(text="What is two and two?")
    messages = [types.SamplingMessage(role="user", content=content)]
    if not modern(ctx):
        answer = await ctx.elicit(QUESTION, str)
        name = answer.data if answer.action == "accept" else "nobody"
        said = await ctx.session.create_message(messages, max_tokens=100, related_request_id=ctx.request_id)
        return f"{name} hears {getattr(said.content, 'text', said)}"
    given = ctx.input_responses or {}
    if "model" in given:
        return f"{ctx.request_state} hears {getattr(getattr(given['model'], 'content', None), 'text', None)}"
    if "name" not in given:
        return await ask(ctx)
    name = str((getattr(given["name"], "content", None) or {}).get("name"))
    question = types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=messages, max_tokens=100)
    )
    return types.InputRequiredResult(input_requests={"model": question}, request_state=name)


@server.tool
async def where(ctx: Context) -> str | types.InputRequiredResult:
    """Name the client's roots."""
    if modern(ctx):
        found = (ctx.input_responses or {}).get("roots")
        if found is None:
            return types.InputRequiredResult(input_requests={"roots": types.ListRootsRequest()})
    else:
        found = await ctx.session.list_roots()
    return " ".join(str(root.uri) for root in getattr(found, "roots", ()))


@server.tool
async def touch(ctx: Context) -> str:
    """Say that the tools have changed and that the note was updated."""
    await ctx.send_notification(types.ToolListChangedNotification())
    await ctx.send_notification(
        types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri="note://a"))
    )
    return "touched"


@server.resource("note://a")
def note_a() -> str:
    """A note."""
    return "first note"


@server.resource("note://by/{name}")
def note_by(name: str) -> str:
    """A note by somebody."""
    return f"note by {name}"


@server.prompt
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}"


@server.completion
async def names(_ref: object, argument: types.CompletionArgument, _context: object) -> list[str]:
    """Names that begin like this."""
    return [name for name in ("Ada", "Alan", "Grace") if name.startswith(argument.value)]


if __name__ == "__main__":
    match sys.argv[1:]:
        case [("http" | "sse") as transport, port]:
            path = "/mcp" if transport == "http" else "/sse"
            server.run(transport, show_banner=False, host="127.0.0.1", port=int(port), path=path)
        case _:
            server.run("stdio", show_banner=False)
