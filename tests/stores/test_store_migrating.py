"""`dovetail store migrate`: a schema is made once, by whoever comes first, and a store refuses any other version."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from postgres_server import PASSWORD, PostgresServer, needs_postgres

from dovetail.stores import PostgresStore, SQLiteStore, StoreUnavailable, sqlite_file
from dovetail.stores.postgres.steps import known_version


def migrate(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dovetail", "store", "migrate", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@needs_postgres
async def test_a_schema_is_made_and_then_served(server: PostgresServer) -> None:
    async with aclosing(PostgresStore(server.url, schema="made")) as store:
        with pytest.raises(
            StoreUnavailable, match=r"is not there. Run `dovetail store migrate URL --schema made`"
        ):
            await store.kv.get("a")
        url = server.url.replace(":correct%20horse@", "@")
        first = migrate(url, "--schema", "made", PGPASSWORD=PASSWORD)
        assert (first.returncode, first.stdout) == (
            0,
            f"schema 'made' was made, with version {known_version()}\n",
        )
        assert await store.kv.get("a") is None, "the same store serves once it can"
    again = migrate(server.url, "--schema", "made")
    assert again.stdout == f"schema 'made' has version {known_version()} already: nothing to do\n"


@needs_postgres
async def test_two_that_migrate_at_once(server: PostgresServer) -> None:
    done = await asyncio.gather(
        *(asyncio.to_thread(migrate, server.url, "--schema", "both") for _ in range(4))
    )
    assert [each.returncode for each in done] == [0] * 4
    assert sorted("was made" in each.stdout for each in done) == [False] * 3 + [True]


@needs_postgres
@pytest.mark.parametrize("version,word", [(999, "upgrade"), (2, "version 2 of")])
async def test_another_version_is_refused(server: PostgresServer, version: int, word: str) -> None:
    schema = f"v{version}"
    assert migrate(server.url, "--schema", schema).returncode == 0
    kept = "" if version < 999 else f"INSERT INTO {schema}.schema_version VALUES (999);"
    server.sql(kept or f"DELETE FROM {schema}.schema_version WHERE version > {version}")
    async with aclosing(PostgresStore(server.url, schema=schema)) as store:
        with pytest.raises(StoreUnavailable, match=word):
            await store.sessions.load("s")
        with pytest.raises(StoreUnavailable, match=word):
            await store.bus.listen("news", lambda _: None)
    if version == 999:
        refused = migrate(server.url, "--schema", schema)
        assert refused.returncode == 3
        assert "upgrade" in refused.stderr


@needs_postgres
def test_what_can_not_be_is_said_in_a_line(server: PostgresServer) -> None:
    wrong = server.url.replace("correct", "wrong")
    for words, code, told in (
        ((wrong,), 3, "password authentication failed"),
        (("postgresql://owner@127.0.0.1:1/postgres",), 3, "can not be reached"),
        ((server.url, "--schema", 'x"; DROP'), 2, "a-z"),
        (("mysql://x/y",), 2, "no store has URLs"),
        (("not-there.db",), 2, "there is no file"),
    ):
        done = migrate(*words)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert told in done.stderr
        assert "wrong" not in done.stderr
        assert done.stderr.count("\n") == 1


async def test_a_file_of_sqlite_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        for statement in sqlite_file.STEPS[0].split(";"):
            old.execute(statement)
        old.execute("CREATE TABLE dovetail_schema (version INTEGER PRIMARY KEY)")
        old.execute("INSERT INTO dovetail_schema VALUES (1)")
        old.commit()
    path.chmod(0o600)
    done = migrate(str(path))
    assert done.stdout == f"{path} was brought from version 1 to {len(sqlite_file.STEPS)}\n", done.stderr
    assert migrate(str(path)).stdout.endswith("nothing to do\n")
    async with aclosing(SQLiteStore(path)) as store:
        await store.kv.set("a", b"1")
