"""What was asked of the servers: calls that go on, and those that are over.

Specification: none.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from ..views import CallView
from .calling import CallScreen
from .rows import RowList
from .sending import SendScreen
from .text import Row, inline, time_text
from .view import SHOWN_ERRORS, InspectorView, put_over

__all__ = ["CallsView"]

_SIGNS = {
    "running": ("◌", "warning"),
    "done": ("✓", "good"),
    "failed": ("✗", "error"),
    "cancelled": ("∅", "warning"),
}


class CallsView(InspectorView):
    """All calls of the server that is looked at, the newest last."""

    title = "Calls"
    news = frozenset({"call", "server", "server-removed"})
    BINDINGS: ClassVar = [
        Binding("n", "request", "A request of your own"),
        Binding("c", "cancel", "Cancel"),
    ]

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # pyright: ignore[reportArgumentType] - handed on as they are
        self.seen: list[CallView] = []

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield RowList(
            lambda: len(self.seen),
            lambda at: _row(self.seen[at]),
            empty="Nothing was asked of this server yet.",
            follow=True,
            id="calls-list",
        )

    def draw(self) -> None:
        """Show how it is now."""
        of = self.chosen.server
        self.seen = [each for each in self.inspection.calls.views if not of or each.server == of]
        self.query_one(RowList).renew()

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """Look at it."""
        event.stop()
        put_over(self, CallScreen(self.inspection, self.seen[event.at].id))

    def action_cancel(self) -> None:
        """Cancel it, if it still goes on."""
        at = self.query_one(RowList).cursor
        if at < len(self.seen):
            try:
                self.inspection.calls.cancel(self.seen[at].id)
            except SHOWN_ERRORS as problem:
                self.complain(problem)

    def action_request(self) -> None:
        """Write a request by hand."""
        if self.server is not None:
            put_over(self, SendScreen(self.inspection, self.server))


def _row(view: CallView) -> Row:
    sign, kind = _SIGNS[view.state]
    if view.state == "done" and isinstance(view.result, dict) and view.result.get("isError"):  # pyright: ignore[reportUnknownMemberType] - any JSON
        sign, kind = "!", "error"
    last = view.progress[-1] if view.progress and view.state == "running" else None
    steps = "" if last is None else f"  {last.progress:g}" + (f"/{last.total:g}" if last.total else "")
    return [
        (f" {sign} ", kind),
        (f"{inline(view.method, 40):<22} ", "plain"),
        (inline(view.name, 80), "title"),
        (f"  {time_text(view.seconds)}{steps}", "faint"),
        (f"  task {inline(view.task, 40)}" if view.task else "", "accent"),
    ]
