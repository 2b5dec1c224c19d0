"""An app for plain HTTP clients: ``POST /tools/NAME`` with the arguments as JSON, and what the tool gave as the answer.

Theory of operation. Each request becomes the one request of the protocol that it is
(`dovetail.types.single_request`), in the place of its own body, and goes through the endpoint of the app (`App.asgi`)
like any other. So who is calling, the checks of ``Host`` and ``Origin``, limits, middleware, validation and the end
of a call whose caller has gone are those of the endpoint: there is no second way into a tool. Only what is asked and
answered is written otherwise. A caller that is no client of the protocol can't be asked anything, and hears of
nothing on the way.

Specification: server/tools, server/resources, server/prompts; RFC 9457; OpenAPI 3.1.1.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar, Unpack, cast
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from dovetail import App
from dovetail.errors import (
    HeaderMismatch,
    InvalidParams,
    MethodNotFound,
    MissingCapability,
    RateLimited,
    RemoteProtocolError,
    ResourceNotFound,
    RPCError,
)
from dovetail.server import ASGIReceive, ASGIScope, ASGISend, Endpoint, EndpointOptions
from dovetail.types import (
    DECODE_ERRORS,
    CallToolParams,
    CallToolResult,
    GetPromptParams,
    GetPromptResult,
    Implementation,
    ListPromptsParams,
    ListPromptsResult,
    ListResourcesParams,
    ListResourcesResult,
    ListResourceTemplatesParams,
    ListResourceTemplatesResult,
    ListToolsParams,
    ListToolsResult,
    PageParams,
    Params,
    ReadResourceParams,
    ReadResourceResult,
    ResourceContents,
    TextContent,
    Tool,
    decode,
    encode,
    reader,
    single_reply,
    single_request,
)
from dovetail.types import SingleRequest as Single

from .description import describe
from .plain import mapping, text

__all__ = ["rest"]

R = TypeVar("R", CallToolResult, GetPromptResult, ReadResourceResult)

_CLIENT: Final = Implementation(name="plain-http", version="1")
_MAX_BODY: Final = 16 * 1024 * 1024
_MAX_PAGES: Final = 1000
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cache-control", b"no-store"),
)
_PASSED: Final = frozenset({b"www-authenticate", b"retry-after", b"vary", b"dpop-nonce", b"date"})


class _Answer(NamedTuple):
    """What a plain client is answered."""

    status: int
    type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Gone(Exception):
    """The caller has left."""


def rest(app: App, **options: Unpack[EndpointOptions]) -> Endpoint:
    """An app as an ASGI application for plain HTTP clients, to be served by any ASGI server and mounted anywhere.

    ``POST /tools/NAME`` calls a tool, its arguments as a JSON object in the body; ``POST /prompts/NAME`` gets a prompt;
    ``GET /resources?uri=...`` reads a resource; ``GET /openapi.json`` describes all that the caller may use. Structured
    content is answered as JSON, a single text or picture as it is, what is more than one thing as JSON with
    ``content``; errors are problems (RFC 9457). ``options`` are those of `App.asgi`, and raise as they do there.
    """
    return cast(
        "Endpoint",
        _Rest(app, app.asgi(**options), str(options.get("path", "/mcp")), options.get("auth", app.auth)),
    )


class _Rest:
    """``path``: where the endpoint is. ``protection``: what protects it, if anything."""

    def __init__(self, app: App, endpoint: Endpoint, path: str, protection: object) -> None:
        self._app = app
        self._endpoint = endpoint
        self._path = path
        self._protected = protection is not None

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        """Answer a request; what is no call of anything is the endpoint's."""
        if scope["type"] != "http":
            await self._endpoint(scope, receive, send)
            return
        target = _target(scope)
        if target.startswith("/.well-known/"):
            await self._endpoint(scope, receive, send)
            return
        request = _PlainRequest(self._endpoint, self._path, scope, receive)
        if scope["method"] == "OPTIONS":  # which pages may call is the endpoint's to say
            await self._endpoint(request.inner(), receive, send)
            return
        try:
            answer = await self._answered(request, scope["method"], target)
        except _Refused as refused:
            answer = refused.answer
        except RPCError as problem:
            answer = _of_error(problem)
        except RemoteProtocolError as problem:
            answer = _problem(500, str(problem))
        except _Gone:
            return
        headers = [(b"content-type", answer.type.encode("latin-1", "replace")), *_SAFE, *answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answered(self, request: _PlainRequest, method: str, target: str) -> _Answer:
        """What a request is answered with. Raises `_Refused`, `_Gone`, `RPCError` and `RemoteProtocolError`."""
        _, kind, name = (*target.split("/", 2), "", "")[:3]
        wanted = "POST" if kind in ("tools", "prompts") and name else "GET"
        if not (wanted == "POST" or (kind in ("resources", "openapi.json") and not name)):
            raise _Refused(_problem(404, "there is nothing at this path; /openapi.json says what there is"))
        if method != wanted and not (wanted == "GET" and method == "HEAD"):
            raise _Refused(_problem(405, f"this path takes {wanted}", (b"allow", wanted.encode())))
        if kind == "openapi.json":
            return await self._described(request)
        if kind == "resources":
            return await _read(request)
        arguments = await request.arguments()
        return await (_called if kind == "tools" else _got)(request, unquote(name), arguments)

    async def _described(self, request: _PlainRequest) -> _Answer:
        """The document, of what this caller may use."""
        tools = await request.tools()
        resources = await request.listed(ListResourcesParams, ListResourcesResult, "resources")
        templates = await request.listed(
            ListResourceTemplatesParams, ListResourceTemplatesResult, "resource_templates"
        )
        found = describe(
            self._app.info,
            tools=tools,
            resources=resources,
            templates=templates,
            prompts=await request.listed(ListPromptsParams, ListPromptsResult, "prompts"),
            instructions=self._app.instructions,
            protected=self._protected,
        )
        return _Answer(200, _JSON, encode(found))


class _PlainRequest:
    """A plain request, and the requests of the protocol that are made in its place."""

    def __init__(self, endpoint: Endpoint, path: str, scope: ASGIScope, receive: ASGIReceive) -> None:
        self._endpoint = endpoint
        self._path = path
        self._scope = scope
        self._receive = receive

    def inner(self, single: Single | None = None) -> dict[str, Any]:
        """The scope of a request to the endpoint, by the same caller."""
        scope = self._scope
        path: str = scope.get("root_path", "") + self._path
        found = {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
        if single is not None:
            own = [(key.encode(), value.encode("latin-1")) for key, value in single.headers]
            kept = [
                (key, value)
                for key, value in scope["headers"]
                if not single.takes(key.decode("latin-1").lower())
            ]
            length = (b"content-length", str(len(single.body)).encode())
            kept = [
                (key, value) for key, value in kept if key.lower() not in (b"transfer-encoding", b"expect")
            ]
            found.update(method="POST", headers=[*kept, *own, length])
        return found

    async def ask(self, params: Params, schema: Mapping[str, Any] | None = None) -> msgspec.Raw:
        """The result of a request. Raises the `RPCError` that it is, `_Refused` where the endpoint has no answer of the
        protocol (who may not call, how many may), and `_Gone` where the caller left.
        """
        single = single_request(params, client=_CLIENT, input_schema=schema)
        bodies = [single.body]
        status, headers, body = 0, dict[bytes, bytes](), bytearray()

        async def receive() -> Any:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            return await self._receive()

        async def send(message: Any) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {bytes(key).lower(): bytes(value) for key, value in message.get("headers", ())}
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))

        await self._endpoint(self.inner(single), receive, send)
        if not status:
            raise _Gone
        kind = headers.get(b"content-type", b"").decode("latin-1")
        try:
            return single_reply(bytes(body), kind)
        except RPCError as problem:
            passed = tuple((key, value) for key, value in headers.items() if key in _PASSED)
            if status in (200, 400, 404):
                raise
            raise _Refused(_problem(status, str(problem.message), *passed, code=problem.code)) from None
        except RemoteProtocolError:
            passed = tuple((key, value) for key, value in headers.items() if key in _PASSED)
            raise _Refused(
                _problem(status if status >= 400 else 500, body[:500].decode("utf-8", "replace"), *passed)
            ) from None

    async def listed(self, params: type[PageParams], result: type[Any], member: str) -> list[Any]:
        """All entries of a list; none where there is no such list. Raises as `ask` does."""
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            try:
                page = reader(result).read(await self.ask(params(cursor=cursor)))
            except MethodNotFound:
                break
            found += getattr(page, member)
            if page.next_cursor is None or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        return found

    async def tools(self) -> list[Tool]:
        """The tools that the caller may use."""
        return await self.listed(ListToolsParams, ListToolsResult, "tools")

    async def arguments(self) -> msgspec.Raw:
        """The body, an object of JSON. Raises `_Refused` and `_Gone`."""
        kind = dict(self._scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
        data = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise _Gone
            data += message.get("body", b"")
            more = message.get("more_body", False)
            if len(data) > _MAX_BODY:
                raise _Refused(_problem(413, f"the body has more than {_MAX_BODY} bytes"))
        if not data.strip():
            return msgspec.Raw(b"{}")
        if kind != _JSON.encode():
            raise _Refused(_problem(415, f"the arguments are an object of JSON, of type {_JSON}"))
        try:
            _OBJECT.decode(bytes(data))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
            raise _Refused(_problem(400, f"the body is no object of JSON: {problem}")) from None
        return msgspec.Raw(bytes(data))

    def query(self, name: str) -> str | None:
        """A parameter of the query, the first of that name."""
        pairs = parse_qsl(
            self._scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=100
        )
        return next((value for key, value in pairs if key == name), None)


async def _called(request: _PlainRequest, name: str, arguments: msgspec.Raw) -> _Answer:
    """What a tool gives."""
    params = CallToolParams(name=name, arguments=arguments)
    try:
        given = await request.ask(params)
    except HeaderMismatch:  # it repeats arguments in headers: its schema says which
        tool = next((each for each in await request.tools() if each.name == name), None)
        if tool is None:
            raise
        given = await request.ask(params, tool.input_schema)
    except InvalidParams as problem:
        if all(each.name != name for each in await request.tools()):
            raise _Refused(_problem(404, problem.message, code=problem.code)) from None
        raise
    result = _result(CallToolResult, given)
    if result.is_error:
        said = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
        raise _Refused(_problem(422, said or "the tool failed", title="The tool failed"))
    if result.structured_content is not msgspec.UNSET:
        return _Answer(200, _JSON, encode(result.structured_content))
    if len(result.content) == 1:
        block = result.content[0]
        if isinstance(block, TextContent):
            return _Answer(200, "text/plain; charset=utf-8", block.text.encode())
        said = mapping(block.to_wire())
        if isinstance(said.get("data"), str):
            return _Answer(200, text(said.get("mimeType")) or _BYTES, base64.b64decode(said["data"]))
        if "resource" in said:
            return _of_contents(reader(ResourceContents).read(encode(said["resource"])))
    return _Answer(200, _JSON, encode({"content": result.content}))


async def _got(request: _PlainRequest, name: str, arguments: msgspec.Raw) -> _Answer:
    """The messages of a prompt."""
    given: dict[str, Any] = decode(arguments)
    wrong = [key for key, value in given.items() if not isinstance(value, str)]
    if wrong:
        raise _Refused(_problem(400, f"the arguments of a prompt are texts, and {wrong[0]!r} is none"))
    try:
        result = _result(GetPromptResult, await request.ask(GetPromptParams(name=name, arguments=given)))
    except InvalidParams as problem:
        if all(
            each.name != name
            for each in await request.listed(ListPromptsParams, ListPromptsResult, "prompts")
        ):
            raise _Refused(_problem(404, problem.message, code=problem.code)) from None
        raise
    said = {"description": result.description} if result.description else {}
    return _Answer(200, _JSON, encode({**said, "messages": result.messages}))


async def _read(request: _PlainRequest) -> _Answer:
    """What a resource holds."""
    uri = request.query("uri")
    if not uri:
        raise _Refused(_problem(400, "which resource? GET /resources?uri=..."))
    try:
        result = _result(ReadResourceResult, await request.ask(ReadResourceParams(uri=uri)))
    except (InvalidParams, ResourceNotFound) as problem:
        if isinstance(problem, ResourceNotFound) or "uri" in mapping(problem.data):
            raise _Refused(_problem(404, problem.message, code=problem.code)) from None
        raise
    if len(result.contents) == 1:
        return _of_contents(result.contents[0])
    return _Answer(200, _JSON, encode({"contents": result.contents}))


def _result(kind: type[R], given: msgspec.Raw) -> R:
    """A whole result. Raises `_Refused` for one that asks for input, and `RemoteProtocolError` for what is none."""
    try:
        found = reader(kind).read(given)
    except DECODE_ERRORS as problem:
        said = decode(given)
        if "inputRequests" in said or "requestState" in said:
            raise _Refused(_asks()) from None
        raise RemoteProtocolError(f"the result is not what it should be: {problem}") from None
    if found.result_type not in (None, "complete"):
        raise _Refused(_asks())
    return found


def _asks() -> _Answer:
    return _problem(
        422,
        "it has a question to whoever calls, which plain HTTP can't carry: call it with a client of the Model Context"
        " Protocol",
        title="It asks",
    )


def _of_contents(contents: ResourceContents) -> _Answer:
    if contents.blob is not None:
        return _Answer(200, contents.mime_type or _BYTES, base64.b64decode(contents.blob))
    kind = contents.mime_type or "text/plain"
    charset = "; charset=utf-8" if kind.startswith("text/") and "charset" not in kind else ""
    return _Answer(200, kind + charset, (contents.text or "").encode())


def _of_error(problem: RPCError) -> _Answer:
    """An error of the protocol as a problem."""
    if isinstance(problem, MissingCapability):
        return _asks()
    if problem.code == RateLimited.default_code:
        after = float(mapping(problem.data).get("retryAfter", 1))
        return _problem(
            429, problem.message, (b"retry-after", str(math.ceil(after)).encode()), code=problem.code
        )
    status = 400 if isinstance(problem, InvalidParams) else 500
    if isinstance(problem, (ResourceNotFound, MethodNotFound)):
        status = 404
    return _problem(status, problem.message, code=problem.code)


def _problem(
    status: int, detail: str, *headers: tuple[bytes, bytes], title: str | None = None, code: int | None = None
) -> _Answer:
    """Specification: RFC 9457."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    found: dict[str, Any] = {"type": "about:blank", "title": title or phrase, "status": status}
    if detail:
        found["detail"] = detail
    if code is not None:
        found["code"] = code
    return _Answer(status, "application/problem+json", encode(found), headers)


def _target(scope: ASGIScope) -> str:
    """The path below where this is mounted, escaped as it came."""
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1") or quote(scope["path"])
    root = quote(scope.get("root_path", "").rstrip("/"))
    return raw[len(root) :] if root and raw.startswith(root + "/") else raw
