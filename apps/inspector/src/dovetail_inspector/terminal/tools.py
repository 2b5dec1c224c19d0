"""The tools of a server, and calling one.

Specification: server/tools.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from ..app_views.metadata import resource_uri, visible_to
from ..inspection import Inspection
from ..session.calls import CallRequest
from ..session.server import InspectedServer
from .calling import CallScreen
from .dialog import DialogScreen
from .form import FormInvalid, SchemaForm
from .listing import ListingView
from .text import Row, block, inline, json_rows
from .view import SHOWN_ERRORS, put_over

__all__ = ["ToolScreen", "ToolsView"]


_IN_PAGE: Final = "run dovetail inspect without --tui, and call the tool there"


class ToolsView(ListingView):
    """All tools."""

    title = "Tools"
    listings = ("tools",)

    def row(self, kind: str, item: dict[str, Any]) -> Row:
        """One in the list."""
        description = item.get("description")
        mark = "  view" if resource_uri(item) else ""
        return [
            (f" {inline(str(item.get('name', '')), 60)}", "title"),
            (mark, "accent"),
            (f"  {inline(description, 120) if isinstance(description, str) else ''}", "faint"),
        ]

    def detail(self, kind: str, item: dict[str, Any]) -> list[Row]:
        """One in full."""
        rows: list[Row] = [[(inline(str(item.get("name", ""))), "title")]]
        if isinstance(item.get("title"), str):
            rows.append([(inline(item["title"]), "accent")])
        badges = [each for each, value in _mapping(item.get("annotations")).items() if value is True]
        if badges:
            rows.append([(inline(", ".join(badges)), "warning")])
        rows += _view_rows(item)
        if isinstance(item.get("description"), str):
            rows += [[], *block(item["description"])]
        rows += [[], [("Arguments", "title")], *json_rows(item.get("inputSchema"))]
        if item.get("outputSchema") is not None:
            rows += [[], [("Result", "title")], *json_rows(item["outputSchema"])]
        rest = {
            each: item[each]
            for each in item
            if each not in ("name", "title", "description", "inputSchema", "outputSchema")
        }
        return [*rows, [], [("More", "title")], *json_rows(rest)] if rest else rows

    def choose(self, kind: str, item: dict[str, Any]) -> None:
        """Call it."""
        if self.server is not None:
            put_over(self, ToolScreen(self.inspection, self.server, item))


class ToolScreen(DialogScreen):
    """The arguments of a call."""

    buttons: ClassVar = (
        ("call", "Call"),
        ("as_task", "As a task"),
        ("json", "Fields/JSON"),
        ("close", "Close"),
    )
    BINDINGS: ClassVar = [
        Binding("f5,ctrl+enter", "call", "Call", priority=True),
        Binding("f4", "json", "Fields/JSON", priority=True),
    ]

    def __init__(self, inspection: Inspection, server: InspectedServer, tool: dict[str, Any]) -> None:
        super().__init__(f"Call {tool.get('name', '')}")
        self._inspection = inspection
        self._server = server
        self._tool = tool

    def body(self) -> ComposeResult:
        """Called when it is made."""
        description = self._tool.get("description")
        if isinstance(description, str) and description:
            yield Static(Content(inline(description, 300)), classes="name")
        yield SchemaForm(self._tool.get("inputSchema"))
        if resource_uri(self._tool):
            yield Static(Content(f"It has a view, which is shown in the page: {_IN_PAGE}"), classes="name")
        yield Static(Content("F5 calls, F4 writes it as JSON, Escape closes"), classes="name")

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(SchemaForm).focus_first()

    def action_call(self) -> None:
        """Call it."""
        self._call(as_task=False)

    def action_as_task(self) -> None:
        """Call it, to go on as a task."""
        self._call(as_task=True)

    def action_json(self) -> None:
        """Write it the other way."""
        try:
            self.query_one(SchemaForm).toggle()
            self.complain("")
        except FormInvalid as problem:
            self.complain(str(problem))

    def _call(self, *, as_task: bool) -> None:
        try:
            arguments = self.query_one(SchemaForm).value()
            name = str(self._tool.get("name", ""))
            view = self._server.call(
                CallRequest(kind="tool", name=name, arguments=arguments, as_task=as_task)
            )
        except FormInvalid as problem:
            self.complain(str(problem))
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self.complain("")
            put_over(self, CallScreen(self._inspection, view.id))


def _view_rows(tool: dict[str, Any]) -> list[Row]:
    """What a tool says of its view, which only a browser shows."""
    rows: list[Row] = []
    if uri := resource_uri(tool):
        rows.append([("view      ", "key"), (inline(uri), "accent")])
        rows.append([("          ", "key"), (f"shown in the page: {_IN_PAGE}", "faint")])
    if not visible_to(tool, "model"):
        rows.append([("for views alone: hosts do not show it to a model", "warning")])
    return rows


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
