"""What a server of 2025-11-25 asks clients as tasks of theirs: made, looked at, fetched, given up; or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from must_peer import frames, parsed
from task_peer import RELATED, STATEFUL, TaskWire, noticed, wired

from dovetail import App, Context, RPCError
from dovetail.errors import Dismissed
from dovetail.extensions.tasks import tasks
from dovetail.testing import connected

TAKES: dict[str, Any] = {
    "sampling": {},
    "elicitation": {"form": {}},
    "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}}},
}
BOTH: dict[str, Any] = {
    **TAKES,
    "tasks": {"cancel": {}, "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}},
}
MESSAGE = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Ada"}}


def asker(ttl: float | None = 60.0, **options: Any) -> App:
    """An app whose tools ask."""
    app = App("asker", extensions=[tasks(question_ttl=ttl)], rate_limit=None, **options)

    @app.tool
    async def think(ctx: Context) -> str:
        """Ask the model."""
        try:
            content = (await ctx.sample("Who?")).content
        except Dismissed as problem:
            return f"{type(problem).__name__}: {problem}"
        return getattr(content, "text", "")

    @app.tool
    async def greet(ctx: Context) -> str:
        """Ask the person."""
        return "Hello " + await ctx.elicit("Who?", str)

    @app.tool(task="required")
    async def work(ctx: Context) -> str:
        """Ask as a task."""
        return "Hello " + await ctx.elicit("Who?", str)

    @app.prompt
    async def verse(ctx: Context) -> str:
        """Ask for a prompt."""
        return "Write of " + await ctx.elicit("Whom?", str)

    return app


def task(status: str = "working", **more: Any) -> dict[str, Any]:
    """A task of the client's."""
    moment = "2026-11-23T00:00:00Z"
    return {
        "taskId": "c-1",
        "status": status,
        "createdAt": moment,
        "lastUpdatedAt": moment,
        "ttl": 5000,
        "pollInterval": 100,
        **more,
    }


async def answer(wire: TaskWire, asked: dict[str, Any], result: Any = None, **error: Any) -> None:
    """Answer a request of the server's."""
    outcome = {"error": {"message": "no", **error}} if error else {"result": result}
    await wire.send({"jsonrpc": "2.0", "id": asked["id"], **outcome})


async def begun(wire: TaskWire, tool: str = "think", **more: Any) -> tuple[Any, dict[str, Any]]:
    """A call whose question has become a task of the client's; its answer to come, and what asked."""
    call = await wire.start(100, "tools/call", {"name": tool, "arguments": {}})
    asked = await wire.next()
    await answer(wire, asked, {"task": task(**more)})
    return call, asked


def text_of(answered: dict[str, Any]) -> str:
    """What a tool said."""
    return answered["result"]["content"][0]["text"]


@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json", "http-sse"])
async def test_our_clients_are_asked_by_tasks(transport: Any) -> None:
    asked: list[str] = []

    def model(params: Any) -> str:
        asked.append("model")
        return "Ada"

    options: dict[str, Any] = {"sampling": model, "elicitation": lambda _: "Ann", "extensions": [tasks()]}
    with frames() as seen:
        async with connected(asker(), transport=transport, revision=STATEFUL, **options) as client:
            assert (await client.call_tool("think")).value == "Ada"
            assert (await client.call_tool("greet")).value == "Hello Ann"
            assert (await client.call_tool("work")).value == "Hello Ann"
            verse = await client.get_prompt("verse")
            assert getattr(verse.messages[0].content, "text", "") == "Write of Ann"
    said = parsed(seen, "server")
    questions = [
        each for each in said if each.get("method") in ("sampling/createMessage", "elicitation/create")
    ]
    assert len(questions) == 4
    assert all(each["params"]["task"] == {"ttl": 60_000} for each in questions)
    assert [RELATED in each["params"].get("_meta", {}) for each in questions] == [False, False, True, False]
    fetched = [each["params"]["taskId"] for each in said if each.get("method") == "tasks/result"]
    assert len(set(fetched)) == 4


@pytest.mark.requirement("R2511-TASKS-010", "R2511-TASKS-014", "R2511-TASKS-049", "R2511-TASKS-083")
async def test_a_task_of_the_clients_is_looked_at_until_it_has_ended_and_fetched() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call, asked = await begun(wire)
        assert asked["params"]["task"] == {"ttl": 60_000}
        for status in ("working", "working", "completed"):
            looked = await wire.next()
            assert (looked["method"], looked["params"]) == ("tasks/get", {"taskId": "c-1"})
            await answer(wire, looked, task(status))
        fetched = await wire.next()
        assert (fetched["method"], fetched["params"]) == ("tasks/result", {"taskId": "c-1"})
        await answer(wire, fetched, {**MESSAGE, "_meta": {RELATED: {"taskId": "c-1"}}})
        assert text_of(await call) == "Ada"


