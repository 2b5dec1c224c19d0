"""The engines of stores that processes share, and processes that share one; for the tests of what they share.

Theory of operation
-------------------
An `Engine` is a file, or a real server that can be killed and started again. `Workers` starts `relayed_worker.py`
on it, and ends what it started.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer, folder_of_programs, migrated
from redis_server import RedisServer, running_server

WORKER = Path(__file__).with_name("relayed_worker.py")
KINDS = ("sqlite", "redis", "postgres")


class Engine:
    """Where a store is. ``said``: what `store_of` reads."""

    def __init__(self, kind: str, folder: Path, server: RedisServer | PostgresServer | None) -> None:
        self.kind = kind
        self.server = server
        self._folder = folder
        self._files = 0

    @property
    def said(self) -> str:
        """The path of a file, or the URL of a server."""
        return str(self._folder / f"{self._files}.db") if self.server is None else self.server.url

    def clear(self) -> None:
        """Have nothing in it."""
        if isinstance(self.server, RedisServer):
            self.server.command("FLUSHALL")
        elif self.server is not None:
            self.server.sql(
                "TRUNCATE dovetail.kv, dovetail.kv_used, dovetail.session, dovetail.stream, dovetail.event,"
                " dovetail.message, dovetail.task, dovetail.task_step; UPDATE dovetail.task_size SET tasks = 0"
            )
        self._files += 1

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self.server is not None
        self.server.kill()

    def start(self) -> None:
        """Start it again."""
        assert self.server is not None
        self.server.start()


def running_engine(kind: str, folder: Path) -> Iterator[Engine]:
    """The body of a fixture for a whole module: an engine, to be cleared for each test."""
    if kind == "sqlite":
        yield Engine(kind, folder, None)
    elif kind == "redis":
        for server in running_server(folder / "redis"):
            yield Engine(kind, folder, server)
    else:
        if folder_of_programs() is None:
            pytest.skip("no-postgres: the machine has no PostgreSQL to start")
        postgres = PostgresServer()
        try:
            postgres.start()
            asyncio.run(migrated(postgres, "dovetail"))
            yield Engine(kind, folder, postgres)
        finally:
            postgres.remove()


class Workers:
    """Processes on one engine. ``logs``: what each wrote to standard error, in the order of their starts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.logs: list[list[str]] = []
        self._stack = AsyncExitStack()

    async def start(self, how: str, *words: str, **environment: str) -> asyncio.subprocess.Process:
        """One more process."""
        plain = {name: value for name, value in os.environ.items() if name != "DOVETAIL_KEYS"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(WORKER), how, self.engine.said, *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**plain, **environment},
        )
        log: list[str] = []
        self.logs.append(log)
        reading = asyncio.create_task(_read(process, log))
        self._stack.push_async_callback(_ended, process, reading)
        return process

    async def serve(self, **environment: str) -> str:
        """A worker that serves; gives its URL."""
        process = await self.start("serve", **environment)
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+", line)
        assert found, (line, self.logs[-1])
        return found[0]

    async def job(self, how: str, *words: str, **environment: str) -> None:
        """A process that does something, and ends well."""
        process = await self.start(how, *words, **environment)
        async with asyncio.timeout(30):
            assert await process.wait() == 0, self.logs[-1]

    async def aclose(self) -> None:
        """End all of them."""
        await self._stack.aclose()


async def _read(process: asyncio.subprocess.Process, log: list[str]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        log.append(line.decode().rstrip())  # noqa: PERF401 - tests read it while it grows


async def _ended(process: asyncio.subprocess.Process, reading: asyncio.Task[None]) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
    await reading
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


@asynccontextmanager
async def workers_on(engine: Engine) -> AsyncIterator[Workers]:
    """Processes on that engine, ended at the end."""
    workers = Workers(engine)
    try:
        yield workers
    finally:
        await workers.aclose()
