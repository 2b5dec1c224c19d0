"""Streams that outlive their connections (stateful era).

A `MessageStream` is what a request, or a session as a whole, says to its client, in order. Where the
revision can resume, each message is an event in the log, numbered, and whoever delivers reads the log: the
first connection and every later one alike. So a lost connection loses nothing, and a resumed one can
neither skip nor repeat. Where nothing can be resumed, or the log fails, messages wait in a bounded queue
for the one connection there is. A stream that is over before anybody reads it is none of these: it is written at once
(`Posted.events`). Specification: 2025-11-25 basic/transports "Resumability and Redelivery", "Multiple
Connections".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from ...logs import get_logger
from ...protocol.bindings.sse import encode_event
from ...protocol.errors import ConnectionLost
from ...stores.contracts import Event, EventLog
from ...stores.errors import EventsTrimmed, StoreError, StreamEnded, StreamUnknown
from .answering import EventWriter, HTTPRefusal, Receive
from .event_ids import new_stream_id
from .permission import Permission

log = get_logger("dovetail.http")

MAX_WAITING: Final = 256
#: Bytes that may wait for a connected client: far less than an event log keeps, or it would trim what nobody has read.
MAX_WAITING_BYTES: Final = 1024 * 1024
_BATCH: Final = 64
#: Seconds between two looks into the log, where nobody tells that there is more.
_POLL: Final = 0.5
#: Seconds after which it is seen whether the process that writes is still there.
_RARELY: Final = 2.0
#: Notes the end of a stream in the log; False where the store failed.
Settle = Callable[[], Awaitable[bool]]


class Readable(Protocol):
    """A stream as whoever delivers it sees it."""

    id: str
    resumable: bool
    #: After how many seconds the client shall come back, when its connection is to be closed now.
    closing: float | None

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        """What follows number ``after``; messages without a number have 0. Empty when there is nothing yet."""
        ...

    async def ended(self) -> bool:
        """Whether nothing more will come than what can be read now."""
        ...

    async def wait(self) -> None:
        """Wait until there may be something new, or somebody calls `wake`."""
        ...

    def wake(self) -> None:
        """Wake whoever waits."""
        ...


class _NewEventSignal:
    """What `asyncio.Event` is, for a fraction of its bytes: each open stream has two."""

    __slots__ = ("_rung", "_waiters")

    def __init__(self) -> None:
        self._rung = False
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake those who wait, and let nobody wait before the next `silence`."""
        self._rung = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def silence(self) -> None:
        """From now on those who come have to wait."""
        self._rung = False

    async def wait(self) -> None:
        """Wait until it rings, unless it did."""
        if self._rung:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


