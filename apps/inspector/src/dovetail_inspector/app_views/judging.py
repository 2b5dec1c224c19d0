"""What a view said, judged: a request, a notification or a response of JSON-RPC, or what is wrong with it.

Specification: MCP Apps 2026-01-26, "Communication Protocol"; JSON-RPC 2.0, sections 4 and 5.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from ..nesting import deeper

__all__ = [
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "REFUSED",
    "AppMessage",
    "BadMessage",
    "BadParams",
    "blocks_of",
    "number_of",
    "read_message",
    "text_of",
]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
REFUSED: Final = -32000
"""What the extension has for a host that did not do what it was asked."""
MAX_DEPTH: Final = 100
"""Levels of JSON in a message."""
_LONGEST_NAME: Final = 200
_LARGEST: Final = 2**53


class BadMessage(ValueError):
    """A message that is none. ``code``: of the error that answers it; ``id``: of what is answered, None for nothing."""

    def __init__(self, text: str, code: int = INVALID_REQUEST, id: int | str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.id = id


class BadParams(ValueError):
    """Parameters that a method can't take. ``code``: of the error that says so."""

    def __init__(self, text: str, code: int = INVALID_PARAMS) -> None:
        super().__init__(text)
        self.code = code


class AppMessage(Struct, frozen=True):
    """A message. ``method``: "" for a response; ``id``: None for a notification."""

    method: str
    id: int | str | None
    params: dict[str, Any]
    result: Any = None
    error: Any = None


def read_message(text: str) -> tuple[AppMessage, Any]:
    """A message, and the whole of it as plain values. Raises `BadMessage`."""
    if deeper(text.encode("utf-8", "surrogatepass"), MAX_DEPTH):
        raise BadMessage(f"it is nested deeper than {MAX_DEPTH} levels", PARSE_ERROR)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise BadMessage(f"it is no JSON: {problem}", PARSE_ERROR) from None
    if not isinstance(value, dict):
        raise BadMessage("it is no object")
    message = cast("dict[str, Any]", value)
    id = _id(message)
    if message.get("jsonrpc") != "2.0":
        raise BadMessage('it has no "jsonrpc": "2.0"', id=id)
    if "method" not in message:
        return _response(message, id), message
    method, params = message["method"], message.get("params", {})
    if not isinstance(method, str) or not 0 < len(method) <= _LONGEST_NAME:
        raise BadMessage("its method is no text", id=id)
    if "id" in message and id is None:
        raise BadMessage("its id is neither a text nor a whole number")
    if not isinstance(params, dict):
        raise BadMessage("its params are no object", INVALID_PARAMS, id)
    return AppMessage(method, id, cast("dict[str, Any]", params)), message


def text_of(params: dict[str, Any], name: str) -> str:
    """A member that has to be a text, and not an empty one. Raises `BadParams`."""
    found = params.get(name)
    if not isinstance(found, str) or not found:
        raise BadParams(f"params.{name} has to be a text")
    return found


def number_of(params: dict[str, Any], name: str) -> float | None:
    """A member that may be a number of pixels. Raises `BadParams`."""
    found = params.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found) or found < 0:
        raise BadParams(f"params.{name} has to be a number of pixels")
    return min(float(found), 1e6)


def blocks_of(value: Any) -> list[dict[str, Any]]:
    """Content blocks, of which one may stand by itself. Raises `BadParams`."""
    given = cast("list[Any]", value) if isinstance(value, list) else [value]
    for each in given:
        kind = cast("dict[str, Any]", each).get("type") if isinstance(each, dict) else None
        if not isinstance(kind, str):
            raise BadParams("params.content has to be made of content blocks, each with its type", REFUSED)
        if kind == "text" and not isinstance(cast("dict[str, Any]", each).get("text"), str):
            raise BadParams("a content block of the type text has a text", REFUSED)
    return given


def _response(message: dict[str, Any], id: int | str | None) -> AppMessage:
    result, error = message.get("result"), message.get("error")
    if ("result" in message) == ("error" in message):
        raise BadMessage("it has neither a method, nor either a result or an error", id=None)
    if id is None:
        raise BadMessage("it answers nothing: its id is missing, or none that was asked with")
    if "error" in message and not isinstance(error, dict):
        raise BadMessage("its error is no object")
    return AppMessage("", id, {}, result, error)


def _id(message: dict[str, Any]) -> int | str | None:
    found = message.get("id")
    if isinstance(found, str):
        return found if len(found) <= _LONGEST_NAME else None
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found if abs(found) <= _LARGEST else None
    return None
