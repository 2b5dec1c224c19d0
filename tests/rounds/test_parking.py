"""When a round closes, what travels in it, and what closing does to a body."""

import asyncio
import contextlib
import contextvars
import logging
from typing import Any

import pytest
from playing import ALL, accept, by_message, capabilities, play

from dovetail import App, Context, Elicit, Form
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.runtime.rounds import Rounds
from wire_of_server import Wire

FORMS = pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
MODERN = pytest.mark.parametrize("revision", STATELESS)
ANSWERS = by_message({"A?": "a", "B?": "b", "C?": "c"})


async def opened(connect: Any, app: App, revision: str) -> Wire:
    return await connect(app, revision, capabilities(revision))


@FORMS
@pytest.mark.parametrize("way", ["group", "gather", "gather exceptions", "wait", "nested"])
async def test_concurrent_questions_travel_together(revision: str, way: str, connect: Any) -> None:
    app = App("together")

    async def ask(ctx: Context, letter: str) -> str:
        return await ctx.elicit(f"{letter}?", str, key=letter)

    async def both(ctx: Context) -> list[str]:
        return list(await asyncio.gather(ask(ctx, "B"), ask(ctx, "C")))

    @app.tool
    async def tool(ctx: Context) -> str:
        if way == "group":
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(ctx, letter)) for letter in "ABC"]
            return "".join(task.result() for task in tasks)
        if way == "gather":
            return "".join(await asyncio.gather(*(ask(ctx, letter) for letter in "ABC")))
        if way == "gather exceptions":
            found = await asyncio.gather(*(ask(ctx, letter) for letter in "ABC"), return_exceptions=True)
            assert all(isinstance(each, str) for each in found)
            return "".join(str(each) for each in found)
        if way == "wait":
            tasks = [asyncio.create_task(ask(ctx, letter)) for letter in "ABC"]
            await asyncio.wait(tasks)
            return "".join(task.result() for task in tasks)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(ask(ctx, "A"))
            rest = group.create_task(both(ctx))
        return first.result() + "".join(rest.result())

    played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.text == "abc"
    if revision in STATELESS:
        assert played.rounds == [{"A", "B", "C"}]
    assert sorted(played.asked) == ["A?", "B?", "C?"]


async def asked_beside(ctx: Context, way: str, letter: str) -> "asyncio.Future[str]":
    """A question that is asked in a task, which is started in one of many ways."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[str] = loop.create_future()
    started: list[asyncio.Task[None]] = []

    async def ask() -> None:
        answer = await ctx.elicit(f"{letter}?", str, key=letter)
        asked.set_result(answer)

    def start(*_: object) -> None:
        started.append(asyncio.create_task(ask()))

    if way == "task":
        start()
    elif way == "callback":
        loop.call_soon(start)
    elif way == "callback of a callback":
        loop.call_soon(loop.call_soon, start)
    elif way == "future":
        ready = loop.create_future()
        ready.add_done_callback(start)
        ready.set_result(None)
    elif way == "copied context":
        contextvars.copy_context().run(start)
    return asked


@MODERN
@pytest.mark.parametrize("way", ["task", "callback", "callback of a callback", "future", "copied context"])
async def test_what_the_body_asks_waits_for_what_it_started(revision: str, way: str, connect: Any) -> None:
    """However it was started, and though the body itself asks before any of it had a turn."""
    app = App("beside")

    @app.tool
    async def tool(ctx: Context) -> str:
        beside = await asked_beside(ctx, way, "B")
        return await ctx.elicit("A?", str, key="A") + await beside

    wire = await opened(connect, app, revision)
    first = await wire.result("tools/call", {"name": "tool"})
    assert set(first["inputRequests"]) == {"A", "B"}


@MODERN
@pytest.mark.parametrize("way", ["after a task", "in a deadline", "again", "two at once"])
async def test_a_question_of_the_body_alone_closes_its_round_at_once(
    revision: str, way: str, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for quiet: no question is parked, so no turn of the loop is taken for it."""
    parked: list[object] = []
    monkeypatch.setattr(Rounds, "park", lambda _, questions: parked.append(questions))
    app = App("alone")

    @app.tool(timeout=60 if way == "in a deadline" else None)
    async def tool(ctx: Context) -> str:
        if way == "after a task":
            await asyncio.create_task(asyncio.sleep(0))
            await asyncio.sleep(0)  # what woke the body has it until then
        if way == "two at once":
            both = await ctx.ask(a=Elicit("A?", Form.of(str)), b=Elicit("B?", Form.of(str)))
            return both["a"] + both["b"]
        first = await ctx.elicit("A?", str)
        return first + (await ctx.elicit("B?", str) if way == "again" else "")

    played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.text == ("ab" if way in {"again", "two at once"} else "a")
    assert len(played.rounds) == 1 + (way == "again")
    assert not parked


