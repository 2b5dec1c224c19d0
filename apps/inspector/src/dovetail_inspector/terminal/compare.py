"""Two conversations beside each other, or what two servers show: what is the same, what changed, what only one has.

Theory of operation. Comparing runs in a thread, when one of the two or what is ignored is chosen anew. What a server
shows is taken down with a key, as it is now; a conversation has what its lists said.

Specification: docs/inspector.md, "Compare"; docs/surface.md.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Select, Static

from ..comparing.captures import ComparedRow, compare_captures
from ..comparing.surfaces import SurfaceDifference, compare_surfaces
from .rows import RowList
from .split import SplitView
from .text import Row, block, counted, inline, json_rows
from .view import RecordWanted, error_rows, tell_person

__all__ = ["CompareView"]

_SIGNS: Final = {
    "same": ("=", "faint"),
    "changed": ("~", "warning"),
    "only-a": ("-", "error"),
    "only-b": ("+", "good"),
}
_SEVERITIES: Final = {
    "breaking": "error",
    "possible": "error",
    "warning": "warning",
    "compatible": "good",
    "cosmetic": "faint",
}


class CompareView(SplitView):
    """What differs between a first and a second."""

    title = "Compare"
    news = frozenset({"transcript", "transcript-removed", "server", "server-removed"})
    empty = "Nothing to compare yet."
    DEFAULT_CSS = """
    CompareView Horizontal { height: 1; }
    CompareView Horizontal Static { width: auto; padding: 0 1; }
    CompareView Horizontal Select { width: 1fr; }
    CompareView.surfaces #compare-ignore { display: none; }
    """
    BINDINGS: ClassVar = [
        Binding("m", "other_kind", "Talks/offers"),
        Binding("s", "snapshot", "Take what is offered"),
        Binding("d", "all", "All/differences"),
        Binding("x", "swap", "Swap"),
        Binding("r", "again", "Again"),
        Binding("slash", "first", "Choose", show=False),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows: list[ComparedRow | SurfaceDifference] = []
        self._all: list[ComparedRow | SurfaceDifference] = []
        self._snapshots: dict[str, str] = {}
        self._options: list[tuple[str, str]] = []
        self._whole = False
        self._pair = ("", "")
        self._problem: BaseException | None = None
        self._state = ""

    @property
    def surfaces(self) -> bool:
        """Whether it compares what servers show; else what was said."""
        return self.has_class("surfaces")

    def above(self) -> ComposeResult:
        """Which two."""
        for id, title in (("a", "first "), ("b", "second")):
            with Horizontal():
                yield Static(Content(title))
                yield Select[str]([], prompt="choose", compact=True, id=f"compare-{id}")
        yield Input(
            placeholder="leave out, by JSON pointers: /result/structuredContent/time /params/*/id",
            compact=True,
            id="compare-ignore",
        )

    def draw(self) -> None:
        """Show how it is now."""
        talks = [
            (each.id, f"{inline(each.name, 60)} ({each.id}, {_clock(each.view().began)})")
            for each in self.inspection.transcripts.values()
        ]
        if self.surfaces:
            talks = [*self._snapshots.items(), *((id, f"as said in {name}") for id, name in talks)]
        if talks != self._options:
            self._options = talks
            known = [id for id, _ in talks]
            a, b = (each if each in known else "" for each in self._pair)
            if not a and not b and len(known) > 1 and not self.surfaces:
                a, b = known[-2:]
            self._choose(a, b)
        self._renewed()

    def focus_first(self) -> None:
        """Choose, while there is nothing to be read."""
        if self.rows:
            super().focus_first()
        else:
            self.action_first()

    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def row(self, at: int) -> Row:
        """One in the list."""
        each = self.rows[at]
        if isinstance(each, SurfaceDifference):
            kind = _SEVERITIES.get(each.severity, "plain")
            return [
                (f" {inline(each.severity, 12):<11}", kind),
                (f"{inline(each.kind, 20)} ", "accent"),
                (f"{inline(each.name, 60)}  ", "title"),
                (inline(each.what, 200), "plain"),
            ]
        sign, kind = _SIGNS[each.kind]
        lines = "/".join("-" if n is None else str(n) for n in (each.a, each.b))
        return [
            (f" {sign} ", kind),
            (f"{lines:>11} ", "faint"),
            (f"{inline(each.method, 60)} ", "accent"),
            (inline(each.name, 80), "title"),
            (f"  {counted(len(each.changes), 'place')}" if each.changes else "", "faint"),
        ]

    def detail(self, at: int) -> list[Row]:
        """One in full."""
        if self._problem is not None:
            return error_rows(self._problem)
        if at >= len(self.rows):
            return []
        each = self.rows[at]
        return _surface_rows(each) if isinstance(each, SurfaceDifference) else _compared_rows(each)

    def open_row(self, at: int) -> None:
        """Its record, in the second conversation or else in the first."""
        each = self.rows[at]
        if isinstance(each, ComparedRow):
            second = each.b is not None
            self.post_message(RecordWanted(self._pair[1 if second else 0], each.b or each.a or 0))

    def on_select_changed(self, event: Select.Changed) -> None:
        """Another one of the two."""
        event.stop()
        a, b = (self._chosen(each) for each in ("a", "b"))
        if (a, b) != self._pair:
            self._pair = (a, b)
            self.action_again()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Other places are left out."""
        event.stop()
        self.action_again()
        self.query_one(RowList).focus()

    def action_first(self) -> None:
        """Choose the first of the two."""
        self.query_one("#compare-a").focus()

    def action_other_kind(self) -> None:
        """What was said, or what is offered."""
        self.toggle_class("surfaces")
        self._options, self._pair, self._all, self._problem = [], ("", ""), [], None
        self.draw()

    def action_all(self) -> None:
        """What is the same as well, or what differs alone."""
        self._whole = not self._whole
        self._renewed()

    def action_swap(self) -> None:
        """The first as the second."""
        a, b = self._pair
        self._choose(b, a)
        self.action_again()

    def action_again(self) -> None:
        """Compare them as they are now."""
        self.run_worker(self._compare, exclusive=True, group="compare")

    def action_snapshot(self) -> None:
        """Take down what the server that is looked at offers now."""
        if self.server is None:
            tell_person(self, "No server is chosen: 1 shows the servers.")
        else:
            self.run_worker(self._take(), group="snapshot")

    def _choose(self, a: str, b: str) -> None:
        options = [(Content(name), id) for id, name in self._options]
        self._pair = (a, b)
        for id, value in (("a", a), ("b", b)):
            select = cast("Any", self.query_one(f"#compare-{id}", Select))
            with select.prevent(Select.Changed):
                select.set_options(options)
                select.value = value or Select.NULL
        self.action_again()

    def _chosen(self, id: str) -> str:
        value: Any = cast("Any", self.query_one(f"#compare-{id}", Select)).value
        return value if isinstance(value, str) else ""

    async def _take(self) -> None:
        server = self.server
        if server is None:
            return
        try:
            id, _ = await self.inspection.take_snapshot(server.id)
        except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
            self.complain(problem)
            return
        self._snapshots[id] = f"{inline(server.name, 60)} at {datetime.now(UTC).astimezone():%H:%M:%S}"
        if not self.surfaces:
            self.action_other_kind()
        else:
            self.draw()
        a, b = self._pair
        self._choose(*((id, b) if not a else (a, id)))
        tell_person(self, f"Taken: {self._snapshots[id]}")

    async def _compare(self) -> None:
        a, b = self._pair
        self._all, self._problem = [], None
        if not a or not b:
            self._state = (
                "Choose two, or take what a server offers with s." if self.surfaces else "Choose two."
            )
            self._renewed()
            return
        self._state = "comparing"
        self._renewed()
        ignored = self.query_one("#compare-ignore", Input).value.split()
        try:
            if self.surfaces:
                first, second = (self.inspection.snapshot(each) for each in (a, b))
                self._all = list(await asyncio.to_thread(compare_surfaces, first, second))
                self._state = counted(len(self._all), "change")
            else:
                one, other = (self.inspection.transcript(each) for each in (a, b))
                found = await asyncio.to_thread(compare_captures, one.lines, other.lines, ignored)
                self._all = list(found.rows)
                counts = found.counts
                self._state = (
                    f"{counts['same']:,} the same, {counts['changed']:,} changed, {counts['only-a']:,} only in the"
                    f" first, {counts['only-b']:,} only in the second"
                )
        except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
            self._problem, self._state = problem, "They can't be compared."
        self._renewed()

    def _renewed(self) -> None:
        self.rows = [
            each
            for each in self._all
            if self._whole or isinstance(each, SurfaceDifference) or each.kind != "same"
        ]
        self.renew(self._state, stay=False)


