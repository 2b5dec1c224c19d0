"""Cancellation by either side: whom it reaches, what it may name, and that races have exactly one outcome."""

import asyncio
import random
from typing import Any

import pytest
from must_peer import RawPeer, all_capabilities

from dovetail import App, Client, Context
from dovetail.protocol.errors import RequestTimeout
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)


class Held:
    """Tools that wait, each cancelled in its own way."""

    def __init__(self) -> None:
        self.app = App("held")
        self.entered = asyncio.Event()
        self.over = asyncio.Event()
        self.go = asyncio.Event()

        @self.app.tool
        async def wait() -> str:
            self.entered.set()
            try:
                await self.go.wait()
            finally:
                self.over.set()
            return "through"

        @self.app.tool
        async def swallow(ctx: Context) -> str:
            self.entered.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                await ctx.progress(1)
                await ctx.log("error", "cancelled")
            self.over.set()
            return "swallowed"

        @self.app.tool
        async def quick() -> str:
            return "quick"


def cancel(id: Any, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, **more}}


@EVERY
@pytest.mark.parametrize("tool", ["wait", "swallow"])
@pytest.mark.requirement("R2607-CANCELLATION-021", "R2607-TRANSPORT-STDIO-011", "R2607-CANCELLATION-004")
async def test_f24_nothing_more_is_said_of_a_cancelled_request_whatever_its_handler_does(
    revision: str, tool: str, connect: Any
) -> None:
    held = Held()
    wire = await connect(held.app, revision)
    meta = {"progressToken": "t", **({"io.modelcontextprotocol/logLevel": "debug"} if wire.stateless else {})}
    answer = await wire.start("c", "tools/call", {"name": tool}, meta=meta)
    await asyncio.wait_for(held.entered.wait(), 5)
    await wire.send(cancel("c"))
    await asyncio.wait_for(held.over.wait(), 5)
    await wire.call("quick")
    assert not answer.done()
    assert wire.inbox.empty()


