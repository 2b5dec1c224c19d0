"""Reading a capture that is still written, by this process or another: what is new in it, and each line by its place.

Specification: none; docs/recording.md, "While it is written".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from .lines import CaptureHeader, CaptureInvalid, CaptureLine
from .reading import read_header, read_line

__all__ = ["CaptureTail", "TailedLine"]

_CHUNK: Final = 1024 * 1024


class TailedLine(Struct, frozen=True):
    """A line and where it stands: ``offset`` and ``size`` in bytes."""

    line: CaptureLine
    offset: int
    size: int


class CaptureTail:
    """What is new in a capture, each time it is asked: ``for each in tail.new(): ...``.

    ``path``: the file, which is opened once, so that it may be renamed or unlinked meanwhile. ``header``: its first
    line; None until that is whole. Not for several threads at once. Raises OSError for a file that can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.header: CaptureHeader | None = None
        self._file = os.open(
            self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        )
        self._offset = 0
        self._number = 0

    def __enter__(self) -> CaptureTail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new(self) -> Iterator[TailedLine]:
        """The lines that were finished since the last time, oldest first; each is read when it is taken.

        Raises OSError, and `CaptureInvalid` for what is no line of a capture, which is passed over the next time.
        """
        while True:
            rest, offset = bytearray(), self._offset
            end = -1
            while end < 0:
                chunk = self._read(offset + len(rest), _CHUNK)
                if not chunk:
                    return
                searched = len(rest)
                rest += chunk
                end = rest.find(b"\n", searched)
            start = 0
            while end >= 0:
                piece = bytes(rest[start:end])
                self._offset = offset + end + 1
                self._number += 1
                if self.header is None:
                    self.header = read_header(piece, str(self.path))
                elif piece.strip():
                    line = read_line(piece, self._number, str(self.path))
                    yield TailedLine(line, offset + start, end + 1 - start)
                start = end + 1
                end = rest.find(b"\n", start)

    def at(self, offset: int, size: int) -> CaptureLine:
        """The line at a place that `new` named; ``offset`` and ``size`` in bytes.

        Raises OSError, and `CaptureInvalid` where no line is.
        """
        return read_line(self.bytes_at(offset, size), 0, str(self.path))

    def bytes_at(self, offset: int, size: int) -> bytes:
        """The bytes there, as they stand in the file; ``offset`` and ``size`` in bytes. Raises OSError."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._read(offset, min(size, _CHUNK))):
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self, offset: int, size: int) -> bytes:
        if self._file < 0:
            raise CaptureInvalid(f"{self.path} is not followed any more")
        if hasattr(os, "pread"):
            return os.pread(self._file, size, offset)
        os.lseek(self._file, offset, os.SEEK_SET)
        return os.read(self._file, size)

    def __del__(self) -> None:
        if vars(self).get("_file", -1) >= 0:
            self.close()
