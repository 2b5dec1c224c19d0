"""A call whose worker died is told so by another worker that shares the store: soon, and not at the client's deadline.

The workers are processes, and they are killed. Follows: 2025-11-25 basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from http_serving import Prober, Stream, until
from test_http_dying import Process, running

from dovetail.runtime import tap
from dovetail.stores.memory import MemoryStore
from dovetail.transports.http_server import endpoint_processes
from dovetail.transports.http_server.claims import Claims
from dovetail.transports.http_server.endpoint_processes import EndpointProcesses

DIED = "the process that ran the call has died; whether it did its work is unknown"


class Clock:
    """A clock of the test's own, which counts how often it was asked since it was moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.asked = 0


async def begun(server: Process, prober: Prober, *ids: int) -> tuple[Stream, bytes]:
    """Calls that have begun, and the id of the last event that was heard of them."""
    calls = [
        json.loads(
            prober.message(
                "tools/call", {"name": "forever", "arguments": {}, "_meta": {"progressToken": id}}, id=id
            )
        )
        for id in ids
    ]
    body: Any = calls if len(calls) > 1 else calls[0]
    stream = await prober.stream("POST", json.dumps(body).encode())
    for _ in ids:
        assert await server.line() == "begun"
    heard: list[Any] = []
    while len([each for each in heard if each.data]) < len(ids):
        heard.append(await stream.next())
    return stream, heard[-1].id


async def rest(prober: Prober, last: Any) -> list[Any]:
    """What another worker tells of a stream."""
    stream = await prober.stream("GET", None, {"Last-Event-ID": str(last)})
    assert stream.answer.status == 200
    async with asyncio.timeout(20):
        return [json.loads(event.data) for event in await stream.rest() if event.data]


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
async def test_the_other_worker_tells(revision: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    async with running(0, store) as first, running(0, store) as second:
        prober = await Prober(first.port).ready(revision)
        _, last = await begun(first, prober, 7)
        other = prober.another()
        other.port = second.port
        other.session, other.revision = prober.session, prober.revision
        await first.kill()
        told = await rest(other, last)
        assert [(each["id"], each["error"]["message"]) for each in told] == [(7, DIED)]
        # Whoever comes once more hears the same, and not a second answer.
        again = await rest(other, last)
        assert again == told
        for connection in (*prober.opened, *other.opened):
            await connection.close()


async def test_each_call_of_a_batch_is_told(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    async with running(0, store) as first, running(0, store) as second:
        prober = await Prober(first.port).ready("2025-03-26")
        _, last = await begun(first, prober, 7, 8)
        other = prober.another()
        other.port = second.port
        other.session, other.revision = prober.session, prober.revision
        await first.kill()
        told = await rest(other, last)
        assert sorted((each["id"], each["error"]["message"]) for each in told) == [(7, DIED), (8, DIED)]
        for connection in (*prober.opened, *other.opened):
            await connection.close()


async def test_of_a_worker_that_lives_nobody_says_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a call takes: signs of life go on as long as it does, and no longer."""
    monkeypatch.setattr(tap, "listeners", [])  # there is no request that the oracle could have seen
    clock = Clock()
    store = MemoryStore(clock=clock)
    monkeypatch.setattr(endpoint_processes, "BEAT", 0.001)
    of_mine, of_other = EndpointProcesses(store.kv, store.bus), EndpointProcesses(store.kv, store.bus)
    mine = Claims(store.kv, store.events, of_mine)
    other = Claims(store.kv, store.events, of_other)
    await store.events.append("s1", b"")
    await mine.hold("s1", "2025-11-25", [7])
    for _ in range(5):
        clock.advance(endpoint_processes.DEAD_AFTER * 0.9)
        await until(lambda: clock.asked >= 2)  # signs of life were given
        await other.settle("s1", "link")
        assert not await store.events.is_closed("s1")
    of_mine.rest()
    clock.advance(endpoint_processes.DEAD_AFTER * 1.1)
    await other.settle("s1", "link")
    assert await store.events.is_closed("s1")
    (answer,) = [json.loads(event.data) for event in await store.events.read("s1", 0) if event.data]
    assert (answer["id"], answer["error"]["message"]) == (7, DIED)
