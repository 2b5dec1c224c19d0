"""Captures: one that is opened, and a conversation that is written down in one of the forms that others read.

Theory of operation. An export leaves secrets out unless they are wanted; it never writes over a file, and its file can
be read by its owner alone.

Specification: none; docs/recording.md has the format.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Checkbox, Input, Select, Static

from dovetail.recording import CaptureHeader, CaptureLine

from ..exporting.har import har
from ..exporting.jsonl import jsonl, redacted
from ..exporting.otlp import otlp
from ..inspection import Inspection
from ..transcript.transcript import Transcript
from .dialog import DialogScreen
from .view import SHOWN_ERRORS, tell_person

__all__ = ["CaptureScreen", "ExportScreen", "write_export"]

_FORMS: Final = {"jsonl": jsonl, "har": har, "otlp": otlp}
_ENDINGS: Final = {"jsonl": ".jsonl", "har": ".har", "otlp": ".otlp.json"}


class CaptureScreen(DialogScreen):
    """Which file?"""

    buttons: ClassVar = (("open_capture", "Open"), ("close", "Close"))

    def __init__(self, inspection: Inspection) -> None:
        super().__init__("Open a capture")
        self._inspection = inspection

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(Content("The path of a capture (.jsonl):"))
        yield Input(id="path", compact=True)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter opens."""
        event.stop()
        self.action_open_capture()

    def action_open_capture(self) -> None:
        """Open it."""
        path = _path(self.query_one("#path", Input))
        try:
            self._inspection.open_capture(path)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            self.dismiss()


class ExportScreen(DialogScreen):
    """Where to, as what, and with secrets or without?"""

    buttons: ClassVar = (("write", "Write"), ("close", "Close"))

    def __init__(self, transcript: Transcript) -> None:
        super().__init__(f"Export {transcript.name}")
        self._transcript = transcript

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield Static(Content("As"))
        yield Select(
            [
                (Content("a capture (JSON lines)"), "jsonl"),
                (Content("an HTTP archive (HAR)"), "har"),
                (Content("traces (OTLP JSON)"), "otlp"),
            ],
            value="jsonl",
            allow_blank=False,
            compact=True,
            id="form",
        )
        yield Static(Content("To the file"))
        yield Input("capture.jsonl", id="path", compact=True)
        yield Checkbox(Content("leave secrets out"), value=True, compact=True, id="redact")

    def on_select_changed(self, event: Select.Changed) -> None:
        """Another form has another ending."""
        path = self.query_one("#path", Input)
        for ending in sorted(_ENDINGS.values(), key=len, reverse=True):
            if path.value.endswith(ending):
                path.value = path.value.removesuffix(ending) + _ENDINGS[str(event.value)]
                return

    async def action_write(self) -> None:
        """Write it."""
        path = _path(self.query_one("#path", Input))
        form = str(cast("Any", self.query_one("#form", Select)).value)
        redact = self.query_one("#redact", Checkbox).value
        try:
            await asyncio.to_thread(write_export, self._transcript, path, form, redact=redact)
        except SHOWN_ERRORS as problem:
            self.complain(problem)
        else:
            tell_person(self, f"Written: {path}")
            self.dismiss()


def write_export(transcript: Transcript, path: Path, form: str, *, redact: bool) -> None:
    """Write a conversation to a file that is not there yet. ``form``: "jsonl", "har" or "otlp". Raises OSError."""
    lines: Iterable[CaptureLine] = _ExportedLines(transcript)
    header: CaptureHeader = transcript.header
    if redact:
        header, lines = redacted(header, lines)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for piece in _FORMS[form](header, lines):
            file.write(piece)


def _path(field: Input) -> Path:
    return Path(field.value.strip()).expanduser()


class _ExportedLines:
    """The lines of a conversation, as often as they are wanted."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def __iter__(self) -> Iterator[CaptureLine]:
        return self._transcript.lines()
