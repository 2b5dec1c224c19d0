"""A capture as a capture: lines of JSON, with secrets or without, with the numbers and times that they had.

Specification: none; docs/recording.md, "The format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from dovetail.recording import CaptureHeader, CaptureLine, Redaction, redacted_lines

__all__ = ["jsonl", "redacted"]

_encoder: Final = msgspec.json.Encoder()


def jsonl(header: CaptureHeader, lines: Iterable[CaptureLine]) -> Iterator[bytes]:
    """The lines of the file, the header first."""
    yield _encoder.encode(header) + b"\n"
    for line in lines:
        yield _encoder.encode(line) + b"\n"


def redacted(
    header: CaptureHeader, lines: Iterable[CaptureLine], rules: Redaction | None = None
) -> tuple[CaptureHeader, Iterator[CaptureLine]]:
    """A capture without its secrets. ``lines`` are iterated twice, so that what was said before it was known to be a
    secret is left out, too. ``rules``: what is one; by default what `Redaction` knows. Raises ValueError, when the
    first line is taken, for lines that can be iterated only once.
    """
    return msgspec.structs.replace(header, redacted=True), redacted_lines(lines, rules, twice=True)
