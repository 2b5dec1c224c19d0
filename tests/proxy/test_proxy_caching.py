"""What a proxy keeps of its upstream's results, for how long and for whom, and what its callers are told of that."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail import App, Client, InvalidParams, Principal
from dovetail.extensions import Call, Change, Channel
from dovetail.providers import Provided, ProvidedPage, Provider, visible
from dovetail.proxy import ProxyProvider, kept_results, proxy_app
from dovetail.proxy.kept_results import MAX_BYTES, CacheHints, KeptResults, hints_of
from dovetail.security import Credentials
from dovetail.testing.serving import served
from dovetail.types import (
    CallToolResult,
    ReadResourceResult,
    Resource,
    ResourceContents,
    TextContent,
    Tool,
)

NEW, OLD = "2026-07-28", "2025-11-25"


class Upstream(Provider):
    """Things whose hints can be chosen, and that count how often they were asked for."""

    def __init__(self, ttl: float | None, scope: Any = None, *, pages: int = 1) -> None:
        self.ttl, self.scope, self.pages = ttl, scope, pages
        self.lists = self.reads = 0
        self.publish: Any = None

    def life(self, publish: Any) -> Any:
        self.publish = publish
        return super().life(publish)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        self.lists += 1
        number = int(cursor or 0)
        tool = Tool(name=f"tool-{number}", input_schema={"type": "object"}, description=str(self.lists))
        following = str(number + 1) if number + 1 < self.pages else None
        return ProvidedPage(
            [Provided(described=tool, answer=self.use)], following, ttl=self.ttl, scope=self.scope
        )

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        found = Provided(described=Resource(uri="a://b", name="b"), answer=self.read)
        return ProvidedPage([found], ttl=self.ttl, scope=self.scope)

    async def use(self, call: Call, channel: Channel) -> CallToolResult:
        return CallToolResult(content=[TextContent(text="used")])

    async def read(self, call: Call, channel: Channel) -> Any:
        self.reads += 1
        contents: Any = ResourceContents(uri="a://b", text=str(self.reads))
        ttl_ms = None if self.ttl is None else int(self.ttl * 1000)
        return ReadResourceResult(contents=[contents], ttl_ms=ttl_ms, cache_scope=self.scope)


def behind(upstream: Upstream, *, page_size: int = 50) -> App:
    app = App("behind", page_size=page_size)
    app.mount(None, upstream)
    return app


class Named:
    """Takes the word of a bearer token for who is calling; nobody without one."""

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        return Principal(issuer="test", subject=request.authorization[0].removeprefix("Bearer "))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the clock by which a proxy keeps results: so many seconds more have passed."""
    loop = asyncio.get_running_loop
    passed = [0.0]

    class Clock:
        def time(self) -> float:
            return loop().time() + passed[0]

    monkeypatch.setattr(kept_results, "asyncio", SimpleNamespace(get_running_loop=Clock))

    def move(seconds: float) -> None:
        passed[0] += seconds

    return move


@pytest.mark.requirement("R2607-CACHING-008", "R2607-CACHING-013", "R2607-CACHING-018")
async def test_a_public_list_is_asked_for_once_and_passed_on_with_the_time_that_is_left(later: Any) -> None:
    upstream = Upstream(100.0, "public")
    async with served(proxy_app(behind(upstream), revision=NEW).asgi()) as url:

        async def listed() -> Any:
            async with Client(url, cache=False) as client:
                return await client.list_tools()

        first = await listed()
        assert (first.ttl_ms, first.cache_scope) == (100_000, "public")
        later(30)
        second = await listed()
        assert upstream.lists == 1
        assert 60_000 < second.ttl_ms <= 70_000
        assert second.cache_scope == "public"
        later(71)
        assert (await listed()).tools[0].description == "2"


@pytest.mark.requirement("R2607-CACHING-008", "R2607-CACHING-018")
async def test_a_public_resource_is_read_once_for_callers_of_both_eras(later: Any) -> None:
    upstream = Upstream(100.0, "public")
    app = proxy_app(behind(upstream), revision=NEW)
    async with Client(app, revision=NEW, cache=False) as new, Client(app, revision=OLD) as old:
        first = await new.read("a://b")
        later(30)
        second = await new.read("a://b")
        assert [first.contents, (await old.read("a://b")).contents] == [second.contents] * 2
        assert upstream.reads == 1
        assert (first.ttl_ms, first.cache_scope, second.cache_scope) == (100_000, "public", "public")
        assert 60_000 < (second.ttl_ms or 0) <= 70_000
        later(71)
        await new.read("a://b")
        assert upstream.reads == 2


