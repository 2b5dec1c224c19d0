"""Rounds under attack and under failure: what a client may send instead of an answer, and what may break on the way."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playing import ALL, SAMPLED, accept, by_message, play

from dovetail import App, Context, Principal
from dovetail.protocol.revisions import STATELESS
from dovetail.stores import MemoryStore
from dovetail.stores.errors import StoreUnavailable
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
KEY = "k" * 32
INVALID = -32602
seen: list[str] = []


@dataclass
class Judged:
    """An argument whose making is code of the author's."""

    number: int

    def __post_init__(self) -> None:
        seen.append("made")
        if self.number < 0:
            raise ValueError("below zero")


def make_app(**options: Any) -> App:
    seen.clear()
    app = App("hostile", keys=[KEY], **options)

    @app.tool
    async def tool(ctx: Context, judged: Judged | None = None, anything: Any = None) -> str:
        seen.append("tool")
        return "tool " + await ctx.elicit("A?", str, key="a")

    @app.prompt(name="tool")
    async def prompt(ctx: Context, number: int = 0) -> str:
        seen.append("prompt")
        return "prompt " + await ctx.elicit("A?", str, key="a")

    @app.resource("thing://{number}")
    async def thing(ctx: Context, number: int) -> str:
        seen.append("thing")
        return "thing " + await ctx.elicit("A?", str, key="a")

    return app


WAYS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("tools/call", {"name": "tool", "arguments": {}}, {"arguments": {"judged": {"number": -1}}}),
    ("tools/call", {"name": "tool", "arguments": {}}, {"arguments": {"judged": "no"}}),
    ("tools/call", {"name": "tool", "arguments": {}}, {"arguments": {"judged": {"number": 1}}}),
    ("prompts/get", {"name": "tool", "arguments": {}}, {"arguments": {"number": "no"}}),
    ("resources/read", {"uri": "thing://1"}, {"uri": "thing://no"}),
]


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-011", "R2607-MRTR-012")
@pytest.mark.parametrize("method,params,wrong", WAYS)
async def test_state_is_judged_before_the_arguments(
    revision: str, method: str, params: dict[str, Any], wrong: dict[str, Any], connect: Any
) -> None:
    """Who forges state learns the same whatever the arguments are, and no code of the author's sees them."""
    wire = await connect(make_app(), revision, ALL)
    good = await wire.result(method, params)
    seen.clear()
    state, answers = good["requestState"], {"a": accept("x")}
    forged = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    told = {
        (await wire.error(method, {**params, **change, "inputResponses": answers, "requestState": brought}))[
            "message"
        ]
        for change, brought in (({}, forged), (wrong, forged), (wrong, state), (wrong, ""))
    }
    assert told == {"the request state is not valid for this request; send the request again without it"}
    assert not seen
    final = await wire.result(method, {**params, "inputResponses": answers, "requestState": state})
    assert final["resultType"] == "complete"


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-032")
async def test_no_state_crosses_methods_or_callers(revision: str, connect: Any) -> None:
    app = make_app()
    wire = await connect(app, revision, ALL)
    states = {
        method: ((await wire.result(method, params))["requestState"], params)
        for method, params, _ in (WAYS[0], WAYS[3], WAYS[4])
    }
    mallory = Wire(app, revision, ALL)
    mallory.connection._principal = Principal(issuer="https://issuer.example", subject="mallory")
    seen.clear()
    for method, (_, params) in states.items():
        for source, (state, _) in states.items():
            retry = {**params, "inputResponses": {"a": accept("x")}, "requestState": state}
            if source != method:
                assert (await wire.error(method, retry))["code"] == INVALID
            assert (await mallory.error(method, retry))["code"] == INVALID
    assert not seen
    await mallory.close()


@MODERN
@pytest.mark.hostile
async def test_state_of_any_size_is_refused_unread(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, ALL)
    for state in ("A" * 12_000_000, "é" * 1_000_000, "\u0000" * 1000):
        error = await wire.error("tools/call", {"name": "tool", "requestState": state})
        assert error["code"] == INVALID
        assert len(error["message"]) < 200
    assert not seen


