"""The rules of 2025-11-25 about tasks, one by one, in bytes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from task_peer import RELATED, STATEFUL, TaskWire, app_of, noticed, until, wired

from dovetail import App, Context, RPCError, ToolError
from dovetail.extensions import TaskOptions


def shop(**options: Any) -> App:
    app = app_of("shop", **options)

    @app.tool(task="optional")
    async def bake(loaves: int) -> str:
        """Bake."""
        return f"{loaves} loaves"

    @app.tool(task=TaskOptions(support="required", ttl=60, poll=0.25))
    async def order(ctx: Context) -> str:
        """Ask what to order, and order it."""
        return "ordered " + await ctx.elicit("What?", str, key="what")

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

    return app


@pytest.mark.requirement("R2511-TASKS-001", "R2511-TASKS-082", "R2511-TASKS-075")
async def test_v19_v20_what_can_be_a_task_is_declared() -> None:
    cancel = {"cancel": {}, "requests": {"tools": {"call": {}}}}
    for transport, name, expected in (
        ("memory", "", {"list": {}, **cancel}),
        ("http", "ada", {"list": {}, **cancel}),
        ("http", "", cancel),
    ):
        app = shop()
        wire = TaskWire(app, STATEFUL, name=name, transport=transport)
        opened = await wire.open()
        assert opened["capabilities"]["tasks"] == expected
        if not name and transport == "http":
            assert (await wire.error("tasks/list"))["code"] == -32601
        else:
            assert await wire.result("tasks/list") == {"tasks": []}
        await wire.close()
        await app.service.stop()


async def test_tools_say_how_they_may_be_run() -> None:
    async with wired(shop(), STATEFUL) as wire:
        listed = (await wire.result("tools/list"))["tools"]
        supports = {each["name"]: each.get("execution") for each in listed}
        assert supports["bake"] == {"taskSupport": "optional"}
        assert supports["order"] == {"taskSupport": "required"}
        assert supports["look"] is None


@pytest.mark.requirement("R2511-TASKS-006", "R2511-TASKS-009", "R2511-TASKS-021")
async def test_how_a_tool_may_be_called_is_kept() -> None:
    async with wired(shop(), STATEFUL) as wire:
        forbidden = await wire.error("tools/call", {"name": "look", "task": {}})
        assert forbidden["code"] == -32601
        plain = await wire.error("tools/call", {"name": "order"})
        assert plain["code"] == -32601
        assert "task" in plain["message"]
        assert (await wire.call("bake", loaves=2))["content"][0]["text"] == "2 loaves"
        assert (await wire.begin("bake", loaves=2))["status"] == "working"


@pytest.mark.requirement("R2511-TASKS-020")
async def test_without_the_capability_the_parameter_is_ignored() -> None:
    app = App("plain")

    @app.tool
    async def look() -> str:
        return "bread"

    async with wired(app, STATEFUL) as wire:
        assert "tasks" not in (await TaskWire(app, STATEFUL).open())["capabilities"]
        answer = await wire.result("tools/call", {"name": "look", "task": {"ttl": 1000}})
        assert answer["content"][0]["text"] == "bread"


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
async def test_before_there_were_tasks_one_that_may_be_one_is_a_plain_call(revision: str) -> None:
    async with wired(shop(), revision, {}) as wire:
        assert (await wire.call("bake", loaves=2))["content"][0]["text"] == "2 loaves"
        refused = await wire.error("tools/call", {"name": "order", "arguments": {}})
        assert refused["code"] == -32600
        assert revision in refused["message"]
        assert (await wire.error("tasks/get", {"taskId": "x"}))["code"] == -32601


@pytest.mark.requirement(
    "R2511-TASKS-022",
    "R2511-TASKS-023",
    "R2511-TASKS-024",
    "R2511-TASKS-025",
    "R2511-TASKS-034",
    "R2511-TASKS-035",
    "R2511-TASKS-037",
    "R2511-TASKS-041",
    "R2511-TASKS-042",
    "R2511-TASKS-074",
)
async def test_a_call_becomes_a_task() -> None:
    async with wired(shop(), STATEFUL) as wire:
        made = [await wire.begin("order") for _ in range(50)]
        ids = [each["taskId"] for each in made]
        assert len(set(ids)) == 50
        assert all(isinstance(id, str) and len(id) >= 22 for id in ids)
        spread = [len({id[place] for id in ids}) for place in range(len(ids[0]))]
        assert min(spread) > 10  # no place of an id is fixed, or counts
        for each in made:
            assert each["status"] == "working"
            begun, changed = (datetime.fromisoformat(each[name]) for name in ("createdAt", "lastUpdatedAt"))
            assert begun.tzinfo is not None
            assert begun <= changed
            assert (each["ttl"], each["pollInterval"]) == (60_000, 250)
        asked = await wire.get(ids[0])
        assert asked["ttl"] == 60_000
        assert {"createdAt", "lastUpdatedAt"} <= asked.keys()


@pytest.mark.requirement("R2511-TASKS-010", "R2511-TASKS-036", "R2511-TASKS-037", "R2511-TASKS-079")
async def test_a_ttl_is_what_was_asked_for_up_to_what_there_is() -> None:
    async with wired(shop(), STATEFUL) as wire:
        for asked, given in ((5_000, 5_000), (1, 1), (10**15, 60_000), (60_001, 60_000)):
            assert (await wire.begin("order", ttl=asked))["ttl"] == given


@pytest.mark.hostile
@pytest.mark.parametrize("ttl", [-1, 0, True, "1000", [1], {}, -(10**30)])
async def test_a_ttl_that_is_none_is_refused(ttl: Any) -> None:
    async with wired(shop(), STATEFUL) as wire:
        refused = await wire.request("tools/call", {"name": "order", "task": {"ttl": ttl}})
        assert refused["error"]["code"] in (-32602, -32700)
        assert (await wire.result("tasks/list"))["tasks"] == []


@pytest.mark.hostile
@pytest.mark.parametrize("task", [5, "x", [], True, {"ttl": {"a": 1}}])
async def test_a_task_parameter_of_a_wrong_shape_is_refused(task: Any) -> None:
    async with wired(shop(), STATEFUL) as wire:
        refused = await wire.error("tools/call", {"name": "bake", "arguments": {"loaves": 1}, "task": task})
        assert refused["code"] == -32602
        assert (await wire.result("tasks/list"))["tasks"] == []


@pytest.mark.requirement(
    "R2511-TASKS-026",
    "R2511-TASKS-030",
    "R2511-TASKS-031",
    "R2511-TASKS-033",
    "R2511-TASKS-043",
    "R2511-TASKS-044",
    "R2511-TASKS-046",
    "R2511-TASKS-047",
    "R2511-TASKS-050",
    "R2511-TASKS-063",
    "R2511-TASKS-064",
    "R2511-TASKS-065",
)
async def test_a_task_asks_on_the_stream_of_its_result() -> None:
    async with wired(shop(), STATEFUL) as wire:
        made = await wire.request("tools/call", {"name": "order", "task": {}})
        related = {RELATED: {"taskId": made["result"]["task"]["taskId"]}}
        assert made["result"]["_meta"] == related
        id = related[RELATED]["taskId"]
        waiting = await wire.until(id, "input_required")
        assert "_meta" not in waiting
        answer = await wire.start("r", "tasks/result", {"taskId": id})
        question = await wire.next()
        assert question["method"] == "elicitation/create"
        assert question["params"]["_meta"] == related
        assert not answer.done()
        given = {"action": "accept", "content": {"value": "rye"}}
        await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": given})
        came = (await asyncio.wait_for(answer, 10))["result"]
        assert came["content"][0]["text"] == "ordered rye"
        assert came["_meta"] == related
        ended = await wire.get(id)
        assert ended["status"] == "completed"
        assert "_meta" not in ended
        assert "_meta" not in (await wire.result("tasks/list"))
        again = await wire.payload(id)
        assert again["result"] == came


@pytest.mark.requirement("R2511-TASKS-044")
async def test_the_result_is_waited_for_while_the_task_works() -> None:
    gate = asyncio.Event()
    app = app_of()

    @app.tool(task="optional")
    async def wait() -> str:
        await gate.wait()
        return "done"

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("wait"))["taskId"]
        answer = await wire.start("r", "tasks/result", {"taskId": id})
        for _ in range(5):
            assert (await wire.get(id))["status"] == "working"
        assert not answer.done()
        gate.set()
        assert (await asyncio.wait_for(answer, 10))["result"]["content"][0]["text"] == "done"


@pytest.mark.requirement(
    "R2511-TASKS-069", "R2511-TASKS-070", "R2511-TASKS-071", "R2511-TASKS-045", "R2511-TASKS-043"
)
async def test_the_result_is_what_the_plain_call_would_have_given() -> None:
    async with wired(shop(), STATEFUL) as wire:
        for tool, arguments, status in (
            ("bake", {"loaves": 3}, "completed"),
            ("bake", {"loaves": "many"}, "failed"),
            ("burn", {}, "failed"),
            ("refuse", {}, "failed"),
        ):
            params = {"name": tool, "arguments": arguments}
            plain = await wire.request("tools/call", params)
            made = await wire.result("tools/call", {**params, "task": {}})
            id = made["task"]["taskId"]
            ended = await wire.until(id)
            assert ended["status"] == status, tool
            assert bool(ended.get("statusMessage")) == (status == "failed")
            assert "pollInterval" not in ended
            came = await wire.payload(id)
            if "error" in plain:
                assert came["error"] == plain["error"]
            else:
                assert came["result"].pop("_meta") == {RELATED: {"taskId": id}}
                assert came["result"] == plain["result"]
                if status == "failed":
                    assert ended["statusMessage"] == plain["result"]["content"][0]["text"]


@pytest.mark.requirement("R2511-TASKS-048", "R2511-TASKS-049")
async def test_the_parameter_says_which_task_and_not_what_is_related() -> None:
    async with wired(shop(), STATEFUL) as wire:
        one, two = [(await wire.begin("order"))["taskId"] for _ in range(2)]
        meta = {RELATED: {"taskId": two}}
        for method in ("tasks/get", "tasks/cancel"):
            assert (await wire.result(method, {"taskId": one}, meta=meta))["taskId"] == one
        refused = await wire.error("tasks/result", {"taskId": one}, meta=meta)
        assert refused["code"] == -32600
        assert (await wire.get(two))["status"] in ("working", "input_required")


@pytest.mark.requirement("R2511-TASKS-054", "R2511-TASKS-055", "R2511-TASKS-056", "R2511-TASKS-057")
async def test_all_tasks_are_listed_page_by_page() -> None:
    async with wired(shop(max_unended=500, room=0), STATEFUL, name="ada") as wire:
        ids = [(await wire.begin("order"))["taskId"] for _ in range(205)]
        found: list[str] = []
        sizes: list[int] = []
        params: dict[str, Any] = {}
        while True:
            page = await wire.result("tasks/list", params)
            found += [each["taskId"] for each in page["tasks"]]
            sizes.append(len(page["tasks"]))
            if "nextCursor" not in page:
                break
            params = {"cursor": page["nextCursor"]}
        assert sizes == [100, 100, 5]
        assert sorted(found) == sorted(ids)


@pytest.mark.hostile
@pytest.mark.requirement("R2511-TASKS-066")
@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "W10=", "WzEsMl0=", "bnVsbA==", "ü", 5, [], "WzFlOTk5LCJhIl0="]
)
async def test_a_cursor_that_is_none_is_refused(cursor: Any) -> None:
    async with wired(shop(), STATEFUL) as wire:
        assert (await wire.error("tasks/list", {"cursor": cursor}))["code"] == -32602


@pytest.mark.requirement("R2511-TASKS-066", "R2511-TASKS-058", "R2511-TASKS-068")
async def test_errors_have_the_codes_of_the_page() -> None:
    async with wired(shop(), STATEFUL) as wire:
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert (await wire.error(method, {"taskId": "no-such-task"}))["code"] == -32602
        id = (await wire.begin("bake", loaves=1))["taskId"]
        await wire.until(id)
        refused = await wire.error("tasks/cancel", {"taskId": id})
        assert refused["code"] == -32602
        assert "completed" in refused["message"]
        assert (await wire.get(id))["status"] == "completed"


@pytest.mark.hostile
@pytest.mark.parametrize("id", [5, None, [], {}, "", "x" * 600, "a\0b"])
async def test_an_id_that_is_none_is_refused(id: Any) -> None:
    async with wired(shop(), STATEFUL) as wire:
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert (await wire.error(method, {"taskId": id}))["code"] == -32602
            assert (await wire.error(method, {}))["code"] == -32602


@pytest.mark.requirement("R2511-TASKS-059", "R2511-TASKS-060", "R2511-TASKS-027", "R2511-TASKS-058")
async def test_a_cancelled_task_stays_cancelled() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    app = app_of()

    @app.tool(task="optional")
    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            return "done all the same"
        raise AssertionError

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("stubborn"))["taskId"]
        await asyncio.wait_for(begun.wait(), 10)
        assert (await wire.result("tasks/cancel", {"taskId": id}))["status"] == "cancelled"
        await asyncio.wait_for(ended.wait(), 10)
        for _ in range(20):
            await asyncio.sleep(0)
            assert (await wire.get(id))["status"] == "cancelled"
        assert (await wire.error("tasks/cancel", {"taskId": id}))["code"] == -32602
        assert (await wire.error("tasks/result", {"taskId": id}))["code"] == -32600


@pytest.mark.requirement("R2511-TASKS-072", "R2511-TASKS-076", "R2511-TASKS-077")
async def test_v19_v20_tasks_are_those_of_who_made_them() -> None:
    app = shop()
    async with (
        wired(app, STATEFUL, name="ada") as ada,
        wired(app, STATEFUL, name="eve") as eve,
        wired(app, STATEFUL) as nobody,
    ):
        id = (await ada.begin("order"))["taskId"]
        for other in (eve, nobody):
            for method in ("tasks/get", "tasks/result", "tasks/cancel"):
                foreign = await other.error(method, {"taskId": id})
                unknown = await other.error(method, {"taskId": "A" * len(id)})
                assert foreign == unknown
                assert foreign["code"] == -32602
            assert (await other.result("tasks/list"))["tasks"] == []
        assert [each["taskId"] for each in (await ada.result("tasks/list"))["tasks"]] == [id]
        assert (await ada.get(id))["status"] in ("working", "input_required")


@pytest.mark.requirement("R2511-CANCELLATION-003", "R2511-CANCELLATION-013")
async def test_a_cancelled_notification_ends_no_task() -> None:
    gate = asyncio.Event()
    app = app_of()

    @app.tool(task="optional")
    async def wait() -> str:
        await gate.wait()
        return "done"

    async with wired(app, STATEFUL) as wire:
        made = await wire.start("made", "tools/call", {"name": "wait", "task": {}})
        id = (await asyncio.wait_for(made, 10))["result"]["task"]["taskId"]
        await wire.start("result", "tasks/result", {"taskId": id})
        for request in ("made", "result"):
            await wire.send(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}}
            )
        assert (await wire.get(id))["status"] == "working"
        gate.set()
        assert (await wire.until(id))["status"] == "completed"


@pytest.mark.requirement("R2511-PROGRESS-009", "R2511-PROGRESS-010", "R2511-PROGRESS-011")
async def test_progress_of_a_task_has_the_token_of_its_call() -> None:
    gates = [asyncio.Event() for _ in range(2)]
    app = app_of()

    @app.tool(task="optional")
    async def count(ctx: Context) -> str:
        for number, gate in enumerate(gates, 1):
            await gate.wait()
            await ctx.progress(number, 9, f"step {number}")
        await ctx.elicit("Go on?", bool)
        await ctx.progress(9, 9)
        return "done"

    async with wired(app, STATEFUL) as wire:
        meta = {"progressToken": "p-1"}
        made = await wire.result("tools/call", {"name": "count", "task": {}}, meta=meta)
        id = made["task"]["taskId"]
        answer = await wire.start("r", "tasks/result", {"taskId": id})
        heard: list[dict[str, Any]] = []
        for gate in gates:
            gate.set()
            heard.append(await wire.next())
        assert [each["method"] for each in heard] == ["notifications/progress"] * 2
        assert [each["params"]["progress"] for each in heard] == [1, 2]
        assert {each["params"]["progressToken"] for each in heard} == {"p-1"}
        assert all(each["params"]["_meta"] == {RELATED: {"taskId": id}} for each in heard)
        question = await wire.next()
        accept = {"action": "accept", "content": {"value": True}}
        await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": accept})
        await asyncio.wait_for(answer, 10)
        assert (await wire.get(id))["status"] == "completed"
        assert wire.inbox.empty()  # nothing is said of a task that has ended


async def test_how_far_a_task_is_can_be_asked_for() -> None:
    gate = asyncio.Event()
    app = app_of()

    @app.tool(task="optional")
    async def count(ctx: Context) -> str:
        await ctx.progress(1, 4)
        await gate.wait()
        return "done"

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("count"))["taskId"]

        async def said() -> dict[str, Any]:
            task = await wire.get(id)
            return {"status": task.get("statusMessage", "")}

        await until(said, "1 of 4")
        gate.set()
        assert "statusMessage" not in await wire.until(id)


@pytest.mark.requirement("R2511-TASKS-017", "R2511-TASKS-053")
async def test_who_waits_for_a_result_is_told_of_each_status() -> None:
    app = app_of()
    gate = asyncio.Event()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        name = await ctx.elicit("Who?", str)
        await gate.wait()
        return name

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("ask"))["taskId"]
        await wire.until(id, "input_required")
        waiting = await wire.start("r", "tasks/result", {"taskId": id})
        await wire.respond({"action": "accept", "content": {"value": "Ada"}})
        told = asyncio.ensure_future(wire.next())
        await noticed(lambda: bool(wire.statuses))
        told.cancel()
        gate.set()
        assert (await asyncio.wait_for(waiting, 10))["result"]["content"][0]["text"] == "Ada"
    assert [(each["taskId"], each["status"]) for each in wire.statuses] == [(id, "working")]
    assert "_meta" not in wire.statuses[0]
