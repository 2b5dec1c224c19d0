"""The event log in SQLite.

Theory of operation
-------------------
A stream has a number; an event lives at `number * 2**32 + sequence` in one tree, so appends go to the end of
their stream's range, reads are one range, and a stream's events go with one range delete. The row of the
stream says what the range holds, so that a read knows of a gap without looking for it. Expiry has two steps
(see `EventLog`): each look compares the row with the clock; the sweep does the same with what is `due`.

Specification: "Resumability and Redelivery" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Any, Final, NamedTuple

from dovetail.logs import get_logger
from dovetail.stores.bounds import EventBounds, check_key, check_position, check_value
from dovetail.stores.contracts import Event
from dovetail.stores.errors import EventsTrimmed, StoreFull, StreamEnded, StreamUnknown
from dovetail.stores.ordering import prefix_end
from dovetail.stores.sqlite_executor import SQLiteExecutor

__all__ = ["SQLiteEvents", "sweep_events"]

SPAN = 2**32
"""Places of one stream."""

_NUMBERS = 2**31
"""Streams whose events have places at all."""

_log = get_logger("dovetail.stores")


class _StreamRow(NamedTuple):
    number: int
    first: int
    last: int
    bytes: int
    closed: int
    events_end: float
    position_end: float

    def at(self, now: float) -> _StreamRow | None:
        """What is left of it at that time."""
        if now < self.events_end:
            return self
        if self.closed or now >= self.position_end:
            return None
        return self._replace(first=self.last + 1, bytes=0)


_KINDS: Final = (int, int, int, int, int, float, float)
"""What the columns of a stream hold. SQLite would keep anything in them."""


def _read_stream(row: tuple[Any, ...]) -> _StreamRow | None:
    """A row of the table of streams, None (and a word to the log) for one that can't be."""
    stream = _StreamRow._make(row)
    if (
        tuple(map(type, row)) == _KINDS
        and stream.number < _NUMBERS
        and 0 < stream.first <= stream.last + 1 <= SPAN
    ):
        return stream
    _log.warning("a stream can't be read any more: its row holds what no stream has")
    return None


