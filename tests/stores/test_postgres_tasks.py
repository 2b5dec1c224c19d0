"""Tasks in PostgreSQL: they agree with those in memory, whatever becomes of the engine in the middle of work nothing
acknowledged is lost and no attempt is given twice, and claims wait for nobody's rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from agreement import History, agree
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer, durable_server, migrated, needs_postgres, until
from task_traffic import TaskTraffic, share_out
from test_task_agreement import BEGIN, BOUNDS, steps

from dovetail.stores import MemoryStore, PostgresStore, StoreBounds, StoreFull, StoreUnavailable, TaskBounds
from dovetail.stores.postgres import executor
from dovetail.testing.store_contract import VirtualClock, a_task

pytestmark = needs_postgres
COUNTED = "SELECT (SELECT tasks FROM dovetail.task_size) = (SELECT count(*) FROM dovetail.task)"
STRAYS = "SELECT count(*) FROM dovetail.task_step WHERE task NOT IN (SELECT number FROM dovetail.task)"


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that is hurt here, and keeps what it acknowledged."""
    yield from durable_server()


@pytest.fixture
def server(own: PostgresServer) -> PostgresServer:
    """The server, with nothing in its store."""
    own.clear()
    return own


@pytest.fixture
async def store(server: PostgresServer) -> AsyncIterator[PostgresStore]:
    async with aclosing(PostgresStore(server.url, timeout=2.0)) as store:
        yield store


def check_tables(server: PostgresServer) -> None:
    """What is counted is what is there, no result is left without its task, and nobody waited in a circle."""
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"
    assert server.sql(COUNTED, STRAYS, deadlocks).split() == ["t", "0", "0"]


@settings(max_examples=40, deadline=None)
@given(history=st.lists(steps(), min_size=10, max_size=80))
def test_tasks_in_memory_and_postgres_agree(own: PostgresServer, history: History) -> None:
    """Written apart, each is the other's oracle."""

    async def run() -> None:
        clock = VirtualClock(BEGIN)
        async with (
            aclosing(MemoryStore(bounds=BOUNDS, clock=clock)) as memory,
            aclosing(PostgresStore(own.url, bounds=BOUNDS, clock=clock)) as postgres,
        ):
            await agree(memory, postgres, clock, history)

    own.clear()
    asyncio.run(run())
    check_tables(own)


async def test_processes_and_loops_share_the_work(server: PostgresServer, store: PostgresStore) -> None:
    await share_out("postgres", server.url, store)
    check_tables(server)


async def test_limits_hold_where_many_claim_at_once(server: PostgresServer, store: PostgresStore) -> None:
    """Each on a connection of its own, of overlapping queues in any order."""
    for number in range(120):
        await store.tasks.create(a_task(f"{number}", queue="pqr"[number % 3]), max_unended=1_000)
    bundles = [PostgresStore(server.url, connections=1) for _ in range(6)]
    orders = [{"p": 4, "q": 9}, {"q": 9, "r": None, "p": 4}, {"r": None, "q": 9}]
    try:
        await asyncio.gather(*(bundle.kv.get("a") for bundle in bundles))
        pages = await asyncio.gather(
            *(
                bundle.tasks.claim(f"{at}", orders[(at + turn) % 3], limit=5, lease=60)
                for turn in range(4)
                for at, bundle in enumerate(bundles)
            )
        )
    finally:
        for bundle in bundles:
            await bundle.aclose()
    taken = [record for page in pages for record in page]
    assert len({record.id for record in taken}) == len(taken)
    held = [sum(record.queue == queue for record in taken) for queue in "pqr"]
    assert held[:2] == [4, 9]
    assert held[2] <= 40
    check_tables(server)


async def test_an_engine_that_is_killed_loses_no_task(server: PostgresServer, store: PostgresStore) -> None:
    traffic = TaskTraffic(store)
    for _ in range(2):
        await traffic.more(100)
        server.kill()
        try:
            await traffic.refusals(16, new=True)  # what could not be sent was not done, and that is known
        finally:
            await asyncio.to_thread(server.start)
    await traffic.more(100)
    await traffic.check()
    check_tables(server)


async def test_an_engine_that_stands_still_loses_no_task(
    server: PostgresServer, store: PostgresStore
) -> None:
    traffic = TaskTraffic(store)
    await traffic.more(50)
    server.pause()
    try:
        await traffic.refusals(8)
        assert traffic.uncertain >= 2, "nobody knows what becomes of what was sent"
    finally:
        server.resume()
    await traffic.more(50)
    await traffic.check()
    check_tables(server)


async def test_an_engine_that_restarts_goes_on_with_the_tasks(
    server: PostgresServer, store: PostgresStore
) -> None:
    traffic = TaskTraffic(store)
    for _ in range(3):
        await traffic.more(50)
        await asyncio.to_thread(
            server.sql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dovetail'",
        )
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await traffic.more(50)
    await traffic.check()
    check_tables(server)


