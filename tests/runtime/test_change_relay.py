"""The relay of changes by itself, on the bus of a file: what it says and when, what it hears, and what it ignores.

Whole processes are tried in `tests/stores/test_relayed_changes.py`. Specification: none; this is operation.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client
from dovetail.protocol.listening import MAX_URI, Change, ChangeType, everything
from dovetail.runtime import change_relay
from dovetail.runtime.change_relay import ChangeRelay, channel_of
from dovetail.runtime.hub import Hub
from dovetail.stores import BusBounds, MemoryStore, MixedStore, SQLiteStore, StoreBounds, StoreUnavailable

CHANNEL = "changes/mill"
OVENS = ChangeType(kind="oven", filter="ovens", notification="com.example/oven", subject="oven")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    async with aclosing(SQLiteStore(tmp_path / "store.db")) as store:
        yield store


class WayOfBus:
    """A bus as another way to a real one: it can be cut, held up, and looked at."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.cut = False
        self.open = asyncio.Event()
        self.open.set()
        self.said: list[bytes] = []
        self.tried = 0

    async def publish(self, channel: str, data: bytes) -> None:
        self.tried += 1
        await self.open.wait()
        if self.cut:
            raise StoreUnavailable("The way is cut.")
        await self._bus.publish(channel, data)
        self.said.append(data)

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        if self.cut:
            raise StoreUnavailable("The way is cut.")
        return await self._bus.listen(channel, heard)

    def changes(self) -> list[list[str]]:
        """What was said, each message as the URIs or kinds in it."""
        return [[each[1] or each[0] for each in json.loads(data)["changes"]] for data in self.said]


class Place:
    """A hub with a relay, and one who listens to all of it."""

    def __init__(self, bus: Any) -> None:
        self.hub = Hub()
        self.relay = ChangeRelay(self.hub, bus, CHANNEL, [OVENS])
        self.hub.relay = self.relay
        self.doubts = 0

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        async with self.relay.hearing(), self.relay.serving():
            self.subscription = self.hub.subscribe(everything, doubted=self.doubt)
            try:
                yield
            finally:
                self.subscription.close()

    def doubt(self) -> None:
        self.doubts += 1

    async def hear(self, count: int) -> list[str]:
        async with asyncio.timeout(10):
            changes = [await anext(self.subscription) for _ in range(count)]
        return [each.uri or each.kind for each in changes]