class MessageStream:
    """A stream that this process writes. ``events`` None: it cannot be resumed."""

    __slots__ = (
        "_direct",
        "_ended_elsewhere",
        "_events",
        "_last",
        "_lock",
        "_name",
        "_opened",
        "_over",
        "_position",
        "_priming",
        "_room",
        "_unread",
        "_visited",
        "_wake",
        "closing",
        "grown",
        "handed_over",
        "id",
        "left",
        "released",
        "reader",
        "resumable",
    )

    def __init__(
        self,
        kind: str,
        events: EventLog | None,
        prefix: str,
        *,
        priming: bool,
        scopes: frozenset[str] = frozenset(),
    ) -> None:
        self.id = new_stream_id(kind, scopes)
        self.resumable = events is not None
        self._events = events
        self._name = prefix + self.id
        self._priming = priming and events is not None
        self._opened = False
        self._over = False
        self._last = 0
        self._position = 0
        self._unread = 0
        self._direct: list[bytes] = []
        self._lock = asyncio.Lock()
        self._wake = _NewEventSignal()
        self._room = _NewEventSignal()
        self.closing: float | None = None
        self._visited = False
        self.reader: object | None = None
        #: Since when nobody reads it, in the loop's time. None while somebody does, or is about to for the first time.
        self.left: float | None = None
        #: Another process took this one for dead, and ended the stream in its place.
        self._ended_elsewhere = False
        #: To be done when the stream has ended, if anything. It is given what notes the end in the log, where the store
        #: did not take that; else None.
        self.released: Callable[[str, Settle | None], Awaitable[None]] | None = None
        #: Called at each message and at the end, where another process reads.
        self.grown: Callable[[], None] | None = None
        #: Another process goes on with it: its end here is not its end.
        self.handed_over = False

    def go_on(self, id: str, last: int) -> None:
        """Be a stream that another process began: ``last`` is the number of its last event."""
        self.id, self._name = id, self._name.removesuffix(self.id) + id
        self._opened, self._last = True, max(last, self._last)

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return self._name

    @property
    def over(self) -> bool:
        """Whether the stream has ended."""
        return self._over

    async def open(self) -> None:
        """Begin: with the event that primes a client to resume, where the revision has that."""
        async with self._lock:
            if not self._over:
                await self._open()

    async def put(self, data: bytes, *, urgent: bool = False, at_once: bool = False) -> None:
        """Say something. Waits while a connected client is far behind: if it is ``urgent`` only in bytes, if
        ``at_once`` never. Says nothing after the end.
        """
        while not at_once and self._full(len(data), urgent=urgent):
            self._room.silence()
            await self._room.wait()
        if not urgent and not self._awaited:
            await asyncio.sleep(0)  # nothing else makes a talkative handler wait while nobody reads
        async with self._lock:
            if self._over:
                return
            await self._open()
            await self._append(data)
        if self._ended_elsewhere:
            await self.end()
            return
        self._wake.ring()
        if self.grown is not None:
            self.grown()

    async def end(self) -> None:
        """Nothing more will come. What was said stays for a while, for clients that come back."""
        async with self._lock:
            if self._over:
                return
            self._over = True
            left: Settle | None = None
            if self.handed_over or (not self.resumable and self._awaited):
                pass  # what is in the log is still to be read; `read` lets go of what nobody can resume
            elif not await self._settle_log():
                left = self._settle_log
        self._wake.ring()
        self._room.ring()
        if self.grown is not None:
            self.grown()
        if self.released is not None:
            await self.released(self._name, left)

    def attach(self) -> object:
        """Become the one who reads; an earlier reader stops."""
        self.reader = token = object()
        self.left = None
        if self._visited:  # what an earlier connection was told; before the first one it is still to be told
            self.closing = None
        self._visited = True
        self._wake.ring()
        return token

    def detach(self, token: object) -> None:
        """Read no more."""
        if self.reader is token:
            self.reader = None
            self.left = asyncio.get_running_loop().time()
            self._room.ring()
            if not self.resumable:
                self._direct.clear()

    def abandon(self) -> None:
        """The connection that was to read this is not there, unless it read already."""
        self._visited = True
        if self.reader is None and self.left is None:
            self.left = asyncio.get_running_loop().time()
        self._room.ring()

    def hang_up(self, retry: float) -> None:
        """Close the connection now, if the client can come back for the rest."""
        if self.resumable and self._last:
            self.closing = retry
            self._wake.ring()

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        """See `Readable`. Raises `EventsTrimmed` and `StreamUnknown`."""
        self._wake.silence()
        found: list[tuple[int, bytes]] = []
        if self._events is not None and self._last > after:
            entries: list[Event] = await self._events.read(self._name, after, _BATCH)
            found = [(entry.sequence, entry.data) for entry in entries]
        if not found:
            found = [(0, data) for data in self._direct[:_BATCH]]
            del self._direct[:_BATCH]
        self._position = max(after, found[-1][0] if found else 0)
        self._unread = max(0, self._unread - sum(len(data) for _, data in found)) if found else 0
        self._room.ring()
        if self._over and not found and not self.resumable:
            await self._settle_log()
        return found

    async def _settle_log(self) -> bool:
        """Keep what was said for those who resume; forget it where that would give them a part for the whole. False
        where the store failed, and it may be tried again.
        """
        if self._events is None or not self._last or self._ended_elsewhere:
            return True
        try:
            if self.resumable:
                await self._events.close(self._name)
            else:
                await self._events.drop(self._name)
        except StreamUnknown:
            log.debug("a stream ended that was dropped with its session")
        except StoreError as problem:
            log.warning("the end of a stream could not be noted: %s", problem)
            return False
        return True

    async def ended(self) -> bool:
        """See `Readable`."""
        return self._over

    async def wait(self) -> None:
        """See `Readable`."""
        await self._wake.wait()

    def wake(self) -> None:
        """See `Readable`."""
        self._wake.ring()

    @property
    def _awaited(self) -> bool:
        """Whether a connection reads this, or is about to."""
        return self.reader is not None or not self._visited

    def _full(self, size: int, *, urgent: bool) -> bool:
        """Whether the client has to read before this much more is said. A message of any size fits alone."""
        if self._over or not self._awaited:
            return False
        many = not urgent and self._behind() >= MAX_WAITING
        return many or 0 < self._unread > MAX_WAITING_BYTES - size

    def _behind(self) -> int:
        return self._last - self._position + len(self._direct)

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True
            if self._priming:
                await self._append(b"")

    async def _append(self, data: bytes) -> None:
        self._unread += len(data)
        if self._events is not None and self.resumable:
            try:
                self._last = await self._events.append(self._name, data)
                return
            except StreamEnded:
                await self._find_end()
                return
            except StoreError as problem:
                log.warning("a stream can no longer be resumed: %s", problem)
                self.resumable = False
        if data and self._awaited and len(self._direct) < 2 * MAX_WAITING:
            self._direct.append(data)

    async def _find_end(self) -> None:
        """The client is told what the other process said, and that alone: whoever resumes hears it as well."""
        log.warning("this process was taken for dead: another one ended a stream in its place")
        self._ended_elsewhere = True
        if self._events is not None:
            try:
                self._last = await self._events.last(self._name)
            except StoreError as problem:
                log.debug("what another process said of a stream is left to those who resume: %s", problem)


