"""The end of what a server wrote to standard error, bounded, and safe to show.

Theory of operation. Whatever a server writes is drained at once, or it would block; the newest bytes are kept
and the rest is forgotten. What is shown has no escape sequences and no control characters: a server must not
be able to move the cursor, retitle the window or forge a line of somebody's log.

Lines are cut first and given out after that, as many at a time as whoever reads the pipe wants: while some wait it
reads no more of it, so a flood slows its own writer down, and nothing else.

Specification: basic/transports, "stdio": the client may capture, forward or ignore standard error.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from ...protocol.safe_text import safe

__all__ = ["MAX_LINE", "OutputTail", "last_words", "plain_text"]

MAX_LINE: Final = 8 * 1024
"""Bytes of a line that is given out; a longer one comes in pieces."""
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
    text = data.decode("utf-8", "replace")
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return safe(_CONTROLS.sub("", _ESCAPES.sub("", text)))


def last_words(text: str) -> str:
    """What a process said at its end. Of a traceback of Python's that is the error, with the place where it was raised,
    without the frames before it.
    """
    lines = text.splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if not frames:
        return text
    after = frames[-1] + 1
    while after < len(lines) and lines[after].startswith("    "):
        after += 1  # the line of source, and what marks a part of it
    said = "\n".join(lines[after:])
    return f"{said} ({lines[frames[-1]].strip()})" if said else text


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
        self._line = b""
        self._ready: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Take the next bytes. The lines that they complete wait for `give`."""
        self._kept += data[-self._limit :] if self._limit else b""
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]
        if self._on_line is not None:
            self._split(data)

    def give(self, most: int | None = None) -> bool:
        """Give out lines, ``most`` of them (default: all). True if there are more."""
        ready, on_line = self._ready, self._on_line
        left = len(ready) if most is None else min(most, len(ready))
        while left and on_line is not None:
            left -= 1
            on_line(plain_text(ready.popleft()))
        return bool(ready)

    def close(self) -> None:
        """The end: give out what waits, and a last line that had no line feed."""
        if self._line:
            self._add(self._line)
            self._line = b""
        self.give()

    def text(self, lines: int | None = None) -> str:
        """What is kept, as `plain_text`; only the last ``lines`` if given."""
        text = plain_text(bytes(self._kept[-self._limit :])) if self._limit else ""
        return text if lines is None else "\n".join(text.splitlines()[-lines:] if lines else [])

    def _split(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._add(line)
        drawn = rest.rfind(
            b"\r", 0, -1
        )  # a bar that is drawn again; the last byte may be half of a line's end
        if drawn >= 0:
            self._add(rest[:drawn])
            rest = rest[drawn + 1 :]
        while len(rest) > MAX_LINE:
            end = _cut(rest, 0)
            self._ready.append(rest[:end])
            rest = rest[end:]
        self._line = rest

    def _add(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if b"\r" in line:
            for drawn in line.split(b"\r"):
                if drawn:
                    self._add(drawn)
            return
        start = 0
        while len(line) - start > MAX_LINE:
            end = _cut(line, start)
            self._ready.append(line[start:end])
            start = end
        self._ready.append(line[start:])


def _cut(line: bytes, start: int) -> int:
    """Where a line that is too long is cut: not within a character."""
    end = start + MAX_LINE
    for back in range(4):
        if line[end - back] & 0xC0 != 0x80:  # no byte that continues a character
            return end - back
    return end