@MODERN
async def test_a_task_in_a_context_of_its_own_asks_a_round_later(revision: str, connect: Any) -> None:
    """Nobody sees that the body started it. The answers are the same."""
    app = App("apart")

    @app.tool
    async def tool(ctx: Context) -> str:
        loop = asyncio.get_running_loop()
        beside = loop.create_task(ctx.elicit("B?", str, key="B"), context=contextvars.Context())
        return await ctx.elicit("A?", str, key="A") + await beside

    played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.text == "ab"
    assert played.rounds == [{"A"}, {"B"}]


@FORMS
async def test_a_step_beside_a_question_is_finished_and_recorded_first(revision: str, connect: Any) -> None:
    app = App("beside")
    started, release, done = asyncio.Event(), asyncio.Event(), []

    async def slow() -> str:
        started.set()
        await release.wait()
        done.append("slow")
        return "slow"

    @app.tool
    async def tool(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            step = group.create_task(ctx.step("slow", slow))
            asked = group.create_task(ctx.elicit("A?", str, key="A"))
        return step.result() + asked.result()

    wire = await opened(connect, app, revision)
    playing = asyncio.create_task(play(wire, "tool", ANSWERS))
    await asyncio.wait_for(started.wait(), 5)
    for _ in range(100):  # however often the loop turns, the round stays open while the step runs
        await asyncio.sleep(0)
    assert not playing.done()
    release.set()
    assert (await playing).text == "slowa"
    assert done == ["slow"]


@FORMS
@pytest.mark.parametrize("way", ["group", "gather"])
async def test_concurrent_questions_need_keys(revision: str, way: str, connect: Any, caplog: Any) -> None:
    app = App("keyless", mask_errors=False)

    @app.tool
    async def tool(ctx: Context) -> str:
        if way == "gather":
            return "".join(await asyncio.gather(ctx.elicit("A?", str), ctx.elicit("B?", str)))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.elicit("A?", str))
                group.create_task(ctx.elicit("B?", str))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return ""

    wire = await opened(connect, app, revision)
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        played = await play(wire, "tool", ANSWERS)
    assert played.failed
    assert 'key="..."' in played.text
    assert not played.asked


@FORMS
async def test_a_question_inside_of_a_step_is_refused(revision: str, connect: Any, caplog: Any) -> None:
    app = App("inside", mask_errors=False)

    @app.tool
    async def tool(ctx: Context) -> str:
        async def ask() -> str:
            return await ctx.elicit("A?", str)

        return await ctx.step("ask", ask)

    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.failed
    assert "ask outside of steps" in played.text


@MODERN
async def test_closing_runs_every_finally_and_no_except_exception(revision: str, connect: Any) -> None:
    app = App("closing")
    seen: list[str] = []

    class Opened:
        async def __aenter__(self) -> None:
            seen.append("enter")

        async def __aexit__(self, *problem: Any) -> None:
            await asyncio.sleep(0)
            seen.append("exit")

    async def child(ctx: Context) -> str:
        try:
            return await ctx.elicit("B?", str, key="B")
        except Exception:
            seen.append("never")
            raise
        finally:
            seen.append("child")

    @app.tool
    async def tool(ctx: Context) -> str:
        try:
            async with Opened():
                task = asyncio.create_task(child(ctx))
                first = await ctx.elicit("A?", str, key="A")
                return first + await task
        except Exception:
            seen.append("never")
            raise

    wire = await opened(connect, app, revision)
    first = await wire.result("tools/call", {"name": "tool"})
    assert set(first["inputRequests"]) == {"A", "B"}
    assert sorted(seen) == ["child", "enter", "exit"]
    seen.clear()
    assert (await play(wire, "tool", ANSWERS)).text == "ab"
    assert "never" not in seen


@MODERN
async def test_what_else_is_awaited_beside_a_question_is_cancelled(revision: str, connect: Any) -> None:
    app = App("waiting")
    seen: list[str] = []
    lock = asyncio.Lock()

    @app.tool
    async def tool(ctx: Context) -> str:
        asked = asyncio.create_task(ctx.elicit("A?", str, key="A"))
        try:
            if not (await asyncio.wait({asked}, timeout=0))[0]:
                async with lock:
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return await asked

    wire = await opened(connect, app, revision)
    await lock.acquire()
    result = await wire.result("tools/call", {"name": "tool"})
    assert set(result["inputRequests"]) == {"A"}
    assert seen == ["cancelled"]
    lock.release()
    assert not lock.locked()
    async with asyncio.timeout(1), lock:  # the lock was handed on, not lost with the body
        pass


@MODERN
@pytest.mark.parametrize("how", ["returns", "raises", "group"])
async def test_a_body_that_swallows_the_end_is_told(
    revision: str, how: str, connect: Any, caplog: Any
) -> None:
    app = App("swallowing")

    @app.tool
    async def tool(ctx: Context) -> str:
        try:
            if how == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(ctx.elicit("A?", str, key="A"))
            else:
                await ctx.elicit("A?", str)
        except BaseException as problem:
            if how == "raises":
                raise ValueError("something else") from problem
            return "swallowed"
        return "answered"

    wire = await opened(connect, app, revision)
    with caplog.at_level(logging.ERROR, "dovetail.server"):
        assert (await wire.error("tools/call", {"name": "tool"}))["code"] == -32603
    assert "let Suspend, a BaseException, pass" in caplog.text