@pytest.mark.requirement("R2607-CACHING-019", "R2607-CACHING-020", "R2607-CACHING-035", "R2607-CACHING-036")
@pytest.mark.parametrize("own_credentials", [False, True])
async def test_a_private_result_is_kept_for_the_principal_that_asked(own_credentials: bool) -> None:
    """Also where the upstream is shown one credential for all, and the proxy one connection."""
    upstream = Upstream(100.0, "private")
    credentials: Any = (lambda _: {}) if own_credentials else None
    front = proxy_app(behind(upstream), revision=NEW, credentials=credentials)
    async with served(front.asgi(authenticate=Named())) as url:

        async def said(name: str) -> tuple[str, str, Any]:
            async with Client(url, headers={"Authorization": f"Bearer {name}"}, cache=False) as client:
                read = await client.read("a://b")
                page = await client.list_tools()
                assert (read.cache_scope, page.cache_scope) == ("private", "private")
                contents: Any = read.contents[0]
                return contents.text, page.tools[0].description or "", read.ttl_ms

        ada = await said("ada")
        bob = await said("bob")
        assert ada[:2] != bob[:2]
        assert (await said("ada"))[:2] == ada[:2]
        assert (await said("bob"))[:2] == bob[:2]
        assert (upstream.reads, upstream.lists) == (2, 2)


@pytest.mark.requirement("R2607-CACHING-006", "R2607-CACHING-009", "R2607-CACHING-032")
@pytest.mark.parametrize("theirs", [NEW, OLD])
async def test_what_may_not_be_kept_is_asked_for_each_time(theirs: str) -> None:
    """A time of nothing; and the stateful era, which has no hints for what is read."""
    upstream = Upstream(0.0, "public")
    async with Client(proxy_app(behind(upstream), revision=theirs), revision=NEW, cache=False) as client:
        for number in range(1, 4):
            read = await client.read("a://b")
            assert upstream.reads == number
            assert read.ttl_ms == 0
        if theirs == NEW:
            for number in range(1, 4):
                assert (await client.list_tools()).ttl_ms == 0
                assert upstream.lists == number


@pytest.mark.requirement("R2607-CACHING-038")
async def test_a_change_makes_stale_what_it_is_about_at_once() -> None:
    upstream = Upstream(1000.0, "public")
    async with (
        Client(proxy_app(behind(upstream), revision=NEW), revision=NEW, cache=False) as client,
        client.listen(tools=True, resources=["a://b"]) as changes,
    ):
        assert (await client.list_tools()).tools[0].description == "1"
        await client.read("a://b")
        await client.read("a://b")
        assert upstream.reads == 1
        upstream.publish(Change("tools"))
        assert (await asyncio.wait_for(anext(changes), 10)).kind == "tools"
        assert (await client.list_tools()).tools[0].description == "2"
        await client.read("a://b")
        assert upstream.reads == 1
        upstream.publish(Change("resource", uri="a://b"))
        assert (await asyncio.wait_for(anext(changes), 10)).kind == "resource"
        await client.read("a://b")
        assert upstream.reads == 2


@pytest.mark.requirement("R2607-CACHING-002")
async def test_what_a_caller_says_to_the_upstream_is_part_of_its_request() -> None:
    upstream = Upstream(1000.0, "public")
    app = proxy_app(behind(upstream), revision=NEW)
    async with Client(app, cache=False) as plain, Client(app, cache=False, elicitation=lambda _: "x") as able:
        for client, meta, reads in (
            (plain, None, 1),
            (plain, {"example.org/lang": "de"}, 2),  # never kept
            (plain, {"example.org/lang": "de"}, 3),
            (plain, None, 3),
            (able, None, 4),  # a server may answer by what a client can do
            (able, None, 4),
        ):
            await client.read("a://b", meta=meta)
            assert upstream.reads == reads


