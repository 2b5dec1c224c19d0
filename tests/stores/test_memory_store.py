"""The store in memory keeps the contract, and what is particular to it: its bounds on all bytes, and its
structures.
"""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.stores import (
    EventBounds,
    EventsTrimmed,
    KeyValueBounds,
    MemoryStore,
    SessionBounds,
    StoreBounds,
    StoreFull,
    StreamEnded,
    StreamUnknown,
    sweeping,
)
from dovetail.stores.memory_events import STREAM_COST
from dovetail.stores.ordering import Deadlines, OrderedKeys, prefix_end
from dovetail.testing.store_contract import CONTRACT_BOUNDS, StoreContract, VirtualClock, a_session


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, clock: VirtualClock) -> AsyncIterator[MemoryStore]:
        async with aclosing(MemoryStore(bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store


async def test_values_have_a_bound_together() -> None:
    clock = VirtualClock()
    kv = MemoryStore(bounds=StoreBounds(kv=KeyValueBounds(max_bytes=10_000)), clock=clock).kv
    await kv.set("a", b"x" * 9_000, ttl=5)
    await kv.set("a", b"y" * 9_500, ttl=5)
    with pytest.raises(StoreFull):
        await kv.set("b", b"x" * 1_000)
    with pytest.raises(StoreFull):
        await kv.compare_and_set("a", b"y" * 9_500, b"x" * 10_000)
    assert await kv.get("a") == b"y" * 9_500
    clock.advance(5)
    await kv.set("b", b"x" * 9_000)
    assert await kv.delete("b")
    for number in range(30):
        await kv.set(f"{number}", b"")
    with pytest.raises(StoreFull):
        await asyncio.gather(*(kv.set(f"n{number}", b"") for number in range(20)))


async def test_events_and_sessions_have_a_bound_together() -> None:
    clock = VirtualClock()
    bounds = StoreBounds(events=EventBounds(max_total_bytes=10_000), sessions=SessionBounds(max_bytes=10_000))
    store = MemoryStore(bounds=bounds, clock=clock)
    await store.events.append("a", b"x" * 8_000)
    with pytest.raises(StoreFull):
        await store.events.append("b", b"x" * 1_000)
    clock.advance(900)
    await store.events.append("b", b"x" * 5_000)
    assert await store.events.drop_prefix("b") == 1
    await store.events.append("c", b"x" * 5_000)

    await store.sessions.create(a_session("a", data=b"x" * 9_000))
    with pytest.raises(StoreFull):
        await store.sessions.create(a_session("b", data=b"x" * 1_000))
    with pytest.raises(StoreFull):
        await store.sessions.save(a_session("a", version=2, data=b"x" * 10_000), expected_version=1)
    clock.advance(3600)
    await store.sessions.create(a_session("b", data=b"x" * 9_000))


async def test_what_expired_does_not_pile_up() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    for number in range(5_000):
        await store.kv.set(f"{number}", b"", ttl=10)
        await store.kv.expire(f"{number}", 20)
        await store.events.append(f"{number}", b"")
        await store.events.close(f"{number}")
        clock.advance(1)
    assert len(store.kv._entries) < 100
    assert len(store.kv._deadlines._heap) < 200
    assert len(store.events._streams) < 1_000


async def test_rewriting_one_key_leaves_no_trail() -> None:
    kv = MemoryStore().kv
    for number in range(5_000):
        await kv.set("a", b"", ttl=10_000 - number)
        await kv.set("b", b"", ttl=10_000)
        await kv.delete("b")
    assert len(kv._deadlines._heap) < 200


def test_memory_needs_no_sqlite() -> None:
    code = "import sys, dovetail.stores as s; s.MemoryStore(); sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    st.lists(st.text(alphabet="ab\ud7ff\ue000\U0010ffff", max_size=4)),
    st.text(alphabet="ab\ud7ff\U0010ffff", max_size=2),
)
def test_prefix_end_bounds_the_prefix(texts: list[str], prefix: str) -> None:
    end = prefix_end(prefix)
    for text in texts:
        assert text.startswith(prefix) == (prefix <= text and (end is None or text < end))


@settings(deadline=None)
@given(st.data())
def test_ordered_keys_stay_in_order(data: st.DataObject) -> None:
    keys, model = OrderedKeys(), set[str]()
    for number in range(3_000):  # enough for several runs
        keys.add(f"{number * 7919 % 3_000:04}")
        model.add(f"{number * 7919 % 3_000:04}")
    for number in data.draw(st.sets(st.integers(0, 2_999), max_size=50)) | set(range(1_000, 2_200)):
        keys.remove(f"{number:04}")
        model.remove(f"{number:04}")
    assert list(keys.after("", "")) == sorted(model)
    start, prefix = (
        data.draw(st.sampled_from(["", "0500", "1", "22", "2999", "x"])),
        data.draw(st.sampled_from(["", "0", "22", "3"])),
    )
    assert list(keys.after(start, prefix)) == sorted(
        key for key in model if key > start and key.startswith(prefix)
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20) | st.none())))
def test_deadlines_give_each_key_once_and_never_late(moves: list[tuple[str, int | None]]) -> None:
    deadlines, model = Deadlines(), dict[str, float]()
    for key, at in moves:
        if at is None:
            deadlines.forget(key)
            model.pop(key, None)
        else:
            deadlines.note(key, at)
            model[key] = min(at, model.get(key, at))
    assert sorted(deadlines.due(10, None)) == sorted(key for key, at in model.items() if at <= 10)
    assert list(deadlines.due(10, None)) == []


