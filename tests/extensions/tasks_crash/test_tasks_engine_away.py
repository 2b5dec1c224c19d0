"""The engine stops, is killed, or is full while tasks are worked on: callers are told so, nothing is lost, and nobody
has to do anything when it is back.

Follows: no page of the specification; what is promised is in docs/machines.md.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dovetail import App
from dovetail.extensions import TaskOptions
from dovetail.extensions.tasks import tasks
from dovetail.stores import MemoryStore, Store, StoreFull, StoreUnavailable
from dovetail.stores.urls import open_store
from wire_of_server import Wire

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "cluster")]

from crash_app import DECLARED, REVISION, answer, app_of  # noqa: E402 - found where this file is
from machines import Engine, MissingEngine, start_engine  # noqa: E402 - as above

ENGINES = ("redis", "postgres")
pytestmark = pytest.mark.vendor_methods("tasks/get", "tasks/update", "tasks/cancel", "task")


@asynccontextmanager
async def wired(app: App) -> AsyncIterator[Wire]:
    """One connection to an app that lives as long as this lasts."""
    wire = Wire(app, REVISION, DECLARED)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()
        await app.service.stop()


async def until(look: Callable[[], bool]) -> None:
    """Look until something is so, which happens elsewhere."""
    async with asyncio.timeout(40):
        while not look():  # noqa: ASYNC110 - what it waits for happens at the worker
            await asyncio.sleep(0.02)


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    try:
        found = await start_engine(request.param, tmp_path)
    except MissingEngine as missing:
        pytest.skip(str(missing))
    yield found
    found.resume()
    await asyncio.to_thread(found.remove)


async def ended(wire: Wire, id: str) -> dict[str, Any]:
    """The task once it has ended; its question is answered, and an engine that is away is asked again."""
    async with asyncio.timeout(60):
        while True:
            answered = await asyncio.wait_for(
                await wire.start(f"{id} {asyncio.get_running_loop().time()}", "tasks/get", {"taskId": id}), 30
            )
            task = answered.get("result")
            if task is None:
                assert answered["error"]["message"].endswith("try again"), answered
            elif task["status"] == "input_required":
                await wire.request("tasks/update", {"taskId": id, "inputResponses": {"where": answer("sea")}})
            elif task["status"] != "working":
                return task
            await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_an_engine_that_was_away_for_longer_than_a_lease_loses_nothing(
    engine: Engine, how: str
) -> None:
    """A step runs when the engine goes, and ends before it is back: it is not run again by the worker that ran it."""
    begun: list[str] = []
    store = open_store(engine.url)
    app = app_of("away", store, begun.append, room=10, lease=1.5, pause=1.0)
    async with wired(app) as wire:
        ids = [
            (await wire.result("tools/call", {"name": "travel", "arguments": {"key": str(each)}}))["taskId"]
            for each in range(5)
        ]
        await until(lambda: len(begun) == 5)
        getattr(engine, how)()
        await asyncio.sleep(3.0)  # the lease is over
        assert begun == [f"begun pack {each}" for each in range(5)], "nobody began anything meanwhile"
        await asyncio.to_thread(engine.start) if how == "kill" else engine.resume()
        for id in ids:
            task = await ended(wire, id)
            assert task["result"]["content"][0]["text"] == "pack go sea", task
    assert sorted(begun) == sorted(f"begun {step} {each}" for step in ("pack", "go") for each in range(5))
    await store.aclose()


class RefusingStore:
    """A store of memory some of whose methods fail as long as one says; ``asked``: how often each was."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.failing: dict[str, Exception] = {}
        self.asked: dict[str, int] = {}
        self.tasks = _RefusingTasks(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _RefusingTasks:
    def __init__(self, whole: RefusingStore) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._whole._store.tasks, name)

        async def called(*given: Any, **options: Any) -> Any:
            self._whole.asked[name] = self._whole.asked.get(name, 0) + 1
            if name in self._whole.failing:
                raise self._whole.failing[name]
            return await found(*given, **options)

        return called


def as_store(store: Any) -> Store:
    return store


@pytest.mark.parametrize("failure", [StoreFull("bytes of tasks", 1), StoreUnavailable("away")])
@pytest.mark.parametrize("what", ["record", "update"])
async def test_what_the_store_can_not_take_yet_is_kept_later_and_not_done_again(
    what: str, failure: Exception
) -> None:
    store, begun = RefusingStore(), list[str]()
    async with wired(app_of("full", as_store(store), begun.append, room=5, lease=30)) as wire:
        store.failing = {what: failure}
        made = await wire.result("tools/call", {"name": "travel", "arguments": {"key": "k"}})
        await until(lambda: store.asked.get(what, 0) >= 4)
        assert begun == ["begun pack k"], "it was not begun again meanwhile"
        store.failing = {}
        await ended(wire, made["taskId"])
    assert begun == ["begun pack k", "begun go k"]


