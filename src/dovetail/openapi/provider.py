"""An API as a provider: ``app.mount("shop", OpenAPIProvider("shop.json"))``.

Theory of operation. A document that is at hand is read at once, so what is wrong with it is the author's to see; one
behind a URL is fetched when the app starts. What it offers does not change after that, and is the same for everybody:
every list is known without waiting. Operations become tools, unless a rule makes them resources: one without
parameters a resource, one with some a template.

Specification: server/tools, server/resources; OpenAPI 3.0.4 and 3.1.1.
"""

from __future__ import annotations

import re
import ssl as tls
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, cast

from dovetail.errors import InvalidParams, ResourceNotFound, ToolError
from dovetail.extensions import Call, Change, Channel, Principal
from dovetail.providers import ListKind, Offer, Provided, ProvidedPage, Provider
from dovetail.revisions import Feature
from dovetail.security import Fetched, Fetcher
from dovetail.types import (
    DECODE_ERRORS,
    CallToolParams,
    CallToolResult,
    ReadResourceParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    Tool,
    URITemplate,
    decode,
    encode,
)

from .api import API, DocumentOptions, OfferedOperation
from .credentials import APICredentials, CredentialSource
from .documents import MAX_DOCUMENT, Document, DocumentSource, fetch_document, read_document
from .errors import DocumentInvalid
from .operations import APIOperation, LeftOut
from .plain import mapping
from .responses import contents_of, failure_text, media_of
from .rules import RouteRule

__all__ = ["OpenAPIProvider"]

PAGE: Final = 200
"""Tools of one page, at most."""

PAGE_BYTES: Final = 256 * 1024
"""Bytes of the tools of one page, if there is more than one (256 KiB)."""

_NOT_IN_VARIABLES: Final = re.compile(r"[^A-Za-z0-9_]")
_ABSENT: Final = 404


class _ReadableOperation:
    """A resource or template, and what reads it."""

    def __init__(self, offered: OfferedOperation, uri: str, variables: Mapping[str, str]) -> None:
        self.offered = offered
        self.template = URITemplate(uri)
        self._variables = variables
        self._lists = {name for name in variables.values() if _is_list(offered, name)}

    def arguments(self, uri: str) -> dict[str, Any] | None:
        """The arguments that a URI has; None where it is no URI of this."""
        try:
            found = self.template.match(uri)
        except ValueError:
            return None
        if found is None:
            return None
        given: dict[str, Any] = {}
        for variable, value in found.items():
            name = self._variables[variable]
            given[name] = [value] if name in self._lists and isinstance(value, str) else value
        return given


