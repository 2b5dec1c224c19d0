"""Upstreams and callers that do what they may not, or too much of it: what it costs, and whom."""

import asyncio
import gc
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Raw

from dovetail import App, Client, Context, InternalError, InvalidParams
from dovetail.extensions import Call, Channel
from dovetail.providers import Provided, ProvidedPage, Provider
from dovetail.proxy import ProxyProvider, lists, proxy_app
from dovetail.proxy.lists import MAX_PAGES
from dovetail.proxy.passing import MAX_WAITING_BYTES, Passing
from dovetail.testing.serving import served
from dovetail.types import CallToolResult, MessageNotice, TextContent, Tool
from wires import Connect

NEW, OLD = "2026-07-28", "2025-11-25"
ERAS = pytest.mark.parametrize("theirs", [NEW, OLD])
OURS = pytest.mark.parametrize("ours", [NEW, OLD])
HOSTILE = [sys.executable, str(Path(__file__).parent / "hostile_upstream.py")]
MEGABYTE = 1024 * 1024


def hostile(theirs: str, **options: Any) -> tuple[App, ProxyProvider]:
    """An app with a hostile upstream below "bad", and a tool of its own."""
    provider = ProxyProvider(HOSTILE, revision=theirs, **options)
    app = App("front")
    app.mount("bad", provider)

    @app.tool
    async def here() -> str:
        return "here"

    return app, provider


async def outcome(call: Awaitable[Any]) -> str:
    """What a call came to."""
    try:
        found = await call
    except InternalError as problem:
        return problem.message
    return f"result: {found.text}"


def held_calls(provider: ProxyProvider) -> int:
    """Calls that the proxy still knows of."""
    connections = [each for found in provider._connections._all.values() for each in found]
    return sum(len(each.calls) + each.uses for each in connections) + len(provider._caller._parking._calls)


