"""What the views have in common: what is chosen, and when one is drawn anew.

Specification: none.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from msgspec import Struct
from textual.app import App
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from dovetail import DovetailError
from dovetail.recording import CaptureInvalid

from ..inspection import Inspection
from ..session.failing import error_view
from ..session.server import InspectedServer
from ..transcript.transcript import Transcript
from ..views import ErrorView
from .text import Row, block, inline, json_rows

__all__ = [
    "SHOWN_ERRORS",
    "InspectorView",
    "LookedAt",
    "RecordWanted",
    "error_rows",
    "put_over",
    "tell_person",
    "worded",
]

SHOWN_ERRORS: Final = (DovetailError, LookupError, ValueError, OSError, CaptureInvalid)
"""What an action of the person may raise: shown, and nothing else happens."""


class LookedAt(Struct):
    """What is looked at: the id of a server, and of a capture that was opened, "" for the newest conversation of the
    server.
    """

    server: str = ""
    transcript: str = ""


class RecordWanted(Message):
    """A record of a conversation is to be shown. ``n``: its number, 0 for the conversation alone."""

    def __init__(self, transcript: str, n: int) -> None:
        super().__init__()
        self.transcript: Final = transcript
        self.n: Final = n


class InspectorView(Vertical):
    """One view. ``news``: the types of events by which it becomes another; ``title``: what its tab says."""

    news: ClassVar[frozenset[str]] = frozenset()
    title: ClassVar[str] = ""

    DEFAULT_CSS = """
    InspectorView { height: 1fr; }
    """

    def __init__(self, inspection: Inspection, chosen: LookedAt) -> None:
        super().__init__(id=type(self).title.lower())
        self.inspection: Final = inspection
        self.chosen: Final = chosen

    @property
    def server(self) -> InspectedServer | None:
        """The server that is looked at."""
        return self.inspection.servers.get(self.chosen.server)

    @property
    def transcript(self) -> Transcript | None:
        """The conversation that is looked at."""
        server = self.server
        id = self.chosen.transcript or (server.transcript if server is not None else "") or ""
        return self.inspection.transcripts.get(id)

    def draw(self) -> None:
        """Show how it is now. Called when the view is opened, when something else is chosen, and with its news."""
        raise NotImplementedError  # each view draws itself

    def focus_first(self) -> None:
        """Take the keys."""
        for each in self.query("RowList, TextReader"):
            each.focus()
            return

    def complain(self, problem: BaseException) -> None:
        """Say that something did not work."""
        tell_person(self, worded(problem), wrong=True)


def tell_person(widget: Widget, text: str, *, wrong: bool = False) -> None:
    """Tell the person something, for some seconds, in the corner. ``text`` is safe to draw."""
    app = cast("App[Any]", widget.app)
    app.notify(inline(text), severity="error" if wrong else "information", markup=False)


def put_over(widget: Widget, screen: Screen[None]) -> None:
    """Put a dialog over what is seen."""
    cast("App[Any]", widget.app).push_screen(screen)


def worded(problem: BaseException) -> str:
    """Why something did not work, in a line that is safe to draw."""
    text = str(problem.args[0]) if isinstance(problem, LookupError) and problem.args else str(problem)
    return inline(text or type(problem).__name__)


def error_rows(error: ErrorView | BaseException) -> list[Row]:
    """What failed: its kind, its words, its code and data."""
    view = error_view(error) if isinstance(error, BaseException) else error
    code = f" {view.code}" if view.code is not None else ""
    rows: list[Row] = [[(inline(f"{view.kind}{code}"), "error")], *block(view.message)]
    if view.data is not None:
        rows += [[], [("data", "key")], *json_rows(view.data)]
    return rows
