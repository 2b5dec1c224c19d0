"""What is said while checks run: recorded, judged line by line, and kept without secrets where that is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from dovetail.recording import Capture, CaptureLine, CaptureTail, CaptureWriter, Redaction

from ..exporting.jsonl import jsonl, redacted

__all__ = ["HeardCell", "JudgedFault", "LineJudge"]


class JudgedFault(Protocol):
    """Something wrong with a message, as a `LineJudge` finds it."""

    @property
    def severity(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def what(self) -> str: ...


class LineJudge(Protocol):
    """What judges each line of a conversation."""

    def line(self, line: CaptureLine) -> Iterable[JudgedFault]:
        """What is wrong with a line."""
        ...


class HeardCell:
    """What is said in a cell, and what is wrong with it."""

    def __init__(self, path: Path, judge: LineJudge | None) -> None:
        self.writer = CaptureWriter(path, redaction=Redaction(defaults=False))
        self._tail = CaptureTail(path)
        self._judge = judge

    def faults(self) -> list[str]:
        """The errors in what was said since the last time."""
        if self._judge is None:
            return []
        return [
            f"line {each.line.n} of the conversation breaks {fault.rule}: {fault.what}"
            for each in self._tail.new()
            for fault in self._judge.line(each.line)
            if fault.severity == "error"
        ]

    def end(self, place: Path | None) -> None:
        """Nothing more is said; keep it without secrets, where a ``place`` is wanted."""
        self.writer.close()
        self._tail.close()
        if place is None:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        whole = Capture.read(self.writer.path)
        with open(place, "wb", opener=_private) as file:
            file.writelines(jsonl(*redacted(whole.header, whole)))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