async def until(condition: Callable[[], object]) -> None:
    """Look again and again until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in threads and on wires
            await asyncio.sleep(0.005)


def updated(number: int) -> Change:
    return Change("resource", f"note://{number}")


async def test_others_hear_in_order_and_nobody_hears_himself(store: SQLiteStore) -> None:
    one, two = Place(store.bus), Place(store.bus)
    async with one.life(), two.life():
        for number in range(5):
            one.hub.publish(updated(number))
        two.hub.publish(Change("tools"))
        two.hub.publish(OVENS.change("7", {"by": "two"}))
        wanted = [f"note://{number}" for number in range(5)]
        assert sorted(await one.hear(7)) == sorted([*wanted, "tools", "7"])
        assert [each for each in await two.hear(7) if each in wanted] == wanted
        one.hub.publish(updated(9))
        assert await two.hear(1) == ["note://9"]
        assert await one.hear(1) == ["note://9"]  # what it was told here, and not what came back before
        assert one.subscription.take() is None


async def test_what_changes_again_before_it_is_said_is_said_once(store: SQLiteStore) -> None:
    way = WayOfBus(store.bus)
    place = Place(way)
    async with place.life():
        way.open.clear()
        place.hub.publish(updated(0))
        await until(lambda: way.tried)
        for number in (1, 2, 1, 1, 2):
            place.hub.publish(updated(number))
        way.open.set()
        await until(lambda: len(way.said) == 2)
    assert way.changes() == [["note://0"], ["note://1", "note://2"]]


async def test_what_can_not_be_said_is_said_later_and_the_log_says_so_once(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    way = WayOfBus(store.bus)
    place, other = Place(way), Place(store.bus)
    async with place.life(), other.life():
        way.cut = True
        place.hub.publish(updated(0))
        assert await place.hear(1) == ["note://0"]  # those here wait for nobody
        await until(lambda: way.tried >= 3)
        place.hub.publish(updated(1))
        way.cut = False
        assert await other.hear(2) == ["note://0", "note://1"]
    assert [record.levelname for record in caplog.records if "not told of changes" in record.message] == [
        "WARNING"
    ]


async def test_what_is_too_much_to_wait_is_told_as_lost(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_relay, "MAX_WAITING", 3)
    way = WayOfBus(store.bus)
    place, other = Place(way), Place(store.bus)
    async with place.life(), other.life():
        way.open.clear()
        for number in range(10):
            place.hub.publish(updated(number))
        way.open.set()
        assert await other.hear(3) == ["note://0", "note://1", "note://2"]
        await until(lambda: other.doubts == 1)
        assert place.doubts == 0
        place.hub.publish(updated(11))
        assert await other.hear(1) == ["note://11"]
        assert other.doubts == 1


async def test_many_changes_travel_in_short_messages(store: SQLiteStore) -> None:
    way = WayOfBus(store.bus)
    place, other = Place(way), Place(store.bus)
    async with place.life(), other.life():
        for number in range(2000):
            place.hub.publish(updated(number))
        assert await other.hear(2000) == [f"note://{number}" for number in range(2000)]
    assert 10 < len(way.said) < 100
    assert max(map(len, way.said)) <= change_relay.PIECE


async def test_a_bus_that_takes_short_messages_only_gets_shorter_ones(tmp_path: Path) -> None:
    bounds = StoreBounds(bus=BusBounds(max_message=400))
    async with aclosing(SQLiteStore(tmp_path / "small.db", bounds=bounds)) as store:
        place, other = Place(store.bus), Place(store.bus)
        async with place.life(), other.life():
            for number in range(20):
                place.hub.publish(updated(number))
            assert await other.hear(20) == [f"note://{number}" for number in range(20)]
            assert other.doubts == 0
            place.hub.publish(Change("resource", "note://" + "x" * 500))  # too long by itself
            place.hub.publish(updated(21))
            assert await other.hear(1) == ["note://21"]
            await until(lambda: other.doubts == 1)


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"origin": 7, "changes": []}',
    b'{"origin": "a", "changes": [["nothing"]]}',
    b'{"origin": "a", "changes": [["resource"]]}',
    b'{"origin": "a", "changes": [["resource", "x", "notifications/other", ""]]}',
    b'{"origin": "a", "changes": [["tools", "x"]]}',
    b'{"origin": "a", "changes": [["oven", "7", "com.example/other", "{}"]]}',
    b'{"origin": "a", "changes": [["oven", "7", "com.example/oven", "not JSON"]]}',
    b'{"origin": "a", "changes": [["oven", "7", "com.example/oven", "[1]"]]}',
    b'{"origin": "a", "changes": [["oven", "7", "com.example/oven", "{\\"oven\\": \\"8\\"}"]]}',
    b'{"origin": "a", "changes": [["oven", "7", "com.example/oven", "' + b"[" * 5000 + b'"]]}',
    b'{"origin": "a", "changes": [["resource", "' + b"x" * (MAX_URI + 1) + b'"]]}',
    b'{"origin": "a", "changes": [["resource", "\\ud800"]]}',
    b'{"origin": "a", "changes": ' + b"[" * 50_000,
]


@pytest.mark.hostile
async def test_what_is_no_change_is_ignored_and_the_log_says_so_once_a_minute(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(store.bus)
    async with place.life():
        for each in GARBAGE:
            await store.bus.publish(CHANNEL, each)
        await store.bus.publish(CHANNEL, b'{"origin":"a","more":1,"changes":[["resource","note://1"]]}')
        assert await place.hear(1) == ["note://1"]
        assert place.doubts == 0
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["something on the channel 'changes/mill' of the bus is no change, and ignored"]


async def test_a_loss_on_the_way_puts_every_listener_in_doubt(store: SQLiteStore) -> None:
    place = Place(store.bus)
    async with place.life():
        await store.bus.publish(CHANNEL, b'{"origin":"a","lost":true}')
        await until(lambda: place.doubts == 1)


async def test_who_could_not_listen_at_first_hears_later_and_was_in_doubt(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_relay, "START", 0.01)
    way = WayOfBus(store.bus)
    way.cut = True
    place, other = Place(way), Place(store.bus)
    async with place.life(), other.life():
        way.cut = False
        await until(lambda: place.doubts == 1)
        other.hub.publish(updated(3))
        assert await place.hear(1) == ["note://3"]


async def test_lists_of_who_does_not_serve_concern_nobody_else(store: SQLiteStore) -> None:
    way = WayOfBus(store.bus)
    place = Place(way)
    place.hub.publish(Change("tools"))
    async with place.relay.hearing():
        place.hub.publish(Change("prompts"))
        async with place.relay.serving():
            place.hub.publish(Change("resources"))
            await until(lambda: way.said)
        place.hub.publish(Change("tools"))
    assert way.changes() == [["resources"]]


async def test_what_was_said_at_the_end_is_sent_before_it(store: SQLiteStore) -> None:
    way = WayOfBus(store.bus)
    place = Place(way)
    async with place.life():
        place.hub.publish(updated(1))
    assert way.changes() == [["note://1"]]


def test_loops_come_and_go_and_every_change_is_heard(tmp_path: Path) -> None:
    """A loop that serves, one that ends while it sends, no loop at all, and a second one that serves."""
    store = SQLiteStore(tmp_path / "store.db")
    place, other = Place(store.bus), Place(store.bus)

    async def first() -> None:
        async with place.life():
            place.hub.publish(updated(0))
        context = place.life()
        await context.__aenter__()  # and nobody leaves it
        place.hub.publish(updated(1))

    async def second() -> None:
        async with place.life():
            place.hub.publish(updated(3))

    async def hear() -> list[str]:
        async with other.life():
            ready.set()
            return await other.hear(4)

    found: list[list[str]] = []
    ready = threading.Event()
    hearing = threading.Thread(target=lambda: found.append(asyncio.run(hear())))
    hearing.start()
    assert ready.wait(20)
    asyncio.run(first())
    place.hub.publish(updated(2))
    asyncio.run(second())
    hearing.join(20)
    assert sorted(found[0]) == [f"note://{number}" for number in range(4)]
    asyncio.run(store.aclose())


async def test_a_loop_that_stands_still_does_not_hold_up_what_others_publish(store: SQLiteStore) -> None:
    other = Place(store.bus)
    place = Place(store.bus)
    loop = asyncio.new_event_loop()
    context = place.relay.hearing()
    await asyncio.to_thread(loop.run_until_complete, context.__aenter__())  # from here on nobody runs it
    try:
        async with other.life():
            place.hub.publish(updated(5))
            assert await other.hear(1) == ["note://5"]
    finally:
        await asyncio.to_thread(loop.run_until_complete, context.__aexit__(None, None, None))
        loop.close()


async def test_what_a_loop_was_about_to_say_when_it_stopped_another_one_says(store: SQLiteStore) -> None:
    other = Place(store.bus)
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[Place, WayOfBus, AbstractAsyncContextManager[None]]:
        way = WayOfBus(store.bus)
        place = Place(way)
        context = place.relay.hearing()
        await context.__aenter__()
        way.open.clear()
        place.hub.publish(updated(1))
        while not way.tried:  # noqa: ASYNC110 - it is another task of this loop that tries
            await asyncio.sleep(0)
        return place, way, context

    place, way, context = await asyncio.to_thread(
        loop.run_until_complete, begin()
    )  # from here on nobody runs it
    way.open = asyncio.Event()
    way.open.set()
    try:
        async with other.life():
            place.hub.publish(updated(2))
            assert await other.hear(2) == ["note://1", "note://2"]
    finally:
        await asyncio.to_thread(loop.run_until_complete, context.__aexit__(None, None, None))
        loop.close()


async def test_a_closed_store_ends_the_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    place = Place(store.bus)
    async with place.life():
        await store.aclose()
        place.hub.publish(updated(1))
        await until(lambda: any("the store is closed" in record.message for record in caplog.records))
    late = Place(store.bus)
    async with late.life():
        late.hub.publish(updated(1))
        assert await late.hear(1) == ["note://1"]


async def test_a_forked_child_has_a_relay_of_its_own(store: SQLiteStore) -> None:
    place = Place(store.bus)
    async with place.life():
        before = place.relay.origin
        child = await asyncio.to_thread(_publish_in_child, place)
        assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)
        assert await place.hear(1) == ["note://77"]  # so it was not taken for one of its own
        assert place.relay.origin == before


def _publish_in_child(place: Place) -> int:
    script = os.fork()
    if script == 0:
        status = 1
        with suppress(BaseException):
            place.hub._subscriptions.clear()
            place.hub.publish(updated(77))
            sent = place.relay._sent  # a child of a test ends without its threads
            if sent is not None:
                sent.result(20)
            status = 0
        os._exit(status)
    return script


async def test_apps_of_other_names_hear_nothing_of_each_other(store: SQLiteStore) -> None:
    mill, twin, shop = (App(name, store=store) for name in ("mill", "mill", "shop"))
    for app in (mill, twin, shop):
        app.resource("note://{id}")(note)
    async with (
        Client(twin) as near,
        Client(shop) as far,
        near.listen(resources=["note://1"]) as heard,
        far.listen(resources=["note://1", "note://2"]) as foreign,
    ):
        mill.resource_updated("note://1")
        async with asyncio.timeout(10):
            assert (await anext(heard)).uri == "note://1"
        shop.resource_updated("note://2")
        async with asyncio.timeout(10):
            assert (await anext(foreign)).uri == "note://2"


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_after_a_loss_clients_hear_of_all_that_they_listen_to(
    store: SQLiteStore, revision: str
) -> None:
    app = App("mill", store=store)
    app.resource("note://{id}")(note)
    app.add_tool(note, name="mill")
    async with (
        Client(app, revision=revision) as client,
        client.listen(tools=True, resources=["note://1", "note://2"]) as heard,
    ):
        await store.bus.publish(CHANNEL, b'{"origin":"a","lost":true}')
        async with asyncio.timeout(10):
            found = [await anext(heard) for _ in range(3)]
        assert [each.uri or each.kind for each in found][:1] == ["tools"]
        assert sorted(each.uri or each.kind for each in found) == ["note://1", "note://2", "tools"]
        app.resource_updated("note://1")
        async with asyncio.timeout(10):
            assert (await anext(heard)).uri == "note://1"  # and nothing was told twice


async def note(id: str) -> str:
    return id


def test_a_channel_is_named_after_the_app() -> None:
    assert channel_of("mill") == "changes/mill"
    named = {channel_of(name) for name in ("", "mühle", "a\0b", "\ud800", "x" * 500, "x" * 501, "a\nb")}
    assert len(named) == 7
    assert all(len(each) <= 200 and each.isascii() and each.isprintable() for each in named)


async def test_a_store_of_this_process_alone_has_no_relay(store: SQLiteStore) -> None:
    assert App("x", store=MixedStore(store, bus=MemoryStore()))._hub.relay is None
    assert App("x", store=MixedStore(MemoryStore(), bus=store))._hub.relay is not None


@pytest.mark.parametrize("store", ["None", "MemoryStore()"])
def test_nothing_of_it_is_loaded_where_no_store_is_shared(store: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from dovetail import App, Client\n"
        "from dovetail.stores import MemoryStore\n"
        f"app = App('x', store={store})\n"
        "async def main():\n"
        "    async with Client(app):\n"
        "        app.resource_updated('note://1')\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if 'change_relay' in name or 'stored_keys' in name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
