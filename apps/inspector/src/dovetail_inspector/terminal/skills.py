"""The skills of a server: their entries, and whether their files are what these promise. Nothing of them is run.

Specification: Skills, "Skill Entries", "Integrity and Verification".
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from ..inspection import Inspection
from ..session.declaring import SKILLS_EXTENSION
from ..session.server import InspectedServer
from ..skills.server_skills import SkillsUndeclared
from ..views import FindingView, SkillReadView, SkillVerdictView, SkillView
from .card import note_rows
from .dialog import DialogScreen
from .listing import ListingView
from .reader import TextReader
from .text import Row, block, counted, inline, json_rows
from .view import SHOWN_ERRORS, put_over

__all__ = ["SkillFileScreen", "SkillsView"]

_STATES: Final = {"passed": "good", "failed": "error", "unknown": "faint"}
_DIGITS: Final = 12


class SkillsView(ListingView):
    """All skills that are listed."""

    title = "Skills"
    listings = ("skills",)
    BINDINGS: ClassVar = [
        Binding("v", "verify", "Check all files"),
        Binding("o", "other", "By its address"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._notes: list[FindingView] = []
        self._verdicts: dict[str, SkillVerdictView] = {}

    async def fetched(self, server: InspectedServer, kind: str) -> list[dict[str, Any]]:
        """All that the server lists."""
        found = await self.inspection.skills(server.id).listed()
        if not found.declared:
            raise SkillsUndeclared(f"the server does not declare {SKILLS_EXTENSION}")
        self._notes, self._verdicts = found.notes, {}
        return [
            {"name": each.name, "uri": each.uri, "description": each.description, "view": each}
            for each in found.skills
        ]

    def row(self, kind: str, item: dict[str, Any]) -> Row:
        """One in the list."""
        view: SkillView = item["view"]
        verdict = self._verdicts.get(view.uri)
        notes = f"  {counted(len(view.notes), 'note')}" if view.notes else ""
        state = "" if verdict is None else f"  {verdict.state}"
        return [
            (f" {inline(view.name or 'no name', 60)}", "title"),
            (state, "faint" if verdict is None else _STATES[verdict.state]),
            (notes, "warning"),
            (f"  {inline(view.description, 120)}", "faint"),
        ]

    def detail(self, kind: str, item: dict[str, Any]) -> list[Row]:
        """One in full."""
        view: SkillView = item["view"]
        verdict = self._verdicts.get(view.uri)
        rows: list[Row] = [
            [(inline(view.uri), "title")],
            *block(view.description),
            *note_rows(view.notes),
            [],
        ]
        if verdict is not None:
            rows += [*_verdict_rows(verdict), []]
        rows += _file_rows(view, verdict)
        if self._notes:
            rows += [[], [("The list", "title")], *note_rows(self._notes)]
        return [*rows, [], *json_rows(view.entry)]

    def choose(self, kind: str, item: dict[str, Any]) -> None:
        """Read its SKILL.md, or another of its files."""
        put_over(self, SkillFileScreen(self.inspection, self.chosen.server, item["uri"]))

    def action_other(self) -> None:
        """Read one that is in no list."""
        put_over(self, SkillFileScreen(self.inspection, self.chosen.server, ""))

    def action_verify(self) -> None:
        """Read all files of a skill, and check them."""
        found = self.at_cursor
        if found is not None:
            self.run_worker(self._verify(self.chosen.server, found[1]["uri"]), exclusive=True, group="verify")

    async def _verify(self, server: str, skill: str) -> None:
        try:
            self._verdicts[skill] = await self.inspection.skills(server).verified(skill)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self._filtered()


class SkillFileScreen(DialogScreen):
    """A file of a skill, read and checked. ``skill``: the address of its SKILL.md, "" where the person types it."""

    buttons: ClassVar = (("read", "Read"), ("close", "Close"))
    BINDINGS: ClassVar = [Binding("f5", "read", "Read")]

    def __init__(self, inspection: Inspection, server: str, skill: str) -> None:
        super().__init__("A file of a skill")
        self._inspection = inspection
        self._server = server
        self._skill = skill

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Input(inline(self._skill), id="skill", compact=True, placeholder="skill://name/SKILL.md")
        yield Input("SKILL.md", id="path", compact=True)
        yield TextReader(id="skill-text")

    def on_mount(self) -> None:
        """Read it at once, where it is known."""
        self.query_one("#path" if self._skill else "#skill", Input).focus()
        if self._skill:
            self.action_read()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter reads."""
        event.stop()
        self.action_read()

    def action_read(self) -> None:
        """Read it."""
        skill = self.query_one("#skill", Input).value.strip()
        # What a server wrote may be drawn otherwise than it is: as long as nobody changed it, it is what it was.
        skill = self._skill if skill == inline(self._skill) else skill
        path = self.query_one("#path", Input).value.strip()
        if not skill:
            self.complain("Type the address of a SKILL.md.")
            return
        uri = path if "://" in path else f"{skill.removesuffix('SKILL.md')}{path}"
        self.run_worker(self._read(skill, uri), exclusive=True, group="read")

    async def _read(self, skill: str, uri: str) -> None:
        try:
            found = await self._inspection.skills(self._server).read(skill, uri)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self.complain("")
            self.query_one(TextReader).show(_read_rows(found))


