"""What an HTTP answer means that is not simply the message asked for: errors, redirects, pages of HTML.

Theory of operation. The body of a refusal is read up to a small bound. If it is a JSON-RPC error it is the
answer; if not, the status decides which typed error is raised, with the start of the body as plain text: no
markup, no control characters, nothing that we sent as a credential. Redirects are refused, since headers of
the caller's own would go where they lead.
Specification: 2025-11-25 basic/transports; 2026-07-28 basic/transports/streamable-http; RFC 9110 sections
10.2.3 and 15.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urljoin, urlsplit

from ...protocol import envelope, names
from ...protocol.bindings.headers import is_json_content_type
from ...protocol.envelope import Kind, Malformed, Message
from ...protocol.errors import (
    INVALID_REQUEST,
    ConnectionLost,
    HTTPStatusError,
    LoginRequired,
    MessageTooLarge,
    RemoteProtocolError,
    TransportError,
)
from ...protocol.types.requests import RequestId
from ..http1.client.http_backend import BackendResponse

__all__ = [
    "ERROR_BODY",
    "EndpointResponse",
    "denies_session",
    "excerpt",
    "is_event_stream",
    "is_json",
    "malformed",
    "read_body",
    "read_out",
    "read_refusal",
    "refusal",
    "retry_after",
    "rpc_refusal",
    "wants_scopes",
]

ERROR_BODY: Final = 1024 * 1024
"""Bytes of the body of a refusal that are read; a JSON-RPC error is smaller (1 MiB)."""

_AT_ONCE: Final = 256 * 1024
_TRAILING_TIME: Final = 1.0
_TRAILING_BYTES: Final = 64 * 1024
_EXCERPT: Final = 300
_EXCERPT_RAW: Final = 8 * 1024
_CHALLENGE: Final = 8 * 1024
_MAX_RETRY_AFTER: Final = 24 * 3600.0
_SECRET_LENGTH: Final = 6
_HIDDEN: Final = re.compile(r"<(script|style)\b[^>]*>[^<]*", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>")
_NO_SESSION: Final = re.compile(
    r"\b(?:no|missing|invalid|unknown|expired|bad)\s+"
    r"(?:(?:or|and|valid|missing|invalid|expired|unknown|active|such|known|mcp)\s+)*(?:mcp-)?session"
    r"|\bsession(?:[- ]?id)?\b[\w\s'\"`:-]{0,80}?\b"
    r"(?:not found|not valid|invalid|unknown|expired|missing|required|not exist|terminated|closed|gone)\b"
    r"|\bnot (?:been )?initiali[sz]ed\b",
    re.IGNORECASE,
)
_WANTS_SCOPES: Final = re.compile(r'\berror\s*=\s*"?insufficient_scope\b', re.IGNORECASE)
#: Codes of JSON-RPC that mean what a server says they mean.
_FREE_CODES: Final = range(-32019, -31999)
_ONLY_LATER: Final = frozenset({429, 502, 503, 504})


class EndpointResponse:
    """A `BackendResponse`, with what was ``sent`` to get it: all headers that may hold a secret.

    Bytes that a small compressed body swells to are there without any wait, so whoever reads them would never
    let go of the event loop: `read` does so for them now and then.
    """

    __slots__ = ("_body", "_response", "_size", "headers", "sent", "status")

    def __init__(self, response: BackendResponse, sent: Mapping[str, str]) -> None:
        self.status: Final = response.status
        self.headers: Final = response.headers
        self.sent: Final = sent
        self._response = response
        self._body: bytes | None = None
        self._size = 0

    async def read(self) -> bytes:
        """Bytes of the body as they come; see `BackendResponse.read`."""
        if self._body is None:
            piece = await self._response.read()
            self._size += len(piece)
            if self._size > _AT_ONCE:
                self._size = 0
                await asyncio.sleep(0)
            return piece
        body, self._body = self._body, b""
        return body

    def whole(self, most: int) -> bytes | None:
        """See `WholeResponse.whole`; None where the response can't be asked."""
        take: Callable[[int], bytes | None] | None = getattr(self._response, "whole", None)
        return None if take is None or self._body is not None else take(most)

    async def finish(self) -> None:
        """Read a refusal and let go of its connection; `read` gives the body nevertheless."""
        try:
            self._body = await read_refusal(self)
        finally:
            self._response.close()

    @property
    def ended(self) -> bool:
        """See `BackendResponse.ended`."""
        return self._response.ended if self._body is None else not self._body

    def close(self) -> None:
        """See `BackendResponse.close`."""
        self._response.close()


def is_event_stream(response: BackendResponse) -> bool:
    """Whether the body is declared as server-sent events."""
    kind = response.headers.get("content-type", "")
    return kind != names.MEDIA_JSON and kind.partition(";")[0].strip().lower() == names.MEDIA_SSE


def is_json(response: BackendResponse) -> bool:
    """Whether the body is declared as JSON."""
    kind = response.headers.get("content-type")
    return kind == names.MEDIA_JSON or is_json_content_type(kind)


