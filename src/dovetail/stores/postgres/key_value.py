"""Keys and values in PostgreSQL.

Theory of operation
-------------------
All moves are one function in the engine (`migrations/0002_values.sql`), which takes many of them at once: locks
first, in one order, then each move by itself. A write that finds no room comes back undone; then what has expired
is swept, and it is tried once more.

Specification: none.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

from dovetail.stores.bounds import KeyValueBounds, check_key, check_prefix, check_ttl, check_value
from dovetail.stores.contracts import KeyValue
from dovetail.stores.errors import StoreFull
from dovetail.stores.namespaces import Reservations, Share, view
from dovetail.stores.ordering import prefix_end
from dovetail.stores.postgres.executor import OperationKind, PostgresExecutor

__all__ = ["PostgresKeyValue"]

PAGE = 256
"""Keys that a scan reads at once."""
SWEEP_ROWS = 1_000
_PUT: Final = 0
_SWAP: Final = 1
_TAKE: Final = 2
_DELETE: Final = 3
_EXPIRE: Final = 4
_UNCOUNTED: Final = (0, 0, 0, 0)


class _Move(NamedTuple):
    """A row of what kv_apply is given, in its order. The limits come after the lengths of the prefixes."""

    kind: int
    key: str
    expected: bytes | None = None
    value: bytes | None = None
    end: float = math.inf
    counted: tuple[int, int, int, int] = _UNCOUNTED


class PostgresKeyValue:
    """A `KeyValue` in the schema of `executor`."""

    def __init__(
        self, executor: PostgresExecutor, bounds: KeyValueBounds, clock: Callable[[], float]
    ) -> None:
        self._executor = executor
        self._bounds = bounds
        self._clock = clock
        self._reservations = Reservations(bounds.max_bytes)
        statement = executor.engine.statement
        self._apply_text = statement(
            "SELECT * FROM $schema.kv_apply($1::float8, $2::int[], $3::text[], $4::bytea[], $5::bytea[], $6::float8[],"
            " $7::int[], $8::int[], $9::bigint[], $10::bigint[])"
        )
        self._get_text = statement(
            "SELECT key, value FROM $schema.kv WHERE key = ANY ($1::text[]) AND expires > $2::float8"
        )
        self._page_text = statement(
            "SELECT key FROM $schema.kv WHERE key >= $1::text AND key > $2::text"
            " AND ($3::text IS NULL OR key < $3::text) AND expires > $4::float8 ORDER BY key LIMIT $5::int"
        )
        self._sweep_text = statement("SELECT $schema.kv_sweep($1::float8, $2::int)")
        self._gets = OperationKind("get", self._get_all, 64, writes=False)
        self._pages = OperationKind("page", self._page, 1, writes=False)
        self._moves = OperationKind("move", self._apply, 64)
        self._sweeps = OperationKind("sweep", self._sweep, 1)

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        check_key(key)
        return await self._executor.do(self._gets, key)

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `KeyValue.set`."""
        await self.put(key, value, ttl, ())

    async def put(self, key: str, value: bytes, ttl: float | None, shares: tuple[Share, ...]) -> None:
        """See `SharingKeyValue.put`."""
        self._check(key, value, ttl)
        await self._move(_Move(_PUT, key, None, value, self._end(ttl), _counted(shares)), shares)

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self.swap(key, None, value, ttl, ())

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        check_key(key)
        _, _, held = await self._executor.do(self._moves, _Move(_TAKE, key))
        return held

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
        if expected is not None:
            expected = bytes(expected)
        return await self._move(_Move(_SWAP, key, expected, value, self._end(ttl), _counted(shares)), shares)

    async def delete(self, key: str) -> bool:
        """See `KeyValue.delete`."""
        check_key(key)
        return await self._move(_Move(_DELETE, key), ())

    async def expire(self, key: str, ttl: float) -> bool:
        """See `KeyValue.expire`."""
        check_key(key)
        check_ttl(ttl)
        return await self._move(_Move(_EXPIRE, key, end=self._end(ttl)), ())

    async def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """See `KeyValue.scan`."""
        check_prefix(prefix)
        last = ""
        while True:
            page: list[str] = await self._executor.do(self._pages, (prefix, last))
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

    def _end(self, ttl: float | None) -> float:
        return math.inf if ttl is None else self._clock() + ttl

    async def _move(self, move: _Move, shares: tuple[Share, ...]) -> bool:
        """Whether it was done. Raises `StoreFull` where there is no room, once what has expired is swept."""
        done, lacking = await self._moved(move)
        if lacking:
            while await self._executor.do(self._sweeps, SWEEP_ROWS) >= SWEEP_ROWS:
                pass
            done, lacking = await self._moved(move)
            if lacking:
                raise StoreFull("bytes of values", shares[lacking - 1].limit)
        return done

    async def _moved(self, move: _Move) -> tuple[bool, int]:
        weight = len(move.value or b"") + len(move.expected or b"")
        done, lacking, _ = await self._executor.do(self._moves, move, weight)
        return done, lacking

    async def _get_all(self, connection: Any, keys: list[str]) -> Sequence[bytes | None]:
        found = dict(await connection.fetch(self._get_text, keys, self._clock()))
        return [found.get(key) for key in keys]

    async def _apply(self, connection: Any, moves: list[_Move]) -> Sequence[Any]:
        kinds, keys, expected, values, ends, counted = zip(*moves, strict=True)
        return await connection.fetch(
            self._apply_text,
            self._clock(),
            kinds,
            keys,
            expected,
            values,
            ends,
            *zip(*counted, strict=True),
        )

    async def _page(self, connection: Any, given: list[tuple[str, str]]) -> Sequence[list[str]]:
        prefix, last = given[0]
        rows = await connection.fetch(
            self._page_text, prefix, last, prefix_end(prefix) if prefix else None, self._clock(), PAGE
        )
        return [[row[0] for row in rows]]

    async def _sweep(self, connection: Any, given: list[int]) -> Sequence[int]:
        return [await connection.fetchval(self._sweep_text, self._clock(), given[0])]


def _counted(shares: tuple[Share, ...]) -> tuple[int, int, int, int]:
    """How long the prefixes of the outer and the inner share are, and what each may hold."""
    if not shares:
        return _UNCOUNTED
    outer, inner = shares[0], shares[1] if len(shares) > 1 else Share("", 0)
    return len(outer.prefix), len(inner.prefix), outer.limit, inner.limit