def _compared_rows(row: ComparedRow) -> list[Row]:
    rows: list[Row] = [
        [(inline(f"{row.method} {row.name}"), "title"), (f"  by the {inline(row.sender, 20)}", "faint")],
        [(f"line {row.a or '-'} of the first, {row.b or '-'} of the second", "faint")],
    ]
    for each in row.changes:
        rows += [
            [],
            [(inline(each.pointer or "the whole"), "key")],
            *_pair_rows(each.a, each.b, each.missing),
        ]
    if row.kind == "changed" and not row.changes:
        rows += [[], [("They differ; where is not looked at for so many.", "faint")]]
    return rows


def _surface_rows(change: SurfaceDifference) -> list[Row]:
    rows: list[Row] = [
        [(inline(change.severity), _SEVERITIES.get(change.severity, "plain"))],
        [(inline(f"{change.kind} {change.name}"), "title")],
        [(inline(change.where), "faint")],
        [],
        *block(change.what),
    ]
    if change.why:
        rows += block(change.why, "faint")
    missing = "a" if change.before is None else "b" if change.after is None else ""
    return [*rows, [], *_pair_rows(change.before, change.after, missing)]


def _pair_rows(a: Any, b: Any, missing: str) -> list[Row]:
    """What stands at a place in the first, and in the second."""
    rows: list[Row] = []
    for sign, value, absent, kind in (("-", a, missing == "a", "error"), ("+", b, missing == "b", "good")):
        if not absent:
            rows += [[(f"{sign} ", kind), *each] for each in json_rows(value, 20_000)]
    return rows


def _clock(began: str) -> str:
    return inline(began[11:19] or "no time", 20)
