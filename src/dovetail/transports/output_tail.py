"""The end of what a server wrote to standard error, bounded, and safe to show.

Theory of operation. Whatever a server writes is drained at once, or it would block; the newest bytes are kept
and the rest is forgotten. What is shown has no escape sequences and no control characters: a server must not
be able to move the cursor, retitle the window or forge a line of somebody's log.

Specification: basic/transports, "stdio": the client may capture, forward or ignore standard error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["OutputTail", "plain_text"]

_MAX_LINE: Final = 8 * 1024
# Escape sequences (CSI, OSC and other strings, two-byte ones), then what is left of controls and text
# direction marks.
_ESCAPES: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def plain_text(data: bytes) -> str:
    """``data`` as text without escape sequences and control characters (tab and line feed stay)."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


class OutputTail:
    """Keeps the last ``limit`` bytes; gives each line to ``on_line`` (text, at most 8 KiB, longer ones in
    pieces).
    """

    def __init__(self, limit: int = 64 * 1024, on_line: Callable[[str], None] | None = None) -> None:
        if limit < 0:
            raise ValueError("limit must not be negative")
        self._limit = limit
        self._kept = bytearray()
        self._on_line = on_line
        self._line = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._kept += data[-self._limit :] if self._limit else b""
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]
        if self._on_line is not None:
            self._split(data, self._on_line)

    def close(self) -> None:
        """The end: give out a last line that had no line feed."""
        if self._line and self._on_line is not None:
            self._on_line(plain_text(bytes(self._line)))
        self._line.clear()

    def text(self, lines: int | None = None) -> str:
        """What is kept, as `plain_text`; only the last ``lines`` if given."""
        text = plain_text(bytes(self._kept[-self._limit :])) if self._limit else ""
        return text if lines is None else "\n".join(text.splitlines()[-lines:] if lines else [])

    def _split(self, data: bytes, on_line: Callable[[str], None]) -> None:
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        while len(self._line) >= _MAX_LINE:
            lines.append(bytes(self._line[:_MAX_LINE]))
            del self._line[:_MAX_LINE]
        for line in lines:
            for start in range(0, len(line) or 1, _MAX_LINE):
                on_line(plain_text(line[start : start + _MAX_LINE].removesuffix(b"\r")))
