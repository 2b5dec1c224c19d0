"""A PostgreSQL that is killed, paused, restarted, full, or hurt in the middle of traffic: nothing acknowledged is
lost, nothing is invented, errors say what is wrong, and all of it heals by itself.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from postgres_server import PostgresServer, migrated, needs_postgres, until

from dovetail.stores import BusBounds, PostgresStore, StoreBounds, StoreClosed, StoreFull, StoreUnavailable
from dovetail.testing.bus_contract import Hearing, check_order
from dovetail.testing.store_contract import CONTRACT_BOUNDS, a_session

pytestmark = needs_postgres
BOUNDS = StoreBounds(sessions=CONTRACT_BOUNDS.sessions, bus=BusBounds())
LARGE = b"x" * BOUNDS.bus.max_message
"""More than a notification holds."""
WORKER = Path(__file__).with_name("postgres_worker.py")


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that is hurt here, and keeps what it acknowledged."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(migrated(server, "dovetail"))
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(own: PostgresServer) -> PostgresServer:
    """The server, with nothing in its store."""
    own.sql(
        "TRUNCATE dovetail.kv, dovetail.kv_used, dovetail.session, dovetail.stream, dovetail.event, dovetail.message"
    )
    return own


@pytest.fixture
async def store(server: PostgresServer) -> AsyncIterator[PostgresStore]:
    async with aclosing(PostgresStore(server.url, bounds=BOUNDS, timeout=2.0)) as store:
        yield store


def start(url: str, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), "race", url, "dovetail", str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def healed(store: PostgresStore) -> None:
    """Wait until it serves again."""
    give_up = time.monotonic() + 30
    while True:
        try:
            await store.kv.set("healed", b"")
        except StoreUnavailable:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        else:
            return


async def test_processes_and_loops_have_one_winner_each(server: PostgresServer, store: PostgresStore) -> None:
    rounds = 60
    await asyncio.gather(*(store.kv.set(f"given{number}", b"") for number in range(rounds)))
    workers = [start(server.url, rounds) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert await asyncio.to_thread(worker.stdout.readline) == "ready\n"
    outputs = await asyncio.gather(*(asyncio.to_thread(worker.communicate, "go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    lines = [line.split() for output, _ in outputs for line in output.splitlines()]
    said = {word: sorted(int(number) for what, number in lines if what == word) for word in ("won", "took")}
    assert said == {"won": list(range(rounds)), "took": list(range(rounds))}
    appended = sorted(int(number) for what, number in lines if what == "appended")
    assert appended == list(range(1, 6 * rounds + 1)), "six loops, and each sequence was given once"
    assert await store.kv.get("n") == b"%d" % (6 * rounds)
    assert sum(what == "created" for what, _ in lines) == CONTRACT_BOUNDS.sessions.max_sessions
    assert server.sql("SELECT count(*) FROM dovetail.kv_used WHERE bytes <> 0") == "0"
    deadlocks = server.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'")
    assert deadlocks == "0"


class Traffic:
    """Many tasks that write, and what they were told. `check` compares it with what is there."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        self.appended: dict[str, list[int]] = {}
        self.stored: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.undone: dict[str, int] = {}
        self.uncertain = 0
        self.taken: list[str] = []
        self.refused = 0
        self.said: set[str] = set()
        self.slowest = 0.0
        self._tasks = [asyncio.ensure_future(self._write(f"t{number}")) for number in range(8)]

    async def _write(self, name: str) -> None:
        while True:
            began = time.monotonic()
            attempt = self.attempts[name] = self.attempts.get(name, 0) + 1
            appending = True
            try:
                sequence = await self.store.events.append(name, b"%d" % attempt)
                appending = False
                self.appended.setdefault(name, []).append(sequence)
                await self.store.kv.set(name, b"%d" % attempt)
                self.stored[name] = attempt
                await self.store.kv.add(f"{name}/{attempt}", b"")
                if await self.store.kv.take(f"{name}/{attempt}") is not None:
                    self.taken.append(f"{name}/{attempt}")
            except StoreUnavailable as error:
                self.refused += 1
                self.uncertain += error.uncertain
                if appending and not error.uncertain:
                    self.undone[name] = self.undone.get(name, 0) + 1
                self.said.add(str(error))
                await asyncio.sleep(0.01)
            self.slowest = max(self.slowest, time.monotonic() - began)

    def done(self) -> int:
        """How often something was acknowledged."""
        return sum(map(len, self.appended.values()))

    async def more(self, count: int) -> None:
        """Let so many more be acknowledged."""
        wanted = self.done() + count
        await until(lambda: self.done() >= wanted)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def check(self) -> None:
        """What was acknowledged is there, and there is nothing that nobody wrote."""
        await self.end()
        assert not any(name in said for said in self.said for name in self.appended), "errors quote no stream"
        for name, sequences in self.appended.items():
            assert sequences == sorted(set(sequences)), "no sequence was given twice"
            last = await self.store.events.last(name)
            assert sequences[-1] <= last <= self.attempts[name] - self.undone.get(name, 0), (
                "it said that it was not done"
            )
            value = int(await self.store.kv.get(name) or b"-1")
            assert self.stored[name] <= value <= self.attempts[name]
        assert len(self.taken) == len(set(self.taken))
        for key in self.taken:
            assert await self.store.kv.get(key) is None, "what was taken does not come back"


