"""Three small structures of the stores in memory, and the end of a range of keys with one prefix.

Theory of operation
-------------------
`OrderedKeys` keeps keys sorted in short lists, so that adding, removing and finding a prefix cost a binary
search and a small move, however many keys there are; a scan then reads only what it returns.

`Deadlines` is a heap that says what may have expired. An entry is a lower bound: extending a life costs
nothing, and whoever asks what is `due` looks at the real deadline and hands the key back when it is later.
Entries that no longer count are skipped, and swept out when they outnumber the rest.

`Ranks` is such a heap for ranks that rise and fall, and whose first has to be known exactly.

Specification: none.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Deadlines", "OrderedKeys", "Ranks", "prefix_end"]

R = TypeVar("R", float, tuple[int, float, str])
RUN = 512
"""Keys in one list; a list of twice as many is split."""


def prefix_end(prefix: str) -> str | None:
    """The least string above every string that starts with `prefix`, in code point order; None when there is
    none.
    """
    while prefix:
        last = ord(prefix[-1])
        prefix = prefix[:-1]
        if last < 0x10FFFF:
            # Surrogates are no characters: the one after U+D7FF is U+E000.
            return prefix + chr(0xE000 if last == 0xD7FF else last + 1)
    return None


class OrderedKeys:
    """A sorted set of strings."""

    __slots__ = ("_ends", "_runs")

    def __init__(self) -> None:
        self._runs: list[list[str]] = []
        self._ends: list[str] = []  # the last key of each run

    def add(self, key: str) -> None:
        """Put in a key that is not in the set."""
        if not self._runs:
            self._runs.append([key])
            self._ends.append(key)
            return
        at = min(bisect_left(self._ends, key), len(self._runs) - 1)
        run = self._runs[at]
        insort(run, key)
        if len(run) > 2 * RUN:
            self._runs.insert(at + 1, run[RUN:])
            self._ends.insert(at + 1, run[-1])
            del run[RUN:]
        self._ends[at] = run[-1]

    def remove(self, key: str) -> None:
        """Take out a key that is in the set."""
        at = bisect_left(self._ends, key)
        run = self._runs[at]
        del run[bisect_left(run, key)]
        if run:
            self._ends[at] = run[-1]
        else:
            del self._runs[at], self._ends[at]

    def after(self, key: str, prefix: str) -> Iterator[str]:
        """The keys above `key` that start with `prefix`, in order. The set must not change meanwhile."""
        start, first = (prefix, bisect_left) if key < prefix else (key, bisect_right)
        for at in range(first(self._ends, start), len(self._runs)):
            run = self._runs[at]
            for index in range(first(run, start), len(run)):
                if not run[index].startswith(prefix):
                    return
                yield run[index]


class Deadlines:
    """When each key may expire, soonest first."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}  # the entry that counts, by key

    def note(self, key: str, at: float) -> None:
        """The key will not expire before `at`. A later deadline than the one noted waits for `due` to find
        out.
        """
        if at < self._at.get(key, math.inf):
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))
            self._tidy()

    def forget(self, key: str) -> None:
        """The key is gone or never expires."""
        if self._at.pop(key, None) is not None:
            self._tidy()

    def any_due(self, now: float) -> bool:
        """Whether `due` may have something to give."""
        return bool(self._heap) and self._heap[0][0] <= now

    def __len__(self) -> int:
        return len(self._at)

    def any_before(self, at: float) -> bool:
        """Whether an entry may be before `at`."""
        return bool(self._heap) and self._heap[0][0] < at

    def due(self, now: float, limit: int | None) -> Iterator[str]:
        """Keys whose entry is not after `now`, at most `limit`; each is forgotten as it is given: `note` it
        to keep it.
        """
        while self._heap and self._heap[0][0] <= now and limit != 0:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                limit = None if limit is None else limit - 1
                yield key

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)


class Ranks(Generic[R]):
    """Keys, the one of the lowest rank first, and of several that of them which sorts first."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[R, str]] = []
        self._at: dict[str, R] = {}  # the entry that counts, by key

    def __len__(self) -> int:
        return len(self._at)

    def rank(self, key: str) -> R | None:
        """The rank of the key, None where it is not there."""
        return self._at.get(key)

    def all(self) -> Iterable[tuple[str, R]]:
        """The keys with their ranks, in no promised order."""
        return self._at.items()

    def put(self, key: str, rank: R) -> None:
        """The key has this rank from now on."""
        if self._at.get(key) != rank:
            self._at[key] = rank
            heapq.heappush(self._heap, (rank, key))
            self._tidy()

    def forget(self, key: str) -> None:
        """The key is gone, if it was there."""
        if self._at.pop(key, None) is not None:
            self._tidy()

    def first(self) -> tuple[R, str] | None:
        """The lowest rank, and its key."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(rank, key) for key, rank in self._at.items()]
            heapq.heapify(self._heap)