@pytest.mark.requirement("R2607-CACHING-027", "R2607-CACHING-028")
@pytest.mark.parametrize("scope", ["public", "private"])
@pytest.mark.parametrize("beside", [False, True])
async def test_all_pages_of_a_list_have_one_scope(scope: str, beside: bool) -> None:
    """Those of one upstream its own; where others list, too, whose pages may be private, all are."""
    upstream = Upstream(100.0, scope, pages=3)
    front = App("front", page_size=1)

    @front.resource("own://a")
    async def own() -> str:
        return ""

    if beside:

        @front.tool
        async def here() -> str:
            return "here"

    front.mount(None, ProxyProvider(behind(upstream, page_size=1), revision=NEW))
    async with Client(front, cache=False) as client:
        page = await client.list_tools()
        scopes, names = [page.cache_scope], [each.name for each in page.tools]
        while page.next_cursor is not None:
            page = await client.list_tools(page.next_cursor)
            scopes.append(page.cache_scope)
            names += [each.name for each in page.tools]
    assert names == [*(["here"] if beside else []), "tool-0", "tool-1", "tool-2"]
    assert set(scopes) == {"private" if beside else scope}


async def test_the_shortest_time_counts_and_the_app_speaks_for_what_says_nothing() -> None:
    for ttl, own, expected in ((10.0, True, 10_000), (1000.0, True, 60_000), (1000.0, False, 1_000_000)):
        front = App("front", list_ttl=60)
        if own:
            front.add_tool(lambda: "", name="here")
        front.mount(None, ProxyProvider(behind(Upstream(ttl, "public")), revision=NEW))
        async with Client(front) as client:
            page = await client.list_tools()
            assert (page.ttl_ms, page.cache_scope) == (expected, "public")


async def test_middleware_and_callers_who_see_different_things_make_a_list_private() -> None:
    async def layer(call: Any, channel: Any, handler: Any) -> Any:
        return await handler(call, channel)

    inner = App("inner", middleware=[layer])
    inner.mount(None, ProxyProvider(behind(Upstream(100.0, "public")), revision=NEW))
    by_caller = ProxyProvider(behind(Upstream(100.0, "public")), revision=NEW).transformed(
        visible(lambda found, who: True)
    )
    for what in (inner, by_caller):
        front = App("front")
        front.mount(None, what)
        async with Client(front) as client:
            assert (await client.list_tools()).cache_scope == "private"


async def test_a_tool_that_came_is_called_though_the_list_is_still_good() -> None:
    upstream = Upstream(1000.0, "public")
    async with Client(proxy_app(behind(upstream), revision=NEW)) as client:
        assert (await client.call_tool("tool-0")).text == "used"
        upstream.pages = 2  # and nobody is told

        async def called() -> str:
            while True:
                try:
                    return (await client.call_tool("tool-1")).text
                except InvalidParams:
                    await asyncio.sleep(0.05)  # a list is not read twice in a second for a name

        assert await asyncio.wait_for(called(), 10) == "used"


async def test_a_proxy_that_is_told_to_keeps_nothing() -> None:
    upstream = Upstream(1000.0, "public")
    async with Client(proxy_app(behind(upstream), revision=NEW, cache=False), cache=False) as client:
        for _ in range(3):
            assert (await client.read("a://b")).ttl_ms == 1_000_000
            await client.list_tools()
    assert (upstream.reads, upstream.lists) == (3, 3)


@pytest.mark.requirement("R2607-CACHING-010")
def test_hints_that_make_no_sense_are_none() -> None:
    assert hints_of(-5, "public") == CacheHints(0.0, True)
    assert hints_of(None, None) == CacheHints(0.0, False)
    assert hints_of(10**30, "private").ttl == 24 * 3600


async def test_what_is_kept_is_bounded_in_bytes() -> None:
    class Connection:
        number = 1

    kept, there = KeptResults(wanted=True), Connection()
    for number in range(100):
        kept.put(
            there,  # type: ignore[arg-type]  # what is asked of a connection is its number
            "resources/read",
            str(number),
            Principal(issuer="a", subject="b"),
            b"",
            CacheHints(100.0, True),
            size=MAX_BYTES // 10,
            changes=0,
        )
    assert kept.size <= MAX_BYTES
