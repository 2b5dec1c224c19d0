"""A question that is a task at the client is asked by one worker; what the client says of it comes by another."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from cluster_serving import response, said
from http_serving import Prober

from dovetail import App, Context
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore
from dovetail.testing import served

STATEFUL = "2025-11-25"
TAKES = {"sampling": {}, "tasks": {"cancel": {}, "requests": {"sampling": {"createMessage": {}}}}}
MESSAGE = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Ada"}}


def task(status: str = "working") -> dict[str, Any]:
    """A task of the client's."""
    moment = "2026-11-23T00:00:00Z"
    return {
        "taskId": "c-1",
        "status": status,
        "createdAt": moment,
        "lastUpdatedAt": moment,
        "ttl": 60_000,
        "pollInterval": 60_000,
    }


@contextlib.asynccontextmanager
async def two_workers(folder: Path) -> AsyncGenerator[tuple[Prober, Prober]]:
    """Two workers on one store, and a session that was opened at the first, as each of them is spoken to in it."""
    async with contextlib.AsyncExitStack() as stack:
        ports: list[int] = []
        for _ in range(2):
            app = App("asker", extensions=[tasks(question_ttl=60)])

            @app.tool
            async def think(ctx: Context) -> str:
                """Ask the model."""
                return getattr((await ctx.sample("Who?")).content, "text", "")

            store = await stack.enter_async_context(contextlib.aclosing(SQLiteStore(folder / "store.db")))
            url = await stack.enter_async_context(served(app.asgi(store=store, workers=2)))
            ports.append(int(url.rpartition(":")[2].partition("/")[0]))
        one = await Prober(ports[0]).ready(STATEFUL, TAKES)
        two = one.another()
        two.port = ports[1]
        yield one, two
        for prober in (one, two):
            for connection in prober.opened:
                await connection.close()


async def test_what_a_client_says_of_its_task_comes_by_another_worker(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two):
        stream = await one.stream("POST", one.message("tools/call", {"name": "think", "arguments": {}}))
        asked = await said(stream)
        assert asked["params"]["task"] == {"ttl": 60_000}
        assert (await two.send("POST", response(asked["id"], {"task": task()}))).status == 202
        word = {"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": task("completed")}
        looked = asyncio.ensure_future(said(stream))
        async with asyncio.timeout(20):
            while not looked.done():  # it counts from when the first worker has read that there is a task
                assert (await two.send("POST", json.dumps(word).encode())).status == 202
                await asyncio.wait((looked,), timeout=0.05)
        question = looked.result()
        assert question["method"] == "tasks/get"
        assert (await two.send("POST", response(question["id"], task("completed")))).status == 202
        fetched = await said(stream)
        assert fetched["method"] == "tasks/result"
        assert (await two.send("POST", response(fetched["id"], MESSAGE))).status == 202
        assert (await said(stream))["result"]["content"][0]["text"] == "Ada"
