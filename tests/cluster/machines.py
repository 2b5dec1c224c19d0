"""Workers as they would run on several machines, a store that they share, and a proxy in front of them.

Theory of operation
-------------------
A `Cluster` starts an engine of its own (a redis-server, a PostgreSQL, or a file of SQLite), then each worker with the
command that a user would type (``dovetail run``), each a process with a port of its own and told nothing of the others,
and the `RoundRobin` proxy in this process. Workers and engine can be killed, paused and started again, at their ports.

Used by the tests, by ``python -m tests.cluster.crash`` and by the conformance run. Specification: none.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

HERE: Final = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "stores"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from postgres_server import PROGRAMS, PostgresServer, migrated  # noqa: E402 - found where this file is
from redis_server import PROGRAM, RedisServer  # noqa: E402 - as above
from round_robin import RoundRobin  # noqa: E402 - as above

APP: Final = HERE / "cluster_app.py"
ENGINES: Final = ("sqlite", "redis", "postgres")
#: How a worker is started; the port is still to come.
RUN: Final = (sys.executable, "-m", "dovetail", "run", str(APP), "--health", "/health", "--http")
START: Final = 30.0
END: Final = 15.0
_SERVING: Final = b"dovetail: serving on http://127.0.0.1:"


class MissingEngine(Exception):
    """The machine has no such engine; the text is a reason of ``allowed_skips.txt``."""


class Engine(Protocol):
    """What keeps the store."""

    @property
    def url(self) -> str: ...
    def start(self) -> object: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def empty(self) -> None:
        """Forget everything, while it is down."""
        ...

    def remove(self) -> None: ...


class _SQLite:
    """No process: what can happen to one can't happen to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sqlite"
        self.url = str(self.folder / "store.db")

    def start(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def nothing(self) -> None:
        """There is nobody to do that to."""

    kill = pause = resume = empty = nothing

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class _Redis(RedisServer):
    def empty(self) -> None:
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def remove(self) -> None:
        self.kill()


class _Postgres(PostgresServer):
    def empty(self) -> None:
        raise RuntimeError(
            "no test may ask for that: a PostgreSQL keeps what it confirmed, or is no PostgreSQL"
        )


async def start_engine(kind: str, folder: Path) -> Engine:
    """A running engine of its own, ready for a store. Raises `MissingEngine`."""
    if kind == "redis":
        if PROGRAM is None:
            raise MissingEngine("no-redis: there is no redis-server on the path")
        redis = _Redis(folder / "redis")
        return await asyncio.to_thread(redis.start) and redis
    if kind == "postgres":
        if PROGRAMS is None:
            raise MissingEngine("no-postgres: the machine has no PostgreSQL to start")
        postgres = await asyncio.to_thread(_Postgres)
        try:
            await asyncio.to_thread(postgres.start)
            await migrated(postgres, "dovetail")
        except BaseException:
            postgres.remove()
            raise
        return postgres
    sqlite = _SQLite(folder)
    sqlite.start()
    return sqlite


class WorkerProcess:
    """One worker. ``log``: what it wrote to standard error; ``host``: what stands before its port."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], number: int, host: str = ""
    ) -> None:
        self.number = number
        self.port = 0
        self.log: list[str] = []
        self.starts = 0
        self._command = command
        self._host = host
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process. The worker has to run."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it does."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> WorkerProcess:
        """Start it, at the port that it had before, and wait until it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            f"{self._host}{self.port}",
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.starts += 1
        stderr = self._process.stderr
        assert stderr is not None
        try:
            async with asyncio.timeout(START):
                while line := await stderr.readline():
                    self.log.append(line.decode().rstrip())
                    if line.startswith(_SERVING):
                        self.port = int(line[len(_SERVING) :].split(b"/")[0])
                        break
                else:
                    raise RuntimeError("\n".join(("a worker did not start:", *self.log)))
        except BaseException:
            await self.kill()
            raise
        self._reading = asyncio.create_task(self._read(stderr))
        return self

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while line := await stderr.readline():
            self.log.append(line.decode(errors="replace").rstrip())

    def signal(self, number: int) -> None:
        """Send its process group a signal."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def pause(self) -> None:
        """Stop it where it stands."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once, without a word to anybody."""
        self.signal(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> int:
        """End it as an operator would; gives its status."""
        self.signal(signal.SIGTERM)
        assert self._process is not None
        try:
            async with asyncio.timeout(END):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
        return await self._ended()

    async def _ended(self) -> int:
        if self._process is None:
            return 0
        status = await self._process.wait()
        if self._reading is not None:
            await self._reading
            self._reading = None
        return status


class Cluster:
    """An engine, workers, and the proxy. ``url`` is where clients go."""

    def __init__(
        self, engine: Engine, workers: list[WorkerProcess], proxy: RoundRobin, effects: Path
    ) -> None:
        self.engine = engine
        self.workers = workers
        self.proxy = proxy
        self.url = ""
        self._effects = effects

    @property
    def port(self) -> int:
        """The proxy's."""
        return self.proxy.port

    def effects(self) -> list[tuple[str, str]]:
        """What calls did, in order: what, and for which key."""
        if not self._effects.exists():
            return []
        lines = [line.split(" ") for line in self._effects.read_text().splitlines()]
        return [(what, key) for what, key, _ in lines]

    async def settled(self, seen: Callable[[list[tuple[str, str]]], object], seconds: float = 20.0) -> None:
        """Wait until the effects are so: a file tells nobody that it has grown. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not seen(self.effects()):  # noqa: ASYNC110 - as the docstring says
                await asyncio.sleep(0.01)


def environment_of(engine: Engine, folder: Path) -> dict[str, str]:
    """What workers are told: the store, and keys that all of them have."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept,
        "CLUSTER_STORE": engine.url,
        "CLUSTER_EFFECTS": str(folder / "effects"),
        "DOVETAIL_KEYS": "k" * 40,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
    }


@asynccontextmanager
async def cluster(
    kind: str,
    folder: Path,
    *,
    workers: int = 3,
    command: Sequence[str] = RUN,
    check: str | None = None,
    note: Callable[[str, str, int], None] | None = None,
) -> AsyncIterator[Cluster]:
    """A cluster for as long as this lasts. Raises `MissingEngine`."""
    engine = await start_engine(kind, folder)
    started: list[WorkerProcess] = []
    try:
        environment = environment_of(engine, folder)
        started = [WorkerProcess(command, environment, number) for number in range(workers)]
        await asyncio.gather(*(each.start() for each in started))
        proxy = RoundRobin([("127.0.0.1", each.port) for each in started], check=check, note=note)
        found = Cluster(engine, started, proxy, folder / "effects")
        async with proxy.serving() as url:
            found.url = url
            yield found
    finally:
        for each in started:
            each.resume()
        engine.resume()
        await asyncio.gather(*(each.kill() for each in started))
        await asyncio.to_thread(engine.remove)
