"""Answers written down before the questions are asked.

Specification: client/elicitation.
"""

from collections.abc import Mapping
from typing import Any, cast

from ..client.answers import ElicitRequest

__all__ = ["Answers"]


class Answers:
    """An elicitation handler that answers by message: ``Answers({"Your name?": "Ada", "Sure?": Decline()})``.

    A list is given out one by one. ``asked`` are the messages so far. A question that nobody wrote an answer for fails
    the call, and `unused` tells which answers were never asked for.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = {
            message: list(cast("list[Any]", given)) if isinstance(given, list) else given
            for message, given in answers.items()
        }
        self._used: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, request: ElicitRequest) -> Any:
        """The answer to a form. Raises `AssertionError` where there is none."""
        self.asked.append(request.message)
        if request.message not in self._answers:
            known = ", ".join(repr(each) for each in self._answers) or "none"
            raise AssertionError(f"no answer is written for {request.message!r}; there are {known}")
        self._used.add(request.message)
        given = self._answers[request.message]
        if not isinstance(given, list):
            return given
        if not given:
            raise AssertionError(f"{request.message!r} was asked more often than there are answers")
        return given.pop(0)  # pyright: ignore[reportUnknownVariableType] - whatever the author wrote

    @property
    def unused(self) -> list[str]:
        """The messages that were never asked."""
        return [message for message in self._answers if message not in self._used]
