"""How large an answer may be, found out before it is written.

What an author returns may be far smaller than what it says: a list that holds one long text ten thousand times takes
next to no memory, and its JSON takes all there is. msgspec's encoder does not survive that: where no memory is left it
ends the process. So values are looked through before they are encoded (`dovetail.protocol.json_size`).

Specification: server/tools, "Error Handling".
"""

from typing import Any, Final

from ..protocol.errors import ToolError
from ..protocol.json_size import json_size

__all__ = ["MAX_ANSWER", "AnswerTooLarge", "check_size"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes that an answer may have, about: what clients take of one message."""


class AnswerTooLarge(ToolError):
    """What an author's function returned is larger than an answer may be. ``most``: bytes."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the answer would have more than {most} bytes, and none is sent that large; ask for less at once"
        )


def check_size(value: Any, most: int = MAX_ANSWER) -> None:
    """Raise `AnswerTooLarge` for a value whose JSON would have more than ``most`` bytes, about."""
    if json_size(value, most) > most:
        raise AnswerTooLarge(most)
