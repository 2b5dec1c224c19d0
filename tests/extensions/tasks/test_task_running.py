"""How tasks run: retries, limits, threads, deadlines, cancelling, ends of servers, and what the body is given."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Annotated, Any

import pytest
from task_peer import BOTH, STATEFUL, STATELESS, app_of, wired, yes

from dovetail import App, Ask, Client, Context, Depends, MethodNotFound, RegistrationError, ToolError
from dovetail.extensions import Call, Channel, Handler, TaskOptions
from dovetail.stores import MemoryStore, SQLiteStore, StoreBounds, TaskBounds
from dovetail.testing import served


def text(task: dict[str, Any]) -> str:
    """What the result of a task says."""
    return task["result"]["content"][0]["text"]


# Retries


async def test_what_failed_unforeseen_is_tried_again_with_pauses() -> None:
    app, at = app_of(), list[float]()

    @app.tool(task=TaskOptions(retries=2, backoff=0.1))
    async def flaky(ctx: Context) -> str:
        await ctx.step("once", lambda: at.append(0.0))
        at.append(time.monotonic())
        if len(at) < 4:
            raise OSError("gone")
        return "done"

    async with wired(app) as wire:
        id = (await wire.begin("flaky"))["taskId"]
        ended = await wire.until(id)
    assert text(ended) == "done"
    assert at.count(0.0) == 1  # the step was kept
    first, second, third = at[1:]
    assert second - first >= 0.1
    assert third - second >= 0.2


async def test_after_the_last_try_the_error_counts() -> None:
    app, runs = app_of(), list[int]()

    @app.tool(task=TaskOptions(retries=2, backoff=0))
    async def broken() -> str:
        runs.append(1)
        raise OSError("gone")

    async with wired(app) as wire:
        ended = await wire.until((await wire.begin("broken"))["taskId"])
    assert len(runs) == 3
    assert (ended["status"], ended["result"]["isError"]) == ("completed", True)
    assert "gone" not in text(ended)


async def test_what_the_tool_says_is_wrong_is_not_tried_again() -> None:
    app, runs = app_of(), list[int]()

    @app.tool(task=TaskOptions(retries=5, backoff=0))
    async def wrong() -> str:
        runs.append(1)
        raise ToolError("no such loaf")

    async with wired(app) as wire:
        ended = await wire.until((await wire.begin("wrong"))["taskId"])
    assert (len(runs), text(ended)) == (1, "no such loaf")


# Threads, deadlines, middleware


@pytest.mark.parametrize("revision", BOTH)
async def test_a_plain_function_runs_in_a_thread(revision: str) -> None:
    app = app_of()

    @app.tool(task="optional")
    def where() -> str:
        return str(threading.current_thread() is threading.main_thread())

    async with wired(app, revision) as wire:
        id = (await wire.begin("where"))["taskId"]
        ended = await wire.until(id)
        result = ended["result"] if revision == STATELESS else (await wire.payload(id))["result"]
        assert result["content"][0]["text"] == "False"


async def test_a_task_has_the_deadline_of_its_tool() -> None:
    app = app_of()

    @app.tool(task="optional", timeout=0.05)
    async def slow() -> str:
        await asyncio.Event().wait()
        return "never"

    async with wired(app) as wire:
        ended = await wire.until((await wire.begin("slow"))["taskId"])
    assert ended["result"]["isError"] is True
    assert "took longer than" in text(ended)


async def test_middleware_is_around_the_body_of_a_task() -> None:
    seen: list[str] = []

    async def around(call: Call, channel: Channel, handler: Handler) -> Any:
        seen.append(f"{call.method} {'task' if channel.durable else 'call'} {channel.principal.subject}")
        return await handler(call, channel)

    app = app_of(middleware=[around])

    @app.tool(task="optional")
    async def who(ctx: Context) -> str:
        return f"{ctx.principal.subject} {ctx.transport} {ctx.revision}"

    async with wired(app, name="ada") as wire:
        ended = await wire.until((await wire.begin("who"))["taskId"])
    assert text(ended) == f"ada memory {STATELESS}"
    assert [each for each in seen if each.startswith("tools/call")] == [
        "tools/call call ada",
        "tools/call task ada",
    ]


async def test_who_may_not_call_a_tool_makes_no_task_of_it() -> None:
    app = app_of(room=0)

    @app.tool(task="optional", allow=lambda principal: principal.subject == "ada")
    async def secret() -> str:
        return "secret"

    async with wired(app, STATEFUL, name="ada") as ada, wired(app, STATEFUL, name="eve") as eve:
        assert (await ada.begin("secret"))["status"] == "working"
        refused = await eve.error("tools/call", {"name": "secret", "task": {}})
        assert refused["code"] == -32602
        assert (await eve.result("tasks/list"))["tasks"] == []


async def test_what_a_call_needs_is_checked_when_the_task_is_made() -> None:
    app = app_of(room=0)

    @app.tool(task="optional", scopes=["bake"])
    async def bake() -> str:
        return "bread"

    async with wired(app, STATEFUL, name="ada", transport="http") as wire:
        refused = await wire.request("tools/call", {"name": "bake", "task": {}})
        assert refused["error"]["code"] == -31403
        assert (await wire.result("tasks/list"))["tasks"] == []


# Limits


@pytest.mark.parametrize("revision", BOTH)
async def test_one_caller_has_so_many_tasks_at_a_time(revision: str) -> None:
    app = app_of(max_unended=2, room=0)
    app.add_tool(lambda: "x", name="work", task="optional")
    params: dict[str, Any] = {"name": "work", **({"task": {}} if revision == STATEFUL else {})}
    async with wired(app, revision, name="ada") as ada, wired(app, revision, name="eve") as eve:
        made = [await ada.begin("work") for _ in range(2)]
        refused = await ada.error("tools/call", params)
        assert refused["code"] == -32603
        assert "2 of your tasks" in refused["message"]
        await eve.begin("work")
        await ada.result("tasks/cancel", {"taskId": made[0]["taskId"]})
        await ada.begin("work")


async def test_over_http_nobodies_are_counted_by_their_addresses() -> None:
    app = app_of(max_unended=1, room=0)
    app.add_tool(lambda: "x", name="work", task="optional")
    async with (
        wired(app, transport="http", remote="192.0.2.1") as one,
        wired(app, transport="http", remote="192.0.2.2") as two,
    ):
        id = (await one.begin("work"))["taskId"]
        assert (await one.error("tools/call", {"name": "work"}))["code"] == -32603
        await two.begin("work")
        assert (await two.get(id))["taskId"] == id  # who has the id of nobody's task has the task


async def test_one_machine_with_many_addresses_is_one_nobody() -> None:
    app = app_of(max_unended=1, room=0)
    app.add_tool(lambda: "x", name="work", task="optional")
    async with (
        wired(app, transport="http", remote="2001:db8::1") as one,
        wired(app, transport="http", remote="2001:db8::2") as two,
    ):
        await one.begin("work")
        assert (await two.error("tools/call", {"name": "work"}))["code"] == -32603


async def test_what_a_step_calls_does_not_learn_the_id_of_the_task() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def pay(ctx: Context) -> str:
        return ctx.step_key("pay")

    async with wired(app) as wire:
        made = await wire.begin("pay")
        ended = await wire.until(made["taskId"])
    key = ended["result"]["content"][0]["text"]
    assert key.endswith(":pay")
    assert len(key) > 20
    assert made["taskId"] not in key


async def test_so_many_of_a_tool_run_at_a_time() -> None:
    app, running, most = app_of(), 0, 0

    @app.tool(task=TaskOptions(concurrency=2))
    async def work() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return "done"

    async with wired(app) as wire:
        ids = [(await wire.begin("work"))["taskId"] for _ in range(9)]
        for id in ids:
            assert text(await wire.until(id)) == "done"
    assert most == 2


async def test_many_tasks_of_one_do_not_hold_up_another() -> None:
    app, order = app_of(room=2, max_unended=500), list[str]()
    gate = asyncio.Event()

    @app.tool(task="optional")
    async def work(ctx: Context) -> str:
        await gate.wait()
        order.append(ctx.principal.subject)
        return "done"

    async with wired(app, name="ada") as ada, wired(app, name="eve") as eve:
        ids = [(await ada.begin("work"))["taskId"] for _ in range(30)]
        last = (await eve.begin("work"))["taskId"]
        gate.set()
        await eve.until(last)
        assert order.index("eve") <= 3
        for id in ids:
            await ada.until(id)


async def test_a_result_that_is_too_large_fails_its_task() -> None:
    app = app_of(store=MemoryStore(bounds=StoreBounds(tasks=TaskBounds(max_data=4096))))

    @app.tool(task="optional")
    async def much() -> str:
        return "x" * 10_000

    @app.tool(task="optional")
    async def echo(what: str) -> str:
        return what

    async with wired(app) as wire:
        ended = await wire.until((await wire.begin("much"))["taskId"])
        assert (ended["status"], ended["error"]["code"]) == ("failed", -32603)
        assert "4096" in ended["error"]["message"]
        params = {"name": "echo", "arguments": {"what": "x" * 10_000}}
        refused = await wire.error("tools/call", params)
        assert refused["code"] == -32602
        assert "too large" in refused["message"]


@pytest.mark.parametrize("revision", BOTH)
async def test_a_task_that_expires_while_it_runs_is_gone(revision: str) -> None:
    app, ended = app_of(lease=0.1), asyncio.Event()

    @app.tool(task=TaskOptions(ttl=0.3))
    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with wired(app, revision) as wire:
        id = (await wire.begin("wait"))["taskId"]
        if revision == STATEFUL:
            refused = (await wire.payload(id))["error"]  # who waits for it hears so
            assert refused["code"] == -32602
        await asyncio.wait_for(ended.wait(), 10)
        assert (await wire.error("tasks/get", {"taskId": id}))["code"] == -32602


# Cancelling


async def test_of_a_cancellation_and_an_end_one_counts() -> None:
    app, gates = app_of(), list[asyncio.Event]()

    @app.tool(task="optional")
    async def work(number: int) -> str:
        await gates[number].wait()
        return "done"

    async with wired(app) as wire:
        for number in range(30):
            gates.append(asyncio.Event())
            id = (await wire.begin("work", number=number))["taskId"]
            cancelling = await wire.start(f"c{number}", "tasks/cancel", {"taskId": id})
            for _ in range(number % 6):
                await asyncio.sleep(0)
            gates[number].set()
            await asyncio.wait_for(cancelling, 10)
            ended = await wire.until(id)
            assert ("result" in ended) == (ended["status"] == "completed")
            for _ in range(3):
                await asyncio.sleep(0)
                assert await wire.get(id) == ended


async def test_a_waiting_task_that_is_cancelled_takes_its_question_back() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("ask"))["taskId"]
        answer = await wire.start("r", "tasks/result", {"taskId": id})
        question = await wire.next()
        await wire.result("tasks/cancel", {"taskId": id})
        assert (await asyncio.wait_for(answer, 10))["error"]["code"] == -32600
        taken_back = await wire.next()
        assert taken_back["method"] == "notifications/cancelled"
        assert taken_back["params"]["requestId"] == question["id"]


# Who waits


async def test_of_two_who_wait_one_is_asked_and_both_are_answered() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    async with wired(app, STATEFUL) as one, wired(app, STATEFUL) as two:
        id = (await one.begin("ask"))["taskId"]
        await one.until(id, "input_required")
        waiting = [await each.start("r", "tasks/result", {"taskId": id}) for each in (one, two)]
        question = await one.next()
        for _ in range(50):
            await asyncio.sleep(0)
        assert one.inbox.empty()
        assert two.inbox.empty()
        await one.send({"jsonrpc": "2.0", "id": question["id"], "result": yes()})
        for each in waiting:
            assert (await asyncio.wait_for(each, 10))["result"]["content"][0]["text"] == "Ada"


async def test_who_waits_goes_on_asking_for_one_who_left() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    async with wired(app, STATEFUL) as two:
        async with wired(app, STATEFUL) as one:
            id = (await one.begin("ask"))["taskId"]
            await one.start("r", "tasks/result", {"taskId": id})
            await one.next()
            waiting = await two.start("r", "tasks/result", {"taskId": id})
        assert (await two.respond(yes()))["params"]["message"] == "Who?"
        assert (await asyncio.wait_for(waiting, 10))["result"]["content"][0]["text"] == "Ada"


async def test_a_question_that_is_answered_with_an_error_ends_the_task() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    async with wired(app, STATEFUL) as wire:
        id = (await wire.begin("ask"))["taskId"]
        waiting = await wire.start("r", "tasks/result", {"taskId": id})
        question = await wire.next()
        problem = {"code": -1, "message": "the person said no"}
        await wire.send({"jsonrpc": "2.0", "id": question["id"], "error": problem})
        assert (await asyncio.wait_for(waiting, 10))["error"] == problem
        ended = await wire.get(id)
        assert (ended["status"], ended["statusMessage"]) == ("failed", "the person said no")


# What clients make up


@pytest.mark.hostile
async def test_state_that_a_client_makes_up_is_not_believed() -> None:
    app = app_of()

    @app.tool(task="optional")
    async def pay(ctx: Context) -> str:
        paid = await ctx.step("pay", lambda: "really paid")
        return f"{paid} {await ctx.elicit('Sure?', str, key='sure')}"

    forged = {
        "requestState": '{"nonce":"aaaaaaaaaaaaaaaaaaaa","expires":0,"round":1,"steps":{"pay":"\\"not paid\\""}}',
        "inputResponses": {"sure": yes("forged")},
    }
    async with wired(app) as wire:
        made = await wire.result("tools/call", {"name": "pay", **forged})
        asked = await wire.until(made["taskId"], "input_required")
        (key,) = asked["inputRequests"]
        await wire.update(made["taskId"], **{key: yes("I am")})
        assert text(await wire.until(made["taskId"])) == "really paid I am"


@pytest.mark.hostile
async def test_state_that_is_made_up_before_a_task_exists_is_refused() -> None:
    app = app_of(room=0)

    @app.tool(task="optional")
    async def greet(name: Annotated[str, Ask("Who?")]) -> str:
        return name

    async with wired(app) as wire:
        state = '{"nonce":"aaaaaaaaaaaaaaaaaaaa","expires":0,"round":1}'
        refused = await wire.error("tools/call", {"name": "greet", "requestState": state})
        assert refused["code"] == -32602


# The end of servers, and other processes


async def test_a_server_that_ends_lets_others_go_on(tmp_path: Any) -> None:
    begun, gate, worked = asyncio.Event(), asyncio.Event(), list[str]()

    def served_by(name: str) -> App:
        app = app_of("shop", store=SQLiteStore(tmp_path / "store.db"))

        @app.tool(task="optional")
        async def work(ctx: Context) -> str:
            await ctx.step("first", lambda: worked.append(name))
            begun.set()
            if name == "one":
                await gate.wait()
            return f"by {name}"

        return app

    async with wired(served_by("two"), name="ada") as two:
        async with wired(served_by("one"), name="ada") as one:
            id = ""
            while not worked or worked[-1] != "one":
                begun.clear()
                id = (await one.begin("work"))["taskId"]
                await asyncio.wait_for(begun.wait(), 10)
        ended = await two.until(id)
        assert text(ended) == "by two"
        assert worked.count("one") == 1


async def test_a_process_without_room_leaves_tasks_to_others(tmp_path: Any) -> None:
    def served_by(room: int) -> App:
        app = app_of("shop", room=room, store=SQLiteStore(tmp_path / "store.db"))
        app.add_tool(lambda: f"with room for {room}", name="work", task="optional")
        return app

    async with wired(served_by(0), name="ada") as none:
        id = (await none.begin("work"))["taskId"]
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert (await none.get(id))["status"] == "working"
        async with wired(served_by(3), name="ada"):
            assert text(await none.until(id)) == "with room for 3"
            waiting = (await none.begin("work"))["taskId"]
            assert text(await none.until(waiting)) == "with room for 3"


# What is asked before there is a task


def opened() -> str:
    """A dependency."""
    return "opened"


@pytest.mark.parametrize("options", [{}, {"timeout": 5.0}, {"once": True}], ids=["plain", "timeout", "once"])
@pytest.mark.parametrize("revision", BOTH)
async def test_what_is_asked_first_with_all_that_a_tool_may_have(
    revision: str, options: dict[str, Any]
) -> None:
    app, worked = app_of(), list[str]()

    @app.tool(task=TaskOptions(support="required"), **options)
    async def greet(
        ctx: Context,
        name: Annotated[str, Ask("Who?")],
        book: Annotated[str, Depends(opened)],
        age: Annotated[int, Ask("How old?")],
    ) -> str:
        await ctx.step("work", lambda: worked.append(name))
        sure = await ctx.elicit("Sure?", bool)
        return f"{name} {age} {book} {sure}"

    answers = {"Who?": yes("Ada"), "How old?": yes(36), "Sure?": yes(True)}
    async with wired(app, revision) as wire:
        if revision == STATELESS:
            params: dict[str, Any] = {"name": "greet", "arguments": {}}
            made = await wire.result("tools/call", params)
            rounds = 0
            while made["resultType"] == "input_required":
                rounds += 1
                assert worked == []
                told = {
                    key: answers[each["params"]["message"]] for key, each in made["inputRequests"].items()
                }
                more = {"requestState": made["requestState"], "inputResponses": told}
                made = await wire.result("tools/call", {**params, **more})
            assert rounds >= 1
            asked = await wire.until(made["taskId"], "input_required")
            assert [each["params"]["message"] for each in asked["inputRequests"].values()] == ["Sure?"]
            await wire.update(made["taskId"], **dict.fromkeys(asked["inputRequests"], yes(True)))
            ended = await wire.until(made["taskId"])
        else:
            id = (await wire.begin("greet"))["taskId"]
            waiting = await wire.start("r", "tasks/result", {"taskId": id})
            while not waiting.done():
                question = asyncio.ensure_future(wire.next())
                await asyncio.wait((question, waiting), return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    question.cancel()
                    break
                said = question.result()
                answer = answers[said["params"]["message"]]
                await wire.send({"jsonrpc": "2.0", "id": said["id"], "result": answer})
            ended = waiting.result()
        assert text(ended) == "Ada 36 opened True"
    assert worked == ["Ada"]


async def test_a_client_that_goes_away_while_it_is_asked_leaves_the_task_waiting() -> None:
    app, asked = app_of(), asyncio.Event()

    @app.tool(task="optional")
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    async def think(question: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    async with served(app.asgi()) as url:
        async with Client(url, revision=STATEFUL, elicitation=think) as one:
            id = (await one.request("tools/call", {"name": "ask", "task": {}}))["task"]["taskId"]
            waiting = asyncio.create_task(one.request("tasks/result", {"taskId": id}))
            await asyncio.wait_for(asked.wait(), 10)
            waiting.cancel()
        async with Client(url, revision=STATEFUL, elicitation=lambda _: "Ada") as two:
            assert (await two.request("tasks/get", {"taskId": id}))["status"] == "input_required"
            async with asyncio.timeout(20):
                result = await two.request("tasks/result", {"taskId": id})
            assert result["content"][0]["text"] == "Ada"
            with pytest.raises(MethodNotFound):
                await two.request("tasks/list")


# What can't be


@pytest.mark.parametrize(
    "make,given,said",
    [
        (app_of, True, 'write task="optional"'),
        (app_of, "always", '"forbidden", "optional" or "required", not \'always\''),
        (lambda: App("plain"), "optional", "App(..., extensions=[tasks()])"),
    ],
    ids=["true", "unknown", "nothing runs it"],
)
def test_what_no_tool_can_be_is_refused_with_what_to_write(make: Any, given: Any, said: str) -> None:
    def work() -> str:
        """Work."""
        return "done"

    with pytest.raises(RegistrationError, match=re.escape(said)):
        make().add_tool(work, task=given)
