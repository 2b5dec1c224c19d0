"""The tasks in SQLite.

Theory of operation
-------------------
The data of a task stands in a row of its own: claims, renewals and steps change the small row beside it. A task has an
`until` while it is held; a lease that is over counts as none, and claims take it away. So what waits is in one index,
by queue and time, and what is held in another. A claim looks at those that are due for longest: mostly there are enough
owners among them that hold nothing. Else it steps from owner to owner through an index of their own, and takes from
whoever holds the fewest. All of it is one transaction, as every move here is.

How many tasks there are is counted by triggers. What has expired and is still there is subtracted from it.

Specification: none; the extension of tasks is served from here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from sqlite3 import Connection
from typing import Any, Final

from dovetail.logs import get_logger
from dovetail.stores.bounds import TaskBounds
from dovetail.stores.contracts import TaskRecord
from dovetail.stores.errors import StoreFull, TaskExists, TooManyTasks, ValueTooLarge
from dovetail.stores.sqlite_executor import SQLiteExecutor
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

__all__ = ["SQLiteTasks", "sweep_tasks"]

_LOOK: Final = 256
"""Tasks that a claim looks at before it steps from owner to owner."""
_LIVE: Final = "FROM task WHERE (expires IS NULL OR expires > :now) AND"
_WAITING: Final = f"{_LIVE} queue = :queue AND until IS NULL AND due IS NOT NULL"
_RECORD: Final = (
    "SELECT CAST(id AS BLOB), CAST(owner AS BLOB), CAST(queue AS BLOB), CAST(status AS BLOB), CAST(holder AS BLOB),"
    " version, ended, created, updated, expires, due, attempts, data FROM task JOIN task_data USING (number)"
)
_UNEXPIRED: Final = "(expires IS NULL OR expires > :now)"
_KINDS: Final = (int, int, float, float, (float, type(None)), (float, type(None)), int, bytes)
"""What the columns of a task hold after the texts. SQLite would keep anything in them."""
_EARLIEST: Final = f"SELECT due, id, owner, number {_WAITING} AND due <= :now ORDER BY due, id LIMIT :most"
_FIRST_OF_EACH: Final = """
    WITH RECURSIVE line (name) AS (
        SELECT min(owner) FROM task WHERE queue = :queue AND until IS NULL AND due IS NOT NULL
        UNION ALL
        SELECT (SELECT min(owner) FROM task WHERE queue = :queue AND until IS NULL AND due IS NOT NULL AND owner > name)
            FROM line WHERE name IS NOT NULL
    )
    SELECT due, id, owner, number FROM line JOIN task ON number = (
        SELECT number FROM task WHERE queue = :queue AND until IS NULL AND due <= :now AND owner = name
            AND (expires IS NULL OR expires > :now) ORDER BY due, id LIMIT 1
    ) WHERE name IS NOT NULL
