"""What other libraries call what a `Client` has: who knows those is told the name here.

Specification: none.
"""

from typing import Final, NoReturn

__all__ = ["MEANT_OF_CLIENT", "no_such_name"]

_INFO: Final = (
    "see `client.server_info`, `client.server_capabilities`, `client.instructions` and `client.revision`"
)

MEANT_OF_CLIENT: Final[dict[str, str]] = {
    "call_tool_mcp": "write `await client.call_tool(name, arguments)`; its result has all, as `raw`",
    "cancel": "cancel the task that awaits the call",
    "get_prompt_mcp": "write `await client.get_prompt(name, arguments)`",
    "initialize_result": _INFO,
    "is_connected": "see `client.state`",
    "list_prompts_mcp": "write `client.prompts()` for all, `await client.list_prompts()` for a page",
    "list_resources_mcp": "write `client.resources()` for all, `await client.list_resources()` for a page",
    "list_tools_mcp": "write `client.tools()` for all, `await client.list_tools()` for a page",
    "new": "make another Client of the same target",
    "protocol_version": "write `client.revision`",
    "read_resource": "write `await client.read(uri)`",
    "read_resource_mcp": "write `await client.read(uri)`",
    "send_ping": "write `await client.ping()`",
    "send_request": "write `await client.request(method, params)`",
    "session": "there is none to handle: all calls are methods of the client",
    "set_elicitation_callback": "write `Client(target, elicitation=...)`",
    "set_logging_level": "write `await client.set_log_level(level)`",
    "set_roots": "write `Client(target, roots=...)`",
    "set_sampling_callback": "write `Client(target, sampling=...)`",
    "subscribe_resource": "write `await client.subscribe(uri)`",
    "transport": "see `client.describe()`",
    "unsubscribe_resource": "write `await client.unsubscribe(uri)`",
}
"""By name, what to write here."""


def no_such_name(self: object, name: str) -> NoReturn:
    """A ``__getattr__`` that says what to write. Raises AttributeError."""
    meant = MEANT_OF_CLIENT.get(name)
    raise AttributeError(f"a Client has no {name!r}" + (f"; {meant}" if meant else ""), name=name, obj=self)