class SQLiteEvents:
    """An `EventLog` in the file of `executor`."""

    def __init__(self, executor: SQLiteExecutor, bounds: EventBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock

    async def append(self, stream: str, data: bytes) -> int:
        """See `EventLog.append`."""
        check_key(stream, "stream name")
        check_value(data, self._bounds.max_bytes, "event")
        return await self._executor.write(self._append, stream, data)

    async def keep(self, stream: str, events: Sequence[bytes]) -> None:
        """See `EventLog.keep`."""
        check_key(stream, "stream name")
        for data in events:
            check_value(data, self._bounds.max_bytes, "event")
        await self._executor.write(self._keep, stream, tuple(events))

    async def read(self, stream: str, after: int, limit: int = 256) -> list[Event]:
        """See `EventLog.read`."""
        check_key(stream, "stream name")
        return await self._executor.read(self._read, stream, after, limit)

    async def last(self, stream: str) -> int:
        """See `EventLog.last`."""
        check_key(stream, "stream name")
        return (await self._executor.read(self._known, stream)).last

    async def close(self, stream: str) -> None:
        """See `EventLog.close`."""
        check_key(stream, "stream name")
        await self._executor.write(self._close, stream)

    async def is_closed(self, stream: str) -> bool:
        """See `EventLog.is_closed`."""
        check_key(stream, "stream name")
        return bool((await self._executor.read(self._known, stream)).closed)

    async def drop(self, stream: str) -> bool:
        """See `EventLog.drop`."""
        check_key(stream, "stream name")
        return await self._executor.write(self._drop, stream)

    async def drop_prefix(self, prefix: str) -> int:
        """See `EventLog.drop_prefix`."""
        check_key(prefix, "prefix")
        return await self._executor.write(self._drop_prefix, prefix)

    def _row(self, connection: Connection, name: str) -> tuple[Any, ...] | None:
        return connection.execute(
            "SELECT number, first, last, bytes, closed, events_end, position_end FROM stream WHERE name = ?",
            (name,),
        ).fetchone()

    def _find(self, connection: Connection, name: str) -> _StreamRow | None:
        row = self._row(connection, name)
        return None if row is None else _read_stream(row)

    def _known(self, connection: Connection, name: str) -> _StreamRow:
        found = self._find(connection, name)
        stream = found and found.at(self._clock())
        if stream is None:
            raise StreamUnknown
        return stream

    def _append(self, connection: Connection, name: str, data: bytes) -> int:
        now = self._clock()
        found = self._find(connection, name)
        stream = found and found.at(now)
        if found and (stream is None or stream.first > found.first):
            _delete_events(connection, found.number, found.last)
        if found and stream is None:
            connection.execute("DELETE FROM stream WHERE number = ?", (found.number,))
        if stream is None:
            made = connection.execute("INSERT INTO stream VALUES (NULL, ?, 1, 0, 0, 0, 0, 0, 0)", (name,))
            stream = _StreamRow(made.lastrowid or 0, 1, 0, 0, 0, 0.0, 0.0)
        if stream.closed:
            raise StreamEnded
        last = stream.last + 1
        if last >= SPAN:
            raise StoreFull("events ever in one stream", SPAN - 1)
        connection.execute("INSERT INTO event VALUES (?, ?)", (stream.number * SPAN + last, data))
        first, size = self._trim(connection, stream._replace(last=last, bytes=stream.bytes + len(data)))
        # A clock that went back must not shorten the life of what is there.
        events_end = max(stream.events_end, now + self._bounds.ttl)
        position_end = max(stream.position_end, self._position_end(now))
        connection.execute(
            "UPDATE stream SET first = ?, last = ?, bytes = ?, events_end = ?, position_end = ?, due = ?"
            " WHERE number = ?",
            (first, last, size, events_end, position_end, events_end, stream.number),
        )
        return last

    def _keep(self, connection: Connection, name: str, events: Sequence[bytes]) -> None:
        found = self._find(connection, name)
        if found is not None and found.at(self._clock()) is not None:
            raise StreamEnded
        for data in events:
            self._append(connection, name, data)
        self._close(connection, name)

    def _position_end(self, now: float) -> float:
        return now + max(self._bounds.ttl, self._bounds.position_ttl)

    def _trim(self, connection: Connection, stream: _StreamRow) -> tuple[int, int]:
        """Delete the oldest events until the rest fits; the first that is kept, and the bytes of all."""
        first, size, base = stream.first, stream.bytes, stream.number * SPAN
        if size > self._bounds.max_bytes or stream.last - first >= self._bounds.max_events:
            sizes = connection.execute(
                "SELECT place, length(data) FROM event WHERE place >= ? AND place <= ? ORDER BY place",
                (base + first, base + stream.last),
            )
            oldest = sizes.fetchone()
            while size > self._bounds.max_bytes or stream.last - first >= self._bounds.max_events:
                if oldest is None:  # more bytes were counted than are there
                    first, size = stream.last + 1, 0
                    break
                if oldest[0] == base + first:  # else its row is gone
                    size -= oldest[1]
                    oldest = sizes.fetchone()
                first += 1
            sizes.close()
            _delete_events(connection, stream.number, first - 1)
        return first, size

    def _read(self, connection: Connection, name: str, after: int, limit: int) -> list[Event]:
        stream = self._known(connection, name)
        check_position(after, limit, stream.first, stream.last)
        base = stream.number * SPAN
        rest = (base + after, base + stream.last)
        (there,) = connection.execute(
            "SELECT count(*) FROM event WHERE place > ? AND place <= ? AND typeof(data) = 'blob'", rest
        ).fetchone()
        if (
            there != stream.last - after
        ):  # all that is left, so that nobody begins to read and then meets a gap
            _log.warning(
                "events of a stream are gone from its file, or damaged: whoever wants them is told so"
            )
            raise EventsTrimmed(after, self._after_gap(connection, stream, rest), stream.last)
        rows = connection.execute(
            "SELECT place, data FROM event WHERE place > ? AND place <= ? ORDER BY place LIMIT ?",
            (*rest, min(limit, SPAN)),
        )
        return [Event(place - base, data) for place, data in rows]

    def _after_gap(self, connection: Connection, stream: _StreamRow, rest: tuple[int, int]) -> int:
        """The first sequence from which on nothing is missing."""
        oldest = stream.last + 1
        rows = connection.execute(
            "SELECT place FROM event WHERE place > ? AND place <= ? AND typeof(data) = 'blob' ORDER BY place DESC",
            rest,
        )
        for (place,) in rows:
            if place - stream.number * SPAN != oldest - 1:
                break
            oldest -= 1
        return oldest

    def _close(self, connection: Connection, name: str) -> None:
        stream = self._known(connection, name)
        # A closed stream goes with its events, so that is when the sweep has to look.
        connection.execute(
            "UPDATE stream SET closed = 1, due = events_end WHERE number = ?", (stream.number,)
        )

    def _drop(self, connection: Connection, name: str) -> bool:
        row = self._row(connection, name)
        return row is not None and _dropped(connection, row, self._clock())

    def _drop_prefix(self, connection: Connection, prefix: str) -> int:
        rows = connection.execute(
            "SELECT number, first, last, bytes, closed, events_end, position_end FROM stream"
            " WHERE name >= ? AND name < ?",
            (prefix, prefix_end(prefix) or b""),  # a blob sorts above every text
        ).fetchall()
        now = self._clock()
        return sum(_dropped(connection, row, now) for row in rows)


def _delete_events(connection: Connection, number: int, last: int) -> None:
    """Delete the events of a stream up to sequence `last`."""
    if not 0 <= number < _NUMBERS:
        return
    connection.execute(
        "DELETE FROM event WHERE place >= ? AND place <= ?", (number * SPAN, number * SPAN + last)
    )


def _dropped(connection: Connection, row: tuple[Any, ...], now: float) -> bool:
    """Delete a stream by its row. Whether it was still known."""
    stream = _read_stream(row)
    _delete_stream(connection, row[0], SPAN - 1 if stream is None else stream.last)
    return stream is not None and stream.at(now) is not None


def _delete_stream(connection: Connection, number: int, last: int) -> None:
    _delete_events(connection, number, last)
    connection.execute("DELETE FROM stream WHERE number = ?", (number,))


def sweep_events(connection: Connection, now: float, amount: int) -> None:
    """Remove what has expired of at most `amount` streams."""
    rows = connection.execute(
        "SELECT number, first, last, bytes, closed, events_end, position_end FROM stream"
        " WHERE due <= ? LIMIT ?",
        (now, amount),
    ).fetchall()
    for row in rows:
        stream = _read_stream(row)
        if stream is None or stream.at(now) is None:
            _delete_stream(connection, row[0], SPAN - 1 if stream is None else stream.last)
        else:
            _delete_events(connection, stream.number, stream.last)
            connection.execute(
                "UPDATE stream SET first = last + 1, bytes = 0, due = position_end WHERE number = ?",
                (stream.number,),
            )
