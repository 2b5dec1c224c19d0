"""Answers over HTTP: where one ends, and whether it is what was asked for.

Theory of operation: a server sends the same head again and again, so a head is read once and remembered;
after that, to know where a body ends takes one look-up. Only the status 200 (202 for what has no answer)
passes. A body passes if it holds the bytes that were expected and no sign of an error.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..processes import Broken

_CHUNKED = -1
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
_EVENT = re.compile(rb"^data: ?(\{.*)$", re.MULTILINE)
_heads: dict[bytes, int] = {}


class Reader:
    """Collects the pieces of one answer at a time."""

    __slots__ = ("_missing", "_parts", "head")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 0  # bytes still to come; _CHUNKED while a last chunk is awaited; 0 for unknown
        self.head = b""

    def feed(self, data: bytes) -> bytes | None:
        """The body (chunks as they came) once the answer is whole. Raises `Broken` for a refusal."""
        if self._parts:
            self._parts.append(data)
            if self._missing > 0:
                self._missing -= len(data)
                if self._missing > 0:
                    return None
            elif self._missing == _CHUNKED and not _ended(self._parts):
                return None
            data = b"".join(self._parts)
            self._parts.clear()
            self._missing = 0
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._parts.append(data)
            return None
        head = self.head = data[:end]
        length = _heads.get(head)
        if length is None:
            length = _read(head, data)
        if length == _CHUNKED:
            if data.endswith(b"0\r\n\r\n"):
                return data[end + 4 :]
            self._missing = _CHUNKED
        else:
            self._missing = length + end + 4 - len(data)
            if self._missing == 0:
                return data[end + 4 :]
            if self._missing < 0:
                raise Broken(f"more came than was asked for: {data[:300]!r}")
        self._parts.append(data)
        return None


def _ended(parts: list[bytes]) -> bool:
    last = parts[-1]
    return (last if len(last) >= 5 else parts[-2][-5:] + last).endswith(b"0\r\n\r\n")


def _read(head: bytes, data: bytes) -> int:
    status = _STATUS.match(head)
    if status is None or status[1] not in {b"200", b"202", b"204"}:
        raise Broken(f"refused: {data[:500].decode('utf-8', 'replace')}")
    found = _LENGTH.search(head)
    if found is None and b"chunked" not in head.lower():
        length = 0 if status[1] in {b"202", b"204"} else _unbounded(head)
    else:
        length = int(found[1]) if found else _CHUNKED
    if len(_heads) > 5000:
        _heads.clear()
    _heads[head] = length
    return length


def _unbounded(head: bytes) -> int:
    raise Broken(f"an answer without an end: {head!r}")


def passes(body: bytes, expected: bytes) -> bool:
    """Whether an answer is what was asked for."""
    return expected in body and b'"error"' not in body and b'"isError":true' not in body


def messages(body: bytes) -> list[dict[str, Any]]:
    """The messages of a body: of JSON, or of an event stream."""
    plain = unchunked(body)
    if plain[:1] == b"{":
        return [json.loads(plain)]
    return [json.loads(event) for event in _EVENT.findall(plain)]


def message(body: bytes) -> dict[str, Any]:
    """The last message of a body: the answer. Raises `Broken` if there is none."""
    found = messages(body)
    if not found:
        raise Broken(f"no message in {body[:300]!r}")
    return found[-1]


def unchunked(body: bytes) -> bytes:
    """What the chunks of a body hold, as far as they came; a body that has none, as it is."""
    if _CHUNK.match(body) is None:
        return body
    parts: list[bytes] = []
    at = 0
    while (found := _CHUNK.match(body, at)) and (size := int(found[1], 16)):
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size + 2
    return b"".join(parts)
