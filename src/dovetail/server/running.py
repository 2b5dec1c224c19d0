"""Running an author's function for one call: slots filled, threads for sync functions, a deadline, a
round's end.

Every kind of entry (tool, resource, prompt, completer) runs its function through a `Runner`.
"""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, Final

from ..protocol.call import Call
from ..protocol.errors import InternalError, ToolError
from ..protocol.types import InputRequired, RetryParams
from ..runtime.channel import Channel
from ..runtime.rounds import Rounds, Suspend
from .context import Context
from .injection import Injector
from .signature import Plan

log = logging.getLogger("dovetail.server")


class TimedOut(ToolError):
    """An author's function took longer than it may."""


class Workshop:
    """What all runners of an app share: the threads for sync functions, the app's state, the opener of
    rounds.
    """

    def __init__(self, *, threads: int, open_rounds: Callable[[Call, Channel], Rounds]) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._open_rounds = open_rounds
        self.state: Any = None
        self.overrides: dict[Any, Callable[..., Any]] = {}

    def context(self, call: Call, channel: Channel) -> Context:
        """The context of a call. A call that brings back state has it checked here. Raises `InvalidParams`."""
        params = call.params
        may_ask = call.profile.stateless and isinstance(params, RetryParams)
        context = Context(call, channel, state=self.state, open_rounds=self._open_rounds if may_ask else None)
        if isinstance(params, RetryParams) and params.request_state is not None and may_ask:
            _ = context.rounds
        return context

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a sync function in the pool, with the caller's context variables."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dovetail")
        bound = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: bound.run(_contained, call))

    def close(self) -> None:
        """Let the threads go; running ones finish by themselves."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class Runner:
    """Runs one function. ``timeout`` in seconds, None for no limit of its own."""

    def __init__(self, plan: Plan, workshop: Workshop, *, timeout: float | None = None) -> None:
        self.plan = plan
        self._workshop = workshop
        self._timeout: Final = timeout
        self._injector = Injector(plan, overrides=workshop.overrides)
        self._direct = plan.is_async and not plan.slots and timeout is None

    async def run(self, call: Call, channel: Channel, values: tuple[Any, ...]) -> Any:
        """The function's result, or the `InputRequired` that a question ended the round with.

        Raises what the function raises, `TimedOut`, and `InvalidParams` for state that is not valid here.
        """
        if self._direct and getattr(call.params, "request_state", None) is None:
            return await self.plan.invoke(values, ())
        context = self._workshop.context(call, channel)
        try:
            value = await self._in_time(context, values)
        except Suspend:
            return _ended(context)
        except BaseExceptionGroup as group:
            if context.suspended is not None and group.subgroup(Suspend) is not None:
                return _ended(context)
            raise
        if context.suspended is not None:
            log.error(
                "%s asked a question, and the end of the round was swallowed: let Suspend, a BaseException, pass",
                self.plan.name,
            )
            raise InternalError("the server failed while it handled the request")
        return value

    async def _in_time(self, context: Context, values: tuple[Any, ...]) -> Any:
        if self._timeout is None:
            return await self._filled(context, values)
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._filled(context, values)
        except TimeoutError:
            if limit.expired():
                raise TimedOut(f"{self.plan.name} took longer than {self._timeout:g} seconds") from None
            raise

    async def _filled(self, context: Context, values: tuple[Any, ...]) -> Any:
        if self._injector.trivial:
            return await self._invoke(values, self._injector.fill_at_once(context))
        async with AsyncExitStack() as stack:
            arguments = {each.name: value for each, value in zip(self.plan.inputs, values, strict=True)}
            filled = await self._injector.fill(context, stack, arguments, {})
            return await self._invoke(values, filled)

    async def _invoke(self, values: tuple[Any, ...], filled: tuple[Any, ...]) -> Any:
        if self.plan.is_async:
            return await self.plan.invoke(values, filled)
        value = await self._workshop.in_thread(lambda: self.plan.invoke(values, filled))
        return await value if inspect.isawaitable(value) else value


def _contained(call: Callable[[], Any]) -> Any:
    """A call's result. A future can't carry StopIteration (before Python 3.12 it would never end)."""
    try:
        return call()
    except StopIteration as problem:
        raise RuntimeError("the function raised StopIteration") from problem


def _ended(context: Context) -> InputRequired:
    outcome = context.suspended
    if outcome is None:
        raise InternalError("the server failed while it handled the request")
    return outcome
