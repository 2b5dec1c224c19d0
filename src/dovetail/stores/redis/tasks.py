"""Tasks in Redis.

Theory of operation
-------------------
A stream with a consumer group would hand tasks out, and what is not acknowledged again. But it gives them in the order
in which they came, to whoever asks: not by owner, not up to a limit that all consumers share, not one that is due in an
hour; and what is taken back has to be found first. So the order is kept in sorted sets, and a claim is one script.

A hash has the data of the tasks and one what else a record has. The tasks of one owner that wait in one queue are a
*line*, a sorted set by when they are due. The lines of a queue stand in *levels*, by how many tasks their owner holds:
a sorted set for each level, by the first task of each line, and one that says which levels there are. So the next task
is the first one in the lowest level whose first one is due, and a change moves the lines of one owner. Leases are a
sorted set by when they are over, of all tasks and of each queue, which is also how many of it are held. One that is
over is settled by the next script that looks for tasks: its task stands in line again, and its record still names the
holder. A claim therefore costs what the logarithm of all tasks comes to, and the levels of its queues.

All keys of this part are in one slot, under names that are made of owners, queues and ids too, as those of the streams
are of theirs. Nothing here waits for a task, and nothing polls: `next_due` says when there may be one.

Unless the store was given a clock, times are by the server's: a lease must not end because the clock of some machine is
ahead. In a cluster that is the clock of the one node that has the slot; one that takes over goes by its own.

Specification: none; the extension of tasks is served from here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec.structs import replace

from dovetail.stores.bounds import TaskBounds
from dovetail.stores.contracts import TaskRecord
from dovetail.stores.errors import StoreFull, TaskExists, TooManyTasks, ValueTooLarge
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

from .connections import Connections
from .scripts import PartKeys, Script
from .task_scripts import FIRST_KEYS, TaskScripts

__all__ = ["RedisTasks"]

_HEAD = struct.Struct(">9d")  # version, attempts, ended, held, created, updated, expires, due, lease
_LENGTH = struct.Struct(">H")  # of each: owner, queue, status, holder
_AGAIN = -1
"""What a script answers that has more to sweep before it can count."""
_FARTHEST = 2**52
_BY_SERVER = TaskScripts(own_time=True)
_BY_CALLER = TaskScripts(own_time=False)


class RedisTasks:
    """A `TaskStore` in the server of `connections`. Without a ``clock`` the server's counts."""

    def __init__(
        self, connections: Connections, namespace: str, bounds: TaskBounds, clock: Callable[[], float] | None
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._clock = clock
        self._scripts = _BY_SERVER if clock is None else _BY_CALLER
        self._keys = PartKeys(namespace, "tasks", *FIRST_KEYS)
        connections.sweeps.append((self._scripts.sweep, self._keys))

    async def create(self, record: TaskRecord, *, max_unended: int) -> None:
        """See `TaskStore.create`."""
        check_task(record, self._bounds)
        outcome: int = await self._run(
            self._scripts.create,
            record.id.encode(),
            record.data,
            record.owner.encode(),
            record.queue.encode(),
            record.status.encode(),
            b"%d" % record.ended,
            _text(record.created),
            _text(record.updated),
            _text(record.expires),
            _text(None if record.ended else record.due),
            b"%d" % max_unended,
            b"%d" % self._bounds.max_tasks,
        )
        match outcome:
            case 0:
                return
            case 1:
                raise TaskExists
            case 2:
                raise TooManyTasks(max_unended)
            case _:
                raise StoreFull("tasks", self._bounds.max_tasks)

    async def load(self, id: str) -> TaskRecord | None:
        """See `TaskStore.load`."""
        check_task_id(id)
        return _task_if_any(await self._run(self._scripts.load, id.encode()))

    async def update(self, record: TaskRecord, *, expected_version: int) -> TaskRecord | None:
        """See `TaskStore.update`."""
        check_task(record, self._bounds)
        if record.ended:
            record = replace(record, due=None, holder="")
        return _task_if_any(
            await self._run(
                self._scripts.update,
                record.id.encode(),
                b"%d" % expected_version,
                record.data,
                record.status.encode(),
                b"%d" % record.ended,
                _text(record.expires),
                _text(record.due),
                record.holder.encode(),
            )
        )

    async def claim(
        self, holder: str, queues: Mapping[str, int | None], *, limit: int, lease: float
    ) -> list[TaskRecord]:
        """See `TaskStore.claim`."""
        check_claim(holder, queues, limit=limit, lease=lease)
        limits = (
            word
            for queue, most in queues.items()
            for word in (queue.encode(), b"any" if most is None else b"%d" % most)
        )
        found = await self._run(
            self._scripts.claim, holder.encode(), b"%d" % min(limit, _FARTHEST), _text(lease), *limits
        )
        return [_task(*each) for each in found]

    async def claim_one(self, id: str, holder: str, *, most: int | None, lease: float) -> TaskRecord | None:
        """See `TaskStore.claim_one`."""
        check_renewal(holder, (id,), lease=lease)
        room = b"any" if most is None else b"%d" % most
        return _task_if_any(
            await self._run(self._scripts.claim_one, id.encode(), holder.encode(), _text(lease), room)
        )

    async def renew(self, holder: str, ids: Collection[str], *, lease: float) -> set[str]:
        """See `TaskStore.renew`."""
        check_renewal(holder, ids, lease=lease)
        found = await self._run(
            self._scripts.renew, holder.encode(), _text(lease), *(id.encode() for id in ids)
        )
        return {id.decode() for id in found}

    async def next_due(self, queues: Collection[str]) -> float | None:
        """See `TaskStore.next_due`."""
        check_queues(queues)
        found = await self._run(self._scripts.next_due, *(queue.encode() for queue in queues))
        return None if found is None else float(found)

    async def due(self, queue: str, *, limit: int) -> list[str]:
        """See `TaskStore.due`."""
        check_due(queue, limit=limit)
        found = await self._run(self._scripts.due, queue.encode(), b"%d" % min(limit, _FARTHEST))
        return [id.decode() for id in found]

    async def record(self, id: str, name: str, result: bytes, *, holder: str) -> bool:
        """See `TaskStore.record`."""
        check_result(id, name, result, self._bounds, holder=holder)
        most = self._bounds.max_data
        cost = step_cost(name, result)
        words = (id.encode(), holder.encode(), name.encode(), result, b"%d" % cost, b"%d" % most)
        size: int = await self._run_once(self._scripts.record, *words)
        if size > 0:
            raise ValueTooLarge("results of the task together", size, most)
        return size == 0

    async def recorded(self, id: str) -> dict[str, bytes]:
        """See `TaskStore.recorded`."""
        check_task_id(id)
        found = iter(await self._run(self._scripts.recorded, id.encode()))
        return {name.decode(): result for name, result in zip(found, found, strict=True)}

    async def list(
        self, owner: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[TaskRecord]:
        """See `TaskStore.list`."""
        check_page(owner, after, limit)
        created, id = after or (0.0, "")
        words = (owner.encode(), b"%d" % min(limit, _FARTHEST), _text(created), id.encode())
        return [_task(*each) for each in await self._run(self._scripts.list, *words)]

    async def count(self, owner: str | None = None, *, ended: bool | None = None) -> int:
        """See `TaskStore.count`."""
        check_owner(owner)
        which = b"any" if ended is None else b"ended" if ended else b"unended"
        return await self._run(self._scripts.count, (owner or "").encode(), which)

    async def delete(self, id: str) -> bool:
        """See `TaskStore.delete`."""
        check_task_id(id)
        return bool(await self._run(self._scripts.delete, id.encode()))

    async def _run(self, script: Script, *args: bytes) -> Any:
        while True:
            found = await self._run_once(script, *args)
            if found != _AGAIN:
                return found

    async def _run_once(self, script: Script, *args: bytes) -> Any:
        now = 0.0 if self._clock is None else self._clock()
        return await self._connections.run(script, self._keys, now, *args)


def _text(number: float | None) -> bytes:
    """A number as the scripts read it; None is never, which is beyond all times."""
    return repr(math.inf if number is None else float(number)).encode()


def _task_if_any(found: list[bytes] | None) -> TaskRecord | None:
    return None if found is None else _task(*found)


def _task(id: bytes, head: bytes, data: bytes) -> TaskRecord:
    """The record that a script tells of."""
    version, attempts, ended, _, created, updated, expires, due, _ = _HEAD.unpack_from(head)
    names: list[str] = []
    at = _HEAD.size
    for _ in range(4):
        (length,) = _LENGTH.unpack_from(head, at)
        at += _LENGTH.size + length
        names.append(head[at - length : at].decode())
    owner, queue, status, holder = names
    return TaskRecord(
        id=id.decode(),
        owner=owner,
        queue=queue,
        version=int(version),
        status=status,
        ended=bool(ended),
        created=created,
        updated=updated,
        expires=None if expires == math.inf else expires,
        due=None if due == math.inf else due,
        holder=holder,
        attempts=int(attempts),
        data=data,
    )
