"""How long requests took, by method: counts, percentiles, a histogram.

Theory of operation. Up to `EXACT` times of a method are kept, and its percentiles are exact (the nearest rank). Beyond,
or where all methods together have more than `EXACT_IN_ALL`, they are counted in buckets, each 2 % wider than the one
below, so a percentile is off by 1 % at most. Of methods no more than `MOST_METHODS` are told apart.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from typing import Final

from msgspec import Struct

from .span import Span

__all__ = ["BOUNDS", "EXACT", "OTHER", "Latencies", "MethodLatency"]

EXACT: Final = 100_000
"""Times of one method that are kept as they are."""
EXACT_IN_ALL: Final = 1_000_000
"""Times of all methods that are."""
MOST_METHODS: Final = 500
OTHER: Final = "(other)"
"""What methods beyond `MOST_METHODS` are counted as."""

BOUNDS: Final = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
"""Upper bounds of the histogram in seconds; what is longer is in one bucket more. Those of `dovetail.telemetry`."""

_STEP: Final = math.log(1.02)
_LEAST: Final = 1e-9


class MethodLatency(Struct, frozen=True, kw_only=True):
    """The times of one method, in seconds. ``histogram``: how many up to each of `BOUNDS`, and how many beyond; each
    is in one bucket alone. ``exact``: whether the percentiles are.
    """

    method: str
    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    mean: float
    histogram: tuple[int, ...]
    exact: bool = True


class Latencies:
    """Counts as spans end: give it each span that `Spans.line` gives, as often as it does."""

    def __init__(self, exact: int = EXACT, in_all: int = EXACT_IN_ALL) -> None:
        self._most, self._most_in_all = exact, in_all
        self._methods: dict[str, _MethodTimes] = {}
        self._kept = 0

    def span(self, span: Span) -> None:
        """Count a request that has its answer: of a call with rounds each round, and each question; not what nobody
        answered, and not what lasts by its nature.
        """
        if span.end is None or not span.method or span.kind not in ("call", "round", "question"):
            return
        if span.outcome in ("unanswered", "unknown", "cancelled") or (span.kind == "call" and span.rounds):
            return
        self.add(span.method, max(span.end - span.start, 0.0))

    def add(self, method: str, seconds: float) -> None:
        """Count one time."""
        if method not in self._methods and len(self._methods) >= MOST_METHODS:
            method = OTHER
        times = self._methods.setdefault(method, _MethodTimes())
        times.add(seconds)
        self._kept += times.exact
        if len(times.kept) > self._most:
            self._kept -= times.fold()
        elif self._kept > self._most_in_all:
            self._kept -= max(self._methods.values(), key=lambda each: len(each.kept)).fold()

    def rows(self) -> list[MethodLatency]:
        """What is known, the most frequent method first."""
        found = [each.row(method) for method, each in self._methods.items()]
        return sorted(found, key=lambda each: (-each.count, each.method))


class _MethodTimes:
    """The times of one method."""

    def __init__(self) -> None:
        self.kept = array("d")
        self.exact = True
        self._count = 0
        self._sum = self._max = 0.0
        self._buckets: Counter[int] = Counter()
        self._histogram = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._count += 1
        self._sum += seconds
        self._max = max(self._max, seconds)
        self._histogram[bisect_left(BOUNDS, seconds)] += 1
        if self.exact:
            self.kept.append(seconds)
        else:
            self._buckets[_bucket(seconds)] += 1

    def fold(self) -> int:
        """Keep counts in the place of times from now on; gives how many times these were."""
        count = len(self.kept)
        self._buckets.update(map(_bucket, self.kept))
        self.exact, self.kept = False, array("d")
        return count

    def row(self, method: str) -> MethodLatency:
        """What is known of it."""
        ranks = [max(math.ceil(self._count * part / 100), 1) for part in (50, 90, 95, 99)]
        if self.exact:
            times = sorted(self.kept)
            found = [times[rank - 1] for rank in ranks]
        else:
            found = [min(each, self._max) for each in self._in_buckets(ranks)]
        return MethodLatency(
            method=method,
            count=self._count,
            p50=found[0],
            p90=found[1],
            p95=found[2],
            p99=found[3],
            max=self._max,
            mean=self._sum / self._count,
            histogram=tuple(self._histogram),
            exact=self.exact,
        )

    def _in_buckets(self, ranks: list[int]) -> list[float]:
        found: list[float] = []
        below = 0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            while len(found) < len(ranks) and ranks[len(found)] <= below:
                found.append(_LEAST * math.exp((bucket + 0.5) * _STEP))
        return found


def _bucket(seconds: float) -> int:
    return int(math.log(max(seconds, _LEAST) / _LEAST) / _STEP)
