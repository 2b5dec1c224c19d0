"""Tasks in PostgreSQL.

Theory of operation
-------------------
Each move is a function in the engine (`migrations/0006_tasks.sql`, the pick in `migrations/0008_task_pick.sql`);
changes, renewals, results and creations travel many together, by the order of their ids.

A claim counts what is held: of each queue that has a limit, and by each owner. Two claims that count at once would
both see the last place free, so a claim takes the advisory locks of its queues first, by the order of their hashes.
Locks on rows of counters would do it too, but then whoever finishes a task has to write to the one row of its queue,
and leases that end by themselves would have to be counted down by somebody. The lock is held for one statement and its
commit, never while a caller is waited for; claims of other queues are not held up, and changes never are. One process
sends one batch of claims at a time, so that those who wait for the lock do not take all of its connections. The tasks
themselves are taken by ``FOR UPDATE SKIP LOCKED``: one that somebody is changing now is no one's to wait for.

What is picked is found by walking an index from owner to owner and looking at the first few of each; see `task_pick`.
So a claim costs what its owners and what is held come to, however many wait.

Unless the store was given a clock, times are by the engine's: a lease must not end because the clock of some machine is
ahead.

Specification: none; the extension of tasks is served from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from dovetail.stores.bounds import TaskBounds
from dovetail.stores.contracts import TaskRecord
from dovetail.stores.errors import StoreFull, TaskExists, TooManyTasks, ValueTooLarge
from dovetail.stores.postgres.executor import OperationKind, PostgresExecutor
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
)

__all__ = ["PostgresTasks"]

_UPDATE: Final = 0
_DELETE: Final = 1
_MOST: Final = 2**31 - 1
"""Tasks of one answer."""
_FIELDS: Final = (
    "id, owner, queue, version, status, ended, created, updated, expires, due, holder, attempts, data"
)


class _TaskChange(NamedTuple):
    """A row of what task_apply is given."""

    kind: int
    id: str
    expected: int = 0
    status: str = ""
    ended: bool = False
    expires: float = math.inf
    due: float | None = None
    holder: str = ""
    data: bytes = b""


class _TaskClaim(NamedTuple):
    """What task_claim is given of one claim."""

    holder: str
    queues: tuple[tuple[str, int | None], ...]
    limit: int
    lease: float


class _NamedClaim(NamedTuple):
    """What task_claim_one is given of one claim."""

    id: str
    holder: str
    lease: float
    most: int | None


class _TaskRenewal(NamedTuple):
    """What task_renew is given of one renewal."""

    holder: str
    ids: tuple[str, ...]
    lease: float


class _StepResult(NamedTuple):
    """What task_record is given of one result."""

    id: str
    holder: str
    name: str
    data: bytes


class _TaskPage(NamedTuple):
    """Where a list begins, and how long it is."""

    owner: str
    after: tuple[float, str] | None
    limit: int


class PostgresTasks:
    """A `TaskStore` in the schema of `executor`. Without a ``clock`` the engine's counts."""

    def __init__(
        self, executor: PostgresExecutor, bounds: TaskBounds, clock: Callable[[], float] | None
    ) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock
        self._prepare_moves()
        self._prepare_looks()
        self._creations = OperationKind("create task", self._create, 64, alone=True)
        self._changes = OperationKind("change task", self._apply, 64)
        self._claims = OperationKind("claim", self._claim, 64, alone=True)
        self._named_claims = OperationKind("claim one", self._claim_one, 64, alone=True)
        self._renewals = OperationKind("renew", self._renew, 64)
        self._results = OperationKind("record", self._record, 64)
        self._loads = OperationKind("load task", self._load, 64, writes=False)
        self._recollections = OperationKind("recorded", self._recorded, 64, writes=False)
        self._pages = OperationKind("list", self._list, 1, writes=False)
        self._counts = OperationKind("count tasks", self._count, 1, writes=False)
        self._waits = OperationKind("next due", self._next_due, 1, writes=False)
        self._looks = OperationKind("due", self._due, 1, writes=False)

    def _prepare_moves(self) -> None:
        statement = self._executor.engine.statement
        self._create_text = statement(
            "SELECT outcome FROM $schema.task_create($1::float8, $2::text[], $3::text[], $4::text[], $5::text[],"
            " $6::boolean[], $7::float8[], $8::float8[], $9::float8[], $10::float8[], $11::bytea[], $12::bigint[],"
            " $13::bigint)"
        )
        self._apply_text = statement(
            "SELECT * FROM $schema.task_apply($1::float8, $2::int[], $3::text[], $4::bigint[], $5::text[],"
            " $6::boolean[], $7::float8[], $8::float8[], $9::text[], $10::bytea[])"
        )
        self._claim_text = statement(
            "SELECT * FROM $schema.task_claim($1::float8, $2::text[], $3::int[], $4::float8[], $5::int[], $6::text[],"
            " $7::bigint[])"
        )
        self._claim_one_text = statement(
            "SELECT * FROM $schema.task_claim_one($1::float8, $2::text[], $3::text[], $4::float8[], $5::bigint[])"
        )
        self._renew_text = statement(
            "SELECT done FROM $schema.task_renew($1::float8, $2::text[], $3::text[], $4::float8[])"
        )
        self._record_text = statement(
            "SELECT outcome, size FROM $schema.task_record($1::float8, $2::text[], $3::text[], $4::text[], $5::bytea[],"
            " $6::bigint)"
        )

    def _prepare_looks(self) -> None:
        def statement(text: str) -> str:
            now = "$schema.task_now($1::float8)"
            return self._executor.engine.statement(text.replace("$fields", _FIELDS).replace("$now", now))

        self._load_text = statement(
            "SELECT $fields FROM $schema.task WHERE id = ANY ($2::text[]) AND expires > $now"
        )
        self._recorded_text = statement(
            "SELECT t.id, s.name, s.result FROM $schema.task AS t JOIN $schema.task_step AS s ON s.task = t.number"
            " WHERE t.id = ANY ($2::text[]) AND t.expires > $now"
        )
        self._list_text = statement(
            "SELECT $fields FROM $schema.task WHERE owner_hash = hashtextextended($2::text, 0) AND owner = $2::text"
            " AND expires > $now AND (created, id) > ($3::float8, $4::text) ORDER BY created, id LIMIT $5::bigint"
        )
        self._count_text = statement(
            "SELECT count(*) FROM $schema.task WHERE expires > $now AND ($2::text IS NULL OR"
            " (owner_hash = hashtextextended($2::text, 0) AND owner = $2::text))"
            " AND ($3::boolean IS NULL OR ended = $3::boolean)"
        )
        self._next_due_text = statement(
            "SELECT CASE WHEN min(found.at) IS NOT NULL THEN greatest(0, min(found.at) - $now) END"
            " FROM unnest($2::text[]) AS q (name), LATERAL ("
            "(SELECT t.ready FROM $schema.task AS t WHERE t.queue_hash = hashtextextended(q.name, 0)"
            " AND t.queue = q.name AND t.ready IS NOT NULL AND t.expires > $now ORDER BY t.ready LIMIT 1)"
            " UNION ALL (SELECT t.lease FROM $schema.task AS t WHERE t.queue_hash = hashtextextended(q.name, 0)"
            " AND t.queue = q.name AND t.held AND t.lease > $now AND t.expires > $now ORDER BY t.lease LIMIT 1)"
            " UNION ALL (SELECT min(t.due) FROM $schema.task AS t WHERE t.queue_hash = hashtextextended(q.name, 0)"
            " AND t.queue = q.name AND t.held AND t.lease <= $now AND t.expires > $now)"
            ") AS found (at)"
        )
        self._due_text = statement(
            "SELECT found.id FROM ("
            "(SELECT t.due, t.id FROM $schema.task AS t WHERE t.queue_hash = hashtextextended($2::text, 0)"
            " AND t.queue = $2::text AND t.ready <= $now AND t.expires > $now ORDER BY t.ready, t.id LIMIT $3::bigint)"
            " UNION ALL (SELECT t.due, t.id FROM $schema.task AS t WHERE t.queue_hash = hashtextextended($2::text, 0)"
            " AND t.queue = $2::text AND t.held AND t.lease <= $now AND t.due <= $now AND t.expires > $now)"
            ") AS found ORDER BY found.due, found.id LIMIT $3::bigint"
        )

    async def create(self, record: TaskRecord, *, max_unended: int) -> None:
        """See `TaskStore.create`."""
        check_task(record, self._bounds)
        await self._executor.do(self._creations, (record, max_unended), len(record.data))

    async def load(self, id: str) -> TaskRecord | None:
        """See `TaskStore.load`."""
        check_task_id(id)
        return await self._executor.do(self._loads, id)

    async def update(self, record: TaskRecord, *, expected_version: int) -> TaskRecord | None:
        """See `TaskStore.update`."""
        check_task(record, self._bounds)
        if record.ended:
            record = replace(record, due=None, holder="")
        change = _TaskChange(
            _UPDATE,
            record.id,
            expected_version,
            record.status,
            record.ended,
            math.inf if record.expires is None else record.expires,
            record.due,
            record.holder,
            record.data,
        )
        done, owner, queue, created, updated, attempts = await self._executor.do(
            self._changes, change, len(record.data)
        )
        if not done:
            return None
        return replace(
            record,
            owner=owner,
            queue=queue,
            version=expected_version + 1,
            created=created,
            updated=updated,
            attempts=attempts,
        )

    async def claim(
        self, holder: str, queues: Mapping[str, int | None], *, limit: int, lease: float
    ) -> list[TaskRecord]:
        """See `TaskStore.claim`."""
        check_claim(holder, queues, limit=limit, lease=lease)
        if not queues:
            return []
        claim = _TaskClaim(holder, tuple(queues.items()), min(limit, _MOST), lease)
        return await self._executor.do(self._claims, claim)

    async def claim_one(self, id: str, holder: str, *, most: int | None, lease: float) -> TaskRecord | None:
        """See `TaskStore.claim_one`."""
        check_renewal(holder, (id,), lease=lease)
        return await self._executor.do(self._named_claims, _NamedClaim(id, holder, lease, most))

    async def renew(self, holder: str, ids: Collection[str], *, lease: float) -> set[str]:
        """See `TaskStore.renew`."""
        check_renewal(holder, ids, lease=lease)
        if not ids:
            return set()
        return await self._executor.do(self._renewals, _TaskRenewal(holder, tuple(ids), lease))

    async def next_due(self, queues: Collection[str]) -> float | None:
        """See `TaskStore.next_due`."""
        check_queues(queues)
        return await self._executor.do(self._waits, list(queues))

    async def due(self, queue: str, *, limit: int) -> list[str]:
        """See `TaskStore.due`."""
        check_due(queue, limit=limit)
        return await self._executor.do(self._looks, (queue, min(limit, _MOST)))

    async def record(self, id: str, name: str, result: bytes, *, holder: str) -> bool:
        """See `TaskStore.record`."""
        check_result(id, name, result, self._bounds, holder=holder)
        return await self._executor.do(self._results, _StepResult(id, holder, name, result), len(result))

    async def recorded(self, id: str) -> dict[str, bytes]:
        """See `TaskStore.recorded`."""
        check_task_id(id)
        return await self._executor.do(self._recollections, id)

    async def list(
        self, owner: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[TaskRecord]:
        """See `TaskStore.list`."""
        check_page(owner, after, limit)
        return await self._executor.do(self._pages, _TaskPage(owner, after, min(limit, _MOST)))

    async def count(self, owner: str | None = None, *, ended: bool | None = None) -> int:
        """See `TaskStore.count`."""
        check_owner(owner)
        return await self._executor.do(self._counts, (owner, ended))

    async def delete(self, id: str) -> bool:
        """See `TaskStore.delete`."""
        check_task_id(id)
        return (await self._executor.do(self._changes, _TaskChange(_DELETE, id)))[0]

    def _now(self) -> float | None:
        """What functions and statements are given as the time; None: the engine's."""
        return None if self._clock is None else self._clock()

    async def _create(self, connection: Any, given: Sequence[tuple[TaskRecord, int]]) -> Sequence[Any]:
        records = [record for record, _ in given]
        rows = await connection.fetch(
            self._create_text,
            self._now(),
            [each.id for each in records],
            [each.owner for each in records],
            [each.queue for each in records],
            [each.status for each in records],
            [each.ended for each in records],
            [each.created for each in records],
            [each.updated for each in records],
            [math.inf if each.expires is None else each.expires for each in records],
            [None if each.ended else each.due for each in records],
            [each.data for each in records],
            [most for _, most in given],
            self._bounds.max_tasks,
        )
        return [self._created(row[0], most) for row, (_, most) in zip(rows, given, strict=True)]

    def _created(self, outcome: int, most: int) -> Exception | None:
        """What the caller of `create` gets."""
        if outcome == 1:
            return TaskExists()
        if outcome == 2:
            return TooManyTasks(most)
        return StoreFull("tasks", self._bounds.max_tasks) if outcome else None

    async def _apply(self, connection: Any, changes: Sequence[_TaskChange]) -> Sequence[Any]:
        places = _ordered([each.id for each in changes])
        columns = zip(*(changes[place] for place in places), strict=True)
        rows = await connection.fetch(self._apply_text, self._now(), *columns)
        return _put_back(places, [tuple(row) for row in rows])

    async def _claim(self, connection: Any, claims: Sequence[_TaskClaim]) -> Sequence[Any]:
        queues = [queue for each in claims for queue in each.queues]
        rows = await connection.fetch(
            self._claim_text,
            self._now(),
            [each.holder for each in claims],
            [each.limit for each in claims],
            [each.lease for each in claims],
            [len(each.queues) for each in claims],
            [name for name, _ in queues],
            [most for _, most in queues],
        )
        claimed: list[list[TaskRecord]] = [[] for _ in claims]
        for row in sorted(rows, key=lambda row: (row[0], row[1])):
            at = int(row[0]) - 1
            claimed[at].append(_task(*row[2:7], False, *row[7:11], claims[at].holder, *row[11:]))
        return claimed

    async def _claim_one(self, connection: Any, claims: Sequence[_NamedClaim]) -> Sequence[Any]:
        places = _ordered([each.id for each in claims])
        ids, holders, leases, limits = zip(*(claims[place] for place in places), strict=True)
        rows = await connection.fetch(self._claim_one_text, self._now(), ids, holders, leases, limits)
        found: list[TaskRecord | None] = [None] * len(claims)
        for row in rows:
            found[places[int(row[0]) - 1]] = _task(*row[1:])
        return found

    async def _renew(self, connection: Any, renewals: Sequence[_TaskRenewal]) -> Sequence[set[str]]:
        given = [(each.holder, id, each.lease, at) for at, each in enumerate(renewals) for id in each.ids]
        places = _ordered([each[1] for each in given])
        holders, ids, leases, _ = zip(*(given[place] for place in places), strict=True)
        rows = await connection.fetch(self._renew_text, self._now(), holders, ids, leases)
        renewed: list[set[str]] = [set() for _ in renewals]
        for place, row in zip(places, rows, strict=True):
            if row[0]:
                renewed[given[place][3]].add(given[place][1])
        return renewed

    async def _record(self, connection: Any, results: Sequence[_StepResult]) -> Sequence[Any]:
        places = _ordered([each.id for each in results])
        columns = zip(*(results[place] for place in places), strict=True)
        most = self._bounds.max_data
        rows = await connection.fetch(self._record_text, self._now(), *columns, most)
        return _put_back(
            places,
            [
                ValueTooLarge("results of the task together", size, most) if outcome == 2 else not outcome
                for outcome, size in rows
            ],
        )

    async def _load(self, connection: Any, ids: Sequence[str]) -> Sequence[TaskRecord | None]:
        found = {row[0]: _task(*row) for row in await connection.fetch(self._load_text, self._now(), ids)}
        return [found.get(id) for id in ids]

    async def _recorded(self, connection: Any, ids: Sequence[str]) -> Sequence[dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {id: {} for id in ids}
        for id, name, result in await connection.fetch(self._recorded_text, self._now(), ids):
            found[id][name] = result
        return [dict(found[id]) for id in ids]

    async def _list(self, connection: Any, pages: Sequence[_TaskPage]) -> Sequence[Sequence[TaskRecord]]:
        owner, after, limit = pages[0]
        created, id = after or (-math.inf, "")
        rows = await connection.fetch(self._list_text, self._now(), owner, created, id, limit)
        return [[_task(*row) for row in rows]]

    async def _count(self, connection: Any, given: Sequence[tuple[str | None, bool | None]]) -> Sequence[int]:
        return [await connection.fetchval(self._count_text, self._now(), *given[0])]

    async def _due(self, connection: Any, given: Sequence[tuple[str, int]]) -> Sequence[list[str]]:
        return [
            [row[0] for row in await connection.fetch(self._due_text, self._now(), queue, limit)]
            for queue, limit in given
        ]

    async def _next_due(self, connection: Any, given: Sequence[Sequence[str]]) -> Sequence[float | None]:
        return [await connection.fetchval(self._next_due_text, self._now(), given[0])]


def _ordered(ids: list[str]) -> list[int]:
    """The places of the ids in their order; what is of one id stays in its order."""
    return sorted(range(len(ids)), key=ids.__getitem__)


def _put_back(places: list[int], found: Sequence[Any]) -> list[Any]:
    """What was found for things in that order, in the order in which they came."""
    answers: list[Any] = [None] * len(places)
    for place, answer in zip(places, found, strict=True):
        answers[place] = answer
    return answers


def _task(*row: Any) -> TaskRecord:
    """The record in a row of the fields."""
    id, owner, queue, version, status, ended, created, updated, expires, due, holder, attempts, data = row
    return TaskRecord(
        id=id,
        owner=owner,
        queue=queue,
        version=version,
        status=status,
        ended=ended,
        created=created,
        updated=updated,
        expires=None if expires == math.inf else expires,
        due=due,
        holder=holder,
        attempts=attempts,
        data=data,
    )
