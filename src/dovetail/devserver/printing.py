"""What `dovetail dev` shows: a line for each request or round, and what happens to the file.

Theory of operation. Everything goes to standard error, one line at a time, coloured on a terminal (unless NO_COLOR is
set) and plain elsewhere. What clients and authors say is made safe and cut. Answers are never shown: they may be
secret. Requests that say nothing of the author's code (pings, lists) are dim.

Specification: none.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final, TextIO

from ..protocol import names
from ..protocol.safe_text import one_line
from .frames import Report

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_HOW: Final = {"done": "green", "asks": "cyan", "failed": "red", "refused": "red", "cancelled": "yellow"}
_QUIET: Final = frozenset({names.PING, names.INITIALIZE, names.DISCOVER, names.LOGGING_SET_LEVEL})
_LONGEST: Final = 160
_QUESTION: Final = 60

Entries = dict[str, dict[str, str]]


class Printer:
    """Writes the lines. ``stream``: standard error unless given."""

    def __init__(self, stream: TextIO | None = None, *, colours: bool | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        if colours is None:
            colours = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._colours = colours

    def report(self, report: Report) -> None:
        """One request or round."""
        quiet = report.how == "done" and (report.method in _QUIET or report.method.endswith("/list"))
        parts = [
            self._paint(f"{_cut(report.method)} {_cut(report.target)}".strip(), "dim" if quiet else "bold")
        ]
        if report.round is not None and (report.round > 1 or report.asks):
            parts.append(self._paint(f"round {report.round}", "magenta"))
        if report.answered:
            parts.append(f"has answers to {_names(report.answered)}")
        if report.kept:
            parts.append(f"has steps {_names(report.kept)}")
        if report.ran:
            parts.append(f"recorded {_names(report.ran)}")
        if report.asks:
            asked = ", ".join(f'{_cut(key)} "{_cut(text, _QUESTION)}"' for key, text in report.asks)
            parts.append(self._paint(f"{'asks' if report.how == 'asks' else 'asked'} {asked}", "cyan"))
        if report.how != "asks":
            parts.append(self._paint(report.how, "dim" if quiet else _HOW[report.how]))
        if report.text or report.place:
            place = self._paint(_cut(report.place, _LONGEST), "yellow")
            parts.append(": ".join(each for each in (place, _cut(report.text, _LONGEST)) if each))
        parts.append(self._paint(f"{report.milliseconds:.1f} ms", "dim"))
        self._line(" · ".join(parts))
        for note in report.notes:
            self._line("  " + self._paint(f"! {_cut(note, 4 * _LONGEST)}", "yellow"))

    def loaded(self, number: int, name: str, changes: str, seconds: float) -> None:
        """A version serves."""
        what = self._paint(f"version {number} of {_cut(name)} serves", "green")
        self._line(" · ".join(each for each in (what, changes, f"{seconds * 1000:.0f} ms") if each))

    def broken(self, text: str, serving: int | None) -> None:
        """A version did not come to serve. ``serving``: the one that goes on."""
        rest = "nothing serves" if serving is None else f"version {serving} goes on serving"
        self._line(f"{self._paint(_cut(text, 4 * _LONGEST), 'red')} · {rest}; save the file to try again")

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._line(self._paint(_cut(text, _LONGEST), "yellow"))

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colours and text else text

    def _line(self, text: str) -> None:
        clock = self._paint(time.strftime("%H:%M:%S"), "dim")
        self._stream.write(f"{clock} {text}\n")
        self._stream.flush()


def _cut(text: str, longest: int = 80) -> str:
    line = one_line(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _names(names: list[str]) -> str:
    shown = ", ".join(_cut(each) for each in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown


def difference(before: Entries | None, after: Entries) -> str:
    """What one version offers and another did not: ``tools +new ~other -old``; all that is offered, without one."""
    if before is None:
        counts = [f"{len(entries)} {kind}" for kind, entries in after.items() if entries]
        return ", ".join(counts) or "offers nothing yet"
    parts: list[str] = []
    for kind, entries in after.items():
        old = before.get(kind, {})
        signs = [f"+{name}" for name in entries if name not in old]
        signs += [f"~{name}" for name in entries if name in old and old[name] != entries[name]]
        signs += [f"-{name}" for name in old if name not in entries]
        if signs:
            parts.append(f"{kind} {' '.join(_cut(each, 40) for each in signs[:10])}")
    return ", ".join(parts)
