"""Screens that lie over the rest: a title, what is asked, buttons below; Escape closes.

Specification: none.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from .text import inline
from .view import worded

__all__ = ["DialogScreen"]

_LONGEST: Final = 100
"""Characters of a title: there has to be room for what is below it."""


class DialogScreen(ModalScreen[None]):
    """A dialog. ``heading``: its title; ``buttons``: id and label of each, the first is the one that is meant."""

    buttons: ClassVar[tuple[tuple[str, str], ...]] = (("close", "Close"),)
    BINDINGS: ClassVar = [Binding("escape", "close", "Close")]
    DEFAULT_CSS = """
    DialogScreen { align: center middle; }
    DialogScreen > .dialog {
        width: 90%; max-width: 110; min-width: 56; height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    DialogScreen .dialog--title { width: 1fr; text-style: bold; color: $text-primary; }
    DialogScreen .dialog--problem { width: 1fr; color: $text-error; height: auto; display: none; }
    DialogScreen .dialog--buttons { height: 1; }
    DialogScreen .dialog--buttons Button { margin: 0 1 0 0; min-width: 8; }
    """

    def __init__(self, heading: str) -> None:
        super().__init__()
        self.heading = heading

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        with Vertical(classes="dialog"):
            yield Static(Content(inline(self.heading, _LONGEST)), classes="dialog--title")
            yield from self.body()
            yield Static(Content(""), classes="dialog--problem")
            with Horizontal(classes="dialog--buttons"):
                for at, (id, label) in enumerate(self.buttons):
                    yield Button(Content(label), id=id, compact=True, variant="default" if at else "primary")

    def body(self) -> ComposeResult:
        """What is between title and buttons."""
        raise NotImplementedError  # each dialog has its own

    def news(self, types: frozenset[str]) -> None:
        """Something happened; what is drawn may be another."""

    def complain(self, problem: BaseException | str) -> None:
        """Say why it can't be done like this."""
        text = problem if isinstance(problem, str) else worded(problem)
        shown = self.query_one(".dialog--problem", Static)
        shown.update(Content(text))
        shown.display = bool(text)

    def action_close(self) -> None:
        """Close it, and do nothing."""
        self.dismiss()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Each button is an action."""
        event.stop()
        await self.run_action(f"screen.{event.button.id}")
