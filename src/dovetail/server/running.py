"""Running an author's function for one call: slots filled, threads for sync functions, a deadline, a
round's end.

Every kind of entry (tool, resource, prompt, completer) runs its function through a `Runner`.
"""

import asyncio
import contextvars
import copy
import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final, TypeVar, cast

from ..logs import get_logger
from ..protocol import codec, names
from ..protocol.call import Call
from ..protocol.errors import (
    Declined,
    Dismissed,
    InternalError,
    RPCError,
    ToolError,
    URLElicitationRequired,
    in_seconds,
)
from ..protocol.types import InputRequired, Result, RetryParams
from ..runtime.beginning import task_maker
from ..runtime.channel import Channel
from ..runtime.dispatch import answers
from ..runtime.journals import Journals
from ..runtime.rounds import Diverged, Rounds, Suspend, UsePolicy, ends_round
from .app_scope import AppScope
from .context import Context, begins, clean_ups_of, demand_visits, opened_rounds, reached_body, run_apart
from .injection import Injector
from .signature import Plan
from .threads import Threads

R = TypeVar("R", bound=Result)

log = get_logger("dovetail.server")

_SINGLE_USE: Final = UsePolicy(single_use=True)

OBEDIENCE: Final = 1.0
"""Seconds that a function has to end once it was cancelled at its deadline; then its caller is answered without it."""
MOST_DEFIANT: Final = 32
"""Calls of one function that may go on like that; beyond them it is not run."""


class Ambience:
    """``used``: somebody may ask which call runs, by `current_context`."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = False


AMBIENCE: Final = Ambience()


class TimedOut(ToolError):
    """An author's function took longer than its ``timeout``, or the app's; the model is told so. Allow it more, or
    do less.
    """


class RunnerState:
    """What all runners of an app share: the threads for sync functions, the app's state, the journals of rounds.

    ``journals`` gives it, when first needed. ``replay_check``: run each
    body that asks a second time, see that it asks the same, and fail if not.
    """

    def __init__(self, *, threads: int, journals: Callable[[], Journals], replay_check: bool = False) -> None:
        self._threads = threads
        self._pool: Threads | None = None
        self._slots: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._journals = journals
        self.replay_check = replay_check
        self.state: Any = None
        self.overrides: dict[Any, Callable[..., Any]] = {}
        self.app_scope = AppScope()

    async def context(self, call: Call, channel: Channel, policy: UsePolicy) -> Context:
        """The context of a call, to be made by the task of the body. Raises `InvalidParams` for state that is not
        valid here.
        """
        fresh = self.fresh_context(call, channel, policy)
        if fresh is not None:
            return fresh
        resumed = await Rounds.resume(self._journals(), call, channel, policy=policy)
        return Context(call, channel, state=self.state, rounds=resumed)

    def fresh_context(self, call: Call, channel: Channel, policy: UsePolicy) -> Context | None:
        """The same for a call that brings no state which has to be opened; None for one that does."""
        params = call.params
        if channel.durable is not None and isinstance(params, RetryParams):
            reopened = Rounds.reopen(self._journals(), call, channel, channel.durable, policy=policy)
            return Context(call, channel, state=self.state, rounds=reopened)
        if not (call.profile.stateless and isinstance(params, RetryParams)):
            return Context(call, channel, state=self.state)
        if params.request_state is not None:
            return None
        begin = self._begin_single_use if policy.single_use else self._begin
        return Context(call, channel, state=self.state, begin=begin)

    def _begin(self, call: Call, channel: Channel, body: Any) -> Rounds:
        return Rounds.begin(self._journals(), call, channel, body=body)

    def _begin_single_use(self, call: Call, channel: Channel, body: Any) -> Rounds:
        return Rounds.begin(self._journals(), call, channel, body=body, policy=_SINGLE_USE)

    async def in_thread(self, name: str, call: Callable[[], Any]) -> Any:
        """Run a sync function in the pool, under a name for people, with the caller's context variables."""
        if self._pool is None:
            self._pool = Threads(self._threads)
        bound, loop = contextvars.copy_context(), asyncio.get_running_loop()
        if self._slots is None or self._slots[0] is not loop:
            self._slots = (loop, asyncio.Semaphore(self._threads))
        pool, slots = self._pool, self._slots[1]
        # Calls wait here and not in the pool's queue, where a cancelled one would stay until a thread came by.
        await slots.acquire()
        future = pool.submit(name, lambda: bound.run(_contained, call))
        future.add_done_callback(lambda _: _quietly(loop, slots.release))
        return await asyncio.wrap_future(future)

    async def end(self) -> None:
        """Clean up what belongs to the app, and let the threads go."""
        try:
            await self.app_scope.close()
        finally:
            self.close()

    def close(self) -> None:
        """Let the threads go; running ones finish by themselves."""
        if self._pool is not None:
            self._pool.close()
            self._pool = self._slots = None


