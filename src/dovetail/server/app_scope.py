"""Dependencies that live as long as the app: made when first needed, one for all calls, cleaned up when the app ends.

Theory of operation. Each has a task of its own, which makes it, waits for the end and cleans up: so whatever it holds
(a task group, a timeout, a connection bound to its task) is left by the task that entered it, and no call's
cancellation or context variables get into it. Calls that need it at the same time wait for the same one. One that
fails to be made fails those calls, and the next call tries again. They end in the reverse order of their making. On
another event loop everything is made anew.

Specification: none.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from ..logs import get_logger

log = get_logger("dovetail.server")

Make = Callable[[AsyncExitStack], Awaitable[Any]]


class _AppDependency:
    """One dependency: its value, what ends it, and the task that holds it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.value: asyncio.Future[Any] = loop.create_future()
        self.ending = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class AppScope:
    """The dependencies of one app, by provider."""

    def __init__(self) -> None:
        self._kept: dict[Any, _AppDependency] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def value(self, provider: Any, make: Make) -> Any:
        """The one value of a provider. Raises what making it raises."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._kept, self._loop = {}, loop
        kept = self._kept.get(provider)
        if kept is None:
            kept = self._kept[provider] = _AppDependency(loop)
            kept.task = loop.create_task(self._hold(provider, kept, make), context=contextvars.Context())
        return await asyncio.shield(kept.value)

    async def close(self) -> None:
        """End everything, the newest first. What fails in cleaning up is logged."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a loop that nobody stopped is gone, and with it the tasks that hold everything
            return
        if self._loop is not loop:
            return
        while self._kept:
            _, kept = self._kept.popitem()
            kept.ending.set()
            if kept.task is not None:
                if not kept.value.done():
                    kept.task.cancel()
                await asyncio.wait([kept.task])

    async def _hold(self, provider: Any, kept: _AppDependency, make: Make) -> None:
        try:
            async with AsyncExitStack() as stack:
                value = await make(stack)
                if self._kept.get(provider) is kept:
                    self._kept[provider] = self._kept.pop(provider)  # behind what it needed itself
                kept.value.set_result(value)
                await kept.ending.wait()
        except asyncio.CancelledError:
            kept.value.cancel()
            raise
        except Exception as problem:
            if kept.value.done():
                log.exception("cleaning up %r failed", provider)
                return
            if self._kept.get(provider) is kept:
                del self._kept[provider]
            kept.value.set_exception(problem)
            kept.value.exception()  # whoever waited may be gone: it is told, not lost