@pytest.mark.requirement(
    "R2511-TASKS-013", "R2511-TASKS-018", "R2511-TASKS-019", "R2511-TASKS-052", "R2511-TASKS-040"
)
async def test_it_is_looked_at_as_often_as_the_client_tells_and_without_a_word_of_it() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call, _ = await begun(wire, pollInterval=300)
        clock, before = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        gaps: list[float] = []
        for status in ("working", "working", "completed"):
            looked = await wire.next()
            gaps.append(clock.time() - before)
            before = clock.time()
            await answer(wire, looked, task(status, pollInterval=300))
        assert min(gaps) >= 0.29, gaps
        await answer(wire, await wire.next(), MESSAGE)
        assert text_of(await call) == "Ada"


async def test_a_word_of_the_client_saves_waiting() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call, _ = await begun(wire, pollInterval=60_000)
        await wire.send(
            {"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": task("completed")}
        )
        looked = await wire.next()  # what was told is looked up, not believed
        assert looked["method"] == "tasks/get"
        await answer(wire, looked, task("completed"))
        await answer(wire, await wire.next(), MESSAGE)
        assert text_of(await call) == "Ada"


@pytest.mark.requirement("R2511-TASKS-032")
async def test_a_task_that_waits_for_the_server_is_fetched_at_once() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call, _ = await begun(wire)
        await answer(wire, await wire.next(), task("input_required"))
        fetched = await wire.next()
        assert fetched["method"] == "tasks/result"
        await answer(wire, fetched, MESSAGE)
        assert text_of(await call) == "Ada"


@pytest.mark.requirement("R2511-TASKS-002", "R2511-TASKS-003")
async def test_nothing_is_asked_as_a_task_that_the_client_did_not_announce() -> None:
    person, model = {"action": "accept", "content": {"value": "Ann"}}, MESSAGE
    for capabilities, plain in (
        (TAKES, ("greet",)),
        ({**TAKES, "tasks": {"list": {}}}, ("greet", "think")),
        ({name: item for name, item in TAKES.items() if name != "tasks"}, ("greet", "think")),
    ):
        async with wired(asker(), STATEFUL, capabilities) as wire:
            for tool in plain:
                call = await wire.start(tool, "tools/call", {"name": tool, "arguments": {}})
                asked = await wire.next()
                assert "task" not in asked["params"]
                await answer(wire, asked, person if tool == "greet" else model)
                assert text_of(await call) in ("Hello Ann", "Ada")
    async with wired(asker(ttl=None), STATEFUL, BOTH) as wire:
        await wire.start(1, "tools/call", {"name": "think", "arguments": {}})
        assert "task" not in (await wire.next())["params"]
    async with wired(asker(), "2025-06-18", BOTH) as wire:
        await wire.start(1, "tools/call", {"name": "think", "arguments": {}})
        assert "task" not in (await wire.next())["params"]


@pytest.mark.hostile
async def test_a_client_that_answers_at_once_has_answered() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call = await wire.start(1, "tools/call", {"name": "think", "arguments": {}})
        await answer(wire, await wire.next(), MESSAGE)
        assert text_of(await call) == "Ada"


async def test_how_a_task_may_end_otherwise() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call, _ = await begun(wire)
        await answer(wire, await wire.next(), task("cancelled"))
        assert (
            text_of(await call)
            == "Dismissed: the client cancelled what it was asked by sampling/createMessage"
        )
        call, _ = await begun(wire)
        await answer(wire, await wire.next(), code=-32602)
        assert text_of(await call).startswith("Unanswered: the client has forgotten")
        call, _ = await begun(wire)
        await answer(wire, await wire.next(), task("failed"))
        await answer(wire, await wire.next(), code=-1, message="the person refused")
        assert text_of(await call) == (
            "The tool 'think' failed: tasks/result was answered with: the person refused (code -1)"
        )


