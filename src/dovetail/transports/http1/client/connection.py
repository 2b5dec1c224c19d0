"""One HTTP/1.1 connection of a client. httptools parses.

Theory of operation. A connection carries one request at a time. Its head and body leave in one write unless the body
is large; the answer is taken apart where the event loop hands the bytes over, so that an answer that comes whole costs
its caller one wake-up and no task, timer or queue.

A connection is used again only if nothing about it is in doubt: the answer had an end of its own, neither side said
that it closes, the request was sent completely, and not a byte came that belongs to no answer, now or while it waits:
such bytes would be taken for the answer to the next request. In any other case it is closed. Whether something has
come that the event loop has not handed over yet, the system is asked right before (`HTTPClientConnection.quiet`).

A connection feeds its `HTTP1Response` while that is on its way; once it is whole the two part, and what is yet to be
read waits in the answer, so that the connection is free for the next request. What is there is read without any wait.

An answer that comes whole, with the head of the one before it, is not parsed again (`repeated_heads`).

What is kept is bounded: the head, and whatever else is no body (interim answers, trailers, the framing of chunks) by
`HEAD_LIMIT`; of the body `WAITING` bytes that nobody has asked for, then the server has to wait.
Specification: RFC 9112; RFC 9110 sections 6.4, 8.4 and 15.2.
"""

import asyncio
import math
import re
import select
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, cast

from ....protocol.errors import ConnectionLost
from .bodies import Unpacker, unpacker_for
from .repeated_heads import BODILESS, RepeatedAnswerHead

try:
    import httptools
except ImportError:
    raise ImportError("talking HTTP needs httptools: pip install 'dovetail[client]'") from None

__all__ = ["HEAD_LIMIT", "WAITING", "HTTP1Response", "HTTPClientConnection", "shortened"]

HEAD_LIMIT: Final = 64 * 1024
"""Bytes that a head may have, and what else of an answer is no body before there is some (64 KiB)."""

WAITING: Final = 256 * 1024
"""Bytes of a body that wait to be asked for before the server has to wait (256 KiB)."""

_HEAD_LINES: Final = 200
#: Up to how many bytes a body is joined to its head; what is larger leaves in pieces of so many.
_JOINED: Final = 64 * 1024
_PIECE: Final = 256 * 1024
_MAX_NAMES: Final = 512
_MAX_NAME: Final = 64
_SWITCHING: Final = 101
_CHUNKED: Final = "chunked"
_CODINGS: Final = (_CHUNKED, "identity")
_TIMEOUT: Final = re.compile(r"\btimeout\s*=\s*([0-9]{1,9})\b", re.IGNORECASE)
_IDENTITY: Final = ("", "identity")
_BAD_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: What a client is to take, or may, and common ones do: folded lines, lines without CR, spaces after a chunk's size.
_LENIENT: Final = {
    "lenient_headers": True,
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}

_names: Final[dict[bytes, str]] = {}


class _Improper(Exception):
    """An answer is not HTTP as we take it."""