@MODERN
async def test_a_failure_beside_a_question_fails_the_call_as_in_a_direct_run(
    revision: str, connect: Any
) -> None:
    app = App("failing")

    async def fail() -> None:
        raise LookupError("no")

    @app.tool
    async def tool(ctx: Context) -> str:
        outcome = "answered"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.elicit("A?", str, key="A"))
                group.create_task(fail())
        except* LookupError:
            outcome = "failed"
        return outcome

    wire = await opened(connect, app, revision)
    assert (await play(wire, "tool", ANSWERS)).text == "failed"


@MODERN
async def test_a_question_left_behind_ends_with_its_call(revision: str, connect: Any) -> None:
    app = App("leaving")
    kept: list[asyncio.Task[Any]] = []

    @app.tool
    async def tool(ctx: Context) -> str:
        kept.append(asyncio.create_task(ctx.elicit("A?", str, key="A")))
        await asyncio.sleep(0)
        return "done"

    wire = await opened(connect, app, revision)
    assert (await wire.call("tool"))["content"][0]["text"] == "done"
    done, _ = await asyncio.wait(kept, timeout=5)
    assert len(done) == 1


@MODERN
async def test_cancelling_a_call_whose_step_runs_gives_no_round(revision: str, connect: Any) -> None:
    app = App("cancelled")
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        await asyncio.Event().wait()
        return ""

    @app.tool
    async def tool(ctx: Context) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.step("slow", slow))
                group.create_task(ctx.elicit("A?", str, key="A"))
        finally:
            ended.set()
        return ""

    wire = await opened(connect, app, revision)
    answer = await wire.start("c-1", "tools/call", {"name": "tool"})
    await asyncio.wait_for(started.wait(), 5)
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c-1"}})
    await asyncio.wait_for(ended.wait(), 5)
    await wire.connection.drain()
    assert not answer.done()


@FORMS
async def test_a_timeout_passes_over_a_parked_question(revision: str, connect: Any) -> None:
    app = App("late")

    async def forever() -> None:
        await asyncio.Event().wait()

    @app.tool(timeout=0.05)
    async def tool(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step("slow", forever))
            if revision in STATELESS:
                group.create_task(ctx.elicit("A?", str, key="A"))
        return ""

    played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.failed
    assert "took longer than" in played.text


@MODERN
async def test_a_round_has_a_bound(revision: str, connect: Any, caplog: Any) -> None:
    app = App("many", mask_errors=False)

    @app.tool
    async def tool(ctx: Context, count: int) -> str:
        return "".join(await asyncio.gather(*(ctx.elicit("A?", str, key=f"k{n}") for n in range(count))))

    wire = await connect(app, revision, ALL)
    result = await wire.result("tools/call", {"name": "tool", "arguments": {"count": 32}})
    assert len(result["inputRequests"]) == 32
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        result = await wire.result("tools/call", {"name": "tool", "arguments": {"count": 33}})
    assert "at most 32" in result["content"][0]["text"]


@MODERN
async def test_an_invalid_answer_among_several_is_asked_for_alone(revision: str, connect: Any) -> None:
    app = App("several")

    @app.tool
    async def tool(ctx: Context) -> str:
        first, second = await asyncio.gather(ctx.elicit("A?", int, key="a"), ctx.elicit("B?", int, key="b"))
        return f"{first} {second}"

    wire = await connect(app, revision, ALL)
    first = await wire.result("tools/call", {"name": "tool"})
    answers = {"a": accept(1), "b": accept("two")}
    second = await wire.result(
        "tools/call", {"name": "tool", "inputResponses": answers, "requestState": first["requestState"]}
    )
    assert set(second["inputRequests"]) == {"b"}
    final = await wire.result(
        "tools/call",
        {"name": "tool", "inputResponses": {"b": accept(2)}, "requestState": second["requestState"]},
    )
    assert final["content"][0]["text"] == "1 2"


@MODERN
@pytest.mark.parametrize("parked", ["alone", "beside"])
async def test_a_group_that_failed_before_leaves_nothing_behind(
    revision: str, parked: str, connect: Any
) -> None:
    """Before Python 3.13 it leaves a request to cancel on its task, which is no cancellation of the call."""
    app = App("before")

    async def fail() -> None:
        raise LookupError

    @app.tool
    async def tool(ctx: Context) -> str:
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        if parked == "alone":
            return await ctx.elicit("A?", str)
        found = await asyncio.gather(ctx.elicit("A?", str, key="A"), return_exceptions=True)
        return "".join(str(each) for each in found)

    assert (await play(await opened(connect, app, revision), "tool", ANSWERS)).text == "a"


@FORMS
async def test_a_timeout_counts_after_a_group_that_failed(revision: str, connect: Any) -> None:
    app = App("late")

    async def fail() -> None:
        raise LookupError

    @app.tool(timeout=0.05)
    async def tool(ctx: Context) -> str:
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        await asyncio.Event().wait()
        return ""

    played = await play(await opened(connect, app, revision), "tool", ANSWERS)
    assert played.failed
    assert "took longer than" in played.text
