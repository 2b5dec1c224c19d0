"""What most views are: a list, and what its cursor is on in full, side by side where there is room.

Specification: none.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from textual import events
from textual.app import App, ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from .reader import TextReader
from .rows import RowList
from .text import Row
from .view import InspectorView

__all__ = ["SplitView"]

_WIDE: Final = 100


class SplitView(InspectorView):
    """A list with a reader. ``empty``: what stands there while the list has nothing."""

    empty: ClassVar[str] = "There is nothing here yet."
    DEFAULT_CSS = """
    SplitView Container { height: 1fr; layout: vertical; }
    SplitView Container > RowList { height: 1fr; }
    SplitView Container > TextReader { height: 1fr; border-top: solid $primary; }
    SplitView Container.wide { layout: horizontal; }
    SplitView Container.wide > RowList { width: 1fr; height: 100%; }
    SplitView Container.wide > TextReader {
        width: 1fr; height: 100%; border-top: none; border-left: solid $primary;
    }
    SplitView > Static { color: $text-muted; height: 1; }
    """

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        name = type(self).title.lower()
        yield from self.above()
        with Container():
            yield RowList(self.count, self.row, empty=self.empty, id=f"{name}-list")
            yield TextReader(id=f"{name}-detail")
        yield Static(Content(""), id=f"{name}-state")

    def above(self) -> ComposeResult:
        """What is above the list."""
        yield from ()

    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError  # each view says it

    def row(self, at: int) -> Row:
        """One in the list."""
        raise NotImplementedError  # each view says it

    def detail(self, at: int) -> list[Row]:
        """One in full; of none, where ``at`` is not there, what there is to be said instead."""
        raise NotImplementedError  # each view says it

    def open_row(self, at: int) -> None:
        """Enter was pressed on one."""
        raise NotImplementedError  # each view says it

    @property
    def cursor(self) -> int:
        """The row that the cursor is on."""
        return self.query_one(RowList).cursor

    def renew(self, state: str = "", *, stay: bool = True) -> None:
        """There may be other rows. ``state``: the line below, safe to draw; ``stay``: keep to where the reader is."""
        if not cast("App[Any]", self.app).is_running:  # it is being taken down, from the inside out
            return
        self.query_one(RowList).renew()
        self.query_one(f"#{type(self).title.lower()}-state", Static).update(Content(f" {state}"))
        rows = self.detail(self.cursor)
        reader = self.query_one(TextReader)
        reader.display = bool(rows)
        reader.show(rows, stay=stay)

    def on_row_list_row_moved(self, event: Any) -> None:
        """Another one in full."""
        event.stop()
        self.query_one(TextReader).show(self.detail(self.cursor))

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """Do what one does with it."""
        event.stop()
        if event.at < self.count():
            self.open_row(event.at)

    def on_resize(self, event: events.Resize) -> None:
        """Side by side, where there is room."""
        self.query_one(Container).set_class(event.size.width >= _WIDE, "wide")