class HTTP1Response:
    """The answer to one request, a `http_backend.BackendResponse` once it has ``begun``.

    ``failure``: why it will not begin. ``heard``: something of it has come.
    """

    __slots__ = (
        "_connection",
        "_cut",
        "_done",
        "_held",
        "_loop",
        "_pieces",
        "_shown",
        "_unpacker",
        "_waiter",
        "begun",
        "bodiless",
        "failure",
        "headers",
        "heard",
        "status",
    )

    def __init__(
        self, connection: "HTTPClientConnection", loop: asyncio.AbstractEventLoop, shown: str
    ) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.failure: ConnectionLost | None = None
        self.heard = self.bodiless = self._done = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection: HTTPClientConnection | None = connection
        self._loop = loop
        self._shown = shown
        self._pieces: list[bytes] = []
        self._held = 0
        self._cut = ""
        self._waiter: asyncio.Future[None] | None = None
        self._unpacker: Unpacker | None = None

    # What the caller says

    async def read(self) -> bytes:
        """See `http_backend.BackendResponse.read`."""
        while True:
            unpacker = self._unpacker
            if self._pieces or (unpacker is not None and unpacker.fed):
                piece = self._next() if unpacker is None else self._unpacked(unpacker)
                if piece:
                    return piece
            elif self._cut or (self._done and unpacker is not None and not unpacker.whole):
                raise self._cut_off(self._cut or "its compressed body has no end")
            elif self._done:
                return b""
            else:
                await self._more()

    def whole(self, most: int) -> bytes | None:
        """See `http_backend.WholeResponse.whole`."""
        if not self._done or self._unpacker is not None or self._cut or self._held > most:
            return None
        return self._next() if self._pieces else None

    @property
    def ended(self) -> bool:
        """See `http_backend.BackendResponse.ended`."""
        return self._done and not self._pieces and (self._unpacker is None or self._unpacker.whole)

    def close(self) -> None:
        """See `http_backend.BackendResponse.close`."""
        connection = self._connection
        if connection is not None:
            self.cut("it was let go")
            connection.discard()
        self._pieces.clear()

    def _next(self) -> bytes:
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._connection is not None:
            self._connection.go_on()
        return piece

    def _unpacked(self, unpacker: Unpacker) -> bytes:
        try:
            return unpacker.feed(b"" if unpacker.fed else self._next())
        except zlib.error as problem:
            self.close()
            self._cut = f"its compressed body is broken: {problem}"
            raise self._cut_off(self._cut) from None

    async def _more(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _cut_off(self, reason: str) -> ConnectionLost:
        return ConnectionLost(f"the answer of {self._shown} was cut off ({reason})")

    # What the connection says

    def begin(self) -> None:
        """The head is there."""
        encoding = self.headers.get("content-encoding")
        if encoding is not None and encoding not in _IDENTITY:
            try:
                self._unpacker = unpacker_for(encoding)
            except zlib.error as problem:
                self._cut = str(problem)
        if not self.begun.done():
            self.begun.set_result(None)

    def came(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """All of it is there, as it was sent."""
        self.status = status
        self.headers = headers
        if body:
            self._pieces.append(body)
            self._held = len(body)
        self._done = True
        self._connection = None
        if not self.begun.done():
            self.begun.set_result(None)

    def feed(self, data: bytes) -> bool:
        """Some of the body. Returns whether the server should wait."""
        if self._cut:
            return False
        self._pieces.append(data)
        self._held += len(data)
        self._wake()
        return self._held > WAITING

    def end(self) -> None:
        """All of it is there."""
        self._done = True
        self._connection = None
        self._wake()

    def fail(self, failure: ConnectionLost) -> None:
        """It will not begin."""
        self.failure = failure
        self._connection = None
        if not self.begun.done():
            self.begun.set_result(None)

    def cut(self, reason: str) -> None:
        """The rest of it will not come."""
        self._cut = self._cut or reason
        self._connection = None
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class HTTPClientConnection(asyncio.Protocol):
    """One connection. ``since``: when it was last used, in the loop's time; infinite while it is in use.

    ``idle`` is the list of its place where it waits. ``kept``: seconds for which the server keeps it, as far as it
    said. ``free`` and ``gone`` tell the pool that the connection can be used again, and that it is closed.
    """

    __slots__ = (
        "_answer",
        "_dry",
        "_free",
        "_gone",
        "_heading",
        "_interim",
        "_last",
        "_lines",
        "_loop",
        "_openended",
        "_over",
        "_parser",
        "_partial",
        "_repeated",
        "_room",
        "_stopped",
        "_transport",
        "_unread",
        "idle",
        "kept",
        "shown",
        "since",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        shown: str,
        idle: "list[HTTPClientConnection]",
        *,
        free: "Callable[[HTTPClientConnection], None]",
        gone: "Callable[[HTTPClientConnection], None]",
    ) -> None:
        self.shown = shown
        self.idle = idle
        self.kept = self.since = math.inf
        self._loop = loop
        self._free = free
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._unread: Callable[[int], object] = bool  # until there is a socket to look at
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENT)
        self._answer: HTTP1Response | None = None
        self._repeated: RepeatedAnswerHead | None = None
        self._room: asyncio.Future[None] | None = None
        self._dry = self._lines = 0
        self._heading = self._interim = self._last = self._openended = False
        self._over = self._partial = self._stopped = False

    # What the pool says

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        transport = self._transport
        return transport is not None and not transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Whether it is `usable`, and nothing lies unread that the server said since: most often that it closes."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and not self._unread(0)

    def send(self, head: bytes, body: bytes | None, *, bodiless: bool) -> HTTP1Response:
        """Send a request, or the beginning of a large one: then `send_rest` has to be awaited.

        ``bodiless``: its answer will be (HEAD).
        """
        transport: Any = self._transport
        answer = self._answer = HTTP1Response(self, self._loop, self.shown)
        answer.bodiless = bodiless
        self.since = math.inf
        self._dry = 0
        if body is None:
            transport.write(head + b"\r\n")
        elif len(body) <= _JOINED:
            transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            self._partial = True
            transport.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
        return answer

    @property
    def partial(self) -> bool:
        """Whether there is more of the request to send."""
        return self._partial

    async def send_rest(self, answer: HTTP1Response, body: bytes) -> None:
        """Send a large body at the server's pace, as far as it takes it: it may answer, or leave, before."""
        for at in range(0, len(body), _PIECE):
            while self._room is not None and not answer.begun.done():
                await asyncio.wait((self._room, answer.begun), return_when=asyncio.FIRST_COMPLETED)
            if answer.begun.done() or self._transport is None:
                return
            self._transport.write(body[at : at + _PIECE])
        self._partial = False

    def go_on(self) -> None:
        """There is room for more of the body."""
        if self._stopped:
            self._stopped = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def drop(self) -> None:
        """Close it; whoever waits for an answer on it is told."""
        self._end("the connection was closed")
        self.discard()

    def discard(self) -> None:
        """Close it: nothing more is sent or taken, nobody is told."""
        transport = self._transport
        if transport is not None:
            self._answer = None
            transport.abort()

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._unread = _look(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Something came: most often one whole answer."""
        answer = self._answer
        if answer is None:
            self.discard()  # nobody asked for that
            return
        fresh = not answer.heard and not answer.bodiless
        if fresh and self._repeated is not None:
            found = self._repeated.read(data)
            if found is not None:
                self._came(answer, self._repeated, *found)
                return
        answer.heard = True
        self._dry += len(data)
        try:
            self._parser.feed_data(data)
            if self._dry > HEAD_LIMIT and self._answer is not None:
                raise _Improper("what is around its body has no end")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _Improper) as problem:
            self._misread(problem)
        if self._over:
            self._over = False
            if fresh and not self._last:
                self._repeated = RepeatedAnswerHead.of(data, answer.status, answer.headers)
            self._finish()

    def eof_received(self) -> bool:
        """The server sends no more."""
        self._end("")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._end("" if exc is None else str(exc) or type(exc).__name__)
        self._transport = None
        self._gone(self)

    def pause_writing(self) -> None:
        """The server is slow to read."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """The server has read."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What the parser says

    def on_message_begin(self) -> None:
        """The first byte of an answer, be it interim."""
        if self._answer is None:
            self._last = True  # the second answer to one request
        self._heading = True
        self._lines = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head, or a trailer."""
        answer = self._answer
        if answer is None:
            return
        self._lines += 1
        if self._lines > _HEAD_LINES:
            raise _Improper("it has too many headers")
        text = value.decode("utf-8", "surrogateescape").rstrip(" \t")
        if not text.isprintable() and _BAD_VALUE.search(text):
            raise _Improper("one of its headers holds characters that HTTP does not carry")
        if not self._heading:
            return  # nobody asks for trailers
        known = _names.get(name) or _named(name)
        headers = answer.headers
        headers[known] = f"{headers[known]}, {text}" if known in headers else text

    def on_headers_complete(self) -> None:
        """The whole head: the answer begins, unless it is interim."""
        self._heading = False
        answer = self._answer
        if answer is None:
            return
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            if status == _SWITCHING or status < 100:
                raise _Improper(f"nobody asked for status {status}")
            self._interim = True
            answer.headers.clear()
            return
        headers = answer.headers
        if self._dry > HEAD_LIMIT and _size(headers) > HEAD_LIMIT:
            raise _Improper("its head is too long")
        coding = headers.get("transfer-encoding")
        if coding is not None:
            coding = coding.lower()
            if coding not in _CODINGS:
                raise _Improper("its transfer encoding was not asked for")
        bodiless = answer.bodiless or status in BODILESS
        self._openended = coding != _CHUNKED and "content-length" not in headers and not bodiless
        if not parser.should_keep_alive() or answer.bodiless:
            self._last = True
        if "keep-alive" in headers:
            self.kept = _kept(headers["keep-alive"])
        answer.status = status
        answer.begin()
        if answer.bodiless:
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        """Some of the body."""
        self._dry = 0
        answer = self._answer
        if answer is not None and answer.feed(data) and not self._stopped:
            self._stopped = True
            cast("asyncio.Transport", self._transport).pause_reading()

    def on_message_complete(self) -> None:
        """The end of an answer, be it interim."""
        if self._interim:
            self._interim = False
            return
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end()
            self._over = True

    # Ends

    def _came(
        self, answer: HTTP1Response, head: RepeatedAnswerHead, headers: dict[str, str], body: bytes
    ) -> None:
        """A whole answer, of which the parser knows no more."""
        self._answer = None
        answer.heard = True
        answer.came(head.status, headers, body)
        self._finish()

    def _finish(self) -> None:
        """The answer is complete."""
        transport = self._transport
        if (
            self._last
            or self._partial
            or transport is None
            or self._room is not None
            or transport.get_write_buffer_size()
            or transport.is_closing()
        ):
            self.discard()
            return
        if self._stopped:
            self.go_on()
        self._free(self)

    def _misread(self, problem: Exception) -> None:
        """The answer, or what came after it, is not HTTP; ``problem`` may be what a callback of ours raised."""
        self._last = True
        cause = problem.__context__
        if isinstance(problem, httptools.HttpParserCallbackError) and cause is not None:
            problem = cause if isinstance(cause, Exception) else problem
        if isinstance(problem, httptools.HttpParserUpgrade):
            problem = _Improper("it changes the protocol")
        answer = self._answer
        if answer is None:
            return  # it was whole before
        reason = shortened(str(problem)) or type(problem).__name__
        if answer.begun.done():
            answer.cut(reason)
        else:
            answer.fail(ConnectionLost(f"{self.shown} did not answer in proper HTTP: {reason}"))
        self.discard()

    def _end(self, reason: str) -> None:
        """Nothing more will come."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not answer.status:
            answer.fail(ConnectionLost(f"{self.shown} ended the connection before it answered"))
        elif self._openended and not reason:
            answer.end()
        else:
            answer.cut(shortened(reason) or "the server ended the connection")


def shortened(text: str) -> str:
    """The start of a text from elsewhere as one line, at most 200 characters."""
    plain = "".join(character if character.isprintable() else " " for character in text[:200])
    return " ".join(plain.split())


def _look(sock: Any) -> Callable[[int], object]:
    """What tells, given a time to wait, whether a socket has something to read."""
    if sock is None:
        return bool
    if sys.platform == "win32":
        return lambda seconds: select.select((sock,), (), (), seconds)[0]
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll.poll


def _kept(told: str) -> float:
    """Seconds for which a connection may wait by a Keep-Alive header, less one for the way there."""
    found = _TIMEOUT.search(told)
    return math.inf if found is None else max(0.0, float(found[1]) - 1)


def _size(headers: dict[str, str]) -> int:
    return sum([len(name) + len(value) for name, value in headers.items()])


def _named(name: bytes) -> str:
    """The name of a header as we know it. The few that servers use are made once."""
    known = name.decode("utf-8", "surrogateescape").lower().rstrip(" \t")
    if len(name) <= _MAX_NAME:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[name] = known
    return known
