"""One request of a connection as ASGI has it: its scope, what is received of it, what is sent in return.

The head of an answer waits for the first part of the body and leaves with it, as ASGI asks. An answer whose length is
not told in its head goes in chunks, or to a client of HTTP/1.0 until the connection closes. For the rest of a request's
life see `uvicorn_connection`.

Specification: ASGI 3.0, "HTTP"; RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, Protocol, cast

from .http.answering import Event, Receive, Scope, Send

log = logging.getLogger("dovetail.http")

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Up to how many bytes what leaves together is joined; larger bodies are not copied for it.
_JOINED: Final = 64 * 1024
_BODILESS: Final = frozenset({204, 304})
_DISCONNECT: Final = "http.disconnect"
_EXPECT: Final = (b"expect", b"100-continue")
_CLOSE: Final = b"connection: close\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Shared(Protocol):
    """What all connections of a server share, as a request sees it."""

    logs_access: bool

    def head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The lines of an answer's head, but for the last. Raises ValueError for what can't be in one."""
        ...

    def note_access(self, scope: Scope, status: int) -> None:
        """Write the access log."""
        ...

    def forget(self, task: asyncio.Task[None] | None) -> None:
        """A request is over."""
        ...


class Way(Protocol):
    """The connection as a request sees it."""

    transport: asyncio.Transport

    @property
    def shared(self) -> Shared:
        """What it shares with the other connections of its server."""
        ...

    @property
    def full(self) -> bool:
        """Whether the client has to read before more is written."""
        ...

    async def room(self) -> None:
        """Wait until the client has read."""
        ...

    def body_taken(self) -> None:
        """There is place for more of the body."""
        ...

    def answered(self, request: Request) -> None:
        """The answer is complete."""
        ...


class Request:
    """One request. ``last``: the connection ends with its answer. ``whole``: all of it has arrived. ``begun``,
    ``complete``: so has its answer. ``gone``: the client has left.
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
        "_waiter",
        "begun",
        "complete",
        "gone",
        "last",
        "scope",
        "task",
        "whole",
    )

    def __init__(self, connection: Way, scope: Scope, *, last: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.last = last
        self.task: asyncio.Task[None] | None = None
        self.whole = self.begun = self.complete = self.gone = self._delivered = False
        self._parts: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._head: list[bytes] | None = None
        self._chunked = self._bodiless = self._invited = False
        self._left: int | None = None

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

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self._wake()

    async def run(self, app: Application) -> None:
        """Have the application answer, in a task of its own."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.complete and not self.gone:
                log.error("the application returned before its answer was complete")
                await self._fail(500)
        except asyncio.CancelledError:
            await self._fail(503)
        except Exception:
            log.exception("the application failed")
            await self._fail(500)
        finally:
            self._connection.shared.forget(self.task)

    async def _fail(self, status: int) -> None:
        """Answer for the application; where an answer has begun, only its end can tell that it is not whole."""
        if self.complete or self.gone:
            return
        if self.begun:
            self._connection.transport.close()
            return
        self._head = None
        text = HTTPStatus(status).phrase.encode()
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [*fields, (b"connection", b"close")]}
        )
        await self.send({"type": "http.response.body", "body": text})

    # What the application says.

    async def receive(self) -> Event:
        """The next part of the body, or that the client is gone or has its answer. Raises RuntimeError when two ask at
        once.
        """
        while True:
            if self.gone or self.complete:
                return {"type": _DISCONNECT}
            if self._parts or (self.whole and not self._delivered):
                body = b"".join(self._parts)
                self._parts.clear()
                self._held = 0
                self._delivered = self.whole
                self._connection.body_taken()
                return {"type": "http.request", "body": body, "more_body": not self.whole}
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

    def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        shared = self._connection.shared
        lines = shared.head(status, headers)
        closes = False
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.last = closes = True
        if self.last and not closes:
            lines.append(_CLOSE)
        if status in _BODILESS or self.scope["method"] == "HEAD":
            self._bodiless = True
        elif self._left is None and self.scope["http_version"] != "1.0":
            self._chunked = True
            lines.append(_CHUNKED)
        lines.append(b"\r\n")
        self._head = lines
        if shared.logs_access:
            shared.note_access(self.scope, status)

    def _write(self, data: bytes, *, more: bool) -> None:
        """Write a part of the body, and the head if it has been waiting for that."""
        parts: list[bytes] = []
        if not self.begun:
            self.begun = True
            parts = cast("list[bytes]", self._head)
            self._head = []
        size = len(data)
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
        write = self._connection.transport.write
        if size <= _JOINED:
            if parts:
                write(b"".join(parts))
        else:
            for part in parts:
                write(part)
        if not more:
            self.complete = True
            self._parts.clear()
            self._held = 0
            self._wake()
            self._connection.answered(self)

    def _count(self, size: int, *, more: bool) -> None:
        if self._left is None:
            return  # the end of the connection is the end of the answer
        self._left -= size
        if self._left < 0 or (self._left and not more):
            raise RuntimeError(f"an answer is not as long as its head says: {self._left} bytes are left")

    # Waiting.

    async def _wait(self) -> None:
        connection = self._connection
        if not self.begun and self.scope["http_version"] != "1.0" and not self._parts and not self.whole:
            self._invite(connection.transport)
        if self._waiter is not None:
            raise RuntimeError("receive() is being awaited already")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _invite(self, transport: asyncio.Transport) -> None:
        """Tell a client that waits to be told that its body is wanted."""
        if not self._invited and any(
            name == _EXPECT[0] and value.lower() == _EXPECT[1] for name, value in self.scope["headers"]
        ):
            self._invited = True
            transport.write(_CONTINUE)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def status_line(status: int) -> bytes:
    """The first line of an answer. A status that has no name has none here."""
    line = _STATUS_LINES.get(status)
    return b"HTTP/1.1 %d \r\n" % status if line is None else line


_STATUS_LINES: Final = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus
}