"""
"""Of each owner that has one that may be claimed, the one that is due for longest. It steps over what is between."""
_FIRST_OF_ONE: Final = (
    f"SELECT due, id, owner, number {_WAITING} AND owner = :owner AND due <= :now ORDER BY due, id LIMIT 1"
)
_NEXT: Final = (
    f"SELECT due {_WAITING} ORDER BY due LIMIT 1",
    f"SELECT until {_LIVE} queue = :queue AND until > :now ORDER BY until LIMIT 1",
    # Those whose lease is over, until somebody claims.
    f"SELECT min(due) {_LIVE} queue = :queue AND until <= :now",
)
_DUE: Final = (
    f"SELECT due, id {_WAITING} AND due <= :now ORDER BY due, id LIMIT :most",
    f"SELECT due, id {_LIVE} queue = :queue AND until <= :now AND due <= :now ORDER BY due, id LIMIT :most",
)
"""Those that wait, and those whose lease is over, until somebody claims."""

_log = get_logger("dovetail.stores")


class SQLiteTasks:
    """A `TaskStore` in the file of `executor`."""

    def __init__(self, executor: SQLiteExecutor, bounds: TaskBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock

    async def create(self, record: TaskRecord, *, max_unended: int) -> None:
        """See `TaskStore.create`."""
        check_task(record, self._bounds)
        await self._executor.write(self._create, record, max_unended)

    async def load(self, id: str) -> TaskRecord | None:
        """See `TaskStore.load`."""
        check_task_id(id)
        return await self._executor.read(self._load, id)

    async def update(self, record: TaskRecord, *, expected_version: int) -> TaskRecord | None:
        """See `TaskStore.update`."""
        check_task(record, self._bounds)
        return await self._executor.write(self._update, record, expected_version)

    async def claim(
        self, holder: str, queues: Mapping[str, int | None], *, limit: int, lease: float
    ) -> list[TaskRecord]:
        """See `TaskStore.claim`."""
        check_claim(holder, queues, limit=limit, lease=lease)
        return await self._executor.write(self._claim, holder, dict(queues), limit, lease)

    async def claim_one(self, id: str, holder: str, *, most: int | None, lease: float) -> TaskRecord | None:
        """See `TaskStore.claim_one`."""
        check_renewal(holder, (id,), lease=lease)
        return await self._executor.write(self._claim_one, id, holder, most, lease)

    async def renew(self, holder: str, ids: Collection[str], *, lease: float) -> set[str]:
        """See `TaskStore.renew`."""
        check_renewal(holder, ids, lease=lease)
        return await self._executor.write(self._renew, holder, tuple(ids), lease)

    async def next_due(self, queues: Collection[str]) -> float | None:
        """See `TaskStore.next_due`."""
        check_queues(queues)
        return await self._executor.read(self._next_due, tuple(queues))

    async def due(self, queue: str, *, limit: int) -> list[str]:
        """See `TaskStore.due`."""
        check_due(queue, limit=limit)
        return await self._executor.read(self._due, queue, limit)

    async def record(self, id: str, name: str, result: bytes, *, holder: str) -> bool:
        """See `TaskStore.record`."""
        check_result(id, name, result, self._bounds, holder=holder)
        return await self._executor.write(self._record, id, name, result, holder)

    async def recorded(self, id: str) -> dict[str, bytes]:
        """See `TaskStore.recorded`."""
        check_task_id(id)
        return await self._executor.read(self._recorded, id)

    async def count(self, owner: str | None = None, *, ended: bool | None = None) -> int:
        """See `TaskStore.count`."""
        check_owner(owner)
        return await self._executor.read(self._count, owner, ended)

    async def delete(self, id: str) -> bool:
        """See `TaskStore.delete`."""
        check_task_id(id)
        return await self._executor.write(self._delete, id)

    async def list(
        self, owner: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[TaskRecord]:
        """See `TaskStore.list`."""
        check_page(owner, after, limit)
        return await self._executor.read(self._list, owner, after, limit)

    def _create(self, connection: Connection, record: TaskRecord, max_unended: int) -> None:
        now, most = self._clock(), self._bounds.max_tasks
        connection.execute("DELETE FROM task WHERE id = ? AND expires <= ?", (record.id, now))
        if connection.execute("SELECT 1 FROM task WHERE id = ?", (record.id,)).fetchone():
            raise TaskExists
        if self._count(connection, record.owner, False) >= max_unended:
            raise TooManyTasks(max_unended)
        if _one(connection, "SELECT tasks FROM task_total") >= most:
            there = "SELECT tasks - (SELECT count(*) FROM task WHERE expires <= ?) FROM task_total"
            if _one(connection, there, now) >= most:
                raise StoreFull("tasks", most)
        number = connection.execute(
            "INSERT INTO task (id, owner, queue, status, ended, created, updated, expires, due)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.owner,
                record.queue,
                record.status,
                record.ended,
                min(record.created, now),
                min(record.updated, now),
                record.expires,
                None if record.ended else record.due,
            ),
        ).lastrowid
        connection.execute("INSERT INTO task_data VALUES (?, ?)", (number, record.data))

    def _load(self, connection: Connection, id: str) -> TaskRecord | None:
        row = connection.execute(
            f"{_RECORD} WHERE id = :id AND {_UNEXPIRED}", {"id": id, "now": self._clock()}
        ).fetchone()
        return None if row is None else _read_task(row)

    def _update(self, connection: Connection, record: TaskRecord, expected_version: int) -> TaskRecord | None:
        row = connection.execute(
            f"SELECT number {_LIVE} id = :id AND version = :version AND ended = 0",
            {"id": record.id, "version": expected_version, "now": self._clock()},
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "UPDATE task SET version = version + 1, updated = max(updated, :now), status = :status, ended = :ended,"
            " expires = :expires, due = :due, holder = :holder,"
            " until = CASE WHEN :holder = '' THEN NULL ELSE until END WHERE number = :number",
            {
                "now": self._clock(),
                "status": record.status,
                "ended": record.ended,
                "expires": record.expires,
                "due": None if record.ended else record.due,
                "holder": "" if record.ended else record.holder,
                "number": row[0],
            },
        )
        connection.execute("UPDATE task_data SET data = ? WHERE number = ?", (record.data, row[0]))
        return self._by_number(connection, row[0])

    def _claim(
        self,
        connection: Connection,
        holder: str,
        queues: dict[str, int | None],
        limit: int,
        lease: float,
    ) -> list[TaskRecord]:
        now = self._clock()
        held: dict[str, int] = dict(
            connection.execute(
                f"SELECT owner, count(*) {_LIVE} until > :now GROUP BY owner",
                {"now": now},
            ).fetchall()
        )
        room = {name: self._room(connection, name, most, now) for name, most in queues.items()}
        # How many its owner holds, since when it is due, and which it is: the first is the next to be claimed.
        firsts: list[tuple[int, float, str, str, int, str]] = []
        for name in queues:
            if room[name] > 0:
                for due, id, owner, number in _firsts(connection, name, now, held, limit):
                    firsts.append((held.get(owner, 0), due, id, owner, number, name))
        heapq.heapify(firsts)
        found: list[TaskRecord] = []
        while firsts and len(found) < limit:
            had, due, id, owner, number, name = heapq.heappop(firsts)
            if room[name] <= 0:
                continue
            has = held.get(owner, 0)
            if had != has:
                heapq.heappush(firsts, (has, due, id, owner, number, name))
                continue
            record = self._hold(connection, number, holder, now, now + lease)
            if record is not None:
                found.append(record)
                room[name] -= 1
                held[owner] = has + 1
            next_one = connection.execute(
                _FIRST_OF_ONE, {"queue": name, "now": now, "owner": owner}
            ).fetchone()
            if next_one is not None:
                heapq.heappush(firsts, (held.get(owner, 0), *next_one, name))
        return found

    def _claim_one(
        self, connection: Connection, id: str, holder: str, most: int | None, lease: float
    ) -> TaskRecord | None:
        now = self._clock()
        row = connection.execute(
            f"SELECT number, queue {_LIVE} id = :id AND due <= :now AND (until IS NULL OR until <= :now)",
            {"id": id, "now": now},
        ).fetchone()
        if row is None or self._room(connection, row[1], most, now) <= 0:
            return None
        return self._hold(connection, row[0], holder, now, now + lease)

    def _room(self, connection: Connection, queue: str, most: int | None, now: float) -> float:
        """How many more of a queue may be held, once the leases that are over are gone."""
        connection.execute("UPDATE task SET until = NULL WHERE queue = ? AND until <= ?", (queue, now))
        if most is None:
            return float("inf")
        held = f"SELECT count(*) {_LIVE} queue = :queue AND until IS NOT NULL"
        return most - connection.execute(held, {"queue": queue, "now": now}).fetchone()[0]

    def _hold(
        self, connection: Connection, number: int, holder: str, now: float, until: float
    ) -> TaskRecord | None:
        """Claim one task. None for one that can't be read: it is due never again."""
        connection.execute(
            "UPDATE task SET version = version + 1, attempts = attempts + 1, updated = max(updated, ?), holder = ?,"
            " until = ? WHERE number = ?",
            (now, holder, until, number),
        )
        record = self._by_number(connection, number)
        if record is None:
            connection.execute("UPDATE task SET due = NULL, until = NULL WHERE number = ?", (number,))
        return record

    def _by_number(self, connection: Connection, number: int) -> TaskRecord | None:
        row = connection.execute(f"{_RECORD} WHERE task.number = ?", (number,)).fetchone()
        return None if row is None else _read_task(row)

    def _renew(self, connection: Connection, holder: str, ids: tuple[str, ...], lease: float) -> set[str]:
        now = self._clock()
        return {
            id
            for id in ids
            if connection.execute(
                "UPDATE task SET until = :until"
                " WHERE id = :id AND holder = :holder AND (expires IS NULL OR expires > :now)",
                {"until": now + lease, "id": id, "holder": holder, "now": now},
            ).rowcount
        }

    def _next_due(self, connection: Connection, queues: tuple[str, ...]) -> float | None:
        now = self._clock()
        times: list[float] = []
        for queue in queues:
            for waits in _NEXT:
                row = connection.execute(waits, {"queue": queue, "now": now}).fetchone()
                times += [] if row is None or row[0] is None else [row[0]]
        return max(0.0, min(times) - now) if times else None

    def _due(self, connection: Connection, queue: str, limit: int) -> list[str]:
        given = {"queue": queue, "now": self._clock(), "most": limit}
        found = sorted(row for query in _DUE for row in connection.execute(query, given).fetchall())
        return [id for _, id in found[:limit]]

    def _record(self, connection: Connection, id: str, name: str, result: bytes, holder: str) -> bool:
        row = connection.execute(
            f"SELECT number, results {_LIVE} id = :id AND holder = :holder",
            {"id": id, "holder": holder, "now": self._clock()},
        ).fetchone()
        if row is None:
            return False
        number, size = row[0], row[1] + step_cost(name, result)
        there = "SELECT 1 FROM task_result WHERE number = ? AND name = ?"
        if connection.execute(there, (number, name)).fetchone():
            return True
        if size > self._bounds.max_data:
            raise ValueTooLarge("results of the task together", size, self._bounds.max_data)
        connection.execute("INSERT INTO task_result VALUES (?, ?, ?)", (number, name, result))
        connection.execute("UPDATE task SET results = ? WHERE number = ?", (size, number))
        return True

    def _recorded(self, connection: Connection, id: str) -> dict[str, bytes]:
        rows = connection.execute(
            "SELECT name, result FROM task_result JOIN task USING (number)"
            " WHERE id = :id AND typeof(result) = 'blob' AND (expires IS NULL OR expires > :now)",
            {"id": id, "now": self._clock()},
        )
        return dict(rows.fetchall())

    def _list(
        self, connection: Connection, owner: str, after: tuple[float, str] | None, limit: int
    ) -> list[TaskRecord]:
        follows = "" if after is None else "AND (created, id) > (:created, :after) "
        created, id = after or (None, None)
        rows = connection.execute(
            f"{_RECORD} WHERE owner = :owner {follows}AND {_UNEXPIRED} ORDER BY created, id LIMIT :limit",
            {"owner": owner, "created": created, "after": id, "now": self._clock(), "limit": limit},
        ).fetchall()
        return [record for row in rows if (record := _read_task(row)) is not None]

    def _count(self, connection: Connection, owner: str | None, ended: bool | None) -> int:
        of = "owner IS NOT NULL" if owner is None else "owner = :owner"
        such = "" if ended is None else " AND ended = 1" if ended else " AND ended = 0"
        query, given = f"SELECT count(*) {_LIVE} {of}{such}", {"owner": owner, "now": self._clock()}
        return connection.execute(query, given).fetchone()[0]

    def _delete(self, connection: Connection, id: str) -> bool:
        gone = connection.execute(
            "DELETE FROM task WHERE id = :id AND (expires IS NULL OR expires > :now)",
            {"id": id, "now": self._clock()},
        )
        return bool(gone.rowcount)


