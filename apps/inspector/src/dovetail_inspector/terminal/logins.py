"""The logins of a server as a sequence: who said what to whom, by which rule it was decided, and each step let go.

Specification: basic/authorization; docs/logging-in.md, "Step by step".
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from msgspec.structs import replace
from textual.binding import Binding

from ..session.server import InspectedServer
from ..views import LoginStepView
from .rows import RowList
from .split import SplitView
from .text import Row, inline, json_rows, size_text
from .view import SHOWN_ERRORS

__all__ = ["LoginsView"]

_STATES: Final = {
    "done": ("✓", "good"),
    "missing": ("·", "faint"),
    "refused": ("✗", "error"),
    "failed": ("✗", "error"),
}


class LoginsView(SplitView):
    """All steps of the server that is looked at, the oldest first."""

    title = "Logins"
    news = frozenset({"login", "server", "server-removed"})
    empty = "Nobody logged in here yet. s goes through a login step by step, c connects."
    BINDINGS: ClassVar = [
        Binding("n", "next", "Next step"),
        Binding("a", "run", "All steps"),
        Binding("s", "stepping", "Step by step"),
        Binding("c", "connect", "Connect"),
        Binding("f", "forget", "Forget it"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps: list[LoginStepView] = []
        self._of = ""

    def draw(self) -> None:
        """Show how it is now; the cursor goes to the step that waits."""
        server = self.server
        had = len(self.steps)
        if self.chosen.server != self._of:
            self._of, had = self.chosen.server, -1
        self.steps = [] if server is None else server.logins.view.steps
        self.renew(_state(server), stay=had == len(self.steps))
        if had != len(self.steps) and self.steps:
            held = next((at for at, each in enumerate(self.steps) if each.held), len(self.steps) - 1)
            self.query_one("#logins-list", RowList).move_to(held)

    def count(self) -> int:
        """How many there are."""
        return len(self.steps)

    def row(self, at: int) -> Row:
        """One in the list."""
        step = self.steps[at]
        sign, kind = ("▶", "warning") if step.held else _STATES[step.state]
        parties = step.source if step.source == step.target else f"{step.source} → {step.target}"
        return [
            (f" {sign} ", kind),
            (f"{parties:<20} ", "accent"),
            (f"{inline(step.title, 60)}  ", "title"),
            (inline(step.decision, 200), "plain"),
        ]

    def detail(self, at: int) -> list[Row]:
        """One in full."""
        if at >= len(self.steps):
            return []
        step = self.steps[at]
        rows: list[Row] = [
            [(inline(step.title), "title"), (f"  {step.state}", _STATES[step.state][1])],
            [(inline(step.time, 60), "faint")],
            [],
            [(inline(step.decision), "plain")],
        ]
        if step.requirement:
            rows.append([("by        ", "key"), (inline(step.requirement), "plain")])
        if step.request is not None:
            rows += [[], [(inline(f"{step.request.method} {step.request.url}"), "accent")]]
            rows += _headers(step.request.headers)
            if step.request.sent is not None:
                rows += json_rows(step.request.sent)
        if step.response is not None:
            rows += [[], [(str(step.response.status), "number")], *_headers(step.response.headers)]
        for each in step.documents:
            rows += [[], [(inline(each.title), "key")], *json_rows(each.content)]
            if each.omitted:
                rows.append([(f"... {size_text(each.omitted)} more", "faint")])
        return rows

    def open_row(self, at: int) -> None:
        """Let it go, where it waits."""
        if self.steps[at].held:
            self.action_next()

    def action_next(self) -> None:
        """Let the step go that waits."""
        self._let_go(run=False)

    def action_run(self) -> None:
        """Let it go, and all that follow."""
        self._let_go(run=True)

    def action_stepping(self) -> None:
        """Hold each step of the next login, or none."""
        server = self.server
        if server is not None:
            server.change(settings=replace(server.settings, step_login=not server.settings.step_login))

    def action_connect(self) -> None:
        """Connect, which logs in where the server asks for it."""
        if self.server is not None:
            self.server.connect()

    def action_forget(self) -> None:
        """Let go of the server, and forget the login with its tokens."""
        if self.server is not None:
            self.run_worker(self._forget(self.server))

    def _let_go(self, *, run: bool) -> None:
        try:
            if self.server is not None:
                self.server.logins.step(run=run)
        except SHOWN_ERRORS as problem:
            self.complain(problem)

    async def _forget(self, server: InspectedServer) -> None:
        try:
            await server.forget_login()
        except SHOWN_ERRORS as problem:
            self.complain(problem)


def _headers(headers: dict[str, str]) -> list[Row]:
    return [[(f"{inline(name, 100)}: ", "key"), (inline(value), "plain")] for name, value in headers.items()]


def _state(server: InspectedServer | None) -> str:
    if server is None:
        return "No server is chosen: 1 shows the servers."
    view = server.logins.view
    if view.waiting:
        return "A step waits: n lets it go, a all that follow."
    how = "each step of a login waits for you" if server.settings.step_login else "logins go by themselves"
    return f"{inline(server.name, 40)} is {server.view.state}; {how}"
