"""The log messages of servers, as notifications brought them.

Specification: server/utilities/logging.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding

from .reader import TextReader
from .rows import RowList
from .text import Row, block, inline, json_rows
from .view import InspectorView

__all__ = ["LogsView"]

_KEPT: Final = 5000
_LEVELS: Final = {
    "debug": "faint",
    "info": "plain",
    "notice": "accent",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "alert": "error",
    "emergency": "error",
}


class LogsView(InspectorView):
    """The last log messages of the server that is looked at."""

    title = "Logs"
    news = frozenset({"log", "server-removed"})
    DEFAULT_CSS = """
    LogsView > TextReader { height: 1fr; border-top: solid $primary; display: none; }
    LogsView.detailed > TextReader { display: block; }
    """
    BINDINGS: ClassVar = [Binding("escape", "plain", "List alone", show=False)]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._all: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.seen: list[dict[str, Any]] = []

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield RowList(
            lambda: len(self.seen),
            lambda at: _row(self.seen[at]),
            empty="No log messages came. A server's settings say which are wanted.",
            follow=True,
            id="logs-list",
        )
        yield TextReader(id="logs-detail")

    def take(self, notice: dict[str, Any]) -> None:
        """One more."""
        self._all.append(notice)

    def draw(self) -> None:
        """Show how it is now."""
        of = self.chosen.server
        self.seen = [each for each in self._all if not of or each.get("server") == of]
        self.query_one(RowList).renew()

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """One in full."""
        event.stop()
        data = self.seen[event.at].get("data")
        self.query_one(TextReader).show(block(data) if isinstance(data, str) else json_rows(data))
        self.add_class("detailed")

    def action_plain(self) -> None:
        """The list alone."""
        self.remove_class("detailed")


def _row(notice: dict[str, Any]) -> Row:
    level, data = str(notice.get("level", "")), notice.get("data")
    text = (
        inline(data, 400)
        if isinstance(data, str)
        else "".join(t for row in json_rows(data, 400) for t, _ in row)
    )
    return [
        (f" {inline(level, 12):<10}", _LEVELS.get(level, "plain")),
        (f"{inline(str(notice.get('logger') or ''), 30)} ", "key"),
        (" ".join(text.split()), "plain"),
    ]
