"""How often a caller may call, at all processes that share a store together.

Theory of operation
-------------------
The bucket of a caller is a record in the store: the time at which it will be full again, as in `limits`. To ask the
store at each call would be a round trip for each, so a process takes several calls out of the bucket at once, a lease,
and spends it without asking anybody. When half of it is spent another one is fetched, while calls go on; a call waits
only where there is nothing left to spend. What was not spent when a lease ends goes back into the bucket.

A lease is paid for when it is taken. So all processes together admit no more than the bucket gave; and since each may
hold one lease when a measurement begins, at most that much more for each of them.

The record moves by `compare_and_set`: one of several wins, the others look again. It has the time that it was written
at, for clocks differ. A process whose clock is behind that goes by the later one from then on, and all of them by their
monotonic clocks; so a clock that is wrong by up to a minute, or is set, gives a burst once and then changes nothing.

A store that does not answer in a moment is away. Then each process limits by itself, as if it were alone, and asks
again now and then. Nothing waits for that, and it is said once a minute. The same goes for a store that is full.

The records name nobody: their keys are digests. What is kept here is bounded, in callers and in questions under way.

Specification: server/tools, "Security Considerations"; server/utilities/completion, "Security".
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from ..logs import get_logger
from ..stores.contracts import KeyValue
from ..stores.errors import StoreError
from .limits import LogThrottle, RateLimiter

__all__ = ["SharedRateLimiter"]

log = get_logger("dovetail.server")

#: Which part of a burst one process takes at once.
LEASES: Final = 16
#: Seconds after which what was not spent of a lease goes back.
TERM: Final = 2.0
#: Seconds that the store has for a lease that a call waits for.
PATIENCE: Final = 1.0
#: Seconds between two tries to reach a store that is away.
RETRY: Final = 1.0
#: How many callers may have a lease under way at a time.
MAX_ASKING: Final = 1000
#: How often a record is read and written again because another process was first.
TRIES: Final = 32
#: The part of the bytes of a store that the records may take.
SHARE: Final = 1 / 64
#: Seconds by which the clocks of processes may differ; a record from further ahead makes no sense.
SKEW: Final = 60.0
#: The shortest wait that a caller is told, so that a flood asks the store seldom, in seconds.
_LEAST_WAIT: Final = 0.05
_RECORD: Final = struct.Struct("<dd")


class _CallAllowance:
    """What this process may still spend for one caller: ``left`` calls, until ``until``. ``refused``: until when the
    bucket is known to be empty. ``record``: what was last seen in the store. ``waiting``: calls that wait for more.
    """

    __slots__ = ("asking", "left", "record", "refused", "until", "waiting")

    def __init__(self) -> None:
        self.left = 0
        self.until = self.refused = 0.0
        self.record: bytes | None = None
        self.asking: asyncio.Task[bool] | None = None
        self.waiting = 0


class SharedRateLimiter:
    """Allows each key ``burst`` calls at once and ``rate`` calls per second in the long run, at all processes together
    whose ``kv`` has the same data and whose ``name`` is the same.

    At most ``max_keys`` keys are remembered here (default 10,000). ``clock`` gives seconds since the epoch. For one
    event loop. Raises `ValueError` as `RateLimiter` does.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        kv: KeyValue,
        name: str,
        max_keys: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._local = RateLimiter(rate, burst, max_keys=max_keys)
        self._interval = 1.0 / rate
        self._depth = burst / rate
        self._size = max(1, burst // LEASES)
        self._kv = kv.within("limits/", share=SHARE)
        self._name = name
        self._max_keys = max_keys
        self._ahead = clock() - time.monotonic()
        self._leases: OrderedDict[Hashable, _CallAllowance] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[bool]] = set()
        self._away: float | None = None
        self._seldom = LogThrottle()

    def __len__(self) -> int:
        return len(self._leases)

    def take(self, key: Hashable) -> float | Awaitable[float]:
        """Take one call. 0.0: allowed; else the seconds after which to try again. Where the store has to be asked
        first, what to await for that. In the event loop.
        """
        lease = self._leases.get(key)
        if lease is not None and lease.left > 0:
            lease.left -= 1
            if (
                lease.left * 2 < self._size
                and lease.asking is None
                and not lease.refused
                and self._away is None
            ):
                self._ask(key, lease)
            return 0.0
        if self._away is not None:
            if time.monotonic() >= self._away:
                self._try_again(key)
            return self._local.take(key)
        now = time.monotonic()
        if lease is not None and lease.refused > now:
            return lease.refused - now
        if len(self._tasks) >= MAX_ASKING and (lease is None or lease.asking is None):
            return self._local.take(key)
        return self._wait(key)

    async def _wait(self, key: Hashable) -> float:
        """Take one call once there is a lease. Where none comes in a moment, this process decides alone."""
        until = time.monotonic() + PATIENCE
        self._here()
        while self._away is None and (left := until - time.monotonic()) > 0:
            lease = self._lease(key)
            if lease.left > 0:
                lease.left -= 1
                return 0.0
            if (wait := lease.refused - time.monotonic()) > 0:
                return wait
            lease.waiting += 1
            try:
                asking = lease.asking or self._ask(key, lease)
                done, _ = await asyncio.wait((asking,), timeout=left)
            finally:
                lease.waiting -= 1
            if not done:
                self._lose("it did not answer in time")
        return self._local.take(key)

    def _lease(self, key: Hashable) -> _CallAllowance:
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = _CallAllowance()
            if len(self._leases) > self._max_keys:
                self._leases.popitem(last=False)
        self._leases.move_to_end(key)
        return lease

    # The store

    def _ask(self, key: Hashable, lease: _CallAllowance) -> asyncio.Task[bool]:
        """Have a lease fetched."""
        self._here()
        asking = lease.asking = asyncio.get_running_loop().create_task(self._fetch(key, lease))
        self._tasks.add(asking)
        asking.add_done_callback(self._tasks.discard)
        return asking

    def _here(self) -> None:
        """See to it that nothing is waited for that belongs to a loop which is gone, and that leases end."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._sweeping = loop, None
            self._tasks.clear()
            for lease in self._leases.values():
                lease.asking = None
        if self._sweeping is None:
            self._sweeping = loop.call_later(TERM / 2, self._sweep)

    async def _fetch(self, key: Hashable, lease: _CallAllowance) -> bool:
        """Take as much as is missing out of the bucket, or what there is. False where the store can't say."""
        try:
            wanted = max(1, self._size - lease.left + lease.waiting)
            got, wait = await self._move(key, lease, wanted)
        except Exception as problem:  # noqa: BLE001 - a store may fail in any way; calls go on without it
            self._lose(str(problem) or type(problem).__name__, problem)
            return False
        finally:
            lease.asking = None
        now = time.monotonic()
        if self._away is not None:
            self._away = None
            log.info("rate limits hold over all processes again: the store answers")
        if got:
            lease.left += got
            lease.until = now + TERM
            lease.refused = 0.0
        else:
            lease.refused = now + max(wait, _LEAST_WAIT)
        return True

    async def _move(self, key: Hashable, lease: _CallAllowance, wanted: int) -> tuple[int, float]:
        """Take so many calls out of the bucket at most, or put them back where it is below zero. Gives how many, and
        after which time there is one, in seconds. Raises `StoreError`.
        """
        name = self._digest(key)
        record = lease.record
        for _ in range(TRIES):
            full_at, now = self._read(record)
            room = int((now + self._depth - full_at) / self._interval + 1e-6)
            count = min(wanted, room)
            if wanted > 0 and count < 1:
                # What was seen before may be long past.
                found = await self._kv.get(name)
                if found == record:
                    return 0, full_at + self._interval - self._depth - now
                record = found
                continue
            new = _RECORD.pack(full_at + count * self._interval, now)
            if await self._kv.compare_and_set(name, record, new, ttl=self._depth + SKEW):
                lease.record = new
                return count, 0.0
            record = await self._kv.get(name)
        raise StoreError("too many processes wrote the same record")

    def _read(self, record: bytes | None) -> tuple[float, float]:
        """When the bucket is full, and what time it is. What can't be read counts as a full bucket."""
        now = time.monotonic() + self._ahead
        if record is None or len(record) != _RECORD.size:
            return now, now
        full_at, written = _RECORD.unpack(record)
        if not (abs(written) < now + SKEW and abs(full_at) <= written + self._depth * 2):
            return now, now
        if written > now:
            self._ahead += written - now
            now = written
        return max(full_at, now), now

    def _digest(self, key: Hashable) -> str:
        return hashlib.sha256(repr((self._name, key)).encode("utf-8", "surrogatepass")).hexdigest()[:40]

    # Leases that end

    def _sweep(self) -> None:
        """Give back what nobody spends, and forget who does not call. Again as long as there is anybody."""
        self._sweeping = None
        now = time.monotonic()
        for key, lease in list(self._leases.items()):
            if lease.asking is not None or lease.waiting or now < max(lease.until, lease.refused):
                continue
            del self._leases[key]
            if lease.left > 0 and self._away is None and len(self._tasks) < MAX_ASKING:
                self._return(key, lease)
        if self._leases:
            self._sweeping = asyncio.get_running_loop().call_later(TERM / 2, self._sweep)

    def _return(self, key: Hashable, lease: _CallAllowance) -> None:
        task = asyncio.get_running_loop().create_task(self._give_back(key, lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, key: Hashable, lease: _CallAllowance) -> bool:
        count, lease.left = lease.left, 0
        try:
            await self._move(key, lease, -count)
        except StoreError as problem:
            self._lose(str(problem), problem)
            return False
        return True

    # A store that is away

    def _lose(self, why: str, problem: Exception | None = None) -> None:
        """The store is away: each process decides alone for a while."""
        self._away = time.monotonic() + RETRY
        if self._seldom.due("away"):
            log.warning(
                "rate limits do not hold over all processes together, since the store can't be asked: %.300s. Each "
                "process limits by itself until it can; this is said once a minute",
                why,
                exc_info=None if problem is None or isinstance(problem, StoreError) else problem,
            )

    def _try_again(self, key: Hashable) -> None:
        """See whether the store is back, for one caller and without waiting for it."""
        self._away = time.monotonic() + RETRY
        if not self._tasks:
            self._ask(key, self._lease(key))
