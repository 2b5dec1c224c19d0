"""The event log in memory.

Theory of operation
-------------------
A stream is a list of its newest events; since sequences rise by one, its length and its last sequence say
which event stands where. Expiry has two steps (see `EventLog`): first the events go, later the position. Both
happen when the stream is next looked at, or when an append sweeps what is due. When the bound of all is met,
streams that have ended go, for their clients most likely have read them: as long as the streams of one group (what
their names have before the last slash: a session) have more than their share together, the oldest of those that have
most; then the oldest of all. So nobody's answers go for the sake of somebody who takes more.

Most streams are whole when they come (`keep`), and as many of them come as there are calls. What ended waits in a line,
each at the end of it; those that were kept whole expire in that very order, so they need no deadline of their own.

Specification: "Resumability and Redelivery" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock

from msgspec import Struct

from dovetail.stores.bounds import EventBounds, check_key, check_position, check_value
from dovetail.stores.contracts import Event
from dovetail.stores.errors import StoreClosed, StoreFull, StreamEnded, StreamUnknown
from dovetail.stores.ordering import Deadlines, OrderedKeys
from dovetail.stores.sweeping import Sweeper

__all__ = ["MemoryEvents"]

STREAM_COST = 1024
EVENT_COST = 128
"""Bytes charged for a stream and for an event besides their own: about what the interpreter spends on
them.
"""
SWEEP = 8
"""Due streams that one append sweeps."""
SHARE = 256
"""The part of the whole, one in so many, that a group of streams may have before it makes room for others first."""


class _StreamGroup(Struct, gc=False):
    """Streams whose names begin alike: the names, in the order in which they began, and the charge of all of them."""

    prefix: str
    names: dict[str, None]
    bytes: int = 0


class _MemoryStream(Struct, gc=False):
    """One stream: its group, its newest events, and when they and the memory of its position go. ``gone``: it was
    forgotten.
    """

    name: str
    group: _StreamGroup
    events: list[bytes]
    bytes: int = 0
    last: int = 0
    closed: bool = False
    events_end: float = math.inf
    position_end: float = math.inf
    gone: bool = False

    def end(self) -> float:
        """When something has to be done about the stream."""
        return self.events_end if self.closed or self.events else self.position_end

    def charge(self) -> int:
        """The bytes that the stream counts for in the log's own bound."""
        return STREAM_COST + self.bytes + EVENT_COST * len(self.events)

    def trim(self, max_events: int, max_bytes: int) -> None:
        """Let the oldest events go until the rest fits."""
        count = 0
        while count < len(self.events) and (len(self.events) - count > max_events or self.bytes > max_bytes):
            self.bytes -= len(self.events[count])
            count += 1
        del self.events[:count]


class _StreamNames:
    """The names of all streams, by what they begin with up to the last slash: only that is kept in order."""

    __slots__ = ("_groups", "_order")

    def __init__(self) -> None:
        self._groups: dict[str, _StreamGroup] = {}
        self._order = OrderedKeys()

    def add(self, name: str) -> _StreamGroup:
        """Put in a name. Gives the group that it belongs to."""
        prefix = name[: name.rfind("/") + 1]
        group = self._groups.get(prefix)
        if group is None:
            group = self._groups[prefix] = _StreamGroup(prefix, {})
            self._order.add(prefix)
        group.names[name] = None
        return group

    def remove(self, name: str, group: _StreamGroup) -> None:
        """Take out a name that is there."""
        del group.names[name]
        if not group.names:
            del self._groups[group.prefix]
            self._order.remove(group.prefix)

    def within(self, prefix: str) -> list[str]:
        """The names that start with `prefix`."""
        around = prefix[: prefix.rfind("/") + 1]
        beside = None if around == prefix else self._groups.get(around)
        found = [] if beside is None else [name for name in beside.names if name.startswith(prefix)]
        for group in self._order.after("", prefix):
            found += self._groups[group].names
        return found


