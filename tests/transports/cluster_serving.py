"""Several workers of one endpoint on one store: what the tests of sessions that any worker serves share.

Each worker is an `HTTPApp` with a store object of its own over the same engine, behind a real socket; requests are sent
to whichever worker a test chooses. Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_serving import Bench, Prober, Stream, serving
from postgres_server import PROGRAMS, PostgresServer, migrated
from redis_server import RedisServer, need_redis

from dovetail.stores import PostgresStore, RedisStore, SQLiteStore
from dovetail.stores.contracts import Store
from dovetail.transports.http_server.asgi import HTTPApp

ENGINES = ["sqlite", "redis", "postgres"]
OpenStore = Callable[[], Store]


def running_engine(name: str, folder: Path) -> Iterator[OpenStore]:
    """The body of a fixture: an engine that runs, and what opens one more store in it."""
    if name == "sqlite":
        yield lambda: SQLiteStore(folder / "store.db")
    elif name == "redis":
        need_redis()
        server = RedisServer(folder / "redis").start()
        try:
            yield lambda: RedisStore(server.url)
        finally:
            server.kill()
    else:
        if PROGRAMS is None:
            pytest.skip("no-postgres: the machine has no PostgreSQL to start")
        postgres = PostgresServer()
        try:
            postgres.start()
            asyncio.run(migrated(postgres, "dovetail"))
            yield lambda: PostgresStore(postgres.url)
        finally:
            postgres.remove()


class Worker:
    """One worker: its endpoint, what runs in it, and where it is."""

    def __init__(self, bench: Bench, app: HTTPApp, port: int) -> None:
        self.bench = bench
        self.app = app
        self.port = port
        self.probers: list[Prober] = []

    def prober(self, of: Prober | None = None) -> Prober:
        """A client of this worker; ``of``: in the session of another one."""
        if of is None:
            self.probers.append(Prober(self.port))
            return self.probers[-1]
        other = of.another()
        other.port = self.port
        return other

    @property
    def live(self) -> int:
        """How many sessions it holds something of."""
        return len(self.app._stateful._sessions._live)


@contextlib.asynccontextmanager
async def workers(open_store: OpenStore, count: int = 2, **options: Any) -> AsyncIterator[list[Worker]]:
    """So many workers of one endpoint."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[Worker] = []
        for _ in range(count):
            store = await stack.enter_async_context(contextlib.aclosing(open_store()))
            bench = Bench()
            app = HTTPApp(bench.service, store=store, workers=count, drain=0.2, **options)
            port = await stack.enter_async_context(serving(app))
            found.append(Worker(bench, app, port))
            stack.push_async_callback(_closed, found[-1])
        yield found


async def _closed(worker: Worker) -> None:
    """Close the connections of its clients."""
    for prober in worker.probers:
        for connection in prober.opened:
            await connection.close()


def tool(prober: Prober, name: str, *, id: Any = None, **arguments: Any) -> bytes:
    """A call of a tool of the bench, with a progress token."""
    params = {"name": name, "arguments": arguments, "_meta": {"progressToken": "p"}}
    return prober.message("tools/call", params, id=id)


def response(id: Any, result: Any) -> bytes:
    """An answer of the client's."""
    return json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()


async def said(stream: Stream) -> Any:
    """The next message on a stream; None at its end."""
    while (event := await stream.next()) is not None:
        if event.data:
            return json.loads(event.data)
    return None
