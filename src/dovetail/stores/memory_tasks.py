"""The tasks in memory.

Theory of operation
-------------------
A record is never changed, only replaced, so what was given out stays as it was. Beside the records stand the lines in
which they wait (`task_lines`), a list of each owner's in the order in which they are listed, and a heap of when they
expire. Every move first takes out what has expired, each task once: what is left can be counted. A lease that is over
puts its task back into its line when somebody looks for one to claim.

Every task and every recorded result is charged a fixed cost besides its bytes. Nothing goes before it expires: where
there is no room a new task is refused.

Specification: none; the extension of tasks is served from here.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Mapping
from threading import Lock

from msgspec.structs import replace

from dovetail.stores.bounds import TaskBounds
from dovetail.stores.contracts import TaskRecord
from dovetail.stores.errors import StoreClosed, StoreFull, TaskExists, TooManyTasks, ValueTooLarge
from dovetail.stores.ordering import Deadlines
from dovetail.stores.sweeping import Sweeper
from dovetail.stores.task_checks import (
    check_claim,
    check_due,
    check_owner,
    check_page,
    check_queues,
    check_renewal,
    check_result,
    check_task,
    check_task_id,
    step_cost,
)
from dovetail.stores.task_lines import TaskLines

__all__ = ["MemoryTasks"]

TASK_COST = 1536
"""Bytes charged for a task besides its own: about what keeping it costs."""


class _Task:
    """A task: its record, and what was recorded of it."""

    __slots__ = ("record", "results", "results_size")

    def __init__(self, record: TaskRecord) -> None:
        self.record = record
        self.results: dict[str, bytes] = {}
        self.results_size = 0

    def place(self) -> tuple[float, str]:
        """Where it stands among its owner's."""
        return (self.record.created, self.record.id)

    def charge(self) -> int:
        """What it counts toward all bytes."""
        return _charge(self.record) + self.results_size


class _OwnedTasks:
    """The tasks of one owner in the order in which they are listed, and how many of them have not ended."""

    __slots__ = ("places", "unended")

    def __init__(self) -> None:
        self.places: list[tuple[float, str]] = []
        self.unended = 0


