"""The client's side of rounds: answer what is asked, send the request again, until there is a result.

Every trip is a request of its own with a new id. The state is echoed exactly as it came, only where one came, and
only to the retry of its own request; answers are those of this round alone. Questions of one round are answered at
the same time. In this era a question cannot be answered with an error, so a handler that fails ends the call: the
request is not retried.
Specification: basic/patterns/mrtr, "Client Requirements".
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw, Struct, field

from ..protocol import codec, names
from ..protocol.errors import RemoteProtocolError
from ..protocol.revisions import Profile
from ..protocol.types import InputRequest, InputRequired, RetryParams
from .answers import CallInfo
from .questions import Questions
from .round_visits import RoundVisits

R = TypeVar("R")

#: What a complete result says of its type.
_COMPLETE: Final = (None, names.RESULT_COMPLETE)

MAX_ROUNDS: Final = 16
MAX_QUESTIONS: Final = 64
CONCURRENT: Final = 8
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class _ResultPeek(Struct, frozen=True):
    result_type: Any = field(default=None, name="resultType")


_peek: Final = codec.reader(_ResultPeek).read
_TYPE: Final = b'"resultType"'
_TYPE_COMPLETE: Final = b'"resultType":"%b"' % names.RESULT_COMPLETE.encode()
_ESCAPE: Final = b"\\u"


def result_type(body: Raw, method: str) -> str:
    """The type of a result of the stateless era; no type means complete. Raises `RemoteProtocolError`."""
    try:
        kind = _peek(body).result_type
    except codec.DECODE_ERRORS as problem:
        raise _unread(method, problem) from None
    return names.RESULT_COMPLETE if kind is None else str(kind)


def _unread(method: str, problem: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(f"the result of {method} can't be read: {problem}")


def asks(body: Raw, *, may_ask: bool, method: str) -> InputRequired | None:
    """The questions in a result of the stateless era; None for a complete one.

    Raises `RemoteProtocolError` for a type nobody knows, or questions where none are allowed.
    """
    try:
        kind = _peek(body).result_type
    except codec.DECODE_ERRORS as problem:
        raise _unread(method, problem) from None
    if kind is None or kind == names.RESULT_COMPLETE:
        return None
    if kind != names.RESULT_INPUT_REQUIRED:
        raise RemoteProtocolError(f"{method} gave a result of the unknown type {str(kind)[:64]!r}")
    if not may_ask:
        raise RemoteProtocolError(f"{method} must not ask for input, and did")
    try:
        required = codec.reader(InputRequired).keep(body)
    except codec.DECODE_ERRORS as problem:
        raise RemoteProtocolError(f"the input that {method} asks for can't be read: {problem}") from None
    if required.input_requests is None and required.request_state is None:
        raise RemoteProtocolError(f"{method} asks for input and says neither what nor gives a state")
    if len(required.input_requests or {}) > MAX_QUESTIONS:
        raise RemoteProtocolError(f"{method} asks more than {MAX_QUESTIONS} questions at once")
    return required


def plainly_complete(body: Raw, kind: type[R], *, typed: bool) -> R | None:
    """A result that is complete, and reads as it should: then there is nothing else to be found out about it. None for
    any other, be it right or wrong. ``typed``: results have types, and this one may be of another.
    """
    try:
        result = codec.reader(kind).keep(body)
    except codec.DECODE_ERRORS:
        return None
    return result if not typed or getattr(result, "result_type", "") in _COMPLETE else None


def says_nothing_else(body: Raw) -> bool:
    """Whether a result is complete as far as its bytes show without being read: it has no other member of the name, nor
    one that is written with escapes. False for any other, be it complete or not.
    """
    data = bytes(body)
    many = data.count(_TYPE)
    return (many == 0 or (many == 1 and _TYPE_COMPLETE in data)) and _ESCAPE not in data


def is_added(body: Raw, method: str) -> bool:
    """Whether a result is of a type that is not the protocol's own. Raises `RemoteProtocolError`."""
    return result_type(body, method) not in (names.RESULT_COMPLETE, names.RESULT_INPUT_REQUIRED)


def check_result_type(body: Raw, method: str, *, complete: bool, known_only: bool) -> str:
    """Hold the type of a result of the stateless era against those there are, and give it; ``complete``: against that
    one alone.

    Raises `RemoteProtocolError` for another. Only where not ``known_only`` may it be one that an extension added.
    """
    kind = result_type(body, method)
    if kind == names.RESULT_COMPLETE or (kind == names.RESULT_INPUT_REQUIRED and not complete):
        return kind
    if known_only or not isinstance(_peek(body).result_type, str):
        raise RemoteProtocolError(f"{method} gave a result of the unknown type {kind[:64]!r}")
    return kind


async def drive(
    required: InputRequired,
    trip: Callable[[RetryParams], Awaitable[Raw]],
    method: str,
    params: RetryParams,
    profile: Callable[[], Profile],
    questions: Questions,
    visits: RoundVisits,
    call: CallInfo | None = None,
) -> Raw:
    """What was ``required`` by the first trip is answered, and trips are made until one gives a complete result.

    ``visits``: those of the call; rounds that only wait for them don't count. ``call``: what the handlers are told of
    it.

    Raises what the trips and the handlers raise.
    """
    pause, rounds = 0.0, 1
    while rounds < MAX_ROUNDS:
        responses: dict[str, Raw] | None = None
        if required.input_requests is not None:
            responses = await visits.answers(required.input_requests, profile())
        if responses is None:
            rounds += 1
            if required.input_requests is not None:
                responses = await answers(required.input_requests, profile(), questions, call, visits)
        if required.input_requests:
            pause = 0.0
        else:
            await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1))  # spreads retries
            pause = min(pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        params = msgspec.structs.replace(
            params, input_responses=responses, request_state=required.request_state
        )
        body = await trip(params)
        asked = asks(body, may_ask=True, method=method)
        if asked is None:
            return body
        required = asked
    raise RemoteProtocolError(f"{method} came to no end in {MAX_ROUNDS} rounds{_last_asked(required)}")


def _last_asked(required: InputRequired) -> str:
    """What the server asked last, in its words, for who wonders why: often it was no answer that it would take."""
    said: list[str] = []
    for key, request in (required.input_requests or {}).items():
        try:
            params: Any = codec.decode(request.params)
        except codec.DECODE_ERRORS:
            params = None
        message = cast("dict[str, Any]", params).get("message") if isinstance(params, dict) else None
        said.append(message[:200] if isinstance(message, str) else f"{key[:64]} ({request.method[:64]})")
    return f"; last it asked {', '.join(map(repr, said))}" if said else ""


async def answers(
    asked: Mapping[str, InputRequest],
    profile: Profile,
    questions: Questions,
    call: CallInfo | None,
    visits: RoundVisits | None = None,
) -> dict[str, Raw]:
    """The answers to all questions, by their keys, a few at a time. The first failure cancels the others, and is raised
    as it is. ``visits``: told of those that are asked for, if the call waits for them.
    """
    slots = asyncio.Semaphore(CONCURRENT)

    async def one(method: str, params: Raw) -> Raw:
        async with slots:
            result = await questions.answer_raw(method, params, profile, call, visits)
            return Raw(profile.encode(result))

    tasks = {key: asyncio.create_task(one(item.method, item.params)) for key, item in asked.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks.values():
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception() or RemoteProtocolError("unreachable")
        return {key: task.result() for key, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()
            if task.done() and not task.cancelled():
                task.exception()
