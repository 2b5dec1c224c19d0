"""What other libraries call what a `Client` has: who knows those is told the name here.

Specification: none.
"""

from typing import Final, NoReturn

from ..protocol import names

__all__ = ["MEANT_OF_CLIENT", "MEANT_OF_CLIENT_OPTIONS", "no_such_name"]

_OPENED: Final = "write `async with Client(target)`, or `await client.open()`"
_INFO: Final = (
    "see `client.server_info`, `client.server_capabilities`, `client.instructions` and `client.revision`"
)

MEANT_OF_CLIENT: Final[dict[str, str]] = {
    "adopt": "write `Client(..., store=...)`, which keeps what was found out about a server",
    "call_tool_mcp": "write `await client.call_tool(name, arguments)`; its result has all, as `raw`",
    "cancel": "cancel the task that awaits the call",
    "connect_to_server": "make a Client for each server",
    "discover": _OPENED,
    "discover_result": "see `client.discovered`",
    "experimental": "write `await client.start_tool(name, arguments)`, with `Client(..., extensions=[tasks()])`",
    "get_prompt_mcp": "write `await client.get_prompt(name, arguments)`",
    "get_server_capabilities": "write `client.server_capabilities`",
    "get_session_id": "sessions are the client's own",
    names.INITIALIZE: _OPENED,
    "initialize_result": _INFO,
    "is_connected": "see `client.state`",
    "list_prompts_mcp": "write `client.prompts()` for all, `await client.list_prompts()` for a page",
    "list_resources_mcp": "write `client.resources()` for all, `await client.list_resources()` for a page",
    "list_tools_mcp": "write `client.tools()` for all, `await client.list_tools()` for a page",
    "new": "make another Client of the same target",
    "protocol_version": "write `client.revision`",
    "read_resource": "write `await client.read(uri)`",
    "read_resource_mcp": "write `await client.read(uri)`",
    "send_notification": "write `await client.notify(method, params)`",
    "send_ping": "write `await client.ping()`",
    "send_request": "write `await client.request(method, params)`",
    "send_roots_list_changed": "write `await client.roots_changed()`",
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


_HANDLER: Final = "write `{}=`, with a function of what is asked or said"

MEANT_OF_CLIENT_OPTIONS: Final[dict[str, str]] = {
    "client_info": "write `info=`",
    "elicitation_callback": _HANDLER.format("elicitation"),
    "elicitation_handler": _HANDLER.format("elicitation"),
    "errlog": "write `on_stderr=`, with a function of a line",
    "init_timeout": "write `probe_timeout=`",
    "input_required_max_rounds": "write `rounds='manual'` to answer each round yourself",
    "list_roots_callback": "write `roots=`, with the folders or a function that gives them",
    "log_handler": _HANDLER.format("logging"),
    "logging_callback": _HANDLER.format("logging"),
    "message_handler": "write `on_change=` for changes, `on_notification=` for other notifications",
    "mode": "write `revision=`, with 'auto', a revision or several",
    "prior_discover": "write `store=`, which keeps what was found out about a server",
    "progress_callback": "write `progress=`",
    "progress_handler": "write `progress=`",
    "raise_exceptions": "of what a server raises a client hears its error; write `App(..., mask_errors=False)`",
    "read_timeout_seconds": "write `timeout=`, in seconds",
    "sampling_callback": _HANDLER.format("sampling"),
    "sampling_capabilities": "write `sampling_tools=True` where the model may be given tools",
    "sampling_handler": _HANDLER.format("sampling"),
}
"""By name, what to write with an option of a `Client` or of a call."""


def no_such_name(self: object, name: str) -> NoReturn:
    """A ``__getattr__`` that says what to write. Raises AttributeError."""
    meant = MEANT_OF_CLIENT.get(name)
    raise AttributeError(f"a Client has no {name!r}" + (f"; {meant}" if meant else ""), name=name, obj=self)
