"""Relays that stand between hosts and servers, and the faults that each injects.

Theory of operation. A relay is another process, so it is asked, once a second while the view is seen.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from ..between.faults import KINDS, Fault, fault_from_words
from ..between.live import LiveRelay, LiveUnavailable, Steering
from ..between.striking import FaultState
from ..inspection import Inspection
from ..relays import SteeredRelay, running_relay, steered_relays
from .dialog import DialogScreen
from .reader import TextReader
from .split import SplitView
from .text import Row, block, counted, inline
from .view import SHOWN_ERRORS, RecordWanted, put_over, tell_person

__all__ = ["FaultScreen", "FaultsView"]

_LOOK: Final = 1.0
"""Seconds between two looks."""
_SHOWN: Final = (*SHOWN_ERRORS, LiveUnavailable)
_WORDS: Final = [str(each.__struct_config__.tag) for each in KINDS]
_COMMON: Final = "sender=client method=tools/call tool=NAME nth=2 times=1 share=0.5 seed=1"


class FaultsView(SplitView):
    """The relays of this person, each with its faults below it."""

    title = "Faults"
    empty = "No relay runs. One does with: dovetail inspect --between -- COMMAND"
    BINDINGS: ClassVar = [
        Binding("a", "add", "Add a fault"),
        Binding("x", "remove", "Remove it"),
        Binding("r", "look", "Look again"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.relays: list[SteeredRelay] = []
        self.rows: list[tuple[SteeredRelay, FaultState | None]] = []
        self._looking = False

    def on_mount(self) -> None:
        """Look now and then."""
        self.set_interval(_LOOK, self._look_if_seen)

    def draw(self) -> None:
        """Show how it is now."""
        self.action_look()

    def count(self) -> int:
        """Relays and faults."""
        return len(self.rows)

    def row(self, at: int) -> Row:
        """One in the list."""
        steered, fault = self.rows[at]
        if fault is not None:
            return [
                (f"     {fault.number:>3} ", "faint"),
                (inline(fault.fault, 200), "title"),
                (f"  struck {fault.struck:,} of {fault.matched:,}", "warning" if fault.struck else "faint"),
            ]
        relay = steered.relay
        of = f"{relay.host}: {relay.server}" if relay.server else relay.name
        return [
            (" ⇆ ", "error" if steered.problem else "good"),
            (inline(of, 60), "title"),
            (f"  {relay.transport}  ", "accent"),
            (inline(f"{relay.url} {relay.target}".strip(), 300), "faint"),
        ]

    def detail(self, at: int) -> list[Row]:
        """One in full."""
        if at >= len(self.rows):
            return []
        steered, fault = self.rows[at]
        relay = steered.relay
        rows: list[Row] = []
        if steered.problem:
            rows += [[(inline(steered.problem), "error")], []]
        if fault is not None:
            rows += [
                [(inline(fault.fault), "title")],
                [(f"{counted(fault.matched, 'message')} fitted it, {fault.struck:,} struck", "plain")],
                [],
            ]
        facts = (
            ("relay     ", relay.name),
            ("process   ", str(relay.process)),
            ("began     ", relay.began),
            ("server    ", relay.target),
            ("listens   ", relay.url),
            ("capture   ", relay.capture),
        )
        rows += [[(title, "key"), (inline(value), "plain")] for title, value in facts if value]
        return [*rows, [], [("Enter shows what passes it, a adds a fault.", "faint")]]

    def open_row(self, at: int) -> None:
        """What passes it."""
        transcript = self.rows[at][0].transcript
        if transcript is None:
            tell_person(self, "Nothing has passed it yet.")
        else:
            self.post_message(RecordWanted(transcript, 0))

    def action_look(self) -> None:
        """Ask them now."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look(), group="relays")

    def action_add(self) -> None:
        """Ask which fault."""
        if self.cursor < len(self.rows):
            put_over(self, FaultScreen(self.inspection, self.rows[self.cursor][0].relay, self.action_look))

    def action_remove(self) -> None:
        """Take the fault out of force."""
        steered, fault = self.rows[self.cursor] if self.cursor < len(self.rows) else (None, None)
        if steered is None or fault is None:
            tell_person(self, "Choose one of the faults below a relay.")
        else:
            self.run_worker(self._remove(steered.relay, fault.number))

    def _look_if_seen(self) -> None:
        if self.display:
            self.action_look()

    async def _look(self) -> None:
        try:
            self.relays = await steered_relays(self.inspection)
        except _SHOWN as problem:
            self.complain(problem)
            return
        finally:
            self._looking = False
        rows: list[tuple[SteeredRelay, FaultState | None]] = []
        for each in self.relays:
            rows += [(each, None), *((each, fault) for fault in each.faults)]
        self.rows = rows
        self.renew(f"{counted(len(self.relays), 'relay')}, {counted(len(rows) - len(self.relays), 'fault')}")

    async def _remove(self, relay: LiveRelay, number: int) -> None:
        try:
            await asyncio.to_thread(Steering(relay).remove, number)
        except _SHOWN as problem:
            self.complain(problem)
        self.action_look()


class FaultScreen(DialogScreen):
    """Which fault? ``added``: called when it is in force."""

    buttons: ClassVar = (("add_fault", "Add"), ("close", "Close"))
    DEFAULT_CSS = """
    FaultScreen TextReader { height: 1fr; }
    """

    def __init__(self, inspection: Inspection, relay: LiveRelay, added: Callable[[], None]) -> None:
        super().__init__(f"A fault of {relay.server or relay.name}")
        self._inspection = inspection
        self._relay = relay
        self._added = added

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(Content("As on the command line: KIND NAME=VALUE ..., such as delay seconds=0.5"))
        yield Input(id="words", compact=True, suggester=SuggestFromList(_WORDS))
        yield TextReader(_kinds())

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter adds."""
        event.stop()
        await self.action_add_fault()

    async def action_add_fault(self) -> None:
        """Put it in force."""
        try:
            fault = fault_from_words(self.query_one("#words", Input).value)
            await asyncio.to_thread(lambda: Steering(running_relay(self._relay.name)).add(fault))
        except _SHOWN as problem:
            self.complain(problem)
        else:
            self._added()
            self.dismiss()


def _kinds() -> list[Row]:
    """The kinds that there are, with their members."""
    rows: list[Row] = []
    common = set(Fault.__struct_fields__)
    for word, each in zip(_WORDS, KINDS, strict=True):
        members = [f"{name}=" for name in each.__struct_fields__ if name not in common]
        rows.append([(f"{word:<14}", "title"), ("  ".join(members), "accent")])
        rows += block(" ".join((each.__doc__ or "").split()), "faint")
    return [[("All take    ", "title"), (_COMMON, "accent")], [], *rows]
