"""How often a caller may call, and who counts as one caller.

Theory of operation
-------------------
The generic cell rate algorithm: for each key one number, the time at which its bucket will be full again. A
call moves it ahead by its cost; a call that would move it further than a full burst ahead of now is refused.
That is exactly a token bucket, without a timer and without a counter.

The table is bounded and kept in the order of last use. The entries at its front have waited longest, so they
are the ones that are full, and a full bucket can be forgotten without any loss. Only when more keys than the
table holds are active within one burst's time is a bucket forgotten that is not full.

A principal is one caller, wherever it calls from. A caller without a name is its address (of IPv6, its network of 64
bits); all of this machine are one.

Specification: server/tools, "Security Considerations"; server/utilities/completion, "Security".
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Protocol

__all__ = ["CallLimiter", "LogThrottle", "RateLimiter"]


class CallLimiter(Protocol):
    """What says whether a key may have one more call: a `RateLimiter`, or one that asks others first."""

    def take(self, key: Hashable, /) -> float | Awaitable[float]:
        """Take one call: 0.0 where it is allowed, else the seconds after which to try again; or what to await for
        that.
        """
        ...


class RateLimiter:
    """Allows each key ``burst`` calls at once and ``rate`` calls per second in the long run, at this process.

    At most ``max_keys`` keys are remembered (default 10,000). ``clock`` gives seconds and never goes back. For one
    thread. Raises `ValueError` for a rate that is not above zero, a burst or a number of keys below 1.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        max_keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < rate < math.inf:
            raise ValueError("rate is a finite number of calls per second above zero")
        if burst < 1 or max_keys < 1:
            raise ValueError("burst and max_keys must be at least 1")
        self.rate: Final = rate
        self.burst: Final = burst
        self._interval = 1.0 / rate
        self._depth = burst / rate
        self._max_keys = max_keys
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable, cost: float = 1) -> float:
        """Take ``cost`` calls. 0.0: allowed; else nothing was taken, and the seconds after which it would be
        allowed.

        A cost above the burst is never allowed: infinity. Raises `ValueError` for a cost that is not above
        zero.
        """
        if not cost > 0:
            raise ValueError("cost must be above zero")
        if cost > self.burst:
            return math.inf
        now = self._clock()
        known = self._full_at.get(key)
        full_at = now if known is None or known < now else known
        after = full_at + cost * self._interval
        # Sums of fractions stray by their last bits: a wait below a nanosecond is none.
        wait = after - self._depth - now
        if wait > 1e-9:
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            return wait
        self._full_at[key] = after
        self._full_at.move_to_end(key)
        if known is None:
            self._make_room(now)
        return 0.0

    def give_back(self, key: Hashable, cost: float = 1) -> None:
        """Undo a `take` of so much. Nothing happens for a key that was forgotten, for then it is full."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = full_at - cost * self._interval

    def _make_room(self, now: float) -> None:
        """Forget full buckets from the front, two at most per new key, and the first one if the table is
        over.
        """
        for _ in range(2):
            oldest = next(iter(self._full_at.values()))
            if oldest > now and len(self._full_at) <= self._max_keys:
                return
            self._full_at.popitem(last=False)
            if not self._full_at:
                return


class LogThrottle:
    """Whether something is to be told: once for each key in ``interval`` seconds, and of all keys together ten times
    at once and then once in ten seconds, so that those who come under many names do not fill a log. For one thread.
    """

    def __init__(self, interval: float = 60.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = RateLimiter(1.0 / interval, 1, max_keys=1000, clock=clock)
        self._all = RateLimiter(0.1, 10, max_keys=1, clock=clock)

    def due(self, key: Hashable) -> bool:
        """True if it is to be told now; then it counts as told."""
        return self._each.take(key) == 0.0 and self._all.take("") == 0.0
