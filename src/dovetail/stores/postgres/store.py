"""The store in PostgreSQL: any number of processes on any number of machines.

Theory of operation
-------------------
`engine` says where it is and what its errors mean, `executor` brings operations there, and the parts each know
their statements. What has to be one move is a function in the engine (`migrations/`), so every operation is one
statement, one transaction, and one way there and back.

What is acknowledged is committed; how safe a commit is, the engine's `synchronous_commit` says. What a caller was not
told, because the connection broke while it was under way, may have been done.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dovetail.stores.bounds import StoreBounds
from dovetail.stores.postgres.bus import PostgresBus
from dovetail.stores.postgres.engine import PostgresEngine, driver
from dovetail.stores.postgres.events import PostgresEvents
from dovetail.stores.postgres.executor import PostgresExecutor
from dovetail.stores.postgres.key_value import PostgresKeyValue
from dovetail.stores.postgres.sessions import PostgresSessions
from dovetail.stores.postgres.tasks import PostgresTasks

__all__ = ["PostgresStore"]


class PostgresStore:
    """The bundle in the PostgreSQL database at `url`: `kv`, `sessions`, `events`, `bus` and `tasks`.

    `schema` is where its tables are, made by ``dovetail store migrate URL``. `connections` bounds the connections
    of each event loop (another one is for the bus), and `timeout` says how many seconds to wait for the engine.
    `clock` gives seconds since the epoch; where none is given, tasks go by the engine's. TLS is asked for in the URL
    (``?sslmode=verify-full``). Nothing is opened before the first operation. `listen_url` is where the bus listens, if
    `url` leads through a connection pooler. Raises `ImportError` without ``dovetail[postgres]``, `ValueError` for a URL
    or a name that can't be one.
    """

    def __init__(
        self,
        url: str,
        *,
        bounds: StoreBounds = StoreBounds(),
        clock: Callable[[], float] = time.time,
        schema: str = "dovetail",
        connections: int = 4,
        timeout: float = 10.0,
        listen_url: str | None = None,
    ) -> None:
        driver()
        engine = PostgresEngine(url, schema=schema, timeout=timeout)
        of_tasks = None if clock is time.time else clock
        statement = engine.statement(
            "SELECT greatest($schema.sweep($1::float8, $2::int), $schema.task_sweep($3::float8, $2::int))"
        )

        async def sweep(connection: Any, amount: int) -> int:
            now = clock()
            return await connection.fetchval(statement, now, amount, now if of_tasks else None)

        self._executor = PostgresExecutor(engine, connections=connections, sweep=sweep)
        self.kv = PostgresKeyValue(self._executor, bounds.kv, clock)
        self.sessions = PostgresSessions(self._executor, bounds.sessions, clock)
        self.events = PostgresEvents(self._executor, bounds.events, clock)
        self.tasks = PostgresTasks(self._executor, bounds.tasks, of_tasks)
        ear = engine if listen_url is None else PostgresEngine(listen_url, schema=schema, timeout=timeout)
        self.bus = PostgresBus(self._executor, ear, bounds.bus, clock)

    async def aclose(self) -> None:
        """Close all connections; what still waits ends with `StoreClosed`. May be called again."""
        await self.bus.aclose()
        await self._executor.aclose()
