"""The servers that are looked at, and the captures that were opened.

Specification: none.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message

from ..session.server import InspectedServer
from ..transcript.transcript import Transcript
from ..views import ServerView
from .files import CaptureScreen, ExportScreen
from .reader import TextReader
from .rows import RowList
from .server_form import ServerScreen
from .text import Row, inline
from .view import SHOWN_ERRORS, InspectorView, error_rows, put_over, tell_person

__all__ = ["STATES", "ServersView"]

STATES: Final = {
    "idle": ("○", "faint"),
    "connecting": ("◌", "warning"),
    "ready": ("●", "good"),
    "renewing": ("◌", "warning"),
    "lost": ("✗", "error"),
    "failed": ("✗", "error"),
    "login": ("?", "warning"),
}
"""How a state is drawn: a sign, and the kind of piece."""


class ServersView(InspectorView):
    """All servers and captures."""

    title = "Servers"
    news = frozenset({"server", "server-removed", "transcript", "transcript-removed", "records"})
    DEFAULT_CSS = """
    ServersView > RowList { height: 1fr; }
    ServersView > TextReader { height: 1fr; border-top: solid $primary; }
    """
    BINDINGS: ClassVar = [
        Binding("a", "add", "Add"),
        Binding("e", "edit", "Edit"),
        Binding("c", "connect", "Connect"),
        Binding("d", "disconnect", "Disconnect"),
        Binding("x", "remove", "Remove"),
        Binding("left_square_bracket", "move(-1)", "Up", show=False),
        Binding("right_square_bracket", "move(1)", "Down", show=False),
        Binding("o", "open", "Open a capture"),
        Binding("w", "export", "Export"),
    ]

    class Picked(Message):
        """A server or a capture was chosen to be looked at; ``go``: and its views are wanted."""

        def __init__(self, server: str, transcript: str, *, go: bool) -> None:
            super().__init__()
            self.server = server
            self.transcript = transcript
            self.go = go

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield RowList(
            lambda: len(self._things()),
            lambda at: self._row(self._things()[at]),
            empty="No servers yet: a adds one, o opens a capture.",
            id="servers-list",
        )
        yield TextReader(id="server-detail")

    def draw(self) -> None:
        """Show how it is now."""
        self.query_one(RowList).renew()
        thing = self._at_cursor()
        rows: list[Row] = []
        if isinstance(thing, InspectedServer):
            rows = _server_rows(thing.view)
        elif thing is not None:
            rows = _transcript_rows(thing)
        self.query_one(TextReader).show(rows, stay=True)

    def on_row_list_row_moved(self, event: RowList.RowMoved) -> None:
        """The cursor chooses."""
        event.stop()
        self._pick(go=isinstance(event, RowList.RowChosen))

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """Look at it."""
        event.stop()
        self._pick(go=True)

    def action_add(self) -> None:
        """Ask for another server."""
        put_over(self, ServerScreen(self.inspection))

    def action_edit(self) -> None:
        """Other settings."""
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            put_over(self, ServerScreen(self.inspection, thing))

    def action_connect(self) -> None:
        """Connect, anew if it is connected."""
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            thing.connect()

    def action_disconnect(self) -> None:
        """Let go of the connection."""
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            self.run_worker(thing.disconnect())

    def action_remove(self) -> None:
        """Look at it no more."""
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            self.run_worker(self._remove(thing.id))
        elif thing is not None:
            self.inspection.forget(thing.id)

    def action_move(self, by: int) -> None:
        """Put a server one place further up or down; the cursor goes with it."""
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            self.inspection.move(thing.id, by)
            self.draw()
            self.query_one(RowList).move_to(list(self.inspection.servers).index(thing.id))

    def action_open(self) -> None:
        """Ask which capture."""
        put_over(self, CaptureScreen(self.inspection))

    def action_export(self) -> None:
        """Write the conversation down."""
        thing = self._at_cursor()
        found = self.transcript if isinstance(thing, InspectedServer) else thing
        if found is None:
            tell_person(self, "There is no conversation to be written down yet.")
        else:
            put_over(self, ExportScreen(found))

    async def _remove(self, id: str) -> None:
        try:
            await self.inspection.remove(id)
        except SHOWN_ERRORS as problem:
            self.complain(problem)

    def _things(self) -> list[InspectedServer | Transcript]:
        of_servers = {each.transcript for each in self.inspection.servers.values()}
        captures = [each for each in self.inspection.transcripts.values() if each.id not in of_servers]
        return [*self.inspection.servers.values(), *captures]

    def _at_cursor(self) -> InspectedServer | Transcript | None:
        things = self._things()
        at = self.query_one(RowList).cursor
        return things[at] if at < len(things) else None

    def _pick(self, *, go: bool) -> None:
        thing = self._at_cursor()
        if isinstance(thing, InspectedServer):
            self.post_message(self.Picked(thing.id, "", go=go))
        elif thing is not None:
            self.post_message(self.Picked("", thing.id, go=go))
        self.draw()

    def _row(self, thing: InspectedServer | Transcript) -> Row:
        if isinstance(thing, InspectedServer):
            view = thing.view
            sign, kind = STATES[view.state]
            return [
                (f" {sign} ", kind),
                (inline(view.name, 60), "title"),
                (f"  {view.state}", kind),
                (f"  {inline(view.revision, 20)}", "accent"),
                (f"  {_place(view)}", "faint"),
            ]
        view = thing.view()
        live = "live" if view.live else "capture"
        return [
            (" ≡ ", "accent"),
            (inline(view.name, 60), "title"),
            (f"  {live}, {view.count:,} records", "faint"),
        ]


def _place(view: ServerView) -> str:
    target = view.target
    return inline(target.url or " ".join([target.command, *target.args]), 300)


def _server_rows(view: ServerView) -> list[Row]:
    settings = view.settings
    rows: list[Row] = []
    if view.error is not None:
        rows += [*error_rows(view.error), []]
    rows += [
        [("target    ", "key"), (_place(view), "plain")],
        [("from      ", "key"), (inline(view.source or "here"), "plain")],
        [("revision  ", "key"), (inline(settings.revision), "plain")],
        [("timeout   ", "key"), (f"{settings.timeout:g} s", "plain")],
        [("declared  ", "key"), (_declared(view), "plain")],
    ]
    if settings.step_rounds:
        rows.append([("rounds    ", "key"), ("wait for the person, one by one", "plain")])
    if settings.log_level:
        rows.append([("logs      ", "key"), (inline(settings.log_level), "plain")])
    if view.renewals:
        rows.append([("renewals  ", "key"), (str(view.renewals), "plain")])
    for title, names in (("headers", view.target.headers), ("variables", view.target.env)):
        if names:
            rows.append([(f"{title:10}", "key"), (inline(", ".join(names)), "plain")])
    return rows


def _declared(view: ServerView) -> str:
    settings = view.settings
    named = [
        name
        for name, wanted in (
            ("elicitation", settings.elicitation),
            ("sampling", settings.sampling),
            ("roots", settings.roots),
            ("apps", settings.apps),
        )
        if wanted
    ]
    return inline(", ".join([*named, "tasks", *settings.extensions]))


def _transcript_rows(transcript: Transcript) -> list[Row]:
    view = transcript.view()
    rows: list[Row] = [
        [("file      ", "key"), (inline(str(transcript.path)), "plain")],
        [("began     ", "key"), (inline(view.began), "plain")],
        [("recorded  ", "key"), (inline(view.place or "unknown"), "plain")],
        [("secrets   ", "key"), ("left out" if view.redacted else "all in it", "plain")],
    ]
    rows += [
        [(f"{severity}s".ljust(10), "key"), (str(count), severity if severity != "hint" else "faint")]
        for severity, count in view.findings.items()
    ]
    rows += [[("fault     ", "key"), (inline(each), "error")] for each in transcript.problems[:20]]
    return rows
