"""Who is asked what a task asks: of all who wait one, in whatever process, and nobody who can't be asked that."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from task_peer import ASKS, DECLARED, STATEFUL, STATELESS, TASKS, TaskWire, app_of, wired, yes

from dovetail import App, Client, Context, Declined
from dovetail.client import Visit
from dovetail.extensions.tasks import tasks
from dovetail.extensions.tasks.needs import lacking
from dovetail.stores import Lease, MemoryStore, SQLiteStore
from dovetail.types import ClientCapabilities, InputRequest, encode, reader

PROCESS = Path(__file__).with_name("task_asked.py")
MUTE: dict[str, Any] = {"extensions": {TASKS: {}}}


def shop(**options: Any) -> App:
    app = app_of("shop", **options)

    @app.tool(task="optional")
    async def order(ctx: Context) -> str:
        """Ask what to order."""
        return "ordered " + await ctx.elicit("What?", str, key="what")

    return app


@asynccontextmanager
async def waiting_elsewhere(path: Path, task: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Another process that waits for the task, and was asked."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), str(path), task, stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout is not None
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 20)) == "asked"
        yield process
    finally:
        if process.returncode is None:
            await process.communicate(b"")


@pytest.mark.parametrize("ending", ["leaves", "killed"])
async def test_one_who_waits_is_asked_and_another_one_when_that_one_is_gone(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "store.db"
    async with wired(shop(store=SQLiteStore(path)), STATEFUL) as wire:
        id = (await wire.begin("order"))["taskId"]
        await wire.until(id, "input_required")
        async with waiting_elsewhere(path, id) as process:
            result = await wire.start("result", "tasks/result", {"taskId": id})
            await wire.result("ping")
            await asyncio.wait((result,), timeout=0.5)  # it has looked by then, and found the seat taken
            assert wire.inbox.empty()
            if ending == "killed":
                process.kill()
                await process.wait()
            else:
                await process.communicate(b"")
            asked = await wire.respond(yes("rye"))
            assert asked["params"]["message"] == "What?"
            assert (await result)["result"]["content"][0]["text"] == "ordered rye"


async def test_one_whose_seat_was_taken_takes_its_question_back(tmp_path: Path) -> None:
    store, elsewhere = SQLiteStore(tmp_path / "store.db"), MemoryStore().kv
    async with wired(shop(store=store), STATEFUL) as wire:
        id = (await wire.begin("order"))["taskId"]
        await wire.until(id, "input_required")
        result = await wire.start("result", "tasks/result", {"taskId": id})
        before = await wire.next()
        seats, word = store.kv.within("tasks/asking/", share=1 / 64), b"=" + id.encode()
        assert await Lease(elsewhere, id, ttl=60, keep=60).acquire()
        await seats.set(id, await elsewhere.get(id) or b"")  # as if this one had stood still
        await store.bus.publish("tasks/shop", word)
        taken_back = await wire.next()
        assert taken_back["method"] == "notifications/cancelled"
        assert taken_back["params"]["requestId"] == before["id"]
        await seats.delete(id)
        await store.bus.publish("tasks/shop", word)
        asked = await wire.respond(yes("rye"))
        assert asked["id"] != before["id"]
        assert (await result)["result"]["content"][0]["text"] == "ordered rye"


@pytest.mark.requirement("R2607-MRTR-017")
async def test_what_a_task_asks_is_shown_to_those_who_can_be_asked() -> None:
    app = shop()
    async with wired(app) as able, wired(app, STATELESS, MUTE) as mute:
        id = (await able.begin("order"))["taskId"]
        asked = await able.until(id, "input_required")
        refused = await mute.error("tasks/get", {"taskId": id})
        assert refused["code"] == -32021
        assert refused["data"] == {"requiredCapabilities": {"elicitation": {}}}
        assert "elicitation" in refused["message"]
        await able.update(id, **{key: yes("rye") for key in asked["inputRequests"]})
        await able.until(id)
        assert (await mute.get(id))["result"]["content"][0]["text"] == "ordered rye"


@pytest.mark.requirement("R2607-MRTR-017")
async def test_who_listens_hears_of_a_task_that_asks_if_it_can_be_asked() -> None:
    app = shop()
    gate = asyncio.Event()

    @app.tool(task="required")
    async def wait(ctx: Context) -> str:
        """Ask once it may."""
        await gate.wait()
        return await ctx.elicit("What?", str, key="what")

    async with wired(app) as able, wired(app, STATELESS, MUTE) as mute:
        id = (await able.begin("wait"))["taskId"]
        for wire in (able, mute):
            await wire.start("listen", "subscriptions/listen", {"notifications": {"taskIds": [id]}})
            assert (await wire.next())["params"]["notifications"] == {"taskIds": [id]}
        gate.set()
        heard = await able.next()
        assert heard["params"]["status"] == "input_required"
        await able.update(id, what=yes("rye"))
        statuses = await _told(mute)
        assert "input_required" not in statuses
        assert statuses[-1] == "completed"


async def _told(wire: TaskWire) -> list[str]:
    """What a listener hears until the end."""
    heard: list[str] = []
    while not heard or heard[-1] != "completed":
        heard.append((await wire.next())["params"]["status"])
    return heard


async def test_who_waits_is_asked_by_what_its_own_session_can_do() -> None:
    app = shop()
    async with wired(app, STATEFUL, ASKS) as able, wired(app, STATEFUL, {}) as mute:
        id = (await able.begin("order"))["taskId"]
        await able.until(id, "input_required")
        refused = (await mute.payload(id))["error"]
        assert refused["code"] == -32600
        assert refused["data"] == {"requiredCapabilities": {"elicitation": {}}}
        assert (await mute.get(id))["status"] == "input_required"
        result = await able.start("result", "tasks/result", {"taskId": id})
        await able.respond(yes("rye"))
        assert (await result)["result"]["content"][0]["text"] == "ordered rye"


async def test_whether_a_task_asks_at_all_says_the_call_that_became_it() -> None:
    app = shop()
    async with wired(app, STATELESS, MUTE) as mute, wired(app, STATELESS, DECLARED) as able:
        id = (await mute.begin("order"))["taskId"]
        ended = await able.until(id)
        assert (ended["status"], ended["error"]["code"]) == ("failed", -32021)


@pytest.mark.parametrize(
    "method, params, declared, missing",
    [
        ("elicitation/create", {"mode": "form"}, {}, {"elicitation": {}}),
        ("elicitation/create", {}, {"elicitation": {}}, {}),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"url": {}}}, {"elicitation": {}}),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}, {}),
        ("sampling/createMessage", {}, {}, {"sampling": {}}),
        ("sampling/createMessage", {}, {"sampling": {}}, {}),
        ("sampling/createMessage", {"tools": []}, {"sampling": {}}, {"sampling": {"tools": {}}}),
        ("sampling/createMessage", {"toolChoice": {}}, {"sampling": {"tools": {}}}, {}),
        ("roots/list", {}, {}, {"roots": {}}),
        ("roots/list", {}, {"roots": {}}, {}),
    ],
)
def test_what_a_question_needs(
    method: str, params: dict[str, Any], declared: dict[str, Any], missing: dict[str, Any]
) -> None:
    able = reader(ClientCapabilities).read(encode(declared))
    request = reader(InputRequest).keep(encode({"method": method, "params": params}))
    assert lacking([request], able) == missing


def test_what_several_questions_need_is_told_together() -> None:
    asked = [
        reader(InputRequest).keep(encode({"method": "elicitation/create", "params": {"mode": mode}}))
        for mode in ("url", "form")
    ]
    assert lacking(asked, ClientCapabilities()) == {"elicitation": {"url": {}}}


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("agrees", [True, False])
@pytest.mark.parametrize("own", [None, "visit-1"])
async def test_an_address_is_asked_about_once(revision: str, agrees: bool, own: str | None) -> None:
    """The body runs again with the answer, and its question has another id then: it is the same one all the same."""
    app = app_of("bank")

    @app.tool(task="required")
    async def sign(ctx: Context) -> str:
        try:
            await ctx.elicit_url("Sign there.", "https://sign.example/", elicitation_id=own)
        except Declined:
            return "nobody went"
        return "went"

    asked: list[Visit] = []

    def approve(visit: Visit) -> bool:
        asked.append(visit)
        return agrees

    async with Client(app, revision=revision, extensions=[tasks()], approve=approve) as client:
        assert (await client.call_tool("sign")).text == ("went" if agrees else "nobody went")
    assert [each.url for each in asked] == ["https://sign.example/"]
