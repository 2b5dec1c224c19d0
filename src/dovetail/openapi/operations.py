"""What an API can be asked to do: the operations of a document, each with all that the document says of it.

Theory of operation. A path item gives what its operations share (parameters, servers), the root what all do (security,
servers). An operation that can't be read, for a reference that leads nowhere or a parameter that nobody could send, is
left out, and what was wrong with it is told; the others don't suffer for it.

Specification: OpenAPI 3.0.4 and 3.1.1, "Paths Object" to "Responses Object".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec

from .documents import Document
from .errors import DocumentInvalid
from .plain import flag, is_mapping, items, mapping, schema_in, text

__all__ = ["RequestBody", "LeftOut", "MediaType", "APIOperation", "OperationParameter", "operations_of"]

Place = Literal["path", "query", "header", "cookie"]
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_PARAMETERS: Final = frozenset({"accept", "authorization", "content-type"})
_OURS: Final = frozenset(
    (
        *("connection", "content-encoding", "content-length", "cookie", "expect", "host", "keep-alive"),
        *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    )
)
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
MAX_OPERATIONS: Final = 20_000
"""Operations that a document may have."""


class MediaType(msgspec.Struct, frozen=True):
    """One way to write a value: its media type, its schema as the document has it, and what is said of its parts."""

    type: str
    schema: Any
    encoding: dict[str, Any] = {}


class OperationParameter(msgspec.Struct, frozen=True):
    """One parameter. ``media``: it is written as that, and has no style."""

    name: str
    place: Literal["path", "query", "header", "cookie"]
    required: bool
    schema: Any
    style: str
    explode: bool
    allow_reserved: bool = False
    media: str = ""
    description: str = ""
    deprecated: bool = False


class RequestBody(msgspec.Struct, frozen=True):
    """The body of a request: the ways to write it, in the order of the document."""

    media: tuple[MediaType, ...]
    required: bool
    description: str = ""


class APIOperation(msgspec.Struct, frozen=True):
    """One operation of an API, as its document has it.

    ``method`` is in capitals, ``path`` as in the document, with its variables. ``id`` is the ``operationId``, or empty.
    ``security``: alternatives, each the names of the schemes that it takes together; empty where nothing is asked.
    ``servers``: as the document has them, the nearest. ``responses``: the media of each status (``200``, ``2XX``,
    ``default``), empty for one without a body.
    """

    method: str
    path: str
    id: str = ""
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    parameters: tuple[OperationParameter, ...] = ()
    body: RequestBody | None = None
    responses: dict[str, tuple[MediaType, ...]] = {}
    security: tuple[tuple[str, ...], ...] = ()
    servers: tuple[dict[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """What a person knows it by: its method and its path."""
        return f"{self.method} {self.path}"


class LeftOut(NamedTuple):
    """Something of a document that was not taken: which operation, and why."""

    operation: str
    reason: str


def operations_of(document: Document) -> tuple[list[APIOperation], list[LeftOut]]:
    """All operations of a document, in its order, and those that were left out. Raises `DocumentInvalid`."""
    found: list[APIOperation] = []
    left: list[LeftOut] = []
    paths = document.content.get("paths", {})  # since 3.1 there may be none
    if not is_mapping(paths):
        raise DocumentInvalid('"paths" of the document is no object, from each path to its operations')
    for path, given in paths.items():
        if not path.startswith("/"):
            continue  # x-...
        try:
            item = document.followed(given)
        except DocumentInvalid as problem:
            left.append(LeftOut(path, str(problem)))
            continue
        for method in METHODS:
            if not isinstance(item.get(method), dict):
                continue
            label = f"{method.upper()} {path}"
            if len(found) >= MAX_OPERATIONS:
                raise DocumentInvalid(f"the document has more than {MAX_OPERATIONS} operations")
            try:
                found.append(_operation(document, path, method, item))
            except DocumentInvalid as problem:
                left.append(LeftOut(label, str(problem)))
    return found, left


def _operation(document: Document, path: str, method: str, item: dict[str, Any]) -> APIOperation:
    given = mapping(item[method])
    body = given.get("requestBody")
    tags = tuple(each for each in items(given.get("tags")) if isinstance(each, str))
    return APIOperation(
        method=method.upper(),
        path=path,
        id=text(given.get("operationId")),
        summary=text(given.get("summary")) or text(item.get("summary")),
        description=text(given.get("description")) or text(item.get("description")),
        tags=tags,
        deprecated=flag(given.get("deprecated")),
        parameters=_parameters(document, path, item, given),
        body=_body(document, body) if is_mapping(body) else None,
        responses=_responses(document, mapping(given.get("responses"))),
        security=_security(given["security"] if "security" in given else document.content.get("security")),
        servers=_servers(given, item, document.content),
    )


def _parameters(
    document: Document, path: str, item: dict[str, Any], given: dict[str, Any]
) -> tuple[OperationParameter, ...]:
    """Those of the path item and of the operation, which go before. Raises `DocumentInvalid`."""
    found: dict[tuple[str, str], OperationParameter] = {}
    for each in (*items(item.get("parameters")), *items(given.get("parameters"))):
        parameter = _parameter(document.followed(each))
        if parameter is not None:
            found[parameter.place, parameter.name] = parameter
    variables = list(dict.fromkeys(_VARIABLE.findall(path)))
    for name in variables:
        if ("path", name) not in found:  # a fault of many documents: it can only be a text
            found["path", name] = OperationParameter(name, "path", True, {"type": "string"}, "simple", False)
    return tuple(each for each in found.values() if each.place != "path" or each.name in variables)


def _parameter(given: dict[str, Any]) -> OperationParameter | None:
    """A parameter; None for one that is to be ignored. Raises `DocumentInvalid` for one that can't be sent."""
    name, place = text(given.get("name")), text(given.get("in"))
    if not name or place not in _STYLES:
        raise DocumentInvalid(f"a parameter has no name, or the place {place[:40]!r}, which is none")
    required = place == "path" or flag(given.get("required"))
    if place == "header":
        if name.lower() in _NOT_PARAMETERS:
            return None
        if name.lower() in _OURS or not _TOKEN.fullmatch(name):
            if required:
                raise DocumentInvalid(f"the header {name[:60]!r} is none that a parameter may set")
            return None
    if place == "cookie" and not _TOKEN.fullmatch(name):
        raise DocumentInvalid(f"{name[:60]!r} can't be the name of a cookie")
    content = mapping(given.get("content"))
    media, schema = next(((key, mapping(value).get("schema")) for key, value in content.items()), ("", None))
    allowed = _STYLES[place]
    style = said if (said := text(given.get("style"))) in allowed else allowed[0]
    return OperationParameter(
        name=name,
        place=cast("Place", place),
        required=required,
        schema=schema_in(schema if media else given.get("schema")),
        style=style,
        explode=flag(given.get("explode"), style in ("form", "deepObject")),
        allow_reserved=flag(given.get("allowReserved")),
        media=media,
        description=text(given.get("description")),
        deprecated=flag(given.get("deprecated")),
    )


