"""What servers ask the person: each question waits until it is answered, its call is cancelled, or its server goes
away.

Specification: client/elicitation, client/sampling, client/roots; 2026-07-28 basic/patterns on input-required results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct

from ..views import QuestionKind, QuestionView

__all__ = ["PersonAnswer", "AnswerRefused", "PersonQuestions"]

Action = Literal["accept", "decline", "cancel"]
_MOST: Final = 1000


class AnswerRefused(ValueError):
    """An answer that a question can't take; the text says why."""


class PersonAnswer(Struct, frozen=True):
    """What the person did, and with ``accept`` the content."""

    action: Action
    content: Any = None


class _WaitingQuestion(Struct):
    view: QuestionView
    answer: asyncio.Future[PersonAnswer]
    check: Callable[[PersonAnswer], None] | None


class PersonQuestions:
    """The questions that wait. ``told``: called with each that comes, and with the id of each that is over."""

    def __init__(self, asked: Callable[[QuestionView], None], over: Callable[[str], None]) -> None:
        self._asked: Final = asked
        self._over: Final = over
        self._waiting: dict[str, _WaitingQuestion] = {}
        self._count = 0

    @property
    def views(self) -> list[QuestionView]:
        """Those that wait, oldest first."""
        return [each.view for each in self._waiting.values()]

    async def ask(
        self,
        server: str,
        kind: QuestionKind,
        *,
        call: str | None = None,
        message: str = "",
        schema: dict[str, Any] | None = None,
        url: str = "",
        host: str = "",
        params: dict[str, Any] | None = None,
        check: Callable[[PersonAnswer], None] | None = None,
    ) -> PersonAnswer:
        """Ask, and wait. ``check`` raises `AnswerRefused` for an answer that will not do; then it waits on."""
        if len(self._waiting) >= _MOST:
            return PersonAnswer("cancel")  # nobody reads a thousand questions
        self._count += 1
        view = QuestionView(
            id=f"q{self._count}",
            server=server,
            kind=kind,
            asked=datetime.now(UTC).isoformat(),
            call=call,
            message=message,
            schema=schema,
            url=url,
            host=host,
            params=params,
        )
        waiting = _WaitingQuestion(view, asyncio.get_running_loop().create_future(), check)
        self._waiting[view.id] = waiting
        self._asked(view)
        try:
            return await waiting.answer
        finally:
            del self._waiting[view.id]
            self._over(view.id)

    def answer(self, id: str, answer: PersonAnswer) -> None:
        """Answer one. Raises `LookupError` for one that does not wait any more, and `AnswerRefused`."""
        waiting = self._waiting.get(id)
        if waiting is None or waiting.answer.done():
            raise LookupError(f"the question {id} does not wait any more")
        if waiting.check is not None:
            waiting.check(answer)
        waiting.answer.set_result(answer)

    def withdraw(self, server: str) -> None:
        """A server is gone: what it asked is closed without an answer."""
        for each in list(self._waiting.values()):
            if each.view.server == server and not each.answer.done():
                each.answer.set_result(PersonAnswer("cancel"))
