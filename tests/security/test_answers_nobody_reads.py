"""Clients that ask for large answers and read none of them: what waits for them has a bound, and they have a time.

The request is over long before its answer is read, so no bound on requests holds for it.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import asgi_peer
import pytest
from asgi_peer import Exchange, Peer
from soak_talk import KIB, MIB, Talk, modern

from dovetail import App
from dovetail.runtime import tap
from dovetail.testing.serving import served
from dovetail.transports.http1.server import connection as uvicorn_connection
from dovetail.transports.http_server import answering
from dovetail.transports.http_server.unread import Unread
from transports.connection_serving import GET, body, on_both_loops, serving, settled, start

pytestmark = pytest.mark.hostile
LARGE = 8 * MIB  # more than a system takes of one connection
#: For five of them: with what encoders take besides, each counts one and a half times.
ROOM = 8 * LARGE


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    """Without the schema oracle, which keeps and decodes what it reads."""
    listening, tap.listeners[:] = tap.listeners[:], []
    yield
    tap.listeners[:] = listening


# The bound


def test_the_oldest_of_the_network_with_most_goes_first() -> None:
    dropped: list[str] = []
    unread = Unread(100)

    def wait(name: str, size: int) -> None:
        unread.add(name, name[0], size, lambda: dropped.append(name))

    wait("a1", 30)
    wait("b1", 40)
    wait("a2", 30)
    assert not dropped
    wait("c1", 10)
    assert dropped == ["a1"]
    wait("b2", 30)
    assert dropped == ["a1", "b1"]
    assert (unread.all, len(unread)) == (70, 3)
    for each in ("a1", "a2", "b2", "c1", "c1"):
        unread.remove(each)
    assert (unread.all, len(unread)) == (0, 0)
    wait("a1", 500)
    assert dropped == ["a1", "b1"], "one answer of any size may wait alone"
    wait("a1", 20)
    assert unread.all == 20, "in the place of what waited before"


# Under a server of this project


async def large(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, (b"content-length", b"%d" % LARGE)))
    await send(body(b"x" * LARGE))


@on_both_loops
async def test_what_waits_in_our_server_has_a_bound() -> None:
    async with serving(large) as server:
        server.connections.unread = unread = Unread(ROOM)
        peers = [await server.open() for _ in range(24)]
        for peer in peers:
            await peer.send(GET % b"")
        await settled(
            lambda: server.connections.state.total_requests == 24 and len(server.connections.all) == 5
        )
        assert len(unread) == 5
        assert unread.all <= ROOM
        reader = await server.open()
        await reader.send(GET % b"")
        assert len((await reader.answer()).body) == LARGE, "who reads is served"
        for peer in (*peers, reader):
            peer.writer.transport.abort()
        await server.idle()
        assert len(server.connections.unread) == server.connections.unread.all == 0


@on_both_loops
async def test_who_reads_nothing_of_an_answer_that_goes_on_has_a_time() -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            for _ in range(1000):
                await send(body(b"x" * 64 * KIB, more=True))
            await receive()
        finally:
            left.set()

    async with serving(app) as server:
        peer = await server.open()
        await peer.send(GET % b"")
        await settled(lambda: any(each.full for each in server.connections.all))
        (connection,) = server.connections.all
        loop = asyncio.get_running_loop()
        assert 0 < connection.deadline - loop.time() <= uvicorn_connection.READING
        for _ in range(
            2
        ):  # at the first it is noted how much is left: who has read some of it by the second stays
            connection.deadline = 0
            server.connections.sweep()
        await left.wait()
        await server.idle()
        peer.writer.transport.abort()


# Under any other server


def large_app() -> App:
    app = App("large", rate_limit=None)

    @app.tool
    async def make(size: int) -> str:
        return "x" * size

    return app


async def ask(port: int, size: int) -> Talk:
    talk = await Talk.open(port)
    request, headers = modern("tools/call", {"name": "make", "arguments": {"size": size}})
    await talk.send(request, headers)
    return talk


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not so():  # noqa: ASYNC110 - a table tells nobody that it is empty
            await asyncio.sleep(0.005)


async def test_what_waits_under_any_other_server_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_unread", unread := Unread(ROOM))
    endpoint: Any = large_app().asgi()
    async with served(endpoint) as url:
        port = int(url.split(":")[2].split("/")[0])
        for talk in [await ask(port, LARGE) for _ in range(3)]:
            assert len((await talk.answer())[2]) > LARGE, "who reads gets all of it"
            talk.drop()
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            talks = [await ask(port, LARGE) for _ in range(24)]
            await until(lambda: len(unread) == endpoint._limits.requests == 5)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held - before < ROOM + 24 * 4 * answering.PIECE, "and these are our clients, too"
        for talk in talks:
            talk.drop()
        await until(lambda: endpoint._limits.requests == 0)
        assert len(unread) == unread.all == 0


class Unreading(Exchange):
    """A client that takes the head of its answer, and nothing more."""

    async def _send(self, event: Any) -> None:
        await super()._send(event)
        if event["type"] == "http.response.body":
            await asyncio.Event().wait()


async def test_there_the_network_with_most_of_it_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_unread", unread := Unread(ROOM))
    monkeypatch.setattr(asgi_peer, "Exchange", Unreading)
    endpoint: Any = large_app().asgi()
    make = {"name": "make", "arguments": {"size": LARGE}}
    quiet = Peer(endpoint, "203.0.113.7").ask("tools/call", make)
    greedy = []
    for count in range(8):
        greedy.append(Peer(endpoint, f"2001:db8:0:1::{count}").ask("tools/call", make))
        await until(lambda: len(unread) == min(5, len(greedy) + 1))
    await until(lambda: sum(each.task.done() for each in greedy) == 4)
    assert not quiet.task.done(), "it has waited longest, but it is not the one who takes most"
    for each in (quiet, *greedy):
        each.task.cancel()
    await asyncio.wait([each.task for each in (quiet, *greedy)])
    assert len(unread) == unread.all == 0


async def test_who_reads_nothing_under_any_other_server_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "READING", 0.05)
    endpoint: Any = large_app().asgi()
    async with served(endpoint) as url:
        port = int(url.split(":")[2].split("/")[0])
        talk = await ask(port, LARGE)
        await until(lambda: endpoint._limits.requests == 1)
        await until(lambda: endpoint._limits.requests == 0)
        assert len(answering._unread) == 0
        talk.drop()
