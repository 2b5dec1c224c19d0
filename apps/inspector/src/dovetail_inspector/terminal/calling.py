"""A call while it goes on, and what came of it.

Specification: basic/utilities/progress, basic/utilities/cancellation.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from ..inspection import Inspection
from .dialog import DialogScreen
from .reader import TextReader
from .results import call_rows
from .view import SHOWN_ERRORS

__all__ = ["CallScreen"]


class CallScreen(DialogScreen):
    """One call. ``call``: its id."""

    buttons: ClassVar = (("close", "Close"), ("cancel", "Cancel the call"), ("raw", "As it came"))
    BINDINGS: ClassVar = [
        Binding("c", "cancel", "Cancel the call"),
        Binding("f4", "raw", "As it came"),
    ]

    def __init__(self, inspection: Inspection, call: str) -> None:
        super().__init__("Call")
        self.call = call
        self._inspection = inspection
        self._raw = False
        self._shown: object = None

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield TextReader(id="call-text")

    def on_mount(self) -> None:
        """Show how it is now."""
        self.query_one(TextReader).focus()
        self._draw()

    def news(self, types: frozenset[str]) -> None:
        """Something happened."""
        if "call" in types:
            self._draw()

    def action_cancel(self) -> None:
        """Cancel the call, if it still goes on."""
        try:
            self._inspection.calls.cancel(self.call)
        except SHOWN_ERRORS as problem:
            self.complain(problem)

    def action_raw(self) -> None:
        """Its result as it came, or as it is meant."""
        self._raw = not self._raw
        self._shown = None
        self._draw()

    def _draw(self) -> None:
        try:
            view = self._inspection.calls.view(self.call)
        except LookupError as problem:
            self.complain(problem)
            return
        if view is not self._shown:
            self._shown = view
            self.query_one(TextReader).show(call_rows(view, raw=self._raw), stay=view.state == "running")
