"""Attacks from within and from the other end: handlers that misbehave, peers that are slow, gone, or many."""

import asyncio
import json
import threading
from typing import Any

import pytest
from must_peer import all_capabilities

from dovetail import App, Client, Context, InvalidParams, ToolError
from dovetail.protocol.revisions import REVISIONS, STATEFUL
from dovetail.runtime import connection as connections
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)


@EVERY
@pytest.mark.parametrize("where", ["tool", "prompt", "resource"])
@pytest.mark.parametrize(
    "problem",
    [
        InvalidParams("odd", data={"a": object()}),
        InvalidParams("odd", data={("a", "b"): 1}),
        InvalidParams("\ud800"),
        ToolError("\ud800"),
        InvalidParams("odd", data=2**70),
    ],
    ids=["object", "key", "surrogate", "tool error", "large"],
)
async def test_an_error_that_is_no_json_is_still_an_answer(
    revision: str, where: str, problem: Exception, connect: Any
) -> None:
    """It used to end the task that was to answer: the caller waited for ever."""
    app = App("odd")

    async def bad() -> str:
        raise problem

    app.add_tool(bad)
    app.add_prompt(bad)
    app.add_resource(bad, "note://bad")
    wire = await connect(app, revision)
    requests = {
        "tool": ("tools/call", {"name": "bad"}),
        "prompt": ("prompts/get", {"name": "bad"}),
        "resource": ("resources/read", {"uri": "note://bad"}),
    }
    error = await wire.error(*requests[where])
    assert error["code"] in (-32603, -32602)
    assert not wire.connection._running


@pytest.mark.parametrize("revision", STATEFUL)
async def test_an_odd_error_of_what_is_answered_in_order_does_not_end_the_connection(revision: str) -> None:
    async def break_pings(call: Any, channel: Any, inner: Any) -> Any:
        if call.method == "ping":
            raise InvalidParams("odd", data={"a": object()})
        return await inner(call, channel)

    app = App("middle", middleware=[break_pings])
    app.add_tool(lambda: None, name="t")
    wire = Wire(app, revision)
    await wire.open()
    assert (await wire.error("ping"))["code"] == -32603
    assert (await wire.result("tools/list"))["tools"]
    await wire.close()


@EVERY
@pytest.mark.parametrize("kind", ["tool", "prompt"])
@pytest.mark.parametrize(
    "fault", [StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt, RecursionError]
)
async def test_f24_what_a_sync_function_raises_ends_its_own_call_alone(
    revision: str, kind: str, fault: type[BaseException], connect: Any
) -> None:
    """A StopIteration out of a thread used to leave the call without an end (before Python 3.12)."""
    app = App("faulty")

    def bad() -> str:
        raise fault

    app.add_tool(bad)
    app.add_prompt(bad)
    app.add_tool(lambda: "quick", name="quick")
    wire = await connect(app, revision)
    method = {"tool": "tools/call", "prompt": "prompts/get"}[kind]
    answer = await wire.request(method, {"name": "bad"})
    assert answer.get("error", {}).get("code") == -32603 or answer["result"]["isError"] is True
    assert "result" in await wire.request("tools/call", {"name": "quick"})


@EVERY
async def test_a_log_level_that_does_not_exist_is_told_to_the_author_and_never_sent(
    revision: str, connect: Any
) -> None:
    app = App("logs")

    @app.tool
    async def warn(ctx: Context) -> str:
        await ctx.log("warn", "x")  # pyright: ignore[reportArgumentType] - what this test is about
        return "told"

    wire = await connect(app, revision)
    assert (await wire.call("warn"))["isError"] is True
    assert wire.inbox.empty()


@EVERY
async def test_two_steps_of_one_name_are_an_error_in_both_eras(revision: str, connect: Any) -> None:
    """The second used to give the first one's result in the stateless era, and its own in the other."""
    app = App("steps")

    @app.tool
    async def twice(ctx: Context) -> str:
        return str([await ctx.step("fetch", len, "x" * n) for n in range(3)])

    @app.tool
    async def named(ctx: Context) -> str:
        return str([await ctx.step(f"fetch-{n}", len, "x" * n) for n in range(3)])

    wire = await connect(app, revision)
    assert (await wire.call("twice"))["isError"] is True
    assert (await wire.call("named"))["content"][0]["text"] == "[0, 1, 2]"