async def test_ended_streams_make_room_for_new_ones():
    store = MemoryStore(bounds=StoreBounds(events=EventBounds(max_total_bytes=20_000)))
    await store.events.append("s/open", b"1")
    for number in range(100):
        await store.events.keep(f"s/{number}", [b"", b"x" * 100])
    assert [event.data for event in await store.events.read("s/99", 1)] == [b"x" * 100]
    assert await store.events.last("s/open") == 1
    with pytest.raises(StreamUnknown):
        await store.events.last("s/0")
    with pytest.raises(StoreFull):
        await store.events.append("s/open", b"x" * 30_000)


async def test_who_takes_most_makes_room_first():
    """One session's large answers push out its own, not those of others; between equals the level falls alike."""
    events = MemoryStore(bounds=StoreBounds(events=EventBounds(max_total_bytes=1_000_000))).events
    await events.keep("http/quiet/r", [b"x" * 1_000])
    for number in range(300):
        await events.keep(f"http/greedy/{number}", [b"x" * 10_000])
        if number % 10 == 0:
            await events.keep(f"http/modest/{number}", [b"x" * 10_000])
    kept = Counter(name.rsplit("/", 1)[0] for name in events._streams)
    assert kept["http/quiet"] == 1
    assert kept["http/modest"] == 30, "it has less than the other"
    assert kept["http/greedy"] > 30
    assert events._bytes <= 1_000_000
    for number in range(300):
        for who in ("greedy", "modest"):
            await events.keep(f"http/{who}/again-{number}", [b"x" * 10_000])
    kept = Counter(name.rsplit("/", 1)[0] for name in events._streams)
    assert abs(kept["http/modest"] - kept["http/greedy"]) < 5, "both are at one level"
    assert kept["http/quiet"] == 1
    assert await events.last("http/greedy/again-299") == 1, "the oldest of a session go first"
    for session in range(3_000):  # nobody has more than a share: then the oldest of all
        await events.keep(f"http/{session}/r", [b"x" * 1_000])
    assert "http/quiet/r" not in events._streams
    assert "http/2999/r" in events._streams
    assert events._bytes == sum(stream.charge() for stream in events._streams.values())
    assert events._bytes == sum(group.bytes for group in events._names._groups.values())


