"""Who listens to tasks hears of them: over every transport, and from other processes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from task_peer import ASKS, STATEFUL, STATELESS, TASKS, app_of, raw_tasks, wired, yes

from dovetail import App, Context
from dovetail.extensions import Extension
from dovetail.extensions.tasks.changes import TASK_CHANGES
from dovetail.extensions.tasks.wire import timestamp
from dovetail.stores import MemoryStore, SQLiteStore
from dovetail.testing import connected

CHANGED = "notifications/tasks"
WORKER = Path(__file__).with_name("task_worker.py")


def shop() -> App:
    app = app_of("shop")

    @app.tool(task="optional")
    async def order(ctx: Context) -> str:
        await ctx.progress(1, 2)
        await ctx.info("said to nobody")
        return "ordered " + await ctx.elicit("What?", str)

    return app


def hearing() -> Extension:
    """What a client that listens to tasks is given."""
    extension = raw_tasks()
    return Extension(identifier=TASKS, methods=extension.methods, changes=[TASK_CHANGES])


async def listened(wire: Any, *ids: str) -> dict[str, Any]:
    """Listen, and give the acknowledgement."""
    await wire.start("listen", "subscriptions/listen", {"notifications": {"taskIds": list(ids)}})
    return await wire.next()


@pytest.mark.requirement("RXTSK-TASKS-048", "RXTSK-TASKS-051")
async def test_each_change_is_told_with_the_whole_task_and_nothing_else_is() -> None:
    async with wired(shop(), name="ada") as wire:
        meta = {"progressToken": "p", "io.modelcontextprotocol/logLevel": "debug"}
        gate = await wire.result("tools/call", {"name": "order"}, meta=meta)
        id = gate["taskId"]
        asked = await wire.until(id, "input_required")
        told = await listened(wire, id, "no-such-task")
        assert told["method"] == "notifications/subscriptions/acknowledged"
        assert told["params"]["notifications"] == {"taskIds": [id]}
        (key,) = asked["inputRequests"]
        await wire.update(id, **{key: yes("rye")})
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["params"]["status"] != "completed":
            heard.append(await wire.next())
        assert {each["method"] for each in heard} == {CHANGED}
        last = heard[-1]["params"]
        assert last.pop("_meta")["io.modelcontextprotocol/subscriptionId"] == "listen"
        found = await wire.get(id)
        assert found.pop("resultType") == "complete"
        found.pop("_meta", None)
        assert last == found
        assert last["result"]["content"][0]["text"] == "ordered rye"


@pytest.mark.requirement("RXTSK-TASKS-049", "RXTSK-TASKS-055")
async def test_who_did_not_declare_the_extension_may_not_listen() -> None:
    app = shop()
    async with wired(app) as declared, wired(app, STATELESS, ASKS) as wire:
        id = (await declared.begin("order"))["taskId"]
        refused = await wire.error("subscriptions/listen", {"notifications": {"taskIds": [id]}})
        assert refused["code"] == -32021
        assert refused["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


async def test_v19_v20_of_tasks_of_others_nothing_is_heard() -> None:
    app = shop()
    async with wired(app, name="ada") as ada, wired(app, name="eve") as eve, wired(app, STATEFUL) as session:
        id = (await ada.begin("order"))["taskId"]
        assert (await listened(eve, id))["params"]["notifications"] == {"taskIds": []}
        asked = await ada.until(id, "input_required")
        await ada.update(id, **dict.fromkeys(asked["inputRequests"], yes()))
        await ada.until(id)
        for other in (eve, session):
            await other.request("tools/list")
            assert other.inbox.empty()


async def test_who_listens_does_not_wait_for_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    store, ready, taken = MemoryStore(), asyncio.Event(), asyncio.Event()
    publish = store.bus.publish

    async def slow(channel: str, message: bytes) -> None:
        if message.startswith(b"="):
            await taken.wait()
        await publish(channel, message)

    monkeypatch.setattr(store.bus, "publish", slow)
    app = app_of("shop", store=store)

    @app.tool(task="optional")
    async def work() -> str:
        await ready.wait()
        return "worked"

    async with wired(app, name="ada") as wire:
        id = (await wire.begin("work"))["taskId"]
        await listened(wire, id)
        ready.set()
        heard = await wire.next()
        assert (heard["method"], heard["params"]["status"]) == (CHANGED, "completed")
        taken.set()


@pytest.mark.parametrize(
    "seconds,expected",
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795400000.5, "2026-11-23T02:13:20.500Z"),
        (1795400000.9995, "2026-11-23T02:13:20.999Z"),
        (4102444799.0625, "2099-12-31T23:59:59.062Z"),
    ],
)
def test_times_are_told_with_milliseconds(seconds: float, expected: str) -> None:
    assert timestamp(seconds) == expected


@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json", "http-sse"])
async def test_it_is_told_over_every_transport(transport: Any) -> None:
    options: dict[str, Any] = {
        "revision": STATELESS,
        "extensions": [hearing()],
        "elicitation": lambda _: None,
    }
    async with connected(shop(), transport=transport, **options) as client:
        id = (await client.request("tools/call", {"name": "order"}))["taskId"]
        async with client.listen(further={"taskIds": [id]}) as events:
            assert events.acknowledged.extra == {"taskIds": [id]}
            asked: dict[str, Any] = {}
            while asked.get("status") != "input_required":
                asked = await client.request("tasks/get", {"taskId": id})
            responses = dict.fromkeys(asked["inputRequests"], yes("rye"))
            await client.request("tasks/update", {"taskId": id, "inputResponses": responses})
            async with asyncio.timeout(10):
                while (change := await anext(events)).data["status"] != "completed":
                    assert change.uri == id
        assert change.data["result"]["content"][0]["text"] == "ordered rye"


async def test_of_a_task_that_is_too_long_to_be_told_nothing_is_told() -> None:
    """A notification is what ``tasks/get`` gives, whole: there is none without the result."""
    app, gate = app_of("shop"), asyncio.Event()

    @app.tool(task="optional")
    async def write(length: int) -> str:
        await gate.wait()
        return "x" * length

    async with wired(app) as wire:
        long, short = [(await wire.begin("write", length=length))["taskId"] for length in (70_000, 10)]
        await listened(wire, long, short)
        gate.set()
        assert len((await wire.until(long))["result"]["content"][0]["text"]) == 70_000
        heard = await wire.next()
        assert (heard["params"]["taskId"], heard["params"]["status"]) == (short, "completed")
        await wire.result("tools/list")
        assert wire.inbox.empty()


async def test_another_process_works_and_is_heard(tmp_path: Path) -> None:
    """The store is a file: one process makes the task and is listened to, another one works."""
    path = tmp_path / "store.db"
    app = app_of("shop", room=0, store=SQLiteStore(path))
    app.add_tool(lambda: "never here", name="work", task="optional")
    async with wired(app, name="ada") as wire:
        id = (await wire.begin("work"))["taskId"]
        assert (await listened(wire, id))["params"]["notifications"] == {"taskIds": [id]}
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            str(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert worker.stdout is not None
            assert json.loads(await asyncio.wait_for(worker.stdout.readline(), 20)) == "serving"
            heard = await wire.next()
            assert heard["method"] == CHANGED
            assert heard["params"]["status"] == "completed"
            assert heard["params"]["result"]["content"][0]["text"] == f"worked by {worker.pid}"
        finally:
            await worker.communicate(b"")
        assert worker.returncode == 0
