"""One timer per request, and what it sets off when a request is slow.

A request that is answered within a few milliseconds meets nothing of this but a timer made and cancelled.
When the timer fires while the body is still arriving, it becomes the body's deadline. When it fires while a
call of the stateless era runs, a task begins to wait for the client's departure, which cancels the call at
once. Specification: 2026-07-28 basic/transports/streamable-http "Cancellation".
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from .answering import Receive

_BODY: Final = 0
_CALL: Final = 1
_OVER: Final = 2


class Watch:
    """Watches one request, in the task that the ASGI server made for it. Times are in seconds."""

    __slots__ = (
        "_body_timeout",
        "_deadline",
        "_late",
        "_loop",
        "_phase",
        "_receive",
        "_slow_after",
        "_task",
        "_timer",
        "_watcher",
        "gone",
    )

    def __init__(self, receive: Receive, slow_after: float, body_timeout: float) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._slow_after = slow_after
        self._body_timeout = body_timeout
        self._phase = _BODY
        self._late = False
        self._deadline = False
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(slow_after, self._slow)
        self.gone = False

    def body_read(self) -> None:
        """The body is there: its deadline no longer counts."""
        self._phase = _OVER

    def call_begins(self) -> None:
        """From now on the client's departure cancels the task."""
        self._phase = _CALL
        if self._timer is None or self._deadline:
            self._disarm()
            self._deadline = False
            self._timer = self._loop.call_later(self._slow_after, self._slow)

    def close(self) -> None:
        """Watch no longer. Idempotent."""
        self._phase = _OVER
        self._disarm()
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

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

    def take_late(self) -> bool:
        """Whether a cancellation was the body's deadline; the task is then no longer being cancelled."""
        if self._late:
            self._task.uncancel()
        return self._late

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _slow(self) -> None:
        self._timer = None
        if self._phase == _BODY:
            self._deadline = True
            self._timer = self._loop.call_later(self._body_timeout, self._expire)
        elif self._phase == _CALL:
            self._watcher = self._loop.create_task(self._wait_for_departure())

    def _expire(self) -> None:
        self._timer = None
        if self._phase == _BODY:
            self._late = True
            self._task.cancel()

    async def _wait_for_departure(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()
