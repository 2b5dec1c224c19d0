"""What a message is about: its methods and tools, also of responses, which name neither.

Theory of operation. Requests are remembered by sender and id until they are answered, in a bounded number. What is no
JSON-RPC is about nothing, and passes: a relay judges nobody.

Specification: basic, "Messages".
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, cast

import msgspec

__all__ = ["SubjectTracker", "Subject", "decoded"]

_OPEN: Final = 10_000
_CALL: Final = "tools/call"
Sender = Literal["client", "server"]
_decoder: Final = msgspec.json.Decoder()


class Subject(NamedTuple):
    """What one message is about: its method, and the tool where it is a call of one, or the answer to that."""

    method: str = ""
    tool: str = ""


class SubjectTracker:
    """What was asked on one connection, and is not answered yet."""

    def __init__(self) -> None:
        self._asked: dict[tuple[Sender, int | str], Subject] = {}

    def heard(self, sender: Sender, value: Any) -> list[Subject]:
        """What a message is about, or each of a batch. ``value``: as plain values, None where it is no JSON."""
        if isinstance(value, list):
            return [self._one(sender, each) for each in cast("list[Any]", value)]
        return [self._one(sender, value)]

    def _one(self, sender: Sender, value: Any) -> Subject:
        if not isinstance(value, dict):
            return Subject()
        message = cast("dict[str, Any]", value)
        id, method = message.get("id"), message.get("method")
        if isinstance(method, str):
            subject = Subject(method, _tool(method, message.get("params")))
            if _is_id(id):
                if len(self._asked) >= _OPEN:
                    self._asked.pop(next(iter(self._asked)))
                self._asked[sender, cast("int | str", id)] = subject
            return subject
        if not _is_id(id):
            return Subject()
        other: Sender = "server" if sender == "client" else "client"
        return self._asked.pop((other, cast("int | str", id)), Subject())


def decoded(data: bytes) -> Any:
    """A message as plain values; None where it is no JSON."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _tool(method: str, params: Any) -> str:
    name: Any = cast("dict[str, Any]", params).get("name") if isinstance(params, dict) else None
    return name if method == _CALL and isinstance(name, str) else ""


def _is_id(id: Any) -> bool:
    return isinstance(id, (int, str)) and not isinstance(id, bool)
