"""A program that has used its store before its workers were forked shares no connection with them.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, migrated, needs_postgres
from redis_server import RedisServer, running_server
from test_rolling import Server

from dovetail import Client
from dovetail.protocol.revisions import STATEFUL

PROGRAM = '''
import asyncio, os, sys
from dovetail import App
from dovetail.stores import open_store

store = open_store(os.environ["DOVETAIL_STORE"])
app = App("forked", store=store)


@app.tool
async def own(count: int) -> str:
    """Write and read so many values of this worker's, many at a time."""
    async def one(number: int) -> bool:
        key, value = f"{os.getpid()}/{number}", f"{os.getpid()} {number}".encode()
        await store.kv.set(key, value)
        return await store.kv.get(key) == value and await store.kv.get("before") == b"the fork"
    said = await asyncio.gather(*(one(number) for number in range(count)))
    return f"{os.getpid()} {all(said)}"


if __name__ == "__main__":
    asyncio.run(store.kv.set("before", b"the fork"))
    app.run("http", port=0, workers=2)
'''


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


@pytest.fixture(params=["sqlite", "redis", pytest.param("postgres", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store for several processes, by its URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.db")
    elif request.param == "redis":
        yield request.getfixturevalue("redis").url
    else:
        server = PostgresServer()
        try:
            server.start()
            yield asyncio.run(migrated(server, "dovetail"))
        finally:
            server.remove()


def test_workers_have_connections_of_their_own(url: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    environment = {**os.environ, "DOVETAIL_STORE": url}
    server = Server(tmp_path, sys.executable, str(tmp_path / "app.py"), env=environment)
    try:
        target = server.serving()
        workers: set[str] = set()
        give_up = time.monotonic() + 40
        while len(workers) < 2:
            assert time.monotonic() < give_up, "one worker took all connections"
            with (
                Client.sync(target, revision=STATEFUL[-1]) as one,
                Client.sync(target, revision=STATEFUL[-1]) as other,
            ):
                for client in (one, other):
                    pid, fine = client.call_tool("own", {"count": 50}).text.split()
                    assert fine == "True"
                    workers.add(pid)
        server.process.terminate()
        assert server.ended() == 0
    finally:
        server.clean_up()
