"""How long sessions lasted, also those that nobody ended: each is told once, of all workers, or never.
Follows: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)"; 2025-11-25 basic/transports "Session
Management".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from http_bench import Bench
from http_serving import Prober, bench, serving, until

from dovetail.runtime.observer import Observer, ObserverGroup
from dovetail.stores import MemoryStore, SessionBounds, SQLiteStore, StoreBounds
from dovetail.transports.http_server import session_durations
from dovetail.transports.http_server.asgi import HTTPApp


class Watcher(Observer):
    """What was told of sessions."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str, float]] = []

    def session_ended(self, role: Any, revision: str, transport: str, seconds: float) -> None:
        assert role == "server"
        self.ended.append((revision, transport, seconds))


@contextlib.asynccontextmanager
async def two_workers(path: Path, watcher: Watcher) -> AsyncIterator[list[tuple[HTTPApp, Prober]]]:
    """Two workers on one store, watched by one."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[tuple[HTTPApp, Prober]] = []
        for _ in range(2):
            store = await stack.enter_async_context(contextlib.aclosing(SQLiteStore(path)))
            app = HTTPApp(Bench(observer=ObserverGroup([watcher])).service, store=store, workers=2)
            found.append((app, Prober(await stack.enter_async_context(serving(app)))))
        yield found
        for _, prober in found:
            for connection in prober.opened:
                await connection.close()


async def test_a_session_that_has_expired_is_told_when_its_client_comes_back() -> None:
    watcher, store = Watcher(), MemoryStore()
    async with bench(store=store, service={"observer": ObserverGroup([watcher])}) as (_, prober):
        await prober.ready()
        await asyncio.sleep(0.05)
        assert (await prober.tool("echo")).status == 200
        assert await store.sessions.delete(prober.session or "")  # as if it had expired
        for _ in range(2):
            assert (await prober.tool("echo")).status == 404
    ((revision, transport, seconds),) = watcher.ended
    assert (revision, transport) == ("2025-11-25", "http")
    assert 0.05 <= seconds < 30, "until it was last seen, as far as is known"


async def test_a_session_whose_client_never_comes_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_durations, "LOOK", 0.02)
    watcher, store = Watcher(), MemoryStore()
    async with bench(store=store, service={"observer": ObserverGroup([watcher])}) as (_, prober):
        await prober.ready()
        other = await Prober(prober.port).ready()
        assert await store.sessions.delete(prober.session or "")
        await until(lambda: watcher.ended)
        assert (await other.tool("echo")).status == 200
        assert (await other.send("DELETE")).status == 204
    assert len(watcher.ended) == 2


async def test_a_session_that_had_to_go_for_another_is_told() -> None:
    watcher, store = Watcher(), MemoryStore(bounds=StoreBounds(sessions=SessionBounds(max_per_principal=2)))
    async with bench(store=store, service={"observer": ObserverGroup([watcher])}) as (_, prober):
        for _ in range(4):
            await Prober(prober.port).ready()
    assert len(watcher.ended) == 2


@pytest.mark.parametrize("where", [0, 1])
async def test_of_all_workers_one_tells(tmp_path: Path, where: int) -> None:
    """The one that was asked to end it, or the one that opened it."""
    watcher = Watcher()
    async with two_workers(tmp_path / "store.db", watcher) as found:
        (one, prober), (_, other) = found
        await prober.ready()
        processes = one._stateful._processes
        assert processes is not None
        assert await processes.ready()
        durations = one._stateful._sessions.durations
        assert durations is not None
        ending = prober.another()
        ending.port = found[where][1].port
        assert (await ending.send("DELETE")).status == 204
        await until(lambda: not durations._known)
        assert len(watcher.ended) == 1
        prober = await Prober(prober.port).ready()
        assert await found[1][0].store.sessions.delete(prober.session or "")
        elsewhere = prober.another()
        elsewhere.port = other.port
        assert (await elsewhere.tool("echo")).status == 404, "who did not open it knows nothing of it"
        assert len(watcher.ended) == 1
        await durations.look()
        assert len(watcher.ended) == 2


async def test_where_a_word_may_have_been_lost_nothing_is_told_twice(tmp_path: Path) -> None:
    watcher = Watcher()
    async with two_workers(tmp_path / "store.db", watcher) as ((one, prober), (two, _)):
        durations = one._stateful._sessions.durations
        assert durations is not None
        await prober.ready()
        other = await Prober(prober.port).ready()
        durations.doubt()
        assert await two.store.sessions.delete(prober.session or "")
        await durations.look()
        assert not watcher.ended, "somebody may have told it"
        assert await two.store.sessions.delete(other.session or "")
        await durations.look()
        assert len(watcher.ended) == 1, "it was seen after that"


async def test_where_nobody_watches_nothing_is_remembered() -> None:
    for options in ({}, {"observer": ObserverGroup(())}):
        app = HTTPApp(Bench(**options).service, store=MemoryStore())
        assert app._stateful._sessions.durations is None
