"""Runs a body that may ask, in the stateless era: answered questions return at once, open ones end the round.

Theory of operation
-------------------
A question without an answer *parks*: its task waits. The round closes when nothing that it knows of goes on any
more: no step runs, and the event loop has turned `QUIET` times since a question was parked, a step ended or a
recorded answer was taken (`CLIMB` times since a step failed or a question was cancelled). A turn of the loop runs
whatever is ready, so tasks that were started together, in a `TaskGroup` or by `gather`, reach their questions before
the round closes, and these travel together. The count is of turns, not of time: load, other calls and the speed of
the machine change nothing, the same body always closes with the same questions. Where a body takes more turns than
that to come to its next question, the question goes out one round later; the answers are the same, for they are found
by key and content, never by round.

Where the body itself asks, and nothing that it started is left (`context_mark`), there is nobody whose question could
come, so the round closes at once, without a turn and without anything that waits. Most questions are asked like that.
A task that was given a context of its own, or was there before the call, is not seen: what it asks beside the body is
found closed, and goes out one round later.

What else a body waits for beside a question (a sleep, a socket) is not waited for: it would hold the person up, and
replay repeats it anyway. Work that has to be finished first is a step.

Closing raises `Suspend` wherever a question is parked. If the body's own task waits for something else then (a group,
a gather, a sleep), that wait is cancelled: asyncio's locks, queues and groups hand over and clean up after a
`CancelledError` and nothing else, and `gather(return_exceptions=True)` would hand the body its own end as a value. So
``finally`` and ``async with`` run everywhere and ``except Exception`` sees nothing. After closing, every question and
every step raises `Suspend` at once. What comes out of the body then is the end of the round; a cancellation by others
that comes this late changes nothing but that nobody hears the answer. (`Task.cancelling` could not tell it: before
Python 3.13 a task group that failed leaves the count above zero.)

A `rehearsal` is a second run over the same journal that must close with the same questions: it runs no step.

Specification: basic/patterns/mrtr.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NoReturn, cast

from msgspec import Raw, Struct
from msgspec.structs import replace

from ..logs import get_logger
from ..protocol import codec, rounds
from ..protocol.call import Call
from ..protocol.errors import InternalError, InvalidParams, LocalProtocolError, ToolError
from ..protocol.types.requests import InputRequired, RetryParams
from ..security.sealing import SealBroken
from ..stores.errors import StoreError
from .channel import Channel, DurableCall
from .context_mark import Mark, may_go_on
from .journals import MAX_JOURNAL, Journals, JournalTooLarge, OutcomeUnknown
from .redemptions import Redemption, redemption

log = get_logger("dovetail.server")

QUIET: Final = 8
#: The same after a failure or a cancellation: it climbs through groups, each of which takes some turns, and what it
#: will end on its way must not be asked.
CLIMB: Final = 100
#: How the name begins under which a call that outlives its requests records that a step, which runs once, was begun.
_BEGUN: Final = "\x01"
#: How far back an exception is followed to what it came of; one with a longer past is taken for the worst.
_CHAIN: Final = 100


class Suspend(BaseException):
    """Raised in a body where it asks, to end the round: let it pass. An ``except BaseException`` has to raise it
    again.
    """


class Diverged(InternalError):
    """A body asked something else when it ran again over the same answers (found by the replay check): put what
    changes from run to run into ``ctx.step``.
    """


watchers: Final[list["Callable[[Rounds], None]"]] = []
"""Told of the rounds of each call when they open, in the task of the call. Nothing is done while this is empty."""


class UsePolicy(Struct, frozen=True):
    """How often what belongs to a call counts. ``single_use``: each state once. ``once``: so does each step, which is
    claimed in the store before it runs.
    """

    single_use: bool = False
    once: bool = False


_AS_OFTEN_AS_SENT: Final = UsePolicy()


class ReceivedState(Struct, frozen=True):
    """What a request brought of the rounds before it. ``journal``: what was answered and done; a new one, if nothing
    came. ``binding``: what its state is good for. ``volunteered``: answers without state. ``redemption``: what redeems
    the state that came. ``before``: the journal that came, if it was in the store.
    """

    journal: rounds.Journal
    binding: bytes
    volunteered: Mapping[str, Raw] = {}
    redemption: Redemption | None = None
    before: bytes | None = None


class Rounds:
    """The rounds of one call. One is made for each request whose method may ask back.

    ``body``: the task that runs the body. ``rehearsal``: it only shows what it asks. ``closed``: the round is over.
    ``pressed``: the body was cancelled for that. ``suspended``: something of it met `Suspend`. ``diverged``: what a
    rehearsal did that it must not. ``mark``: of the body's context when it began; without one, rounds wait for quiet.
    """

    pressed = False
    closed = False
    suspended = False
    diverged: str | None = None
    mark: Mark | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _running = 0
    _quiet = 0
    _watched = False
    _pressing = False
    _unsure = False
    _carried: Mapping[str, Raw] = MappingProxyType({})

    def __init__(
        self,
        journals: Journals,
        channel: Channel,
        received: ReceivedState,
        *,
        body: "asyncio.Task[object] | None",
        policy: UsePolicy = _AS_OFTEN_AS_SENT,
        rehearsal: bool = False,
    ) -> None:
        self._durable = None if rehearsal else channel.durable
        self._journals = journals
        self._channel = channel
        self._received = received
        self._journal = received.journal
        self._policy = policy
        self._rehearsal = rehearsal
        self._replayed = received.journal.round > 0
        self._body = body
        self._parked: dict[asyncio.Future[None], asyncio.Task[object] | None] = {}
        self._open: dict[str, rounds.WireQuestion] = {}
        self._closed_with: Mapping[str, rounds.WireQuestion] = {}
        if watchers and not rehearsal:
            for watcher in tuple(watchers):
                watcher(self)

    @classmethod
    def begin(
        cls,
        journals: Journals,
        call: Call,
        channel: Channel,
        *,
        body: "asyncio.Task[object] | None",
        policy: UsePolicy = _AS_OFTEN_AS_SENT,
    ) -> "Rounds":
        """The rounds of a request that brought no state."""
        params = _retry(call)
        journal = rounds.Journal(nonce=os.urandom(16).hex(), expires=time.time() // 1 + rounds.LIFETIME)
        received = ReceivedState(
            journal, journals.binding(call.method, params, channel), params.input_responses or {}
        )
        return cls(journals, channel, received, body=body, policy=policy)

    @classmethod
    async def resume(
        cls,
        journals: Journals,
        call: Call,
        channel: Channel,
        *,
        policy: UsePolicy = _AS_OFTEN_AS_SENT,
    ) -> "Rounds":
        """The rounds of a request that brought its state back; to be called by the task of the body.

        Raises `InvalidParams` unless the state is valid here. Whether it may still be used, `redeem` says.
        """
        params = _retry(call)
        binding = journals.binding(call.method, params, channel)
        state, responses = params.request_state or "", params.input_responses or {}
        try:
            journal, before = journals.open(state, binding), None
            if journal is None:
                journal, before = await journals.open_away(state, binding)
            redeeming = redemption(journal, state, responses) if policy.single_use else None
        except (SealBroken, *codec.DECODE_ERRORS):
            raise InvalidParams(
                "the request state is not valid for this request; send the request again without it"
            ) from None
        except StoreError as problem:
            raise journals.failed(problem) from problem
        journal.accept(responses)
        journal.expires = time.time() // 1 + rounds.LIFETIME  # whole seconds: all states are equally long
        received = ReceivedState(journal, binding, redemption=redeeming, before=before)
        return cls(journals, channel, received, body=asyncio.current_task(), policy=policy)

    @classmethod
    def reopen(
        cls,
        journals: Journals,
        call: Call,
        channel: Channel,
        durable: DurableCall,
        *,
        policy: UsePolicy = _AS_OFTEN_AS_SENT,
    ) -> "Rounds":
        """The rounds of a call that outlives its requests; to be called by the task of the body."""
        params = _retry(call)
        if params.request_state is None:
            journal = rounds.Journal(nonce=durable.key, expires=0)
        else:
            journal = rounds.load_durable(params.request_state)
            journal.accept(params.input_responses or {})
        carried = dict(journal.steps)
        journal.steps.update(
            (name, result) for name, result in durable.steps.items() if not name.startswith(_BEGUN)
        )
        journals.assign(journal, channel)
        received = ReceivedState(journal, b"")
        made = cls(journals, channel, received, body=asyncio.current_task(), policy=policy)
        made._carried = carried
        return made

    def rehearse(self) -> "Rounds":
        """The same journal once more, for a run of the same task that only shows whether it asks the same."""
        journal = rounds.Journal(
            nonce=self._journal.nonce,
            expires=self._journal.expires,
            answers=dict(self._journal.answers),
            steps=dict(self._journal.steps),
        )
        received = ReceivedState(journal, self._received.binding, self._received.volunteered)
        return Rounds(self._journals, self._channel, received, body=self._body, rehearsal=True)

    @property
    def body(self) -> "asyncio.Task[object] | None":
        """The task that runs the body."""
        return self._body

    @body.setter
    def body(self, task: "asyncio.Task[object] | None") -> None:
        self._body = task

    @property
    def questions(self) -> dict[str, str]:
        """What the round closed with: digests of the questions by key."""
        return {key: question.digest for key, question in self._closed_with.items()}

    @property
    def nonce(self) -> str:
        """What identifies the call over all its rounds."""
        return self._journal.nonce

    @property
    def trace(self) -> str:
        """The span that the last round was traced in, a ``traceparent``; "" for none. A watcher may put this one's."""
        return self._journal.trace or ""

    @trace.setter
    def trace(self, parent: str) -> None:
        self._journal.trace = parent

    @property
    def replayed(self) -> bool:
        """Whether the call went through a round before; only then has it an identity that the client brings back."""
        return self._replayed

    @property
    def round(self) -> int:
        """The number of this round, from 1; once it has closed, that of the next."""
        return self._journal.round + 1

    @property
    def answered(self) -> list[str]:
        """The keys of the questions that have a recorded answer."""
        return list(self._journal.answers)

    @property
    def recorded(self) -> list[str]:
        """The names of the steps that are recorded."""
        return list(self._journal.steps)

    @property
    def stepped(self) -> bool:
        """Whether any step is recorded."""
        return bool(self._journal.steps)

    # Asking

    def find(self, questions: Mapping[str, rounds.WireQuestion], *, named: bool) -> dict[str, Raw] | None:
        """The answers, if all are there; None where `park` is to be awaited with the questions. Raises `Suspend`, where
        the round is over, or closes with them.

        ``named``: the author gave the keys. One that is a number is asked by the task of the body alone, and no answer
        in a request without state counts for it, which may have meant another question.
        """
        if self.closed:
            self._end()
        if named and self._received.volunteered:
            volunteered = self._received.volunteered
            for key in questions.keys() & volunteered.keys():
                self._journal.volunteer(key, questions[key], volunteered[key])
        answers: dict[str, Raw] = {}
        for key, question in questions.items():
            answer = self._journal.answer(key, question)
            if answer is not None:
                answers[key] = answer
        if len(answers) < len(questions):
            missing = (
                {key: each for key, each in questions.items() if key not in answers} if answers else questions
            )
            self._close_at_once(missing, by_body=not named)
            return None
        if self._parked:
            self._stir()
        return answers

    def reject(self, questions: Mapping[str, rounds.WireQuestion]) -> None:
        """The recorded answers to these were no good: `park` with the same questions. Raises as `find`."""
        for key in questions:
            self._journal.forget(key)
        if self.closed:
            self._end()
        self._close_at_once(questions)

    def _close_at_once(self, questions: Mapping[str, rounds.WireQuestion], *, by_body: bool = False) -> None:
        """Close the round with these questions, if the body asks them (as is known where ``by_body``) and nothing that
        it started is left: then nobody could ask beside it, and no turn of the loop would bring another question.
        """
        if self._parked or self._running or self.mark is None or may_go_on(self.mark):
            return
        if not by_body and asyncio.current_task() is not self._body:
            return
        self._check_room(questions)
        self._closed_with = self._open = dict(questions)
        self.closed = self.suspended = True
        raise Suspend

    def _check_room(self, questions: Mapping[str, rounds.WireQuestion]) -> None:
        if len(self._open) + len(questions) > rounds.MAX_QUESTIONS:
            raise LocalProtocolError(f"at most {rounds.MAX_QUESTIONS} questions fit into one round")

    async def park(self, questions: Mapping[str, rounds.WireQuestion]) -> NoReturn:
        """Wait until the round closes, with those of the questions that have no answer. Raises `Suspend`."""
        journal, opened = self._journal, self._open
        missing = {key: each for key, each in questions.items() if journal.answer(key, each) is None}
        self._check_room(missing)
        self._loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = self._loop.create_future()
        task = self._parked[place] = asyncio.current_task(self._loop)
        opened.update(missing)
        self._stir()
        try:
            await place
        except asyncio.CancelledError:
            if not self.closed:
                for key in missing:
                    opened.pop(key, None)
                self._stir(CLIMB)
            raise  # by the program itself: closing wakes the question before it cancels the body
        finally:
            self._parked.pop(place, None)
        self._end(task)

    def _end(self, task: "asyncio.Task[object] | None" = None) -> NoReturn:
        """Raise `Suspend` in the running task, which is ``task`` if the caller knows it."""
        self.suspended = True
        if task is None:
            task = asyncio.current_task()
        if task is not None and task is not self._body:
            task.add_done_callback(_seen)
        raise Suspend

    # Doing once

    async def step(self, name: str, produce: Callable[[], Awaitable[bytes]]) -> bytes | Raw:
        """What the step gave when it ran, or gives now, as bytes. Raises what it raises, and `OutcomeUnknown`."""
        recorded = self._journal.steps.get(name)
        if recorded is not None:
            self._stir()
            return recorded
        if self.closed:
            self._end()
        if self._rehearsal:
            self.diverged = f"it began the step {name!r}, which it had not reached before"
            self._close()
            self._end()
        if len(self._journal.steps) >= rounds.MAX_STEPS:
            raise LocalProtocolError(f"a call may have at most {rounds.MAX_STEPS} steps")
        self._running += 1
        turns = CLIMB
        try:
            if self._durable is not None:
                data = await self._kept_by(self._durable, name, produce)
            else:
                data = await (self._claimed(name, produce) if self._policy.once else produce())
            self._journal.steps[name] = Raw(data)
            turns = QUIET
        finally:
            self._running -= 1
            self._stir(turns)
        return data

    async def _kept_by(
        self, durable: DurableCall, name: str, produce: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """What the step gave, once that is recorded."""
        if not self._policy.once:
            data = await produce()
            await durable.record(name, data)
            return data
        await durable.began(name)
        try:
            await self._begin(durable, name)
            data = await produce()
            await durable.record(name, data)
        finally:
            durable.ended(name)
        return data

    async def _claimed(self, name: str, produce: Callable[[], Awaitable[bytes]]) -> bytes | Raw:
        try:
            done = await self._journals.claim(self._journal, name)
        except OutcomeUnknown:
            self._unsure = True
            raise
        except StoreError as problem:
            self._unsure = True
            raise self._journals.failed(problem) from problem
        if done is not None:
            return done
        try:
            data = await produce()
        except Exception as problem:
            try:
                await self._journals.fail(self._journal, name, type(problem).__name__)
            except StoreError as failure:  # it stays claimed then, which says as much
                log.warning("that the step %r failed could not be kept: %s", name, failure)
            raise
        try:
            await self._journals.record(self._journal, name, data)
        except StoreError as problem:
            log.warning("what came of the step %r could not be kept: %s", name, problem)
            self._unsure = True
            raise OutcomeUnknown(
                name, "it came to its end, and the store could not take what came of it"
            ) from problem
        return data

    async def _begin(self, durable: DurableCall, name: str) -> None:
        """Record that a step is begun, for as long as its result will be. Raises `OutcomeUnknown` if it was before."""
        if _BEGUN + name in durable.steps:
            raise OutcomeUnknown(name, "it was begun before, and failed or was cut short")
        await durable.record(_BEGUN + name, b"null")

    # Closing

    def _stir(self, turns: int = QUIET) -> None:
        """Something went on: if questions are parked, wait for quiet from here."""
        self._quiet = max(self._quiet, turns)
        if self._parked and not self._running and not self._watched and self._loop is not None:
            self._watched = True
            self._loop.call_soon(self._watch)

    def _watch(self) -> None:
        if self._loop is None or self.closed or not self._parked or self._running:
            self._watched = False
            return
        self._quiet -= 1
        if self._quiet > 0:
            self._loop.call_soon(self._watch)
        else:
            self._watched = False
            self._close()

    def _close(self) -> None:
        self.closed = True
        self._closed_with = dict(self._open)
        own = self._body
        waits_elsewhere = own is not None and own not in self._parked.values() and own is not _current()
        self._release()
        if own is not None and waits_elsewhere and not own.done():
            own.cancel()
            self._pressing = self.pressed = True
            asyncio.get_running_loop().call_soon(self.relax)

    def relax(self) -> None:
        """Take back our own request to cancel the body, once it has been delivered: what is left is others'."""
        if self._pressing and self._body is not None:
            self._pressing = False
            self._body.uncancel()

    def abandon(self) -> None:
        """The body is done. Questions that it left behind in tasks of theirs end."""
        if not self.closed:
            self.closed = True
            self._release()

    def _release(self) -> None:
        for place in self._parked:
            if not place.done():
                place.set_result(None)

    async def outcome(self) -> InputRequired:
        """What the call is answered with when the round has closed.

        Raises `JournalTooLarge`, and `InternalError` where the store has no room or does not answer.
        """
        journal, journals = self._journal, self._journals
        requests = journal.close_round(self._open)
        if self._durable is not None:
            return rounds.required(requests, self.kept())
        try:
            if self._policy.single_use and not self._replayed:
                journals.assign(journal, self._channel)
                await journals.redemptions.begin(journal)
            received = self._received
            state = journals.seal(journal, received.binding)
            if state is None:
                state = await journals.seal_away(
                    journal, received.binding, self._channel, before=received.before
                )
        except StoreError as problem:
            raise journals.failed(problem) from problem
        return rounds.required(requests, state)

    def kept(self) -> str:
        """The journal as a call that outlives its requests keeps it: without the steps that are recorded already. What
        was done before there was such a call is recorded nowhere else. Raises `ToolError`.
        """
        journal = self._journal
        if journal.round >= rounds.MAX_DURABLE_ROUNDS:
            raise ToolError(f"the call asked {rounds.MAX_DURABLE_ROUNDS} times without coming to an end")
        steps = journal.steps if self._durable is None else dict(self._carried)
        data = codec.encode(replace(journal, steps=steps))
        if len(data) > MAX_JOURNAL:
            raise JournalTooLarge(MAX_JOURNAL)
        return data.decode()

    # Calls whose state counts once

    async def redeem(self) -> bytes | None:
        """Use the state that came: None for a call that is to run, the reply if the same request was answered before.

        Raises `InvalidParams` for state that was used by another request, and what `Redemptions.redeem` does.
        """
        redeeming = self._received.redemption
        if redeeming is None:
            return None
        try:
            return await self._journals.redemptions.redeem(redeeming)
        except StoreError as problem:
            raise self._journals.failed(problem) from problem

    async def keep(self, reply: bytes) -> bytes:
        """Keep the reply of a call whose state was redeemed; gives the one that counts.

        One that was given not knowing what came of a step is not kept: whoever is at that step may yet give another, or
        the store may answer the next time.
        """
        redeeming = self._received.redemption
        if redeeming is None or self._unsure:
            return reply
        return await self._journals.redemptions.keep(redeeming, reply)


def ends_round(problem: BaseException) -> bool:
    """Whether this is what closing a round raises, alone or in groups. In a group, beside it, a failure may stand that
    was on its way when the round closed: the next run comes to it again. One that was made of the end swallowed it.
    """
    if isinstance(problem, Suspend):
        return True
    parts = list(_leaves(problem))
    others = [each for each in parts if not isinstance(each, (Suspend, asyncio.CancelledError))]
    return len(others) < len(parts) and not any(map(_made_of_end, others))


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", problem).exceptions:
            yield from _leaves(each)
    else:
        yield problem


def _made_of_end(problem: BaseException) -> bool:
    """Whether an exception was raised while the end of the round was handled."""
    before: BaseException | None = problem
    for _ in range(_CHAIN):
        before = before.__cause__ or before.__context__
        if before is None:
            return False
        if any(isinstance(each, Suspend) for each in _leaves(before)):
            return True
    return True


def _retry(call: Call) -> RetryParams:
    if not isinstance(call.params, RetryParams):
        raise LocalProtocolError(f"{call.method} can't be answered with questions")
    return call.params


def _current() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _seen(task: "asyncio.Task[object]") -> None:
    """Nobody may be waiting for a task that ended with its round: that is no lost error."""
    if not task.cancelled():
        task.exception()
