"""One HTTP request, read within its bounds, and one answer.

Theory of operation. `read` turns an ASGI request into an `HTTPRequest` whose body was read whole, within its limits of
size and time. Forms are strict: one content type, no parameter twice (but `resource`, which RFC 8707 lets repeat), no
odd escapes. An `HTTPResponse` carries ``Cache-Control: no-store`` unless it says otherwise, and never a CORS header:
those are added in one place, for origins that the operator listed.

Specification: OAuth 2.1 sections 3.1, 3.2.3 and 4.1.1 (parameters must not repeat); RFC 6749 appendix B.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from dovetail.security import network_of

from .refusals import OAuthError, invalid_request
from .settings import Bounds

__all__ = [
    "HTTPResponse",
    "Receive",
    "HTTPRequest",
    "Scope",
    "Send",
    "json_answer",
    "read",
    "redirect",
    "send_answer",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 64
_REPEATABLE: Final = "resource"


class HTTPRequest(msgspec.Struct, frozen=True):
    """A request. `headers`: lower-case names, repeated ones joined by a comma; `path` from the root of the host."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote: str

    def __repr__(self) -> str:
        return f"Request({self.method[:16]!r}, {self.path[:128]!r})"

    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters. Raises `OAuthError`."""
        return _fields(self.query)

    def form(self) -> dict[str, list[str]]:
        """The body's fields. Raises `OAuthError`."""
        if self.media_type != _FORM:
            raise invalid_request(f"Send the parameters as {_FORM}, in the body.")
        try:
            return _fields(self.body.decode("ascii"))
        except UnicodeDecodeError:
            raise invalid_request("The form has bytes outside of ASCII; escape them.") from None

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of two with one name the first counts."""
        pairs = (part.partition("=") for part in self.headers.get("cookie", "").split(";")[:64])
        found: dict[str, str] = {}
        for name, _, value in pairs:
            found.setdefault(name.strip(), value.strip())
        return found


class HTTPResponse(msgspec.Struct, frozen=True):
    """An answer. `headers`: names in lower case."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def having(self, *headers: tuple[str, str]) -> HTTPResponse:
        """The same answer with more headers."""
        return HTTPResponse(self.status, self.body, (*self.headers, *headers))


def json_answer(value: Mapping[str, Any], status: int = 200, *, max_age: int | None = None) -> HTTPResponse:
    """An answer in JSON; only with `max_age` may anybody keep it."""
    kept = f"public, max-age={max_age}" if max_age is not None else "no-store"
    headers = (
        ("content-type", "application/json"),
        ("cache-control", kept),
        ("x-content-type-options", "nosniff"),
    )
    return HTTPResponse(status, msgspec.json.encode(value), headers)


def redirect(location: str) -> HTTPResponse:
    """Send the browser there with a GET, and without a trace of where it came from."""
    return HTTPResponse(
        303,
        headers=(("location", location), ("cache-control", "no-store"), ("referrer-policy", "no-referrer")),
    )


async def read(scope: Scope, receive: Receive, path: str, bounds: Bounds) -> HTTPRequest:
    """The whole request. Raises `OAuthError` for what is over a bound or does not arrive in time."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in _pairs(scope):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = bytes(scope.get("query_string") or b"")
    if sum(len(name) + len(value) for name, value in headers.items()) + len(query) + len(path) > bounds.head:
        raise OAuthError("invalid_request", "The head of the request is too large.", status=431)
    try:
        async with asyncio.timeout(bounds.patience):
            body = await _body(receive, headers.get("content-length", ""), bounds.body)
    except TimeoutError:
        raise OAuthError("invalid_request", "The body did not arrive in time.", status=408) from None
    client = scope.get("client")
    return HTTPRequest(
        method=str(scope["method"]),
        path=path,
        query=query.decode("latin-1"),
        headers=headers,
        body=body,
        remote=network_of(str(client[0]) if client else ""),
    )


async def send_answer(send: Send, answer: HTTPResponse, *, head: bool = False) -> None:
    """Send it whole; `head`: without its body."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def _pairs(scope: Scope) -> Iterable[tuple[bytes, bytes]]:
    return scope.get("headers") or ()


async def _body(receive: Receive, declared: str, limit: int) -> bytes:
    if declared.isdecimal() and int(declared[:12]) > limit:
        raise _too_large(limit)
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise OAuthError("invalid_request", "The client went away.", status=400)
        body += event.get("body") or b""
        if len(body) > limit:
            raise _too_large(limit)
        if not event.get("more_body"):
            return bytes(body)


def _too_large(limit: int) -> OAuthError:
    return OAuthError("invalid_request", f"The body has more than {limit} bytes.", status=413)


def _fields(text: str) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise invalid_request(f"The parameters can't be read, or are more than {_MAX_FIELDS}.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in found and name != _REPEATABLE:
            raise invalid_request("A parameter comes twice; each may come once only.")
        if "\0" in value:
            raise invalid_request("A parameter has a character that none may have.")
        if value:  # a parameter without a value counts as left out
            found.setdefault(name, []).append(value)
    return found
