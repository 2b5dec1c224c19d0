"""Rows to be read: wrapped at the width there is, scrolled by the keys that scroll.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.strip import Strip

from .rows import DrawnRows
from .text import Row, wrapped

__all__ = ["TextReader"]


class TextReader(DrawnRows):
    """Something to read."""

    BINDINGS: ClassVar = [
        Binding("k", "scroll_up", "Up", show=False),
        Binding("j", "scroll_down", "Down", show=False),
    ]

    def __init__(self, rows: Iterable[Row] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = list(rows)
        self._lines: list[Row] = []
        self._width = 0

    @property
    def text(self) -> str:
        """What stands in it, before it was wrapped."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows)

    def show(self, rows: Iterable[Row], *, stay: bool = False) -> None:
        """Something else. ``stay``: do not go to its beginning."""
        self._rows = list(rows)
        self._wrap()
        if not stay:
            self.scroll_to(0, 0, animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """Called by Textual: the line at this height."""
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        return self.strip(self._lines[at] if at < len(self._lines) else [], width)

    def on_resize(self, event: events.Resize) -> None:
        """Another width: other lines."""
        if self.scrollable_content_region.width != self._width:
            self._wrap()

    def _wrap(self) -> None:
        self._width = self.scrollable_content_region.width
        self._lines = list(wrapped(self._rows, self._width)) if self._width else []
        self.virtual_size = Size(max(self._width, 1), max(len(self._lines), 1))
        self.refresh()