class MemoryEvents:
    """An `EventLog` in this process. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        bounds: EventBounds = EventBounds(),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sweeper = Sweeper(clock, self._sweep_some)
        self._bounds = bounds
        self._clock = clock
        self._lock = Lock()
        self._closed = False
        self._streams: dict[str, _MemoryStream] = {}
        self._names = _StreamNames()
        self._ended: deque[_MemoryStream] = (
            deque()
        )  # the streams that are closed, in the order in which they were
        self._latest = 0.0  # when the last of those that were kept whole goes
        self._gone = 0  # of those, what was forgotten otherwise than from the front
        self._deadlines = Deadlines()
        self._bytes = 0
        self._share = bounds.max_total_bytes // SHARE
        self._large: dict[str, _StreamGroup] = {}  # the groups that have, or had, more than their share

    async def append(self, stream: str, data: bytes) -> int:
        """See `EventLog.append`."""
        check_key(stream, "stream name")
        check_value(data, self._bounds.max_bytes, "event")
        with self._lock:
            now = self._now()
            if now >= self._sweeper.until:
                self._sweeper.start()
            self._sweep(now, SWEEP)
            found = self._settled(stream, now)
            if found is not None and found.closed:
                raise StreamEnded
            self._make_room(len(data) + (EVENT_COST if found else EVENT_COST + STREAM_COST), now)
            if found is None:
                found = _MemoryStream(stream, self._names.add(stream), [])
                self._streams[stream] = found
                self._count(found.group, STREAM_COST)
            charged = found.charge()
            found.last += 1
            found.events.append(data)
            found.bytes += len(data)
            bounds = self._bounds
            if len(found.events) > bounds.max_events or found.bytes > bounds.max_bytes:
                found.trim(bounds.max_events, bounds.max_bytes)
            self._count(found.group, found.charge() - charged)
            end, position_end = now + bounds.ttl, now + max(bounds.ttl, bounds.position_ttl)
            new = found.last == 1  # else a clock that went back must not shorten its life
            found.events_end = end if new else max(found.events_end, end)
            found.position_end = position_end if new else max(found.position_end, position_end)
            self._deadlines.note(stream, found.end())
            return found.last

    async def keep(self, stream: str, events: Sequence[bytes]) -> None:
        """See `EventLog.keep`."""
        check_key(stream, "stream name")
        bounds = self._bounds
        size = 0
        for data in events:
            if type(data) is not bytes or len(data) > bounds.max_bytes:
                check_value(data, bounds.max_bytes, "event")
            size += len(data)
        count = len(events)
        charge = STREAM_COST + size + EVENT_COST * count
        with self._lock:
            now = self._now()
            if now >= self._sweeper.until:
                self._sweeper.start()
            if (self._ended and self._ended[0].events_end <= now) or self._deadlines.any_due(now):
                self._sweep(now, SWEEP)
            if stream in self._streams and self._settled(stream, now) is not None:
                raise StreamEnded
            if self._bytes + charge > bounds.max_total_bytes:
                self._make_room(charge, now)
            group = self._names.add(stream)
            found = _MemoryStream(stream, group, list(events), size, count, True, now + bounds.ttl)
            if count > bounds.max_events or size > bounds.max_bytes:
                found.trim(bounds.max_events, bounds.max_bytes)
                charge = found.charge()
            self._bytes += charge  # as `_count` does
            group.bytes += charge
            if group.bytes > self._share:
                self._large[group.prefix] = group
            self._streams[stream] = found
            self._ended.append(found)
            if found.events_end < self._latest:
                # The clock went back: it would wait behind one that lasts longer.
                self._deadlines.note(stream, found.end())
            self._latest = max(self._latest, found.events_end)

    async def read(self, stream: str, after: int, limit: int = 256) -> list[Event]:
        """See `EventLog.read`."""
        with self._lock:
            found = self._known(stream)
            oldest = found.last - len(found.events) + 1
            check_position(after, limit, oldest, found.last)
            start = after + 1 - oldest
            return [Event(at, data) for at, data in enumerate(found.events[start : start + limit], after + 1)]

    async def last(self, stream: str) -> int:
        """See `EventLog.last`."""
        with self._lock:
            return self._known(stream).last

    async def close(self, stream: str) -> None:
        """See `EventLog.close`."""
        with self._lock:
            found = self._known(stream)
            if not found.closed:
                found.closed = True
                self._ended.append(found)
                self._deadlines.note(stream, found.end())

    async def is_closed(self, stream: str) -> bool:
        """See `EventLog.is_closed`."""
        with self._lock:
            return self._known(stream).closed

    async def drop(self, stream: str) -> bool:
        """See `EventLog.drop`."""
        check_key(stream, "stream name")
        with self._lock:
            if self._settled(stream, self._now()) is None:
                return False
            self._remove(stream)
            return True

    async def drop_prefix(self, prefix: str) -> int:
        """See `EventLog.drop_prefix`."""
        check_key(prefix, "prefix")
        with self._lock:
            now = self._now()
            names = [name for name in self._names.within(prefix) if self._settled(name, now) is not None]
            for name in names:
                self._remove(name)
            return len(names)

    def shut(self) -> None:
        """Forget everything; every later call raises `StoreClosed`."""
        with self._lock:
            self._closed = True
            self._streams, self._ended = {}, deque()
            self._names, self._deadlines = _StreamNames(), Deadlines()
            self._large = {}

    def _sweep_some(self, limit: int) -> bool | None:
        """See `Sweep`."""
        with self._lock:
            if not self._streams:
                return None
            now = self._clock()
            self._sweep(now, limit)
            return self._deadlines.any_due(now) or bool(self._ended and self._ended[0].events_end <= now)

    def _now(self) -> float:
        if self._closed:
            raise StoreClosed
        return self._clock()

    def _known(self, stream: str) -> _MemoryStream:
        check_key(stream, "stream name")
        found = self._settled(stream, self._now())
        if found is None:
            raise StreamUnknown
        return found

    def _settled(self, stream: str, now: float) -> _MemoryStream | None:
        """The stream as it stands now, what has expired removed from it."""
        found = self._streams.get(stream)
        if found is None or now < found.end():
            return found
        if found.closed or now >= found.position_end:
            self._remove(stream)
            return None
        charged = found.charge()
        found.trim(0, 0)
        self._count(found.group, found.charge() - charged)
        self._deadlines.note(stream, found.end())
        return found

    def _make_room(self, size: int, now: float) -> None:
        limit = self._bounds.max_total_bytes
        if self._bytes + size > limit:
            self._sweep(now, len(self._streams) + len(self._ended))
            self._let_go(self._bytes + size - limit)
            if self._bytes + size > limit:
                raise StoreFull("bytes of events", limit)

    def _count(self, group: _StreamGroup, more: int) -> None:
        """A group has so many bytes more, or less."""
        self._bytes += more
        group.bytes += more
        if group.bytes > self._share:
            self._large[group.prefix] = group

    def _let_go(self, size: int) -> None:
        """Forget ended streams of those who have most, then the oldest of all: at least so many bytes, and some more,
        so that it is not done for each new stream.
        """
        size += self._bounds.max_total_bytes // 64
        size -= self._trim_largest(size)
        while self._ended and size > 0:
            size -= self._pop_ended()

    def _trim_largest(self, size: int) -> int:
        """Forget ended streams of the groups that have most, each down to the same level, the oldest first: about so
        many bytes, and none of who has no more than the share. Gives how many they were.
        """
        large = [group for group in self._large.values() if group.bytes > self._share]
        large.sort(key=lambda group: group.bytes, reverse=True)
        self._large = {group.prefix: group for group in large}
        level, together = self._share, 0
        for count, group in enumerate(large, 1):
            together += group.bytes
            below = large[count].bytes if count < len(large) else self._share
            if together - count * below >= size:
                level = (together - size) // count
                break
        before = self._bytes
        for group in large:
            excess, ended = group.bytes - level, list[str]()
            for name in group.names:
                if excess <= 0:
                    break
                if self._streams[name].closed:
                    ended.append(name)
                    excess -= self._streams[name].charge()
            for name in ended:
                self._remove(name)
        return before - self._bytes

    def _pop_ended(self) -> int:
        """Forget the stream that ended first. Gives the bytes that it was charged for."""
        found = self._ended.popleft()
        if found.gone:
            self._gone -= 1
            return 0
        charge = found.charge()
        found.closed = False  # so that it is not missed in the line
        self._remove(found.name)
        return charge

    def _remove(self, stream: str) -> None:
        found = self._streams.pop(stream)
        self._names.remove(stream, found.group)
        self._deadlines.forget(stream)
        self._count(found.group, -found.charge())
        if not found.group.names:
            self._large.pop(found.group.prefix, None)
        if found.closed:
            self._leave_line(found)

    def _leave_line(self, found: _MemoryStream) -> None:
        """Taking it out of the line would mean to look for it, so it is only marked, and its events let go."""
        found.gone = True
        found.events = []
        self._gone += 1
        if self._gone > len(self._ended) // 2 + 64:
            self._ended = deque(each for each in self._ended if not each.gone)
            self._gone = 0

    def _sweep(self, now: float, limit: int) -> None:
        """Forget streams that are due, at most so many of those that have ended, and of the others."""
        ended = self._ended
        if ended and ended[0].events_end <= now:
            for _ in range(min(limit, len(ended))):
                if ended[0].events_end > now:
                    break
                self._pop_ended()
        if self._deadlines.any_due(now):
            for name in list(self._deadlines.due(now, limit)):
                found = self._settled(name, now)
                if found is not None:
                    self._deadlines.note(name, found.end())
