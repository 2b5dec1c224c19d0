"""What other libraries call what a `Context` or an `App` has: an author who knows those is told the name here.

Specification: none.
"""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

__all__ = ["MEANT", "MEANT_OF_APP", "naming"]


def naming(what: str, meant: Mapping[str, str]) -> Callable[[object, str], NoReturn]:
    """A ``__getattr__`` for names that ``what`` does not have: it says what to write instead of those in ``meant``."""

    def missing(self: object, name: str) -> NoReturn:
        told = meant.get(name)
        raise AttributeError(f"{what} has no {name!r}" + (f"; {told}" if told else ""), name=name, obj=self)

    return missing


_CHANGES: Final = "clients are told by themselves when an entry is added or removed"
_LEVEL: Final = "write `await ctx.log({!r}, data)`"

MEANT: Final[dict[str, str]] = {
    "access_token": "the checked token's claims are `ctx.principal.claims`; the token itself is not handed on",
    "alert": _LEVEL.format("alert"),
    "app": "use the App itself, or Depends(...)",
    "client_id": "write `ctx.principal.client_id`",
    "client_info": "write `ctx.client.info`",
    "close_sse_stream": "write `await ctx.close_stream(retry)`",
    "close_standalone_sse_stream": "it is the transport's; `ctx.close_stream` closes the stream of this call",
    "create_message": "write `await ctx.sample(...)`",
    "critical": _LEVEL.format("critical"),
    "delete_state": "write `await ctx.session.delete(key)`",
    "elicit_form": "write `await ctx.elicit(message, form)`",
    "emergency": _LEVEL.format("emergency"),
    "exception": "write `await ctx.error(text)`, and log the exception with `logging`: it is not the client's",
    "fastmcp": "use the App itself, or what its lifespan gave: `ctx.state`",
    "get_http_headers": "write `ctx.headers`",
    "get_http_request": "write `ctx.headers`; there is no request object, for there may be no HTTP",
    "get_prompt": "call the prompt's function",
    "get_state": "write `await ctx.session.get(key)` for what lasts as long as the session (before 2026-07-28)",
    "input_responses": "answers come from `await ctx.elicit(...)` and its siblings",
    "lifespan_context": "write `ctx.state`",
    "list_prompts": "use the App itself",
    "list_resources": "use the App itself",
    "list_roots": "write `await ctx.roots()`",
    "list_tools": "use the App itself",
    "logger": "use `logging.getLogger(__name__)`, or `await ctx.info(text)` for the client",
    "mcp_server": "use the App itself, or what its lifespan gave: `ctx.state`",
    "notice": _LEVEL.format("notice"),
    "notify": "write `await ctx.progress(...)`, `await ctx.log(...)` or `app.resource_updated(uri)`",
    "origin_request_id": "write `ctx.request_id`",
    "protocol_version": "write `ctx.revision`",
    "read_resource": "call the resource's function, or give both what they need by Depends(...)",
    "report_progress": "write `await ctx.progress(progress, total, message)`",
    "request": "see `ctx.request_id`, `ctx.headers`, `ctx.meta` and `ctx.principal`",
    "request_context": "see `ctx.request_id`, `ctx.headers`, `ctx.meta`, `ctx.principal` and `ctx.state`",
    "request_state": "it is the library's; keep what later rounds need in `await ctx.step(name, fn)`",
    "sample_step": "write `await ctx.sample(...)`",
    "send_notification": "write `await ctx.progress(...)`, `await ctx.log(...)` or `app.resource_updated(uri)`",
    "send_prompt_list_changed": _CHANGES,
    "send_resource_list_changed": _CHANGES,
    "send_resource_updated": "write `app.resource_updated(uri)`",
    "send_tool_list_changed": _CHANGES,
    "server": "use the App itself, or what its lifespan gave: `ctx.state`",
    "set_state": "write `await ctx.session.set(key, value)` for what lasts as long as the session (before 2026-07-28), "
    "or Depends(...) for one call",
    "user_id": "write `ctx.principal.subject`",
    "warn": "write `await ctx.warning(text)`",
}
"""By name, what to write here."""

_PARTS: Final = (
    "write a function that takes the App and adds its tools, and call it for each app that should have them"
)
_CLIENT: Final = "connect a client to it, `async with Client(app) as client`, and write `{}`"

MEANT_OF_APP: Final[dict[str, str]] = {
    "add_middleware": "write `App(..., middleware=[...])`",
    "add_provider": _PARTS,
    "add_template": "write `app.add_resource(fn, uri)`, with variables in the URI",
    "add_transform": "write the function that you want, and let it call the first",
    "as_proxy": "add tools with `app.add_tool(fn, input_schema=...)` that call the other server by a Client",
    "call_tool": _CLIENT.format("await client.call_tool(name, arguments)"),
    "disable": "write `app.remove_tool(name)`, or say who may see an entry by its option `allow`",
    "enable": "write `app.add_tool(fn)`",
    "from_fastapi": "add tools with `app.add_tool(fn, input_schema=...)` that make the requests",
    "from_openapi": "add tools with `app.add_tool(fn, input_schema=...)` that make the requests",
    "get_tools": _CLIENT.format("client.tools()"),
    "http_app": "write `app.asgi()`; the App itself is an ASGI application too",
    "import_server": _PARTS,
    "list_tools": _CLIENT.format("client.tools()"),
    "local_provider": "write `app.remove_tool(name)` and its like",
    "mount": _PARTS,
    "notification": "write `app.resource_updated(uri)`; clients are told of entries that come and go by themselves",
    "read_resource": _CLIENT.format("await client.read(uri)"),
    "run_async": "write `await app.serve(...)`",
    "run_http_async": "write `await app.serve('http', ...)`",
    "run_sse_async": "write `await app.serve('http', http_sse=True)`",
    "run_stdio_async": "write `await app.serve()`",
    "run_streamable_http_async": "write `await app.serve('http', ...)`",
    "session_manager": "write `app.asgi()`, which needs none",
    "settings": "options are those of `App(...)` and `app.run(...)`",
    "sse_app": "write `app.asgi(http_sse=True)`",
    "streamable_http_app": "write `app.asgi()`; the App itself is an ASGI application too",
    "template": "write `@app.resource(uri)`, with variables in the URI",
}
"""By name, what to write with an `App`."""