class MemoryTasks:
    """A `TaskStore` in this process. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        bounds: TaskBounds = TaskBounds(),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sweeper = Sweeper(clock, self._sweep_some)
        self._bounds = bounds
        self._clock = clock
        self._lock = Lock()
        self._closed = False
        self._clear()

    def _clear(self) -> None:
        self._tasks: dict[str, _Task] = {}
        self._of: dict[str, _OwnedTasks] = {}
        self._lines = TaskLines()
        self._deadlines = Deadlines()
        self._unended = 0
        self._bytes = 0

    async def create(self, record: TaskRecord, *, max_unended: int) -> None:
        """See `TaskStore.create`."""
        check_task(record, self._bounds)
        with self._lock:
            now = self._sweep()
            if now >= self._sweeper.until:
                self._sweeper.start()
            owned = self._of.get(record.owner)
            if record.id in self._tasks:
                raise TaskExists
            if (0 if owned is None else owned.unended) >= max_unended:
                raise TooManyTasks(max_unended)
            if len(self._tasks) >= self._bounds.max_tasks:
                raise StoreFull("tasks", self._bounds.max_tasks)
            record = replace(
                record,
                version=0,
                attempts=0,
                holder="",
                created=min(record.created, now),
                updated=min(record.updated, now),
                due=None if record.ended else record.due,
            )
            self._make_room(_charge(record))
            task = self._tasks[record.id] = _Task(record)
            self._bytes += task.charge()
            owned = self._of.setdefault(record.owner, _OwnedTasks())
            insort(owned.places, task.place())
            self._count_unended(record, 1)
            self._note(record)
            self._place(record, None)

    async def load(self, id: str) -> TaskRecord | None:
        """See `TaskStore.load`."""
        check_task_id(id)
        with self._lock:
            task = self._live(id, self._now())
            return None if task is None else task.record

    async def update(self, record: TaskRecord, *, expected_version: int) -> TaskRecord | None:
        """See `TaskStore.update`."""
        check_task(record, self._bounds)
        with self._lock:
            now = self._sweep()
            task = self._tasks.get(record.id)
            if task is None or task.record.ended or task.record.version != expected_version:
                return None
            stored = task.record
            changed = replace(
                stored,
                version=stored.version + 1,
                updated=max(stored.updated, now),
                status=record.status,
                ended=record.ended,
                expires=record.expires,
                due=None if record.ended else record.due,
                holder="" if record.ended else record.holder,
                data=record.data,
            )
            grown = _charge(changed) - _charge(stored)
            self._make_room(grown)
            self._bytes += grown
            self._count_unended(stored, -1)
            self._count_unended(changed, 1)
            task.record = changed
            until = self._lines.remove(stored.id, stored.owner, stored.queue)
            self._place(changed, until if changed.holder else None)
            self._note(changed)
            return changed

    async def claim(
        self, holder: str, queues: Mapping[str, int | None], *, limit: int, lease: float
    ) -> list[TaskRecord]:
        """See `TaskStore.claim`."""
        check_claim(holder, queues, limit=limit, lease=lease)
        found: list[TaskRecord] = []
        with self._lock:
            now = self._sweep()
            self._settle(now)
            while len(found) < limit and (id := self._lines.next(queues, now)) is not None:
                found.append(self._hold(self._tasks[id], holder, now, now + lease))
        return found

    async def claim_one(self, id: str, holder: str, *, most: int | None, lease: float) -> TaskRecord | None:
        """See `TaskStore.claim_one`."""
        check_renewal(holder, (id,), lease=lease)
        with self._lock:
            now = self._sweep()
            self._settle(now)
            task = self._tasks.get(id)
            if task is None or not self._lines.is_next(id, task.record.owner, task.record.queue, most, now):
                return None
            return self._hold(task, holder, now, now + lease)

    async def renew(self, holder: str, ids: Collection[str], *, lease: float) -> set[str]:
        """See `TaskStore.renew`."""
        check_renewal(holder, ids, lease=lease)
        with self._lock:
            now = self._now()
            renewed: set[str] = set()
            for id in ids:
                task = self._live(id, now)
                if task is not None and task.record.holder == holder:
                    self._lines.hold(id, task.record.owner, task.record.queue, now + lease)
                    renewed.add(id)
            return renewed

    async def next_due(self, queues: Collection[str]) -> float | None:
        """See `TaskStore.next_due`."""
        check_queues(queues)
        with self._lock:
            now = self._sweep()
            self._settle(now)
            at = self._lines.next_due(queues)
            return None if at is None else max(0.0, at - now)

    async def due(self, queue: str, *, limit: int) -> list[str]:
        """See `TaskStore.due`."""
        check_due(queue, limit=limit)
        with self._lock:
            now = self._sweep()
            self._settle(now)
            return self._lines.due(queue, now, limit)

    async def record(self, id: str, name: str, result: bytes, *, holder: str) -> bool:
        """See `TaskStore.record`."""
        check_result(id, name, result, self._bounds, holder=holder)
        with self._lock:
            now = self._sweep()
            task = self._live(id, now)
            if task is None or task.record.holder != holder:
                return False
            if name in task.results:
                return True
            size = step_cost(name, result)
            if task.results_size + size > self._bounds.max_data:
                raise ValueTooLarge(
                    "results of the task together", task.results_size + size, self._bounds.max_data
                )
            self._make_room(size)
            task.results[name] = result
            task.results_size += size
            self._bytes += size
            return True

    async def recorded(self, id: str) -> dict[str, bytes]:
        """See `TaskStore.recorded`."""
        check_task_id(id)
        with self._lock:
            task = self._live(id, self._now())
            return {} if task is None else dict(task.results)

    async def count(self, owner: str | None = None, *, ended: bool | None = None) -> int:
        """See `TaskStore.count`."""
        check_owner(owner)
        with self._lock:
            self._sweep()
            if owner is None:
                total, unended = len(self._tasks), self._unended
            else:
                owned = self._of.get(owner) or _OwnedTasks()
                total, unended = len(owned.places), owned.unended
            return total if ended is None else total - unended if ended else unended

    async def delete(self, id: str) -> bool:
        """See `TaskStore.delete`."""
        check_task_id(id)
        with self._lock:
            task = self._live(id, self._now())
            if task is None:
                return False
            self._remove(task)
            return True

    async def list(
        self, owner: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[TaskRecord]:
        """See `TaskStore.list`."""
        check_page(owner, after, limit)
        with self._lock:
            self._sweep()
            owned = self._of.get(owner) or _OwnedTasks()
            start = 0 if after is None else bisect_right(owned.places, after)
            return [self._tasks[id].record for _, id in owned.places[start : start + limit]]

    def close(self) -> None:
        """Forget everything; every later call raises `StoreClosed`."""
        with self._lock:
            self._closed = True
            self._clear()

    def _now(self) -> float:
        if self._closed:
            raise StoreClosed
        return self._clock()

    def _live(self, id: str, now: float) -> _Task | None:
        task = self._tasks.get(id)
        return None if task is None or _end(task.record) <= now else task

    def _hold(self, task: _Task, holder: str, now: float, until: float) -> TaskRecord:
        """Claim one task."""
        stored = task.record
        task.record = replace(
            stored,
            version=stored.version + 1,
            attempts=stored.attempts + 1,
            updated=max(stored.updated, now),
            holder=holder,
        )
        self._lines.hold(stored.id, stored.owner, stored.queue, until)
        return task.record

    def _place(self, record: TaskRecord, until: float | None) -> None:
        """Put a task that is in no line where it belongs: it is held until then, or waits, or neither."""
        if until is not None:
            self._lines.hold(record.id, record.owner, record.queue, until)
        elif record.due is not None:
            self._lines.wait(record.id, record.owner, record.queue, record.due)

    def _settle(self, now: float) -> None:
        """Put back what is held by a lease that is over."""
        for id in self._lines.lapsed(now):
            record = self._tasks[id].record
            self._lines.remove(id, record.owner, record.queue)
            self._place(record, None)

    def _make_room(self, grown: int) -> None:
        if grown > 0 and self._bytes + grown > self._bounds.max_bytes:
            raise StoreFull("bytes of tasks", self._bounds.max_bytes)

    def _count_unended(self, record: TaskRecord, more: int) -> None:
        if not record.ended:
            self._of[record.owner].unended += more
            self._unended += more

    def _note(self, record: TaskRecord) -> None:
        if record.expires is None:
            self._deadlines.forget(record.id)
        else:
            self._deadlines.note(record.id, record.expires)

    def _remove(self, task: _Task) -> None:
        record = task.record
        self._lines.remove(record.id, record.owner, record.queue)
        self._deadlines.forget(record.id)
        self._count_unended(record, -1)
        self._bytes -= task.charge()
        places = self._of[record.owner].places
        del places[bisect_left(places, task.place())]
        if not places:
            del self._of[record.owner]
        del self._tasks[record.id]

    def _sweep(self, limit: int | None = None) -> float:
        """Remove every expired task, or at most ``limit``. Each is swept once: cheap overall."""
        now = self._now()
        for id in self._deadlines.due(now, limit):
            task = self._tasks[id]
            if _end(task.record) <= now:
                self._remove(task)
            else:
                self._deadlines.note(id, _end(task.record))
        return now

    def _sweep_some(self, limit: int) -> bool | None:
        """See `Sweep`."""
        with self._lock:
            if not len(self._deadlines):
                return None
            return self._deadlines.any_due(self._sweep(limit))


def _end(record: TaskRecord) -> float:
    return math.inf if record.expires is None else record.expires


def _charge(record: TaskRecord) -> int:
    """What a record counts toward all bytes. Who holds it changes nothing."""
    return (
        TASK_COST
        + len(record.id)
        + len(record.owner)
        + len(record.queue)
        + len(record.status)
        + len(record.data)
    )
