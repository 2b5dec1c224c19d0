"""Works off the tasks of a server: claims what is due, runs it, and renews what it holds.

Theory of operation. A worker sleeps until somebody says that there is work, or until the store says that something will
be due or a lease be over. Who should have said so may have died before it did, so it looks once in the time of a lease
in any case. It claims as many tasks as it has room for, each for the seconds of a lease, and renews all leases in one
move, thrice in that time. What it no longer holds it stops. When the server ends it lets go of what it runs, so that
others go on at once; after a crash they do so when the lease is over. A step that runs once has the time that the end
has, for if it is cut short nobody can tell what became of it.

Specification: none; see `engine`.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from dovetail.security import get_logger
from dovetail.stores import StoreError, TaskRecord

from .engine import TaskEngine
from .running import TaskRun

log = get_logger("dovetail.tasks")

_AGAIN: Final = 1.0
"""Seconds until a store that did not serve is asked again."""


class TaskWorker:
    """Runs at most ``room`` tasks at a time. ``lease``: seconds after which those of a worker that died are others'."""

    def __init__(self, engine: TaskEngine, *, room: int, lease: float) -> None:
        self._engine = engine
        self._room = room
        self._lease = lease
        self._holder = secrets.token_hex(12)
        self._running: dict[str, tuple[TaskRun, asyncio.Task[None]]] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._full = False
        self._nothing = False

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Work as long as this lasts."""
        engine = self._engine
        engine.on_work, engine.on_change, engine.on_cancel = self._wake.set, self._room_again, self._look
        self._claiming = asyncio.create_task(self._claim(), name="dovetail-tasks")
        loops = [self._claiming, asyncio.create_task(self._renew(), name="dovetail-task-leases")]
        try:
            yield
        finally:
            runs = [task for _, task in self._running.values()]
            for task in (*loops, *runs):
                task.cancel()
            await asyncio.gather(*loops, *runs, return_exceptions=True)

    async def finish(self, seconds: float) -> None:
        """The server is about to end: claim nothing more, and let go of what runs, once steps have ended that run once,
        but after so many seconds in any case.
        """
        if self._claiming is not None:
            self._claiming.cancel()
        ending = [asyncio.create_task(self._end(*each)) for each in self._running.values()]
        if ending:
            _, late = await asyncio.wait(ending, timeout=seconds)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _end(self, run: TaskRun, task: asyncio.Task[None]) -> None:
        """Have a run let go of its task."""
        settling = asyncio.create_task(run.settle())
        try:
            await asyncio.wait((settling, task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            settling.cancel()
        task.cancel()
        await asyncio.wait((task,))

    async def _claim(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._take()
            except StoreError as problem:
                log.warning("the store gives no tasks at the moment: %s", problem)
                await asyncio.sleep(_AGAIN)  # whoever says meanwhile that there is work: the store is spared
                continue
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _take(self) -> float:
        """Claim what there is room for. Gives for how many seconds there is nothing to do, unless somebody says so."""
        room = self._room - len(self._running)
        queues = {
            self._engine.queue_of(served.tool.name): served.task.concurrency
            for served in self._engine.serving.tools
            if served.task is not None
        }
        self._full = True  # what changes from here on may make room
        if room <= 0 or not queues:
            return self._lease
        claimed = await self._engine.tasks.claim(self._holder, queues, limit=room, lease=self._lease)
        for record in claimed:
            self._begin(record)
        if len(claimed) == room:
            return 0
        pause = await self._pause(queues)
        nothing, before = pause == 0 and not claimed, self._nothing
        self._nothing = nothing
        return _AGAIN if nothing and before else pause

    async def _pause(self, queues: dict[str, int | None]) -> float:
        """For how many seconds there is nothing to claim in queues in which there is nothing more, unless somebody says
        so; at most a lease, for who would say so may have died.

        Where a tool runs as often as it may, what is due in its queue waits for one of these to end, or for the end of
        a lease that nobody renews.
        """
        tasks, full = self._engine.tasks, False
        pauses = [await tasks.next_due([queue for queue, most in queues.items() if most is None])]
        for queue, most in queues.items():
            if most is not None:
                due = await tasks.next_due([queue])
                full = full or due == 0
                pauses.append(due or None)
        self._full = full
        return min([self._lease, *(each for each in pauses if each is not None)])

    def _room_again(self) -> None:
        """A task changed: where tools run as often as they may, one more may do so now."""
        if self._full:
            self._wake.set()

    def _begin(self, record: TaskRecord) -> None:
        """Run a task that was claimed; one that runs here already goes on (see `TaskRun`)."""
        running = self._running.get(record.id)
        if running is not None and not running[0].lost:
            return
        run = TaskRun(self._engine, record, self._holder)
        task = asyncio.create_task(run.run(), name="dovetail-task")
        self._running[run.id] = (run, task)
        task.add_done_callback(lambda _, run=run: self._over(run))

    def _over(self, run: TaskRun) -> None:
        if self._running.get(run.id, (None,))[0] is run:
            del self._running[run.id]
        if self._full:
            self._wake.set()

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
                kept = await self._engine.tasks.renew(self._holder, ids, lease=self._lease)
            except StoreError as problem:
                log.warning("the leases of %d tasks could not be renewed yet: %s", len(ids), problem)
                pause = min(pause, _AGAIN)
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
            record = await self._engine.tasks.load(id)
        except StoreError:
            return  # the next renewal finds out
        if record is None or record.ended or record.holder != self._holder:
            self._stop(id)

    def _stop(self, id: str) -> None:
        """End a run whose task is over, or another worker's."""
        found = self._running.get(id)
        if found is not None and not found[0].lost:
            found[0].lost = True
            found[1].cancel()