class StoredStream:
    """A stream that another process writes, or that has ended: read from the log.

    ``look`` sees after the process that writes it, and gives whether that one calls `wake` when there is more; where it
    does not, the log is looked into again and again. Without ``look``, nobody is known to write it.
    """

    resumable = True
    closing: float | None = None

    def __init__(
        self,
        id: str,
        events: EventLog,
        prefix: str,
        patience: float,
        look: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.id = id
        self._look = look
        self._pushed = False
        self._looked = -math.inf
        self._events = events
        self._name = prefix + id
        self._until = asyncio.get_running_loop().time() + patience
        self._wake = _NewEventSignal()

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        """See `Readable`. Raises `EventsTrimmed` and `StreamUnknown`."""
        return [(entry.sequence, entry.data) for entry in await self._events.read(self._name, after, _BATCH)]

    async def ended(self) -> bool:
        """See `Readable`. After some patience the client is sent away, to ask again."""
        now = asyncio.get_running_loop().time()
        if now > self._until:
            return True
        closed = await self._events.is_closed(self._name)
        if closed or self._look is None or now < self._looked + _RARELY:
            return closed
        self._looked = now
        self._pushed = await self._look()
        return await self._events.is_closed(self._name)

    async def wait(self) -> None:
        """See `Readable`."""
        pause = _RARELY if self._pushed else _POLL
        timer = asyncio.get_running_loop().call_later(pause, self._wake.ring)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
            self._wake.silence()

    def wake(self) -> None:
        """See `Readable`."""
        self._wake.ring()


async def check_position(events: EventLog, name: str, after: int) -> None:
    """Raise `HTTPRefusal` (400) when a stream cannot be read from here without a gap, or does not exist."""
    try:
        await events.read(name, after, 1)
    except EventsTrimmed:
        raise HTTPRefusal(
            400, "events after the last event id are gone; start without one and ask again"
        ) from None
    except StreamUnknown:
        raise HTTPRefusal(
            400, "the last event id is of no stream of this session; start without one"
        ) from None


class StreamConnection:
    """The connection on which a client reads a stream. ``admits``: whether it may hear a message; None: any."""

    __slots__ = ("admits", "permission", "receive", "writer")

    def __init__(
        self,
        writer: EventWriter,
        receive: Receive,
        permission: Permission | None = None,
        admits: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.writer = writer
        self.receive = receive
        self.permission = permission
        self.admits = admits


async def deliver(
    stream: Readable, after: int, connection: StreamConnection, token: object | None, retry: float
) -> int:
    """Write a stream to a client until the stream, the client, or its permission is at its end. ``token``: what
    `MessageStream.attach` gave; ``retry``: after how many seconds the client shall come back. Gives the last number
    written.
    """
    writer, permission, admits = connection.writer, connection.permission, connection.admits
    departed = asyncio.get_running_loop().create_task(_departure(connection.receive, stream))
    id = stream.id.encode()
    hint: int | None = _milliseconds(retry)
    try:
        while not departed.done() and (permission is None or not permission.ended):
            over = await stream.ended()
            events = await stream.read(after)
            if events:
                written: list[bytes] = []
                for number, data in events:
                    if admits is not None and not admits(data):
                        after = number or after
                        continue
                    written.append(_encoded(id, number, data, hint))
                    hint = None
                    after = number or after
                if written:
                    await writer.write(b"".join(written))
                continue
            if over or (isinstance(stream, MessageStream) and stream.reader is not token):
                break
            if stream.closing is not None:
                await writer.write(b"retry: %d\n\n" % _milliseconds(stream.closing))
                break
            await stream.wait()
        if not departed.done():
            await writer.finish()
    except ConnectionLost:
        log.debug("a client stopped reading its stream")
    except StoreError as problem:
        log.warning("a stream ends early: %s", problem)
        await _give_up(writer)
    finally:
        writer.close()
        departed.cancel()
    return after


def _encoded(stream: bytes, number: int, data: bytes, retry: int | None) -> bytes:
    """One event; ``retry``, where it can be resumed from, says when to come back."""
    if not number:
        return encode_event(data)
    if retry is None:
        return b"id: %b-%d\n%b" % (stream, number, encode_event(data))
    return b"id: %b-%d\nretry: %d\n%b" % (stream, number, retry, encode_event(data))


async def _give_up(writer: EventWriter) -> None:
    try:
        await writer.finish()
    except ConnectionLost:
        return


async def _departure(receive: Receive, stream: Readable) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        stream.wake()


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
