"""The prompts of a server: filled in, with what the server suggests, and rendered.

Specification: server/prompts, server/utilities/completion.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Static

from ..inspection import Inspection
from ..session.calls import CallRequest
from ..session.server import InspectedServer
from .calling import CallScreen
from .dialog import DialogScreen
from .form import FormInvalid, SchemaForm
from .listing import ListingView
from .text import Row, block, inline, json_rows
from .view import SHOWN_ERRORS, put_over

__all__ = ["PromptScreen", "PromptsView"]


class PromptsView(ListingView):
    """All prompts."""

    title = "Prompts"
    listings = ("prompts",)

    def row(self, kind: str, item: dict[str, Any]) -> Row:
        """One in the list."""
        return [
            (f" {inline(str(item.get('name', '')), 60)}", "title"),
            (f"  {inline(str(item.get('description') or ''), 120)}", "faint"),
        ]

    def detail(self, kind: str, item: dict[str, Any]) -> list[Row]:
        """One in full."""
        rows: list[Row] = [[(inline(str(item.get("name", ""))), "title")]]
        if isinstance(item.get("description"), str):
            rows += [[], *block(item["description"])]
        for each in _arguments(item):
            needed = " (needed)" if each.get("required") else ""
            rows += [[], [(inline(str(each.get("name", ""))), "key"), (needed, "warning")]]
            rows += block(str(each.get("description") or ""))
        return [*rows, [], [("As it came", "title")], *json_rows(item)]

    def choose(self, kind: str, item: dict[str, Any]) -> None:
        """Fill it in."""
        if self.server is not None:
            put_over(self, PromptScreen(self.inspection, self.server, item))


class PromptScreen(DialogScreen):
    """The arguments of a prompt."""

    buttons: ClassVar = (("get", "Get"), ("close", "Close"))
    BINDINGS: ClassVar = [Binding("f5", "get", "Get", priority=True)]

    def __init__(self, inspection: Inspection, server: InspectedServer, prompt: dict[str, Any]) -> None:
        super().__init__(f"Prompt {prompt.get('name', '')}")
        self._inspection = inspection
        self._server = server
        self._prompt = prompt

    def body(self) -> ComposeResult:
        """Called when it is made."""
        given = {str(each.get("name", "")): each for each in _arguments(self._prompt)}
        schema = {
            "properties": {
                name: {"type": "string", "title": each.get("title"), "description": each.get("description")}
                for name, each in given.items()
            },
            "required": [name for name, each in given.items() if each.get("required") is True],
        }
        name = str(self._prompt.get("name", ""))
        suggesters: dict[str, Suggester] = {}
        if _completes(self._server):
            suggesters = {
                each: _ArgumentSuggester(self._inspection, self._server, name, each) for each in given
            }
        yield SchemaForm(schema, suggesters=suggesters)
        yield Static(Content("F5 gets it; the right arrow takes what the server suggests"), classes="name")

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(SchemaForm).focus_first()

    def action_get(self) -> None:
        """Get it."""
        try:
            arguments = self.query_one(SchemaForm).value()
            name = str(self._prompt.get("name", ""))
            view = self._server.call(CallRequest(kind="prompt", name=name, arguments=arguments))
        except FormInvalid as problem:
            self.complain(str(problem))
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self.complain("")
            put_over(self, CallScreen(self._inspection, view.id))


class _ArgumentSuggester(Suggester):
    """What a server suggests for an argument of a prompt."""

    def __init__(self, inspection: Inspection, server: InspectedServer, prompt: str, argument: str) -> None:
        super().__init__(case_sensitive=True)
        self._inspection = inspection
        self._server = server
        self._prompt = prompt
        self._argument = argument

    async def get_suggestion(self, value: str) -> str | None:
        """The first value that goes on as what was written."""
        request = CallRequest(
            kind="complete", ref=self._prompt, argument={"name": self._argument, "value": value}
        )
        try:
            seq = self._inspection.events.seq
            call = self._server.call(request)
            async for _ in self._inspection.events.watch(seq):
                if self._inspection.calls.view(call.id).state != "running":
                    break
            result = cast("dict[str, Any]", self._inspection.calls.view(call.id).result or {})
        except LookupError:
            return None
        values: list[str] = result.get("completion", {}).get("values", [])
        # What acts on a terminal is never put where somebody writes.
        return next(
            (each for each in values if each.startswith(value) and inline(each, len(each)) == each), None
        )


def _arguments(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    found: Any = prompt.get("arguments")
    given = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("dict[str, Any]", each) for each in given if isinstance(each, dict)]


def _completes(server: InspectedServer) -> bool:
    try:
        return "completions" in (server.info().capabilities or {})
    except SHOWN_ERRORS:
        return False
