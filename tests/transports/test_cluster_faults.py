"""What several workers of one endpoint make of the death of one of them, and of an engine that is away for a while.
Follows: 2025-11-25 basic/transports "Resumability and Redelivery", "Sending Messages to the Server".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cluster_serving import response, said, tool, workers
from http_serving import Prober, Stream
from redis_server import RedisServer, need_redis

from dovetail.stores import RedisStore

WORKER = Path(__file__).with_name("cluster_worker.py")


@contextlib.asynccontextmanager
async def processes(
    store: Path, count: int = 2
) -> AsyncIterator[list[tuple[asyncio.subprocess.Process, Prober]]]:
    """Workers that are processes of their own; gives each with a client of it."""
    found: list[tuple[asyncio.subprocess.Process, Prober]] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(WORKER), str(store), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            found.append((process, Prober(int(await process.stdout.readline()))))
        yield found
    finally:
        for process, prober in found:
            for connection in prober.opened:
                await connection.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def opened(prober: Prober, headers: dict[str, str] | None = None) -> Stream:
    """The standalone stream. Until a worker counts as dead, it may have it: the client is told to try again."""
    while (stream := await prober.stream("GET", headers=headers)).answer.status == 503:
        assert stream.answer.headers["retry-after"] == "1"
    assert stream.answer.status == 200
    return stream


def at(there: Prober, prober: Prober) -> Prober:
    """The client of a session at another worker."""
    other = prober.another()
    other.port = there.port
    return other


async def test_the_stream_of_a_worker_that_was_killed_goes_on_at_another(tmp_path: Path) -> None:
    async with processes(tmp_path / "store.db") as ((first, one), (_, two)):
        prober = await one.ready()
        assert (await prober.call("resources/subscribe", {"uri": "note://a"})).status == 200
        stream = await prober.stream("GET")
        primed = await stream.next()
        assert primed is not None
        refused = await at(two, prober).send("GET")
        assert refused.status == 409
        first.kill()
        await first.wait()
        async with asyncio.timeout(30):
            # Until it counts as dead, nobody may have told that it was being read.
            resumed = await opened(at(two, prober), {"Last-Event-ID": primed.id or ""})
            while (told := await said(resumed))["method"] != "notifications/resources/updated":
                assert told["method"].endswith("/list_changed")
            assert told["params"] == {"uri": "note://a"}, "it may have been updated meanwhile"
        assert (await at(two, prober).tool("add_one")).status == 200
        async with asyncio.timeout(10):
            while (await said(resumed))["method"] != "notifications/tools/list_changed":
                pass


@pytest.mark.timeout(120)
async def test_a_new_stream_in_place_of_one_whose_worker_was_killed(tmp_path: Path) -> None:
    async with processes(tmp_path / "store.db") as ((first, one), (_, two)):
        prober = await one.ready()
        stream = await prober.stream("GET")
        assert stream.answer.status == 200
        first.kill()
        await first.wait()
        async with asyncio.timeout(30):
            await opened(at(two, prober))


async def test_an_answer_to_a_worker_that_was_killed(tmp_path: Path) -> None:
    async with processes(tmp_path / "store.db") as ((first, one), (_, two)):
        prober = await one.ready(capabilities={"elicitation": {}})
        stream = await prober.stream("POST", tool(prober, "ask", id=7))
        question = await said(stream)
        first.kill()
        await first.wait()
        await asyncio.sleep(6.1)  # DEAD_AFTER: by its signs of life it lives until then
        refused = await at(two, prober).send("POST", response(question["id"], {"action": "decline"}))
        assert refused.status == 400
        assert "has died" in refused.json["error"]["message"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["paused", "restarted"])
async def test_an_engine_that_is_away_for_a_while(tmp_path: Path, how: str) -> None:
    """What was asked before is answered after, though words were lost."""
    need_redis()
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with workers(lambda: RedisStore(server.url, timeout=2.0)) as (one, two):
            prober = await one.prober().ready(capabilities={"roots": {}})
            other = two.prober(prober)
            stream = await prober.stream("POST", tool(prober, "ask", id=7))
            question = await said(stream)
            assert one.app._stateful._processes is not None
            if how == "paused":
                server.pause()
                asyncio.get_running_loop().call_later(1.0, server.resume)
            else:
                server.kill()
                server.start()
            answer: dict[str, Any] = {"roots": []}
            async with asyncio.timeout(30):
                sent = await other.send("POST", response(question["id"], answer))
                while sent.status == 503:  # as it is told, the client tries again
                    sent = await other.send("POST", response(question["id"], answer))
                assert sent.status == 202
                assert json.loads((await said(stream))["result"]["content"][0]["text"]) == answer
    finally:
        server.kill()
