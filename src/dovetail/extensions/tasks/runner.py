"""Runs tasks of a server in this process, for whatever engine brings them: claims them, and holds what runs.

Theory of operation. A task that an engine brings is claimed by its id, and runs in a task of asyncio of its own. All
leases are renewed in one move, thrice in the time of a lease. What is no longer ours is stopped: its lease was lost, or
somebody cancelled the task and said so over the bus. When the server ends, what runs is let go of, so that others go on
at once; after a crash they do so when the lease is over. A step that runs once has the time that the end has, for if it
is cut short nobody can tell what became of it.

Our own worker claims several at a time, in the order of the store (`begin_next`).

Specification: none; see `server_tasks`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from dovetail.security import get_logger
from dovetail.stores import StoreError, TaskRecord

from .running import TaskRun
from .server_tasks import ServerTasks

log = get_logger("dovetail.tasks")

AGAIN: Final = 1.0
"""Seconds until what could not be done now is tried again: a store that did not serve, a task for which there was no
room.
"""


class ServerTaskRunner:
    """The `TaskRunner` of a server. ``lease``: seconds after which the tasks of a process that died are others'."""

    def __init__(self, tasks: ServerTasks, *, room: int, lease: float) -> None:
        self._tasks = tasks
        self._room = room
        self._lease = lease
        self._holder = secrets.token_hex(12)
        self._places = asyncio.Semaphore(room)
        self._running: dict[str, tuple[TaskRun, asyncio.Task[None]]] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._ends = False
        self.on_end: Callable[[], None] = _nobody
        """Called when a run has ended."""
        self.on_place: Callable[[str], Awaitable[None]] = _nobody_of
        """Called when one that was brought has ended, with its queue, if no more than so many of that may run."""

    @property
    def server(self) -> str:
        """See `TaskRunner.server`."""
        return self._tasks.serving.name

    @property
    def room(self) -> int:
        """See `TaskRunner.room`."""
        return self._room

    @property
    def lease(self) -> float:
        """See `TaskRunner.lease`."""
        return self._lease

    @property
    def queues(self) -> dict[str, int | None]:
        """See `TaskRunner.queues`."""
        return {
            self._tasks.queue_of(served.tool.name): served.task.concurrency
            for served in self._tasks.serving.tools
            if served.task is not None
        }

    @property
    def free(self) -> int:
        """How many more tasks may run here now."""
        return self._room - len(self._running)

    @asynccontextmanager
    async def holding(self) -> AsyncGenerator[None]:
        """Hold what runs as long as this lasts; then let go of it."""
        self._tasks.on_cancel = self._look
        renewing = asyncio.create_task(self._renew(), name="dovetail-task-leases")
        try:
            yield
        finally:
            self._ends = True
            running = list(self._running.values())
            stopped = [renewing, *(task for _, task in running)]
            for task in stopped:
                task.cancel()
            await asyncio.gather(*stopped, return_exceptions=True)
            for run, _ in running:
                await run.leave()  # one that had not begun; of the others nothing is left

    async def finish(self, seconds: float) -> None:
        """The server is about to end: begin nothing more, and let go of what runs, once steps have ended that run once,
        but after so many seconds in any case.
        """
        self._ends = True
        ending = [asyncio.create_task(_end(*each)) for each in self._running.values()]
        if ending:
            _, late = await asyncio.wait(ending, timeout=seconds)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # What is run

    async def run(self, id: str) -> float | None:
        """See `TaskRunner.run`."""
        if not self._room:
            return AGAIN
        try:
            async with asyncio.timeout(self._lease / 2):
                await self._places.acquire()
        except TimeoutError:
            return AGAIN
        try:
            found = await self._take(id)
            if not isinstance(found, TaskRecord):
                return found
            if self._ends:
                await TaskRun(self._tasks, found, self._holder).leave()
                return AGAIN
            await _ended(self._begin(found))
            if self.queues.get(found.queue) is not None and not self._ends:
                await self.on_place(found.queue)
        except StoreError as problem:
            log.warning("a task could not be claimed, and will be again: %s", problem)
            return AGAIN
        finally:
            self._places.release()
        return None

    async def _take(self, id: str) -> TaskRecord | float | None:
        """Claim a task that an engine brings. Without one, what `run` gives."""
        if self._ends:
            return AGAIN
        if self._runs(id):
            return None
        record = await self._tasks.tasks.load(id)
        if record is None or record.ended or record.due is None:
            return None
        queues = self.queues
        if record.queue not in queues:
            log.warning("a task of %s can't run here: there is no such tool", record.queue)
            return self._lease
        if self._ends:  # since then
            return AGAIN
        claimed = await self._tasks.tasks.claim_one(
            id, self._holder, most=queues[record.queue], lease=self._lease
        )
        if claimed is not None:
            return claimed
        wait = record.due - time.time()
        if wait > 0:
            return wait
        there = await self._tasks.tasks.load(id)
        waits = there is not None and not there.ended and there.due is not None and not there.holder
        # Where its queue has no room, who makes some submits it anew.
        return AGAIN if waits and queues[record.queue] is None else None

    async def begin_next(self, limit: int) -> int:
        """Claim up to ``limit`` tasks, in the order of the store and within all limits, and run them. Gives how
        many were claimed. Raises `StoreError`.
        """
        queues = self.queues
        if not queues or self._ends:
            return 0
        claimed = await self._tasks.tasks.claim(self._holder, queues, limit=limit, lease=self._lease)
        for record in claimed:
            if self._ends:  # since then
                await TaskRun(self._tasks, record, self._holder).leave()
            elif not self._runs(record.id):  # it goes on (see `TaskRun`)
                self._begin(record)
        return len(claimed)

    def _runs(self, id: str) -> bool:
        running = self._running.get(id)
        return running is not None and not running[0].lost

    def _begin(self, record: TaskRecord) -> asyncio.Task[None]:
        run = TaskRun(self._tasks, record, self._holder)
        task = asyncio.create_task(run.run(), name="dovetail-task")
        self._running[run.id] = (run, task)
        task.add_done_callback(lambda _: self._over(run))
        return task

    def _over(self, run: TaskRun) -> None:
        if self._running.get(run.id, (None,))[0] is run:
            del self._running[run.id]
        self.on_end()

    # What is held

    async def _renew(self) -> None:
        """Hold what runs; stop what is no longer ours."""
        pause = self._lease / 3
        while True:
            await asyncio.sleep(pause)
            pause = self._lease / 3
            ids = list(self._running)
            if not ids:
                continue
            try:
                kept = await self._tasks.tasks.renew(self._holder, ids, lease=self._lease)
            except StoreError as problem:
                log.warning("the leases of %d tasks could not be renewed yet: %s", len(ids), problem)
                pause = min(pause, AGAIN)
                continue
            for id in ids:
                if id not in kept:
                    self._stop(id)

    def _look(self, id: str | None) -> None:
        """A task was cancelled, or any may have been: see whether what runs here is still to run."""
        looked = list(self._running) if id is None else [id] if id in self._running else []
        for each in looked:
            task = asyncio.create_task(self._check(each))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def _check(self, id: str) -> None:
        try:
            record = await self._tasks.tasks.load(id)
        except StoreError:
            return  # the next renewal finds out
        if record is None or record.ended or record.holder != self._holder:
            self._stop(id, cancelled=record is None or record.ended)

    def _stop(self, id: str, *, cancelled: bool = False) -> None:
        """End a run whose task is over, or another worker's."""
        found = self._running.get(id)
        if found is not None and not found[0].lost:
            found[0].lost = True
            found[0].cancelled = cancelled
            found[1].cancel()


async def _end(run: TaskRun, task: asyncio.Task[None]) -> None:
    """Have a run let go of its task."""
    settling = asyncio.create_task(run.settle())
    try:
        await asyncio.wait((settling, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        settling.cancel()
        task.cancel()
    await asyncio.wait((task,))


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a run; who is cancelled here has it let go of its task, and waits for that."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise


def _nobody() -> None:
    """Nobody waits for a place."""


async def _nobody_of(queue: str) -> None:
    """Nobody waits for a place."""


__all__ = ["AGAIN", "ServerTaskRunner"]