@asynccontextmanager
async def growing_by_at_most(megabytes: float) -> AsyncGenerator[None]:
    """Fails where more than so much is still held at the end."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < megabytes * MEGABYTE


@pytest.mark.hostile
@ERAS
@OURS
async def test_calls_of_an_upstream_that_is_killed_end_once_and_the_next_finds_a_new_one(
    theirs: str, ours: str
) -> None:
    app, provider = hostile(theirs)
    async with Client(app, revision=ours, timeout=30) as client:
        first = (await client.call_tool("bad_pid")).text
        calls = [asyncio.create_task(outcome(client.call_tool("bad_hold"))) for _ in range(50)]
        while (await client.call_tool("bad_held")).text != "50":  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        told = Counter([await outcome(client.call_tool("bad_die")), *await asyncio.gather(*calls)])
        assert sum(told.values()) == 51
        for said in told:
            assert said.startswith("bad: its process has ended (exit status 3); part of the work may be done")
        assert (await client.call_tool("bad_pid")).text not in ("", first)
        assert held_calls(provider) == 0


@pytest.mark.hostile
@ERAS
async def test_results_that_are_none_are_errors_that_name_who_gave_them(theirs: str) -> None:
    """Whatever era the caller is of, it gets one message, which is one."""
    app, _ = hostile(theirs)
    for ours in (NEW, OLD):
        async with Client(app, revision=ours, timeout=30) as client:
            for name in ("number", "large-number", "list", "text", "kind"):
                if name == "kind" and theirs == OLD:
                    continue  # a member that the stateful era does not have
                said = await outcome(client.call_tool(f"bad_{name}"))
                assert said.startswith("bad: it broke the protocol"), (name, said)
            for name in ("null", "content", "meta"):  # objects, of which not all fits
                said = await outcome(client.call_tool(f"bad_{name}"))
                assert said in (f"result: The tool 'bad_{name}' failed.", "result: ") or said.startswith(
                    "bad: it broke the protocol"
                ), (name, said)
            assert (await client.call_tool("here")).text == "here"


@pytest.mark.hostile
async def test_what_a_result_says_twice_its_caller_is_told_once() -> None:
    """Of two the last one counts, as for whoever reads JSON: also where the result begins as the one before did."""
    app, _ = hostile(NEW)
    async with Client(app, revision=NEW, timeout=30) as client:
        for name, own in (("stamped", b""), ("stamped-twice", b'"a":1'), ("stamped", b"")):
            came = await client.forward("tools/call", {"name": f"bad_{name}", "arguments": {}})
            data = bytes(cast("Raw", came))
            assert data.count(b'"_meta"') == data.count(b'"resultType"') == 1, data
            assert own in data
            assert b"hostile" not in data


@pytest.mark.hostile
@ERAS
async def test_answers_of_other_ids_and_second_ones_are_nobodys(theirs: str) -> None:
    app, provider = hostile(theirs)
    async with Client(app, revision=NEW, timeout=30) as client:
        for _ in range(3):
            assert (await client.call_tool("bad_twice")).text == "first"
            assert (await client.call_tool("bad_other")).text == "its own"
        assert held_calls(provider) == 0


@pytest.mark.hostile
@ERAS
async def test_an_answer_that_never_comes_costs_its_own_call_alone(theirs: str) -> None:
    app, provider = hostile(theirs, timeout=0.5)
    async with Client(app, revision=NEW, timeout=30) as client:
        said = await asyncio.gather(*(outcome(client.call_tool("bad_never")) for _ in range(20)))
        assert {each.partition(";")[0] for each in said} == {"bad: it did not answer in time"}
        assert (await client.call_tool("bad_twice")).text == "first"
        assert held_calls(provider) == 0


@pytest.mark.hostile
@ERAS
async def test_a_large_result_passes_and_one_beyond_all_limits_costs_its_own_call(theirs: str) -> None:
    app, provider = hostile(theirs)
    async with Client(app, revision=NEW, timeout=60) as client:
        large = await client.call_tool("bad_huge", {"size": 8 * MEGABYTE})
        assert len(large.text) == 8 * MEGABYTE
        del large
        async with growing_by_at_most(4):
            said = await outcome(client.call_tool("bad_huge", {"size": 65 * MEGABYTE}))
            assert said.startswith("bad: "), said[:200]
            assert (await client.call_tool("bad_twice")).text == "first"
        assert held_calls(provider) == 0


@pytest.mark.hostile
@ERAS
async def test_a_flood_of_notifications_holds_up_nobody_and_stays_nowhere(theirs: str) -> None:
    """9000 of them in one call: others are answered meanwhile, and nothing of them is left."""
    app, provider = hostile(theirs)
    async with Client(app, revision=NEW, timeout=60) as client:
        await client.call_tool("bad_pid")
        async with growing_by_at_most(4):
            flooded = asyncio.create_task(outcome(client.call_tool("bad_flood", progress=lambda _: None)))
            slowest = 0.0
            while not flooded.done():
                begun = time.perf_counter()
                assert (await client.call_tool("here")).text == "here"
                slowest = max(slowest, time.perf_counter() - begun)
                await asyncio.sleep(0)
            assert await flooded == "result: flooded"
        assert slowest < 5
        assert held_calls(provider) == 0


async def test_what_waits_for_a_caller_that_does_not_read_is_bounded() -> None:
    """200 MB of messages for one that takes none of them."""

    class Stuck(Channel):
        async def emit(self, message: bytes) -> None:
            await asyncio.Event().wait()

        def tell(self, message: bytes) -> bool:
            return False

    calls: list[Call] = []

    async def seen(call: Call, channel: Channel, handler: Any) -> Any:
        calls.append(call)
        return await handler(call, channel)

    asked = App("asked", middleware=[seen])
    asked.add_tool(lambda: "", name="tool")
    async with Client(asked, revision=OLD) as client:
        await client.set_log_level("debug")
        await client.call_tool("tool")
    passing = Passing(calls[-1], Stuck())
    async with growing_by_at_most(2 * MAX_WAITING_BYTES / MEGABYTE + 1):
        for number in range(2000):
            passing.log(MessageNotice(level="error", data=f"{number} " + "x" * 100_000))
        assert passing._size <= MAX_WAITING_BYTES
    assert passing.sending is not None
    passing.sending.cancel()


class Endless(Provider):
    """A list of ``things`` tools, ``of`` on a page, or one that does not end; a page takes ``seconds``."""

    def __init__(self, things: int | None, of: int, *, named: bool = True, seconds: float = 0.0) -> None:
        self.things, self.of, self.named, self.seconds = things, of, named, seconds
        self.pages = 0

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        self.pages += 1
        await asyncio.sleep(self.seconds)
        start = int(cursor or 0)
        end = start + self.of if self.things is None else min(start + self.of, self.things)
        found = [self.made(number) for number in range(start, end if self.named else start)]
        return ProvidedPage(found, None if end == self.things else str(end))

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        return self.made(int(name.removeprefix("tool-")))

    def made(self, number: int) -> Provided[Tool]:
        async def answer(call: Call, channel: Channel) -> CallToolResult:
            return CallToolResult(content=[TextContent(text=str(number))])

        tool = Tool(name=f"tool-{number}", input_schema={"type": "object"}, description="a tool " * 10)
        return Provided(described=tool, answer=answer)


def listing(provider: Provider, page_size: int = 1000) -> App:
    app = App("many", page_size=page_size)
    app.mount(None, provider)
    return app


@ERAS
async def test_an_upstream_with_ten_thousand_tools_is_listed_and_called(theirs: str) -> None:
    many = Endless(10_000, 500)
    async with (
        growing_by_at_most(60),
        Client(proxy_app(listing(many), revision=theirs), revision=NEW) as client,
    ):
        names = [tool.name async for tool in client.tools()]
        assert names == [f"tool-{number}" for number in range(10_000)]
        assert (await client.call_tool("tool-9999")).text == "9999"
        read = many.pages
        for number in range(0, 10_000, 500):
            assert (await client.call_tool(f"tool-{number}")).text == str(number)
        assert many.pages == read  # all are known


@ERAS
@pytest.mark.parametrize("named", [True, False])
async def test_a_list_without_an_end_is_given_up_and_not_begun_again_at_once(
    theirs: str, named: bool
) -> None:
    """Of pages with tools, and of empty ones: a call fails in words, and many calls don't read it many times."""
    endless = Endless(None, 10, named=named)
    app = App("front")
    app.mount("bad", ProxyProvider(listing(endless, page_size=10), revision=theirs))

    @app.tool
    async def here() -> str:
        return "here"

    async with Client(app, revision=NEW, timeout=60) as client:
        first = await client.list_tools()
        assert first.tools[0].name == "here"
        said = await asyncio.gather(*(outcome(client.call_tool("bad_tool-9")) for _ in range(20)))
        (told,) = set(said)
        assert told.startswith("bad: ")
        assert "pages" in told or "within" in told
        read = endless.pages
        await asyncio.gather(*(outcome(client.call_tool("bad_tool-9")) for _ in range(20)))
        assert endless.pages <= read + 1200  # at most once more
        assert (await client.call_tool("here")).text == "here"