def _media(given: object) -> tuple[MediaType, ...]:
    """The ways to write a value, of a ``content`` member."""
    return tuple(
        MediaType(
            name.lower(), schema_in(mapping(each).get("schema")), mapping(mapping(each).get("encoding"))
        )
        for name, each in mapping(given).items()
        if "/" in name
    )


def _body(document: Document, given: object) -> RequestBody | None:
    found = document.followed(given)
    media = _media(found.get("content"))
    return RequestBody(media, flag(found.get("required")), text(found.get("description"))) if media else None


def _responses(document: Document, given: dict[str, Any]) -> dict[str, tuple[MediaType, ...]]:
    """What is answered. A response that can't be followed says nothing; a call does not need it."""
    found: dict[str, tuple[MediaType, ...]] = {}
    for status, each in given.items():
        try:
            found[status.upper()] = _media(document.followed(each).get("content"))
        except DocumentInvalid:
            continue
    return found


def _security(given: object) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(each) for each in items(given) if is_mapping(each))


def _servers(*holders: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The servers of the first that has some."""
    return next(_each_server(holders), ())


def _each_server(holders: tuple[dict[str, Any], ...]) -> Iterator[tuple[dict[str, Any], ...]]:
    for each in holders:
        servers = tuple(one for one in items(each.get("servers")) if is_mapping(one))
        if servers:
            yield servers
