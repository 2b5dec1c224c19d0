"""A function with a deadline, run in a task of its own.

Who waits for it is another task, which answers in time whatever the function does: one that swallows its cancellation
goes on, and nobody waits for it any more. What its dependencies leave to be done after the answer is done by the task
that entered them, since task groups and cancel scopes must be left where they were entered.

Specification: none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..logs import get_logger

__all__ = ["DetachedRun"]

log = get_logger("dovetail.server")


class DetachedRun:
    """One run. ``clean_ups``: what is to be done after the answer, the last first."""

    def __init__(self) -> None:
        self.clean_ups: list[Callable[[], Awaitable[None]]] = []
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered = asyncio.Event()
        self._value: Any = None
        self._problem: BaseException | None = None

    async def run(self, running: Awaitable[Any], begins: Callable[[], None]) -> None:
        """What the task does. ``begins`` is called in it first. Raises nothing of what the function raises."""
        try:
            begins()
            self._value = await running
        except BaseException as problem:  # noqa: BLE001 - raised by `result`; in a task some would end the loop
            self._problem = problem
        finally:
            self._outcome.set_result(None)
        if self.clean_ups:
            await self._answered.wait()
        while self.clean_ups:
            try:
                await self.clean_ups.pop()()
            except Exception:
                log.exception("cleaning up after a call failed")

    async def over(self, task: asyncio.Task[None], limit: float) -> bool:
        """Wait for the function, at most so many seconds; False when it goes on. Who waits may be cancelled: then the
        function is, and is waited for.
        """
        left: float | None = limit
        while not self._outcome.done():
            try:
                await asyncio.wait((self._outcome,), timeout=left)
            except asyncio.CancelledError:
                left = None
                task.cancel()
                continue
            if left is not None and not self._outcome.done():
                self._answered.set()
                return False
        return True

    async def clean_up(self, task: asyncio.Task[None]) -> None:
        """The call was answered: do what was left for that time."""
        self._answered.set()
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            raise

    def result(self) -> Any:
        """What the function gave. Raises what it raised. To be asked for once."""
        problem, self._problem = self._problem, None
        try:
            if problem is not None:
                raise problem
        finally:
            del problem  # it knows this frame: with it, the call would stay until the collector comes
        return self._value