@MODERN
@pytest.mark.hostile
async def test_arguments_however_deep_are_answered(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, ALL)
    for depth in (50, 900, 5_000, 100_000):
        deep = "[" * depth + "]" * depth
        head = json.dumps(
            {
                "jsonrpc": "2.0",
                "id": depth,
                "method": "tools/call",
                "params": {"name": "tool", "_meta": wire.meta()},
            }
        )
        for state in ("", ',"requestState":"AAAA"'):
            answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            wire._answers[depth] = answer
            await wire.raw(f'{head[:-2]},"arguments":{{"anything":{deep}}}{state}}}}}'.encode())
            found = asyncio.ensure_future(wire.next())
            await asyncio.wait({answer, found}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            reply = answer.result() if answer.done() else found.result()
            found.cancel()
            assert reply.get("error", {}).get("code") != -32603, (depth, reply)
            if state and "error" not in reply:
                raise AssertionError(reply)
    assert (await wire.call("tool"))["resultType"] == "input_required"


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-030")
async def test_answers_to_what_nobody_asked_leave_no_trace(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, ALL)
    strangers = {f"k{number}": accept("x" * 100) for number in range(20_000)}
    first = await wire.result("tools/call", {"name": "tool", "inputResponses": strangers})
    again = await wire.result(
        "tools/call", {"name": "tool", "inputResponses": strangers, "requestState": first["requestState"]}
    )
    for result in (first, again):
        assert set(result["inputRequests"]) == {"a"}
        assert len(result["requestState"]) < 1000


WRONG: list[Any] = [
    *(None, True, 0, "yes", [], {}, [accept("x")], {"action": "accept"}, {"action": "maybe", "content": {}}),
    *(
        {"action": "accept", "content": value}
        for value in (None, [], "x", {}, {"value": 5}, {"value": ["x"]})
    ),
    *({"action": "accept", "content": {"value": {"value": "x"}}}, {"action": 5}, {"content": {"value": "x"}}),
    *(SAMPLED, {"roots": []}, {"action": "accept", "content": {"value": None, "other": "x"}}),
]


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-028", "R2607-MRTR-031", "R2607-MRTR-029")
async def test_what_is_no_answer_is_asked_for_again(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, ALL)
    state = (await wire.call("tool"))["requestState"]
    for wrong in WRONG:
        retry = {"name": "tool", "arguments": {}, "inputResponses": {"a": wrong}, "requestState": state}
        result = await wire.result("tools/call", retry)
        assert set(result["inputRequests"]) == {"a"}, wrong
    retry = {"name": "tool", "arguments": {}, "inputResponses": {"a": accept("x")}, "requestState": state}
    assert (await wire.result("tools/call", retry))["content"][0]["text"] == "tool x"
    for wrong in ([], "x", 5, True):
        error = await wire.error("tools/call", {**retry, "inputResponses": wrong})
        assert error["code"] == INVALID


@MODERN
@pytest.mark.hostile
async def test_an_answer_of_any_size_is_taken_or_refused_in_words(
    revision: str, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It has to travel on in the state: where nothing holds it, that call fails, and that call alone."""
    app = make_app()

    @app.tool
    async def two(ctx: Context) -> str:
        return f"{len(await ctx.elicit('A?', str, key='a'))} {await ctx.elicit('B?', str, key='b')}"

    wire = await connect(app, revision, ALL)
    state = (await wire.call("two"))["requestState"]
    for size, travels in ((100_000, True), (900_000, True), (12_000_000, False)):
        retry = {
            "name": "two",
            "arguments": {},
            "inputResponses": {"a": accept("x" * size)},
            "requestState": state,
        }
        with caplog.at_level(logging.CRITICAL, "dovetail.server"):
            result = await wire.result("tools/call", retry)
        assert (result.get("resultType") == "input_required") is travels
        assert bool(result.get("isError")) is not travels
    assert (await wire.call("two"))["resultType"] == "input_required"


@pytest.mark.requirement("R2607-SAMPLING-025")
@MODERN
async def test_a_call_that_never_stops_asking_is_stopped(revision: str, connect: Any) -> None:
    app = App("asking", keys=[KEY])
    entered: list[int] = []

    @app.tool
    async def more(ctx: Context) -> str:
        entered.append(1)
        for number in range(1000):
            await ctx.elicit(f"{number}?", str)
        return "never"

    @app.tool
    async def steps(ctx: Context) -> str:
        for number in range(2000):
            await ctx.step(f"step-{number}", lambda: 1)
        return "never"

    wire = await connect(app, revision, ALL)
    played = await play(wire, "more", by_message({f"{number}?": "x" for number in range(1000)}))
    assert played.code == INVALID
    assert "rounds without coming to an end" in played.reply["error"]["message"]
    assert len(played.rounds) == len(entered) == 32
    assert (await wire.call("steps"))["isError"] is True


# What breaks on our side


class FailingStore(MemoryStore):
    """A store whose key-value operations fail when told to. ``fails``: names of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: set[str] = set()
        inner, store = self.kv, self

        class Failing:
            def within(self, prefix: str, **options: Any) -> Any:
                return _FailingKV(inner.within(prefix, **options), store)

        self.kv: Any = Failing()


class _FailingKV:
    def __init__(self, inner: Any, store: FailingStore) -> None:
        self._inner = inner
        self._store = store

    def within(self, prefix: str, **options: Any) -> Any:
        return _FailingKV(self._inner.within(prefix, **options), self._store)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def act(*values: Any, **options: Any) -> Any:
            if name in self._store.fails:
                raise StoreUnavailable("the store does not answer")
            return await getattr(self._inner, name)(*values, **options)

        return act


@MODERN
@pytest.mark.parametrize(
    "fails,charged", [("add", [0, 1]), ("set", [1, 1]), ("get", [0, 0])], ids=["claim", "record", "look-up"]
)
async def test_a_store_that_fails_never_repeats_a_step(
    revision: str, fails: str, charged: list[int], connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A claim that could not be made runs nothing; a result that could not be recorded is an unknown outcome."""
    store = FailingStore()
    app = App("shop", keys=[KEY], store=store)
    ran: list[int] = []

    @app.tool(once=True)
    async def pay(ctx: Context) -> str:
        await ctx.elicit("Pay?", bool, key="pay")
        return await ctx.step("charge", lambda: str(ran.append(1)))

    wire = await connect(app, revision, ALL)
    state = (await wire.call("pay"))["requestState"]
    retry = {"name": "pay", "arguments": {}, "inputResponses": {"pay": accept(True)}, "requestState": state}
    counts: list[int] = []
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        store.fails = {fails}
        first = await wire.request("tools/call", retry)
        assert "error" in first or first["result"]["isError"] is True
        counts.append(len(ran))
        store.fails = set()
        second = await wire.result("tools/call", retry)
    if fails == "get":
        assert second["content"][0]["text"] == "None"
        counts.append(len(ran) - 1)
    else:
        counts.append(len(ran))
    assert counts == charged
    if fails == "set":
        assert "outcome of the step 'charge' is unknown" in second["content"][0]["text"]


@MODERN
async def test_a_step_that_fails_is_not_recorded_and_runs_again(
    revision: str, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("failing", keys=[KEY])
    ran: list[str] = []

    @app.tool
    async def tool(ctx: Context) -> str:
        await ctx.elicit("A?", str, key="a")

        def first() -> str:
            ran.append("first")
            return "1"

        def second() -> str:
            ran.append("second")
            if ran.count("second") == 1:
                raise ConnectionResetError
            return "2"

        return await ctx.step("first", first) + await ctx.step("second", second)

    wire = await connect(app, revision, ALL)
    state = (await wire.call("tool"))["requestState"]
    retry = {"name": "tool", "arguments": {}, "inputResponses": {"a": accept("x")}, "requestState": state}
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        assert (await wire.result("tools/call", retry))["isError"] is True
    assert (await wire.result("tools/call", retry))["content"][0]["text"] == "12"
    assert ran == ["first", "second"] * 2


@MODERN
@pytest.mark.parametrize("kind", ["return", "loop", "base"])
async def test_however_the_end_is_swallowed_the_call_ends(
    revision: str, kind: str, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("swallowing", keys=[KEY])

    @app.tool
    async def tool(ctx: Context) -> str:
        if kind == "return":
            try:
                await ctx.elicit("A?", str, key="a")
            finally:
                return "swallowed"  # noqa: B012 - what authors write
        for number in range(3 if kind == "loop" else 1):
            try:
                await ctx.elicit("B?", str, key=f"b{number}")
            except BaseException as end:  # noqa: BLE001 - what authors write
                seen.append(type(end).__name__)
        return "swallowed"

    wire = await connect(app, revision, ALL)
    with caplog.at_level(logging.ERROR, "dovetail.server"):
        error = await wire.error("tools/call", {"name": "tool"})
    assert error["code"] == -32603
    assert "let Suspend, a BaseException, pass" in caplog.text


# Cancellation, wherever it comes


class Ledger:
    """What a body entered and left."""

    def __init__(self) -> None:
        self.entered = self.left = self.opened = self.closed = 0

    async def __aenter__(self) -> None:
        self.opened += 1

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self.closed += 1


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_cancelled_at_every_turn(connect: Any) -> None:
    """A call is taken back after 0, 1, 2, ... turns of the loop: whatever it awaits then, all that it opened is closed,
    nothing of it is left, and the next call is served."""
    journals, app = Ledger(), App("turning", keys=[KEY], store=MemoryStore())

    @app.tool(once=True)
    async def tool(ctx: Context) -> str:
        journals.entered += 1
        try:
            async with journals:
                await ctx.step("slow", turns, 3)
                async with asyncio.TaskGroup() as group:
                    group.create_task(ctx.elicit("A?", str, key="a"))
                    group.create_task(ctx.elicit("B?", str, key="b"))
                    group.create_task(ctx.step("beside", turns, 5))
                await turns(2)
                return await ctx.step("last", lambda: "done")
        finally:
            journals.left += 1

    wire = await connect(app, STATELESS[-1], ALL)
    begin = {"name": "tool", "arguments": {}}
    state = (await wire.result("tools/call", begin))["requestState"]
    answers = {"a": accept("x"), "b": accept("y")}
    before = asyncio.all_tasks()
    came_to_an_end = 0
    for count in range(60):
        for params in (begin, {**begin, "inputResponses": answers, "requestState": state}):
            id = f"{count}-{'requestState' in params}"
            answer = await wire.start(id, "tools/call", params)
            await turns(count)
            await wire.send(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}
            )
            await asyncio.wait_for(wire.connection.drain(), 5)
            came_to_an_end += answer.done()
            wire._answers.pop(id, None)
        assert (journals.entered, journals.opened) == (journals.left, journals.closed), count
    await turns(20)
    assert asyncio.all_tasks() == before
    assert 0 < came_to_an_end < 120
    assert (await wire.result("tools/call", begin))["resultType"] == "input_required"
