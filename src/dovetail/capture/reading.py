"""Reading a capture: all of its lines, and what was wrong with the file.

A process that was killed may have left half a last line: it is read over, with a warning. Anything else that is no line
of a capture is an error that says where it stands.

Specification: none; docs/recording.md, "The format".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from ..logs import get_logger
from .lines import FORMAT, CaptureHeader, CaptureInvalid, CaptureLine

__all__ = ["Capture", "read_header", "read_line"]

_log: Final = get_logger("dovetail.recording")
_header: Final = msgspec.json.Decoder(CaptureHeader)
_line: Final = msgspec.json.Decoder(CaptureLine)
_any: Final = msgspec.json.Decoder()


class Capture:
    """A recorded conversation. ``header``: its first line; ``lines``: the others, in order. ``warnings``: what was read
    over. ``name``: what it is called in messages.
    """

    def __init__(
        self,
        header: CaptureHeader,
        lines: Iterable[CaptureLine],
        *,
        name: str = "",
        warnings: Iterable[str] = (),
    ) -> None:
        self.header: Final = header
        self.lines: Final = list(lines)
        self.name: Final = name
        self.warnings: Final = list(warnings)

    def __iter__(self) -> Iterator[CaptureLine]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Capture:
        """Read a file. Raises OSError, and `CaptureInvalid` for one that is no capture."""
        return cls.parse(Path(path).read_bytes(), name=str(path))

    @classmethod
    def parse(cls, data: bytes, *, name: str = "the recording") -> Capture:
        """Read the bytes of a file. Raises `CaptureInvalid`."""
        pieces = data.split(b"\n")
        torn = pieces.pop()
        warnings: list[str] = []
        if not pieces:
            raise CaptureInvalid(f"{name} is no recording: it has no whole line")
        header = read_header(pieces[0], name)
        lines: list[CaptureLine] = []
        for at, piece in enumerate(pieces[1:], 2):
            if piece.strip():
                lines.append(read_line(piece, at, name))
        if torn.strip():
            try:
                lines.append(read_line(torn, len(pieces) + 1, name))
            except CaptureInvalid:
                warnings.append(f"{name}: the last line is torn, and was read over")
        for each in warnings:
            _log.warning("%s", each)
        return cls(header, lines, name=name, warnings=warnings)


def read_header(line: bytes, name: str) -> CaptureHeader:
    """The first line of the file ``name``. Raises `CaptureInvalid`."""
    try:
        found: Any = _any.decode(line)
        number: Any = cast("dict[str, Any]", found).get("capture") if isinstance(found, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise CaptureInvalid(
                f"{name} is a recording of the format {number}, and this version reads up to {FORMAT}: upgrade dovetail"
            )
        return _header.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise CaptureInvalid(
            f"{name} is no recording; its first line is not that of one: {problem}"
        ) from None


def read_line(line: bytes, at: int, name: str) -> CaptureLine:
    """The line number ``at`` of the file ``name``. Raises `CaptureInvalid`."""
    try:
        return _line.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise CaptureInvalid(f"{name}, line {at}: {problem}") from None
