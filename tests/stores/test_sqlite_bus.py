"""The bus of SQLite stores between processes: it is woken and does not ask; killed, stopped and hidden listeners
cost others nothing.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from dovetail.stores import SQLiteStore, StoreUnavailable, sqlite_bus
from dovetail.testing.bus_contract import Hearing, check_order
from dovetail.testing.store_contract import VirtualClock

WORKER = Path(__file__).with_name("sqlite_bus_worker.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return (await asyncio.to_thread(worker.stdout.readline)).strip()


def sockets(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.iterdir() if each.is_socket())


def listeners(path: Path) -> int:
    with closing(sqlite3.connect(path)) as other:
        return other.execute("SELECT count(*) FROM listener").fetchone()[0]


async def test_processes_hear_each_other(path: Path) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        workers = [start("listen", path) for _ in range(2)]
        assert [await line(worker) for worker in workers] == ["ready"] * 2
        assert {each.stat().st_mode & 0o777 for each in sockets(path)} == {0o600}
        publishers = [start("publish", path, f"p{number}:", "100") for number in range(2)]
        assert [(await asyncio.to_thread(each.communicate), each.returncode)[1] for each in publishers] == [
            0,
            0,
        ]
        await store.bus.publish("news", b"end")
        for worker in workers:
            output, _ = await asyncio.to_thread(worker.communicate)
            said = [word.encode() for word in output.split()]
            assert [check_order(said, b"p%d:" % number) for number in range(2)] == [100, 100]
    assert sockets(path) == []
    assert listeners(path) == 0


async def test_a_listener_does_not_ask(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits in one call until it is woken."""
    waits = list[float]()
    real = select.select

    def counting(*given: object) -> object:
        waits.append(float(str(given[3])))
        return real(*given)  # pyright: ignore[reportArgumentType] - handed on as they came

    monkeypatch.setattr(select, "select", counting)
    async with aclosing(SQLiteStore(path)) as store:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        for number in range(5):
            await store.bus.publish("news", b"%d" % number)
            await hearing.count(number + 1)
        assert set(waits) == {sqlite_bus.LOOK_EVERY}
        assert len(waits) <= 12


async def test_a_killed_listener_is_forgotten(path: Path) -> None:
    worker = start("listen", path)
    assert await line(worker) == "ready"
    worker.kill()
    worker.communicate()
    assert len(sockets(path)) == 1
    async with aclosing(SQLiteStore(path)) as store:
        for _ in range(2):
            await store.bus.publish("news", b"x")
    assert sockets(path) == []
    assert listeners(path) == 0
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM message").fetchone()[0] == 1, (
            "nobody listened to the second"
        )


async def test_a_listener_that_stood_still_is_told_of_the_gap(path: Path) -> None:
    clock = VirtualClock()
    async with aclosing(SQLiteStore(path, clock=clock)) as store:
        worker = start("listen", path)
        assert await line(worker) == "ready"
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitpid, worker.pid, os.WUNTRACED)  # until it has stopped
        try:
            for number in range(3):
                await store.bus.publish("news", b"%d" % number)
            clock.advance(sqlite_bus.KEPT)
            await store.kv.set("a", b"sweeps")
            await store.bus.publish("news", b"3")
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        await store.bus.publish("news", b"end")
        output, _ = await asyncio.to_thread(worker.communicate)
        assert output.split() == ["None", "3"]


async def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "store.db"
    async with aclosing(SQLiteStore(path)) as store, aclosing(SQLiteStore(path)) as peer:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        with closing(sqlite3.connect(path)) as other:
            (place,) = other.execute("SELECT name FROM listener").fetchone()
        assert Path(place).parent.stat().st_mode & 0o777 == 0o700
        await peer.bus.publish("news", b"x")
        assert await hearing.count(1) == [b"x"]
    assert not Path(place).parent.exists()


async def test_without_unix_sockets_it_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_bus, "UNIX", None)
    async with aclosing(SQLiteStore(path)) as store, aclosing(SQLiteStore(path)) as peer:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        for number in range(5):
            await peer.bus.publish("news", b"%d" % number)
        assert await hearing.count(5) == [b"%d" % number for number in range(5)]
    assert listeners(path) == 0


async def test_a_publisher_that_is_cancelled_still_wakes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_bus, "LOOK_EVERY", 1000.0)
    async with aclosing(SQLiteStore(path)) as store:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        task = asyncio.ensure_future(store.bus.publish("news", b"x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        assert await hearing.count(1) == [b"x"]


async def test_a_listener_whose_socket_and_name_are_gone_is_found_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_bus, "LOOK_EVERY", 0.02)
    async with aclosing(SQLiteStore(path)) as store:
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        for each in sockets(path):
            each.unlink()
        with closing(sqlite3.connect(path)) as other:
            other.execute("DELETE FROM listener")
            other.commit()
        give_up = time.monotonic() + 30
        while not (sockets(path) and listeners(path) == 1):
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        await store.bus.publish("news", b"x")
        await hearing.until(lambda said: said[-1:] == [b"x"])


async def test_what_is_said_while_the_first_look_fails_is_heard(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing had been said before: a listener goes on at the number it had reached, and that is none."""
    async with aclosing(SQLiteStore(path)) as store:
        hearing, failed = Hearing(), threading.Event()
        await store.bus.listen("news", hearing)
        read_on = sqlite_bus._DatagramListener._read_on

        def fail_once(listener: sqlite_bus._DatagramListener, connection: sqlite3.Connection) -> None:
            if not failed.is_set():
                failed.set()
                raise sqlite3.OperationalError("disk I/O error")
            read_on(listener, connection)

        monkeypatch.setattr(sqlite_bus._DatagramListener, "_read_on", fail_once)
        await store.bus.publish("news", b"one")
        assert await asyncio.to_thread(failed.wait, 10)
        await store.bus.publish("news", b"two")
        assert await hearing.until(lambda said: b"two" in said) == [b"one", b"two"]


async def test_a_file_that_cannot_be_opened_is_said_to(tmp_path: Path) -> None:
    async with aclosing(SQLiteStore(tmp_path / "missing" / "store.db")) as store:
        with pytest.raises(StoreUnavailable, match="directory must exist"):
            await store.bus.listen("news", Hearing())
        (tmp_path / "missing").mkdir()
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        await store.bus.publish("news", b"x")
        assert await hearing.count(1) == [b"x"]


async def test_no_thread_stays(path: Path) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        await store.bus.publish("news", b"x")
        assert not [each for each in threading.enumerate() if each.name == "dovetail-sqlite-bus"]
        await store.bus.listen("news", Hearing())
    assert not [each for each in threading.enumerate() if each.name == "dovetail-sqlite-bus"]
