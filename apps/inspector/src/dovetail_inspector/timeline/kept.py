"""A timeline to look at: the spans of a capture and its latencies, as many as are worth drawing."""

from __future__ import annotations

from typing import Final

from dovetail.recording import CaptureLine

from .latencies import Latencies
from .span import Span
from .spans import Spans

__all__ = ["MOST_KEPT", "Timeline"]

MOST_KEPT: Final = 50_000
"""Spans that a timeline keeps; the oldest that have ended go first."""


class Timeline:
    """Follows a capture: give it each line. ``latencies`` counts all of it, also what ``spans`` has no more;
    ``dropped``: how many of these there are.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.latencies: Final = Latencies()
        self.dropped = 0
        self._most = most
        self._spans = Spans()
        self._ended: dict[int, Span] = {}

    @property
    def seconds(self) -> float:
        """When the last line was."""
        return self._spans.seconds

    @property
    def spans(self) -> list[Span]:
        """Those that have ended, and those that are open, in the order in which they began."""
        found = [*self._ended.values(), *self._spans.open]
        return sorted(found, key=lambda each: (each.start, each.id))

    def line(self, line: CaptureLine) -> list[Span]:
        """Take a line; gives the spans that it began, changed or ended."""
        changed = self._spans.line(line)
        for each in changed:
            if each.outcome:
                self.latencies.span(each)
                self._ended[each.id] = each
        while len(self._ended) > self._most:
            del self._ended[next(iter(self._ended))]
            self.dropped += 1
        return changed
