"""The head of a request, read in one pass.

Headers that come once are kept as they are. A header that comes twice is joined by a comma, as HTTP has it,
and noted: those of which two readers could each believe another one are refused. Specification: RFC 9110,
sections 5.2 and 5.3; 2026-07-28 basic/transports/streamable-http "Request Metadata".
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Final

from ...protocol import names
from ...protocol.bindings.headers import check_stated
from ...protocol.call import MessageRefused
from ...protocol.envelope import Kind, Message
from ...protocol.errors import HeaderMismatch
from ...protocol.revisions import PROFILES
from ...security.authenticator import Credentials
from ...security.callers import HERE
from .answering import HeaderList, HTTPRefusal, Scope
from .holding import HeldBytes

VERSION: Final = names.HEADER_PROTOCOL_VERSION
_VERSION: Final = VERSION.encode()
METHOD: Final = names.HEADER_METHOD.encode()
NAME: Final = names.HEADER_NAME.encode()
SESSION: Final = names.HEADER_SESSION.encode()
LAST_EVENT_ID: Final = names.HEADER_LAST_EVENT_ID.encode()
_MIRROR_PREFIX: Final = names.HEADER_PREFIX.encode()
_ONCE: Final = frozenset(
    {b"content-length", b"content-encoding", b"transfer-encoding", SESSION, LAST_EVENT_ID}
)
_REVISIONS: Final = {revision.encode(): revision for revision in PROFILES}
_WITHHELD: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


class Head:
    """What is said before the body. ``revision`` is what the version header says, None without one; ``repeated``:
    which headers come more than once, None without any; ``extra`` goes into every answer. ``remote``: the address of
    the peer, where the server knows one; ``caller``: whom the request counts for; ``held``: what it holds of that
    caller's bytes.
    """

    __slots__ = ("_scope", "caller", "extra", "headers", "held", "method", "remote", "repeated", "revision")

    def __init__(self, scope: Scope) -> None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        if type(sent) is not list:
            sent = list(sent)
        headers = dict(sent)
        self._scope = scope
        self.repeated: set[bytes] | None = None
        if len(headers) != len(sent):
            headers, self.repeated = _joined(sent)
        version = headers.get(_VERSION)
        self.headers = headers
        self.revision: str | None = None
        if version is not None:
            self.revision = _REVISIONS.get(version) or version.decode("latin-1").strip(" \t")
        self.method: str = scope["method"]
        self.extra: HeaderList = ()
        client = scope.get("client")
        self.remote: str | None = client[0] if client else None
        self.caller: Hashable = HERE
        self.held: HeldBytes | None = None

    @property
    def routing(self) -> dict[str, bytes]:
        """The headers that repeat the body."""
        return {
            name.decode("latin-1"): value
            for name, value in self.headers.items()
            if name.startswith(_MIRROR_PREFIX)
        }

    def credentials(self) -> Credentials:
        """What the request shows of its sender, for an `Authenticator`."""
        scope = self._scope
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        host = self.headers.get(b"host", b"")
        url = (
            scope.get("scheme", "http").encode()
            + b"://"
            + host
            + raw
            + (b"?" + self.query if self.query else b"")
        )
        shown = tuple(value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization")
        mount: str = scope.get("root_path") or ""
        headers = PlainHeaders(self.headers)
        return Credentials(shown, self.method, url.decode("latin-1"), headers, mount, self.remote or "")

    @property
    def query(self) -> bytes:
        """The query string, as sent."""
        return self._scope.get("query_string") or b""

    def check_repeated(self) -> None:
        """Raise `HTTPRefusal` when a header that must stand alone comes more than once."""
        for name in sorted(self.repeated or ()):
            if name.startswith(_MIRROR_PREFIX):
                raise HTTPRefusal(
                    400, HeaderMismatch(f"Header mismatch: {_shown(name)} is sent more than once")
                )
            if name in _ONCE:
                raise HTTPRefusal(400, f"the header {_shown(name)} is sent more than once")

    @property
    def routes(self) -> bool:
        """Whether headers say what the body is about."""
        return METHOD in self.headers or NAME in self.headers

    def check_stated(self, message: Message) -> None:
        """Raise `MessageRefused` when a header that repeats the body, and need not be there, contradicts the
        message.
        """
        headers = self.headers
        if METHOD not in headers and NAME not in headers:
            return
        try:
            check_stated(self.routing, method=message.method, params=message.params)
        except HeaderMismatch as mismatch:
            raise MessageRefused(mismatch, message.id, silent=message.kind is not Kind.REQUEST) from None

    def declared_length(self, limit: int) -> int | None:
        """The length that the head declares. Raises `HTTPRefusal`: 400 when it makes no sense, 413 when it is too
        large.
        """
        headers = self.headers
        value = headers.get(b"content-length")
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if value is not None:
                raise HTTPRefusal(400, "a request declares either a length or a transfer coding, not both")
            if coding.strip().lower() != b"chunked":
                raise HTTPRefusal(415, "the only transfer coding that is taken is chunked")
        if value is None:
            return None
        if len(value) > 19 or not value.isdigit():
            raise HTTPRefusal(400, "the header content-length is not a number of bytes")
        length = int(value)
        if length > limit:
            raise too_large(limit)
        return length


def _joined(sent: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], set[bytes]]:
    """Headers of which some come twice, and which those are."""
    headers: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in sent:
        if name in headers:
            repeated.add(name)
            headers[name] += b", " + value
        else:
            headers[name] = value
    return headers, repeated


class PlainHeaders(Mapping[str, str]):
    """The headers of a request for a handler to look at: lower-case names, without credentials. Decoded when
    asked for.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._headers = headers

    def __getitem__(self, key: str) -> str:
        name = key.lower().encode("latin-1", "replace")
        if name in _WITHHELD:
            raise KeyError(key)
        return self._headers[name].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._headers if name not in _WITHHELD)

    def __len__(self) -> int:
        return sum(name not in _WITHHELD for name in self._headers)


CLOSE: Final = ((b"connection", b"close"),)


def too_large(limit: int) -> HTTPRefusal:
    """The refusal (413) of a body."""
    return HTTPRefusal(413, f"the body is larger than the {limit} bytes that are taken", headers=CLOSE)


def _shown(name: bytes) -> str:
    return ascii(name[:60].decode("latin-1"))
