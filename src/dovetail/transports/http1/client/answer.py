"""The answer to a request: its head, and its body as it is read.

Theory of operation. The connection feeds the answer while it is on its way; once it is whole the two part, and what is
yet to be read waits here, so that the connection is free for the next request. What is there is read without any wait.
Beyond `WAITING` bytes that nobody has asked for the connection has to stop.
Specification: RFC 9110 sections 6.4 and 8.4.
"""

import asyncio
import zlib
from typing import Final, Protocol

from ....protocol.errors import ConnectionLost
from .bodies import Unpacker, unpacker_for

__all__ = ["WAITING", "Answer", "shortened"]

WAITING: Final = 256 * 1024
"""Bytes of a body that wait to be asked for before the server has to wait (256 KiB)."""

_IDENTITY: Final = ("", "identity")


class Way(Protocol):
    """The connection, as an answer sees it."""

    def go_on(self) -> None:
        """There is room for more of the body."""
        ...

    def discard(self) -> None:
        """Close it."""
        ...


class Answer:
    """The answer to one request, an `seam.Response` once it has ``begun``.

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

    def __init__(self, connection: Way, loop: asyncio.AbstractEventLoop, shown: str) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.failure: ConnectionLost | None = None
        self.heard = self.bodiless = self._done = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection: Way | None = connection
        self._loop = loop
        self._shown = shown
        self._pieces: list[bytes] = []
        self._held = 0
        self._cut = ""
        self._waiter: asyncio.Future[None] | None = None
        self._unpacker: Unpacker | None = None

    # What the caller says

    async def read(self) -> bytes:
        """See `seam.Response.read`."""
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

    @property
    def ended(self) -> bool:
        """See `seam.Response.ended`."""
        return self._done and not self._pieces and (self._unpacker is None or self._unpacker.whole)

    def close(self) -> None:
        """See `seam.Response.close`."""
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


def shortened(text: str) -> str:
    """The start of a text from elsewhere as one line, at most 200 characters."""
    plain = "".join(character if character.isprintable() else " " for character in text[:200])
    return " ".join(plain.split())
