"""Where an HTTP client goes, and what it says there: the URL taken apart, and the caller's own headers.

Theory of operation. User name and password leave the URL at once and become an Authorization header, so that
no log or error can show them; a query may hold a key, so it is never shown either. Headers given by the
caller are checked once for what could change the framing or the protocol, and a callable is asked again for
every request, for credentials that change.
Specification: 2025-11-25 basic/authorization "Access Token Usage" (credentials on every request); RFC 9110
section 5.5.
"""

import base64
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ...protocol import names
from ...protocol.errors import LocalProtocolError

__all__ = ["HeaderSource", "EndpointURL", "caller_headers", "checked", "same_origin"]

HeaderSource = Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
"""Headers of the caller's own, or a function (async or not) that gives them, asked for each request."""

_UNIX: Final = "http+unix://"
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MAX_VALUE: Final = 16 * 1024
_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        names.HEADER_PROTOCOL_VERSION,
        names.HEADER_SESSION,
        names.HEADER_METHOD,
        names.HEADER_NAME,
        names.HEADER_LAST_EVENT_ID,
    }
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class EndpointURL:
    """One MCP endpoint. ``url`` has no user information and no fragment; ``shown`` is fit for logs.

    Takes ``http://`` and ``https://`` URLs, and ``http+unix:///path/to.sock:/mcp`` for HTTP over a unix
    socket. Raises `LocalProtocolError` for anything else.
    """

    def __init__(self, url: str, *, unix_socket: str | None = None) -> None:
        if url[: len(_UNIX)].lower() == _UNIX:
            socket, colon, path = url[len(_UNIX) :].partition(":/")
            if not socket.startswith("/") or not colon:
                raise LocalProtocolError("a URL for a unix socket looks like http+unix:///path/to.sock:/mcp")
            unix_socket, url = unquote(socket), f"http://localhost/{path}"
        parts = _parsed(url)
        self.unix_socket: Final = unix_socket
        self.url: Final = urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, "")
        )
        self.authorization: Final = _basic(parts)
        at = f"{parts.netloc.rpartition('@')[2]}{parts.path or '/'}{'?...' if parts.query else ''}"
        self.shown: Final = (
            f"{parts.scheme}://{at}" if unix_socket is None else f"unix socket {unix_socket}: {parts.path}"
        )


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in _DEFAULT_PORTS and parts.hostname and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    if not valid or any(character.isspace() or not character.isprintable() for character in url.strip()):
        raise LocalProtocolError(
            "the address of a server is a URL of the form http://host[:port]/path or https://..."
        )
    return parts


def _basic(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    try:
        return _origin_of(one) == _origin_of(other)
    except ValueError:
        return False


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


async def caller_headers(source: HeaderSource | None, target: EndpointURL) -> list[tuple[str, str]]:
    """The caller's headers for one request, checked; with the credentials of the URL unless they have some.

    Raises `LocalProtocolError` for a header that is ours to set, or that HTTP cannot carry; values are never
    quoted.
    """
    if callable(source):
        answer = source()
        given = await answer if inspect.isawaitable(answer) else answer
    else:
        given = source or {}
    headers = checked(given)
    if target.authorization is not None and all(name != "authorization" for name, _ in headers):
        headers.append(("authorization", target.authorization))
    return headers


def checked(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers with their names in lower case. Raises `LocalProtocolError` as `caller_headers` does."""
    return [(_checked(name, value), value) for name, value in given.items()]


def _checked(name: str, value: str) -> str:
    lower = name.lower()
    if not _NAME.fullmatch(name):
        raise LocalProtocolError(f"{name[:40]!a} is not the name of an HTTP header")
    if lower in _OURS or lower.startswith(names.HEADER_PARAM_PREFIX):
        raise LocalProtocolError(f"the header {lower} is set by the protocol; remove it from headers")
    if len(value) > _MAX_VALUE or not _VALUE.fullmatch(value):
        raise LocalProtocolError(
            f"the value of header {lower} is too long, or holds characters that HTTP does not carry"
        )
    return lower
