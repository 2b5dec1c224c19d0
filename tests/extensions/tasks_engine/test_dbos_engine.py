"""DBOS as the engine of tasks, over SQLite and PostgreSQL: the suite of all engines, and processes that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from engine_contract import END, LEASE, TaskEngineContract, seen
from task_peer import wired

from dovetail import App, Client, Context
from dovetail.errors import LifespanFailed
from dovetail.extensions.tasks import TaskEngine, tasks
from dovetail.extensions.tasks.dbos import DBOSEngine
from dovetail.stores import Store
from dovetail.stores.urls import open_store

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "cluster"))

from machines import MissingEngine, environment_of, start_engine  # noqa: E402 - found where this file is

POLL = 0.05
#: DBOS stops its event loop before the threads that look at its queues. What these find in between it brings again.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*execute_dequeued_workflow:pytest.PytestUnraisableExceptionWarning"
)
WORKER = HERE / "dbos_worker.py"
OLD_SQLITE = sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42)


class Place:
    """Where the tasks are kept and where DBOS keeps its workflows: two schemas, or two files."""

    def __init__(self, url: str, environment: dict[str, str], folder: Path) -> None:
        self.store = url
        self.dbos = url if url.startswith("postgres") else f"sqlite:///{folder / 'dbos.db'}"
        self.environment = {**environment, "DBOS_URL": self.dbos, "WORKER_LEASE": f"{LEASE}"}


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite" and OLD_SQLITE:
        pytest.skip("old-sqlite: since Python 3.12 DBOS needs the clock of SQLite 3.42")
    try:
        engine = await start_engine(request.param, tmp_path)
    except MissingEngine as missing:
        pytest.skip(str(missing))
    try:
        yield Place(engine.url, environment_of(engine, tmp_path), tmp_path)
    finally:
        await asyncio.to_thread(engine.remove)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    async with aclosing(open_store(place.store)) as store:
        yield store


def made(place: Place) -> None:
    """DBOS is there, and not launched."""
    from dbos import DBOS

    DBOS(config={"name": "shop", "system_database_url": place.dbos, "log_level": "ERROR"})


@pytest.fixture
def launched(place: Place) -> Iterator[None]:
    """DBOS runs, as in a program that has it for other reasons."""
    from dbos import DBOS

    made(place)
    DBOS.launch()
    yield
    DBOS.destroy()


class TestDBOSEngine(TaskEngineContract):
    @pytest.fixture
    def engine(self, launched: None) -> TaskEngine:
        return DBOSEngine(poll=POLL)


async def test_dbos_begins_and_ends_with_the_app(place: Place, store: Store) -> None:
    made(place)
    app = App("shop", store=store, extensions=[tasks(lease=LEASE, engine=DBOSEngine(launch=True, poll=POLL))])

    @app.tool(task="required")
    async def work() -> str:
        return await asyncio.to_thread(lambda: "done")

    async with wired(app) as wire:
        id = (await wire.begin("work"))["taskId"]
        assert (await seen(store, id)).status == "completed"
    from dbos import DBOS, error

    with pytest.raises(error.DBOSException, match="No DBOS"):
        await asyncio.to_thread(DBOS.list_queues)  # in the loop's threads, which are still its own


@pytest.mark.skipif(not OLD_SQLITE, reason="new-sqlite: DBOS finds all that it needs")
async def test_a_sqlite_that_is_too_old_for_dbos_is_named(tmp_path: Path) -> None:
    from dbos import DBOS

    DBOS(config={"name": "shop", "system_database_url": f"sqlite:///{tmp_path / 'dbos.db'}"})
    app = App("shop", extensions=[tasks(engine=DBOSEngine(launch=True))])
    with pytest.raises(LifespanFailed, match=r"needs version 3\.42 since Python 3\.12"):
        async with wired(app):
            pass


async def workflows(**which: Any) -> list[Any]:
    """What DBOS has."""
    from dbos import DBOS

    return await asyncio.to_thread(lambda: DBOS.list_workflows(**which))


async def until_some(**which: Any) -> None:
    """Wait until DBOS has such a workflow."""
    async with asyncio.timeout(END):
        while not await workflows(**which):  # noqa: ASYNC110 - threads of DBOS change it
            await asyncio.sleep(0.02)


async def test_a_queue_of_the_operator_takes_the_tasks_and_a_full_process_gives_them_back(
    launched: None, store: Store
) -> None:
    from dbos import DBOS

    await asyncio.to_thread(lambda: DBOS.register_queue("presses", polling_interval_sec=POLL))
    engine = DBOSEngine(queue="presses", poll=POLL)
    app = App("shop", store=store, extensions=[tasks(lease=LEASE, room=1, engine=engine)], rate_limit=None)
    gate, keys = asyncio.Event(), list[str]()

    @app.tool(task="required")
    async def work(ctx: Context) -> str:
        keys.append(ctx.step_key("").partition(":")[0])
        await gate.wait()
        return "done"

    async with wired(app) as wire:
        ids = [(await wire.begin("work"))["taskId"] for _ in range(2)]
        await until_some(status="DELAYED")  # the one for which there was no place
        gate.set()
        assert {(await seen(store, id)).attempts for id in ids} == {1}
        found = await workflows(queue_name="presses", name="dovetail.task")
    assert len(set(keys)) == 2
    assert {each.workflow_id.partition(".")[0] for each in found} == set(keys)
    assert not any(id in each.workflow_id for each in found for id in ids)


async def test_a_server_without_room_leaves_its_tasks_to_others(place: Place, store: Store) -> None:
    made(place)
    engine = DBOSEngine(launch=True, poll=POLL)
    app = App("shop", store=store, extensions=[tasks(lease=LEASE, room=0, engine=engine)], rate_limit=None)
    app.add_tool(_work, name="work", task="required")
    async with wired(app) as wire:
        id = (await wire.begin("work"))["taskId"]
        await until_some(status="ENQUEUED", queue_name="tasks/shop")
        assert (await wire.get(id))["status"] == "working"
    made(place)
    app = App("shop", store=store, extensions=[tasks(lease=LEASE, engine=engine)], rate_limit=None)
    app.add_tool(_work, name="work", task="required")
    async with wired(app):
        assert (await seen(store, id)).status == "completed"


async def _work() -> str:
    return "done"


@pytest.mark.parametrize("launch", [True, False])
async def test_an_app_without_dbos_says_what_is_missing(launch: bool) -> None:
    app = App("shop", extensions=[tasks(engine=DBOSEngine(launch=launch))])
    with pytest.raises(RuntimeError, match=r"DBOS\(config=\.\.\.\)"):
        async with Client(app):
            pass


def test_a_poll_takes_time() -> None:
    with pytest.raises(ValueError, match="poll"):
        DBOSEngine(poll=0)


class WorkerProcess:
    """A process that runs tasks; ``name`` is its executor id."""

    def __init__(self, place: Place, name: str, effects: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            env={**place.environment, "DBOS__VMID": name, "CLUSTER_EFFECTS": str(effects)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    async def told(self) -> Any:
        """What it says next."""
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, "the process has ended"
        return json.loads(line)

    def kill(self) -> None:
        """It is gone, and could do nothing about it."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()


async def written(path: Path, *wanted: str) -> None:
    """Wait until the processes have written these lines, and no others."""

    def read() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    async with asyncio.timeout(END):
        while len(await asyncio.to_thread(read)) < len(wanted):  # noqa: ASYNC110 - other processes write it
            await asyncio.sleep(0.02)
    assert await asyncio.to_thread(read) == list(wanted)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("successor", ["same", "other"])
async def test_another_process_goes_on_after_a_kill(
    place: Place, store: Store, tmp_path: Path, successor: str
) -> None:
    """Started again under the executor id by which DBOS recovers, or under another one, of which it knows nothing."""
    effects, workers = tmp_path / "effects", list[WorkerProcess]()
    try:
        workers.append(WorkerProcess(place, "first", effects))
        id = await workers[0].told()
        await written(effects, "pack", "waits")
        workers[0].kill()
        workers.append(WorkerProcess(place, "first" if successor == "same" else "second", effects))
        assert await workers[1].told() == id
        await written(effects, "pack", "waits", "waits")
        effects.with_name("go").touch()
        await written(effects, "pack", "waits", "waits", "go")
        record = await seen(store, id)
        assert (record.status, record.attempts) == ("completed", 2)
    finally:
        for worker in workers:
            worker.kill()
