"""The handlers that a client is given: each puts the server's question before the person, and turns what comes back
into what the protocol wants.

Specification: client/elicitation, client/sampling, client/roots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from dovetail import CreateMessageResult, Root, UserRejected
from dovetail.auth.login import LoginVisit
from dovetail.client import Accept, CallInfo, Cancel, Decline, ElicitRequest, Visit
from dovetail.types import CreateMessageParams, reader

from .questions import AnswerRefused, PersonAnswer, PersonQuestions

__all__ = ["QuestionHandlers"]


class QuestionHandlers:
    """Who answers for one server. ``call_of``: the id of the call that a question belongs to, where it is known."""

    def __init__(
        self,
        questions: PersonQuestions,
        server: str,
        roots: Callable[[], list[str]],
        call_of: Callable[[Any], str | None],
    ) -> None:
        self._questions: Final = questions
        self._server: Final = server
        self._roots = roots
        self._call_of = call_of

    async def fill(self, request: ElicitRequest, call: CallInfo | None) -> Accept | Decline | Cancel:
        """A form."""
        answer = await self._questions.ask(
            self._server,
            "form",
            call=self._call_of(call),
            message=request.message,
            schema=request.schema,
            check=_object,
        )
        if answer.action == "accept":
            return Accept(cast("dict[str, Any]", answer.content))
        return Decline() if answer.action == "decline" else Cancel()

    async def visit(self, visit: Visit, call: CallInfo | None) -> Any:
        """An address. The page opens it itself once the person agreed, so that a browser never opens by itself."""
        answer = await self._questions.ask(
            self._server,
            "visit",
            call=self._call_of(call),
            message=visit.message,
            url=visit.url,
            host=visit.host,
        )
        if answer.action == "accept":
            return "done" if answer.content == "done" else True
        return False if answer.action == "decline" else None

    async def log_in(self, visit: LoginVisit) -> Any:
        """The address of a login. Whoever agreed has opened it: the browser comes back to the client by itself."""
        answer = await self._questions.ask(
            self._server, "login", message=visit.message, url=visit.url, host=visit.host
        )
        if answer.action == "accept":
            return "done"
        return False if answer.action == "decline" else None

    async def sample(self, params: CreateMessageParams, call: CallInfo | None) -> CreateMessageResult:
        """A request to run the model: the person is the model, or says no."""
        answer = await self._questions.ask(
            self._server, "sampling", call=self._call_of(call), params=params.to_wire(), check=_message
        )
        if answer.action != "accept":
            raise UserRejected("the person did not let the model be run")
        return _sampled(answer.content)

    def roots(self) -> list[Root | str]:
        """The folders of the settings."""
        return [Root(uri=each) if "://" in each else each for each in self._roots()]


def _object(answer: PersonAnswer) -> None:
    if answer.action == "accept" and not isinstance(answer.content, dict):
        raise AnswerRefused("a form is answered with an object: its fields by name")


def _message(answer: PersonAnswer) -> None:
    if answer.action == "accept":
        try:
            _sampled(answer.content)
        except msgspec.MsgspecError as problem:
            raise AnswerRefused(f"this is no result of sampling/createMessage: {problem}") from None


def _sampled(content: Any) -> CreateMessageResult:
    return reader(CreateMessageResult).read(msgspec.json.encode(content))
