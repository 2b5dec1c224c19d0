"""What happened when, as bars of text; and how long each method took.

Theory of operation. The spans are those of `dovetail_inspector.timeline`, which reads the conversation line by line; a
worker gives it what is new, a few lines at a time, while the view is open. Plus and minus zoom, the arrows move.

Specification: none.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from ..timeline.kept import Timeline
from ..timeline.span import Span
from ..transcript.transcript import Transcript
from .reader import TextReader
from .rows import RowList
from .text import Row, fitted, inline, time_text
from .view import InspectorView, RecordWanted

__all__ = ["TimelineView", "bar"]

_AT_ONCE: Final = 100
_DEEPEST: Final = 8
_FAILED: Final = ("failed", "error", "broken", "unanswered", "unknown")
_GLYPHS: Final = {
    "connection": "⇄",
    "http": "↔",
    "stream": "≈",
    "call": "▸",
    "question": "?",
    "round": "↻",
    "task": "⧗",
    "subscription": "◉",
}


class TimelineView(InspectorView):
    """Spans of the conversation that is looked at."""

    title = "Timeline"
    news = frozenset({"records", "transcript", "transcript-removed", "server", "server-removed"})
    DEFAULT_CSS = """
    TimelineView > Static { height: 1; color: $text-muted; }
    TimelineView > RowList { height: 2fr; }
    TimelineView > TextReader { height: 1fr; border-top: solid $primary; display: none; }
    TimelineView.counted > TextReader { display: block; }
    """
    BINDINGS: ClassVar = [
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in"),
        Binding("minus", "zoom(2.0)", "Zoom out"),
        Binding("left", "pan(-0.25)", "Earlier", show=False),
        Binding("right", "pan(0.25)", "Later", show=False),
        Binding("0", "whole", "All", show=False),
        Binding("l", "latencies", "Latencies"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.spans: list[Span] = []
        self._of: Transcript | None = None
        self._timeline = Timeline()
        self._read = 0
        self._reading = False
        self._from = 0.0
        self._long: float | None = None
        self._depths: dict[int, int] = {}

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield Static(Content(""), id="timeline-range")
        yield RowList(
            lambda: len(self.spans),
            self._row,
            empty="Nothing happened yet.",
            follow=False,
            id="timeline-list",
        )
        yield TextReader(id="timeline-latencies")

    @property
    def window(self) -> tuple[float, float]:
        """The seconds that the bars show: from, and how many."""
        return self._from, self._long or max(self._timeline.seconds, 1e-6)

    def draw(self) -> None:
        """Show how it is now."""
        if self.transcript is not self._of:
            self._of = self.transcript
            self._timeline = Timeline()
            self._read = 0
            self._from, self._long = 0.0, None
            self.spans = []
        if not self._reading:
            self.run_worker(self._follow(), group="read")
        self._renewed()

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """To the record that began it."""
        event.stop()
        if self._of is not None:
            self.post_message(RecordWanted(self._of.id, self.spans[event.at].record))

    def action_zoom(self, by: float) -> None:
        """Look closer, or from farther away; what the cursor is on stays in view."""
        start, long = self.window
        at = self.query_one(RowList).cursor
        middle = self.spans[at].start if at < len(self.spans) else start + long / 2
        middle = min(max(middle, start), start + long)
        share = (middle - start) / long
        self._long = min(max(long * by, 1e-5), max(self._timeline.seconds, 1e-5))
        self._from = max(middle - share * self._long, 0.0)
        self._renewed()

    def action_pan(self, by: float) -> None:
        """Look earlier or later."""
        start, long = self.window
        self._from = min(max(start + by * long, 0.0), max(self._timeline.seconds - long, 0.0))
        self._renewed()

    def action_whole(self) -> None:
        """All of it."""
        self._from, self._long = 0.0, None
        self._renewed()

    def action_latencies(self) -> None:
        """How long each method took."""
        self.toggle_class("counted")
        self._renewed()

    async def _follow(self) -> None:
        self._reading = True
        try:
            while self.is_mounted and self._of is not None and self._read < len(self._of):
                of = self._of
                last = min(self._read + _AT_ONCE, len(of))
                for n in range(self._read + 1, last + 1):
                    self._timeline.line(of.line(n))
                self._read = last
                await asyncio.sleep(0)
                if of is not self._of:
                    continue
        except (OSError, LookupError) as problem:
            self.complain(problem)
        finally:
            self._reading = False
        self._renewed()

    def _renewed(self) -> None:
        if not self._reading:
            self.spans = self._timeline.spans
            self._depths = _depths(self.spans)
        start, long = self.window
        text = (
            f" {time_text(start) if start else '0'} to {time_text(start + long)}   {len(self.spans):,} spans"
        )
        if self._of is not None and self._read < len(self._of):
            text += f"   reading {self._read:,} of {len(self._of):,}"
        self.query_one("#timeline-range", Static).update(Content(text))
        self.query_one(RowList).renew()
        if self.has_class("counted"):
            self.query_one(TextReader).show(_latencies(self._timeline), stay=True)

    def _row(self, at: int) -> Row:
        span = self.spans[at]
        width = self.query_one(RowList).size.width
        names = min(max(width // 3, 18), 40)
        kind = "error" if span.outcome in _FAILED else "warning" if not span.outcome else "good"
        indent = " " * self._depths.get(span.id, 0)
        label = fitted(f"{indent}{_GLYPHS[span.kind]} {inline(span.name, 80)}", names)
        start, long = self.window
        drawn = bar(
            span.start - start,
            (span.end if span.end is not None else self._timeline.seconds) - start,
            long,
            width - names - 12,
        )
        ends = "" if span.outcome in ("", "ok") else f" {span.outcome}"
        return [
            (label, "plain"),
            (" ", "plain"),
            (drawn, kind),
            (f" {time_text(span.seconds):>9}{ends}", "faint"),
        ]


def bar(start: float, end: float, long: float, width: int) -> str:
    """A bar from one time to another, of ``long`` seconds that are ``width`` columns; at least an eighth is drawn."""
    width = max(width, 1)
    if end < 0 or start > long:
        return " " * width
    first = min(max(start, 0.0) / long * width, width - 0.125)
    last = min(max(min(end, long) / long * width, first + 0.125), float(width))
    whole = int(first)
    if last - whole < 1:
        return (" " * whole + " ▏▎▍▌▋▊▉"[max(round((last - first) * 8) % 8, 1)]).ljust(width)
    return (" " * whole + "█" * int(last - whole)).ljust(width)


def _depths(spans: list[Span]) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in spans:
        found[each.id] = min(found.get(each.parent, -1) + 1, _DEEPEST)
    return found


def _latencies(timeline: Timeline) -> list[Row]:
    rows: list[Row] = [[(f"{'method':<30}{'count':>8}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}", "title")]]
    rows += [
        [
            (fitted(inline(each.method, 60), 30), "plain"),
            (f"{each.count:>8,}", "number"),
            *((f"{time_text(value):>10}", "plain") for value in (each.p50, each.p95, each.p99, each.max)),
        ]
        for each in timeline.latencies.rows()
    ]
    return rows