class OpenAPIProvider(Provider):
    """What an API offers whose OpenAPI document (3.0 or 3.1) is given, for `dovetail.App.mount`.

    ``source``: the document as plain values, as bytes of JSON or YAML, the path of a file, or an https URL, which is
    fetched when the app starts. ``server``: where requests go (default: the first server that the document names);
    ``variables``: for the variables of its URL. ``auth``: credentials by the name of their security scheme, each a text
    or a function of the `Principal` who calls; for the scheme "basic" ``user:password``. What callers show this
    server is never sent on. ``headers``: what each request has besides. ``rules``: what becomes of which operations,
    the first that fits (default: all are tools). ``names``: names of tools by operationId or by method and path
    (``GET /pets``).

    ``timeout``: seconds for one request. ``max_answer``: bytes of an answer. ``max_schema``: bytes of a tool's input
    schema, and of its output schema; definitions beyond it are left open. ``output_schemas``: whether tools promise
    what the document does. ``uri``: what the URIs of resources begin with (default: ``api://`` and the title).

    Requests go to the server alone, and to public https addresses. ``allow_loopback``: to this machine too, also over
    http; ``allow_private``: to private addresses too; ``allow_http``: without encryption elsewhere, too; ``ssl``: a
    context, for private authorities. ``limit``: bytes of the document (default 64 MiB).

    Raises `DocumentInvalid` (also for a file that can't be read), ValueError for options that don't fit the document,
    and ImportError, which names the extra; for a URL when the app starts, `FetchRefused` and `FetchFailed` as well.
    """

    def __init__(
        self,
        source: DocumentSource,
        *,
        server: str | None = None,
        variables: Mapping[str, str] | None = None,
        auth: Mapping[str, CredentialSource] | None = None,
        headers: Mapping[str, str] | None = None,
        rules: Iterable[RouteRule] = (),
        names: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        max_answer: int = 1024 * 1024,
        max_schema: int = 16 * 1024,
        output_schemas: bool = True,
        uri: str | None = None,
        allow_loopback: bool = False,
        allow_private: bool = False,
        allow_http: bool = False,
        ssl: tls.SSLContext | None = None,
        limit: int = MAX_DOCUMENT,
    ) -> None:
        self._auth = dict(auth or {})
        self._limit = limit
        self._uri = uri
        self._reading = DocumentOptions(
            server=server,
            variables=dict(variables or {}),
            rules=tuple(rules),
            names=dict(names or {}),
            headers=dict(headers or {}),
            max_schema=max_schema,
            output_schemas=output_schemas,
        )
        allowed: dict[str, Any] = {
            "allow_loopback": allow_loopback,
            "allow_private": allow_private,
            "allow_http": allow_http,
            "ssl": ssl,
        }
        self._fetcher = Fetcher(timeout=timeout, limit=max_answer, **allowed)
        self._document_fetcher = Fetcher(timeout=60.0, limit=limit, **allowed)
        self._api: API | None = None
        self._tools: dict[str, Provided[Tool]] = {}
        self._resources: dict[str, Provided[Resource]] = {}
        self._templates: dict[str, Provided[ResourceTemplate]] = {}
        self._readable: dict[str, _ReadableOperation] = {}
        self._url = source if isinstance(source, str) and source.startswith(("http://", "https://")) else None
        if self._url is None:
            self._take(read_document(source, limit=limit))

    @property
    def label(self) -> str:
        """The title of the document, or where it is fetched from."""
        if self._api is not None:
            return self._api.document.title or "an API without a title"
        return str(self._url)

    @property
    def offers(self) -> frozenset[Offer]:
        """Tools and resources; before a document was fetched both."""
        if self._api is None:
            return frozenset(("tools", "resources"))
        offers: dict[Offer, bool] = {"tools": bool(self._tools), "resources": bool(self._readable)}
        return frozenset(name for name, there in offers.items() if there)

    @property
    def operations(self) -> list[APIOperation]:
        """The operations that are offered, in the order of the document."""
        return [each.operation for each in self._api.offered] if self._api is not None else []

    @property
    def left_out(self) -> list[LeftOut]:
        """The operations of the document that could not be taken, and why."""
        return list(self._api.left_out) if self._api is not None else []

    @property
    def left_open(self) -> dict[str, list[str]]:
        """The definitions that are left open in the schemas of a tool or resource, by its name: a higher ``max_schema``
        has them.
        """
        offered = self._api.offered if self._api is not None else []
        found = {
            each.name: [*each.plan.left_open, *(each.output.left_open if each.output is not None else ())]
            for each in offered
        }
        return {name: list(dict.fromkeys(left)) for name, left in found.items() if left}

    # What there is

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Any]] | None:
        """All of a list, for everybody."""
        return None if self._api is None else list(self._kind(kind).values())

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What it has never changes."""
        return None if self._api is None else id(self._api)

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether it has a thing of that name."""
        return name in self._kind(kind)

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether it has a thing of that name, or may have."""
        return self._api is None or kind == "resources" or name in self._kind(kind)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """A page of its tools."""
        return _page(list(self._tools.values()), cursor)

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """A page of the operations that are resources."""
        return _page(list(self._resources.values()), cursor)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """A page of those that are templates."""
        return _page(list(self._templates.values()), cursor)

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The tool of a name, if there is one."""
        return self._tools.get(name)

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The resource of a URI, or the template that it fits."""
        if uri in self._resources:
            return self._resources[uri]
        for key, found in self._templates.items():
            if self._readable[key].arguments(uri) is not None:
                return found
        return None

    # Its life

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Fetch the document where that is still to be done, and keep connections to the API meanwhile. Raises what
        fetching raises.
        """
        return self._life(publish)

    @asynccontextmanager
    async def _life(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        if self._api is None and self._url is not None:
            self._take(await fetch_document(self._url, fetcher=self._document_fetcher))
            publish(Change("tools"))
            publish(Change("resources"))
        async with self._fetcher.keeping():
            yield

    # Reading and calling

    def _kind(self, kind: ListKind) -> Mapping[str, Provided[Any]]:
        found: dict[str, Mapping[str, Provided[Any]]] = {
            "tools": self._tools,
            "resources": self._resources,
            "templates": self._templates,
        }
        return found.get(kind, {})

    def _take(self, document: Document) -> None:
        """Raises `DocumentInvalid` and ValueError."""
        api = API(document, self._reading, APICredentials(document, self._auth), self._fetcher)
        for each in api.offered:
            if each.becomes == "tool":
                self._tools[each.name] = Provided(
                    described=each.tool, answer=self._tool(api, each), tags=frozenset(each.operation.tags)
                )
            else:
                self._offer_resource(api, each)
        self._api = api

    def _offer_resource(self, api: API, offered: OfferedOperation) -> None:
        """Raises `DocumentInvalid` for an operation that is none to read."""
        operation = offered.operation
        if operation.method != "GET":
            raise DocumentInvalid(f"rules=: {operation.label} can't be a resource; only what is a GET can")
        slug = re.sub(r"[^a-z0-9]+", "-", api.document.title.lower()).strip("-") or "document"
        uri, variables = _uri_of(offered, self._uri or f"api://{slug}")
        said: dict[str, Any] = {
            "name": offered.name,
            "title": offered.tool.title,
            "description": offered.tool.description,
            "mime_type": media_of(operation),
        }
        readable = self._readable[uri] = _ReadableOperation(offered, uri, variables)
        answer = self._reader(api, readable)
        tags = frozenset(operation.tags)
        if variables:
            described = ResourceTemplate(uri_template=uri, **said)
            self._templates[uri] = Provided(described=described, answer=answer, tags=tags)
        else:
            self._resources[uri] = Provided(described=Resource(uri=uri, **said), answer=answer, tags=tags)

    @staticmethod
    def _tool(api: API, offered: OfferedOperation) -> Any:
        async def answer(call: Call, channel: Channel) -> CallToolResult:
            raw = cast("CallToolParams", call.params).arguments
            try:
                arguments: Any = decode(raw) if raw else {}
            except DECODE_ERRORS as problem:
                raise InvalidParams(f"the arguments are no JSON: {problem}") from None
            if channel.lean:
                call.forget()
            return await api.call(offered, arguments, channel.principal)

        return answer

    @staticmethod
    def _reader(api: API, readable: _ReadableOperation) -> Any:
        async def answer(call: Call, channel: Channel) -> ReadResourceResult:
            uri = cast("ReadResourceParams", call.params).uri
            arguments = readable.arguments(uri)
            if arguments is None:
                raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
            try:
                found = await api.read(readable.offered, arguments, channel.principal)
            except ToolError as problem:
                raise InvalidParams(str(problem)) from None
            _check_read(readable.offered, found, uri)
            contents = [contents_of(found, uri)]
            if not call.profile.has(Feature.CACHE_HINTS):
                return ReadResourceResult(contents=contents)
            return ReadResourceResult(contents=contents, ttl_ms=0, cache_scope="private")

        return answer


def _check_read(offered: OfferedOperation, answer: Fetched, uri: str) -> None:
    """Raise what the reader of a resource is told of an answer that is no success."""
    if answer.status == _ABSENT:
        raise ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])
    if not 200 <= answer.status < 300:
        raise InvalidParams(failure_text(offered.operation, answer))


