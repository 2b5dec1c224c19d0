"""Saved calls and what is expected of them: their file, each of them, and what came of it.

Theory of operation. The checks are those of the Inspection (`checks.book`), so a call that one face keeps is there in
the other. They run over connections of their own, one run at a time, and each result is shown as it comes.

Specification: docs/inspect-checks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from ..checks.book import CheckResultView
from ..checks.reading import SavedCheck
from ..checks.running import cells_of
from ..inspection import Inspection
from .dialog import DialogScreen
from .split import SplitView
from .text import Row, acts, counted, inline, json_rows, time_text
from .view import SHOWN_ERRORS, error_rows, put_over, tell_person

__all__ = ["ChecksFileScreen", "ChecksTextScreen", "ChecksView"]

_STATES: Final = {
    "passed": ("✓", "good"),
    "failed": ("✗", "error"),
    "error": ("!", "error"),
    "skipped": ("∅", "warning"),
}


class _ListedCheck(Struct):
    """A check in one of its cells, and what came of it there."""

    check: SavedCheck
    cell: str
    result: CheckResultView | None = None


class ChecksView(SplitView):
    """All checks."""

    title = "Checks"
    news = frozenset()
    empty = "There are no checks yet. o opens a file; s in the transcript keeps a call as one."
    BINDINGS: ClassVar = [
        Binding("r,f5", "run", "Run all"),
        Binding("o", "open", "Open a file"),
        Binding("e", "edit", "Edit"),
        Binding("c", "stop", "Stop"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.checks: list[_ListedCheck] = []
        self._text: str | None = None
        self._at_work = False
        self._problem: BaseException | None = None

    def draw(self) -> None:
        """Show how it is now."""
        try:
            text = self.inspection.checks.text
            if text != self._text:
                self._text, self._problem, self.checks = text, None, []
                file = self.inspection.checks.file() if text.strip() else None
                if file is not None:
                    self.checks = [
                        _ListedCheck(check, str(cell))
                        for cell, found in cells_of(file).items()
                        for check in found
                    ]
        except SHOWN_ERRORS as problem:
            self._problem = problem
        self._renewed()

    def count(self) -> int:
        """How many there are."""
        return len(self.checks)

    def row(self, at: int) -> Row:
        """One in the list."""
        each = self.checks[at]
        sign, kind = ("○", "faint") if each.result is None else _STATES[each.result.state]
        failures = [] if each.result is None else each.result.failures
        took = "" if each.result is None or each.result.state == "skipped" else time_text(each.result.seconds)
        return [
            (f" {sign} ", kind),
            (inline(each.check.name, 80), "title"),
            (f"  {inline(each.cell, 60)}", "accent"),
            (f"  {took}", "faint"),
            (f"  {inline(failures[0], 200)}" if failures else "", "error"),
        ]

    def detail(self, at: int) -> list[Row]:
        """One in full."""
        if self._problem is not None:
            return error_rows(self._problem)
        if at >= len(self.checks):
            return []
        each = self.checks[at]
        rows: list[Row] = [[(inline(each.check.name), "title")], [(inline(each.cell), "accent")]]
        if each.result is not None:
            rows.append([(each.result.state, _STATES[each.result.state][1])])
            rows += [[(inline(said), "error")] for said in each.result.failures]
        return [*rows, [], *json_rows(_written(each.check))]

    def open_row(self, at: int) -> None:
        """Run it, with what it needs."""
        self._begin((self.checks[at].check.name,))

    def action_run(self) -> None:
        """Run all of them."""
        self._begin(())

    def action_stop(self) -> None:
        """Run no more of them."""
        if self._at_work:
            self.workers.cancel_group(self, "checks")  # pyright: ignore[reportUnknownMemberType] - any worker

    def action_open(self) -> None:
        """Ask which file."""
        put_over(self, ChecksFileScreen(self.inspection, self.draw))

    def action_edit(self) -> None:
        """Write them."""
        try:
            text = self.inspection.checks.text
        except SHOWN_ERRORS as problem:
            self.complain(problem)
            return
        if acts(text):
            tell_person(
                self, "Something in it would act on your terminal. Look at it in an editor that escapes it."
            )
        else:
            put_over(self, ChecksTextScreen(self.inspection, text, self.draw))

    def _begin(self, names: tuple[str, ...]) -> None:
        if self._at_work:
            tell_person(self, "They are running; c stops them.")
        elif self.checks:
            self.run_worker(self._run(names), group="checks")

    async def _run(self, names: tuple[str, ...]) -> None:
        self._at_work, self._problem = True, None
        for each in self.checks:
            if not names or each.check.name in names:
                each.result = None
        self._renewed()
        try:
            async for result in self.inspection.checks.results(names):
                for each in self.checks:
                    if (each.check.name, each.cell) == (result.name, result.cell):
                        each.result = result
                self._renewed()
        except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
            self._problem = problem
        finally:
            self._at_work = False
            if self.is_mounted:
                self._renewed()

    def _renewed(self) -> None:
        results = [each.result for each in self.checks if each.result is not None]
        counts = {state: sum(1 for each in results if each.state == state) for state in _STATES}
        said = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
        path = self.inspection.checks.path
        place = f"   {inline(str(path), 200)}" if path is not None else ""
        state = "running: " if self._at_work else ""
        self.renew(f"{state}{said or counted(len(self.checks), 'check')}{place}")


def _written(part: Struct) -> dict[str, Any]:
    """A part of a check as plain values, without what is as it would be anyway."""
    found: dict[str, Any] = {}
    for each in msgspec.structs.fields(part):
        value = getattr(part, each.name)
        made: Any = each.default_factory
        if value != (each.default if made is msgspec.NODEFAULT else made()):
            plain = _written(value) if isinstance(value, Struct) else msgspec.to_builtins(value)
            found[each.name] = plain
    return found


class ChecksFileScreen(DialogScreen):
    """Which file of checks? ``opened``: called when it was."""

    buttons: ClassVar = (("open_checks", "Open"), ("close", "Close"))

    def __init__(self, inspection: Inspection, opened: Callable[[], None]) -> None:
        super().__init__("Open a file of checks")
        self._inspection = inspection
        self._opened = opened

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(Content("The path of a file of checks (.toml):"))
        yield Input(id="path", compact=True)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter opens."""
        event.stop()
        self.action_open_checks()

    def action_open_checks(self) -> None:
        """Open it."""
        try:
            self._inspection.checks.open(Path(self.query_one("#path", Input).value.strip()).expanduser())
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self._opened()
            self.dismiss()


class ChecksTextScreen(DialogScreen):
    """The checks as they are written. ``kept``: called when there are others."""

    buttons: ClassVar = (("keep", "Keep"), ("close", "Close"))
    BINDINGS: ClassVar = [Binding("f5", "keep", "Keep", priority=True)]
    DEFAULT_CSS = """
    ChecksTextScreen TextArea { height: 1fr; }
    """

    def __init__(self, inspection: Inspection, text: str, kept: Callable[[], None]) -> None:
        path = inspection.checks.path
        super().__init__("Checks" if path is None else f"Checks of {path}")
        self._inspection = inspection
        self._text = text
        self._kept = kept

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield TextArea(self._text, tab_behavior="focus")

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(TextArea).focus()

    def action_keep(self) -> None:
        """Keep it."""
        try:
            self._inspection.checks.keep(self.query_one(TextArea).text)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self._kept()
            self.dismiss()
