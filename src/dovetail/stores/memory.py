"""The store that needs nothing: everything in this process, gone with it.

Theory of operation
-------------------
Each part is a dictionary, a heap of deadlines and a lock. No method waits, so each is atomic; the lock makes
that hold for several event loops in several threads too. There is no background task: an expired entry is
invisible because every look compares its deadline with the clock, and each write sweeps a few of those that
are due, more than it adds, so what has expired never piles up. A write that meets a bound sweeps all that is
due before it gives up. Where nobody writes any more, a timer sweeps (see `sweeping`).

A clock that goes back ends nothing that is in use, and lets nothing pile up.

Every entry is charged a fixed cost besides its bytes: a flood of tiny ones meets the bound as well.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import islice
from threading import Lock

from msgspec.structs import replace

from dovetail.stores.bounds import (
    KeyValueBounds,
    SessionBounds,
    StoreBounds,
    check_key,
    check_prefix,
    check_ttl,
    check_value,
    is_anonymous,
)
from dovetail.stores.contracts import KeyValue, SessionRecord
from dovetail.stores.errors import SessionExists, StoreClosed, StoreFull
from dovetail.stores.memory_bus import MemoryBus
from dovetail.stores.memory_events import MemoryEvents
from dovetail.stores.memory_tasks import MemoryTasks
from dovetail.stores.namespaces import COST, Reservations, Share, view
from dovetail.stores.ordering import Deadlines, OrderedKeys
from dovetail.stores.sweeping import Sweeper

__all__ = ["MemoryBus", "MemoryEvents", "MemoryKeyValue", "MemorySessions", "MemoryStore", "MemoryTasks"]

SWEEP = 8
"""Due entries that one write sweeps."""
PAGE = 256
"""Keys that a scan reads at once."""


class MemoryKeyValue:
    """A `KeyValue` in this process. `clock` gives seconds since the epoch."""

    owner_only = True
    """Nobody else can read it: secrets of this user may stand in it as they are."""

    def __init__(
        self,
        bounds: KeyValueBounds = KeyValueBounds(),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sweeper = Sweeper(clock, self._sweep_some)
        self._bounds = bounds
        self._clock = clock
        self._lock = Lock()
        self._closed = False
        # Value, deadline (infinity: none), and what it counts toward.
        self._entries: dict[str, tuple[bytes, float, tuple[Share, ...]]] = {}
        self._keys = OrderedKeys()
        self._deadlines = Deadlines()
        self._reservations = Reservations(bounds.max_bytes)
        self._unshared = (self._reservations.rest,)
        self._used: Counter[str] = Counter()  # bytes by the prefix of a share; "": of entries without one

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        check_key(key)
        with self._lock:
            return self._live(key, self._now())

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `KeyValue.set`."""
        await self.put(key, value, ttl, ())

    async def put(self, key: str, value: bytes, ttl: float | None, shares: tuple[Share, ...]) -> None:
        """See `SharingKeyValue.put`."""
        self._check(key, value, ttl)
        with self._lock:
            self._put(key, value, ttl, self._now(), shares)

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self.compare_and_set(key, None, value, ttl=ttl)

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        check_key(key)
        with self._lock:
            value = self._live(key, self._now())
            self._remove(key)
            return value

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """See `KeyValue.compare_and_set`."""
        return await self.swap(key, expected, value, ttl, ())

    async def swap(
        self,
        key: str,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> bool:
        """See `SharingKeyValue.swap`."""
        self._check(key, value, ttl)
        with self._lock:
            now = self._now()
            if self._live(key, now) != expected:
                return False
            if value is None:
                self._remove(key)
            else:
                self._put(key, value, ttl, now, shares)
            return True

    async def delete(self, key: str) -> bool:
        """See `KeyValue.delete`."""
        return await self.take(key) is not None

    async def expire(self, key: str, ttl: float) -> bool:
        """See `KeyValue.expire`."""
        check_key(key)
        check_ttl(ttl)
        with self._lock:
            now = self._now()
            value = self._live(key, now)
            if value is None:
                return False
            self._entries[key] = (value, now + ttl, self._entries[key][2])
            self._deadlines.note(key, now + ttl)
            return True

    async def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """See `KeyValue.scan`."""
        check_prefix(prefix)
        last = ""
        while True:
            with self._lock:
                now = self._now()
                page = list(islice(self._keys.after(last, prefix), PAGE))
                live = [key for key in page if self._live(key, now) is not None]
            for key in live:
                yield key
            if len(page) < PAGE:
                return
            last = page[-1]

    def within(self, prefix: str, *, share: float | None = None) -> KeyValue:
        """See `KeyValue.within`."""
        return view(self, "", (), prefix, share)

    def reserve(self, prefix: str, share: float) -> Share:
        """See `SharingKeyValue.reserve`."""
        with self._lock:
            reserved = self._reservations.reserve(prefix, share)
            self._unshared = (self._reservations.rest,)
            return reserved

    def close(self) -> None:
        """Forget everything; every later call raises `StoreClosed`."""
        with self._lock:
            self._closed = True
            self._entries, self._keys, self._deadlines = {}, OrderedKeys(), Deadlines()

    def _sweep_some(self, limit: int) -> bool | None:
        """See `Sweep`."""
        with self._lock:
            if not len(self._deadlines):
                return None
            now = self._clock()
            self._sweep(now, limit)
            return self._deadlines.any_due(now)

    def _check(self, key: str, value: bytes | None, ttl: float | None) -> None:
        check_key(key)
        check_ttl(ttl)
        if value is not None:
            check_value(value, self._bounds.max_value)

    def _now(self) -> float:
        if self._closed:
            raise StoreClosed
        return self._clock()

    def _live(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        return None if entry is None or entry[1] <= now else entry[0]

    def _size(self, key: str) -> int:
        entry = self._entries.get(key)
        return 0 if entry is None else len(key) + len(entry[0]) + COST

    def _put(self, key: str, value: bytes, ttl: float | None, now: float, shares: tuple[Share, ...]) -> None:
        if ttl is not None and now >= self._sweeper.until:
            self._sweeper.start()
        self._sweep(now, SWEEP)
        size = len(key) + len(value) + COST
        counted = shares or self._unshared
        if self._lacking(key, size, counted):
            self._sweep(now, None)
            if lacking := self._lacking(key, size, counted):
                raise StoreFull("bytes of values", lacking.limit)
        self._discharge(key)
        for share in counted:
            self._used[share.prefix] += size
        if key not in self._entries:
            self._keys.add(key)
        if ttl is None:
            self._entries[key] = (value, math.inf, counted)
            self._deadlines.forget(key)
        else:
            self._entries[key] = (value, now + ttl, counted)
            self._deadlines.note(key, now + ttl)

    def _lacking(self, key: str, size: int, counted: tuple[Share, ...]) -> Share | None:
        """The share that has no room for an entry of this size in the place of the present one."""
        entry, present = self._entries.get(key), self._size(key)
        before = () if entry is None else [share.prefix for share in entry[2]]
        for share in counted:
            freed = present if share.prefix in before else 0
            if self._used[share.prefix] - freed + size > share.limit:
                return share
        return None

    def _discharge(self, key: str) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            size = self._size(key)
            for share in entry[2]:
                self._used[share.prefix] -= size
                if not self._used[share.prefix]:
                    del self._used[share.prefix]

    def _remove(self, key: str) -> None:
        if key in self._entries:
            self._discharge(key)
            self._keys.remove(key)
            self._deadlines.forget(key)
            del self._entries[key]

    def _sweep(self, now: float, limit: int | None) -> None:
        for key in self._deadlines.due(now, limit):
            deadline = self._entries[key][1]
            if deadline <= now:
                self._remove(key)
            else:
                self._deadlines.note(key, deadline)


class _Idle:
    """Sessions of anonymous principals, in the orders in which they may go: those that were never saved since they were
    created, and all of them, by when they were seen.
    """

    __slots__ = ("_seen", "_unused")

    def __init__(self) -> None:
        self._unused = Deadlines()
        self._seen = Deadlines()

    def add(self, record: SessionRecord) -> None:
        """There is one more."""
        self._unused.note(record.id, record.created)
        self._seen.note(record.id, record.seen)

    def saved(self, id: str) -> None:
        """One was saved."""
        self._unused.forget(id)

    def forget(self, id: str) -> None:
        """One is gone."""
        self._unused.forget(id)
        self._seen.forget(id)

    def idlest(self, records: Mapping[str, SessionRecord]) -> str | None:
        """The one that is to go; it has to be forgotten then."""
        if 2 * len(self._unused) > len(self._seen):
            return next(self._unused.due(math.inf, 1))
        for id in self._seen.due(math.inf, None):
            seen = records[id].seen
            if not self._seen.any_before(seen):
                return id
            self._seen.note(id, seen)
        return None


class MemorySessions:
    """A `SessionStore` in this process. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        bounds: SessionBounds = SessionBounds(),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sweeper = Sweeper(clock, self._sweep_some)
        self._bounds = bounds
        self._clock = clock
        self._lock = Lock()
        self._closed = False
        self._records: dict[str, SessionRecord] = {}
        self._of: Counter[str] = Counter()  # sessions by principal
        self._bytes_of: Counter[str] = Counter()
        self._deadlines = Deadlines()
        self._bytes = 0
        # The sessions of one anonymous principal, and of all.
        self._idle_of: dict[str, _Idle] = {}
        self._idle = _Idle()

    async def create(self, record: SessionRecord) -> list[str]:
        """See `SessionStore.create`."""
        check_key(record.id, "session id")
        check_prefix(record.principal, "principal key")
        check_value(record.data, self._bounds.max_data, "session data")
        with self._lock:
            now = self._sweep()
            if now >= self._sweeper.until:
                self._sweeper.start()
            if record.id in self._records:
                raise SessionExists
            gone = self._make_room(record)
            record = replace(record, created=min(record.created, now), seen=min(record.seen, now))
            self._records[record.id] = record
            self._of[record.principal] += 1
            self._count_bytes(record, len(record.data) + COST)
            self._deadlines.note(record.id, self._end(record))
            if is_anonymous(record.principal):
                for idle in (self._idle, self._idle_of.setdefault(record.principal, _Idle())):
                    idle.add(record)
            return gone

    async def load(self, id: str) -> SessionRecord | None:
        """See `SessionStore.load`."""
        with self._lock:
            record, _ = self._live(id)
        if record is None:
            check_key(id, "session id")
        return record

    async def save(self, record: SessionRecord, *, expected_version: int) -> bool:
        """See `SessionStore.save`."""
        check_key(record.id, "session id")
        check_value(record.data, self._bounds.max_data, "session data")
        if record.version <= expected_version:
            raise ValueError(
                f"A save must raise the version: {record.version} is not above {expected_version}."
            )
        with self._lock:
            stored, now = self._live(record.id)
            if stored is None or stored.version != expected_version:
                return False
            grown, bounds = len(record.data) - len(stored.data), self._bounds
            if self._bytes + grown > bounds.max_bytes:
                raise StoreFull("bytes of sessions", bounds.max_bytes)
            if grown > 0 and self._bytes_of[stored.principal] + grown > bounds.max_bytes_per_principal:
                raise StoreFull("bytes of sessions of one principal", bounds.max_bytes_per_principal)
            self._count_bytes(stored, grown)
            if stored.principal in self._idle_of:
                self._idle.saved(stored.id)
                self._idle_of[stored.principal].saved(stored.id)
            self._records[record.id] = replace(
                stored, version=record.version, data=record.data, seen=max(stored.seen, now)
            )
            return True

    async def touch(self, id: str) -> bool:
        """See `SessionStore.touch`."""
        check_key(id, "session id")
        with self._lock:
            record, now = self._live(id)
            if record is None:
                return False
            self._records[id] = replace(record, seen=max(record.seen, now))
            return True

    async def delete(self, id: str) -> bool:
        """See `SessionStore.delete`."""
        check_key(id, "session id")
        with self._lock:
            record, _ = self._live(id)
            if record is None:
                return False
            self._remove(record)
            return True

    async def count(self, principal_key: str | None = None) -> int:
        """See `SessionStore.count`."""
        with self._lock:
            self._sweep()
            return len(self._records) if principal_key is None else self._of.get(principal_key, 0)

    def close(self) -> None:
        """Forget everything; every later call raises `StoreClosed`."""
        with self._lock:
            self._closed = True
            self._records, self._of, self._deadlines = {}, Counter(), Deadlines()
            self._idle_of, self._idle, self._bytes_of = {}, _Idle(), Counter()

    def _sweep_some(self, limit: int) -> bool | None:
        """See `Sweep`."""
        with self._lock:
            if not self._records:
                return None
            return self._deadlines.any_due(self._sweep(limit))

    def _make_room(self, record: SessionRecord) -> list[str]:
        """Remove idle sessions of anonymous principals until there is room for one more; gives their ids."""
        gone: list[str] = []
        while (met := self._met(record)) is not None:
            what, limit, own = met
            idle = self._idle_of.get(record.principal) if own else self._idle
            id = None if idle is None else idle.idlest(self._records)
            if id is None:
                raise StoreFull(what, limit)
            self._remove(self._records[id])
            gone.append(id)
        return gone

    def _met(self, record: SessionRecord) -> tuple[str, int, bool] | None:
        """The bound that a new session would meet: of what, how much, and whether it is one of its principal alone."""
        bounds, principal, size = self._bounds, record.principal, len(record.data) + COST
        if self._of[principal] >= bounds.max_per_principal:
            return "sessions of one principal", bounds.max_per_principal, True
        if self._bytes_of[principal] + size > bounds.max_bytes_per_principal:
            return "bytes of sessions of one principal", bounds.max_bytes_per_principal, True
        if len(self._records) >= bounds.max_sessions:
            return "sessions", bounds.max_sessions, False
        if self._bytes + size > bounds.max_bytes:
            return "bytes of sessions", bounds.max_bytes, False
        return None

    def _count_bytes(self, record: SessionRecord, more: int) -> None:
        self._bytes += more
        self._bytes_of[record.principal] += more

    def _now(self) -> float:
        if self._closed:
            raise StoreClosed
        return self._clock()

    def _end(self, record: SessionRecord) -> float:
        return min(record.seen + self._bounds.idle_ttl, record.created + self._bounds.absolute_ttl)

    def _live(self, id: str) -> tuple[SessionRecord | None, float]:
        if self._closed:
            raise StoreClosed
        now = self._clock()
        record = self._records.get(id)
        if record is not None:
            bounds = self._bounds
            if record.seen + bounds.idle_ttl <= now or record.created + bounds.absolute_ttl <= now:
                record = None
        return record, now

    def _remove(self, record: SessionRecord) -> None:
        principal = record.principal
        del self._records[record.id]
        self._deadlines.forget(record.id)
        self._count_bytes(record, -len(record.data) - COST)
        self._of[principal] -= 1
        if principal in self._idle_of:
            self._idle.forget(record.id)
            self._idle_of[principal].forget(record.id)
        if not self._of[principal]:
            del self._of[principal], self._bytes_of[principal]
            self._idle_of.pop(principal, None)

    def _sweep(self, limit: int | None = None) -> float:
        """Remove every ended session, so that what is left can be counted; or at most ``limit``. Each is swept
        once: cheap overall.
        """
        now = self._now()
        for id in self._deadlines.due(now, limit):
            record = self._records[id]
            end = self._end(record)
            if end <= now:
                self._remove(record)
            else:
                self._deadlines.note(id, end)
        return now


class MemoryStore:
    """The bundle in this process: `kv`, `sessions`, `events`, `bus` and `tasks`. Needs no closing, and is gone with
    the process.
    """

    def __init__(
        self, *, bounds: StoreBounds = StoreBounds(), clock: Callable[[], float] = time.time
    ) -> None:
        self.kv = MemoryKeyValue(bounds.kv, clock=clock)
        self.sessions = MemorySessions(bounds.sessions, clock=clock)
        self.events = MemoryEvents(bounds.events, clock=clock)
        self.bus = MemoryBus(bounds.bus)
        self.tasks = MemoryTasks(bounds.tasks, clock=clock)

    async def aclose(self) -> None:
        """Forget everything; every later call raises `StoreClosed`. May be called again."""
        self.kv.close()
        self.sessions.close()
        self.events.shut()
        self.bus.close()
        self.tasks.close()