def _verdict_rows(verdict: SkillVerdictView) -> list[Row]:
    """What came of reading all files."""
    failed = sum(each.state == "failed" for each in verdict.files)
    rows: list[Row] = [
        [(f"{verdict.state}  ", _STATES[verdict.state]), (counted(len(verdict.files), "file"), "plain")]
    ]
    if failed:
        rows.append([(f"{failed} are not what the entry promised: a host must not use the skill", "error")])
    rows += [[(f"not in the entry   {inline(each)}", "error")] for each in verdict.unlisted]
    rows += [[(f"only in the entry  {inline(each)}", "error")] for each in verdict.gone]
    for each in verdict.files:
        rows += _check_rows(each) if each.state == "failed" else []
    return [*rows, *note_rows(verdict.notes)]


def _file_rows(view: SkillView, verdict: SkillVerdictView | None) -> list[Row]:
    """The files of an entry."""
    if view.dynamic:
        return [[("Its files are made when they are asked for, and not listed.", "faint")]]
    states = {each.uri: each.state for each in verdict.files} if verdict is not None else {}
    return [
        [
            (f"{'' if each.size is None else each.size:>10}  ", "number"),
            (f"{inline(each.digest.removeprefix('sha256:')[:_DIGITS]):<{_DIGITS}}  ", "faint"),
            (inline(each.path or each.uri), "plain"),
            (f"  {states[each.uri]}" if each.uri in states else "", _STATES[states.get(each.uri, "unknown")]),
        ]
        for each in view.files
    ]


def _check_rows(file: SkillReadView) -> list[Row]:
    heading: Row = [(inline(file.uri), "title"), (f"  {file.state}", _STATES[file.state])]
    checks: list[Row] = [
        [
            (f"  {each.check:<12}", "key"),
            (f"{each.state:<8}", _STATES[each.state]),
            (f"  {inline(each.note)}", "plain"),
        ]
        for each in file.checks
    ]
    return [heading, *checks]


def _read_rows(file: SkillReadView) -> list[Row]:
    """A file, and how it fared."""
    rows = _check_rows(file)
    if file.state == "failed":
        rows.append([("A host must not use this content.", "error")])
    rows += [
        [(f"It has {inline(each)}, which a person does not see and a model reads.", "warning")]
        for each in file.hidden
    ]
    if file.text is None:
        return rows if not file.size else [*rows, [], [("It is no text, and is not shown.", "faint")]]
    rows += [[], *block(file.text)]
    if file.omitted:
        rows.append([(f"{file.omitted:,} more characters are not shown", "faint")])
    return rows
