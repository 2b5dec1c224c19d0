"""Hints for caches, and ours that follows them."""

from typing import Any

import pytest
from must_peer import RawPeer, full_app

from dovetail import App, Client
from dovetail.protocol.caching import Cache
from dovetail.protocol.errors import InvalidParams
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from dovetail.protocol.types import ListToolsParams, ListToolsResult, ReadResourceParams, ReadResourceResult

MODERN = pytest.mark.parametrize("revision", STATELESS)
METHODS: dict[str, dict[str, Any]] = {
    "server/discover": {},
    "tools/list": {},
    "prompts/list": {},
    "resources/list": {},
    "resources/templates/list": {},
    "resources/read": {"uri": "note://today"},
}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.requirement("R2607-CACHING-001", "R2607-CACHING-011")
async def test_what_may_be_kept_says_how_long_and_for_whom(revision: str, method: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    if revision in STATEFUL:
        if method != "server/discover":
            assert not (await wire.result(method, METHODS[method])).keys() & {"ttlMs", "cacheScope"}
        return
    result = await wire.result(method, METHODS[method])
    assert type(result["ttlMs"]) is int
    assert result["ttlMs"] >= 0
    assert result["cacheScope"] in ("public", "private")


@MODERN
@pytest.mark.requirement("R2607-CACHING-011")
async def test_no_setting_makes_a_time_negative(revision: str, connect: Any) -> None:
    app = App("odd", list_ttl=-5)

    @app.resource("note://a", ttl=-1)
    async def a() -> str:
        return "a"

    wire = await connect(app, revision)
    for method, params in (("resources/list", {}), ("resources/read", {"uri": "note://a"})):
        assert (await wire.result(method, params))["ttlMs"] >= 0


@MODERN
@pytest.mark.requirement("R2607-CACHING-027", "R2607-CACHING-028", "R2607-CACHING-001")
async def test_all_pages_of_a_list_have_one_scope(revision: str, connect: Any) -> None:
    wire = await connect(full_app(page_size=1), revision)
    scopes: list[tuple[str, int]] = []
    page = await wire.result("tools/list")
    while True:
        scopes.append((page["cacheScope"], page["ttlMs"]))
        if "nextCursor" not in page:
            break
        page = await wire.result("tools/list", {"cursor": page["nextCursor"]})
    assert len(scopes) == 4
    assert len(set(scopes)) == 1


@pytest.mark.requirement("R2607-CACHING-020", "R2607-CACHING-036")
def test_private_results_stay_with_the_authorization_that_fetched_them() -> None:
    cache = Cache()
    params = ReadResourceParams(uri="note://a")
    private = ReadResourceResult(contents=[], ttl_ms=1000, cache_scope="private")
    cache.put("resources/read", params, "alice", private, 0.0, size=100)
    assert cache.get("resources/read", params, "alice", 0.5) is private
    for other in ("bob", "", "alic", "alice2"):
        assert cache.get("resources/read", params, other, 0.5) is None
    unsaid = ReadResourceResult(contents=[], ttl_ms=1000)
    cache.put("resources/read", params, "bob", unsaid, 0.0, size=100)
    assert cache.get("resources/read", params, "carol", 0.5) is None
    public = ListToolsResult(tools=[], ttl_ms=1000, cache_scope="public")
    cache.put("tools/list", ListToolsParams(), "alice", public, 0.0, size=100)
    assert cache.get("tools/list", ListToolsParams(), "bob", 0.5) is public


@pytest.mark.parametrize("shape", [{"request_state": "s"}, {"input_responses": {}}], ids=str)
@pytest.mark.requirement("R2607-CACHING-003")
def test_what_a_retry_brought_finds_no_place(shape: dict[str, Any]) -> None:
    cache = Cache()
    result = ReadResourceResult(contents=[], ttl_ms=1000, cache_scope="public")
    cache.put("resources/read", ReadResourceParams(uri="note://a", **shape), "alice", result, 0.0, size=100)
    assert len(cache) == 0
    cache.put("resources/read", ReadResourceParams(uri="note://a"), "alice", result, 0.0, size=100)
    assert cache.get("resources/read", ReadResourceParams(uri="note://a", **shape), "alice", 0.5) is None


@MODERN
@pytest.mark.requirement("R2607-CACHING-020", "R2607-CACHING-036", "R2607-CACHING-002")
async def test_clients_share_nothing_that_they_keep(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        uri = message["params"]["uri"]
        contents = [{"uri": uri, "text": f"{names[peer]} {uri}"}]
        peer.result(message["id"], contents=contents, ttlMs=60_000, cacheScope="private")

    names = {RawPeer(answer): "alice", RawPeer(answer): "bob"}
    for peer, name in names.items():
        async with Client(peer, revision=revision) as client:
            for uri in ("note://a", "note://b", "note://a"):
                (contents,) = (await client.read(uri)).contents
                assert contents.text == f"{name} {uri}"
        assert len(peer.sent("resources/read")) == 2


@MODERN
@pytest.mark.requirement("R2607-CACHING-002", "R2607-CACHING-033")
async def test_each_page_of_a_list_is_kept_as_itself(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        cursor = message["params"].get("cursor")
        following = {"nextCursor": "two"} if cursor is None else {}
        tools = [{"name": cursor or "one", "inputSchema": {"type": "object"}}]
        peer.result(message["id"], tools=tools, ttlMs=60_000, cacheScope="public", **following)

    peer = RawPeer(answer)
    async with Client(peer, revision=revision) as client:
        for _ in range(3):
            assert [tool.name async for tool in client.tools()] == ["one", "two"]
    assert len(peer.sent("tools/list")) == 2


@MODERN
@pytest.mark.hostile
@pytest.mark.parametrize("ttl", [0, -1, -(10**9)])
async def test_what_is_stale_at_once_is_not_kept(revision: str, ttl: int) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        contents = [{"uri": "note://a", "text": "x"}]
        peer.result(message["id"], contents=contents, ttlMs=ttl, cacheScope="public")

    peer = RawPeer(answer)
    async with Client(peer, revision=revision) as client:
        for _ in range(3):
            await client.read("note://a")
    assert len(peer.sent("resources/read")) == 3


class Redeployed:
    """A server whose first pages may be kept, and whose cursors are others after each ``deploy``."""

    def __init__(self, ttl: int = 600_000) -> None:
        self.ttl = ttl
        self.deploy = 1
        self.asked: list[str | None] = []

    def __call__(self, peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] != "tools/list":
            return
        cursor = message["params"].get("cursor")
        self.asked.append(cursor)
        second = f"second-{self.deploy}"
        names = ["one", "two"] if self.deploy == 1 else ["two", "one"]
        if cursor is None:
            self._page(peer, message, names[0], ttlMs=self.ttl, nextCursor=second)
        elif cursor == second:
            self._page(peer, message, names[1], ttlMs=0)
        else:
            peer.error(message["id"], -32602, "there is no such cursor")

    def _page(self, peer: RawPeer, message: dict[str, Any], name: str, **members: Any) -> None:
        tools = [{"name": name, "inputSchema": {"type": "object"}}]
        peer.result(message["id"], tools=tools, cacheScope="public", **members)


@pytest.mark.requirement("R2607-CACHING-026")
async def test_a_walk_over_kept_pages_begins_again_where_their_cursor_is_refused() -> None:
    server = Redeployed()
    async with Client(RawPeer(server)) as client:
        assert [tool.name async for tool in client.tools()] == ["one", "two"]
        server.deploy = 2
        assert [tool.name async for tool in client.tools()] == ["one", "two"]
        assert server.asked == [None, "second-1", "second-1", None, "second-2"]
        assert [tool.name async for tool in client.tools()] == ["two", "one"]


@pytest.mark.requirement("R2607-CACHING-026")
async def test_a_refused_cursor_that_was_just_given_is_an_error() -> None:
    server = Redeployed(ttl=0)
    async with Client(RawPeer(server)) as client:
        listing = client.tools()
        assert (await anext(listing)).name == "one"
        server.deploy = 2
        with pytest.raises(InvalidParams):
            await anext(listing)
        assert server.asked == [None, "second-1"]
