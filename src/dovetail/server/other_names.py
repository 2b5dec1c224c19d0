"""What other libraries call what a `Context` or an `App` has: an author who knows those is told the name here.

Specification: none.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn

__all__ = [
    "MEANT",
    "MEANT_OF_APP",
    "MEANT_OF_OPTIONS",
    "MEANT_OF_SERVING",
    "MEANT_OF_TRANSPORTS",
    "naming",
    "told_of_option",
]


def naming(what: str, meant: Mapping[str, str]) -> Callable[[object, str], NoReturn]:
    """A ``__getattr__`` for names that ``what`` does not have: it says what to write instead of those in ``meant``."""

    def missing(self: object, name: str) -> NoReturn:
        told = meant.get(name)
        raise AttributeError(f"{what} has no {name!r}" + (f"; {told}" if told else ""), name=name, obj=self)

    return missing


def told_of_option(what: str, name: str, known: Iterable[str]) -> str:
    """What to write instead of an option that ``what`` does not have, which has those in ``known``."""
    from difflib import get_close_matches

    known = list(known)
    kind = {"App(...)": "App", "App.mount": "App.mount"}.get(what, "entry")
    meant = MEANT_OF_OPTIONS[kind].get(name)
    near = get_close_matches(name, known, n=1)
    if meant is None:
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"{what} has no option {name!r}; {meant}"


_CHANGES: Final = "clients are told by themselves when an entry is added or removed"
_LEVEL: Final = "write `await ctx.log({!r}, data)`"

MEANT: Final[dict[str, str]] = {
    "access_token": "the checked token's claims are `ctx.principal.claims`; the token itself is not handed on",
    "alert": _LEVEL.format("alert"),
    "app": "use the App itself, or Depends(...)",
    "client_capabilities": "write `ctx.client.capabilities`",
    "client_id": "write `ctx.principal.client_id`",
    "client_info": "write `ctx.client.info`",
    "close_sse_stream": "write `await ctx.close_stream(retry)`",
    "close_standalone_sse_stream": "it is the transport's; `ctx.close_stream` closes the stream of this call",
    "create_message": "write `await ctx.sample(...)`",
    "critical": _LEVEL.format("critical"),
    "delete_state": "write `await ctx.session.delete(key)`",
    "elicit_form": "write `await ctx.elicit(message, form)`",
    "emergency": _LEVEL.format("emergency"),
    "experimental": "declare what may run as a task with `task=`, on an App with `extensions=[tasks()]`",
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
    "notify_prompts_changed": _CHANGES,
    "notify_resource_updated": "write `app.resource_updated(uri)`",
    "notify_resources_changed": _CHANGES,
    "notify_tools_changed": _CHANGES,
    "origin_request_id": "write `ctx.request_id`",
    "protocol_version": "write `ctx.revision`",
    "read_resource": "call the resource's function, or give both what they need by Depends(...)",
    "report_progress": "write `await ctx.progress(progress, total, message)`",
    "request": "see `ctx.request_id`, `ctx.headers`, `ctx.meta` and `ctx.principal`",
    "request_context": "see `ctx.request_id`, `ctx.headers`, `ctx.meta`, `ctx.principal` and `ctx.state`",
    "request_state": "it is the library's; keep what later rounds need in `await ctx.step(name, fn)`",
    "sample_step": "write `await ctx.sample(...)`",
    "send_log_message": "write `await ctx.log(level, data, logger=...)`",
    "send_notification": "write `await ctx.progress(...)`, `await ctx.log(...)` or `app.resource_updated(uri)`",
    "send_progress_notification": "write `await ctx.progress(progress, total, message)`",
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

_MOUNT: Final = "write `app.mount(prefix, other)`, with another App or a `dovetail.providers.Provider`"
_PROXY: Final = (
    "write `proxy_app(target)`, or `app.mount(prefix, ProxyProvider(target))`, of `dovetail.proxy`"
)
_TRANSFORM: Final = "write them where it is mounted: `app.mount(prefix, other, transform, ...)`"
_CLIENT: Final = "connect a client to it, `async with Client(app) as client`, and write `{}`"
_RESOURCE: Final = "write `@app.resource(uri)` for each"
_OFFER: Final = "write `@app.tool` for each, or `app.add_tool(fn, name=..., input_schema=...)`"

MEANT_OF_APP: Final[dict[str, str]] = {
    "add_middleware": "write `App(..., middleware=[...])`",
    "add_provider": _MOUNT,
    "add_notification_handler": "an App takes no notifications of its own; write `@app.method(name)` for a request",
    "add_request_handler": "write `@app.method(name)`",
    "add_template": "write `app.add_resource(fn, uri)`, with variables in the URI",
    "add_transform": _TRANSFORM,
    "as_proxy": _PROXY,
    "call_tool": f"{_OFFER}; to call one, {_CLIENT.format('await client.call_tool(name, arguments)')}",
    "create_initialization_options": "write `app.run()`, which needs none",
    "disable": "write `app.remove_tool(name)`, or `app.mount(prefix, other, hide(...))` of `dovetail.providers`, or "
    "say who may see an entry by its option `allow`",
    "enable": "write `app.add_tool(fn)`, or `app.mount(prefix, other, only(...))` of `dovetail.providers`",
    "experimental": "write `App(..., extensions=[tasks()])`, of `dovetail.extensions.tasks`",
    "from_client": _PROXY,
    "from_fastapi": "write `app.mount(None, OpenAPIProvider(api.openapi(), server=url))`, of `dovetail.openapi`",
    "from_openapi": "write `app.mount(None, OpenAPIProvider(document, server=url))`, of `dovetail.openapi`",
    "get_capabilities": "capabilities follow from what is registered",
    "get_context": "a function that is to have one takes a parameter `ctx: Context`; far below it, `current_context()`",
    "get_prompt": f"write `@app.prompt`; to get one, {_CLIENT.format('await client.get_prompt(name, arguments)')}",
    "get_tools": _CLIENT.format("client.tools()"),
    "http_app": "write `app.asgi()`; the App itself is an ASGI application too",
    "import_server": _MOUNT,
    "list_prompts": f"write `@app.prompt` for each; to see them, {_CLIENT.format('client.prompts()')}",
    "list_resource_templates": f"{_RESOURCE}; to see them, {_CLIENT.format('client.resource_templates()')}",
    "list_resources": f"{_RESOURCE}; to see them, {_CLIENT.format('client.resources()')}",
    "list_tools": f"{_OFFER}; to see them, {_CLIENT.format('client.tools()')}",
    "local_provider": "write `app.remove_tool(name)` and its like",
    "middleware": "write `App(..., middleware=[...])`",
    "notification": "write `app.resource_updated(uri)`; clients are told of entries that come and go by themselves",
    "progress_notification": "an App takes none",
    "read_resource": f"{_RESOURCE}; to read one, {_CLIENT.format('await client.read(uri)')}",
    "request_context": "a function that is to have one takes a parameter `ctx: Context`",
    "run_async": "write `await app.serve(...)`",
    "run_http_async": "write `await app.serve('http', ...)`",
    "run_sse_async": "write `await app.serve('http', http_sse=True)`",
    "run_stdio_async": "write `await app.serve()`",
    "run_streamable_http_async": "write `await app.serve('http', ...)`",
    "session_manager": "write `app.asgi()`, which needs none",
    "set_logging_level": "clients may set a level; `await ctx.log(level, data)` goes by it",
    "settings": "options are those of `App(...)` and `app.run(...)`",
    "sse_app": "write `app.asgi(http_sse=True)`",
    "streamable_http_app": "write `app.asgi()`; the App itself is an ASGI application too",
    "subscribe_resource": "clients may subscribe; `app.resource_updated(uri)` tells those who did",
    "template": "write `@app.resource(uri)`, with variables in the URI",
    "unsubscribe_resource": "clients may subscribe; `app.resource_updated(uri)` tells those who did",
}
"""By name, what to write with an `App`."""

_HINT: Final = "write `annotations=ToolAnnotations({}=True)`"
_WHEN_RUN: Final = "say it when it runs, `app.run('http', {0}=...)`, or `app.asgi({0}=...)`"
_DUPLICATES: Final = (
    "a name that is taken is refused; write `replace=True` where an entry is added to replace one"
)
_ALLOWED: Final = (
    "write `scopes=[...]` for what a token needs, or `allow=` with a function that judges the caller"
)

_HANDLER: Final = "write `{}` for each: lists and calls follow from what is registered"

MEANT_OF_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "entry": {
        "auth": _ALLOWED,
        "destructive": _HINT.format("destructive_hint"),
        "enabled": "add it when it is to be seen, with `app.add_tool(fn)` and its like, or say by `allow=` who sees it",
        "exclude_args": "write `name: T = Depends(fn)`: what the server fills in is in no schema",
        "idempotent": _HINT.format("idempotent_hint"),
        "inputSchema": "write `input_schema=`",
        "mimeType": "write `mime_type=`",
        "open_world": _HINT.format("open_world_hint"),
        "outputSchema": "write `output_schema=`",
        "read_only": _HINT.format("read_only_hint"),
        "roles": _ALLOWED,
        "run_in_thread": "a function that is not async runs in a thread",
        "serializer": "return the text itself, or a `CallToolResult`",
        "structured_output": "annotate what the function returns: structured content and its schema follow from that",
        "tool_serializer": "return the text itself, or a `CallToolResult`",
        "uri_template": "write the template as the URI, `@app.resource('notes://{day}')`",
    },
    "App": {
        "auth_server_provider": "write `auth=Protected(...)`, of `dovetail.auth`",
        "cache_hints": "write `list_ttl=` for lists; a resource has `ttl=` and `scope=`",
        "debug": "write `mask_errors=False`, or serve it with `dovetail dev`",
        "dependencies": "name them where the server is installed; what tools are given is `Depends(...)`",
        "event_store": "streams can be resumed anyway; what they said is in `store=`",
        "exclude_tags": "write `app.mount(prefix, other, hide(tags=[...]))`, of `dovetail.providers`",
        "host": "say it when it runs: `app.run('http', host=...)`",
        "include_tags": "write `app.mount(prefix, other, only(tags=[...]))`, of `dovetail.providers`",
        "json_response": "say it when it runs, `app.run('http', responses='json')`, or `app.asgi(responses='json')`",
        "list_page_size": "write `page_size=`",
        "log_level": 'set up `logging`; what is logged is below the logger "dovetail"',
        "mask_error_details": "write `mask_errors=`",
        "message_path": "say it when it runs: `app.run('http', http_sse=True)` serves the old transport",
        "on_duplicate": _DUPLICATES,
        "on_duplicate_prompts": _DUPLICATES,
        "on_duplicate_resources": _DUPLICATES,
        "on_duplicate_tools": _DUPLICATES,
        "on_call_tool": _HANDLER.format("@app.tool"),
        "on_completion": "write `@app.completion(prompt or template, argument)` for each",
        "on_get_prompt": _HANDLER.format("@app.prompt"),
        "on_list_prompts": _HANDLER.format("@app.prompt"),
        "on_list_resource_templates": _HANDLER.format("@app.resource(uri)"),
        "on_list_resources": _HANDLER.format("@app.resource(uri)"),
        "on_list_tools": _HANDLER.format("@app.tool"),
        "on_read_resource": _HANDLER.format("@app.resource(uri)"),
        "path": _WHEN_RUN.format("path"),
        "port": "say it when it runs: `app.run('http', port=...)`",
        "providers": _MOUNT,
        "request_state_security": "write `keys=`, or `sealer=`",
        "resource_security": "`..`, absolute paths and the like never match a variable",
        "resources": "write `app.add_resource(fn, uri)` for each",
        "session_state_store": "write `store=`",
        "sse_path": "say it when it runs: `app.run('http', http_sse=True)` serves the old transport",
        "stateless_http": "say it when it runs, `app.run('http', sessions=False)`, or `app.asgi(sessions=False)`",
        "streamable_http_path": _WHEN_RUN.format("path"),
        "strict_input_validation": "write `strict=`",
        "subscriptions": "who listens is told by `app.resource_updated(uri)`, on other workers through `store=`",
        "tags": "write `tags=` of each entry, or `app.mount(prefix, other, tag(...))`, of `dovetail.providers`",
        "token_verifier": "write `auth=Protected(...)`, of `dovetail.auth`",
        "tools": "write `app.add_tool(fn)` for each",
        "transforms": _TRANSFORM,
        "warn_on_duplicate_prompts": _DUPLICATES,
        "warn_on_duplicate_resources": _DUPLICATES,
        "warn_on_duplicate_tools": _DUPLICATES,
        "transport_security": "say it when it runs: `allowed_hosts=` and `allowed_origins=`",
    },
    "App.mount": {
        "as_proxy": "write `app.mount(prefix, other)`",
        "namespace": "the prefix comes first; write `app.mount('weather', other)`",
        "provider": "write `app.mount(prefix, provider)`",
        "server": "write `app.mount(prefix, other)`",
        "tool_names": "write `app.mount(prefix, other, rename({...}))`, of `dovetail.providers`",
    },
}
"""By name, what to write with an option of a tool, resource or prompt, of an `App`, and of what is mounted."""

MEANT_OF_SERVING: Final[dict[str, str]] = {
    "event_store": "write `store=`: streams can be resumed anyway",
    "json_response": "write `responses='json'`",
    "max_request_body_size": "write `App(..., max_message=...)`",
    "message_path": "write `http_sse=True`",
    "mount_path": "mount `app.asgi()` in the application whose path it is",
    "retry_interval": "write `retry=`, in seconds",
    "sse_path": "write `http_sse=True`",
    "stateless": "write `sessions=False`",
    "stateless_http": "write `sessions=False`",
    "streamable_http_path": "write `path=`",
    "transport_security": "write `allowed_hosts=` and `allowed_origins=`",
}
"""By name, what to write with an option of `App.run`, `App.serve` or `App.asgi`."""

MEANT_OF_TRANSPORTS: Final[dict[str, str]] = {
    "sse": 'write "http" with `http_sse=True`',
    "streamable-http": 'write "http"',
    "streamable_http": 'write "http"',
}
"""By name, what to write for a transport."""
