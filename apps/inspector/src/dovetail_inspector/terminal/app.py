"""The application in the terminal: the views, what is chosen, and the events that they follow.

Theory of operation. One loop follows the events of the Inspection, at most twenty times a second however many there
are, and says to the view and the dialog that are seen what types of events came; a view that is not seen is drawn when
it is opened. Nothing is kept here that the Inspection has.

Specification: none; docs/inspector-terminal.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import msgspec
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Static, Tab, Tabs

from ..events import InspectorEvent
from ..inspection import Inspection
from .calls import CallsView
from .checks import ChecksView
from .compare import CompareView
from .dialog import DialogScreen
from .faults import FaultsView
from .files import CaptureScreen
from .findings import FindingsView
from .info import ServerInfoView
from .listing import ListingView
from .logins import LoginsView
from .logs import LogsView
from .prompts import PromptsView
from .questions import QuestionScreen, question_screen
from .resources import ResourcesView
from .server_form import ServerScreen
from .servers import STATES, ServersView
from .skills import SkillsView
from .stderr import StderrView
from .tasks import TasksView
from .text import inline
from .timeline import TimelineView
from .tools import ToolsView
from .transcript import ConversationView
from .view import InspectorView, LookedAt, RecordWanted

__all__ = ["VIEW_KEYS", "InspectorTerminal"]

_VIEWS: Final[tuple[type[InspectorView], ...]] = (
    ServersView,
    ServerInfoView,
    ToolsView,
    ResourcesView,
    PromptsView,
    CallsView,
    ConversationView,
    TimelineView,
    FindingsView,
    StderrView,
    LogsView,
    TasksView,
    LoginsView,
    CompareView,
    ChecksView,
    FaultsView,
    SkillsView,
)
VIEW_KEYS: Final = "1234567890-TLCKFS"
"""The keys of the views, in their order."""
_PAUSE: Final = 0.05
"""Seconds between two looks at what is new."""


class InspectorTerminal(App[int]):
    """An Inspection in the terminal."""

    TITLE = "Dovetail Inspector"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    Screen { layout: vertical; }
    #status { height: 1; background: $panel; }
    Tabs { height: 1; }
    Tabs Underline { display: none; }
    Tab { height: 1; padding: 0 1; }
    Tab.-active { text-style: reverse; }
    ContentSwitcher { height: 1fr; }
    Input.-textual-compact { background: $boost; }
    """
    BINDINGS: ClassVar = [
        Binding("q", "quit", "Quit"),
        Binding("f2", "question", "Questions"),
        Binding("ctrl+t", "light", "Light/dark", show=False),
        *(
            Binding("minus" if key == "-" else key, f"open('{each.title.lower()}')", each.title, show=False)
            for key, each in zip(VIEW_KEYS, _VIEWS, strict=True)
        ),
    ]

    def __init__(self, inspection: Inspection) -> None:
        super().__init__()
        self.inspection: Final = inspection
        self.chosen: Final = LookedAt()
        self._put_off: set[str] = set()

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield Static(Content(""), id="status")
        yield Tabs(
            *(
                Tab(Content(f"{key} {each.title}"), id=f"tab-{each.title.lower()}")
                for key, each in zip(VIEW_KEYS, _VIEWS, strict=True)
            )
        )
        with ContentSwitcher(initial="servers"):
            for each in _VIEWS:
                yield each(self.inspection, self.chosen)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self.query_one(Tabs).can_focus = False
        self._choose_first()
        self.current.draw()
        self.current.focus_first()
        self._status()
        self.run_worker(self._follow(), name="events")

    @property
    def current(self) -> InspectorView:
        """The view that is seen."""
        return self.screen_stack[0].query_one(f"#{self._switcher.current}", InspectorView)

    def open(self, name: str) -> InspectorView:
        """Show a view, by its title in small letters."""
        self._switcher.current = name
        tabs = self.screen_stack[0].query_one(Tabs)
        tabs.active = f"tab-{name}"
        view = self.current
        view.draw()
        view.focus_first()
        return view

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette."""
        yield from super().get_system_commands(screen)  # pyright: ignore[reportUnknownMemberType] - any screen
        for key, each in zip(VIEW_KEYS, _VIEWS, strict=True):
            name = each.title.lower()
            yield SystemCommand(f"Show {name}", f"Key {key}", lambda name=name: self.open(name))
        yield SystemCommand(
            "Add a server",
            "A file, a URL or a command",
            lambda: self.push_screen(ServerScreen(self.inspection)),
        )
        yield SystemCommand(
            "Open a capture", "A file (.jsonl)", lambda: self.push_screen(CaptureScreen(self.inspection))
        )
        yield SystemCommand("Questions", "What servers ask and nobody has answered", self.action_question)

    def action_open(self, name: str) -> None:
        """Show a view."""
        if not isinstance(self.screen, DialogScreen):
            self.open(name)

    def action_light(self) -> None:
        """Light or dark."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_question(self) -> None:
        """The question that waits longest."""
        self._put_off.clear()
        self._ask()

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """A tab was clicked."""
        name = (event.tab.id or "").removeprefix("tab-")
        if name and name != self._switcher.current:
            self.open(name)

    def on_servers_view_picked(self, event: ServersView.Picked) -> None:
        """Something else is looked at."""
        self.chosen.server, self.chosen.transcript = event.server, event.transcript
        self._status()
        if event.go:
            self.open("tools" if event.server else "transcript")

    def on_record_wanted(self, event: RecordWanted) -> None:
        """A record is to be shown in full, or its conversation."""
        found = self.inspection.transcripts.get(event.transcript)
        if found is None:
            return
        server = self.inspection.servers.get(found.server or "")
        newest = server is not None and server.transcript == found.id
        self.chosen.server = "" if server is None else server.id
        self.chosen.transcript = "" if newest else found.id
        self._status()
        view = self.open("transcript")
        if isinstance(view, ConversationView) and event.n:
            view.go_to(event.n)

    @property
    def _switcher(self) -> ContentSwitcher:
        return self.screen_stack[0].query_one(ContentSwitcher)

    async def _follow(self) -> None:
        """Follow the events until there are no more."""
        seq = self.inspection.events.seq
        going = True
        while going:
            going = False
            async for batch in self.inspection.events.watch(seq):
                seq = batch[-1].seq
                going = batch[-1].type == "reset"
                if not self.is_running:  # it is being taken down, from the inside out
                    return
                self._take(batch)
                await asyncio.sleep(_PAUSE)

    def _take(self, batch: list[InspectorEvent]) -> None:
        types = frozenset(each.type for each in batch)
        for each in batch:
            if each.type in ("log", "changed"):
                self._heard(each.type, msgspec.json.decode(each.data))
        if "server-removed" in types or "transcript-removed" in types or not self.chosen.server:
            self._choose_first()
        self._status()
        view = self.current
        if "reset" in types or types & view.news:
            view.draw()
        for screen in self.screen_stack:
            if isinstance(screen, DialogScreen) and screen.is_mounted:
                screen.news(types)
        if types & {"question", "question-closed", "reset"}:
            self._ask()

    def _heard(self, type: str, data: dict[str, Any]) -> None:
        """What is told once only, and the views have to take."""
        main = self.screen_stack[0]
        if type == "log":
            main.query_one(LogsView).take(data)
            return
        if data["server"] != self.chosen.server and data["what"] != "resource":
            return
        if data["what"] == "resource":
            main.query_one(ResourcesView).updated(data["server"], str(data["uri"]))
            return
        for each in main.query(ListingView):
            if data["what"] in each.listings:
                each.stale()

    def _ask(self) -> None:
        """Show the next question, and close the one that nobody waits for any more."""
        screen = self.screen
        if isinstance(screen, QuestionScreen):
            if not screen.waits:
                screen.dismiss()
            return
        if any(isinstance(each, QuestionScreen) for each in self.screen_stack):
            return
        for question in self.inspection.questions.views:
            if question.id not in self._put_off:
                self._put_off.add(question.id)  # shown once by itself; F2 brings it back
                self.push_screen(question_screen(self.inspection, question), lambda _: self._ask())
                return

    def _choose_first(self) -> None:
        """Look at something that there is."""
        if self.chosen.server not in self.inspection.servers:
            self.chosen.server = ""
        if self.chosen.transcript not in self.inspection.transcripts:
            self.chosen.transcript = ""
        if not self.chosen.server and not self.chosen.transcript:
            self.chosen.server = next(iter(self.inspection.servers), "")
            if not self.chosen.server:
                self.chosen.transcript = next(iter(self.inspection.transcripts), "")

    def _status(self) -> None:
        """The line at the top."""
        server = self.inspection.servers.get(self.chosen.server)
        parts: list[Any] = []
        if server is not None:
            view = server.view
            sign, _ = STATES[view.state]
            of = f"  {view.revision} ({view.era})" if view.revision else ""
            parts += [f" {sign} ", (inline(view.name, 40), "bold"), f"  {view.state}{inline(of)}"]
        elif self.chosen.transcript:
            found = self.inspection.transcripts[self.chosen.transcript]
            parts += [" ≡ ", (inline(found.name, 40), "bold"), "  a capture"]
        else:
            parts.append(" Dovetail Inspector")
        waiting = len(self.inspection.questions.views)
        if waiting:
            parts.append((f"  {waiting} question{'s' if waiting > 1 else ''} (F2)", "bold reverse"))
        self.screen_stack[0].query_one("#status", Static).update(Content.assemble(*parts))