async def test_an_engine_that_is_killed_loses_nothing_acknowledged(
    server: PostgresServer, store: PostgresStore
) -> None:
    traffic = Traffic(store)
    for _ in range(2):
        await traffic.more(200)
        server.kill()
        refused = traffic.refused
        await until(lambda refused=refused: traffic.refused > refused + 16)
        assert traffic.undone, "what could not be sent was not done, and that is known"
        with pytest.raises(StoreUnavailable, match="reached") as caught:
            await store.sessions.touch("s")
        assert not caught.value.uncertain
        await asyncio.to_thread(server.start)
        await healed(store)
    await traffic.more(100)
    await traffic.check()


async def test_an_engine_that_stands_still_is_said_to(server: PostgresServer, store: PostgresStore) -> None:
    traffic = Traffic(store)
    await traffic.more(100)
    server.pause()
    try:
        refused = traffic.refused
        await until(lambda: traffic.refused >= refused + 8)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"in 2 s|overloaded") as caught:
            await store.kv.get("a")
        assert not caught.value.uncertain
        assert traffic.uncertain >= 8, "nobody knows what becomes of what was sent"
        assert time.monotonic() - began < 3 * 2.0 + 2
    finally:
        server.resume()
    await healed(store)
    await traffic.more(100)
    await traffic.check()


async def test_a_process_that_stood_still_takes_the_answers_that_came_meanwhile(
    server: PostgresServer, store: PostgresStore
) -> None:
    """Its deadlines have passed when it goes on, and the answers are there: they count."""
    assert await store.events.append("s", b"1") == 1
    server.pause()
    asking = asyncio.create_task(store.events.append("s", b"2"))
    await asyncio.sleep(0.05)  # it was sent
    server.resume()
    time.sleep(3.0)  # noqa: ASYNC251 - longer than an answer may take
    assert await asking == 2


async def test_an_engine_that_restarts_is_found_again(server: PostgresServer, store: PostgresStore) -> None:
    traffic = Traffic(store)
    await traffic.more(100)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await healed(store)
    await traffic.more(100)
    await traffic.check()


async def test_ended_processes_of_the_engine_are_replaced(
    server: PostgresServer, store: PostgresStore
) -> None:
    traffic = Traffic(store)
    for _ in range(5):
        await traffic.more(60)
        await asyncio.to_thread(
            server.sql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dovetail'",
        )
    await traffic.more(100)
    await traffic.check()


async def test_a_full_disk_costs_only_what_does_not_fit(server: PostgresServer, store: PostgresStore) -> None:
    """As the engine says it, in the middle of a batch: what fits beside it is done."""
    server.sql(
        "CREATE FUNCTION dovetail.fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF length(NEW.value) > 1000 THEN RAISE disk_full; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON dovetail.kv FOR EACH ROW EXECUTE FUNCTION dovetail.fill()"
    )
    try:
        keys = [f"{size}/{number}" for number in range(30) for size in ("small", "large")]
        outcomes = await asyncio.gather(
            *(store.kv.set(key, b"x" * (2000 if key.startswith("large") else 2)) for key in keys),
            return_exceptions=True,
        )
        assert outcomes[::2] == [None] * 30
        for outcome in outcomes[1::2]:
            assert isinstance(outcome, StoreUnavailable)
            assert "room on its disk" in str(outcome)
        assert len([key async for key in store.kv.scan()]) == 30
    finally:
        server.sql("DROP TRIGGER fill ON dovetail.kv; DROP FUNCTION dovetail.fill")
    await store.kv.set("large/0", b"x" * 2000)


