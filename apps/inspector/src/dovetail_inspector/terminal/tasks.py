"""The tasks of a server: what goes on there, how far it is, and what came of it.

Theory of operation. They are asked for when the view is opened, when a call becomes a task, and again for as long as
one goes on and the view is seen, as often as the server wants to be asked.

Specification: 2025-11-25 basic/utilities/tasks; the tasks extension.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from textual.binding import Binding

from ..session.calls import CallRequest
from ..views import CallView
from .calling import CallScreen
from .results import call_rows
from .split import SplitView
from .text import Row, counted, inline, json_rows, time_text
from .view import SHOWN_ERRORS, error_rows, put_over

__all__ = ["TasksView"]

_ENDED: Final = ("completed", "failed", "cancelled")
_SIGNS: Final = {
    "working": ("◌", "accent"),
    "input_required": ("?", "warning"),
    "completed": ("✓", "good"),
    "failed": ("✗", "error"),
    "cancelled": ("∅", "warning"),
}
_USUAL: Final = 2.0
_LEAST, _MOST = 0.5, 60.0
"""Seconds between two looks."""


class TasksView(SplitView):
    """All tasks that the server has of this client's."""

    title = "Tasks"
    news = frozenset({"server", "server-removed", "call"})
    empty = "There are no tasks. A tool that takes long can be called as one."
    BINDINGS: ClassVar = [
        Binding("r", "reload", "Look again"),
        Binding("c", "cancel", "Cancel"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tasks: list[dict[str, Any]] = []
        self._of: tuple[Any, ...] = ()
        self._problem: BaseException | None = None

    def draw(self) -> None:
        """Show how it is now; looks again where there is a connection that was not asked, or another task."""
        server = self.server
        ready = server is not None and server.view.state in ("ready", "renewing")
        started = sum(1 for each in self._calls() if each.task)
        of = (self.chosen.server, server.transcript if server is not None else None, ready, started)
        if of != self._of:
            if of[:2] != self._of[:2]:
                self.tasks, self._problem = [], None
            self._of = of
            if ready:
                self.action_reload()
        self._renewed()

    def count(self) -> int:
        """How many there are."""
        return len(self.tasks)

    def row(self, at: int) -> Row:
        """One in the list."""
        task = self.tasks[at]
        status = str(task.get("status", ""))
        sign, kind = _SIGNS.get(status, ("·", "plain"))
        call = self._call(task)
        step = call.progress[-1] if call is not None and call.progress and status not in _ENDED else None
        far = "" if step is None else f"  {step.progress:g}" + (f"/{step.total:g}" if step.total else "")
        return [
            (f" {sign} ", kind),
            (f"{inline(status, 20):<15} ", kind),
            (inline(f"{call.method} {call.name}", 80) if call is not None else _id(task), "title"),
            (far, "number"),
            (f"  {inline(str(task.get('statusMessage') or ''), 120)}", "faint"),
        ]

    def detail(self, at: int) -> list[Row]:
        """One in full, with the call that it is of."""
        if at >= len(self.tasks):
            return [] if self._problem is None else error_rows(self._problem)
        task = self.tasks[at]
        rows: list[Row] = [[("id         ", "key"), (_id(task), "plain")]]
        for title, value in (
            ("began      ", task.get("createdAt")),
            ("changed    ", task.get("lastUpdatedAt")),
            ("kept for   ", _kept(task)),
        ):
            if value:
                rows.append([(title, "key"), (inline(str(value), 100), "plain")])
        rows += [[], *json_rows(task)]
        call = self._call(task)
        return rows if call is None else [*rows, [], [("Its call", "title")], *call_rows(call)]

    def open_row(self, at: int) -> None:
        """The call that it is of; of another, what came of it."""
        task, server = self.tasks[at], self.server
        call = self._call(task)
        try:
            if call is None and server is not None:
                stateful = server.client.era == "stateful"
                method = "tasks/result" if stateful and task.get("status") in _ENDED else "tasks/get"
                params = {"taskId": task.get("taskId")}
                call = server.call(CallRequest(kind="request", method=method, params=params))
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        if call is not None:
            put_over(self, CallScreen(self.inspection, call.id))

    def action_reload(self) -> None:
        """Ask the server now."""
        if self.server is not None:
            self.run_worker(self._look, exclusive=True, group="tasks")

    def action_cancel(self) -> None:
        """Ask the server to cancel it."""
        if self.cursor < len(self.tasks):
            self.run_worker(self._cancel(self.tasks[self.cursor]), group="cancel")

    async def _cancel(self, task: dict[str, Any]) -> None:
        server = self.server
        try:
            if server is not None:
                await server.cancel_task(str(task.get("taskId", "")))
        except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
            self.complain(problem)
        self.action_reload()

    async def _look(self) -> None:
        while True:
            server = self.server
            if server is None:
                return
            try:
                found, self._problem = await server.tasks(), None
            except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the view goes on
                found, self._problem = [], problem
            if server is not self.server:
                return
            self.tasks = found
            self._renewed()
            going = [each for each in found if each.get("status") not in _ENDED]
            if not going or self._problem is not None:
                return
            await asyncio.sleep(min(_interval(each) for each in going))
            if not self.display:
                self._of = ()  # looked at again when it is opened
                return

    def _renewed(self) -> None:
        server = self.server
        if server is None:
            state = "No server is chosen: 1 shows the servers."
        elif server.view.state not in ("ready", "renewing"):
            state = f"{inline(server.name, 60)} is {server.view.state}."
        else:
            going = sum(1 for each in self.tasks if each.get("status") not in _ENDED)
            state = counted(len(self.tasks), "task") + (f", of which {going:,} not over" if going else "")
        self.renew(state)

    def _calls(self) -> list[CallView]:
        return [each for each in self.inspection.calls.views if each.server == self.chosen.server]

    def _call(self, task: dict[str, Any]) -> CallView | None:
        id = task.get("taskId")
        return next((each for each in reversed(self._calls()) if each.task and each.task == id), None)


def _id(task: dict[str, Any]) -> str:
    return inline(str(task.get("taskId", "")), 200)


def _kept(task: dict[str, Any]) -> str:
    """How long the server keeps it, where it says so."""
    milliseconds = _number(task, "ttlMs", "ttl")
    return "" if milliseconds is None else time_text(milliseconds / 1000)


def _interval(task: dict[str, Any]) -> float:
    """Seconds until a task is looked at again."""
    milliseconds = _number(task, "pollIntervalMs", "pollInterval")
    return _USUAL if milliseconds is None else min(max(milliseconds / 1000, _LEAST), _MOST)


def _number(task: dict[str, Any], *names: str) -> float | None:
    """A member that goes by either name, depending on the revision."""
    found: Any = next((task[each] for each in names if each in task), None)
    return None if isinstance(found, bool) or not isinstance(found, (int, float)) else found
