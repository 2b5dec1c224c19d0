"""Rounds: results that ask back, and the requests that bring the answers.

Theory of operation. A result that asks back is remembered under its method and what that was about; the request that
brings answers, or a state, is held against those that are open, first against one with the same state.

Specification: 2026-07-28 basic/patterns/mrtr.
"""

from __future__ import annotations

from typing import Any, Final

from ..protocol import names
from ..protocol.revisions import Feature
from .answer_rules import params_hash
from .capability_rules import asks_client
from .heard import Heard, objects, pointer, shown
from .memory import RoundState, key_of, size_of

__all__ = ["answer", "call"]

_QUESTIONS: Final = (names.ELICITATION_CREATE, names.SAMPLING_CREATE_MESSAGE, names.ROOTS_LIST)
_STATE: Final = "requestState"
_ASKED: Final = "inputRequests"
_ANSWERS: Final = "inputResponses"
_OPEN: Final = 16
"""Rounds of one tool, prompt or resource that are remembered at once."""
_SUBJECTS: Final = ("name", "uri")


def answer(heard: Heard) -> None:
    """A result that asks back."""
    result, asked, profile = heard.result, heard.asked, heard.profile
    if result is None or asked is None or profile is None or not profile.has(Feature.ROUNDS):
        return
    if result.get("resultType") != names.RESULT_INPUT_REQUIRED:
        return
    method = profile.client_requests.get(asked.method)
    if method is not None and not method.rounds:
        said = f"the result of {asked.method} asks back, and only those of calls, prompts and reads may"
        heard.say("input-required-elsewhere", said, "/result/resultType", asked.line)
    questions = objects(result.get(_ASKED))
    state = result.get(_STATE)
    if not questions and not isinstance(state, str):
        heard.say("input-required-empty", f"it has neither {_ASKED} nor a {_STATE}", "/result", asked.line)
    for key, question in list(questions.items())[:100]:
        _question(heard, "/result/" + _ASKED + pointer(key), objects(question))
    place = (heard.talk.number, asked.method, asked.subject)
    rounds = heard.memory.rounds.get(place) or []
    rounds.append(
        RoundState(
            heard.line.n,
            asked.id,
            hash(state) if isinstance(state, str) else None,
            frozenset(each[:200] for each in list(questions)[:100]),
            asked.params_hash,
        )
    )
    heard.memory.rounds.put(place, rounds[-_OPEN:], size_of(asked.subject, "x" * 400 * len(rounds[-_OPEN:])))


def _question(heard: Heard, where: str, question: dict[str, Any]) -> None:
    asked = heard.asked
    method = question.get("method")
    extended = asked is not None and bool(objects((asked.capabilities or {}).get("extensions")))
    if method not in _QUESTIONS and not extended:
        said = f"{shown(method)} is nothing that a client is asked for"
        heard.say("input-request-method", said, f"{where}/method")
    if "jsonrpc" in question or "id" in question:
        said = "a question is a method and its parameters, without jsonrpc and id"
        heard.say("input-request-envelope", said, where)
    if asked is not None and isinstance(method, str):
        asks_client(heard, method, objects(question.get("params")), asked.capabilities, f"{where}/params")


def call(heard: Heard) -> None:
    """A request that may bring answers."""
    profile = heard.profile
    if profile is None or not profile.has(Feature.ROUNDS) or not heard.is_request or heard.sender != "client":
        return
    params = heard.params
    if _STATE not in params and _ANSWERS not in params:
        return
    method = profile.client_requests.get(heard.method)
    if method is None or not method.rounds:
        return
    subject: Any = next((params[each] for each in _SUBJECTS if isinstance(params.get(each), str)), "")
    place = (heard.talk.number, heard.method, subject[:1_000])
    rounds = heard.memory.rounds.get(place) or []
    state = params.get(_STATE)
    chosen = _chosen(rounds, params)
    if chosen is None:
        if state is not None and heard.talk.begun and not heard.memory.forgot:
            heard.say(
                "request-state-unknown", f"no result of {heard.method} gave a {_STATE}", f"/params/{_STATE}"
            )
        return
    rounds.remove(chosen)
    _state(heard, chosen, state)
    # Without the state, it may be a request of somebody else's who shares the connection with whoever was asked back.
    is_it = heard.exchange is None or (isinstance(state, str) and hash(state) == chosen.state)
    if is_it and chosen.id == key_of(heard.id):
        heard.say(
            "retry-id-reused",
            f"its id is that of the request that was asked back: {shown(heard.id)}",
            "/id",
            chosen.line,
        )
    if -1 not in (chosen.params_hash, now := params_hash(params)) and now != chosen.params_hash:
        said = "its parameters are not those of the request that was asked back"
        heard.say("retry-changed", said, "/params", chosen.line)
    _responses(heard, chosen, objects(params.get(_ANSWERS)))


def _chosen(rounds: list[RoundState], params: dict[str, Any]) -> RoundState | None:
    """The round that a request belongs to: that of its state, else the last of its parameters, else the last."""
    state = params.get(_STATE)
    if isinstance(state, str):
        same = next((each for each in rounds if each.state == hash(state)), None)
        if same is not None:
            return same
    now = params_hash(params)
    alike = [each for each in rounds if each.params_hash == now]
    return next(reversed(alike or rounds), None)


def _state(heard: Heard, chosen: RoundState, state: Any) -> None:
    where = f"/params/{_STATE}"
    if chosen.state is None:
        if state is not None:
            heard.say("request-state-unknown", f"the questions came without a {_STATE}", where, chosen.line)
    elif state is None:
        heard.say(
            "request-state-missing", f"the {_STATE} of the questions is not given back", where, chosen.line
        )
    elif not isinstance(state, str) or hash(state) != chosen.state:
        heard.say("request-state-changed", f"the {_STATE} is not the one that came", where, chosen.line)


def _responses(heard: Heard, chosen: RoundState, given: dict[str, Any]) -> None:
    names_given = {each[:200] for each in given}
    if extra := sorted(names_given - chosen.keys):
        said = f"{shown(extra[0])} is answered, and was not asked"
        heard.say("input-response-unknown", said, f"/params/{_ANSWERS}" + pointer(extra[0]), chosen.line)
    if missing := sorted(chosen.keys - names_given):
        said = f"{shown(missing[0])} was asked, and is not answered"
        heard.say("input-response-missing", said, f"/params/{_ANSWERS}", chosen.line)
