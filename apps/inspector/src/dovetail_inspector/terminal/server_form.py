"""Another server, or other settings of one.

Specification: none.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Checkbox, Input, Select, Static, TextArea

from dovetail.revisions import REVISIONS

from ..inspection import Inspection
from ..session.server import InspectedServer
from ..targets import target_of
from ..views import ConnectionSettings, ServerTarget
from .dialog import DialogScreen
from .text import inline, json_text
from .view import SHOWN_ERRORS

__all__ = ["ServerScreen"]

_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_TEXTS: Final = (
    ("target", "Python file, URL, or command line"),
    ("name", "Name"),
    ("env", "Variables, NAME=VALUE one beside the other"),
    ("headers", "Headers as a JSON object; env:NAME takes a variable's value"),
    ("cwd", "Folder that it is started in"),
    ("timeout", "Seconds that a call may take"),
    ("roots", "Roots: paths or URIs, one beside the other"),
)
_SWITCHES: Final = (
    ("elicitation", "answers forms (elicitation)"),
    ("sampling", "is its model (sampling)"),
    ("apps", "declares views of tools (MCP Apps), which the page shows"),
    ("ask_app_calls", "calls of views wait for me"),
    ("login", "logs in where it is asked to (OAuth)"),
    ("step_login", "each step of a login waits for me"),
    ("step_rounds", "rounds wait for me, one by one"),
)


class ServerScreen(DialogScreen):
    """A server and how it is spoken to. ``server``: the one that is changed; None for another."""

    buttons: ClassVar = (("save", "Save and connect"), ("keep", "Save"), ("close", "Close"))
    DEFAULT_CSS = """
    ServerScreen VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    ServerScreen TextArea { height: 5; }
    ServerScreen Static.name { color: $text-muted; }
    """

    def __init__(self, inspection: Inspection, server: InspectedServer | None = None) -> None:
        super().__init__("Add a server" if server is None else f"Settings of {server.name}")
        self._inspection = inspection
        self._server = server

    def body(self) -> ComposeResult:
        """Called when it is made."""
        settings = ConnectionSettings() if self._server is None else self._server.settings
        values = _values(self._server)
        with VerticalScroll(can_focus=False):
            for id, title in _TEXTS:
                yield Static(Content(title), classes="name")
                yield Input(values.get(id, ""), id=id, compact=True)
            yield Static(Content("Revision"), classes="name")
            yield Select(
                [(Content(each), each) for each in ("auto", *REVISIONS)],
                value=settings.revision if settings.revision in REVISIONS else "auto",
                allow_blank=False,
                compact=True,
                id="revision",
            )
            yield Static(Content("Least severe log messages"), classes="name")
            yield Select(
                [(Content(each), each) for each in _LEVELS],
                value=settings.log_level if settings.log_level in _LEVELS else Select.NULL,
                prompt="as the server likes",
                compact=True,
                id="level",
            )
            for id, title in _SWITCHES:
                yield Checkbox(Content(title), value=getattr(settings, id), compact=True, id=id)
            yield Static(
                Content("_meta of each request, and extensions with settings, as JSON"), classes="name"
            )
            yield TextArea(
                json_text({"meta": settings.meta, "extensions": settings.extensions}),
                id="json",
                tab_behavior="focus",
            )

    def action_keep(self) -> None:
        """Save it."""
        self._save(connect=False)

    def action_save(self) -> None:
        """Save it, and connect with it."""
        self._save(connect=True)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter saves and connects."""
        event.stop()
        self.action_save()

    def _save(self, *, connect: bool) -> None:
        try:
            target, settings = self._target(), self._settings()
            name = self._text("name")
            if self._server is None:
                server = self._inspection.add(name, target, settings, source="the terminal")
            else:
                server = self._server
                server.change(name=name or None, target=target, settings=settings)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
            return
        if connect:
            server.connect()
        self.dismiss()

    def _text(self, id: str) -> str:
        return self.query_one(f"#{id}", Input).value.strip()

    def _target(self) -> ServerTarget:
        """Raises `TargetUnclear`, ValueError."""
        words = shlex.split(self._text("target"))
        if not words:
            raise ValueError("Say what is to be looked at: a Python file, a URL, or a command line.")
        headers = _object(self._text("headers"), "headers")
        return target_of(
            words[0],
            words[1:] or None,
            env=shlex.split(self._text("env")),
            headers=[f"{name}: {value}" for name, value in headers.items()],
            cwd=self._text("cwd"),
        )

    def _settings(self) -> ConnectionSettings:
        """Raises ValueError."""
        more = _object(self.query_one("#json", TextArea).text, "the JSON")
        try:
            timeout = float(self._text("timeout"))
        except ValueError:
            raise ValueError("The seconds of a call are a number.") from None
        if not 0 < timeout < 1e9:
            raise ValueError("The seconds of a call are more than none.")
        level: Any = cast("Any", self.query_one("#level", Select)).value
        return ConnectionSettings(
            revision=str(cast("Any", self.query_one("#revision", Select)).value),
            timeout=timeout,
            roots=shlex.split(self._text("roots")),
            meta=_object(more.get("meta"), "meta"),
            extensions=_object(more.get("extensions"), "extensions"),
            log_level=level if isinstance(level, str) else "",
            **{id: self.query_one(f"#{id}", Checkbox).value for id, _ in _SWITCHES},
        )


def _values(server: InspectedServer | None) -> dict[str, str]:
    """What stands in the lines that are written in."""
    target = ServerTarget() if server is None else server.target
    settings = ConnectionSettings() if server is None else server.settings
    return {
        "target": target.url or (shlex.join([target.command, *target.args]) if target.command else ""),
        "name": "" if server is None else inline(server.name),
        "env": shlex.join(f"{name}={value}" for name, value in target.env.items()),
        "headers": json.dumps(target.headers, ensure_ascii=False) if target.headers else "",
        "cwd": target.cwd,
        "timeout": f"{settings.timeout:g}",
        "roots": shlex.join(settings.roots),
    }


def _object(value: Any, what: str) -> dict[str, Any]:
    """An object, written as JSON or read already. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"{what}: no JSON: {problem}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what}: write an object, such as {{}}")
    return cast("dict[str, Any]", value)
