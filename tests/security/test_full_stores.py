"""Filling the store until other people's calls fail: with journals, with open calls, with proofs.

One caller sends as much as it is let. What the store keeps for that caller has an end, each call has one place there,
and whatever is full, others go on: other callers, other uses of the same store.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Context, Principal
from dovetail.auth.dpop import DPoPKey, ProofChecker
from dovetail.protocol.revisions import STATELESS
from dovetail.stores import KeyValue, KeyValueBounds, MemoryStore, SQLiteStore, Store, StoreBounds, StoreFull
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
ASKED = {"elicitation": {"form": {}}}
KEY = "k" * 32
MIB = 1 << 20
#: A sixteenth of the default: 6 MiB for rounds, 1 MiB of it for each caller.
SMALL = StoreBounds(kv=KeyValueBounds(max_bytes=16 * MIB))
URL = "https://notes.example.com/mcp"

Opened = Callable[..., Awaitable[Wire]]


def accept(value: Any) -> dict[str, Any]:
    return {"action": "accept", "content": {"value": value}}


def make_store(kind: str, folder: Path) -> MemoryStore | SQLiteStore:
    return MemoryStore(bounds=SMALL) if kind == "memory" else SQLiteStore(folder / "rounds.db", bounds=SMALL)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with aclosing(make_store(request.param, tmp_path)) as made:
        yield made


def make_app(store: Store) -> App:
    app = App("filled", keys=[KEY], store=store, rate_limit=None)

    @app.tool
    async def talk(ctx: Context) -> str:
        for number in range(8):
            await ctx.elicit(f"{number}?", str, key=f"{number}")
        return "enough"

    @app.tool(once=True)
    async def careful(ctx: Context) -> str:
        return await ctx.elicit("0?", str, key="0")

    return app


async def caller(connect: Opened, app: App, who: str) -> Wire:
    """A wire of a principal; of an address without a name, if it is one."""
    wire = await connect(app, STATELESS[-1], ASKED)
    if who[0].isdigit():
        wire.connection._remote = who
    else:
        wire.connection._principal = Principal(issuer="https://issuer.example", subject=who)
    return wire


async def begun(wire: Wire, tool: str = "talk") -> dict[str, Any]:
    asked = await wire.call(tool)
    return {"name": tool, "arguments": {}, "requestState": asked["requestState"]}


async def answered(wire: Wire, request: dict[str, Any], size: int, key: str = "0") -> dict[str, Any]:
    """The reply to the next answer, of that size."""
    return await wire.request("tools/call", {**request, "inputResponses": {key: accept("x" * size)}})


async def fill(wire: Wire, size: int = 60_000) -> tuple[int, dict[str, Any]]:
    """Begin calls, each with an answer of that size, until one is refused; how many, and the refusal."""
    for number in range(10_000):
        reply = await answered(wire, await begun(wire), size)
        if "error" in reply:
            return number, reply["error"]
    raise AssertionError("nothing was ever refused")


async def fill_view(view: KeyValue) -> None:
    """Write large and small values until not one more has room."""
    for size in (10_000, 100, 0):
        with suppress(StoreFull):
            for number in range(10_000):
                await view.set(f"{size}-{number}", b"x" * size)


async def kept(store: Store) -> int:
    """Bytes that the store keeps for rounds."""
    keys = [key async for key in store.kv.scan("rounds/")]
    return sum([len(key) + len(await store.kv.get(key) or b"") for key in keys])


@pytest.mark.hostile
@pytest.mark.parametrize("who", [("alice", "bob"), ("203.0.113.5", "203.0.113.6")], ids=["named", "nameless"])
async def test_who_fills_the_store_with_journals_fills_a_part(
    who: tuple[str, str], store: Store, connect: Opened
) -> None:
    app = make_app(store)
    alice, bob = [await caller(connect, app, each) for each in who]
    count, error = await fill(alice)
    assert 10 <= count <= 17
    assert await kept(store) <= MIB
    assert error["code"] == -32603
    assert "keeps as much" in error["message"]
    assert "result" in await answered(alice, await begun(alice), 100), "what travels needs no room"
    assert "result" in await answered(bob, await begun(bob), 60_000)
    assert (await answered(bob, await begun(bob, "careful"), 10))["result"]["resultType"] == "complete"
    key = DPoPKey.generate()
    proof = key.proof("POST", URL, access_token="token")
    assert await ProofChecker(store).check(proof, "POST", URL, "token") == key.thumbprint
    await store.kv.within("mine/").set("basket", b"x" * MIB)


@pytest.mark.hostile
async def test_many_callers_fill_rounds_and_nothing_else(store: Store, connect: Opened) -> None:
    app, checker = make_app(store), ProofChecker(store)
    for number in range(7):
        await fill(await caller(connect, app, f"caller-{number}"))
    assert await kept(store) <= 6 * MIB
    key = DPoPKey.generate()
    await checker.check(key.proof("POST", URL, access_token="token"), "POST", URL, "token")
    await store.kv.within("mine/").set("basket", b"x" * MIB)


@pytest.mark.hostile
async def test_open_calls_that_nobody_goes_on_with_fill_a_part(connect: Opened) -> None:
    """A call whose state counts once has a record from its first question on."""
    app = make_app(MemoryStore(bounds=SMALL))
    alice, bob = [await caller(connect, app, who) for who in ("alice", "bob")]
    begun_calls = 0
    while "result" in await alice.request("tools/call", {"name": "careful", "arguments": {}}):
        begun_calls += 1
    assert 2_000 < begun_calls < 5_000
    assert (await answered(bob, await begun(bob, "careful"), 10))["result"]["resultType"] == "complete"


@pytest.mark.hostile
async def test_who_fills_the_store_with_proofs_leaves_others_theirs(store: Store, connect: Opened) -> None:
    checker = ProofChecker(store)
    own = store.kv.within("dpop/", share=1 / 8)
    mallory, anna = DPoPKey.generate(), DPoPKey.generate()
    await fill_view(own.within(f"{mallory.thumbprint}/", share=1 / 8))
    with pytest.raises(StoreFull):
        await checker.check(mallory.proof("POST", URL, access_token="token"), "POST", URL, "token")
    await checker.check(anna.proof("POST", URL, access_token="token"), "POST", URL, "token")
    for number in range(7):
        await fill_view(own.within(f"{number}/", share=1 / 8))
    bob = await caller(connect, make_app(store), "bob")
    assert "result" in await answered(bob, await begun(bob), 60_000)


@pytest.mark.hostile
async def test_a_call_has_one_place_however_many_rounds_it_goes_through(
    store: Store, connect: Opened
) -> None:
    wire = await caller(connect, make_app(store), "alice")
    request, states = await begun(wire), list[str]()
    for number in range(7):
        reply = await answered(wire, request, 20_000, f"{number}")
        request["requestState"] = reply["result"]["requestState"]
        states.append(request["requestState"])
        keys = [key async for key in store.kv.scan("rounds/")]
        assert len(keys) == 1
        assert await kept(store) < 2 * (number + 1) * 20_000 + 2_000
    last = {"inputResponses": {"7": accept("x")}}
    lost = {"inputResponses": {"6": accept("x" * 20_000)}}
    for _ in range(2):  # the reply that was lost can be asked for again, and what came of it goes on
        reply = await wire.request("tools/call", {**request, **lost, "requestState": states[-2]})
        again = {**request, **last, "requestState": reply["result"]["requestState"]}
        assert (await wire.result("tools/call", again))["content"][0]["text"] == "enough"
    for older in states[:-2]:
        error = await wire.error("tools/call", {**request, **lost, "requestState": older})
        assert "expired" in error["message"]


@pytest.mark.hostile
async def test_a_late_attempt_does_not_take_a_call_back(store: Store, connect: Opened) -> None:
    app, waits, begun_ = App("late", keys=[KEY], store=store), asyncio.Event(), asyncio.Event()
    times = 0

    @app.tool
    async def tool(ctx: Context) -> str:
        nonlocal times
        await ctx.elicit("A?", str, key="0")
        times += 1
        if times == 1:
            begun_.set()
            await waits.wait()
        await ctx.elicit("B?", str, key="1")
        await ctx.elicit("C?", str, key="2")
        return "done"

    wire = await caller(connect, app, "alice")
    request = await begun(wire, "tool")
    first = {**request, "inputResponses": {"0": accept("x" * 20_000)}}
    late = await wire.start("late", "tools/call", first)
    await asyncio.wait_for(begun_.wait(), 5)
    state = (await wire.result("tools/call", first))["requestState"]
    second = await answered(wire, {**request, "requestState": state}, 20_000, "1")
    waits.set()
    behind = (await asyncio.wait_for(late, 10))["result"]["requestState"]
    third = {**request, "requestState": second["result"]["requestState"]}
    for at in (third, {**request, "requestState": behind}):
        number = "2" if at is third else "1"
        assert "result" in await answered(wire, at, 20_000, number)


@pytest.mark.hostile
async def test_a_journal_has_an_end(connect: Opened, caplog: pytest.LogCaptureFixture) -> None:
    big = App("big", keys=[KEY], store=MemoryStore())

    @big.tool
    async def talk(ctx: Context) -> str:
        return await ctx.elicit("0?", str, key="0") + await ctx.elicit("1?", str, key="1")

    wire = await caller(connect, big, "alice")
    assert "requestState" in (await answered(wire, await begun(wire), 3 * MIB))["result"]
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        result = (await answered(wire, await begun(wire), 4 * MIB))["result"]
    assert result["isError"] is True
    assert "too many to go on with" in result["content"][0]["text"]


def test_a_store_that_was_given_away_is_refused_when_the_app_is_made() -> None:
    store = MemoryStore()
    store.kv.within("mine/", share=0.7)
    with pytest.raises(ValueError, match="given away"):
        App("late", store=store)


async def test_what_is_counted_is_what_is_there(tmp_path: Path, connect: Opened) -> None:
    """In the file: after a flood and its end, the triggers have added up."""
    path = tmp_path / "rounds.db"
    async with aclosing(SQLiteStore(path, bounds=SMALL)) as store:
        await fill(await caller(connect, make_app(store), "alice"))
        for key in [key async for key in store.kv.scan("rounds/")][::2]:
            await store.kv.delete(key)
    with closing(sqlite3.connect(path)) as file:
        whole, own = file.execute("SELECT bytes FROM kv_used ORDER BY prefix").fetchall()
        count = "SELECT sum(length(key) + length(value) + 256) FROM kv WHERE key LIKE 'rounds/%'"
        (there,) = file.execute(count).fetchone()
    assert whole[0] == own[0] == there
