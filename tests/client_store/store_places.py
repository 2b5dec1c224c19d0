"""Where clients keep what they keep, in the tests: a store of each kind, opened as often as it takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from postgres_server import PostgresServer, migrated
from redis_server import RedisServer

from dovetail.stores import MemoryStore, MixedStore, PostgresStore, RedisStore, SQLiteStore, Store

_numbers = count()


class Place:
    """Where a store is. ``code``: an expression that opens it in another process; empty where that can't be."""

    def __init__(self, kind: str, make: Callable[[], Store], code: str = "") -> None:
        self.kind = kind
        self.code = code
        self._make = make
        self._open: list[Store] = []

    def open(self) -> Store:
        """The store, opened once more."""
        store = self._make()
        self._open.append(store)
        return store

    async def close(self) -> None:
        """Close all that was opened."""
        for each in self._open:
            await each.aclose()


async def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    name = f"place{next(_numbers)}"
    if kind == "memory":
        one = MemoryStore()
        return Place(kind, lambda: one)
    if kind == "sqlite":
        return sqlite_place(folder / "kept")
    if kind == "mixed":
        file, rest = sqlite_place(folder / "kept"), MemoryStore()
        return Place(kind, lambda: MixedStore(rest, kv=file.open()))
    if kind == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        url = redis.url
        return Place(
            kind, lambda: RedisStore(url, namespace=name), f"RedisStore({url!r}, namespace={name!r})"
        )
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    await migrated(postgres, name)
    url = postgres.url
    return Place(kind, lambda: PostgresStore(url, schema=name), f"PostgresStore({url!r}, schema={name!r})")


def sqlite_place(folder: Path) -> Place:
    folder.mkdir(mode=0o700)
    path = str(folder / "client.db")
    return Place("sqlite", lambda: SQLiteStore(path), f"SQLiteStore({path!r})")