def _uri_of(offered: OfferedOperation, start: str) -> tuple[str, dict[str, str]]:
    """The URI, or template, of an operation, and the argument that each of its variables is.

    Raises `DocumentInvalid`.
    """
    variables: dict[str, str] = {}
    path, query = offered.operation.path, cast("list[str]", [])
    for argument in offered.plan.arguments:
        parameter = argument.parameter
        name = _NOT_IN_VARIABLES.sub("_", argument.name)
        if parameter is None or parameter.place not in ("path", "query"):
            if parameter is None or parameter.required:
                raise DocumentInvalid(
                    f"rules=: {offered.operation.label} can't be a resource:"
                    f" {argument.name!r} has no place in a URI"
                )
            continue
        variables[name] = argument.name
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", f"{{{name}}}")
        else:
            query.append(f"{name}*" if _is_list(offered, argument.name) else name)
    return start.rstrip("/") + path + (f"{{?{','.join(query)}}}" if query else ""), variables


def _is_list(offered: OfferedOperation, argument: str) -> bool:
    """Whether an argument is a list, so that it may be in a URI several times."""
    properties = mapping(offered.plan.input_schema.get("properties"))
    return mapping(properties.get(argument)).get("type") == "array"


def _page(items: list[Provided[Any]], cursor: str | None) -> ProvidedPage[Any]:
    """Raises `InvalidParams` for a cursor that is none."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 9):
        raise InvalidParams("this cursor is none of this list's")
    start = int(cursor or 0)
    following, size = start, 0
    for each in items[start : start + PAGE]:
        size += len(encode(each.described))
        if size > PAGE_BYTES and following > start:
            break
        following += 1
    return ProvidedPage(items[start:following], str(following) if following < len(items) else None)