@EVERY
@pytest.mark.requirement("R2511-CANCELLATION-007", "R2607-CANCELLATION-016")
async def test_a_call_cancelled_before_it_began_leaves_nothing_behind(revision: str, connect: Any) -> None:
    held = Held()
    wire = await connect(held.app, revision)
    wire.app.service.max_running = 5
    for n in range(40):  # request and cancellation come in one read: the handler never gets to run
        await wire.start(f"c{n}", "tools/call", {"name": "wait"})
        await wire.send(cancel(f"c{n}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not wire.connection._running
    assert not wire.connection._channels
    await asyncio.wait_for(wire.connection.drain(), 5)
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement(
    "R2511-CANCELLATION-001",
    "R2511-CANCELLATION-011",
    "R2511-CANCELLATION-012",
    "R2607-CANCELLATION-011",
    "R2607-CANCELLATION-022",
    "R2607-CANCELLATION-019",
)
async def test_f21_a_cancellation_of_anything_else_stops_nothing(revision: str, connect: Any) -> None:
    held = Held()
    wire = await connect(held.app, revision)
    stranger = await connect(held.app, revision)
    answer = await wire.start("5", "tools/call", {"name": "wait"})
    await asyncio.wait_for(held.entered.wait(), 5)
    for id in (5, 5.0, "6", None, True, [], {"id": "5"}, "5 ", "", "\x005"):
        await wire.send(cancel(id))
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled"})
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestID": "5"}})
    await stranger.send(cancel("5"))
    await wire.call("quick")
    assert not held.over.is_set()
    held.go.set()
    assert (await asyncio.wait_for(answer, 5))["result"]["content"][0]["text"] == "through"
    await wire.send(cancel("5"))  # finished
    await wire.call("quick")


@EVERY
@pytest.mark.requirement(
    "R2511-CANCELLATION-001",
    "R2511-CANCELLATION-011",
    "R2511-CANCELLATION-012",
    "R2607-CANCELLATION-011",
    "R2607-CANCELLATION-022",
    "R2607-TRANSPORT-STDIO-010",
    "R2511-CANCELLATION-015",
    "R2607-CANCELLATION-001",
    "R2607-CANCELLATION-025",
)
async def test_a_client_takes_back_only_its_own_open_requests(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message.get("params", {}).get("name") == "echo":
            peer.result(message["id"], content=[])

    peer = RawPeer(answer, revision=revision)
    async with Client(peer, revision=revision) as client:
        await client.call_tool("echo")
        with pytest.raises(RequestTimeout):
            await client.call_tool("hang", timeout=0.02)
        call = asyncio.create_task(client.call_tool("hang"))
        while len(peer.sent("tools/call")) < 3:  # noqa: ASYNC110 - the peer is a plain list
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.call_tool("echo")
    hung = [message["id"] for message in peer.sent("tools/call") if message["params"]["name"] == "hang"]
    assert [message["params"]["requestId"] for message in peer.sent("notifications/cancelled")] == hung


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement("R2511-CANCELLATION-002", "R2511-CANCELLATION-017", "R2506-CANCELLATION-001")
async def test_initialize_is_not_cancelled_by_a_client_and_cannot_be_at_a_server(revision: str) -> None:
    class Mute(RawPeer):
        async def _take(self, data: bytes) -> None:
            if b'"initialize"' not in data:
                await super()._take(data)
            else:
                self.seen.append({"method": "initialize"})

    peer = Mute(lambda *_: None, revision=revision)
    with pytest.raises(RequestTimeout):
        await Client(peer, revision=revision, timeout=0.05, probe_timeout=0.05).open()
    assert [message["method"] for message in peer.seen] == ["initialize"]
    wire = Wire(Held().app, revision)
    offer = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    answer = await wire.start("i", "initialize", offer)
    await wire.send(cancel("i"))
    assert (await asyncio.wait_for(answer, 5))["result"]["protocolVersion"] == revision
    await wire.close()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement(
    "R2511-CANCELLATION-001",
    "R2511-CANCELLATION-011",
    "R2511-CANCELLATION-012",
    "R2511-CANCELLATION-006",
    "R2511-CANCELLATION-015",
)
async def test_f22_a_server_takes_back_its_own_question_and_names_no_other(
    revision: str, connect: Any
) -> None:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        return (await ctx.sample("hello", max_tokens=5)).model

    wire = await connect(app, revision, all_capabilities(revision))
    for id in ("first", "second"):
        await wire.start(id, "tools/call", {"name": "ask"})
    asked = [await wire.next(), await wire.next()]
    await wire.send(cancel("first"))
    taken_back = await wire.next()
    assert taken_back["params"]["requestId"] == asked[0]["id"] != asked[1]["id"]
    # An answer that comes all the same, twice, is nobody's.
    reply = {"role": "assistant", "content": {"type": "text", "text": "late"}, "model": "m"}
    for _ in range(2):
        await wire.send({"jsonrpc": "2.0", "id": asked[0]["id"], "result": reply})
    await wire.result("tools/list")
    assert wire.inbox.empty()


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement("R2511-CANCELLATION-007", "R2607-CANCELLATION-016")
async def test_f20_races_of_answer_and_cancellation_have_one_outcome(revision: str, connect: Any) -> None:
    """Ten thousand calls and cancellations in seeded disorder, over all revisions: at most one frame for each."""
    seed = 20 + REVISIONS.index(revision)
    dice = random.Random(seed)
    app = App("raced", rate_limit=None)

    @app.tool
    async def hop(times: int) -> int:
        for _ in range(times):
            await asyncio.sleep(0)
        return times

    wire = await connect(app, revision)
    futures: dict[int, Any] = {}
    cancelled: set[int] = set()
    for id in range(1000, 3000):
        futures[id] = await wire.start(
            id, "tools/call", {"name": "hop", "arguments": {"times": dice.randrange(6)}}
        )
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if dice.random() < 0.7:
            victim = dice.randrange(max(1000, id - 5), id + 1)
            cancelled.add(victim)
            await wire.send(cancel(victim))
    await asyncio.wait_for(wire.connection.drain(), 10)
    assert wire.inbox.empty(), f"a second frame for one request (seed {seed})"
    unanswered = {id for id, future in futures.items() if not future.done()}
    assert unanswered <= cancelled, f"seed {seed}"
    assert unanswered
    assert unanswered != cancelled
    assert not wire.connection._running


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement(
    "R2607-CANCELLATION-002",
    "R2607-CANCELLATION-003",
    "R2607-CANCELLATION-012",
    "R2607-CANCELLATION-024",
)
async def test_a_server_sends_cancelled_for_subscriptions_that_it_ends_and_for_nothing_else(
    revision: str, connect: Any
) -> None:
    held = Held()
    wire = await connect(held.app, revision, all_capabilities(revision))
    listens = [
        await wire.start(id, "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        for id in ("one", "two")
    ]
    assert {(await wire.next())["method"] for _ in range(2)} == {"notifications/subscriptions/acknowledged"}
    await wire.start("c", "tools/call", {"name": "wait"})
    await asyncio.wait_for(held.entered.wait(), 5)
    await wire.send(cancel("c"))
    await wire.send(cancel("two"))  # the client's own end of a subscription needs no answer
    await asyncio.wait_for(held.over.wait(), 5)
    await held.app.service.stop()
    ended = await asyncio.wait_for(listens[0], 5)
    assert "result" in ended
    assert (await wire.next())["params"]["requestId"] == "one"
    assert wire.inbox.empty()
    assert not listens[1].done()
