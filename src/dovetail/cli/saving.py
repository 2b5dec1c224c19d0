"""``-o``: where a result goes, and how bytes get there.

===============  ======================================================================================
``-o FILE``      the bytes of the one image, sound or blob in the result. Several get numbers
                 (``shot-1.png``). The rest of the result is shown as ever. A result without bytes is
                 written to the file as text.
``-o FOLDER/``   the same, named after the tool, resource or prompt.
``-o -``         standard output; nothing else goes there.
no ``-o``        a result that is bytes and nothing else is written as it is, except to a terminal,
                 which would act on it; there, and in a longer result, its type and size are shown.
===============  ======================================================================================

A call may have done its work before its result is written, so the place is looked at first, and what can't be written
after all is shown.
"""

import mimetypes
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..protocol.errors import RemoteProtocolError
from .exits import UsageError
from .pieces import Binary, binary_of, text_of
from .screen import Screen, as_json
from .sources import STANDARD_INPUT as STANDARD_OUTPUT

__all__ = ["OutputFile"]

_SUFFIXES: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
}
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]+")


class OutputFile:
    """Where the result of one command goes. ``place``: what ``-o`` says; ``name``: what is asked for, for file names
    in a folder. Raises `UsageError` for a place where nothing can be written.
    """

    def __init__(self, screen: Screen, place: str | None, name: str) -> None:
        self._screen = screen
        self._stdout = place == STANDARD_OUTPUT
        self._file = None if place is None or self._stdout else Path(place)
        self._folder = False
        if self._file is None or place is None:
            return
        try:
            self._folder = self._file.is_dir() or place.endswith(("/", os.sep))
            if self._folder:
                self._file /= _FOREIGN.sub("-", name).strip("-")[:60] or "result"
            self._file.exists()  # looks for a name that can't be one
            there = self._file.parent.is_dir()
        except OSError as problem:
            raise UsageError(f"-o {place}: {problem.strerror}") from None
        if not there:
            raise UsageError(f"-o {place}: there is no folder {str(self._file.parent)!r}")

    def json(self, value: Any) -> None:
        """The protocol's result as JSON."""
        if self._file is None:
            self._screen.json(value)
        else:
            self._write(self._path(".json"), f"{as_json(value)}\n".encode(), "JSON")

    def pieces(self, pieces: Sequence[Any]) -> None:
        """A result for people. What can't go where it was meant to go is shown, and then that is raised: `UsageError`,
        or `RemoteProtocolError` for bytes that are none.
        """
        try:
            binary = [found for piece in pieces if (found := binary_of(piece)) is not None]
        except RemoteProtocolError:
            self._show(pieces)
            raise
        if not binary:
            self._text(pieces)
        elif self._file is not None:
            try:
                for number, each in enumerate(binary, 1):
                    self._write(
                        self._path(_suffix(each.kind), number if binary[1:] else 0), each.data, str(each)
                    )
            except UsageError:
                self._show(pieces)
                raise
            self._show([piece for piece in pieces if binary_of(piece) is None])
        elif self._stdout or (len(pieces) == 1 and not self._screen.at_terminal):
            self._bytes(pieces, binary)
        else:
            self._show(pieces)
            self._screen.note("-o FILE writes the bytes to a file")

    def contents(self, contents: Sequence[Any]) -> None:
        """What a resource holds: shown on a terminal, else as it is, byte for byte. Raises `UsageError`."""
        binary = [found for each in contents if (found := binary_of(each)) is not None]
        if self._file is None and not self._screen.at_terminal:
            if binary and len(contents) > 1:
                what = f"the resource holds {len(contents)} contents, some of them bytes, which would run together"
                raise UsageError(f"{what}; -o FOLDER/ writes each to a file")
            self._screen.raw(binary[0].data if binary else _encoded("".join(map(text_of, contents))))
        elif self._file is None or binary:
            self.pieces(contents)
        else:
            data = _encoded("".join(map(text_of, contents)))
            self._write(self._path(".txt"), data, f"{len(data):,} bytes")

    def _show(self, pieces: Sequence[Any]) -> None:
        for piece in pieces:
            self._screen.content(piece)

    def _text(self, pieces: Sequence[Any]) -> None:
        text = "\n".join(map(text_of, pieces))
        data = _encoded(text if text.endswith("\n") else f"{text}\n")
        if self._file is not None:
            try:
                self._write(self._path(".txt"), data, f"{len(data):,} bytes")
            except UsageError:
                self._show(pieces)
                raise
        elif self._stdout and not self._screen.at_terminal:
            self._screen.raw(data)
        else:
            self._show(pieces)

    def _bytes(self, pieces: Sequence[Any], binary: list[Binary]) -> None:
        """The bytes to standard output; what else there is, to whoever watches."""
        if self._screen.at_terminal or binary[1:]:
            self._show(pieces)
            what = "bytes are not written to a terminal; use -o FILE"
            if binary[1:]:
                what = f"{len(binary)} times bytes would run together; use -o FOLDER/"
            raise UsageError(f"{what} ({'; '.join(map(str, binary))})")
        for piece in pieces:
            if binary_of(piece) is None:
                self._screen.passage(text_of(piece), "")
        self._screen.raw(binary[0].data)

    def _path(self, suffix: str, number: int = 0) -> Path:
        """The file to write. The suffix that was given stays, unless there are several files of several kinds."""
        file = self._file or Path()
        if self._folder:
            return file.with_name(f"{file.name}{f'-{number}' if number else ''}{suffix or '.bin'}")
        if number:
            return file.with_name(f"{file.stem}-{number}{suffix or file.suffix or '.bin'}")
        return file

    def _write(self, path: Path, data: bytes, what: str) -> None:
        try:
            path.write_bytes(data)
        except OSError as problem:
            raise UsageError(f"{str(path)!r} can't be written: {problem.strerror}") from None
        self._screen.note(f"wrote {path} ({what})")


def _suffix(kind: str) -> str:
    kind = kind.partition(";")[0].strip().lower()
    return _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ""


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
