"""The resources of a server and their templates: read, and subscribed to.

Specification: server/resources.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from ..inspection import Inspection
from ..session.calls import CallRequest
from ..session.server import InspectedServer
from .calling import CallScreen
from .dialog import DialogScreen
from .listing import ListingView
from .text import Row, block, inline, json_rows
from .view import SHOWN_ERRORS, put_over, tell_person

__all__ = ["ResourcesView", "URIScreen"]


class ResourcesView(ListingView):
    """All resources and templates."""

    title = "Resources"
    listings = ("resources", "templates")
    BINDINGS: ClassVar = [
        Binding("s", "subscribe", "Subscribe"),
        Binding("u", "unsubscribe", "Unsubscribe"),
    ]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.updates: dict[tuple[str, str], int] = {}

    def row(self, kind: str, item: dict[str, Any]) -> Row:
        """One in the list."""
        uri = _uri(item)
        subscribed = self.server is not None and uri in self.server.view.subscriptions
        sign = "◉" if subscribed else "◇" if kind == "templates" else " "
        updates = self.updates.get((self.chosen.server, uri), 0)
        return [
            (f" {sign} ", "accent"),
            (inline(uri, 100), "title"),
            (f"  {inline(str(item.get('title') or item.get('name') or ''), 80)}", "faint"),
            (f"  updated {updates:,} times" if updates else "", "good"),
        ]

    def detail(self, kind: str, item: dict[str, Any]) -> list[Row]:
        """One in full."""
        rows: list[Row] = [[(inline(_uri(item)), "title")]]
        if isinstance(item.get("description"), str):
            rows += [[], *block(item["description"])]
        return [*rows, [], *json_rows(item)]

    def choose(self, kind: str, item: dict[str, Any]) -> None:
        """Read it; of a template, ask for the URI first."""
        if kind == "templates" and self.server is not None:
            put_over(self, URIScreen(self.inspection, self.server, _uri(item)))
        else:
            self._call(CallRequest(kind="read", uri=_uri(item)))

    def updated(self, server: str, uri: str) -> None:
        """A server says that a resource is another."""
        key = (server, uri)
        if key in self.updates or len(self.updates) < 10_000:
            self.updates[key] = self.updates.get(key, 0) + 1

    def action_subscribe(self) -> None:
        """Be told when it changes."""
        self._watch("subscribe")

    def action_unsubscribe(self) -> None:
        """Be told no more."""
        self._watch("unsubscribe")

    def _watch(self, kind: Any) -> None:
        found = self.at_cursor
        if found is None:
            return
        if found[0] == "templates":
            tell_person(self, "A template can't be watched; read one of its resources.")
            return
        self._call(CallRequest(kind=kind, uri=_uri(found[1])))

    def _call(self, request: CallRequest) -> None:
        try:
            view = self.inspection.call(self.chosen.server, request)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            put_over(self, CallScreen(self.inspection, view.id))


class URIScreen(DialogScreen):
    """The URI that a template becomes."""

    buttons: ClassVar = (("read", "Read"), ("close", "Close"))

    def __init__(self, inspection: Inspection, server: InspectedServer, template: str) -> None:
        super().__init__(f"Read {template}")
        self._inspection = inspection
        self._server = server
        self._template = template

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(Content("Put values in the place of what is in braces:"))
        yield Input(inline(self._template), id="uri", compact=True)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter reads."""
        event.stop()
        self.action_read()

    def action_read(self) -> None:
        """Read it."""
        uri = self.query_one("#uri", Input).value.strip()
        if "{" in uri:
            self.complain("Something in braces still stands there.")
            return
        try:
            view = self._server.call(CallRequest(kind="read", uri=uri))
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            put_over(self, CallScreen(self._inspection, view.id))


def _uri(item: dict[str, Any]) -> str:
    return str(item.get("uri") or item.get("uriTemplate") or "")
