"""What was said: all records, found by words, each in full.

Theory of operation. Without words the list reads the index of the conversation itself, so it costs nothing that there
are many; with words a thread looks for those that match, again when there is more.

Specification: none; the words are those of `dovetail_inspector.transcript.searching`.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from dovetail.recording import CaptureInvalid

from ..session.server import InspectedServer
from ..transcript.searching import RecordSearch
from ..transcript.transcript import Transcript
from ..views import RecordView
from .files import ExportScreen
from .reader import TextReader
from .records import detail_rows, record_row
from .rows import RowList
from .sending import SendScreen
from .text import Row, inline
from .view import SHOWN_ERRORS, InspectorView, error_rows, put_over, tell_person

__all__ = ["RecordsView", "ConversationView"]

_WIDE: Final = 120
_ALL: Final = 2**62
_PAUSE: Final = 0.3
"""Seconds between two searches of a conversation that goes on."""


class RecordsView(InspectorView):
    """Records that match words. ``always``: words that the view itself brings."""

    always: ClassVar[str] = ""
    empty: ClassVar[str] = "Nothing was said yet."
    news = frozenset({"records", "transcript", "transcript-removed", "server", "server-removed"})
    DEFAULT_CSS = """
    RecordsView Container { height: 1fr; layout: vertical; }
    RecordsView Container > RowList { height: 1fr; }
    RecordsView Container > TextReader { height: 1fr; border-top: solid $primary; display: none; }
    RecordsView.detailed Container > TextReader { display: block; }
    RecordsView Container.wide { layout: horizontal; }
    RecordsView Container.wide > RowList { width: 3fr; height: 100%; }
    RecordsView Container.wide > TextReader {
        width: 2fr; height: 100%; border-top: none; border-left: solid $primary;
    }
    RecordsView > Static { color: $text-muted; height: 1; }
    """
    BINDINGS: ClassVar = [
        Binding("slash", "filter", "Search"),
        Binding("escape", "plain", "List alone", show=False),
        Binding("p", "pair", "Its answer"),
        Binding("b", "group", "Its call"),
        Binding("e", "send", "Edit and send"),
        Binding("s", "save", "Keep as a check"),
        Binding("w", "export", "Export"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._found: list[RecordView] | None = None
        self._of: Transcript | None = None
        self._searching = False
        self._again = False

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        name = type(self).title.lower()
        yield Input(
            placeholder="words, method:tools/*, is:error, is:slow, from:server, -word",
            compact=True,
            id=f"{name}-query",
        )
        with Container():
            yield RowList(self._count, self._row, empty=self.empty, follow=True, id=f"{name}-list")
            yield TextReader(id=f"{name}-detail")
        yield Static(Content(""), id=f"{name}-count")

    @property
    def query_text(self) -> str:
        """The words that are looked for."""
        return f"{self.always} {self.query_one(Input).value}".strip()

    def draw(self) -> None:
        """Show how it is now."""
        if self.transcript is not self._of:
            self._of = self.transcript
            self._found = [] if self.query_text else None
            self.remove_class("detailed")
            self.query_one(RowList).move_to(0)
        if self.query_text:
            self._again = True
            if not self._searching:
                self.run_worker(self._search(), group="search")
        else:
            self._found = None
        self._renewed()

    def row_of(self, record: RecordView) -> Row:
        """A record in the list."""
        return record_row(record)

    def look_for(self, words: str) -> None:
        """Look for other words."""
        self.query_one(Input).value = words

    def go_to(self, n: int) -> None:
        """Show one record in full."""
        if self._found is not None:
            at = next((at for at, each in enumerate(self._found) if each.n == n), None)
            if at is None:
                self.look_for("")
                self._found = None
                self.query_one(RowList).renew()
                at = n - 1
        else:
            at = n - 1
        self.query_one(RowList).move_to(at)
        self._open()

    @property
    def at_cursor(self) -> RecordView | None:
        """The record that the cursor is on."""
        return self._record(self.query_one(RowList).cursor)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Other words."""
        event.stop()
        if self.query_text:
            self._found = self._found or []
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the list."""
        event.stop()
        self.query_one(RowList).focus()

    def on_row_list_row_moved(self, event: RowList.RowMoved) -> None:
        """Another record."""
        event.stop()
        if self.has_class("detailed"):
            self._open()

    def on_row_list_row_chosen(self, event: RowList.RowChosen) -> None:
        """In full."""
        event.stop()
        if self.has_class("detailed"):
            self.query_one(TextReader).focus()
        self._open()

    def on_resize(self, event: events.Resize) -> None:
        """Side by side, where there is room."""
        self.query_one(Container).set_class(event.size.width >= _WIDE, "wide")

    def action_filter(self) -> None:
        """Write what is looked for."""
        self.query_one(Input).focus()

    def action_plain(self) -> None:
        """The list alone."""
        self.remove_class("detailed")
        self.query_one(RowList).focus()

    def action_pair(self) -> None:
        """To the answer, or to what it answers."""
        record = self.at_cursor
        if record is not None and record.pair:
            self.go_to(record.pair)

    def action_group(self) -> None:
        """All that belongs to the same call."""
        record = self.at_cursor
        if record is not None and record.group:
            self.look_for(f"group:{record.group}")

    def action_export(self) -> None:
        """Write the conversation down."""
        if self.transcript is not None:
            put_over(self, ExportScreen(self.transcript))

    def action_save(self) -> None:
        """Keep the call as a check."""
        record, of, server = self.at_cursor, self._of, self.server
        if record is None or of is None:
            return
        if server is None:
            tell_person(self, "Its server is not among those that are looked at: add it, and call it again.")
            return
        self.run_worker(self._save(of, record.group or record.n, server))

    def action_send(self) -> None:
        """Edit the message, and send it again."""
        record, server = self.at_cursor, self.server
        if (
            record is None
            or server is None
            or self._of is None
            or record.kind not in ("request", "notification")
        ):
            tell_person(self, "A request or a notification is sent, to a server that is connected.")
            return
        detail = self._of.detail(record.n)
        if detail.value is None:
            tell_person(self, "This message is too long to be edited here.")
            return
        put_over(self, SendScreen(self.inspection, server, detail.value))

    def _count(self) -> int:
        if self._found is not None:
            return len(self._found)
        return 0 if self._of is None else len(self._of)

    def _record(self, at: int) -> RecordView | None:
        if self._found is not None:
            return self._found[at] if at < len(self._found) else None
        page = [] if self._of is None else self._of.page(at + 1, 1).records
        return page[0] if page else None

    def _row(self, at: int) -> Row:
        record = self._record(at)
        return [] if record is None else self.row_of(record)

    def _open(self) -> None:
        record = self.at_cursor
        if record is None or self._of is None:
            return
        self.add_class("detailed")
        try:
            rows = detail_rows(self._of.detail(record.n))
        except (LookupError, OSError, CaptureInvalid) as problem:
            rows = error_rows(problem)
        self.query_one(TextReader).show(rows)

    async def _save(self, of: Transcript, request: int, server: InspectedServer) -> None:
        book = self.inspection.checks
        try:
            await asyncio.to_thread(book.save, of, request, server.target, server.name)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            tell_person(self, f"Kept as a check{f' in {book.path}' if book.path else ''}: K shows them.")

    async def _search(self) -> None:
        self._searching = True
        try:
            while self._again and self.is_mounted:
                self._again = False
                of, words = self._of, self.query_text
                if of is None or not words:
                    return
                try:
                    page = await asyncio.to_thread(of.page, 1, _ALL, words)
                except OSError as problem:
                    self.complain(problem)
                    return
                if of is self._of and words == self.query_text:
                    self._found = page.records
                    self._renewed()
                if self._again and words == self.query_text:
                    await asyncio.sleep(_PAUSE)
        finally:
            self._searching = False

    def _renewed(self) -> None:
        self.query_one(RowList).renew()
        total = 0 if self._of is None else len(self._of)
        count = f"{self._count():,} of {total:,} records" if self._found is not None else f"{total:,} records"
        problem = RecordSearch(self.query_text).problem
        faults = (
            "" if self._of is None or not self._of.problems else f"  {inline(self._of.problems[-1], 200)}"
        )
        self.query_one(Static).update(Content(f" {count}  {inline(problem, 200)}{faults}"))


class ConversationView(RecordsView):
    """All records."""

    title = "Transcript"
