"""Rows to draw spans in: the lowest that is free, so that what runs at once lies below each other."""

from __future__ import annotations

from heapq import heappop, heappush

__all__ = ["SpanLanes"]


class SpanLanes:
    """The rows of one connection."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._count = 0

    def take(self) -> int:
        """The lowest row that is free."""
        if self._free:
            return heappop(self._free)
        self._count += 1
        return self._count - 1

    def give(self, lane: int) -> None:
        """A row is free again."""
        heappush(self._free, lane)