@EVERY
async def test_a_handler_that_will_not_end_does_not_keep_a_connection_from_closing(
    revision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "STUBBORN", 0.05)
    app = App("stubborn")
    entered, release = asyncio.Event(), asyncio.Event()

    @app.tool
    async def stay() -> None:
        entered.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    wire = Wire(app, revision)
    await wire.open()
    await wire.start("s", "tools/call", {"name": "stay"})
    await entered.wait()
    (task,) = wire.connection._channels
    await asyncio.wait_for(wire.close(), 5)
    assert "go on after they were cancelled" in caplog.text
    release.set()
    await asyncio.wait_for(task, 5)
    assert wire.inbox.empty()


@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_question_asked_while_the_connection_closes_fails_at_once(revision: str) -> None:
    app = App("late")
    entered = asyncio.Event()
    problems: list[BaseException] = []

    @app.tool
    async def late(ctx: Context) -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            try:
                await ctx.sample("one more thing")
            except BaseException as problem:
                problems.append(problem)
                raise

    wire = Wire(app, revision, all_capabilities(revision))
    await wire.open()
    await wire.start("l", "tools/call", {"name": "late"})
    await entered.wait()
    await asyncio.wait_for(wire.close(), 5)
    assert type(problems[0]).__name__ == "Closed"
    assert wire.inbox.empty()


@EVERY
async def test_changes_made_in_a_thread_reach_their_listeners(revision: str, connect: Any) -> None:
    """A sync tool runs in a thread: it used to set an event of the loop from there."""
    asyncio.get_running_loop().set_debug(True)
    app = App("threads")
    app.add_resource(lambda: "", "note://a", name="a")

    @app.tool
    def touch() -> str:
        app.resource_updated("note://a")
        app.add_tool(lambda: None, name="new")
        return "touched"

    wire = await connect(app, revision)
    if wire.stateless:
        wanted = {"resourceSubscriptions": ["note://a"], "toolsListChanged": True}
        await wire.start("L", "subscriptions/listen", {"notifications": wanted})
        await wire.next()
    else:
        await wire.result("resources/subscribe", {"uri": "note://a"})
    assert (await wire.call("touch"))["content"][0]["text"] == "touched"
    assert {(await wire.next())["method"] for _ in range(2)} == {
        *("notifications/resources/updated", "notifications/tools/list_changed")
    }


@EVERY
async def test_f27_cancelled_calls_of_sync_tools_do_not_pile_up(revision: str, connect: Any) -> None:
    app = App("blocked", threads=2)
    gate = threading.Event()
    ran: list[int] = []

    @app.tool
    def block(n: int) -> int:
        ran.append(n)
        gate.wait(30)
        return n

    wire = await connect(app, revision)
    try:
        for n in range(300):
            await wire.start(f"b{n}", "tools/call", {"name": "block", "arguments": {"n": n}})
            for _ in range(3):
                await asyncio.sleep(0)
            cancelled = {"requestId": f"b{n}"}
            await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
        await wire.connection.drain()
        pool = app._runner_state._pool
        assert pool is not None
        assert pool.waiting <= 2
        assert len(ran) == 2
    finally:
        gate.set()
    assert (await wire.call("block", n=7))["content"][0]["text"] == "7"


@EVERY
async def test_f28_a_flood_waits_for_a_slow_reader_and_others_go_on(revision: str, connect: Any) -> None:
    app = App("flood")
    sent: list[int] = []

    @app.tool
    async def flood(ctx: Context) -> str:
        for n in range(100_000):
            sent.append(n)
            await ctx.log("error", "x" * 1000)
        return "done"

    @app.tool
    async def quick() -> str:
        return "quick"

    slow = await connect(app, revision)
    fast = await connect(app, revision)
    room, take = asyncio.Semaphore(0), slow.connection._send

    async def slowly(data: bytes) -> None:
        await room.acquire()
        await take(data)

    slow.connection._send = slowly
    meta = {"io.modelcontextprotocol/logLevel": "debug"} if slow.stateless else None
    await slow.start("f", "tools/call", {"name": "flood"}, meta=meta)
    for _ in range(5):
        assert (await fast.call("quick"))["content"][0]["text"] == "quick"
    assert len(sent) == 1
    for _ in range(3):
        room.release()
        await slow.next()
    await fast.call("quick")
    assert len(sent) == 4


@EVERY
async def test_f29_a_peer_that_breaks_off_ends_its_own_calls_alone(revision: str, connect: Any) -> None:
    app = App("broken")
    go = asyncio.Event()

    @app.tool
    async def talk(ctx: Context) -> str:
        await go.wait()
        await ctx.progress(1)
        return "done"

    broken, other = await connect(app, revision), await connect(app, revision)

    async def gone(data: bytes) -> None:
        raise ConnectionResetError("cut")

    futures = [
        await wire.start(n, "tools/call", {"name": "talk"}, meta={"progressToken": n})
        for wire in (broken, other)
        for n in range(10)
    ]
    broken.connection._send = gone
    go.set()
    answers = await asyncio.wait_for(asyncio.gather(*futures[10:]), 5)
    assert all(answer["result"]["content"][0]["text"] == "done" for answer in answers)
    await asyncio.wait_for(broken.connection.drain(), 5)
    assert not broken.connection._running
    assert not any(future.done() for future in futures[:10])


