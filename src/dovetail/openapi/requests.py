"""A call of an operation, as the request that it is: method, URL, headers, body.

Theory of operation. Every argument goes where its plan says, written by its style (`styles`) or as a part of the body
(`bodies`). What comes out has the origin of the server and a path that begins with the server's, whatever the arguments
are: that is looked at last, once more.

Specification: OpenAPI 3.0.4 and 3.1.1, "Parameter Object"; RFC 9110, sections 5.5 and 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from dovetail.errors import FetchRefused, ToolError
from dovetail.security import parse_url

from .bodies import written_body
from .credentials import Credential
from .operations import APIOperation, OperationParameter
from .plans import CallPlan
from .styles import Unsendable, cookie_pairs, header_value, path_part, query_pairs

__all__ = ["APIRequest", "outgoing"]

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_PATH: Final = "/:@!$&'()*+,;=~%"
MAX_URL: Final = 4096


class APIRequest(msgspec.Struct, frozen=True):
    """A request that is ready to be sent; ``url`` is escaped, and goes out as it stands."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


def outgoing(
    plan: CallPlan, arguments: Mapping[str, Any], server: str, credentials: Iterable[Credential] = ()
) -> APIRequest:
    """The request that a call with these arguments is. ``server``: what the path is put after.

    The arguments fit the plan's input schema. Raises `ToolError` for one that can't be sent, with what to do.
    """
    operation = plan.operation
    path: dict[str, str] = {}
    query: list[str] = []
    headers: list[tuple[str, str]] = [("accept", _accepted(operation))]
    cookies: list[str] = []
    properties: dict[str, Any] = {}
    whole: Any = None
    has_whole = False
    for argument in plan.arguments:
        if argument.name not in arguments:
            continue
        value = arguments[argument.name]
        parameter = argument.parameter
        if parameter is None:
            if argument.property is None:
                whole, has_whole = value, True
            else:
                properties[argument.property] = value
            continue
        try:
            if parameter.place == "path":
                path[parameter.name] = path_part(parameter, value)
            elif value is not None:
                _put(parameter, value, query, headers, cookies)
        except Unsendable as problem:
            raise ToolError(f"the argument {argument.name!r} can't be sent: {problem}") from None
    for each in credentials:
        if each.place == "query":
            query.append(f"{quote(each.name, safe='')}={quote(each.value, safe='')}")
        elif each.place == "cookie":
            cookies.append(f"{each.name}={each.value}")
        else:
            headers.append((each.name.lower(), each.value))
    try:
        body = written_body(plan, properties, whole, has_whole)
    except Unsendable as problem:
        raise ToolError(f"the body can't be sent: {problem}") from None
    if cookies:
        headers.append(("cookie", "; ".join(cookies)))
    if body is not None:
        headers.append(("content-type", body.type))
    url = _url(operation, server, path, query)
    return APIRequest(operation.method, url, tuple(headers), None if body is None else body.data)


def _put(
    parameter: OperationParameter,
    value: Any,
    query: list[str],
    headers: list[tuple[str, str]],
    cookies: list[str],
) -> None:
    """Raises `Unsendable`."""
    if parameter.place == "query":
        query += query_pairs(parameter, value)
    elif parameter.place == "header":
        headers.append((parameter.name.lower(), header_value(parameter, value)))
    else:
        cookies += cookie_pairs(parameter, value)


def _accepted(operation: APIOperation) -> str:
    """The media types of the good answers, as a header."""
    good = [each for status, media in operation.responses.items() if status[:1] == "2" for each in media]
    types = list(dict.fromkeys(each.type.partition(";")[0].strip() for each in good))
    plain = [each for each in types if re.fullmatch(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", each)][:8]
    return ", ".join(plain) or "*/*"


def _url(operation: APIOperation, server: str, path: Mapping[str, str], query: list[str]) -> str:
    """Raises `ToolError`."""
    missing = [name for name in _VARIABLE.findall(operation.path) if name not in path]
    if missing:
        raise ToolError(f"the path {operation.path} needs {missing[0]!r}")
    pieces = _VARIABLE.split(operation.path)
    written = "".join(
        path[piece] if index % 2 else quote(piece, safe=_PATH) for index, piece in enumerate(pieces)
    )
    if any(part in (".", "..") for part in written.split("/")):
        raise ToolError("the arguments make a step upwards in the path of the API; name the thing itself")
    url = server + written + ("?" + "&".join(query) if query else "")
    if len(url) > MAX_URL:
        raise ToolError(
            f"the request's URL has {len(url)} characters, {MAX_URL} are allowed; give fewer or shorter ones"
        )
    try:
        same = parse_url(url).origin == parse_url(server).origin
    except FetchRefused as problem:
        raise ToolError(f"the arguments make no URL that can be sent: {problem}") from None
    if not same:
        raise ToolError("the arguments lead to another host than the API's; nothing was sent")
    return url