@pytest.mark.hostile
async def test_a_task_that_cannot_be_read_is_an_error_of_the_tool() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        call = await wire.start(1, "tools/call", {"name": "think", "arguments": {}})
        await answer(wire, await wire.next(), {"task": {"taskId": 7}})
        assert "can't be read" in text_of(await call)
        call, _ = await begun(wire)
        await answer(wire, await wire.next(), {"taskId": "c-1", "status": "lost"})
        assert "can't be read" in text_of(await call)


@pytest.mark.requirement("R2511-CANCELLATION-003", "R2511-CANCELLATION-013")
async def test_who_cancels_the_call_cancels_the_task() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        await begun(wire, pollInterval=60_000)
        await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 100}})
        told = await wire.next()
        assert (told["method"], told["params"]) == ("tasks/cancel", {"taskId": "c-1"})
        await answer(wire, told, task("cancelled"))
        await wire.result("ping")
        assert wire.inbox.empty()


@pytest.mark.requirement("R2511-CANCELLATION-003", "R2511-CANCELLATION-013")
async def test_a_call_is_cancelled_before_its_task_is_known() -> None:
    async with wired(asker(), STATEFUL, TAKES) as wire:
        await wire.start(100, "tools/call", {"name": "think", "arguments": {}})
        asked = await wire.next()
        await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 100}})
        await wire.result("ping")
        await answer(wire, asked, {"task": task()})
        told = await wire.next()
        assert (told["method"], told["params"]) == ("tasks/cancel", {"taskId": "c-1"})
        await answer(wire, told, task("cancelled"))


async def test_a_question_has_its_time() -> None:
    async with wired(asker(ttl=0.2), STATEFUL, TAKES) as wire:
        call, asked = await begun(wire, pollInterval=60_000)
        assert asked["params"]["task"] == {"ttl": 200}
        told = await wire.next()
        assert told["method"] == "tasks/cancel"
        await answer(wire, told, task("cancelled"))
        assert text_of(await call) == "Unanswered: sampling/createMessage was not answered within 0.2 seconds"


async def test_a_client_that_cancels_no_tasks_is_not_asked_to() -> None:
    capabilities = {**TAKES, "tasks": {"requests": TAKES["tasks"]["requests"]}}
    async with wired(asker(ttl=0.1), STATEFUL, capabilities) as wire:
        call, _ = await begun(wire, pollInterval=60_000)
        assert text_of(await call).startswith("Unanswered")
        assert wire.inbox.empty()


@pytest.mark.requirement("R2511-TASKS-046", "R2511-TASKS-047", "R2511-TASKS-063")
async def test_what_a_task_asks_is_a_task_of_the_clients_too() -> None:
    async with wired(asker(), STATEFUL, BOTH) as wire:
        made = await wire.begin("work")
        await wire.until(made["taskId"], "input_required")
        result = await wire.start(7, "tasks/result", {"taskId": made["taskId"]})
        asked = await wire.next()
        assert asked["params"]["task"] == {"ttl": 60_000}
        assert asked["params"]["_meta"][RELATED] == {"taskId": made["taskId"]}
        await answer(wire, asked, {"task": task("completed")})
        fetched = await wire.next()
        assert (fetched["method"], fetched["params"]) == ("tasks/result", {"taskId": "c-1"})
        await answer(wire, fetched, {"action": "accept", "content": {"value": "Ann"}})
        assert text_of(await result) == "Hello Ann"


def test_a_time_for_questions_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="question_ttl"):
        tasks(question_ttl=0)


async def test_an_error_of_the_call_is_not_one_of_the_question() -> None:
    app = asker()

    @app.tool
    async def both(ctx: Context) -> str:
        """Ask twice at once."""
        found = await asyncio.gather(
            ctx.sample("One?", key="one"), ctx.sample("Two?", key="two"), return_exceptions=True
        )
        return ", ".join(type(each).__name__ for each in found)

    async with wired(app, STATEFUL, TAKES) as wire:
        call = await wire.start(1, "tools/call", {"name": "both", "arguments": {}})
        asked = [await wire.next(), await wire.next()]
        for number, each in enumerate(asked):
            await answer(wire, each, {"task": task("completed", taskId=f"c-{number}")})
        fetched = [await wire.next(), await wire.next()]
        assert {each["params"]["taskId"] for each in fetched} == {"c-0", "c-1"}
        for each in fetched:
            failed = {} if each["params"]["taskId"] == "c-0" else {"code": -31999}
            await answer(wire, each, MESSAGE, **failed)
        assert text_of(await call) == f"CreateMessageResult, {RPCError.__name__}"
        await noticed(wire.inbox.empty)
