"""The store in one file: nothing to install, and it outlives the process.

Theory of operation
-------------------
The operations here are plain functions of a connection; `sqlite_executor` runs them in its threads, many to a
transaction, and `sqlite_file` opens the file. Several bundles, in one process or in many on the same machine,
may share a file: writing transactions begin IMMEDIATE, so what one reads no other changes before it commits.
(A file on a network file system is not sound for that: use a server-backed store there.)

A commit survives the death of the process at once. A power cut may take back the last moments, never the
file: a stream then ends earlier than a client saw, and the client is told so (`StreamUnknown`) instead of
missing events.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from sqlite3 import Connection
from typing import Final

from dovetail.logs import get_logger
from dovetail.stores.bounds import (
    ANONYMOUS,
    KeyValueBounds,
    SessionBounds,
    StoreBounds,
    check_key,
    check_prefix,
    check_ttl,
    check_value,
    is_anonymous,
)
from dovetail.stores.contracts import KeyValue, SessionRecord
from dovetail.stores.errors import SessionExists, StoreFull
from dovetail.stores.namespaces import COST, Reservations, Share, view
from dovetail.stores.ordering import prefix_end
from dovetail.stores.sqlite_bus import SQLiteBus, sweep_messages
from dovetail.stores.sqlite_events import SQLiteEvents, sweep_events
from dovetail.stores.sqlite_executor import SQLiteExecutor
from dovetail.stores.sqlite_file import FileSettings
from dovetail.stores.sqlite_tasks import SQLiteTasks, sweep_tasks

__all__ = ["SQLiteKeyValue", "SQLiteSessions", "SQLiteStore"]

PAGE = 256
"""Keys that a scan reads at once."""
_SESSION: Final = (int, float, float, "text", bytes)
"""What the columns of a session hold. SQLite would keep anything in them."""

_IDLE = (
    "FROM session WHERE expires > ? AND"
    " (principal = ? OR (? IS NULL AND (principal = '' OR (principal >= ? AND principal < ?))))"
)
"""The sessions of one anonymous principal, or, given none, of all."""

_log = get_logger("dovetail.stores")


class SQLiteKeyValue:
    """A `KeyValue` in the file of `executor`."""

    owner_only = True
    """Nobody else can read the file (`sqlite_access`): secrets of this user may stand in it as they are."""

    def __init__(self, executor: SQLiteExecutor, bounds: KeyValueBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock
        self._reservations = Reservations(bounds.max_bytes)

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        check_key(key)
        return await self._executor.read(self._get, key)

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `KeyValue.set`."""
        await self.put(key, value, ttl, ())

    async def put(self, key: str, value: bytes, ttl: float | None, shares: tuple[Share, ...]) -> None:
        """See `SharingKeyValue.put`."""
        self._check(key, value, ttl)
        _refuse(await self._executor.write(self._put, key, value, ttl, shares))

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self.compare_and_set(key, None, value, ttl=ttl)

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        check_key(key)
        return await self._executor.write(self._take, key)

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """See `KeyValue.compare_and_set`."""
        return await self.swap(key, expected, value, ttl, ())

    async def swap(
        self,
        key: str,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> bool:
        """See `SharingKeyValue.swap`."""
        self._check(key, value, ttl)
        done, lacking = await self._executor.write(self._swap, key, expected, value, ttl, shares)
        _refuse(lacking)
        return done

    async def delete(self, key: str) -> bool:
        """See `KeyValue.delete`."""
        return await self.take(key) is not None

    async def expire(self, key: str, ttl: float) -> bool:
        """See `KeyValue.expire`."""
        check_key(key)
        check_ttl(ttl)
        return await self._executor.write(self._expire, key, ttl)

    async def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """See `KeyValue.scan`."""
        check_prefix(prefix)
        last = ""
        while True:
            page = await self._executor.read(self._page, prefix, last)
            for key in page:
                yield key
            if len(page) < PAGE:
                return
            last = page[-1]

    def within(self, prefix: str, *, share: float | None = None) -> KeyValue:
        """See `KeyValue.within`."""
        return view(self, "", (), prefix, share)

    def reserve(self, prefix: str, share: float) -> Share:
        """See `SharingKeyValue.reserve`."""
        return self._reservations.reserve(prefix, share)

    def _check(self, key: str, value: bytes | None, ttl: float | None) -> None:
        check_key(key)
        check_ttl(ttl)
        if value is not None:
            check_value(value, self._bounds.max_value)

    def _get(self, connection: Connection, key: str) -> bytes | None:
        row = connection.execute(
            "SELECT CAST(value AS BLOB), typeof(value) FROM kv WHERE key = ? AND (expires IS NULL OR expires > ?)",
            (key, self._clock()),
        ).fetchone()
        if row is not None and row[1] != "blob":
            _log.warning("a value is lost: %s stands in its place", row[1])
            return None
        return None if row is None else row[0]

    def _put(
        self,
        connection: Connection,
        key: str,
        value: bytes,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> Share | None:
        """Put it there, or give the share that has no room for it. (An error would take the sweep back as well.)"""
        size = len(key) + len(value) + COST
        if shares and self._lacking(connection, key, size, shares):
            connection.execute("DELETE FROM kv WHERE expires <= ?", (self._clock(),))
            if lacking := self._lacking(connection, key, size, shares):
                return lacking
        for share in shares:
            connection.execute("INSERT OR IGNORE INTO kv_used VALUES (?, 0)", (share.prefix,))
        space, inner = ([len(share.prefix) for share in shares] + [0, 0])[:2]
        connection.execute(
            "INSERT INTO kv VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
            " expires = excluded.expires, space = excluded.space, share = excluded.share",
            (key, value, None if ttl is None else self._clock() + ttl, space, inner),
        )
        return None

    def _lacking(
        self, connection: Connection, key: str, size: int, shares: tuple[Share, ...]
    ) -> Share | None:
        """The share that has no room for an entry of this size in the place of the present one."""
        present, *before = connection.execute(
            "SELECT length(key) + length(value) + ?, space, share FROM kv WHERE key = ?", (COST, key)
        ).fetchone() or (0,)
        for share in shares:
            row = connection.execute("SELECT bytes FROM kv_used WHERE prefix = ?", (share.prefix,)).fetchone()
            freed = present if len(share.prefix) in before else 0
            if (row[0] if row else 0) - freed + size > share.limit:
                return share
        return None

    def _take(self, connection: Connection, key: str) -> bytes | None:
        value = self._get(connection, key)
        if value is not None:
            connection.execute("DELETE FROM kv WHERE key = ?", (key,))
        return value

    def _swap(
        self,
        connection: Connection,
        key: str,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> tuple[bool, Share | None]:
        if self._get(connection, key) != expected:
            return False, None
        if value is None:
            connection.execute("DELETE FROM kv WHERE key = ?", (key,))
            return True, None
        return True, self._put(connection, key, value, ttl, shares)

    def _expire(self, connection: Connection, key: str, ttl: float) -> bool:
        now = self._clock()
        return bool(
            connection.execute(
                "UPDATE kv SET expires = ? WHERE key = ? AND (expires IS NULL OR expires > ?)",
                (now + ttl, key, now),
            ).rowcount
        )

    def _page(self, connection: Connection, prefix: str, last: str) -> list[str]:
        rows = connection.execute(
            "SELECT key FROM kv WHERE key >= ? AND key > ? AND key < ? AND (expires IS NULL OR expires > ?)"
            " ORDER BY key LIMIT ?",
            (prefix, last, prefix_end(prefix) or b"", self._clock(), PAGE),  # a blob sorts above every text
        )
        return [row[0] for row in rows]


class SQLiteSessions:
    """A `SessionStore` in the file of `executor`."""

    def __init__(self, executor: SQLiteExecutor, bounds: SessionBounds, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock

    async def create(self, record: SessionRecord) -> list[str]:
        """See `SessionStore.create`."""
        check_key(record.id, "session id")
        check_prefix(record.principal, "principal key")
        check_value(record.data, self._bounds.max_data, "session data")
        return await self._executor.write(self._create, record)

    async def load(self, id: str) -> SessionRecord | None:
        """See `SessionStore.load`."""
        check_key(id, "session id")
        return await self._executor.read(self._load, id)

    async def save(self, record: SessionRecord, *, expected_version: int) -> bool:
        """See `SessionStore.save`."""
        check_key(record.id, "session id")
        check_value(record.data, self._bounds.max_data, "session data")
        if record.version <= expected_version:
            raise ValueError(
                f"A save must raise the version: {record.version} is not above {expected_version}."
            )
        return await self._executor.write(self._save, record, expected_version)

    async def touch(self, id: str) -> bool:
        """See `SessionStore.touch`."""
        check_key(id, "session id")
        return await self._executor.write(self._touch, id)

    async def delete(self, id: str) -> bool:
        """See `SessionStore.delete`."""
        check_key(id, "session id")
        return await self._executor.write(self._delete, id)

    async def count(self, principal_key: str | None = None) -> int:
        """See `SessionStore.count`."""
        return await self._executor.read(self._count, principal_key)

    def _create(self, connection: Connection, record: SessionRecord) -> list[str]:
        now = self._clock()
        bounds = self._bounds
        # Only this id: `session_expires` lets the counts skip the rest of what has expired, and the sweep
        # removes it.
        connection.execute("DELETE FROM session WHERE id = ? AND expires <= ?", (record.id, now))
        if self._load(connection, record.id) is not None:
            raise SessionExists
        gone: list[str] = []
        while self._count(connection, record.principal) >= bounds.max_per_principal:
            id = self._idlest(connection, record.principal) if is_anonymous(record.principal) else None
            if id is None:
                raise StoreFull("sessions of one principal", bounds.max_per_principal)
            gone.append(self._end(connection, id))
        while self._count(connection, None) >= bounds.max_sessions:
            id = self._idlest(connection, None)
            if id is None:
                raise StoreFull("sessions", bounds.max_sessions)
            gone.append(self._end(connection, id))
        created, seen = min(record.created, now), min(record.seen, now)
        end = min(seen + bounds.idle_ttl, created + bounds.absolute_ttl)
        connection.execute(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?)",
            (record.id, record.version, created, seen, record.principal, record.data, end),
        )
        return gone

    def _idlest(self, connection: Connection, principal: str | None) -> str | None:
        """The idlest session of one anonymous principal, or of all."""
        given = (self._clock(), principal, principal, ANONYMOUS, prefix_end(ANONYMOUS))
        count, unused = connection.execute(f"SELECT count(*), sum(version = 1) {_IDLE}", given).fetchone()
        order = "version > 1, created, id" if 2 * (unused or 0) > count else "seen, id"
        row = connection.execute(f"SELECT id {_IDLE} ORDER BY {order} LIMIT 1", given).fetchone()
        return None if row is None else row[0]

    @staticmethod
    def _end(connection: Connection, id: str) -> str:
        connection.execute("DELETE FROM session WHERE id = ?", (id,))
        return id

    def _load(self, connection: Connection, id: str) -> SessionRecord | None:
        row = connection.execute(
            "SELECT version, created, seen, CAST(principal AS BLOB), data, typeof(principal) FROM session"
            " WHERE id = ? AND expires > ?",
            (id, self._clock()),
        ).fetchone()
        if row is None:
            return None
        version, created, seen, principal, data, kind = row
        if (type(version), type(created), type(seen), kind, type(data)) == _SESSION:
            with suppress(UnicodeDecodeError):
                owner = principal.decode()
                return SessionRecord(
                    id=id, version=version, created=created, seen=seen, principal=owner, data=data
                )
        _log.warning("a session is lost: its row holds what no session has")
        return None

    def _save(self, connection: Connection, record: SessionRecord, expected_version: int) -> bool:
        changed = connection.execute(
            "UPDATE session SET version = ?, data = ? WHERE id = ? AND version = ? AND expires > ?",
            (record.version, record.data, record.id, expected_version, self._clock()),
        ).rowcount
        return bool(changed) and self._touch(connection, record.id)

    def _touch(self, connection: Connection, id: str) -> bool:
        now = self._clock()
        return bool(
            connection.execute(
                "UPDATE session SET seen = max(seen, ?), expires = min(max(seen, ?) + ?, created + ?)"
                " WHERE id = ? AND expires > ?",
                (now, now, self._bounds.idle_ttl, self._bounds.absolute_ttl, id, now),
            ).rowcount
        )

    def _delete(self, connection: Connection, id: str) -> bool:
        return bool(
            connection.execute(
                "DELETE FROM session WHERE id = ? AND expires > ?", (id, self._clock())
            ).rowcount
        )

    def _count(self, connection: Connection, principal: str | None) -> int:
        now = self._clock()
        if principal is None:
            row = connection.execute("SELECT count(*) FROM session WHERE expires > ?", (now,)).fetchone()
        else:
            row = connection.execute(
                "SELECT count(*) FROM session WHERE principal = ? AND expires > ?", (principal, now)
            ).fetchone()
        return row[0]


class SQLiteStore:
    """The bundle in the file at `path`, which is made if need be: `kv`, `sessions`, `events`, `bus` and
    `tasks`.

    `max_bytes` bounds the file, in bytes (8 GiB; what does not fit raises `StoreFull`), `busy_timeout` says how many
    seconds to wait for other writers, `readers` how many threads read. `clock` gives seconds since the epoch
    and is called in those threads. Nothing is opened and no thread starts before the first operation.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bounds: StoreBounds = StoreBounds(),
        clock: Callable[[], float] = time.time,
        max_bytes: int = 8 * 1024**3,
        busy_timeout: float = 5.0,
        readers: int = 2,
    ) -> None:
        def sweep(connection: Connection, amount: int) -> None:
            _sweep(connection, clock(), amount)

        settings = FileSettings(path, max_bytes=max_bytes, busy_timeout=busy_timeout)
        self._executor = SQLiteExecutor(settings, readers=readers, sweep=sweep)
        self.kv = SQLiteKeyValue(self._executor, bounds.kv, clock)
        self.sessions = SQLiteSessions(self._executor, bounds.sessions, clock)
        self.events = SQLiteEvents(self._executor, bounds.events, clock)
        self.bus = SQLiteBus(self._executor, settings, bounds.bus, clock)
        self.tasks = SQLiteTasks(self._executor, bounds.tasks, clock)

    async def aclose(self) -> None:
        """End the threads and close the file; what still waits ends with `StoreClosed`. May be called
        again.
        """
        await self.bus.aclose()
        await self._executor.aclose()


def _refuse(lacking: Share | None) -> None:
    if lacking is not None:
        raise StoreFull("bytes of values", lacking.limit)


def _sweep(connection: Connection, now: float, amount: int) -> None:
    connection.execute(
        "DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expires <= ? LIMIT ?)", (now, amount)
    )
    connection.execute(
        "DELETE FROM session WHERE rowid IN (SELECT rowid FROM session WHERE expires <= ? LIMIT ?)",
        (now, amount),
    )
    sweep_messages(connection, now, amount)
    sweep_events(connection, now, amount)
    sweep_tasks(connection, now, amount)