async def read_body(response: BackendResponse, limit: int, where: str) -> bytes:
    """The whole body. Raises `MessageTooLarge` beyond ``limit`` bytes, at once if the length is announced."""
    announced = response.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and len(announced) < 20 and int(announced) > limit:
        raise MessageTooLarge(
            f"the answer of {where} has {announced} bytes; the limit is {limit} (see max_message)"
        )
    pieces: list[bytes] = []
    size = 0
    while piece := await response.read():
        size += len(piece)
        if size > limit:
            raise MessageTooLarge(f"the answer of {where} has more than {limit} bytes (see max_message)")
        pieces.append(piece)
        if response.ended:
            break
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def read_refusal(response: BackendResponse) -> bytes:
    """The body of a refusal, as far as it arrives and fits: the status counts even if the body is cut off."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < ERROR_BODY and (piece := await response.read()):
            pieces.append(piece)
            size += len(piece)
    except ConnectionLost:
        pass
    return b"".join(pieces)[:ERROR_BODY]


def rpc_refusal(response: BackendResponse, body: bytes, id: RequestId | None) -> Message | None:
    """The JSON-RPC error in a refusal, under the id of the request; None if the body is something else.

    An error without an id counts too, since the connection says what it answers; but a status that asks to
    come back later says more than it. Common servers leave out the content type here, so it is not asked for.
    """
    if body.lstrip(b" \t\r\n")[:1] != b"{":
        return None
    try:
        message = envelope.read(body)
        if message.kind is not Kind.ERROR:
            return None
        envelope.read_error(message.body)
    except Malformed:
        return None
    if message.id != id and id is not None:
        message = envelope.under_number(message, (id,)) or message
    if message.id == id:
        return message
    if message.id is not None or response.status in _ONLY_LATER:
        return None
    return Message(Kind.ERROR, id, body=message.body)


def denies_session(body: bytes) -> bool:
    """Whether the body of a 400 says that the session is none: in a JSON-RPC error of a code that servers are free to
    use, or in words. The specification has 404 for that; much that was written to the examples of its first SDK answers
    400 to a session that is not in its table.
    """
    said = excerpt(body)
    if body.lstrip(b" \t\r\n")[:1] == b"{":
        try:
            message = envelope.read(body)
            error = envelope.read_error(message.body) if message.kind is Kind.ERROR else None
        except Malformed:
            error = None
        if error is not None:
            if error.code not in _FREE_CODES and error.code != INVALID_REQUEST:
                return False
            said = error.message[:_EXCERPT]
    return _NO_SESSION.search(said) is not None


def wants_scopes(challenge: str) -> bool:
    """Whether a challenge asks for a token with more scopes; only then is 403 a matter of authorization to us."""
    return _WANTS_SCOPES.search(challenge) is not None


def refusal(
    response: BackendResponse, body: bytes, *, url: str, where: str, secrets: Iterable[str] = ()
) -> TransportError:
    """The typed error for an answer that is not one of the protocol's."""
    status = response.status
    said = excerpt(body, secrets)
    challenge = response.headers.get("www-authenticate", "")[:_CHALLENGE]
    if status == 401 or (status == 403 and wants_scopes(challenge)):
        need = "asks for authorization" if status == 401 else "asks for more scopes"
        return LoginRequired(
            f"{where} {need} (HTTP {status})", status=status, challenge=challenge, excerpt=said
        )
    wait = retry_after(response.headers.get("retry-after"))
    if 300 <= status < 400:
        leads = _shown_location(url, response.headers.get("location", ""))
        text = (
            f"{where} redirects{leads} (HTTP {status}). Redirects are not followed, because headers of yours"
        )
        text += " would go there; if that is right, use that URL"
    elif 200 <= status < 300:
        kind = excerpt(response.headers.get("content-type", "nothing").encode(), secrets)[:60]
        text = f"{where} answered HTTP {status} with {kind} where a JSON-RPC message was due;"
        text += " is this an MCP endpoint?"
    else:
        allowed = "; it does not allow this" if status == 403 else ""
        text = f"{where} answered HTTP {status}{allowed}"
        if wait is not None:
            text += f"; it asks to wait {wait:g} s"
    if said and not 300 <= status < 400:
        text += f": {said}"
    return HTTPStatusError(text, status=status, excerpt=said, retry_after=wait)


def _shown_location(url: str, location: str) -> str:
    try:
        parts = urlsplit(urljoin(url, location[:2000]))
    except ValueError:
        return ""
    if not location or not parts.hostname:
        return ""
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f" to {excerpt(shown.encode(), ())}"


def excerpt(body: bytes, secrets: Iterable[str] = ()) -> str:
    """The start of a body as one line of plain text, at most 300 characters."""
    text = body[:_EXCERPT_RAW].decode("utf-8", "replace")
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, "***")
    text = _TAG.sub(" ", _HIDDEN.sub(" ", text))
    plain = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return plain if len(plain) <= _EXCERPT else plain[: _EXCERPT - 3] + "..."


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait, by number or by date, at most a day."""
    if value is None or len(value) > 60:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(0.0, until - time.time()), _MAX_RETRY_AFTER)


def malformed(where: str, problem: Malformed) -> RemoteProtocolError:
    """The error for an answer that is no legal message."""
    return RemoteProtocolError(f"the answer of {where} is malformed: {problem}")


async def read_out(response: BackendResponse) -> None:
    """Read what little may follow the last message of a stream, so that its connection is free again."""
    size = 0
    try:
        async with asyncio.timeout(_TRAILING_TIME):
            while size < _TRAILING_BYTES and (piece := await response.read()):
                size += len(piece)
    except (TimeoutError, ConnectionLost):
        pass
    response.close()
