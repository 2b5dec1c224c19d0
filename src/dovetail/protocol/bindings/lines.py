"""One message per line: the framing of the stdio transport.

Theory of operation. A message ends at LF; a CR before it is tolerated; blank lines are skipped.
What follows the last LF of a chunk is put behind what came before, in one buffer that becomes the line
without another copy; so a long line takes its own length of memory, and not twice that. A line
beyond the bound is reported once, at the bound, and then skipped up to its LF without being kept:
one bad line costs neither the process's memory nor the messages around it.

Sending is the other way round: JSON allows raw line breaks only between tokens, so a message that
has some (passed through from elsewhere) is put on one line by turning them into spaces.

Specification: basic/transports, "stdio": messages are delimited by newlines and hold none.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from ..errors import MessageTooLarge

__all__ = ["DEFAULT_MAX_LINE", "LineSplitter", "LineTooLong", "frame"]

DEFAULT_MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes one line may have, by default (64 MiB)."""

_LF: Final = ord("\n")
_CR: Final = ord("\r")
_BREAKS_TO_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")


class LineTooLong(MessageTooLarge):
    """A line outgrew the bound and is dropped; the splitter goes on with the line after it.

    ``limit``: the bound in bytes. ``lines``: the other lines this chunk completed, in order; they
    are good messages that ``feed`` would have returned.
    """

    def __init__(self, limit: int, lines: list[bytes]) -> None:
        super().__init__(
            f"a line exceeds {limit} bytes and was dropped; send smaller messages or raise the limit"
        )
        self.limit = limit
        self.lines = lines


class LineSplitter:
    """Incremental splitter of a byte stream into lines.

    ``max_line`` bounds one line, without its LF, in bytes (default 64 MiB).
    """

    def __init__(self, max_line: int = DEFAULT_MAX_LINE) -> None:
        if max_line < 1:
            raise ValueError("max_line must be at least 1")
        self._limit = max_line
        self._begun = BytesIO()
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Read the next bytes; return the lines they complete, without line ends, none blank.

        Raises LineTooLong once for a chunk in which a line passes the bound. The splitter stays
        usable: the rest of that line is skipped.
        """
        lines: list[bytes] = []
        dropped = False
        if _LF in chunk:  # as a number, which is found quicker: `split` looks at one byte after the other
            pieces = chunk.split(b"\n")
            last = pieces.pop()
        else:
            pieces, last = (), chunk
        for piece in pieces:
            dropped |= self._overflows(piece)
            if self._skipping:
                self._skipping = False
                continue
            line = piece
            if self._size:
                line = self._whole(piece)
            line = line.removesuffix(b"\r")
            if line and not line.isspace():
                lines.append(line)
        dropped |= self._overflows(last)
        if last and not self._skipping:
            self._keep(last)
        if dropped:
            raise LineTooLong(self._limit, lines)
        return lines

    def close(self) -> bytes | None:
        """End of input: return a last line that lacked its LF, or None. Frees the buffer."""
        line = self._whole(b"").removesuffix(b"\r")
        self._skipping = False
        return None if not line or line.isspace() else line

    def _keep(self, piece: bytes) -> None:
        """Add to the line that is not whole yet."""
        self._begun.write(piece)
        self._size += len(piece)

    def _whole(self, last: bytes) -> bytes:
        """The line, with its last piece. What was kept is let go."""
        self._begun.write(last)
        line = self._begun.getvalue()
        self._forget()
        return line

    def _forget(self) -> None:
        self._begun = BytesIO()
        self._size = 0

    def _overflows(self, piece: bytes) -> bool:
        """Start skipping if ``piece`` takes the current line past the bound; True when it just did."""
        if self._skipping or self._size + len(piece) <= self._limit:
            return False
        self._forget()
        self._skipping = True
        return True


def frame(message: bytes) -> bytes:
    """Put one JSON message on one line, LF at its end.

    Raw CR and LF, legal in JSON only between tokens, become spaces; the value is unchanged.
    """
    if _LF in message or _CR in message:  # as numbers, which are found quicker than bytes
        message = message.translate(_BREAKS_TO_SPACES)
    return message + b"\n"