async def test_streams_that_are_open_are_not_forgotten_for_their_size():
    events = MemoryStore(bounds=StoreBounds(events=EventBounds(max_total_bytes=1_000_000))).events
    await events.append("http/greedy/open", b"x" * 500_000)
    await events.keep("http/quiet/r", [b"x" * 1_000])
    for number in range(100):
        await events.keep(f"http/greedy/{number}", [b"x" * 10_000])
    assert await events.last("http/greedy/open") == 1
    assert await events.last("http/quiet/r") == 1
    await events.drop_prefix("http/")
    assert (events._bytes, events._large) == (0, {})


async def test_streams_are_dropped_by_any_prefix():
    store = MemoryStore()
    for name in ("a", "ab", "a/b", "a/bc", "a/b/c", "b/a"):
        await store.events.append(name, b"1")
    assert await store.events.drop_prefix("a/b") == 3
    assert await store.events.drop_prefix("a/b/c") == 0
    assert await store.events.drop_prefix("a") == 2
    assert await store.events.last("b/a") == 1


async def test_whole_streams_that_are_dropped_or_expire_leave_nothing():
    clock = VirtualClock()
    events = MemoryStore(bounds=StoreBounds(events=EventBounds(ttl=10)), clock=clock).events
    for number in range(1000):  # as sessions that have one call and end
        await events.keep(f"s{number}/r", [b"", b"x"])
        await events.drop_prefix(f"s{number}/")
    assert (events._bytes, len(events._streams)) == (0, 0)
    assert len(events._ended) < 200
    for number in range(1000):
        await events.keep(f"s/{number}", [b"", b"x"])
    clock.advance(10)
    for number in range(1000, 1200):
        await events.keep(f"s/{number}", [b"", b"x"])
    assert set(events._streams) == {f"s/{number}" for number in range(1000, 1200)}
    assert len(events._ended) == 200


@given(
    st.lists(
        st.tuples(st.sampled_from("akckxdpt"), st.sampled_from(["a/1", "a/2", "b/1"]), st.integers(1, 6)),
        max_size=40,
    )
)
def test_the_bytes_of_the_event_log_add_up(moves: list[tuple[str, str, int]]) -> None:
    """Whatever happens to streams, what the log is charged for is what it holds."""

    async def play() -> None:
        clock = VirtualClock()
        bounds = EventBounds(
            max_events=4, max_bytes=40, ttl=5, position_ttl=12, max_total_bytes=3 * STREAM_COST + 2000
        )
        events = MemoryStore(bounds=StoreBounds(events=bounds), clock=clock).events
        for move, name, amount in moves:
            with suppress(EventsTrimmed, StreamEnded, StreamUnknown, StoreFull):
                if move == "a":
                    await events.append(name, b"x" * amount)
                elif move == "k":
                    await events.keep(name, [b"", *[b"x" * 9] * amount])
                elif move == "c":
                    await events.close(name)
                elif move == "x":
                    await events.read(name, 0)
                elif move == "d":
                    await events.drop(name)
                elif move == "p":
                    await events.drop_prefix(name[:2])
                else:
                    clock.advance(amount)
            held = events._streams.values()
            assert events._bytes == sum(each.charge() for each in held)
            line = [each.name for each in events._ended if not each.gone]
            assert sorted(line) == sorted(each.name for each in held if each.closed)
            assert sum(each.gone for each in events._ended) == events._gone
            assert sorted(events._names.within("")) == sorted(events._streams)

    asyncio.run(play())


