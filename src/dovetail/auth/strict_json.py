"""JSON objects from strangers: UTF-8, no name twice, no number that JSON does not have, bounded in size and depth.

Theory of operation. What two readers could read differently is no document at all: of two members of one name one
reader takes the first and one the last, so a document that has them is refused. What comes out can be written as
JSON again.

Specification: RFC 8259, sections 4 and 8; RFC 7515, section 4 (names are unique); RFC 7519, section 4.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, cast

import msgspec

from ..protocol.errors import DovetailError

__all__ = ["MAX_DEPTH", "NotAnObject", "read_object"]

MAX_DEPTH: Final = 32
"""How deep arrays and objects may stand in each other."""

_MAX_DIGITS: Final = 40


class NotAnObject(DovetailError):
    """The bytes are not one JSON object that every reader would read alike. The message quotes nothing of them."""


def read_object(data: bytes, limit: int) -> dict[str, Any]:
    """The object in ``data``, which may have ``limit`` bytes. Raises `NotAnObject`."""
    if len(data) > limit:
        raise NotAnObject(f"the JSON has more than {limit} bytes")
    _check_depth(data)
    try:
        value: Any = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_int=_whole,
            parse_float=_finite,
        )
        msgspec.json.encode(value)
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as problem:
        reason = str(problem) if isinstance(problem, _InvalidJSON) else "it is not valid JSON in UTF-8"
        raise NotAnObject(f"the JSON can't be used: {reason}") from None
    if not isinstance(value, dict):
        raise NotAnObject("the JSON is no object")
    return cast("dict[str, Any]", value)


class _InvalidJSON(ValueError):
    """A reason of ours, which quotes nothing."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _InvalidJSON("a member comes twice")
    return found


def _no_number(_: str) -> float:
    raise _InvalidJSON("it has a number that JSON does not have")


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:  # so that every number of a document can be reckoned with
        raise _InvalidJSON("it has a number that is too large")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _InvalidJSON("it has a number that is too large")
    return value


def _check_depth(data: bytes) -> None:
    """Raise `NotAnObject` for what is nested too deep. Brackets in strings do not count."""
    opening, closing = data.count(b"{") + data.count(b"["), b"}]"
    if opening <= MAX_DEPTH:
        return
    depth = 0
    quoted = escaped = False
    for byte in data:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise NotAnObject(f"the JSON is nested more than {MAX_DEPTH} deep")
        elif byte in closing:
            depth -= 1
