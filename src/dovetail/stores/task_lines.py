"""Which task is claimed next: the tasks in memory that wait and those that are held, without their records.

Theory of operation
-------------------
The tasks of one owner in one queue stand in a line, the one that is due for longest first. A queue ranks these lines
by how many tasks their owner holds, and then by their first one; lines whose first one is not due yet stand apart, by
when it is. So whoever claims looks at the first line of each queue, and a change moves only the lines of one owner:
what a claim costs grows with the logarithm of how many wait.

A clock that goes back may find a line due that is not: then it is put back.

Specification: none.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping

from dovetail.stores.ordering import Ranks

__all__ = ["TaskLines"]


class _Line:
    """The tasks of one owner that wait in one queue."""

    __slots__ = ("owner", "queue", "waiting")

    def __init__(self, owner: str, queue: str) -> None:
        self.owner = owner
        self.queue = queue
        self.waiting: Ranks[float] = Ranks()


class _TaskQueue:
    """What waits in one queue, by owner, and the leases of what is held of it."""

    __slots__ = ("later", "leases", "ready")

    def __init__(self) -> None:
        self.ready: Ranks[tuple[int, float, str]] = Ranks()
        self.later: Ranks[float] = Ranks()
        self.leases: Ranks[float] = Ranks()


class _Holding:
    """How many tasks of one owner are held, and its lines by queue."""

    __slots__ = ("held", "lines")

    def __init__(self) -> None:
        self.held = 0
        self.lines: dict[str, _Line] = {}


class TaskLines:
    """All lines. A task is in one, or held, or neither."""

    def __init__(self) -> None:
        self._queues: dict[str, _TaskQueue] = {}
        self._owners: dict[str, _Holding] = {}
        self._leases: Ranks[float] = Ranks()

    def wait(self, id: str, owner: str, queue: str, due: float) -> None:
        """A task that is in no line waits from now on."""
        lines = self._owner(owner).lines
        line = lines.get(queue)
        if line is None:
            line = lines[queue] = _Line(owner, queue)
        line.waiting.put(id, due)
        self._rank(line)

    def hold(self, id: str, owner: str, queue: str, until: float) -> None:
        """The task is held until then, whether it was held, waited or neither."""
        if self._leases.rank(id) is None:
            self.remove(id, owner, queue)
            self._count(owner, 1)
        self._leases.put(id, until)
        self._queue(queue).leases.put(id, until)

    def remove(self, id: str, owner: str, queue: str) -> float | None:
        """The task waits and is held no longer, if it did or was. Gives when its lease would be over."""
        found = self._owners.get(owner)
        if found is None:
            return None
        until = self._leases.rank(id)
        if until is not None:
            self._leases.forget(id)
            self._queues[queue].leases.forget(id)
            self._count(owner, -1)
        elif queue in found.lines:
            line = found.lines[queue]
            line.waiting.forget(id)
            self._rank(line)
        if not found.held and not found.lines:
            del self._owners[owner]
        self._tidy(queue)
        return until

    def lapsed(self, now: float) -> Iterator[str]:
        """Tasks whose lease is over; each has to be removed before the next is asked for."""
        while (first := self._leases.first()) is not None and first[0] <= now:
            yield first[1]

    def next(self, queues: Mapping[str, int | None], now: float) -> str | None:
        """The task that is to be claimed next, of queues of which no more than so many may be held."""
        best: tuple[int, float, str] | None = None
        for name, most in queues.items():
            queue = self._queues.get(name)
            if queue is None or (most is not None and len(queue.leases) >= most):
                continue
            self._ripen(name, queue, now)
            first = queue.ready.first()
            if first is not None and (best is None or first[0] < best):
                best = first[0]
        return None if best is None else best[2]

    def is_next(self, id: str, owner: str, queue: str, most: int | None, now: float) -> bool:
        """Whether the task may be claimed out of its turn, where no more than so many of its queue may be held."""
        found = self._owners.get(owner)
        if found is None or queue not in found.lines:
            return False
        due = found.lines[queue].waiting.rank(id)
        return due is not None and due <= now and (most is None or len(self._queue(queue).leases) < most)

    def due(self, queue: str, now: float, limit: int) -> list[str]:
        """The tasks of a queue that may be claimed, the one that is due for longest first. It looks at all lines."""
        lines = (found.lines[queue] for found in self._owners.values() if queue in found.lines)
        ripe = ((due, id) for line in lines for id, due in line.waiting.all() if due <= now)
        return [id for _, id in heapq.nsmallest(limit, ripe)]

    def next_due(self, queues: Collection[str]) -> float | None:
        """When there may be one to claim. None where nothing waits and nothing is held."""
        times: list[float] = []
        for name in queues:
            queue = self._queues.get(name)
            if queue is not None:
                ready = queue.ready.first()
                times += [] if ready is None else [ready[0][1]]
                times += [first[0] for ranks in (queue.later, queue.leases) if (first := ranks.first())]
        return min(times, default=None)

    def _ripen(self, name: str, queue: _TaskQueue, now: float) -> None:
        """Move the lines that are due now to those that are ready, and back what is not due any more."""
        while (first := queue.later.first()) is not None and first[0] <= now:
            self._make_ready(name, queue, first[1])
        while (ready := queue.ready.first()) is not None and ready[0][1] > now:
            queue.ready.forget(ready[1])
            queue.later.put(ready[1], ready[0][1])

    def _make_ready(self, name: str, queue: _TaskQueue, owner: str) -> None:
        found = self._owners[owner]
        head = found.lines[name].waiting.first()
        queue.later.forget(owner)
        if head is not None:
            queue.ready.put(owner, (found.held, *head))

    def _rank(self, line: _Line) -> None:
        """Put a line where it belongs; one in which nobody waits is gone."""
        queue = self._queue(line.queue)
        queue.ready.forget(line.owner)
        head = line.waiting.first()
        if head is None:
            queue.later.forget(line.owner)
            del self._owners[line.owner].lines[line.queue]
        else:
            queue.later.put(line.owner, head[0])  # the next look finds out whether it is due

    def _count(self, owner: str, more: int) -> None:
        found = self._owner(owner)
        found.held += more
        for line in found.lines.values():
            self._rank(line)

    def _owner(self, owner: str) -> _Holding:
        found = self._owners.get(owner)
        if found is None:
            found = self._owners[owner] = _Holding()
        return found

    def _queue(self, queue: str) -> _TaskQueue:
        found = self._queues.get(queue)
        if found is None:
            found = self._queues[queue] = _TaskQueue()
        return found

    def _tidy(self, name: str) -> None:
        queue = self._queues.get(name)
        if queue is not None and not (queue.ready or queue.later or queue.leases):
            del self._queues[name]