def sweep_tasks(connection: Connection, now: float, amount: int) -> None:
    """Remove up to `amount` tasks that have expired, and what was recorded of them."""
    connection.execute(
        "DELETE FROM task WHERE number IN (SELECT number FROM task WHERE expires <= ? LIMIT ?)", (now, amount)
    )


def _firsts(
    connection: Connection, queue: str, now: float, held: Mapping[str, int], wanted: int
) -> Iterable[tuple[float, str, str, int]]:
    """Of the owners that have one that may be claimed, the first of each. Owners may be missing where so many as are
    ``wanted`` come before them.
    """
    most = max(_LOOK, 2 * wanted)
    rows = connection.execute(_EARLIEST, {"queue": queue, "now": now, "most": most}).fetchall()
    firsts: dict[str, tuple[float, str, str, int]] = {}
    for row in rows:
        firsts.setdefault(row[2], row)
    if len(rows) < most or sum(owner not in held for owner in firsts) >= wanted:
        return firsts.values()
    return connection.execute(_FIRST_OF_EACH, {"queue": queue, "now": now}).fetchall()


def _one(connection: Connection, query: str, *given: float) -> int:
    return connection.execute(query, given).fetchone()[0]


def _read_task(row: tuple[Any, ...]) -> TaskRecord | None:
    """A row of the table of tasks, None (and a word to the log) for one that can't be."""
    texts, values = row[:5], row[5:]
    if all(isinstance(value, kind) for value, kind in zip(values, _KINDS, strict=True)):
        try:
            id, owner, queue, status, holder = [text.decode() for text in texts]
        except UnicodeDecodeError:
            pass
        else:
            version, ended, created, updated, expires, due, attempts, data = values
            return TaskRecord(
                id=id,
                owner=owner,
                queue=queue,
                version=version,
                status=status,
                ended=bool(ended),
                created=created,
                updated=updated,
                expires=expires,
                due=due,
                holder=holder,
                attempts=attempts,
                data=data,
            )
    _log.warning("a task is lost: its row holds what no task has")
    return None
