"""Results in a store: for as long as the server allows, for whom it allows, and no longer than it is true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from raw_http import RawHTTP, result
from store_places import Place
from test_client_memory import Anonymous, Named

from dovetail import App, Client
from dovetail.client import ClientStore
from dovetail.security import KeyRing
from dovetail.stores import KeyValueBounds, MemoryStore, Store, StoreBounds, StoreFull
from dovetail.testing.serving import served

KEYS = KeyRing.from_secrets([b"k" * 32])


class Lists:
    """A server of 2026-07-28 that counts how often it is asked for its lists, and says whose and when."""

    def __init__(self) -> None:
        self.asked = 0
        self.ttl: Any = 60_000
        self.scope: Any = "public"
        self.before: Any = None

    async def __call__(self, method: str, headers: dict[str, str], message: Any) -> Any:
        if method != "POST":
            return 405, {}, None
        hints = {"resultType": "complete", "ttlMs": self.ttl, "cacheScope": self.scope}
        if message["method"] == "server/discover":
            told = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "resources": {}}}
            return 200, {}, result(message, **told, **hints)
        self.asked += 1
        number = self.asked
        if self.before is not None:
            await self.before()
        if message["method"] == "resources/read":
            uri = message["params"]["uri"]
            return 200, {}, result(message, contents=[{"uri": uri, "text": f"{number}"}], **hints)
        tool = {"name": f"t{number}", "inputSchema": {"type": "object"}}
        return 200, {}, result(message, tools=[tool], **hints)


@pytest.fixture
async def lists() -> AsyncIterator[tuple[Lists, str]]:
    server = Lists()
    async with RawHTTP(server) as http:
        yield server, http.url


async def tools(url: str, store: Any, **options: Any) -> list[str]:
    """What a client of its own sees."""
    async with Client(url, store=store, revision="2026-07-28", **options) as client:
        return [tool.name async for tool in client.tools()]


async def read(url: str, store: Any, uri: str) -> str:
    async with Client(url, store=store, revision="2026-07-28") as client:
        return (await client.read(uri)).contents[0].text  # type: ignore[union-attr] # it is text


@pytest.mark.requirement("R2607-CACHING-002", "R2607-CACHING-018")
async def test_a_result_is_found_by_the_next_client(place: Place, lists: tuple[Lists, str]) -> None:
    server, url = lists
    setting = ClientStore(place.open(), keys=KEYS)
    assert await tools(url, setting) == ["t1"]
    assert await tools(url, setting) == ["t1"]
    assert await read(url, setting, "a://x") == "2"
    assert await read(url, setting, "a://x") == "2"
    assert await read(url, setting, "a://y") == "3"
    assert await tools(url, None) == ["t4"]
    assert await tools(url, ClientStore(place.open(), keys=KEYS, results=False)) == ["t5"]
    assert await tools(url, setting, cache=False) == ["t6"]
    assert await tools(f"{url}?tenant=b", setting) == ["t7"]
    assert await tools(url, setting, headers={"X-Tenant": "b"}) == ["t8"]
    assert await tools(url, setting, headers=lambda: {"X-Tenant": "b"}) == ["t9"]
    assert await tools(url, setting, headers=lambda: {"X-Tenant": "b"}) == ["t10"]
    assert await tools(url, setting, sampling=lambda _: None) == [
        "t11"
    ]  # lists may depend on what a client can do
    async with Client(url, store=setting, revision="2026-07-28") as client:
        assert (await client.list_tools(fresh=True)).tools[0].name == "t12"
    assert await tools(url, setting) == ["t12"]
    assert server.asked == 12


@pytest.mark.requirement("R2607-CACHING-020", "R2607-CACHING-036")
async def test_private_results_are_for_those_who_got_them(place: Place, lists: tuple[Lists, str]) -> None:
    server, url = lists
    setting = ClientStore(place.open(), keys=KEYS)
    server.scope = "private"
    assert await tools(url, setting, auth=Named("ada")) == ["t1"]
    assert await tools(url, setting, auth=Named("bob")) == ["t2"]
    assert await tools(url, setting, auth=Named("ada")) == ["t1"]
    assert await tools(url, setting) == ["t3"]
    assert await tools(url, setting, auth=Anonymous()) == ["t4"]
    assert await tools(url, setting, auth=Anonymous()) == ["t5"]
    server.scope = "public"
    assert await read(url, setting, "a://x") == "6"
    async with Client(url, store=setting, auth=Named("bob"), revision="2026-07-28") as client:
        assert (await client.read("a://x")).contents[0].text == "6"


@pytest.mark.hostile
@pytest.mark.requirement("R2607-CACHING-006")
@pytest.mark.parametrize("ttl", [0, -5, None])
async def test_what_may_not_be_kept_is_not(lasting: Place, lists: tuple[Lists, str], ttl: Any) -> None:
    server, url = lists
    server.ttl = ttl
    setting = ClientStore(lasting.open())
    assert [await tools(url, setting) for _ in range(2)] == [["t1"], ["t2"]]


@pytest.mark.requirement("R2607-CACHING-004", "R2607-CACHING-005", "R2607-CACHING-033")
async def test_a_result_is_kept_as_long_as_the_server_says(place: Place, lists: tuple[Lists, str]) -> None:
    server, url = lists
    server.ttl = 700
    setting = ClientStore(place.open(), keys=KEYS)
    assert await tools(url, setting) == ["t1"]
    server.ttl = 60_000
    async with asyncio.timeout(20):
        found = ["t1"]
        while found == ["t1"]:
            found = await tools(url, setting)
    assert await tools(url, setting) == ["t2"]


async def records(store: Store) -> dict[str, bytes]:
    return {key: await store.kv.get(key) or b"" async for key in store.kv.scan("client/results/")}


@pytest.mark.hostile
async def test_a_poisoned_record_is_ignored_and_deleted(place: Place, lists: tuple[Lists, str]) -> None:
    server, url = lists
    store = place.open()
    setting = ClientStore(store, allow_unsealed=True)
    server.scope = "private"
    assert await tools(url, setting, auth=Named("ada")) == ["t1"]
    ((adas, good),) = (await records(store)).items()
    assert await tools(url, setting, auth=Named("bob")) == ["t2"]
    bobs = next(key for key in await records(store) if key != adas)
    shown = json.loads(good[1:])
    wrong = [
        b"",
        b"P",
        good[:-1],
        good,  # that of another caller
        b"P" + json.dumps({**shown, "key": bobs.rpartition("/")[2], "body": 5}).encode(),
        b"P" + json.dumps({**shown, "key": bobs.rpartition("/")[2], "body": {"tools": 1}}).encode(),
        b"P" + json.dumps({**shown, "key": bobs.rpartition("/")[2], "generation": "other"}).encode(),
        b"P" + json.dumps({**shown, "key": bobs.rpartition("/")[2]}).encode().replace(b"private", b"public"),
        b"P" + b"[" * 100_000,
        b"P" + b"x" * 9_000_000,
    ]
    for number, hostile in enumerate(wrong, 3):
        await store.kv.set(bobs, hostile)
        assert await tools(url, setting, auth=Named("bob")) == [f"t{number}"], hostile[:50]
        assert await tools(url, setting, auth=Named("bob")) == [f"t{number}"]
    sealed = ClientStore(store, keys=KEYS)
    await tools(url, sealed, auth=Named("eve"))
    names = {key: value for key, value in (await records(store)).items() if value[:1] == b"S"}
    assert names
    assert all(b"inputSchema" not in value for value in names.values())


async def test_a_full_store_keeps_nothing_more_and_says_all_changes(lists: tuple[Lists, str]) -> None:
    _, url = lists
    store = MemoryStore(bounds=StoreBounds(kv=KeyValueBounds(max_bytes=1024 * 1024)))
    setting = ClientStore(store)
    assert await tools(url, setting) == ["t1"]
    room = store.kv.within("client/results/", share=1 / 8)
    for size in (700, 0):
        with suppress(StoreFull):
            for number in range(1000):
                await room.set(f"{size}/{number}", bytes(size))
    assert await tools(url, setting) == ["t1"]
    assert await read(url, setting, "a://x") == "2"
    assert await read(url, setting, "a://x") == "3"  # no room for it
    async with Client(url, store=setting, revision="2026-07-28") as other:
        other._connection.stored.results.invalidate(("tools/list",))
    assert await tools(url, setting) == ["t4"]


@pytest.mark.requirement("R2607-CACHING-038")
async def test_a_change_ends_what_everybody_keeps(place: Place) -> None:
    """The one who hears of it tells the store, so that no other client finds what is not true any more."""
    app = App("changing", list_ttl=3600)

    @app.tool
    async def first() -> str:
        return ""

    setting = ClientStore(place.open(), keys=KEYS)
    heard = asyncio.Event()
    async with served(app.asgi()) as url:
        async with Client(
            url, store=setting, revision="2026-07-28", on_change=lambda _: heard.set()
        ) as listening:
            assert await tools(url, setting) == ["first"]

            @app.tool
            async def second() -> str:
                return ""

            async with asyncio.timeout(10):
                await heard.wait()
            assert [tool.name async for tool in listening.tools()] == ["first", "second"]
        assert await tools(url, setting) == ["first", "second"]


async def test_what_was_asked_for_before_a_change_is_not_kept(place: Place, lists: tuple[Lists, str]) -> None:
    """Another client hears of the change while the answer is on its way."""
    server, url = lists
    setting = ClientStore(place.open(), keys=KEYS)
    async with Client(url, store=setting, revision="2026-07-28") as other:

        async def change() -> None:
            server.before = None
            stored = other._connection.stored.results
            stored.invalidate(("tools/list",))
            await stored.flush()

        server.before = change
        assert await tools(url, setting) == ["t1"]
        assert await tools(url, setting) == ["t2"]
        assert await tools(url, setting) == ["t2"]


async def test_a_list_of_several_pages_is_not_kept(lasting: Place) -> None:
    """A server that was started again may not know the cursors that it gave out."""
    app = App("long", list_ttl=3600, page_size=2)
    for name in "abc":
        app.tool(name=name)(_nothing)
    store = lasting.open()
    async with served(app.asgi()) as url:
        assert await tools(url, store) == ["a", "b", "c"]
    assert await records(store) == {}


async def _nothing() -> str:
    return ""


async def test_a_server_that_we_start_says_everything_anew(lasting: Place, tmp_path: Any) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        "from dovetail import App\napp = App('a', list_ttl=3600)\n"
        "@app.tool\nasync def t() -> str:\n    return ''\napp.run()"
    )
    store = lasting.open()
    async with Client(script, store=store) as client:
        assert [tool.name async for tool in client.tools()] == ["t"]
    assert await records(store) == {}
