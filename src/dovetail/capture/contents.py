"""What a line of a capture has of a message, without its secrets.

Theory of operation. A message is kept as JSON where it is any, else as text, else as base64. Where something may hide a
secret that nothing can be put in the place of, only its length is kept. The same holds when a message passes and when a
capture is gone over later (`redacted_lines`).

Specification: none; docs/recording.md, "What is left out".
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ..protocol import codec
from .lines import CaptureLine, HTTPPart
from .redaction import Redaction, Redactor

__all__ = ["ENDPOINT", "content_of", "http_without_secrets", "redacted_lines"]

ENDPOINT: Final = "endpoint"
"""The event of the HTTP+SSE transport (2024-11-05) that says where messages go."""


def content_of(
    redactor: Redactor, data: bytes | None, longest: int, *, exact: bool = False, place: bool = False
) -> tuple[dict[str, Any], Any]:
    """The members of a line that carry a message, and the message as plain values if it is any. ``longest``: bytes that
    it may have; ``exact``: nothing is left out; ``place``: it is where messages are to be sent.
    """
    if not data:
        return {}, None
    if len(data) > longest:
        return {"omitted": len(data)}, None
    try:
        value = codec.decode(data)
        if exact and b"\n" not in data and b"\r" not in data:
            return {"body": Raw(data)}, value  # each byte as it was
        return {"body": Raw(codec.encode(redactor.body(value)))}, value
    except RecursionError:
        return {"omitted": len(data)}, None  # no name in it could be looked at
    except (*codec.DECODE_ERRORS, OverflowError, TypeError):
        pass  # then it is a text, or nothing of the kind
    try:
        text = data.decode()
        if b"\0" in data and redactor.hides_wide(data):
            return {"omitted": len(data)}, None
        return {"text": redactor.target(text) if place else redactor.text(text)}, None
    except UnicodeDecodeError:
        if redactor.hides_wide(data):
            return {"omitted": len(data)}, None
        plain = redactor.text(data.decode("latin-1")).encode("latin-1", "replace")
        return {"base64": base64.b64encode(plain).decode("ascii")}, None


def http_without_secrets(redactor: Redactor, http: HTTPPart, headers: Iterable[tuple[str, str]]) -> HTTPPart:
    """The part of HTTP, with these headers."""
    return msgspec.structs.replace(
        http,
        headers=redactor.headers(headers),
        target=redactor.target(http.target),
        event=redactor.text(http.event),
        id=redactor.text(http.id),
    )


def redacted_lines(
    lines: Iterable[CaptureLine], redaction: Redaction | None = None, *, twice: bool = False
) -> Iterator[CaptureLine]:
    """The lines of a capture without their secrets, with their numbers and times; each is read when it is taken.

    ``redaction``: what is secret; by default what `Redaction` knows. ``twice``: ``lines`` can be iterated twice, and
    are, so that nothing stays which was said before it was known to be a secret. A line whose base64 is none keeps only
    its length. Raises ValueError where ``twice`` is asked of what can be iterated only once.
    """
    if twice and isinstance(lines, Iterator):
        raise ValueError("twice needs lines that can be iterated twice, such as a Capture, not an iterator")
    redactor = Redactor(Redaction() if redaction is None else redaction)
    if twice:
        for each in lines:
            _without_secrets(redactor, each)
    for each in lines:
        yield _without_secrets(redactor, each)


def _without_secrets(redactor: Redactor, line: CaptureLine) -> CaptureLine:
    if line.mark is not UNSET and line.mark != "fault":
        return msgspec.structs.replace(
            line, target=redactor.target(line.target), text=redactor.text(line.text)
        )
    http, place = line.http, False
    if http is not None:
        place = http.event == ENDPOINT
        http = http_without_secrets(redactor, http, http.headers.items())
    try:
        data = line.data
    except ValueError:
        content: dict[str, Any] = {"omitted": max(len(line.base64), 1)}
    else:
        content, _ = content_of(redactor, data, len(data), place=place)
    plain: dict[str, Any] = {"body": UNSET, "text": "", "base64": "", "omitted": line.omitted}
    target = redactor.text(line.target)  # of a fault: words, and what was passed on in place of a message
    return msgspec.structs.replace(line, http=http, target=target, **{**plain, **content})
