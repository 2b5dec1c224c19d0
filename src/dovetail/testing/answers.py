"""Answers written down before the questions are asked.

Specification: client/elicitation.
"""

import inspect
from collections.abc import Mapping
from typing import Any, cast

from ..client.answers import ElicitRequest

__all__ = ["Answers"]


class Answers:
    """An elicitation handler that answers by message: ``Answers({"Your name?": "Ada", "Sure?": Decline()})``.

    A list is given out one by one; a function is called with the request. More may be written later:
    ``answers["Sure?"] = True``. ``asked`` are the messages so far. A question that nobody wrote an answer for fails
    the call and stands in ``unanswered``; `unused` tells which answers were never asked for.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self._answers: dict[str, Any] = {}
        self._used: set[str] = set()
        self.asked: list[str] = []
        self.unanswered: list[str] = []
        for message, given in (answers or {}).items():
            self[message] = given

    def __setitem__(self, message: str, given: Any) -> None:
        """Write down an answer, in place of the one before."""
        self._answers[message] = list(cast("list[Any]", given)) if isinstance(given, list) else given

    async def __call__(self, request: ElicitRequest) -> Any:
        """The answer to a form. Raises `AssertionError` where there is none."""
        self.asked.append(request.message)
        if request.message not in self._answers:
            self.unanswered.append(request.message)
            known = ", ".join(repr(each) for each in self._answers) or "none"
            raise AssertionError(f"no answer is written for {request.message!r}; there are {known}")
        self._used.add(request.message)
        given = self._answers[request.message]
        if callable(given):
            given = given(request)
            return await given if inspect.isawaitable(given) else given
        if not isinstance(given, list):
            return given
        if not given:
            self.unanswered.append(request.message)
            raise AssertionError(f"{request.message!r} was asked more often than there are answers")
        return given.pop(0)  # pyright: ignore[reportUnknownVariableType] - whatever the author wrote

    @property
    def unused(self) -> list[str]:
        """The messages that were never asked."""
        return [message for message in self._answers if message not in self._used]