@given(
    st.lists(
        st.tuples(
            st.sampled_from("saxtec"),
            st.sampled_from(["a/1", "a/u/1", "a/u/2", "b/1", "1"]),
            st.integers(0, 400),
        ),
        max_size=60,
    )
)
def test_the_bytes_of_shares_add_up(moves: list[tuple[str, str, int]]) -> None:
    """Whatever happens to entries, through whichever view, each share is charged for what it holds."""

    async def play() -> None:
        clock = VirtualClock()
        kv = MemoryStore(bounds=StoreBounds(kv=KeyValueBounds(max_bytes=4_000)), clock=clock).kv
        a = kv.within("a/", share=0.5)
        views = {"a/u/": a.within("u/", share=0.5), "a/": a, "b/": kv.within("b/", share=0.25), "": kv}
        for move, key, amount in moves:
            with suppress(StoreFull):
                prefix = next(prefix for prefix in views if key.startswith(prefix))
                name = key[len(prefix) :]
                if move == "s":
                    await views[prefix].set(name, b"x" * amount, ttl=amount + 1)
                elif move == "a":
                    await views[prefix].add(name, b"x" * amount)
                elif move == "x":
                    await kv.set(key, b"x" * amount)
                elif move == "t":
                    await kv.take(key)
                elif move == "e":
                    await kv.expire(key, amount + 1)
                else:
                    clock.advance(amount)
            held: dict[str, int] = {}
            for key_, (value, _, shares) in kv._entries.items():
                for share in shares:
                    held[share.prefix] = held.get(share.prefix, 0) + len(key_) + len(value) + 256
                    assert held[share.prefix] <= share.limit
            assert dict(kv._used) == held

    asyncio.run(play())


async def _filled(store: MemoryStore, count: int) -> None:
    for number in range(count):
        await store.kv.set(f"key/{number}", b"x" * 100, ttl=10)
        await store.sessions.create(a_session(f"session{number}"))
        await store.events.append(f"open/{number}", b"x")
        await store.events.append(f"closed/{number}", b"x")
        await store.events.close(f"closed/{number}")
        await store.events.keep(f"kept/{number}", [b"x"])


def _held(store: MemoryStore) -> tuple[int, ...]:
    return len(store.kv._entries), len(store.sessions._records), len(store.events._streams)


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 - a table tells nobody that it is empty
            await asyncio.sleep(0.002)


async def test_what_has_expired_leaves_though_nobody_writes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "INTERVAL", 0.01)
    monkeypatch.setattr(sweeping, "MOST", 7)
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    await _filled(store, 40)
    await store.kv.set("stays", b"x")
    assert _held(store) == (41, 40, 120)
    clock.advance(100_000)
    await _until(lambda: _held(store) == (1, 0, 0))
    assert store.events._bytes == store.sessions._bytes == 0
    assert await store.kv.get("stays") == b"x"
    # And once more, after the timer came to its end.
    await _until(lambda: store.kv._sweeper.until == -math.inf)
    await _filled(store, 3)
    clock.advance(100_000)
    await _until(lambda: _held(store) == (1, 0, 0))


@pytest.mark.parametrize("write", ["kv", "sessions", "append", "keep"])
async def test_each_write_of_what_can_expire_starts_the_sweeping(
    write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "INTERVAL", 0.01)
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    await {
        "kv": lambda: store.kv.add("a", b"x", ttl=5),
        "sessions": lambda: store.sessions.create(a_session("a")),
        "append": lambda: store.events.append("a", b"x"),
        "keep": lambda: store.events.keep("a", [b"x"]),
    }[write]()
    assert sum(_held(store)) == 1
    clock.advance(100_000)
    await _until(lambda: not any(_held(store)))


async def test_sweeping_keeps_no_store() -> None:
    store = MemoryStore()
    await _filled(store, 1)
    parts = [weakref.ref(part) for part in (store.kv, store.sessions, store.events)]
    del store
    gc.collect()
    assert [part() for part in parts] == [None, None, None]


def test_sweeping_begins_again_on_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "INTERVAL", 0.01)
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    asyncio.run(_filled(store, 3))  # whose timer died with its loop
    clock.advance(100_000)

    async def later() -> None:
        await _filled(store, 1)
        clock.advance(100_000)
        await _until(lambda: _held(store) == (0, 0, 0))

    asyncio.run(later())
