"""A store that fails, and records in it that can't be read: the client is told of a lost session or of events that are
gone, the log says why, and nothing else breaks.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import aclosing, closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from http_serving import bench

from dovetail import App, Context
from dovetail.protocol.session import SessionState
from dovetail.stores import EventsTrimmed, SQLiteStore, StoreError, StreamUnknown
from dovetail.transports.http_server.asgi import HTTPApp

STATE = json.dumps({"revision": "2031-01-01", "phase": "ready"})
SESSIONS = {
    "a revision of later": f"UPDATE session SET data = CAST('{STATE}' AS BLOB)",
    "a phase of later": """UPDATE session SET data = CAST('{"revision":"2025-11-25","phase":"x"}' AS BLOB)""",
    "no JSON": "UPDATE session SET data = x'00ff1b5b'",
    "another shape": "UPDATE session SET data = CAST('[1]' AS BLOB)",
    "text for bytes": "UPDATE session SET data = CAST(data AS TEXT)",
    "a number for bytes": "UPDATE session SET data = 7",
    "bytes for text": "UPDATE session SET principal = CAST(principal AS BLOB)",
    "no text": "UPDATE session SET principal = CAST(x'ff41' AS TEXT)",
    "a word for a version": "UPDATE session SET version = 'two'",
    "bytes for a time": "UPDATE session SET seen = x'00'",
}
#: What is done to events 1 to 8 of a stream, and from which one on nothing is missing then.
EVENTS = {
    "DELETE FROM event WHERE place % 4294967296 = 4": 5,
    "DELETE FROM event WHERE place % 4294967296 IN (2, 6)": 7,
    "DELETE FROM event WHERE place % 4294967296 = 8": 9,
    "DELETE FROM event": 9,
    "UPDATE event SET data = 'text' WHERE place % 4294967296 = 5": 6,
    "UPDATE event SET data = 5 WHERE place % 4294967296 = 3": 4,
}
STREAMS = (
    "UPDATE stream SET last = 'many'",
    "UPDATE stream SET first = x'01'",
    "UPDATE stream SET events_end = 'later', due = 0",
    "UPDATE stream SET first = 1.5",
    "UPDATE stream SET first = -7",
    "UPDATE stream SET last = 99999999999999",
)


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert file.execute(statement).rowcount > 0


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def no_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL")] == []


async def test_a_file_of_garbage_is_told_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database at all\x1b[31m" * 500)
    path.chmod(0o600)
    async with aclosing(SQLiteStore(path)) as store, bench(store=store) as (_, prober):
        assert (await prober.initialize()).status == 503
        prober.session = "of-another-time"
        for answer in (await prober.tool("echo"), await prober.send("GET"), await prober.send("DELETE")):
            assert answer.status == 503
            assert str(path) not in answer.body.decode()
    assert len([each for each in told(caplog) if each.startswith("the store failed")]) == 1
    assert all("store.db" in each and "no database" in each for each in told(caplog))
    no_failure(caplog)


@pytest.mark.parametrize("free", [0, 10**12], ids=["a full disk", "a full file"])
async def test_what_is_full_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path, max_bytes=80 * 4096)) as store, bench(store=store) as (_, prober):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        for number in range(200):
            prober.session = prober.revision = None
            if (await prober.initialize()).status == 503:
                break
            with suppress(StoreError):
                await store.kv.set(f"filler {number}", bytes(3000))
        else:
            pytest.fail("it never was full")
    assert any(
        ("Make room on the disk" if free == 0 else "bytes in its file") in each for each in told(caplog)
    )
    no_failure(caplog)


@pytest.mark.parametrize("statement", SESSIONS.values(), ids=SESSIONS.keys())
async def test_a_session_that_cant_be_read_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store, bench(store=store) as (_, prober):
        await prober.ready()
        assert (await prober.tool("echo", text="a")).status == 200
        damage(path, statement)
        for answer in (
            await prober.tool("echo", text="a"),
            await prober.call("ping"),
            await prober.send("GET"),
            await prober.send("DELETE"),
        ):
            assert answer.status == 404
        assert len(told(caplog)) == 4
        assert all("session is lost" in each for each in told(caplog))
        prober.session = None
        await prober.ready()
        assert (await prober.tool("echo", text="a")).status == 200
    no_failure(caplog)


async def test_a_call_that_meets_its_lost_session_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    app = App("lossy")

    @app.tool
    async def remember(ctx: Context) -> str:
        damage(path, SESSIONS["a revision of later"])
        await ctx.session.set("a", 1)
        return "kept"

    def endpoint(_: object, **options: Any) -> HTTPApp:
        return cast("HTTPApp", app.asgi(**options))

    async with (
        aclosing(SQLiteStore(path)) as store,
        bench(endpoint, store=store) as (_, prober),
    ):
        await prober.ready()
        answer = await prober.tool("remember")
        assert answer.status == 200
        assert "the session has ended" in answer.body.decode()
    assert any("session is lost" in each for each in told(caplog))
    no_failure(caplog)


@pytest.mark.parametrize("statement, oldest", EVENTS.items())
async def test_events_that_are_gone_or_damaged_count_as_trimmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str, oldest: int
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store:
        for number in range(1, 9):
            await store.events.append("s", b"%d" % number)
        damage(path, statement)
        for after in range(8):
            if after + 1 >= oldest:
                assert len(await store.events.read("s", after)) == 8 - after
                continue
            for limit in (1, 2, 256):
                with pytest.raises(EventsTrimmed) as caught:
                    await store.events.read("s", after, limit)
                assert (caught.value.oldest, caught.value.last) == (oldest, 8)
        assert await store.events.append("s", b"9") == 9
        assert [each.sequence for each in await store.events.read("s", oldest - 1)] == [*range(oldest, 10)]
    assert told(caplog)


async def test_a_stream_with_gaps_is_still_trimmed_by_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store:
        for number in range(1_000):
            await store.events.append("s", b"%d" % number)
        damage(path, "DELETE FROM event WHERE place % 3 = 0")
        damage(path, "UPDATE stream SET bytes = bytes + 8 * 1024 * 1024")
        for number in range(1_001, 1_005):
            assert await store.events.append("s", b"x") == number
        assert [each.data for each in await store.events.read("s", 1_001)] == [b"x"] * 3


@pytest.mark.parametrize("statement", STREAMS)
async def test_a_stream_whose_row_cant_be_read_is_unknown_and_harms_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store:
        await store.events.append("s", b"1")
        damage(path, statement)
        for asked in (store.events.read("s", 0), store.events.last("s"), store.events.is_closed("s")):
            with pytest.raises(StreamUnknown):
                await asked
        assert told(caplog)
        await store.kv.set("a", b"1")  # a write sweeps what is due
        assert await store.events.append("other", b"1") == 1
        await store.events.drop("s")
        assert await store.events.append("s", b"1") == 1
        damage(path, statement + " WHERE name = 's'")
        assert await store.events.drop_prefix("s") == 0
        assert await store.events.append("s", b"1") == 1
    no_failure(caplog)


@pytest.mark.parametrize("statement", [*EVENTS, *STREAMS])
async def test_a_client_that_comes_back_for_them_is_told_before_the_answer_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store, bench(store=store) as (_, prober):
        await prober.ready()
        events = await (await prober.tool_stream("talk", times=6)).rest()
        assert len(events) == 8
        assert (await prober.send("GET", headers={"Last-Event-ID": events[0].id})).status == 200
        damage(path, statement)
        assert (await prober.send("GET", headers={"Last-Event-ID": events[0].id})).status == 400
        assert (await prober.tool("echo", text="a")).status == 200
    assert told(caplog)
    no_failure(caplog)


@pytest.mark.parametrize("kind", ["text", "7", "x''"])
async def test_a_value_of_another_kind_is_no_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as store:
        await store.kv.set("a", b"1")
        damage(path, f"UPDATE kv SET value = {kind!r}" if kind == "text" else f"UPDATE kv SET value = {kind}")
        if kind == "x''":
            assert await store.kv.get("a") == b""
            return
        assert await store.kv.get("a") is None
        assert await store.kv.take("a") is None
        assert await store.kv.add("a", b"2")
        assert await store.kv.get("a") == b"2"
    assert told(caplog)


def test_the_state_of_a_session_is_that_of_a_known_revision() -> None:
    good = SessionState(revision="2025-11-25", phase="ready")
    assert SessionState.load(good.dump()) == good
    loads: Callable[[bytes], SessionState] = SessionState.load
    for bad in (b'{"revision":"2031-01-01"}', b'{"revision":"2026-07-28"}', b'{"phase":"gone"}'):
        with pytest.raises(ValueError, match="not known here"):
            loads(bad)
