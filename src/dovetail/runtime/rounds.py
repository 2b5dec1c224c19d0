"""Runs a body that may ask, in the stateless era: answered questions return at once, an unanswered one ends
the round.

Ending a round raises `Suspend` in the body. It is a BaseException, so ``except Exception`` does not see it,
while ``finally`` and ``async with`` run. What was answered and done so far goes to the client in sealed
state and comes back with its answers. Specification: basic/patterns/mrtr.
"""

import inspect
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Raw

from ..protocol import codec, rounds
from ..protocol.call import Call
from ..protocol.errors import InvalidParams, LocalProtocolError
from ..protocol.types.requests import InputRequired, RetryParams
from ..security.principal import Principal
from ..security.sealing import SealBroken, Sealer


class Suspend(BaseException):
    """Raised in a body to end the round. Let it pass."""


class Rounds:
    """The rounds of one call. One is made for each request whose method may ask back."""

    def __init__(self, call: Call, principal: Principal, *, sealer: Sealer, audience: str) -> None:
        params = call.params
        if not isinstance(params, RetryParams):
            raise LocalProtocolError(f"{call.method} can't be answered with questions")
        self._sealer = sealer
        self._binding = rounds.binding_of(call.method, params, principal=principal.key, audience=audience)
        self._journal = self._open(params)
        self._volunteered = (params.input_responses or {}) if params.request_state is None else {}
        self._numbered: set[str] = set()
        self._used: set[str] = set()
        self.outcome: InputRequired | None = None

    def _open(self, params: RetryParams) -> rounds.Journal:
        if params.request_state is None:
            return rounds.Journal(nonce=secrets.token_urlsafe(16), expires=time.time() + rounds.LIFETIME)
        try:
            journal = rounds.load(
                self._sealer.open(params.request_state, binding=self._binding), now=time.time()
            )
        except (SealBroken, *codec.DECODE_ERRORS):
            raise InvalidParams(
                "the request state is not valid for this request; send the request again without it"
            ) from None
        journal.accept(params.input_responses or {})
        journal.expires = time.time() + rounds.LIFETIME
        return journal

    @property
    def nonce(self) -> str:
        """What identifies the call over all its rounds."""
        return self._journal.nonce

    def next_key(self, prefix: str) -> str:
        """A key by position, for a question or step without a name."""
        key = f"{prefix}{len(self._numbered) + 1}"
        self._numbered.add(key)
        return key

    def ask(self, questions: Mapping[str, rounds.Question]) -> dict[str, Raw]:
        """The answers, if all are there; else the round ends with the missing ones. Raises `Suspend`.

        Answers in a request without state count for questions with a name; a number may mean another question.
        """
        if len(questions) > rounds.MAX_QUESTIONS:
            raise LocalProtocolError(f"at most {rounds.MAX_QUESTIONS} questions fit into one round")
        for key in questions:
            if key in self._used:
                raise LocalProtocolError(
                    f"two questions of one call have the key {key!r}; give them different ones"
                )
            self._used.add(key)
        for key in questions.keys() & self._volunteered.keys() - self._numbered:
            self._journal.volunteer(key, questions[key], self._volunteered[key])
        answers = {key: self._journal.answer(key, question) for key, question in questions.items()}
        missing = {key: question for key, question in questions.items() if answers[key] is None}
        if missing:
            requests = self._journal.close_round(missing)
            self.suspend(requests)
        return {key: answer for key, answer in answers.items() if answer is not None}

    def ask_again(self, key: str, question: rounds.Question) -> None:
        """The recorded answer was no good: end the round with the same question. Raises `Suspend`."""
        self._journal.forget(key)
        self.suspend(self._journal.close_round({key: question}))

    def suspend(self, requests: dict[str, Any]) -> None:
        """End the round. Raises `Suspend`."""
        state = self._sealer.seal(rounds.dump(self._journal), binding=self._binding)
        self.outcome = rounds.required(requests, state)
        raise Suspend

    async def step(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], into: Any) -> Any:
        """Do something once: the result is recorded, and given back when the body runs again."""
        recorded = self._journal.steps.get(name)
        if recorded is not None:
            return codec.reader(into).read(recorded)
        value = fn(*args)
        if inspect.isawaitable(value):
            value = await value
        self._journal.steps[name] = Raw(codec.encode(value))
        return value
