"""Our own engine: works off the tasks of a server by what the store says is due.

Theory of operation. A worker sleeps until somebody says that there is work, or until the store says that something will
be due or a lease be over. Who should have said so may have died before it did, so it looks once in the time of a lease
in any case. It claims as many tasks as it has room for, in the fair order of the store, and runs them (`runner`).

Specification: none; see `server_tasks`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dovetail.security import get_logger
from dovetail.stores import StoreError

from .engine import DueTask, SubmitTask
from .runner import AGAIN, ServerTaskRunner
from .server_tasks import ServerTasks

log = get_logger("dovetail.tasks")


class TaskWorker:
    """The `TaskEngine` of a server that was given none; it serves that one server."""

    def __init__(self, tasks: ServerTasks) -> None:
        self._tasks = tasks
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._full = False
        self._nothing = False

    @asynccontextmanager
    async def serve(self, runner: ServerTaskRunner) -> AsyncGenerator[SubmitTask]:
        """See `TaskEngine.serve`."""
        self._tasks.on_work, self._tasks.on_change = self._wake.set, self._room_again
        runner.on_end = self._room_again
        loop = asyncio.create_task(self._claim(runner), name="dovetail-tasks") if runner.room else None
        try:
            yield self.submit
        finally:
            if loop is not None:
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)

    async def submit(self, due: DueTask) -> None:
        """Tell all workers that something is due: which one takes it, the store says."""
        self._wake.set()
        await self._tasks.tell_work()

    async def _claim(self, runner: ServerTaskRunner) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._take(runner)
            except StoreError as problem:
                log.warning("the store gives no tasks at the moment: %s", problem)
                await asyncio.sleep(AGAIN)  # whoever says meanwhile that there is work: the store is spared
                continue
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _take(self, runner: ServerTaskRunner) -> float:
        """Claim what there is room for. Gives for how many seconds there is nothing to do, unless somebody says so."""
        room, queues = runner.free, runner.queues
        self._full = True  # what changes from here on may make room
        if room <= 0 or not queues:
            return runner.lease
        claimed = await runner.begin_next(room)
        if claimed == room:
            return 0
        pause = await self._pause(queues, runner.lease)
        nothing, before = pause == 0 and not claimed, self._nothing
        self._nothing = nothing
        return AGAIN if nothing and before else pause

    async def _pause(self, queues: dict[str, int | None], lease: float) -> float:
        """For how many seconds there is nothing to claim in queues in which there is nothing more, unless somebody says
        so; at most a lease, for who would say so may have died.

        Where a tool runs as often as it may, what is due in its queue waits for one of these to end, or for the end of
        a lease that nobody renews.
        """
        tasks, full = self._tasks.tasks, False
        pauses = [await tasks.next_due([queue for queue, most in queues.items() if most is None])]
        for queue, most in queues.items():
            if most is not None:
                due = await tasks.next_due([queue])
                full = full or due == 0
                pauses.append(due or None)
        self._full = full
        return min([lease, *(each for each in pauses if each is not None)])

    def _room_again(self) -> None:
        """A task changed, or a run ended: where tools run as often as they may, one more may do so now."""
        if self._full:
            self._wake.set()


__all__ = ["TaskWorker"]