@ERAS
@pytest.mark.hostile
@pytest.mark.parametrize("named", [True, False])
async def test_who_lists_a_list_without_an_end_comes_to_one(
    theirs: str, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Page by page: what there is, then what the app has after it; the list says that it is not whole, the log why."""
    endless, other = Endless(None, 10, named=named), App("other")
    app = App("front")
    app.mount("bad", ProxyProvider(listing(endless, page_size=10), revision=theirs))
    app.mount("good", other)

    @other.tool
    async def here() -> str:
        return "here"

    async with Client(app, revision=NEW, timeout=60, cache=False) as client:
        pages = [await client.list_tools()]
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(await client.list_tools(cursor))
        names = [tool.name for page in pages for tool in page.tools]
        assert names[-1] == "good_here"
        assert (len(names) > 100) is named
        assert len(names) <= 10 * MAX_PAGES + 1
        assert any((page.meta or {}).get("io.dovetail/partial") is True for page in pages)
        with pytest.raises(InvalidParams, match="cursor"):
            await client.list_tools("bad")
    (told,) = {each.getMessage() for each in caplog.records if "not all" in each.getMessage()}
    assert told.startswith("bad: not all its tools are listed: there were ")


@ERAS
@pytest.mark.hostile
async def test_a_list_that_takes_its_time_page_by_page_is_cut(
    theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page comes in time, and the whole would take longer than a list may."""
    monkeypatch.setattr(lists, "MAX_READING", 0.3)
    endless = Endless(None, 1, seconds=0.1)
    app = App("front")
    app.mount("bad", ProxyProvider(listing(endless, page_size=1), revision=theirs))
    async with Client(app, revision=NEW, timeout=60) as client:
        assert 1 <= len([tool.name async for tool in client.tools()]) <= 4


@ERAS
async def test_callers_that_hang_up_leave_nothing_here_and_nothing_at_the_upstream(theirs: str) -> None:
    """50 over HTTP in each era, whose connections end in the middle of a call."""
    running = 0
    upstream = App("upstream")

    @upstream.tool
    async def hang() -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    provider = ProxyProvider(upstream, revision=theirs, max_connections=200)
    app = App("front")
    app.mount(None, provider)
    async with served(app.asgi()) as url:
        for ours in (NEW, OLD):
            async with Client(url, revision=ours, timeout=60) as client:
                calls = [asyncio.create_task(client.call_tool("hang")) for _ in range(50)]
                async with asyncio.timeout(30):
                    while running < 50:  # noqa: ASYNC110 - the tool tells nobody else
                        await asyncio.sleep(0.01)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
                async with asyncio.timeout(30):
                    while running or held_calls(provider):  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.01)


