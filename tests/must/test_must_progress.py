"""Progress: growing, under the token that the request named, while the request runs and no longer."""

import asyncio
import itertools
from typing import Any

import pytest
from must_peer import RawPeer, frames, parsed

from dovetail import App, Client, Context
from dovetail.protocol.errors import RequestTimeout
from dovetail.protocol.revisions import REVISIONS

EVERY = pytest.mark.parametrize("revision", REVISIONS)


class Reporting:
    """A tool that reports what it is told to, also after its end, from a task that it left behind."""

    def __init__(self) -> None:
        self.app = App("reporting")
        self.go = asyncio.Event()
        self.late: list[asyncio.Task[None]] = []

        @self.app.tool
        async def report(values: list[float], ctx: Context) -> str:
            for value in values:
                await ctx.progress(value, 10)
            return "done"

        @self.app.tool
        async def leave(ctx: Context) -> str:
            await ctx.progress(1)
            self.late.append(asyncio.create_task(self.after(ctx)))
            return "left"

        @self.app.tool
        async def odd(ctx: Context) -> str:
            for value in (1.0, float("nan"), 0.5, float("inf"), 2.0):
                await ctx.progress(value, float("nan"))
            return "done"

    async def after(self, ctx: Context) -> None:
        await self.go.wait()
        await ctx.progress(2)
        await ctx.log("error", "late")


@EVERY
@pytest.mark.requirement("R2511-PROGRESS-004", "R2607-PROGRESS-005")
async def test_progress_only_ever_grows(revision: str, connect: Any) -> None:
    wire = await connect(Reporting().app, revision)
    values = [1, 1, 0.5, 2, -3, 2.0000001, 2, 1e300, 5]
    await wire.result(
        "tools/call", {"name": "report", "arguments": {"values": values}}, meta={"progressToken": 9}
    )
    seen = [wire.inbox.get_nowait()["params"]["progress"] for _ in range(wire.inbox.qsize())]
    assert seen == [1, 2, 2.0000001, 1e300]
    assert all(one < other for one, other in itertools.pairwise(seen))


@EVERY
@pytest.mark.requirement("R2511-PROGRESS-004", "R2607-PROGRESS-005")
async def test_what_is_no_number_is_no_progress(revision: str, connect: Any) -> None:
    wire = await connect(Reporting().app, revision)
    await wire.result("tools/call", {"name": "odd"}, meta={"progressToken": "t"})
    seen = [wire.inbox.get_nowait()["params"] for _ in range(wire.inbox.qsize())]
    assert seen == [{"progressToken": "t", "progress": 1}, {"progressToken": "t", "progress": 2}]


@EVERY
@pytest.mark.requirement(
    "R2511-PROGRESS-007",
    "R2607-PROGRESS-008",
    "R2511-PROGRESS-014",
    "R2607-PROGRESS-012",
    "R2511-PROGRESS-012",
    "R2607-PROGRESS-010",
)
async def test_nothing_is_reported_once_the_call_is_over(revision: str, connect: Any) -> None:
    found = Reporting()
    wire = await connect(found.app, revision)
    await wire.result("tools/call", {"name": "leave"}, meta={"progressToken": "t"})
    assert (await wire.next())["params"]["progress"] == 1
    found.go.set()
    await asyncio.gather(*found.late)
    await wire.call("report", values=[])
    assert wire.inbox.empty()


@EVERY
@pytest.mark.parametrize("token", ["t", "", "\x00\u2028", 0, -1, 2**53, 2**62])
@pytest.mark.requirement(
    "R2511-PROGRESS-001", "R2607-PROGRESS-002", "R2511-PROGRESS-007", "R2607-PROGRESS-008"
)
async def test_a_token_comes_back_as_it_was(revision: str, token: Any, connect: Any) -> None:
    wire = await connect(Reporting().app, revision)
    await wire.result(
        "tools/call", {"name": "report", "arguments": {"values": [1]}}, meta={"progressToken": token}
    )
    given = (await wire.next())["params"]["progressToken"]
    assert (given, type(given)) == (token, type(token))


@EVERY
@pytest.mark.requirement(
    "R2511-PROGRESS-001", "R2607-PROGRESS-002", "R2511-PROGRESS-002", "R2607-PROGRESS-003"
)
async def test_the_tokens_of_open_requests_differ(revision: str) -> None:
    found = Reporting()
    with frames() as seen:
        async with Client(found.app, revision=revision) as client:
            calls = [
                client.call_tool("report", {"values": [n]}, progress=lambda _: None) for n in range(1, 30)
            ]
            await asyncio.gather(*calls)
    tokens = [
        message["params"]["_meta"]["progressToken"]
        for message in parsed(seen, "client")
        if message.get("method") == "tools/call"
    ]
    assert len(set(tokens)) == len(tokens) == 29
    assert all(type(token) in (int, str) for token in tokens)
    await found.app.service.stop()


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement(
    "R2511-PROGRESS-007", "R2607-PROGRESS-008", "R2511-PROGRESS-012", "R2607-PROGRESS-010"
)
async def test_a_client_hears_no_progress_of_others_or_of_what_is_over(revision: str) -> None:
    tokens: list[Any] = []

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] != "tools/call":
            return
        tokens.append(message["params"]["_meta"]["progressToken"])
        for token in ("stranger", 10**15, *tokens):
            peer.say(method="notifications/progress", params={"progressToken": token, "progress": 1})
        peer.result(message["id"], content=[])

    heard: list[list[float]] = [[], []]
    async with Client(RawPeer(answer, revision=revision), revision=revision) as client:
        for ears in heard:
            await client.call_tool("any", progress=lambda notice, ears=ears: ears.append(notice.progress))
        await client.call_tool("any", progress=lambda _: None)
    assert heard == [[1], [1]]


class Clock:
    """The loop's clock, moved forward by a test: how busy the machine is changes nothing then."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real, self.ahead = loop.time, 0.0
        loop.time = lambda: self._real() + self.ahead


@pytest.mark.requirement("R2607-CANCELLATION-010")
@EVERY
async def test_f25_progress_prolongs_a_call_and_only_up_to_the_maximum(revision: str) -> None:
    """Each step takes two thirds of the limit, and four limits are the maximum: the sixth step is the last."""
    clock = Clock()
    tokens: list[Any] = []
    heard: list[float] = []

    def step() -> None:
        params = {"progressToken": tokens[0], "progress": len(heard) + 1}
        peer.say(method="notifications/progress", params=params)

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] == "tools/call":
            tokens.append(message["params"]["_meta"]["progressToken"])
            step()

    def hear(notice: Any) -> None:
        heard.append(notice.progress)
        clock.ahead += 4000
        if len(heard) < 10:  # by a timer, so that one which is due before it strikes first
            asyncio.get_running_loop().call_later(0, step)

    peer = RawPeer(answer, revision=revision)
    async with Client(peer, revision=revision, timeout=6000, max_timeout=24000) as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("any", progress=hear)
    assert heard == [1, 2, 3, 4, 5, 6]
    assert peer.sent("notifications/cancelled")
