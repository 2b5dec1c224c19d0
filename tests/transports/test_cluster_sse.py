"""HTTP+SSE of 2024 over several workers: the stream is at one of them, and any takes the messages.
Follows: 2024-11-05 basic/transports, "HTTP with SSE".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_serving import ENGINES, OpenStore, Worker, running_engine, said, workers
from http_bench import CLIENT
from http_serving import Prober, Stream, until

from dovetail.security import Credentials
from dovetail.security.principal import Principal

OLD = "2024-11-05"


@pytest.fixture(scope="module", params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStore]:
    yield from running_engine(request.param, tmp_path_factory.mktemp("engine"))


async def opened(worker: Worker, **headers: str) -> tuple[Prober, Stream, str]:
    """A connection: its client, its stream, and where its messages go."""
    prober = worker.prober()
    stream = await prober.stream("GET", headers=headers, path="/mcp/sse")
    event = await stream.next()
    assert event is not None
    assert event.event == "endpoint"
    return prober, stream, event.data.decode()


async def post(worker: Worker, path: str, body: bytes, **headers: str) -> Any:
    return await worker.prober().send("POST", body, headers, path)


def initialize(prober: Prober) -> bytes:
    params = {"protocolVersion": OLD, "capabilities": {"roots": {}}, "clientInfo": CLIENT}
    return prober.message("initialize", params)


async def test_any_worker_takes_the_messages_in_their_order(open_store: OpenStore) -> None:
    async with workers(open_store, 3, http_sse=True) as found:
        one, two, three = found
        prober, stream, path = await opened(one)
        assert (await post(two, path, initialize(prober))).status == 202
        assert (await said(stream))["result"]["protocolVersion"] == OLD
        initialized = prober.message("notifications/initialized", notice=True)
        assert (await post(three, path, initialized)).status == 202
        for number in range(9):
            params = {"name": "echo", "arguments": {}}
            call = prober.message("tools/call", params, id=number)
            assert (await post(found[number % 3], path, call)).status == 202
            assert (await said(stream))["id"] == number
        # A question goes out at the one, and its answer comes by another.
        call = prober.message("tools/call", {"name": "ask", "arguments": {}}, id="asking")
        assert (await post(two, path, call)).status == 202
        question = await said(stream)
        answer = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}).encode()
        assert (await post(three, path, answer)).status == 202
        assert json.loads((await said(stream))["result"]["content"][0]["text"]) == {"roots": []}
        kv = one.app.store.kv.within("http/sse/")
        assert [key async for key in kv.scan()] == [], "nothing stays in the store"


async def test_what_is_no_connection_is_nobodys(open_store: OpenStore) -> None:
    async with workers(open_store, http_sse=True) as (one, two):
        prober, stream, path = await opened(one)
        body = initialize(prober)
        process = path.rpartition(".")[2]
        for made_up in (f"x.{process}", f"{'x' * 43}.{'0' * 16}", "x.zz", path.rpartition("=")[2] + "0"):
            assert (await post(two, f"/mcp/messages?session={made_up}", body)).status == 404
        await stream.connection.close()
        old: Any = one.app._old
        await until(lambda: not old._links)
        assert (await post(two, path, body)).status == 404, "it has ended"


class Named:
    """Who calls is what the token says."""

    async def authenticate(self, request: Credentials) -> Principal:
        name = request.authorization[0].removeprefix("Bearer ")
        return Principal("https://i.example", name, scopes=frozenset({"a"}), claims={"n": 1})


@pytest.mark.hostile
async def test_a_connection_belongs_to_who_opened_it_at_every_worker(open_store: OpenStore) -> None:
    async with workers(open_store, http_sse=True, authenticate=Named()) as (one, two):
        prober, stream, path = await opened(one, authorization="Bearer ada")
        body = initialize(prober)
        assert (await post(two, path, body, authorization="Bearer eve")).status == 404
        assert (await post(two, path, body, authorization="Bearer ada")).status == 202
        assert "result" in await said(stream)
        call = prober.message("tools/call", {"name": "who", "arguments": {}})
        initialized = prober.message("notifications/initialized", notice=True)
        assert (await post(two, path, initialized, authorization="Bearer ada")).status == 202
        assert (await post(two, path, call, authorization="Bearer ada")).status == 202
        assert "ada" in (await said(stream))["result"]["content"][0]["text"]
        assert one.bench.channels[-1].principal.claims == {"n": 1}


async def test_where_the_worker_does_not_answer_nothing_was_done(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(open_store, http_sse=True) as (one, two):
        prober, stream, path = await opened(one)
        processes = one.app._stateful._processes
        assert processes is not None
        with monkeypatch.context() as changed:
            changed.setattr(processes, "_answers", {})
            refused = await post(two, path, initialize(prober))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await post(two, path, initialize(prober))).status == 202
        async with asyncio.timeout(5):
            assert "result" in await said(stream)
        assert not stream.waiting, "it was done once"
        await processes.close()  # as one that has died
        assert (await post(two, path, initialize(prober))).status == 404