class Runner:
    """Runs one function. ``timeout`` in seconds, None for no limit of its own. ``single_use``: each state of a call
    counts once; ``once``: so does each step.
    """

    def __init__(
        self,
        plan: Plan,
        runner_state: RunnerState,
        *,
        timeout: float | None = None,
        single_use: bool = False,
        once: bool = False,
    ) -> None:
        self.plan = plan
        self.policy: Final = UsePolicy(single_use=single_use or once, once=once)
        self._runner_state = runner_state
        self._timeout: Final = timeout
        self._injector = Injector(plan, app=runner_state.app_scope, overrides=runner_state.overrides)
        #: The function can be called at once: nothing is to be waited for before, and nothing cleaned up after.
        self._defiant: set[asyncio.Task[None]] = set()
        self._simple: Final = plan.is_async and self._injector.trivial and timeout is None
        self._direct = self._simple and not plan.slots

    @property
    def asks_first(self) -> bool:
        """Whether something is asked before the function is called."""
        return self._injector.asks

    @property
    def checked(self) -> bool:
        """Whether the replay check is on."""
        return self._runner_state.replay_check

    def context(self, call: Call, channel: Channel) -> Awaitable[Context]:
        """The context for a run, if the caller wants to look at it first. Raises `InvalidParams`."""
        return self._runner_state.context(call, channel, self.policy)

    async def judged(self, call: Call, channel: Channel) -> Context | None:
        """The context of a request that brings state, so that the state is judged first; None for any other. Raises
        `InvalidParams`.
        """
        if getattr(call.params, "request_state", None) is None:
            return None
        return await self.context(call, channel)

    async def redeemed(
        self, context: Context | None, kind: type[R], answer: Callable[[], Awaitable[R | InputRequired]]
    ) -> R | InputRequired:
        """What a call comes to by ``answer``; for a request that was answered before, the reply of then.

        ``context``: of a request that brings state, None for any other. ``kind``: of the result. Raises what ``answer``
        raises, and `InvalidParams` where the state was used by another request.
        """
        rounds = None if context is None else opened_rounds(context)
        if rounds is None:
            return await answer()
        reply = await rounds.redeem()
        if reply is None:
            result = await answer()
            own = codec.encode(result)
            reply = await rounds.keep(own)
            if reply is own:
                return result
        asks = codec.reader(Result).read(reply).result_type == names.RESULT_INPUT_REQUIRED
        return codec.reader(InputRequired if asks else kind).keep(reply)

    def run(
        self, call: Call, channel: Channel, values: tuple[Any, ...], context: Context | None = None
    ) -> Awaitable[Any]:
        """The function's result, or the `InputRequired` that a question ended the round with.

        ``context``: if the caller made it already. Raises what the function raises, `TimedOut`, and `InvalidParams`
        for state that is not valid here.
        """
        if (
            self._direct
            and context is None
            and not AMBIENCE.used
            and getattr(call.params, "request_state", None) is None
        ):
            return self.plan.invoke(values, ())
        if self._timeout is None:
            return self._run(call, channel, values, context)
        return self._run_apart(self._timeout, call, channel, values, context)

    async def _run_apart(
        self, timeout: float, call: Call, channel: Channel, values: tuple[Any, ...], context: Context | None
    ) -> Any:
        """Run in a task of its own: so the caller is answered in time also where the function swallows its
        cancellation.
        """
        if len(self._defiant) >= MOST_DEFIANT:
            raise TimedOut(
                f"{self.plan.name} is not run: {MOST_DEFIANT} earlier calls of it go on after their time was up"
            )
        from .detached_run import DetachedRun  # which a server without deadlines starts without

        if context is None:
            context = await self.context(call, channel)
        apart = DetachedRun()
        running = self._run(call, channel, values, context)
        task = task_maker(asyncio.get_running_loop())(
            apart.run(running, partial(run_apart, context, apart.clean_ups))
        )
        if not await apart.over(task, timeout + OBEDIENCE):
            self._defiant.add(task)
            task.add_done_callback(self._defiant.discard)
            log.error(
                "%s has not ended %s after it was cancelled, and goes on; its caller was told that it took longer than "
                "%s. Let asyncio.CancelledError pass",
                self.plan.name,
                in_seconds(OBEDIENCE),
                in_seconds(timeout),
            )
            raise self._too_late(timeout)
        if apart.clean_ups and not channel.later(partial(apart.clean_up, task)):
            await apart.clean_up(task)
        return apart.result()

    def _too_late(self, timeout: float) -> TimedOut:
        return TimedOut(f"{self.plan.name} took longer than {in_seconds(timeout)}")

    async def demanded(self, call: Call, channel: Channel, visits: URLElicitationRequired) -> InputRequired:
        """What answers a call whose function demands visits where there was no context to ask for them. Raises as
        `demand_visits` does, where the revision does not ask in a round.
        """
        context = await self.context(call, channel)
        try:
            await demand_visits(context, visits)
        except Suspend:
            rounds = opened_rounds(context)
            if rounds is None:
                raise
            return await rounds.outcome()
        finally:
            if (opened := opened_rounds(context)) is not None:
                opened.abandon()

    @answers
    async def _run(
        self, call: Call, channel: Channel, values: tuple[Any, ...], context: Context | None
    ) -> Any:
        if context is None:
            context = self._runner_state.fresh_context(call, channel, self.policy)
        if context is None:
            context = await self.context(call, channel)
        checked = self._runner_state.replay_check
        fresh = copy.deepcopy(values) if checked else values
        try:
            try:
                value = await self._begun(context, channel, values)
            except URLElicitationRequired as visits:  # asked for as the revision does it
                await demand_visits(context, visits)
        except BaseException as problem:
            rounds = opened_rounds(context)
            ended = rounds is not None and rounds.closed and ends_round(problem)
            if rounds is not None and rounds.closed:
                rounds.relax()
                if isinstance(problem, asyncio.CancelledError) and not rounds.pressed:
                    raise
                if rounds.suspended and not ended and not isinstance(problem, TimedOut):
                    raise self._swallowed() from problem
            if rounds is None or not ended:
                single = _single(problem)
                if single is None or single is problem:
                    del single  # or the frame and its exception would keep each other, and the arguments
                    raise
                raise single from problem
            if checked:
                await self._rehearse(call, rounds, fresh)
            return await rounds.outcome()
        else:
            rounds = opened_rounds(context)
            if rounds is not None and rounds.closed:
                rounds.relax()
                if rounds.suspended:
                    raise self._swallowed()
            return value
        finally:
            if (opened := opened_rounds(context)) is not None:
                opened.abandon()

    def _swallowed(self) -> InternalError:
        log.error(
            "%s asked a question, and the end of the round was swallowed: let Suspend, a BaseException, pass",
            self.plan.name,
        )
        return InternalError("the server failed while it handled the request")

    async def _rehearse(self, call: Call, first: Rounds, values: tuple[Any, ...]) -> None:
        """Run the body again over the same answers, unheard. Raises `Diverged` if it does not ask the same."""
        second = first.rehearse()
        channel = SilentChannel()
        context = Context(call, channel, state=self._runner_state.state, rounds=second)
        outcome = "it ended without asking"
        try:
            try:
                await self._begun(context, channel, values)
            except URLElicitationRequired as visits:
                await demand_visits(context, visits)
        except BaseException as problem:
            second.relax()
            if not second.closed and isinstance(problem, asyncio.CancelledError):
                raise
            if not ends_round(problem):
                outcome = f"it raised {type(problem).__name__}"
        finally:
            second.abandon()
        if second.diverged is not None:
            outcome = second.diverged
        elif second.questions == first.questions:
            return
        elif second.questions:
            outcome = f"it asked {told(second.questions)}"
            if second.questions.keys() == first.questions.keys():
                outcome = f"it put the questions {told(first.questions)} in other words"
        text = (
            f"{self.plan.name} does not replay: it asked {told(first.questions)}, and when it ran again over the same "
            f"answers, {outcome}. A body runs again from its beginning in each round, so what leads to a question must "
            f"be the same each time: put clocks, random numbers, reads and writes into ctx.step(name, fn)"
        )
        log.error("%s", text)
        raise Diverged(text)

    def _begun(self, context: Context, channel: Channel, values: tuple[Any, ...]) -> Awaitable[Any]:
        """The body, to be awaited at once."""
        if self._simple:
            begins(context)
            body = self.plan.invoke(values, self._injector.fill_at_once(context))
        else:
            body = self._in_time(context, channel, values)
        return _noted(context, body) if AMBIENCE.used else body

    async def _in_time(self, context: Context, channel: Channel, values: tuple[Any, ...]) -> Any:
        if self._timeout is None:
            return await self._filled(context, channel, values)
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._filled(context, channel, values)
        except (TimeoutError, asyncio.CancelledError):
            # Before Python 3.13 a task group that failed leaves a request to cancel behind, and `asyncio.timeout` then
            # lets its own cancellation out.
            if limit.expired():
                raise self._too_late(self._timeout) from None
            raise

    async def _filled(self, context: Context, channel: Channel, values: tuple[Any, ...]) -> Any:
        begins(context)  # after the timer of a deadline was set, which takes a copy of the context along
        if self._injector.trivial:
            return await self._invoke(values, self._injector.fill_at_once(context))
        async with AsyncExitStack() as stack:
            arguments = {each.name: value for each, value in zip(self.plan.inputs, values, strict=True)}
            filled = await self._injector.fill(context, stack, arguments, {})
            if channel.stops_at_body:
                raise reached_body(context)
            value = await self._invoke(values, filled)
            # What failed was thrown into the dependencies; what went well is answered before they clean up.
            clean_ups = clean_ups_of(context)
            if clean_ups is not None:
                clean_ups.append(stack.pop_all().aclose)  # by the task that entered them
            elif channel.tidies:
                channel.later(stack.pop_all().aclose)
            return value

    async def _invoke(self, values: tuple[Any, ...], filled: tuple[Any, ...]) -> Any:
        if self.plan.is_async:
            return await self.plan.invoke(values, filled)
        value = await self._runner_state.in_thread(self.plan.name, lambda: self.plan.invoke(values, filled))
        return await value if inspect.isawaitable(value) else value


