"""What is set off when a request is slow, and one timer for all requests that might be.

A request that is answered within a few milliseconds meets nothing of this but its name in a set: `RequestTicker` ticks
as long as there are requests, and tells those that were already there at the tick before. When a request is told
while its body is still arriving, the body gets a deadline. When it is told while a call of the stateless era
runs, a task begins to wait for the client's departure, which cancels the call at once; a call of the stateful era,
which no departure ends, is told itself. Specification: 2026-07-28 basic/transports/streamable-http "Cancellation".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from .answering import Receive

_BODY: Final = 0
_BETWEEN: Final = 1
_CALL: Final = 2
_ANSWER: Final = 3
_OVER: Final = 4


class RequestTicker:
    """Tells each of its watches once, when it has been there for ``interval`` seconds, or up to twice as long.
    ``lasting`` is told then as well. ``waiting``: the slow calls that a departure would cancel; ``evicted``: those that
    the end of the server did.
    """

    def __init__(self, interval: float) -> None:
        self.lasting: Callable[[], None] | None = None
        self.waiting: set[RequestWatch] = set()
        self.evicted: set[RequestWatch] = set()
        self._interval = interval
        self._loop: asyncio.AbstractEventLoop | None = None
        self._young: set[RequestWatch] = set()
        self._old: set[RequestWatch] = set()

    def join(self, watch: RequestWatch, loop: asyncio.AbstractEventLoop) -> None:
        """Tell this one, unless it parts before."""
        if self._loop is not loop:  # nothing ticks, or it ticked on a loop that is gone
            self._loop = loop
            self._old.clear()
            self._young.clear()
            loop.call_later(self._interval, self._tick, loop)
        self._young.add(watch)

    def part(self, watch: RequestWatch) -> None:
        """Do not tell this one any more."""
        self._young.discard(watch)
        self._old.discard(watch)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        slow, self._old, self._young = self._old, self._young, set()
        if slow or self._old:
            loop.call_later(self._interval, self._tick, loop)
        else:
            self._loop = None
        for watch in slow:
            watch.slow()
        if slow and self.lasting is not None:
            self.lasting()

    def evict(self) -> None:
        """Cancel the calls that still run: the server ends."""
        for watch in {*self.waiting, *self._young, *self._old}:
            watch.evict()


class RequestWatch:
    """Watches one request, in the task that the ASGI server made for it. Times are in seconds."""

    __slots__ = (
        "_body_timeout",
        "_deadline",
        "_late",
        "_phase",
        "_pulse",
        "_receive",
        "_task",
        "_is_slow",
        "_watcher",
        "_when_slow",
        "gone",
        "loop",
    )

    def __init__(
        self, receive: Receive, pulse: RequestTicker, body_timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.loop = loop
        task: Any = asyncio.current_task(loop)
        self._task: asyncio.Task[Any] = task
        self._receive = receive
        self._pulse = pulse
        self._body_timeout = body_timeout
        self._phase = _BODY
        self._late = self._is_slow = False
        self._deadline: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._when_slow: Callable[[], None] | None = None
        self.gone = False
        pulse.join(self, loop)

    def body_read(self) -> None:
        """The body is there: its deadline no longer counts."""
        self._phase = _BETWEEN
        if self._deadline is not None:
            self._deadline.cancel()

    def call_begins(self) -> None:
        """From now on the client's departure cancels the task."""
        self._phase = _CALL
        if self._is_slow:
            self._pulse.join(self, self.loop)

    def answer_awaited(self, when_slow: Callable[[], None]) -> None:
        """From now on something runs in a task of its own; say when that is slow."""
        self._phase = _ANSWER
        self._when_slow = when_slow
        if self._is_slow:
            self._pulse.join(self, self.loop)

    def close(self) -> None:
        """Watch no longer. Idempotent."""
        if self._phase == _OVER:
            return
        self._phase = _OVER
        self._when_slow = None
        self._pulse.part(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # a task that was cancelled knows where, and so this one

    def leave(self) -> None:
        """The client is as good as gone: cancel the call."""
        if self._phase == _CALL and not self.gone:
            self.gone = True
            self._task.cancel()

    def take_gone(self) -> bool:
        """Whether a cancellation was the client's departure; the task is then no longer being cancelled."""
        if self.gone:
            self._task.uncancel()
        return self.gone

    def evict(self) -> None:
        """The server is at its end: cancel the call; its client is still to be answered."""
        if self._phase == _CALL and not self.gone:
            self._pulse.evicted.add(self)
            self._task.cancel()

    @property
    def evicted(self) -> bool:
        """Whether the server's end cancels the call."""
        return self in self._pulse.evicted

    def take_evicted(self) -> bool:
        """Whether a cancellation was the server's end; the task is then no longer being cancelled."""
        if not self.evicted:
            return False
        self._pulse.evicted.discard(self)
        self._task.uncancel()
        return True

    def take_late(self) -> bool:
        """Whether a cancellation was the body's deadline; the task is then no longer being cancelled."""
        if self._late:
            self._task.uncancel()
        return self._late

    def slow(self) -> None:
        """What `RequestTicker` says of a request that is not over yet."""
        self._is_slow = True
        if self._phase == _BODY:
            self._deadline = self.loop.call_later(self._body_timeout, self._expire)
        elif self._phase == _CALL:
            self._watcher = self.loop.create_task(self._wait_for_departure())
        elif self._phase == _ANSWER and self._when_slow is not None:
            self._when_slow()

    def _expire(self) -> None:
        if self._phase == _BODY:
            self._late = True
            self._task.cancel()

    async def _wait_for_departure(self) -> None:
        self._pulse.waiting.add(self)
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        finally:
            self._pulse.waiting.discard(self)
        self.leave()
