"""What becomes of the store in Redis when the server is killed, paused, full, slow, or not what it should be."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from redis_server import RedisServer, running_server, slow_way

from dovetail.stores import Event, RedisStore, StoreClosed, StoreFull, StoreUnavailable
from dovetail.testing.bus_contract import Hearing, check_order
from dovetail.testing.store_contract import VirtualClock, a_session


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with aclosing(RedisStore(server.url, timeout=0.5)) as store:
        yield store


async def until_available(store: RedisStore) -> None:
    """Wait until the store answers again."""
    async with asyncio.timeout(30):
        while True:
            with suppress(StoreUnavailable):
                await store.kv.get("anything")
                return
            await asyncio.sleep(0.01)


async def hear_again(store: RedisStore, hearing: Hearing, word: bytes) -> None:
    """Publish the word until it is heard: until the connection of the bus is there again, nobody hears."""
    async with asyncio.timeout(30):
        while word not in hearing.said:
            with suppress(StoreUnavailable):
                await store.bus.publish("news", word)
            await asyncio.sleep(0.01)


async def test_nobody_is_there(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with aclosing(RedisStore(server.url)) as store:
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port} cannot serve") as caught:
            await store.kv.set("a", b"1")
        assert not caught.value.uncertain
        outcomes = await asyncio.gather(
            *(store.kv.set(f"{number}", b"") for number in range(1000)), return_exceptions=True
        )
        assert {type(outcome).__mro__[1] for outcome in outcomes} <= {
            StoreUnavailable,
            *StoreUnavailable.__mro__,
        }
        with pytest.raises(StoreUnavailable):
            await store.bus.publish("news", b"")
        with pytest.raises(StoreUnavailable):
            await store.bus.listen("news", Hearing())


async def test_a_killed_server_takes_nothing_with_it_that_was_confirmed(
    server: RedisServer, store: RedisStore
) -> None:
    """Traffic goes on all the while; after each restart what was confirmed is there, and nothing else."""
    confirmed, uncertain, over = dict[str, int](), dict[str, int](), asyncio.Event()
    progress = asyncio.Condition()

    async def append_on(name: str) -> None:
        number = 0
        while not over.is_set():
            try:
                sequence = await store.events.append(name, b"%d" % number)
            except StoreUnavailable as error:
                if error.uncertain:
                    uncertain[name] = uncertain.get(name, 0) + 1
                await asyncio.sleep(0.005)
                continue
            finally:
                number += 1
            assert sequence > confirmed.get(name, 0)
            assert sequence <= confirmed.get(name, 0) + 1 + uncertain.get(name, 0)
            confirmed[name], uncertain[name] = sequence, 0
            async with progress:
                progress.notify_all()

    async def more() -> None:
        goal = sum(confirmed.values()) + 200
        async with progress, asyncio.timeout(30):
            await progress.wait_for(lambda: sum(confirmed.values()) >= goal)

    names = [f"t{number}" for number in range(8)]
    traffic = [asyncio.ensure_future(append_on(name)) for name in names]
    for _ in range(3):
        await more()
        server.kill()
        await asyncio.to_thread(server.start)
        await more()
    over.set()
    await asyncio.gather(*traffic)
    for name in names:
        last = await store.events.last(name)
        assert confirmed[name] <= last <= confirmed[name] + uncertain[name]
        events = await store.events.read(name, max(0, last - 1000), limit=1000)
        numbers = [int(event.data) for event in events]
        assert numbers == sorted(set(numbers)), "none twice, none out of its order"


async def test_a_restart_while_nobody_asks_is_not_noticed(server: RedisServer, store: RedisStore) -> None:
    """A connection that was closed meanwhile is not used: its call would be uncertain."""
    for _ in range(3):
        await store.kv.set("a", b"1")
        server.kill()
        await asyncio.to_thread(server.start)
        assert await store.kv.take("a") == b"1"


async def test_no_value_is_taken_twice_while_the_server_comes_and_goes(
    server: RedisServer, store: RedisStore
) -> None:
    """No call is sent a second time: what is neither taken nor left went with an answer that did not come."""
    won, taken = list[str](), asyncio.Condition()

    async def take_all(store: RedisStore) -> int:
        uncertain = 0
        for number in range(3_000):
            try:
                value = await store.kv.take(f"{number}")
            except StoreUnavailable as error:
                uncertain += error.uncertain
                await until_available(store)
            else:
                won.extend([value.decode()] if value is not None else [])
            async with taken:
                taken.notify_all()
        return uncertain

    for first in range(0, 3_000, 100):  # few at once: no one of them has to wait long on a busy machine
        await asyncio.gather(
            *(store.kv.set(f"{first + each}", b"%d" % (first + each)) for each in range(100))
        )
    async with aclosing(RedisStore(server.url, timeout=0.5)) as other:
        taking = [asyncio.ensure_future(take_all(each)) for each in (store, other)]
        for turn in range(1, 4):
            async with taken, asyncio.timeout(30):
                await taken.wait_for(lambda turn=turn: len(won) >= 500 * turn)
            server.kill()
            await asyncio.to_thread(server.start)
        uncertain = sum(await asyncio.gather(*taking))
    left = {key async for key in store.kv.scan()}
    assert len(won) == len(set(won))
    assert not set(won) & left
    assert 3_000 - len(won) - len(left) <= uncertain


async def test_a_paused_server_is_unavailable_and_heals(server: RedisServer, store: RedisStore) -> None:
    await store.events.append("s", b"1")
    server.pause()
    outcomes = await asyncio.gather(
        store.events.append("s", b"2"), *(store.kv.get("a") for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    uncertain = outcomes[0]
    assert isinstance(uncertain, StoreUnavailable)
    assert uncertain.uncertain
    with pytest.raises(StoreUnavailable, match="does not answer within") as caught:
        await store.events.append("s", b"3")
    assert not caught.value.uncertain, "there was no connection any more: it was not sent"
    server.resume()
    await until_available(store)
    assert [event.data for event in await store.events.read("s", 0)] in ([b"1"], [b"1", b"2"])


async def test_listeners_are_told_of_the_time_without_a_server(
    server: RedisServer, store: RedisStore
) -> None:
    hearing, other = Hearing(), Hearing()
    await store.bus.listen("news", hearing)
    await store.bus.listen("other", other)
    await store.bus.publish("news", b"0")
    await hearing.count(1)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await store.bus.publish("news", b"1")
    await asyncio.to_thread(server.start)
    await hear_again(store, hearing, b"2")
    assert hearing.said[:3] == [b"0", None, b"2"]
    assert await other.count(1) == [None], "each channel is told"
    late = Hearing()
    await store.bus.listen("late", late)
    await store.bus.publish("late", b"x")
    assert await late.count(1) == [b"x"], "who came later has missed nothing"


async def test_listeners_find_out_that_the_server_is_paused(server: RedisServer, store: RedisStore) -> None:
    """Nothing closes the connection: only the missing sign of life tells."""
    hearing = Hearing()
    await store.bus.listen("news", hearing)
    server.pause()
    with pytest.raises(StoreUnavailable):
        await store.bus.listen("more", Hearing())
    await asyncio.sleep(1.2)  # two signs of life are due by then
    server.resume()
    await hear_again(store, hearing, b"after")
    assert None in hearing.said
    assert hearing.said.index(None) < hearing.said.index(b"after")


async def test_no_gap_is_passed_over_while_connections_are_killed(
    server: RedisServer, store: RedisStore
) -> None:
    hearing = Hearing()
    await store.bus.listen("news", hearing)
    for number in range(400):
        await store.bus.publish("news", b"%d" % number)
        if number % 100 == 50:
            assert server.command("CLIENT", "KILL", "TYPE", "pubsub") == b":1\r\n"
        if number % 100 == 99:
            await hear_again(store, hearing, b"the last word")
            hearing.said.remove(b"the last word")
    assert check_order([data for data in hearing.said if data != b"the last word"]) >= 200
    assert hearing.said.count(None) >= 4


async def test_a_full_server_says_so_and_recovers(tmp_path: Path) -> None:
    clock = VirtualClock()
    server = RedisServer(tmp_path / "redis", "maxmemory 16mb", "maxmemory-policy noeviction").start()
    try:
        async with aclosing(RedisStore(server.url, clock=clock)) as store:
            await store.kv.set("first", b"kept")
            await store.sessions.create(a_session())
            await store.events.append("before", b"1")
            outcomes = await asyncio.gather(
                *(store.kv.set(f"{number}", b"x" * 100_000, ttl=60) for number in range(200)),
                return_exceptions=True,
            )
            kept = outcomes.count(None)
            assert 50 <= kept < 190
            full = next(outcome for outcome in outcomes if outcome is not None)
            assert isinstance(full, StoreFull)
            assert (full.what, full.limit) == ("bytes in Redis", 16 * 1024 * 1024)
            server.command("CONFIG", "SET", "maxmemory", "4mb")  # so that nothing small fits either
            with pytest.raises(StoreFull):
                await store.events.append("s", b"x" * 1000)
            with pytest.raises(StoreFull):
                await store.sessions.create(a_session("other"))
            with pytest.raises(StoreFull):
                await store.sessions.save(a_session(version=2, data=b"x"), expected_version=1)
            assert await store.kv.get("first") == b"kept"
            assert len([key async for key in store.kv.scan()]) == kept + 1, "what was refused left nothing"
            found = await store.sessions.load("s")
            assert found is not None
            assert (found.version, await store.sessions.count()) == (1, 1)
            assert await store.kv.delete("first"), "there is always a way to make room"
            clock.advance(60)
            assert await store.events.append("s", b"x" * 1000) == 1, "what has expired makes room by itself"
    finally:
        server.kill()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
async def test_a_server_that_throws_keys_away_is_refused(tmp_path: Path, policy: str) -> None:
    server = RedisServer(tmp_path / "redis", "maxmemory 100mb", f"maxmemory-policy {policy}").start()
    try:
        async with aclosing(RedisStore(server.url)) as store:
            with pytest.raises(StoreUnavailable, match=f"{policy}.*noeviction"):
                await store.kv.set("a", b"1")
            assert server.command("DBSIZE") == b":0\r\n"
            server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
            await store.kv.set("a", b"1", ttl=60)
            assert server.command("TTL", "{dovetail:kv}:values") == b":-1\r\n", "nothing of ours is volatile"
    finally:
        server.kill()


async def test_a_server_that_forgets_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path / "redis", "appendonly no").start()
    try:
        async with aclosing(RedisStore(server.url)) as store:
            await asyncio.gather(*(store.kv.set(f"{number}", b"") for number in range(10)))
            assert len([each for each in caplog.messages if "append-only" in each]) == 1
    finally:
        server.kill()


async def test_a_newer_layout_is_refused(server: RedisServer, store: RedisStore) -> None:
    """By every part on its own, from the moment that it is there."""
    await store.kv.set("a", b"1")
    await store.events.append("s", b"1")
    server.command("SET", "{dovetail:kv}:layout", "2")
    for call in (store.kv.get("a"), store.kv.set("a", b"2"), store.kv.take("a")):
        with pytest.raises(StoreUnavailable, match=r"newer Dovetail.*Upgrade"):
            await call
    assert await store.events.read("s", 0) == [Event(1, b"1")]
    server.command("SET", "{dovetail:kv}:layout", "1")
    assert await store.kv.get("a") == b"1"


async def test_a_server_without_our_scripts_gets_them(server: RedisServer, store: RedisStore) -> None:
    for number in range(3):
        assert server.command("SCRIPT", "FLUSH") == b"+OK\r\n"
        numbers = await asyncio.gather(*(store.events.append("s", b"") for _ in range(50)))
        assert sorted(numbers) == list(range(50 * number + 1, 50 * number + 51))


async def test_connections_are_bounded(server: RedisServer) -> None:
    async with aclosing(RedisStore(server.url, connections=3)) as store:
        await store.bus.listen("news", Hearing())
        await asyncio.gather(*(store.kv.set(f"{number}", b"x" * 1000) for number in range(2_000)))
        clients = re.search(rb"connected_clients:(\d+)", server.command("INFO", "clients"))
        assert clients is not None
        assert int(clients[1]) <= 3 + 1 + 1, "those, the one that listens, and the one that asks"


async def test_a_slow_network_delays_and_loses_nothing(server: RedisServer) -> None:
    async with (
        slow_way(server.port, 0.05) as port,
        aclosing(RedisStore(f"redis://127.0.0.1:{port}/0")) as store,
    ):
        began = asyncio.get_running_loop().time()
        numbers = await asyncio.gather(*(store.events.append("s", b"x") for _ in range(500)))
        assert sorted(numbers) == list(range(1, 501))
        taken = asyncio.get_running_loop().time() - began
        assert taken < 500 * 0.1 / 4, "calls of one moment share round trips"


async def test_what_waits_at_the_close_ends(server: RedisServer) -> None:
    store = RedisStore(server.url, connections=1, timeout=1)
    await store.kv.set("a", b"1")
    server.pause()
    sent = asyncio.ensure_future(store.kv.set("sent", b""))
    await asyncio.sleep(0.05)
    waiting = [asyncio.ensure_future(store.kv.set(f"{number}", b"")) for number in range(100)]
    await asyncio.sleep(0)
    await store.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosed}
    with pytest.raises(StoreUnavailable) as caught:
        await sent
    assert caught.value.uncertain
    server.resume()
    assert server.command("HKEYS", "{dovetail:kv}:values").count(b"$") <= 2, "what was not sent is not there"


async def test_no_key_and_no_value_is_told(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    secret = "not-to-be-told"
    told = list[str]()

    async def note(doing: Awaitable[object]) -> None:
        try:
            await doing
        except StoreUnavailable as error:
            chain: BaseException | None = error
            while chain is not None:
                told.append(f"{chain!r} {chain}")
                chain = chain.__cause__ or chain.__context__

    with caplog.at_level(logging.DEBUG):
        async with aclosing(RedisStore(server.url, timeout=0.2)) as store:
            server.command("SET", "{dovetail:kv}:values", "of another type")
            server.command("SET", "{dovetail:sessions}:records", "of another type")
            await note(store.kv.get(secret))
            await note(store.kv.set(secret, secret.encode()))
            await note(store.sessions.create(a_session(secret, data=secret.encode())))
            server.pause()
            await note(store.events.append(secret, secret.encode()))
            await note(store.bus.publish(secret, secret.encode()))
            await note(store.bus.listen(secret, Hearing()))
            server.resume()
    assert len(told) >= 5
    assert not any(secret in text for text in [*told, *caplog.messages])


async def test_a_process_that_stood_still_takes_the_answers_that_came_meanwhile(
    server: RedisServer, store: RedisStore
) -> None:
    """Its deadlines have passed when it goes on, and the answers are there: they count."""
    assert await store.events.append("s", b"1") == 1
    server.pause()
    asking = asyncio.create_task(store.events.append("s", b"2"))
    await asyncio.sleep(0.05)  # it was sent
    server.resume()
    time.sleep(1.0)  # noqa: ASYNC251 - twice the time that an answer may take
    assert await asking == 2