def _quietly(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(act)


def _contained(call: Callable[[], Any]) -> Any:
    """A call's result. StopIteration and GeneratorExit mean something else to whoever waits: raised by a future,
    they would end the waiting tasks without an answer.
    """
    try:
        return call()
    except (StopIteration, GeneratorExit) as problem:
        raise RuntimeError(f"the function raised {type(problem).__name__}") from problem


def _single(problem: BaseException) -> Exception | None:
    """What to answer with when tasks of a body failed at once, each with an error that has an answer: the first."""
    if not isinstance(problem, ExceptionGroup):
        return problem if isinstance(problem, (RPCError, ToolError, Declined, Dismissed)) else None
    inner = [_single(each) for each in cast("ExceptionGroup[Exception]", problem).exceptions]
    return inner[0] if all(each is not None for each in inner) else None


class SilentChannel(Channel):
    """The channel of a run that nobody is to hear of."""


def told(questions: Iterable[str]) -> str:
    """The keys of questions, for people."""
    return ", ".join(repr(key) for key in sorted(questions)) or "nothing"


async def _noted(context: Context, body: Awaitable[Any]) -> Any:
    """The body, noted for whoever asks which call runs; see `dovetail.server.ambient`."""
    from .ambient import AmbientCall  # where nobody asks it is not loaded

    running = AmbientCall(context)
    try:
        return await body
    finally:
        running.end()
