"""A list of rows, of which only those that are seen are made and drawn.

Theory of operation. The list asks for how many rows there are and for one by its number; it keeps none. Each is drawn
in exactly the width there is. While the cursor stands on the last row and ``follow`` is set, it stays on the last.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from .text import KINDS, Row

try:
    from rich.segment import Segment
    from rich.style import Style
except ImportError:
    raise ImportError("the terminal face needs Textual: pip install 'dovetail-inspector[tui]'") from None

__all__ = ["DrawnRows", "RowList"]

_COLORS: Final = """
    & > .drawn--plain { color: $foreground; }
    & > .drawn--title { color: $foreground; text-style: bold; }
    & > .drawn--key { color: $text-primary; }
    & > .drawn--string { color: $text-success; }
    & > .drawn--number { color: $text-accent; }
    & > .drawn--faint { color: $text-muted; }
    & > .drawn--good { color: $text-success; }
    & > .drawn--warning { color: $text-warning; }
    & > .drawn--error { color: $text-error; text-style: bold; }
    & > .drawn--accent { color: $text-accent; text-style: bold; }
"""


class DrawnRows(ScrollView, can_focus=True):
    """What draws rows of pieces: the looks of each kind."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"drawn--{each}" for each in KINDS}
    DEFAULT_CSS = f"""
    DrawnRows {{
        height: 1fr;
        overflow-x: hidden;
        background: $surface;
        scrollbar-size-vertical: 1;
        {_COLORS}
    }}
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._looks: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Called by Textual when the theme is another."""
        self._looks = {}
        super().notify_style_update()

    def look(self, kind: str) -> Style:
        """How a kind of piece is drawn; of "", what is around them."""
        found = self._looks.get(kind)
        if found is None:
            style = self.get_component_rich_style(f"drawn--{kind}") if kind else self.rich_style
            found = self._looks[kind] = style
        return found

    def strip(self, row: Row, width: int, over: Style | None = None) -> Strip:
        """A row in exactly so many columns. ``over``: laid over how its pieces look."""
        base = over or self.look("")
        pieces = [
            Segment(text, self.look(kind) + over if over else self.look(kind)) for text, kind in row if text
        ]
        made = Strip(pieces)
        if made.cell_length > width:
            made = Strip([*made.crop(0, max(width - 1, 0)), Segment("…", base)])
        return made.adjust_cell_length(width, base)


class RowList(DrawnRows):
    """A list that has a cursor. ``count`` and ``row``: how many there are, and one of them, from 0; ``empty``: what
    stands there while there is none; ``follow``: whether it stays at the end while that grows.
    """

    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "to_first", "First", show=False),
        Binding("end,G", "to_last", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--cursor-away"}
    DEFAULT_CSS = """
    RowList {
        & > .rows--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        & > .rows--cursor-away { background: $surface-lighten-2; }
    }
    """

    class RowMoved(Message):
        """The cursor is on another row, or on another thing in the same."""

        def __init__(self, rows: RowList, at: int) -> None:
            super().__init__()
            self.rows = rows
            self.at = at

        @property
        def control(self) -> RowList:
            """The list."""
            return self.rows

    class RowChosen(RowMoved):
        """A row was chosen."""

    def __init__(
        self,
        count: Callable[[], int],
        row: Callable[[int], Row],
        *,
        empty: str = "There is nothing here yet.",
        follow: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.empty = empty
        self.follow = follow
        self.cursor = 0
        self._count = count
        self._row = row
        self._had = 0

    @property
    def count(self) -> int:
        """How many rows there were when it was last looked."""
        return self._had

    def renew(self) -> None:
        """There may be other rows."""
        had, self._had = self._had, self._count()
        at_end = self.follow and self.cursor >= had - 1
        if self.virtual_size.height != max(self._had, 1):
            self.virtual_size = Size(max(self.size.width, 1), max(self._had, 1))
        self.move_to(self._had - 1 if at_end else min(self.cursor, self._had - 1))
        self.refresh()

    def move_to(self, at: int) -> None:
        """Put the cursor there, and into view."""
        at = max(min(at, self._had - 1), 0)
        moved, self.cursor = at != self.cursor, at
        self._into_view()
        if moved:
            self.refresh()
            self.post_message(self.RowMoved(self, at))

    def render_line(self, y: int) -> Strip:
        """Called by Textual: the line at this height."""
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if not self._had and not at:
            return self.strip([(self.empty, "faint")], width)
        if at >= self._had:
            return Strip.blank(width, self.look(""))
        over = None
        if at == self.cursor:
            over = self.get_component_rich_style("rows--cursor" if self.has_focus else "rows--cursor-away")
            if not self.has_focus:
                over = Style(bgcolor=over.bgcolor)
        return self.strip(self._row(at), width, over)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self.move_to(self.cursor + by * max(self.size.height - 1, 1))

    def action_to_first(self) -> None:
        """To the beginning."""
        self.move_to(0)

    def action_to_last(self) -> None:
        """To the end."""
        self.move_to(self._had - 1)

    def action_choose(self) -> None:
        """Choose what the cursor is on."""
        if self._had:
            self.post_message(self.RowChosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a second one on the same row chooses it."""
        at = event.y + self.scroll_offset.y
        if at >= self._had:
            return
        if at == self.cursor and event.chain > 1:
            self.action_choose()
        else:
            self.move_to(at)

    def on_resize(self, event: events.Resize) -> None:
        """Another size: the cursor stays in view."""
        self._into_view()

    def on_focus(self, event: Any) -> None:
        """The cursor looks another way."""
        self.refresh()

    def on_blur(self, event: Any) -> None:
        """The cursor looks another way."""
        self.refresh()

    def _into_view(self) -> None:
        if self._had and self.size.height:
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)