@EVERY
async def test_v15_equal_ids_of_many_connections_never_meet(revision: str, connect: Any) -> None:
    app = App("private", rate_limit=None)
    gate = asyncio.Event()

    @app.tool
    async def echo(secret: str, ctx: Context) -> str:
        await gate.wait()
        await ctx.progress(1, message=secret)
        await ctx.log("error", secret)
        return secret

    wires: list[Wire] = [await connect(app, revision) for _ in range(60)]
    answers: dict[int, list[Any]] = {}
    for number, wire in enumerate(wires):
        meta: dict[str, Any] = {"progressToken": "t"}
        if wire.stateless:
            meta["io.modelcontextprotocol/logLevel"] = "debug"
        answers[number] = [
            await wire.start(
                id, "tools/call", {"name": "echo", "arguments": {"secret": f"s{number}-{id}"}}, meta=meta
            )
            for id in (1, "1", 2)
        ]
    for wire in wires[::2]:  # every second one takes one back, by the id that all have
        await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
    gate.set()
    for number, wire in enumerate(wires):
        kept = 2 if number % 2 == 0 else 3
        for id, answer in list(zip((1, "1", 2), answers[number], strict=True))[:kept]:
            text = (await asyncio.wait_for(answer, 5))["result"]["content"][0]["text"]
            assert text == f"s{number}-{id}"
        assert answers[number][2].done() == (kept == 3)
        told = [json.dumps(wire.inbox.get_nowait()) for _ in range(wire.inbox.qsize())]
        assert len(told) == 2 * kept
        assert all(
            f"s{number}-" in each
            for each in told
            if "message" in json.loads(each)["params"] or "data" in each
        )


@pytest.mark.parametrize("revision", STATEFUL)
async def test_v15_an_answer_counts_only_on_the_connection_that_was_asked(
    revision: str, connect: Any
) -> None:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        return (await ctx.sample("who?")).model

    alice, mallory = [await connect(app, revision, all_capabilities(revision)) for _ in range(2)]
    answer = await alice.start("a", "tools/call", {"name": "ask"})
    question = await alice.next()

    def reply(model: str) -> dict[str, Any]:
        given = {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": model}
        return {"jsonrpc": "2.0", "id": question["id"], "result": given}

    await mallory.send(reply("mallory"))
    await mallory.result("tools/list")
    assert not answer.done()
    await alice.send(reply("alice"))
    await alice.send(reply("again"))
    assert (await asyncio.wait_for(answer, 5))["result"]["content"][0]["text"] == "alice"


@EVERY
async def test_f32_an_app_may_call_itself_and_another_that_calls_back(revision: str) -> None:
    one, two = App("one"), App("two")

    @one.tool
    async def down(n: int) -> int:
        async with Client(two, revision=revision) as client:
            return int((await client.call_tool("down", {"n": n})).text) + 1

    @two.tool(name="down")
    async def down_again(n: int) -> int:
        if n == 0:
            return 0
        async with Client(one, revision=revision) as client:
            return int((await client.call_tool("down", {"n": n - 1})).text) + 1

    async with Client(one, revision=revision) as client:
        assert (await asyncio.wait_for(client.call_tool("down", {"n": 10}), 10)).text == "21"
    for app in (one, two):
        await app.service.stop()


@EVERY
@pytest.mark.parametrize("kind", ["cyclic", "object", "nan", "surrogate", "deep", "bytes"])
async def test_f17_output_that_is_no_json_is_an_error_and_the_wire_is_whole(
    revision: str, kind: str, connect: Any
) -> None:
    app = App("output")
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    values = {
        "cyclic": cyclic,
        "object": object(),
        "nan": float("nan"),
        "surrogate": "\ud800",
        "deep": deep,
        "bytes": b"\xff",
    }

    @app.tool
    async def give() -> Any:
        return values[kind]

    @app.tool
    async def quick() -> str:
        return "quick"

    wire = await connect(app, revision)
    answer = await wire.request("tools/call", {"name": "give"})
    if kind in ("cyclic", "object", "surrogate", "deep"):
        assert answer.get("error", {}).get("code") == -32603 or answer["result"]["isError"] is True
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"
    while deep:  # taken apart by hand: to free so deep a list at once would recurse
        deep = deep[0]