async def test_calls_that_nobody_answers_are_taken_back_at_the_upstream() -> None:
    """A caller of the stateless era that was asked, and never comes back."""
    ended = 0
    upstream = App("upstream")

    @upstream.tool
    async def asks(ctx: Context) -> str:
        nonlocal ended
        try:
            return await ctx.elicit("who?", str)
        finally:
            ended += 1

    provider = ProxyProvider(upstream, revision=OLD, park=0.3)
    app = App("front")
    app.mount(None, provider)
    async with Client(app, revision=NEW, rounds="manual", elicitation=lambda _: "x") as client:
        for _ in range(30):
            await client.request("tools/call", {"name": "asks", "arguments": {}})
        async with asyncio.timeout(30):
            while ended < 30 or held_calls(provider):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


@pytest.mark.hostile
@ERAS
@OURS
async def test_the_meta_of_a_caller_says_nothing_in_the_name_of_the_proxy(
    theirs: str, ours: str, connect: Connect
) -> None:
    """Keys of the protocol, tokens of others, and what is no member at all: the upstream gets what is the caller's."""
    seen: list[dict[str, Any]] = []

    async def middleware(call: Call, channel: Channel, handler: Any) -> Any:
        if call.method == "tools/call":
            seen.append(call.meta)
        return await handler(call, channel)

    watched = App("watched", middleware=[middleware])
    watched.add_tool(lambda: "seen", name="look")
    wire = await connect(proxy_app(watched, revision=theirs), ours)
    deep: Any = "end"
    for _ in range(50):
        deep = {"a": deep}
    own = {"example.org/own": {"b": [1, None]}, "example.org/deep": deep}
    forged = {
        "io.modelcontextprotocol/related-task": {"taskId": "somebody-elses"},
        "io.modelcontextprotocol/no-such-thing": 1,
        "bad key\x1b[31m": 1,
        "traceparent": "no trace",
        "progressToken": "mine",
    }
    look = {"name": "look", "arguments": {}}
    result = await wire.result("tools/call", look, meta={**own, **forged})
    assert result["content"][0]["text"] == "seen"
    (got,) = seen
    assert {key: got[key] for key in own} == own
    assert not forged.keys() & got.keys() - {"progressToken"}
    assert got.get("progressToken") != "mine"
    if theirs == NEW:
        assert got["io.modelcontextprotocol/protocolVersion"] == NEW


@pytest.mark.hostile
async def test_a_meta_that_is_none_is_refused_before_anybody_is_asked(connect: Connect) -> None:
    asked = 0
    upstream = App("upstream")

    @upstream.tool
    async def look() -> str:
        nonlocal asked
        asked += 1
        return "seen"

    wire = await connect(proxy_app(upstream), OLD)
    for meta in (5, [1], "text", {"progressToken": {"a": 1}}, {"progressToken": 1.5}):
        error = await wire.error("tools/call", {"name": "look", "arguments": {}, "_meta": meta})
        assert error["code"] == -32602
    assert asked == 0


async def test_listeners_beyond_all_bounds_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.proxy import provider as module

    monkeypatch.setattr(module, "MAX_WATCHED", 5)
    upstream = App("upstream")

    @upstream.resource("a://{name}")
    async def read(name: str) -> str:
        return name

    provider = ProxyProvider(upstream)
    app = App("front")
    app.mount(None, provider)
    async with Client(app) as client:
        async with client.listen(resources=[f"a://{number}" for number in range(50)]):
            assert len(provider._watched) == 5
        async with asyncio.timeout(10):
            while provider._watched:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
