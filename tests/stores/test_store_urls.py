"""Stores by URL: what each URL names, whose password it is, and what is said where it names nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from postgres_server import PASSWORD, PostgresServer, migrated, needs_postgres
from redis_server import RedisServer, need_redis

from dovetail import App
from dovetail.stores import PostgresStore, RedisStore, SQLiteStore, open_store
from dovetail.stores.urls import take_option


@pytest.mark.parametrize("before", ["", "sqlite:", "SQLite:"])
async def test_a_file(before: str, tmp_path: Path) -> None:
    path = tmp_path / "a b?schema=c.db"
    async with aclosing(open_store(f"{before}{path}")) as store:
        assert isinstance(store, SQLiteStore)
        assert not path.exists(), "nothing is opened before it is used"
        await store.kv.set("a", b"1")
    assert path.exists()
    async with aclosing(open_store(path)) as store:
        assert await store.kv.get("a") == b"1"


@pytest.mark.parametrize(
    "url,said",
    [
        ("oracle://user:canary@host/db", "no store has URLs that begin with oracle://"),
        ("can ary://host", "no store has URLs that begin with that://"),
        ("sqlite:///canary.db", "write sqlite:PATH"),
        ("redis:canary", "write redis://..."),
        ("postgresql:canary", "write postgresql://..."),
        ("redis://:canary@host:port/0", "can't be read"),
        ("", "an empty text"),
        ("sqlite:", "needs the path"),
        (":memory:", "needs the path"),
    ],
)
def test_what_names_no_store(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_store(url)
    assert "canary" not in str(caught.value)


def test_the_scheme_says_which() -> None:
    for url in ("redis://host", "rediss://host:6380/1", "unix:///run/redis.sock", "redis://h?namespace=a"):
        assert isinstance(open_store(url), RedisStore)
    for url in ("postgresql://user@host/database", "postgres://host/d?sslmode=require&schema=a"):
        assert isinstance(open_store(url), PostgresStore)
    with pytest.raises(ValueError, match="schema of a PostgreSQL store"):
        open_store("postgresql://host/d?schema=A-B")
    with pytest.raises(ValueError, match="namespace"):
        open_store("redis://host?namespace=%20")


@pytest.mark.parametrize(
    "url,rest,value",
    [
        ("redis://h", "redis://h", None),
        ("redis://h?schema=a", "redis://h", "a"),
        ("unix:///p?db=1&schema=a%2Fb&x=%41", "unix:///p?db=1&x=%41", "a/b"),
        ("redis://h?schemas=a", "redis://h?schemas=a", None),
    ],
)
def test_an_option_is_taken_and_the_rest_left_alone(url: str, rest: str, value: str | None) -> None:
    assert take_option(url, "schema") == (rest, value)


@pytest.mark.parametrize(
    "hidden,url,said",
    [
        ("redis", "redis://host", r"pip install 'dovetail\[redis\]'"),
        ("asyncpg", "postgresql://host/d", r"pip install 'dovetail\[postgres\]'"),
    ],
)
def test_an_extra_that_is_missing(hidden: str, url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == hidden]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ImportError, match=said):
        open_store(url)
    monkeypatch.setenv("DOVETAIL_STORE", url)
    with pytest.raises(ImportError, match=f"DOVETAIL_STORE: .*{said}"):
        App("any")


async def test_a_password_of_redis_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_redis()
    path = tmp_path / "r.sock"
    server = RedisServer(
        tmp_path / "redis", f"requirepass {PASSWORD.replace(' ', '/@')}", f"unixsocket {path}"
    )
    server.start()
    try:
        monkeypatch.setenv("REDISCLI_AUTH", PASSWORD.replace(" ", "/@"))
        for number, url in enumerate((server.url, f"unix://{path}?namespace=other")):
            async with aclosing(open_store(url)) as store:
                assert await store.kv.get("a") is None, "another namespace has other keys"
                await store.kv.set("a", b"%d" % number)
        monkeypatch.setenv("REDISCLI_AUTH", "wrong")
        right = PASSWORD.replace(" ", "%2F%40")
        async with aclosing(open_store(f"redis://:{right}@127.0.0.1:{server.port}/0")) as store:
            assert await store.kv.get("a") == b"0", "what stands in the URL goes first"
    finally:
        server.kill()


@needs_postgres
async def test_a_password_and_a_schema_of_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    server = PostgresServer()
    try:
        server.start()
        await migrated(server, "mine")
        url = f"postgresql://owner@127.0.0.1:{server.port}/postgres?sslmode=disable&schema=mine"
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        async with aclosing(open_store(url)) as store:
            await store.kv.set("a", b"1")
        assert server.sql("SELECT count(*) FROM mine.kv") == "1"
        words = [sys.executable, "-m", "dovetail", "store", "migrate", url.replace("mine", "yours")]
        done = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, text=True)
        assert done.stdout.startswith("schema 'yours' was made")
    finally:
        server.remove()


async def test_the_environment_names_the_store_of_every_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_STORE", str(tmp_path / "store.db"))
    monkeypatch.setenv("DOVETAIL_KEYS", "k" * 32)
    app = App("named")

    @app.tool(once=True)
    async def pay() -> str:
        return "paid"

    app.asgi(workers=4)  # which refuses to serve with nothing shared
    monkeypatch.setenv("DOVETAIL_STORE", "oracle://host")
    with pytest.raises(ValueError, match="DOVETAIL_STORE: no store has URLs"):
        App("named")
    App("its own", store=SQLiteStore(tmp_path / "other.db"))
