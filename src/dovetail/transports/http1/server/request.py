"""One request of a connection as ASGI has it: its scope, what is received of it, what is sent in return.

The head of an answer waits for the first part of the body and leaves with it, as ASGI asks. An answer whose length is
not told in its head goes in chunks, or to a client of HTTP/1.0 until the connection closes. For the rest of a request's
life see `connection`.

Specification: ASGI 3.0, "HTTP"; RFC 9112, sections 6, 7 and 9.6; RFC 9110, sections 8.6 and 10.1.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final, Protocol, cast

from ....logs import get_logger
from ...http_server.answering import Event, Pushing, Receive, Scope, Send

log = get_logger("dovetail.http")
access: Final = logging.getLogger("uvicorn.access")

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Up to how many bytes what leaves together is joined; larger bodies are not copied for it.
_JOINED: Final = 64 * 1024
_BODILESS: Final = frozenset({204, 304})
_DISCONNECT: Final = "http.disconnect"
_EXPECT: Final = (b"expect", b"100-continue")
_CLOSE: Final = b"connection: close\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
#: For SO_LINGER: what is not sent is dropped, and a reset goes out.
_AT_ONCE: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class AnswerAborted(Exception):
    """The application wants no answer, or no more of one: the connection is broken off as it stands."""


class RequestServer(Protocol):
    """What all connections of a server share, as a request sees it."""

    logs_access: bool

    def head(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], framing: dict[bytes, bytes]
    ) -> list[bytes]:
        """The lines of an answer's head, but for those that tell where it ends. Raises ValueError for what can't be in
        one.
        """
        ...

    def forget(self, task: asyncio.Task[None] | None) -> None:
        """A request is over."""
        ...


class RequestConnection(Protocol):
    """The connection as a request sees it."""

    transport: asyncio.Transport
    #: Whether the client has to read before more is written.
    full: bool
    #: Bytes of a large piece that is about to be written.
    largest: int

    @property
    def shared(self) -> RequestServer:
        """What it shares with the other connections of its server."""
        ...

    async def room(self) -> None:
        """Wait until the client has read."""
        ...

    def close(self) -> None:
        """Close when what was written has left."""
        ...

    def body_taken(self) -> None:
        """There is place for more of the body."""
        ...

    def answered(self, request: ASGIRequest) -> None:
        """The answer is complete."""
        ...


class ASGIRequest(Pushing):
    """One request. ``last``: the connection ends with its answer. ``whole``: all of it has arrived. ``begun``,
    ``complete``: so has its answer. ``ended``: the client says nothing more. ``gone``: the client has left.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_delivered",
        "_head",
        "_held",
        "_invited",
        "_left",
        "_parts",
        "_status",
        "_waiter",
        "begun",
        "complete",
        "ended",
        "gone",
        "last",
        "scope",
        "task",
        "whole",
    )

    def __init__(self, connection: RequestConnection, scope: Scope, *, last: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.last = last
        self.task: asyncio.Task[None] | None = None
        self.whole = self.begun = self.complete = self.ended = self.gone = self._delivered = False
        self._parts: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._head: list[bytes] | None = None
        self._invited = False

    # What the connection says.

    def feed(self, data: bytes) -> int:
        """A part of the body came. Returns how many bytes nobody has asked for yet."""
        if not self.complete:
            self._parts.append(data)
            self._wake()
        self._held += len(data)
        return self._held

    def end_of_body(self) -> None:
        """The body is there."""
        self.whole = True
        self._wake()

    def end(self) -> None:
        """The client says nothing more: it has left, or waits for its answer, which nobody can tell."""
        self.ended = True
        self._wake()

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self._wake()

    async def run(self, app: Application) -> None:
        """Have the application answer, in a task of its own. Whatever it raises ends here."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.complete and not self.gone:
                if self.ended:
                    self._connection.close()
                else:
                    log.error("the application returned before its answer was complete")
                    self._fail(500)
        except asyncio.CancelledError:
            self._fail(503)
        except AnswerAborted:
            self._break_off()
        except BaseException:
            log.exception("the application failed")
            self._fail(500)
        finally:
            self._connection.shared.forget(self.task)

    def _fail(self, status: int) -> None:
        """Answer for the application; where an answer has begun, only its end can tell that it is not whole."""
        if self.complete or self.gone:
            return
        if not self.begun:
            text = HTTPStatus(status).phrase.encode()
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
            self.last = True
            self._start(status, fields)
            self._write(text, more=False)
        else:
            self._break_off()

    def _break_off(self) -> None:
        """End the connection so that the client can tell that its answer is not whole."""
        if self.complete or self.gone:
            return
        if self.begun and (self._chunked or self._left is not None):
            self._connection.close()  # what was written arrives
        else:
            _reset(self._connection.transport)

    # What the application says.

    async def receive(self) -> Event:
        """The next part of the body, or that the client is gone or has its answer. Raises RuntimeError when two ask at
        once.
        """
        while True:
            if self.gone or self.complete:
                return {"type": _DISCONNECT}
            whole = self.whole
            if self._parts or (whole and not self._delivered):
                body = b"".join(self._parts)
                self._parts.clear()
                self._held = 0
                self._delivered = whole
                self._invited = True  # it is sending without being told
                self._connection.body_taken()
                return {"type": "http.request", "body": body, "more_body": not whole}
            if self.ended:
                return {"type": _DISCONNECT}
            await self._wait()

    async def send(self, event: Event) -> None:
        """A part of the answer. Raises RuntimeError for what is out of order or not as long as was told, ValueError for
        a header that can't be sent.
        """
        connection = self._connection
        if connection.full and not self.gone:
            await connection.room()
        if self.gone:
            return
        kind = event["type"]
        if kind == "http.response.body" and self._head is not None and not self.complete:
            self._write(event.get("body", b""), more=event.get("more_body", False))
        elif kind == "http.response.start" and self._head is None:
            self._start(event["status"], event.get("headers", ()))
        else:
            raise RuntimeError(f"{kind!r} is out of order in an answer")

    def push(self, data: bytes) -> bool:
        """See `Pushing`."""
        connection = self._connection
        if connection.full or not self.begun or self.complete:
            return False
        if self.gone:
            return True
        size = len(data)
        if self._chunked and 0 < size <= _JOINED:
            connection.transport.write(b"%x\r\n%b\r\n" % (size, data))
        else:
            self._write(data, more=True)
        return True

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        framing: dict[bytes, bytes] = {}
        lines = self._connection.shared.head(status, headers, framing)
        length = framing.get(b"content-length")
        self._left = None
        self._chunked = False
        self._bodiless = status in _BODILESS or self.scope["method"] == "HEAD"
        if length is not None and status != 204:
            self._left = int(length)
            lines.append(b"content-length: %b\r\n" % length)
        elif not self._bodiless and self.scope["http_version"] != "1.0":
            self._chunked = True
            lines.append(_CHUNKED)
        wish = framing.get(b"connection")
        if (wish is not None and b"close" in wish.lower()) or (not self.whole and self._waits_for_us()):
            self.last = True
        if self.last:
            lines.append(_CLOSE)
        elif wish is not None:
            lines.append(b"connection: %b\r\n" % wish)
        lines.append(b"\r\n")
        self._head = lines
        self._status = status

    def _write(self, data: bytes, *, more: bool) -> None:
        """Write a part of the body, and the head if it has been waiting for that."""
        size = len(data)
        parts = [] if self.begun else cast("list[bytes]", self._head)
        if self._bodiless:
            pass
        elif self._chunked:
            if size:
                parts += (b"%x\r\n" % size, data, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        else:
            self._count(size, more=more)
            if size:
                parts.append(data)
        self._put(parts, size)
        if not self.begun:
            self.begun = True
            self._head = []
            if self._connection.shared.logs_access:
                _note_access(self.scope, self._status)
        if not more:
            self.complete = True
            self._parts.clear()
            self._held = 0
            self._wake()
            self._connection.answered(self)

    def _put(self, parts: list[bytes], size: int) -> None:
        """Write what belongs together at once. ``size`` is that of the largest part."""
        write = self._connection.transport.write
        if size > _JOINED:
            at = next(index for index, part in enumerate(parts) if len(part) == size)
            write(b"".join(parts[:at]))
            self._connection.largest = size
            write(parts[at])
            parts = parts[at + 1 :]
        if parts:
            write(b"".join(parts))

    def _count(self, size: int, *, more: bool) -> None:
        if self._left is None:
            return  # the end of the connection is the end of the answer
        left = self._left - size
        if left < 0 or (left and not more):
            raise RuntimeError(f"an answer is not as long as its head says: {left} bytes are left")
        self._left = left

    # Waiting.

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("receive() is being awaited already")
        if not self.begun and not self.whole and self._waits_for_us():
            self._invited = True
            self._connection.transport.write(_CONTINUE)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _waits_for_us(self) -> bool:
        """Whether the client may be waiting to be told that its body is wanted."""
        if self._invited or self._parts or self.scope["http_version"] == "1.0":
            return False
        return any(
            name == _EXPECT[0] and value.lower() == _EXPECT[1] for name, value in self.scope["headers"]
        )

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _reset(transport: asyncio.Transport) -> None:
    """End a connection so that the client can tell it from an end in good order."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _note_access(scope: Scope, status: int) -> None:
    """Write the access log."""
    client = scope["client"]
    target: str = scope["path"]
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    access.info(
        '%s - "%s %s HTTP/%s" %d',
        f"{client[0]}:{client[1]}" if client else "",
        scope["method"],
        urllib.parse.quote(target, safe="/?=&%"),
        scope["http_version"],
        status,
    )


async def unavailable(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The application where there is more going on than the server was told to take."""
    text = b"the server is busy; retry"
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    fields += [(b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": fields})
    await send({"type": "http.response.body", "body": text})