async def test_a_full_disk_costs_only_the_task_that_does_not_fit(
    server: PostgresServer, store: PostgresStore
) -> None:
    server.sql(
        "CREATE FUNCTION dovetail.fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF length(NEW.data) > 1000 THEN RAISE disk_full; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON dovetail.task FOR EACH ROW EXECUTE FUNCTION dovetail.fill()"
    )
    try:
        outcomes = await asyncio.gather(
            *(
                store.tasks.create(a_task(f"{number}", data=b"x" * (2000 * (number % 2))), max_unended=100)
                for number in range(40)
            ),
            return_exceptions=True,
        )
        assert outcomes[::2] == [None] * 20
        for outcome in outcomes[1::2]:
            assert isinstance(outcome, StoreUnavailable)
            assert "room on its disk" in str(outcome)
            assert not outcome.uncertain
        assert await store.tasks.count() == 20
        assert len(await store.tasks.claim("w", {"q": None}, limit=10**12, lease=30)) == 20
        assert len(await store.tasks.list("alice", limit=10**12)) == 20
    finally:
        server.sql("DROP TRIGGER fill ON dovetail.task; DROP FUNCTION dovetail.fill")
    check_tables(server)


async def test_a_claim_waits_for_nobody_s_row(server: PostgresServer, store: PostgresStore) -> None:
    """What somebody holds a lock on is passed over: the next one is given, in its place."""
    import asyncpg

    for number in range(3):
        await store.tasks.create(a_task(f"{number}"), max_unended=9)
    other = await asyncpg.connect(server.url)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM dovetail.task WHERE id IN ('0', '1') FOR UPDATE")
            (held,) = await store.tasks.claim("w", {"q": 2}, limit=1, lease=30)
            assert held.id == "2"
            assert await store.tasks.claim("w", {"q": 2}, limit=1, lease=30) == []
        (held,) = await store.tasks.claim("w", {"q": 2}, limit=5, lease=30)
        assert held.id == "0"
        await asyncio.gather(
            *(store.tasks.create(a_task(f"n{number}"), max_unended=999) for number in range(500))
        )
        async with other.transaction():
            await other.execute("SELECT FROM dovetail.task FOR UPDATE")
            assert await store.tasks.claim("w", {"q": None}, limit=1, lease=30) == [], (
                "nor looks at all of them"
            )
        assert len(await store.tasks.claim("w", {"q": None}, limit=600, lease=30)) == 501
    finally:
        await other.close()


async def test_leases_go_by_the_clock_of_the_engine(server: PostgresServer) -> None:
    """Where none was given. That of a machine may be hours ahead."""
    await migrated(server, "ahead")
    server.sql(
        "CREATE OR REPLACE FUNCTION ahead.task_now(given float8) RETURNS float8 LANGUAGE sql STABLE"
        " AS 'SELECT coalesce(given, 5000)'"
    )
    async with aclosing(PostgresStore(server.url, schema="ahead")) as store:
        await store.tasks.create(a_task(expires=6000), max_unended=1)
        (held,) = await store.tasks.claim("w", {"q": None}, limit=1, lease=30)
        assert (held.created, held.updated) == (5000, 5000)
        assert await store.tasks.next_due(["q"]) == 30
        for moment, due in ((5020, 10), (5030, 0), (5999, 0), (6000, None)):
            server.sql(
                "CREATE OR REPLACE FUNCTION ahead.task_now(given float8) RETURNS float8 LANGUAGE sql STABLE"
                f" AS 'SELECT coalesce(given, {moment})'"
            )
            assert await store.tasks.next_due(["q"]) == due
    clock = VirtualClock(1_000.0)
    async with aclosing(PostgresStore(server.url, schema="ahead", clock=clock)) as given:
        found = await given.tasks.load("t")
        assert found is not None, "a clock that was given counts"


async def test_tasks_that_expired_leave_the_tables(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    bounds = StoreBounds(tasks=TaskBounds(max_tasks=1_200))
    async with aclosing(PostgresStore(server.url, clock=clock, bounds=bounds)) as store:
        await asyncio.gather(
            *(
                store.tasks.create(a_task(f"{number}", expires=clock() + 10), max_unended=2_000)
                for number in range(1_200)
            )
        )
        with pytest.raises(StoreFull):
            await store.tasks.create(a_task("more"), max_unended=2_000)
        held = await store.tasks.claim("w", {"q": None}, limit=100, lease=5)
        assert all([await store.tasks.record(record.id, "step", b"", holder="w") for record in held])
        clock.advance(10)
        await store.tasks.create(a_task("more"), max_unended=1)
        assert int(server.sql("SELECT tasks FROM dovetail.task_size")) <= 1_200
        monkeypatch.setattr(executor, "SWEEP_EVERY", 0.0)

        async def swept() -> bool:
            await store.tasks.renew("nobody", ["more"], lease=1)
            return server.sql("SELECT count(*) FROM dovetail.task") == "1"

        for _ in range(10):
            if await swept():
                break
    assert server.sql("SELECT count(*) FROM dovetail.task") == "1"
    assert server.sql("SELECT count(*) FROM dovetail.task_step") == "0"
    check_tables(server)


async def test_what_waits_for_an_engine_ends_when_the_store_is_closed(server: PostgresServer) -> None:
    store = PostgresStore(server.url, connections=1)
    await store.kv.get("a")
    creating = [
        asyncio.ensure_future(store.tasks.create(a_task(f"{number}"), max_unended=1_000))
        for number in range(300)
    ]
    await asyncio.sleep(0)
    await store.aclose()
    outcomes = await asyncio.gather(*creating, return_exceptions=True)
    await until(lambda: server.sql(COUNTED) == "t")
    assert int(server.sql("SELECT count(*) FROM dovetail.task")) == outcomes.count(None)
