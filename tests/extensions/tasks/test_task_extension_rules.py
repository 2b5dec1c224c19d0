"""The rules of the extension io.modelcontextprotocol/tasks, one by one, in bytes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import pytest
from task_peer import ASKS, STATELESS, TASKS, app_of, wired, yes

from dovetail import App, Ask, Context, RPCError, ToolError
from dovetail.extensions import TaskOptions
from dovetail.stores import MemoryStore

LACKING = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
BODY = TaskOptions(support="required", ttl=60, poll=0.25)


def shop(**options: Any) -> App:
    app = app_of("shop", **options)

    @app.tool(task="optional")
    async def bake(loaves: int) -> str:
        """Bake."""
        return f"{loaves} loaves"

    @app.tool(task=BODY)
    async def twice(ctx: Context) -> str:
        """Ask twice, one after the other."""
        first = await ctx.elicit("First?", str)
        return f"{first} {await ctx.elicit('Second?', str)}"

    @app.tool
    async def look() -> str:
        """What never is a task."""
        return "bread"

    @app.tool(task="optional")
    async def burn() -> str:
        """Fail as a tool does."""
        raise ToolError("it burns")

    @app.tool(task="optional")
    async def refuse() -> str:
        """Fail as a server does."""
        raise RPCError("no flour", code=-31999, data={"left": 0})

    @app.tool(task="required")
    async def greet(name: Annotated[str, Ask("Who?")]) -> str:
        """Ask before the tool begins."""
        return f"hello {name}"

    return app


async def test_the_extension_is_declared_and_nothing_of_the_revision_before() -> None:
    async with wired(shop()) as wire:
        told = (await wire.result("server/discover"))["capabilities"]
        assert told["extensions"][TASKS] == {}
        assert "tasks" not in told
        assert all("execution" not in each for each in (await wire.result("tools/list"))["tools"])
        for method in ("tasks/list", "tasks/result"):
            assert (await wire.error(method, {"taskId": "x"}))["code"] == -32601


@pytest.mark.requirement("RXTSK-TASKS-002", "RXTSK-TASKS-005", "RXTSK-TASKS-052", "RXTSK-TASKS-056")
async def test_who_did_not_declare_the_extension_has_no_tasks() -> None:
    app = shop()
    async with wired(app) as declared, wired(app, STATELESS, ASKS) as wire:
        assert (await declared.begin("bake", loaves=1))["resultType"] == "task"
        plain = await wire.call("bake", loaves=2)
        assert (plain["resultType"], plain["content"][0]["text"]) == ("complete", "2 loaves")
        refused = await wire.error("tools/call", {"name": "twice", "arguments": {}})
        assert (refused["code"], refused["data"]) == (-32021, LACKING)
        id = (await declared.begin("twice"))["taskId"]
        for method, more in (("get", {}), ("update", {"inputResponses": {}}), ("cancel", {})):
            refused = await wire.error(f"tasks/{method}", {"taskId": id, **more})
            assert (refused["code"], refused["data"]) == (-32021, LACKING)


@pytest.mark.requirement(
    "RXTSK-TASKS-001", "RXTSK-TASKS-007", "RXTSK-TASKS-008", "RXTSK-TASKS-010", "RXTSK-TASKS-011"
)
@pytest.mark.requirement("RXTSK-TASKS-018", "RXTSK-TASKS-019", "RXTSK-TASKS-025", "RXTSK-TASKS-064")
async def test_a_call_becomes_a_task_that_is_found_at_once() -> None:
    async with wired(shop(room=0)) as wire:
        made = [await wire.begin("bake", loaves=1) for _ in range(50)]
        ids = [each["taskId"] for each in made]
        assert len(set(ids)) == 50
        assert min(len({id[place] for id in ids}) for place in range(min(map(len, ids)))) > 10
        assert min(map(len, ids)) >= 22
        for each in made:
            assert (each["resultType"], each["status"]) == ("task", "working")
            found = await wire.get(each["taskId"])
            assert found.pop("resultType") == "complete"
            del each["resultType"]
            assert found == each
            assert datetime.fromisoformat(each["createdAt"]) <= datetime.fromisoformat(each["lastUpdatedAt"])
        assert (await wire.begin("twice"))["ttlMs"] == 60_000
        assert (await wire.begin("twice"))["pollIntervalMs"] == 250
        assert (await wire.call("look"))["resultType"] == "complete"


@pytest.mark.requirement(
    "RXTSK-TASKS-018", "RXTSK-TASKS-020", "RXTSK-TASKS-022", "RXTSK-TASKS-033", "RXTSK-TASKS-034"
)
@pytest.mark.requirement("RXTSK-TASKS-035", "RXTSK-TASKS-041", "RXTSK-TASKS-043", "RXTSK-TASKS-062")
async def test_a_task_asks_and_goes_on() -> None:
    async with wired(shop()) as wire:
        id = (await wire.begin("twice"))["taskId"]
        keys: list[str] = []
        for question in ("First?", "Second?"):
            asked = await wire.until(id, "input_required")
            while not set(asked["inputRequests"]) - set(keys):
                asked = await wire.until(id, "input_required")
            assert asked["resultType"] == "complete"
            ((key, request),) = asked["inputRequests"].items()
            assert request["params"]["message"] == question
            assert (await wire.get(id))["inputRequests"] == asked["inputRequests"]
            keys.append(key)
            acknowledged = await wire.update(id, **{key: yes(question)})
            assert {name: each for name, each in acknowledged.items() if name != "_meta"} == {
                "resultType": "complete"
            }
        assert len(set(keys)) == 2
        ended = await wire.until(id)
        assert ended["status"] == "completed"
        assert ended["result"]["content"][0]["text"] == "First? Second?"
        assert ended["result"]["resultType"] == "complete"
        assert "inputRequests" not in ended


@pytest.mark.requirement("RXTSK-TASKS-020", "RXTSK-TASKS-021", "RXTSK-TASKS-039", "RXTSK-TASKS-040")
async def test_answers_may_come_one_by_one() -> None:
    app, worked = app_of(), 0

    @app.tool(task="optional")
    async def both(ctx: Context) -> str:
        nonlocal worked
        worked += 1
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ctx.elicit(f"{key}?", str, key=key)) for key in ("left", "right")]
        return " ".join(each.result() for each in asked)

    async with wired(app) as wire:
        id = (await wire.begin("both"))["taskId"]
        assert (await wire.until(id, "input_required"))["inputRequests"].keys() == {"left", "right"}
        await wire.update(id, left=yes("L"), stranger=yes("S"))
        partly = await wire.get(id)
        assert (partly["status"], partly["inputRequests"].keys()) == ("input_required", {"right"})
        await wire.update(id, left=yes("other"), stranger=yes("S"))
        assert (await wire.get(id))["inputRequests"].keys() == {"right"}
        assert worked == 1
        await wire.update(id, right=yes("R"), left=yes("other"))
        ended = await wire.until(id)
        assert ended["result"]["content"][0]["text"] == "L R"
        assert worked == 2
        await wire.update(id, right=yes("late"))
        assert (await wire.get(id)) == ended


@pytest.mark.hostile
@pytest.mark.requirement("RXTSK-TASKS-033", "RXTSK-TASKS-034")
async def test_a_question_that_is_asked_again_has_a_new_key() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def old(ctx: Context) -> str:
        return f"{await ctx.elicit('How old?', int, key='age')} years"

    async with wired(app) as wire:
        id = (await wire.begin("old"))["taskId"]
        seen: list[str] = []
        for answer in ({"action": "accept", "content": {"value": "many"}}, 5, None, yes(7)):
            asked = await wire.until(id, "input_required")
            while set(asked["inputRequests"]) <= set(seen):
                asked = await wire.until(id, "input_required")
            (key,) = asked["inputRequests"]
            seen.append(key)
            with_stale: dict[str, Any] = {**dict.fromkeys(seen, yes(99)), key: answer}
            await wire.update(id, **with_stale)
        assert len(set(seen)) == 4
        assert (await wire.until(id))["result"]["content"][0]["text"] == "7 years"


@pytest.mark.requirement(
    "RXTSK-TASKS-009", "RXTSK-TASKS-024", "RXTSK-TASKS-058", "RXTSK-TASKS-059", "RXTSK-TASKS-060"
)
@pytest.mark.requirement("RXTSK-TASKS-061", "RXTSK-TASKS-062")
async def test_a_task_ends_as_the_plain_call_would() -> None:
    app = shop()
    async with wired(app) as wire, wired(app, STATELESS, {}) as plain:
        for tool, arguments in (
            ("bake", {"loaves": 3}),
            ("bake", {"loaves": "many"}),
            ("burn", {}),
            ("refuse", {}),
        ):
            params = {"name": tool, "arguments": arguments}
            expected = await plain.request("tools/call", params)
            ended = await wire.until((await wire.result("tools/call", params))["taskId"])
            assert ended["resultType"] == "complete"
            if "error" in expected:
                assert (ended["status"], ended["error"]) == ("failed", expected["error"])
                assert ended["statusMessage"] == expected["error"]["message"]
                assert "result" not in ended
            else:
                assert ended["status"] == "completed"
                expected["result"].pop("_meta", None)
                assert ended["result"] == expected["result"]
                assert ended["result"].get("isError", False) == (
                    tool == "burn" or arguments == {"loaves": "many"}
                )
                assert "error" not in ended


@pytest.mark.requirement("RXTSK-TASKS-023", "RXTSK-TASKS-043", "RXTSK-TASKS-045", "RXTSK-TASKS-047")
async def test_cancelling_is_acknowledged() -> None:
    async with wired(shop()) as wire:
        waiting = (await wire.begin("twice"))["taskId"]
        await wire.until(waiting, "input_required")
        done = (await wire.begin("bake", loaves=1))["taskId"]
        await wire.until(done)
        for id, status in ((waiting, "cancelled"), (done, "completed"), (waiting, "cancelled")):
            acknowledged = await wire.result("tasks/cancel", {"taskId": id})
            assert {name: each for name, each in acknowledged.items() if name != "_meta"} == {
                "resultType": "complete"
            }
            assert (await wire.get(id))["status"] == status
        cancelled = await wire.get(waiting)
        assert not {"inputRequests", "result", "error"} & cancelled.keys()


@pytest.mark.requirement(
    "RXTSK-TASKS-037", "RXTSK-TASKS-044", "RXTSK-TASKS-052", "RXTSK-TASKS-053", "RXTSK-TASKS-054"
)
@pytest.mark.requirement("RXTSK-TASKS-065")
async def test_v19_v20_a_task_of_somebody_else_is_as_unknown_as_any() -> None:
    app = shop()
    async with wired(app, name="ada") as ada, wired(app, name="eve") as eve, wired(app) as nobody:
        id = (await ada.begin("twice"))["taskId"]
        asked = await ada.until(id, "input_required")
        (key,) = asked["inputRequests"]
        for other in (eve, nobody):
            for method in ("get", "update", "cancel"):
                more = {"inputResponses": {key: yes("eve")}} if method == "update" else {}
                foreign = await other.error(f"tasks/{method}", {"taskId": id, **more})
                unknown = await other.error(f"tasks/{method}", {"taskId": "A" * len(id), **more})
                assert foreign == unknown
                assert foreign["code"] == -32602
        assert (await ada.get(id)) == asked


async def test_v19_v20_no_look_up_more_tells_a_foreign_task_from_an_unknown_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    loads: list[str] = []
    load = store.tasks.load

    async def counted(id: str) -> Any:
        loads.append(id)
        return await load(id)

    monkeypatch.setattr(store.tasks, "load", counted)
    app = shop(store=store, room=0)
    async with wired(app, name="ada") as ada, wired(app, name="eve") as eve:
        id = (await ada.begin("twice"))["taskId"]
        for method in ("get", "update", "cancel"):
            more = {"inputResponses": {}} if method == "update" else {}
            counts: list[int] = []
            for asked in (id, "A" * len(id)):
                loads.clear()
                await eve.error(f"tasks/{method}", {"taskId": asked, **more})
                counts.append(len(loads))
            assert counts == [1, 1]


@pytest.mark.hostile
@pytest.mark.requirement("RXTSK-TASKS-052")
@pytest.mark.parametrize("id", [5, None, [], {}, "", "x" * 600, "a\0b"])
async def test_an_id_that_is_none_is_refused(id: Any) -> None:
    async with wired(shop()) as wire:
        for method in ("get", "update", "cancel"):
            more = {"inputResponses": {}} if method == "update" else {}
            assert (await wire.error(f"tasks/{method}", {"taskId": id, **more}))["code"] == -32602
            assert (await wire.error(f"tasks/{method}", more))["code"] == -32602


@pytest.mark.hostile
@pytest.mark.parametrize("responses", [None, [], 5, "x", True])
async def test_answers_that_are_none_are_refused(responses: Any) -> None:
    async with wired(shop()) as wire:
        id = (await wire.begin("twice"))["taskId"]
        asked = await wire.until(id, "input_required")
        refused = await wire.error("tasks/update", {"taskId": id, "inputResponses": responses})
        assert refused["code"] == -32602
        assert (await wire.get(id)) == asked


@pytest.mark.requirement("RXTSK-TASKS-012")
async def test_what_is_asked_first_is_asked_before_there_is_a_task() -> None:
    async with wired(shop()) as wire:
        asked = await wire.result("tools/call", {"name": "greet", "arguments": {}})
        assert asked["resultType"] == "input_required"
        responses = dict.fromkeys(asked["inputRequests"], yes("Ada"))
        params = {
            "name": "greet",
            "arguments": {},
            "requestState": asked["requestState"],
            "inputResponses": responses,
        }
        made = await wire.result("tools/call", params)
        assert made["resultType"] == "task"
        ended = await wire.until(made["taskId"], "input_required", "completed", "failed")
        assert ended["result"]["content"][0]["text"] == "hello Ada"
