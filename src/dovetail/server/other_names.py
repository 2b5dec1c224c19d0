"""What other libraries call what a `Context` has: an author who knows those is told the name here.

Specification: none.
"""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

__all__ = ["MEANT", "naming"]


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