async def test_a_caller_is_told_that_the_store_is_full_or_away() -> None:
    store = RefusingStore()
    async with wired(app_of("told", as_store(store), lambda _: None, room=5, lease=30)) as wire:
        call = {"name": "travel", "arguments": {"key": "k"}}
        store.failing = {"create": StoreFull("tasks", 1)}
        problem = await wire.error("tools/call", call)
        assert (problem["code"], "as many tasks as it may" in problem["message"]) == (-32603, True)
        store.failing = dict.fromkeys(("create", "load"), StoreUnavailable("away"))
        for method, params in (("tools/call", call), ("tasks/get", {"taskId": "x"})):
            problem = await wire.error(method, params)
            assert (problem["code"], "can't reach its tasks" in problem["message"]) == (-32603, True)


async def test_a_creation_whose_answer_did_not_come_makes_one_task() -> None:
    """The engine made the task, and its answer was lost: the one that is kept again is the same."""
    store = RefusingStore()
    create = store._store.tasks.create
    made: list[str] = []

    async def create_unheard(record: Any, **options: Any) -> None:
        await create(record, **options)
        made.append(record.id)
        problem = StoreUnavailable("the answer did not come")
        problem.uncertain = True
        raise problem

    store.tasks.create = create_unheard  # type: ignore[attr-defined] - in place of what is found by name
    async with wired(app_of("unheard", as_store(store), lambda _: None, room=0, lease=30)) as wire:
        answered = await wire.request("tools/call", {"name": "travel", "arguments": {"key": "k"}})
    assert made == [answered["result"]["taskId"]]


async def test_a_worker_asks_a_store_that_does_not_serve_once_in_a_second() -> None:
    """Also while others say again and again that there is work."""
    store = RefusingStore()
    app = app_of("spared", as_store(store), lambda _: None, room=5, lease=30)
    async with wired(app) as wire:
        await until(lambda: store.asked.get("claim", 0) >= 1)
        store.failing = {"claim": StoreUnavailable("away")}
        before = store.asked["claim"]
        for each in range(20):
            await wire.result("tools/call", {"name": "travel", "arguments": {"key": str(each)}})
            await asyncio.sleep(0.02)
        assert store.asked["claim"] - before <= 2
        store.failing = {}
        await until(lambda: store.asked.get("record", 0) >= 20)


async def test_a_worker_rests_while_a_queue_is_at_its_limit() -> None:
    store, held = RefusingStore(), asyncio.Event()
    app = App("limited", store=as_store(store), extensions=[tasks(lease=30)])
    done: list[int] = []

    @app.tool(task=TaskOptions(support="required", concurrency=1))
    async def one_by_one(number: int) -> int:
        await held.wait()
        done.append(number)
        return number

    async with wired(app) as wire:
        for each in range(3):
            await wire.result("tools/call", {"name": "one_by_one", "arguments": {"number": each}})
        await asyncio.sleep(0.2)
        before = store.asked["claim"]
        await asyncio.sleep(0.5)
        assert store.asked["claim"] - before <= 1
        held.set()
        await until(lambda: done == [0, 1, 2])


async def test_work_that_nobody_told_of_is_found_within_a_lease() -> None:
    """Whoever kept the task died before it said so."""
    store = RefusingStore()
    app = app_of("untold", as_store(store), lambda _: None, room=5, lease=0.5)
    async with wired(app) as wire:
        made = await wire.result("tools/call", {"name": "travel", "arguments": {"key": "k"}})
        await until(lambda: store.asked.get("update", 0) == 1)
        record = await store.tasks.load(made["taskId"])
        assert record.status == "input_required"
        copy = replace(record, id="n" * 32, due=record.created, status="working")
        await store._store.tasks.create(copy, max_unended=10)
        await until(lambda: store.asked.get("update", 0) == 2)


async def test_a_step_that_runs_once_is_not_begun_again_when_its_run_was_cut_short() -> None:
    """However long ago that was: what was begun is kept as long as the task is."""
    store, begun = RefusingStore(), list[str]()
    app = app_of("cut", as_store(store), begun.append, room=5, lease=0.3, pause=30)
    async with wired(app) as wire:
        made = await wire.result("tools/call", {"name": "travel_once", "arguments": {"key": "k"}})
        await until(lambda: begun == ["begun pack k"])
    recorded = await store._store.tasks.recorded(made["taskId"])
    assert recorded == {"\x01pack": b"null"}
    async with wired(app_of("cut", as_store(store), begun.append, room=5, lease=0.3)) as wire:
        task = await ended(wire, made["taskId"])
    assert "the outcome of the step 'pack' is unknown" in task["result"]["content"][0]["text"]
    assert begun == ["begun pack k"]