async def test_a_circle_of_locks_is_tried_again(server: PostgresServer, store: PostgresStore) -> None:
    """Another program holds rows in another order: one of the two is refused by the engine, and ours goes on."""
    import asyncpg

    for id in "ab":
        await store.sessions.create(a_session(id))
    other = await asyncpg.connect(server.url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SET LOCAL deadlock_timeout = '10s'")  # ours is the one that notices
        await other.execute("SELECT FROM dovetail.session WHERE id = 'b' FOR UPDATE")
        ours = asyncio.gather(*(store.sessions.touch(id) for id in "ab"))
        await until(lambda: server.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0")
        await other.execute("SELECT FROM dovetail.session WHERE id = 'a' FOR UPDATE")
        await transaction.rollback()
        assert await ours == [True, True]
    finally:
        await other.close()


async def test_rows_that_others_hold_are_not_waited_for_without_end(
    server: PostgresServer, store: PostgresStore
) -> None:
    import asyncpg

    await store.sessions.create(a_session("s"))
    other = await asyncpg.connect(server.url)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM dovetail.session FOR UPDATE")
            with pytest.raises(StoreUnavailable, match=r"too long|longer"):
                await store.sessions.touch("s")
        assert await store.sessions.touch("s")
    finally:
        await other.close()


async def test_listeners_learn_of_a_gap_when_the_engine_is_back(
    server: PostgresServer, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    hearing = Hearing()
    await store.bus.listen("a secret channel", hearing)
    for number in range(3):
        await store.bus.publish("a secret channel", b"%d" % number)
    await hearing.count(3)
    with caplog.at_level(logging.DEBUG):
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.bus.publish("a secret channel", b"3")
        await asyncio.to_thread(server.start)
        await hearing.count(4)
    assert hearing.said[3] is None
    for number in range(4, 6):
        await store.bus.publish("a secret channel", b"%d" % number)
    assert await hearing.count(6) == [b"0", b"1", b"2", None, b"4", b"5"]
    assert check_order(hearing.said) == 5
    assert "secret" not in caplog.text


async def test_a_listener_whose_process_is_ended_hears_again(
    server: PostgresServer, store: PostgresStore
) -> None:
    hearing = Hearing()
    await store.bus.listen("news", hearing)
    for turn in range(3):
        await asyncio.to_thread(
            server.sql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
        )
        await hearing.until(lambda said, turn=turn: said.count(None) == turn + 1)
        await store.bus.publish("news", LARGE)
        await store.bus.publish("news", b"%d" % turn)
        await hearing.count(3 * turn + 3)
        assert hearing.said[-2:] == [LARGE, b"%d" % turn]


async def test_a_large_message_that_is_swept_is_told_as_missing(
    server: PostgresServer, store: PostgresStore
) -> None:
    server.sql(
        "CREATE FUNCTION dovetail.lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " DELETE FROM dovetail.message; RETURN NULL; END $$;"
        "CREATE TRIGGER lose AFTER INSERT ON dovetail.message EXECUTE FUNCTION dovetail.lose()"
    )
    hearing = Hearing()
    await store.bus.listen("news", hearing)
    try:
        await store.bus.publish("news", LARGE)
        await store.bus.publish("news", b"small")
        assert await hearing.count(2) == [None, b"small"]
    finally:
        server.sql("DROP TRIGGER lose ON dovetail.message; DROP FUNCTION dovetail.lose")


async def test_what_waits_when_the_store_is_closed_ends(server: PostgresServer) -> None:
    store = PostgresStore(server.url, connections=1)
    await store.kv.set("a", b"1")
    waiting = [asyncio.ensure_future(store.kv.set(f"{number}", b"x")) for number in range(500)]
    await asyncio.sleep(0)
    await store.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, StoreClosed) for outcome in outcomes)
    kept = int(server.sql("SELECT count(*) FROM dovetail.kv")) - 1
    assert kept == outcomes.count(None), "what was not refused is there"
    own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dovetail'"
    await until(lambda: server.sql(own) == "0")


async def test_the_last_place_goes_to_one(server: PostgresServer) -> None:
    """Many create a session at the same moment, each on a connection of its own."""
    bundles = [PostgresStore(server.url, bounds=CONTRACT_BOUNDS, connections=1) for _ in range(6)]
    try:
        await asyncio.gather(*(bundle.kv.get("a") for bundle in bundles))
        for turn in range(15):
            for number in range(7):
                await bundles[0].sessions.create(a_session(f"s{number}"))
            outcomes = await asyncio.gather(
                *(bundle.sessions.create(a_session(f"n{at}")) for at, bundle in enumerate(bundles)),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, StoreFull) for outcome in outcomes) == 5, turn
            held = await bundles[0].sessions.count("alice")
            assert held == CONTRACT_BOUNDS.sessions.max_per_principal
            await asyncio.gather(
                *(bundles[0].sessions.delete(f"{kind}{number}") for kind in "sn" for number in range(7))
            )
    finally:
        for bundle in bundles:
            await bundle.aclose()
