"""The event log in PostgreSQL.

Theory of operation
-------------------
The row of a stream says what the rows of its events hold, so that a read knows of a gap without looking for it;
both are read by one statement, from one moment. Appends, whole streams, ends and drops travel together, by the
order of the streams' names, and each holds the row of its stream (`migrations/0004_events.sql`). Expiry has two
steps (see `EventLog`): each look compares the row with the clock; the sweep does the same with what is `due`.

Specification: "Resumability and Redelivery" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from dovetail.logs import get_logger
from dovetail.stores.bounds import EventBounds, check_key, check_position, check_value
from dovetail.stores.contracts import Event
from dovetail.stores.errors import EventsTrimmed, StreamEnded, StreamUnknown
from dovetail.stores.ordering import prefix_end
from dovetail.stores.postgres.executor import OperationKind, PostgresExecutor

__all__ = ["PostgresEvents"]

_APPEND: Final = 0
_KEEP: Final = 1
_CLOSE: Final = 2
_DROP: Final = 3
_MOST: Final = 2**31 - 1
"""Events of one read, and the largest position that is looked for."""

_log = get_logger("dovetail.stores")


class _EventChange(NamedTuple):
    """A row of what event_apply is given, and its events."""

    kind: int
    stream: str
    events: tuple[bytes, ...] = ()


class _Stream(NamedTuple):
    """What the row of a stream says."""

    first: int
    last: int
    closed: bool
    events_end: float
    position_end: float

    def at(self, now: float) -> _Stream:
        """What is left of it at that time. Raises `StreamUnknown`."""
        if now < self.events_end:
            return self
        if self.closed or now >= self.position_end:
            raise StreamUnknown
        return self._replace(first=self.last + 1)


class PostgresEvents:
    """An `EventLog` in the schema of `executor`."""

    def __init__(self, executor: PostgresExecutor, bounds: EventBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock
        statement = executor.engine.statement
        self._apply_text = statement(
            "SELECT outcome, reached FROM $schema.event_apply($1::float8, $2::int[], $3::text[], $4::int[],"
            " $5::bytea[], $6::bigint, $7::bigint, $8::float8, $9::float8)"
        )
        self._read_text = statement(
            "SELECT s.first, s.last, s.closed, s.events_end, s.position_end, e.sequence, e.data "
            " FROM $schema.stream AS s LEFT JOIN LATERAL ("
            "SELECT x.sequence, x.data FROM $schema.event AS x WHERE x.stream = s.number AND x.sequence > $2::bigint"
            " AND x.sequence <= s.last ORDER BY x.sequence LIMIT $3::bigint"
            ") AS e ON true WHERE s.name = $1::text ORDER BY e.sequence"
        )
        self._look_text = statement(
            "SELECT s.name, s.first, s.last, s.closed, s.events_end, s.position_end "
            " FROM $schema.stream AS s WHERE s.name = ANY ($1::text[])"
        )
        self._range_text = statement("SELECT $schema.event_drop_range($1::float8, $2::text, $3::text)")
        self._changes = OperationKind("events", self._apply, 64)
        self._reads = OperationKind("read", self._read, 1, writes=False)
        self._looks = OperationKind("look", self._look, 64, writes=False)
        self._ranges = OperationKind("range", self._drop_range, 1)

    async def append(self, stream: str, data: bytes) -> int:
        """See `EventLog.append`."""
        check_key(stream, "stream name")
        check_value(data, self._bounds.max_bytes, "event")
        return await self._executor.do(self._changes, _EventChange(_APPEND, stream, (data,)), len(data))

    async def keep(self, stream: str, events: Sequence[bytes]) -> None:
        """See `EventLog.keep`."""
        check_key(stream, "stream name")
        for data in events:
            check_value(data, self._bounds.max_bytes, "event")
        await self._executor.do(
            self._changes, _EventChange(_KEEP, stream, tuple(events)), sum(map(len, events))
        )

    async def read(self, stream: str, after: int, limit: int = 256) -> list[Event]:
        """See `EventLog.read`."""
        check_key(stream, "stream name")
        return await self._executor.do(self._reads, (stream, after, limit))

    async def last(self, stream: str) -> int:
        """See `EventLog.last`."""
        return (await self._known(stream)).last

    async def close(self, stream: str) -> None:
        """See `EventLog.close`."""
        check_key(stream, "stream name")
        await self._executor.do(self._changes, _EventChange(_CLOSE, stream))

    async def is_closed(self, stream: str) -> bool:
        """See `EventLog.is_closed`."""
        return (await self._known(stream)).closed

    async def drop(self, stream: str) -> bool:
        """See `EventLog.drop`."""
        check_key(stream, "stream name")
        return await self._executor.do(self._changes, _EventChange(_DROP, stream))

    async def drop_prefix(self, prefix: str) -> int:
        """See `EventLog.drop_prefix`."""
        check_key(prefix, "prefix")
        return await self._executor.do(self._ranges, prefix)

    async def _known(self, stream: str) -> _Stream:
        check_key(stream, "stream name")
        return await self._executor.do(self._looks, stream)

    async def _apply(self, connection: Any, changes: list[_EventChange]) -> Sequence[Any]:
        # Stable: what goes to one stream stays in its order.
        places = sorted(range(len(changes)), key=lambda place: changes[place].stream)
        ordered = [changes[place] for place in places]
        bounds = self._bounds
        rows = await connection.fetch(
            self._apply_text,
            self._clock(),
            [each.kind for each in ordered],
            [each.stream for each in ordered],
            [len(each.events) for each in ordered],
            [data for each in ordered for data in each.events],
            bounds.max_events,
            bounds.max_bytes,
            bounds.ttl,
            max(bounds.ttl, bounds.position_ttl),
        )
        found = dict(zip(places, rows, strict=True))
        return [_judged(change, *found[place]) for place, change in enumerate(changes)]

    async def _read(self, connection: Any, given: list[tuple[str, int, int]]) -> Sequence[Any]:
        name, after, limit = given[0]
        rows = await connection.fetch(
            self._read_text, name, min(max(after, -1), 2**62), min(max(limit, 1), _MOST)
        )
        try:
            stream = self._stream(rows[0] if rows else None)
            check_position(after, limit, stream.first, stream.last)
        except (StreamUnknown, EventsTrimmed, ValueError) as error:
            return [error]
        if after >= stream.last:
            return [[]]
        events = [Event(row[5], row[6]) for row in rows if row[5] is not None]
        wanted = min(limit, stream.last - after)
        if [each.sequence for each in events] != list(range(after + 1, after + 1 + wanted)):
            _log.warning("events of a stream are gone from its table: whoever wants them is told so")
            return [EventsTrimmed(after, stream.last + 1, stream.last)]
        return [events]

    async def _look(self, connection: Any, names: list[str]) -> Sequence[Any]:
        found = {row[0]: row[1:] for row in await connection.fetch(self._look_text, names)}
        answers: list[_Stream | StreamUnknown] = []
        for name in names:
            try:
                answers.append(self._stream(found.get(name)))
            except StreamUnknown as unknown:
                answers.append(unknown)
        return answers

    def _stream(self, row: Any) -> _Stream:
        if row is None:
            raise StreamUnknown
        return _Stream(*row[:5]).at(self._clock())

    async def _drop_range(self, connection: Any, given: list[str]) -> Sequence[int]:
        prefix = given[0]
        return [await connection.fetchval(self._range_text, self._clock(), prefix, prefix_end(prefix))]


def _judged(change: _EventChange, outcome: int, reached: int) -> object:
    """What the caller of a change gets."""
    if change.kind == _DROP:
        return outcome == 0
    if outcome:
        return StreamEnded() if outcome == 1 else StreamUnknown()
    return reached if change.kind == _APPEND else None
