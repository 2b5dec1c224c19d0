"""Calls that are made again on the server, where that does no harm.

Theory of operation. What failed may be made again if it changes nothing, or the same thing however often it is done: a
tool that says so of itself (read-only or idempotent), a resource, a prompt, a completion. Any other tool may have done
half of its work; it is made again only where it raises a `ToolError` that says ``retry_safe``.

And only what may pass by itself is tried again: losses of connections, times that were too short, and what the author
names. That an argument is wrong stays so. Each pause is a random part of twice the one before, so that calls that
failed together do not come together again.

A call during which the client was asked something is not made again: a person would be asked twice. Nor is one of a
task, which has its own ``retries``. Progress that was told goes on from where it was: what is not beyond it is not told
again (basic/patterns/progress: it MUST increase).

Specification: none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable
from typing import Any, Final

from msgspec.structs import replace

from dovetail.errors import StoreError, ToolError, TransportError
from dovetail.extensions import Call, Channel, Encoded, Handler, Result
from dovetail.logs import get_logger
from dovetail.types import (
    DECODE_ERRORS,
    CallToolParams,
    CallToolResult,
    CompleteParams,
    GetPromptParams,
    ReadResourceParams,
    decode,
)

from .failures import Failures
from .questions import HeardQuestions
from .results import methods_with
from .serving import AppMiddleware

__all__ = ["Retries"]

log: Final = get_logger("dovetail.server")
_PROGRESS: Final = b"/progress"
#: What may pass by itself. A `TimeoutError` and all losses of connections are an OSError.
_PASSING: Final = (OSError, TransportError, StoreError)


class Retries(AppMiddleware):
    """Makes calls again that failed and may be: ``App(middleware=[Retries(3)])``.

    ``attempts``: how often a call is made at most (3). ``on``: exceptions after which it is worth it (default: OSError,
    `TransportError`, `StoreError`: what comes of networks and files). ``backoff``: seconds of the first pause at most,
    twice as many for each further one (0.1). ``within``: seconds after which no attempt begins (10); each attempt has
    the tool's own ``timeout``. Tools are tried again if they say that they are read-only or idempotent; all others
    after a `ToolError` with ``retry_safe`` alone. Raises ValueError for what can't be.
    """

    methods = methods_with(CallToolParams, ReadResourceParams, GetPromptParams, CompleteParams)

    def __init__(
        self,
        attempts: int = 3,
        *,
        on: tuple[type[Exception], ...] = _PASSING,
        backoff: float = 0.1,
        within: float = 10.0,
    ) -> None:
        super().__init__()
        if attempts < 1 or backoff < 0 or within < 0:
            raise ValueError("Retries makes at least 1 attempt, and backoff and within are no negative times")
        self._attempts = attempts
        self._on = on
        self._backoff = backoff
        self._within = within

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`."""
        if channel.durable is not None or self._attempts == 1:
            return handler(call, channel)
        return self._insist(call, channel, handler)

    async def _insist(self, call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        end = time.monotonic() + self._within
        pause = self._backoff
        with (
            HeardQuestions(channel) as questions,
            _ToldProgress(channel) as told,
            Failures(channel) as failures,
        ):
            for _ in range(1, self._attempts):
                failures.last = None
                latest = end - pause
                try:
                    # What is large in a request is let go of once it was read: each attempt has its own.
                    result = await handler(replace(call, params=replace(call.params)), channel)
                    failed = failures.last if isinstance(result, CallToolResult) and result.is_error else None
                    if failed is None or questions.asked or not self._goes_on(call, failed, latest):
                        return result
                except Exception as problem:
                    failed = failures.last or problem
                    if questions.asked or not self._goes_on(call, failed, latest):
                        raise
                log.info("%s failed with %s, and is tried again", call.method, type(failed).__name__)
                await asyncio.sleep(random.SystemRandom().uniform(0.5, 1.0) * pause)  # spreads attempts
                pause *= 2
                told.again()
            return await handler(call, channel)

    def _goes_on(self, call: Call, failed: Exception, latest: float) -> bool:
        """Whether a call that failed so may be made again, is in time for it, and might do better."""
        if time.monotonic() > latest:
            return False
        if isinstance(failed, ToolError) and failed.retry_safe:
            return True
        return isinstance(failed, self._on) and self._is_harmless(call)

    def _is_harmless(self, call: Call) -> bool:
        """Whether to make a call twice is as to make it once."""
        params = call.params
        if not isinstance(params, CallToolParams):
            return True
        served = None if self.serving is None else self.serving.find_tool(params.name)
        hints = None if served is None else served.tool.annotations
        return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


class _ToldProgress:
    """What a client was told of the progress of a call so far, while it is entered."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._repeated = False
        self._reached: float | None = None
        self._before = {name: vars(channel)[name] for name in ("tell", "emit") if name in vars(channel)}
        self._tell, self._emit = channel.tell, channel.emit

    def __enter__(self) -> _ToldProgress:
        vars(self._channel).update(tell=self._telling, emit=self._emitting)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("tell", "emit"):
            vars(self._channel).pop(name, None)
        vars(self._channel).update(self._before)  # of another one of these around it

    def again(self) -> None:
        """Another attempt begins."""
        self._repeated = True

    def _telling(self, message: bytes) -> bool:
        reached = _progress_in(message)
        if self._is_old(reached):
            return True
        told = self._tell(message)
        if told:
            self._note(reached)
        return told

    async def _emitting(self, message: bytes) -> None:
        reached = _progress_in(message)
        if not self._is_old(reached):
            self._note(reached)
            await self._emit(message)

    def _is_old(self, reached: float | None) -> bool:
        """Whether a notification tells of progress that is not beyond what an attempt before told."""
        before = self._reached
        return self._repeated and reached is not None and before is not None and reached <= before

    def _note(self, reached: float | None) -> None:
        if reached is not None:
            self._reached = reached if self._reached is None else max(self._reached, reached)


def _progress_in(message: bytes) -> float | None:
    """How far the work is, by a notification; None if it tells of something else."""
    if _PROGRESS not in message[:100]:
        return None
    try:
        reached: Any = decode(message)["params"]["progress"]
    except (*DECODE_ERRORS, KeyError, TypeError):
        return None
    return float(reached) if isinstance(reached, (int, float)) else None
