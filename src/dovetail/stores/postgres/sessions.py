"""Sessions in PostgreSQL.

Theory of operation
-------------------
Saving, touching and ending a session change one row, and many travel together, by the order of their ids. Creating
one has to count the others and may end some, so creations go one by one, behind an advisory lock, many in one
transaction (`migrations/0003_sessions.sql`).

Specification: "Session Management" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from dovetail.stores.bounds import SessionBounds, check_key, check_prefix, check_value, is_anonymous
from dovetail.stores.contracts import SessionRecord
from dovetail.stores.errors import SessionExists, StoreFull
from dovetail.stores.postgres.executor import OperationKind, PostgresExecutor

__all__ = ["PostgresSessions"]

_SAVE: Final = 0
_TOUCH: Final = 1
_DELETE: Final = 2


class _SessionChange(NamedTuple):
    """A row of what session_apply is given."""

    kind: int
    id: str
    expected: int = 0
    version: int = 0
    data: bytes | None = None


class PostgresSessions:
    """A `SessionStore` in the schema of `executor`."""

    def __init__(self, executor: PostgresExecutor, bounds: SessionBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock
        statement = executor.engine.statement
        self._create_text = statement(
            "SELECT made.outcome, made.gone FROM unnest($2::text[], $3::bigint[], $4::float8[], $5::float8[],"
            " $6::text[], $7::boolean[], $8::bytea[]) AS new (id, version, created, seen, principal, anonymous, data),"
            " LATERAL $schema.session_create($1::float8, id, version, created, seen, principal, anonymous, data,"
            " $9::bigint, $10::bigint, $11::float8, $12::float8) AS made"
        )
        self._apply_text = statement(
            "SELECT done FROM $schema.session_apply($1::float8, $2::int[], $3::text[], $4::bigint[], $5::bigint[],"
            " $6::bytea[], $7::float8, $8::float8)"
        )
        self._load_text = statement(
            "SELECT id, version, created, seen, principal, data FROM $schema.session"
            " WHERE id = ANY ($1::text[]) AND expires > $2::float8"
        )
        self._count_text = statement(
            "SELECT count(*) FROM $schema.session WHERE expires > $1::float8"
            " AND ($2::text IS NULL OR principal = $2::text)"
        )
        self._creations = OperationKind("create", self._create, 64, alone=True)
        self._changes = OperationKind("change", self._apply, 64)
        self._loads = OperationKind("load", self._load, 64, writes=False)
        self._counts = OperationKind("count", self._count, 1, writes=False)

    async def create(self, record: SessionRecord) -> list[str]:
        """See `SessionStore.create`."""
        check_key(record.id, "session id")
        check_prefix(record.principal, "principal key")
        check_value(record.data, self._bounds.max_data, "session data")
        return await self._executor.do(self._creations, record, len(record.data))

    async def load(self, id: str) -> SessionRecord | None:
        """See `SessionStore.load`."""
        check_key(id, "session id")
        return await self._executor.do(self._loads, id)

    async def save(self, record: SessionRecord, *, expected_version: int) -> bool:
        """See `SessionStore.save`."""
        check_key(record.id, "session id")
        check_value(record.data, self._bounds.max_data, "session data")
        if record.version <= expected_version:
            raise ValueError(
                f"A save must raise the version: {record.version} is not above {expected_version}."
            )
        change = _SessionChange(_SAVE, record.id, expected_version, record.version, record.data)
        return await self._executor.do(self._changes, change, len(record.data))

    async def touch(self, id: str) -> bool:
        """See `SessionStore.touch`."""
        check_key(id, "session id")
        return await self._executor.do(self._changes, _SessionChange(_TOUCH, id))

    async def delete(self, id: str) -> bool:
        """See `SessionStore.delete`."""
        check_key(id, "session id")
        return await self._executor.do(self._changes, _SessionChange(_DELETE, id))

    async def count(self, principal_key: str | None = None) -> int:
        """See `SessionStore.count`."""
        return await self._executor.do(self._counts, principal_key)

    async def _create(self, connection: Any, records: list[SessionRecord]) -> Sequence[Any]:
        bounds, now = self._bounds, self._clock()
        rows = await connection.fetch(
            self._create_text,
            now,
            [each.id for each in records],
            [each.version for each in records],
            [min(each.created, now) for each in records],
            [min(each.seen, now) for each in records],
            [each.principal for each in records],
            [is_anonymous(each.principal) for each in records],
            [each.data for each in records],
            bounds.max_sessions,
            bounds.max_per_principal,
            bounds.idle_ttl,
            bounds.absolute_ttl,
        )
        return [self._created(*row) for row in rows]

    def _created(self, outcome: int, gone: list[str]) -> object:
        """What the caller of `create` gets."""
        bounds = self._bounds
        if outcome == 1:
            return SessionExists()
        if outcome == 2:
            return StoreFull("sessions of one principal", bounds.max_per_principal)
        return StoreFull("sessions", bounds.max_sessions) if outcome else gone

    async def _apply(self, connection: Any, changes: list[_SessionChange]) -> Sequence[bool]:
        places = sorted(range(len(changes)), key=lambda place: changes[place].id)
        kinds, ids, expected, versions, data = zip(*(changes[place] for place in places), strict=True)
        rows = await connection.fetch(
            self._apply_text,
            self._clock(),
            kinds,
            ids,
            expected,
            versions,
            data,
            self._bounds.idle_ttl,
            self._bounds.absolute_ttl,
        )
        done = dict(zip(places, (row[0] for row in rows), strict=True))
        return [done[place] for place in range(len(changes))]

    async def _load(self, connection: Any, ids: list[str]) -> Sequence[SessionRecord | None]:
        rows = await connection.fetch(self._load_text, ids, self._clock())
        found = {
            row[0]: SessionRecord(
                id=row[0], version=row[1], created=row[2], seen=row[3], principal=row[4], data=row[5]
            )
            for row in rows
        }
        return [found.get(id) for id in ids]

    async def _count(self, connection: Any, given: list[str | None]) -> Sequence[int]:
        return [await connection.fetchval(self._count_text, self._clock(), given[0])]
