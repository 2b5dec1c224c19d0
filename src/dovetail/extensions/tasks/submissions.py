"""Tells an engine of the tasks that are due, and again of those that it may have lost.

Theory of operation. A task is a record first, and then submitted: the process may die between the two, the engine may
not take it, and what ran it may die. So all tasks that are due by the store, and nobody holds, are submitted once more
as lost when a server begins, and twice in the time of a lease. An engine that has a task still leaves it at that.

Specification: none; see `engine`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from dovetail.security import get_logger
from dovetail.stores import StoreError, TaskRecord

from .engine import DueTask, SubmitTask
from .runner import ServerTaskRunner
from .server_tasks import ServerTasks, key_of

log = get_logger("dovetail.tasks")

SWEPT: Final = 100
"""Tasks of one queue that one sweep submits: those that are due for longest."""

NEXT: Final = 2
"""Tasks that are submitted when one of a full queue has ended: two may end at once, and see the same one waiting."""


class Submissions:
    """What a server submits to its engine."""

    def __init__(self, tasks: ServerTasks, runner: ServerTaskRunner, submit: SubmitTask) -> None:
        self._tasks = tasks
        self._runner = runner
        self._submit = submit

    async def submit(self, record: TaskRecord) -> None:
        """Submit a task that became due."""
        at = time.time() if record.due is None else record.due
        await self._give(DueTask(record.id, key_of(record.id), record.queue, at))

    async def next_of(self, queue: str) -> None:
        """One more of a queue may run: submit those that are due for longest. They were brought before, and found no
        room.
        """
        try:
            due = await self._tasks.tasks.due(queue, limit=NEXT)
        except StoreError as problem:
            log.warning("the store can't say which task is next, and the next sweep finds it: %s", problem)
            return
        for id in due:
            await self._give(DueTask(id, key_of(id), queue, time.time(), lost=True))

    @asynccontextmanager
    async def sweeping(self) -> AsyncGenerator[None]:
        """Submit again what may have been lost, as long as this lasts."""
        sweeping = asyncio.create_task(self._sweep(), name="dovetail-task-sweep")
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            for queue in self._runner.queues:
                try:
                    due = await self._tasks.tasks.due(queue, limit=SWEPT)
                except StoreError as problem:
                    log.warning("the store can't say which tasks are due, and is asked again: %s", problem)
                    break
                for id in due:
                    await self._give(DueTask(id, key_of(id), queue, time.time(), lost=True))
            await asyncio.sleep(self._runner.lease / 2)

    async def _give(self, due: DueTask) -> None:
        """Give a task to the engine. One that is not taken is kept all the same, and given again by a sweep."""
        try:
            await self._submit(due)
        except Exception:
            log.exception("the engine did not take a task of %s; it is submitted again", due.queue)


__all__ = ["SWEPT", "Submissions"]
