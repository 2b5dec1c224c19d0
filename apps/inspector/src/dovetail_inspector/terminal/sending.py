"""A message that the person writes: a request or a notification of any method.

Specification: basic/index "Messages".
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static, TextArea

from ..inspection import Inspection
from ..messages import without_envelope
from ..session.calls import CallRequest
from ..session.server import InspectedServer
from .calling import CallScreen
from .dialog import DialogScreen
from .text import json_text
from .view import SHOWN_ERRORS, put_over

__all__ = ["SendScreen"]

_PING: Final[dict[str, Any]] = {"method": "ping", "params": {}, "id": "a new one"}


class SendScreen(DialogScreen):
    """A message to a server. ``message``: what stands there at first."""

    buttons: ClassVar = (("send", "Send"), ("close", "Close"))
    BINDINGS: ClassVar = [Binding("f5", "send", "Send", priority=True)]
    DEFAULT_CSS = """
    SendScreen TextArea { height: 1fr; }
    """

    def __init__(
        self, inspection: Inspection, server: InspectedServer, message: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"Send to {server.name}")
        self._inspection = inspection
        self._server = server
        self._message: dict[str, Any] = _PING if message is None else without_envelope(message)

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(
            Content("With an id it is a request (the client gives it a new one), else a notification.")
        )
        yield TextArea(json_text(self._message), tab_behavior="focus")

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(TextArea).focus()

    def action_send(self) -> None:
        """Send it."""
        try:
            found: Any = json.loads(self.query_one(TextArea).text)
        except (ValueError, RecursionError) as problem:
            self.complain(problem)
            return
        message = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        params = message.get("params")
        if not isinstance(message.get("method"), str) or not isinstance(params, (dict, type(None))):
            self.complain("Write an object with a method, and params that are an object.")
            return
        request = CallRequest(
            kind="request",
            method=message["method"],
            params=cast("dict[str, Any] | None", params),
            notification="id" not in message,
        )
        try:
            view = self._server.call(request)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            put_over(self, CallScreen(self._inspection, view.id))
