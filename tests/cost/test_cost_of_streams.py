"""What the stateful era's event streams cost, in things that can be counted without a clock: functions, tasks, bytes.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from test_cost_of_a_call import Counted, Wire, call, small_app

from dovetail import App, Context
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.runtime import tap

STREAMS = 200
#: Functions of ours for one call that is answered as an event stream, with a priming event and the event log.
CALLS = 125
#: Functions of ours for each notification that a call sends, from the author's line to the ASGI server.
CALLS_OF_A_NOTIFICATION = {"stateless": 12, "stateful": 36}
#: Bytes of a session that nobody uses, and of a stream on which nothing happens, in Python's own allocations. Of the
#: latter, 1200 are this test's: what a server keeps of a request.
IDLE_SESSION = 1_500
IDLE_STREAM = 9_500


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `test_cost_of_a_call`."""
    monkeypatch.setattr(tap, "listeners", [])


def opening(revision: str) -> bytes:
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    return json.dumps({"jsonrpc": "2.0", "id": 0, "method": names.INITIALIZE, "params": params}).encode()


async def session_of(wire: Wire) -> dict[str, str]:
    """The headers of a new session."""
    await wire.post(opening(STATEFUL[-1]))
    session = dict(wire.answers[0]["headers"])[names.HEADER_SESSION.encode()].decode()
    known = {"mcp_session_id": session, "mcp_protocol_version": STATEFUL[-1]}
    await wire.post(json.dumps({"jsonrpc": "2.0", "method": names.NOTIFY_INITIALIZED}).encode(), **known)
    wire._scopes.clear()
    return known


async def test_a_quick_call_answered_as_a_stream() -> None:
    """One task, no stream that lasts, no timer of its own, and everything in one write."""
    app = small_app()
    wire = Wire(app.asgi(responses="sse"))
    known = await session_of(wire)
    for _ in range(5):
        answer = await wire.post(call("add", {"a": 1, "b": 2}), **known)
        assert answer.startswith(b"id: r")
        assert answer.count(b"\n\n") == 2
        assert b'"3"' in answer
        assert len(wire.answers) == 2
    with Counted() as counted:
        await wire.post(call("add", {"a": 1, "b": 2}), **known)
    assert counted.functions <= CALLS, counted.functions
    made: Counter[str] = Counter()
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    for _ in range(100):
        await wire.post(call("add", {"a": 1, "b": 2}), **known)
    loop.set_task_factory(None)
    assert made["tasks"] == 100
    await app.service.stop()


@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_a_notification(era: str) -> None:
    """No task, no lock, no timer; and in the stateful era, where all goes through the event log, no more than that."""
    app = App("cost")

    @app.tool
    async def report(ctx: Context, times: int) -> str:
        for done in range(times):
            await ctx.progress(done, times)
        return "done"

    wire = Wire(app.asgi())
    known: dict[str, str] = {}
    meta: dict[str, Any] = {"progressToken": 7}
    if era == "stateless":
        meta |= {names.META_PROTOCOL_VERSION: STATELESS[-1], names.META_CLIENT_CAPABILITIES: {}}
        known["mcp_protocol_version"] = STATELESS[-1]
        known |= {"mcp_method": names.TOOLS_CALL, "mcp_name": "report"}
    else:
        known = await session_of(wire)

    async def count(times: int) -> int:
        body = call("report", {"times": times}, _meta=meta)
        assert (await wire.post(body, **known)).count(b'"progress":') == times
        with Counted() as counted:
            await wire.post(body, **known)
        return counted.functions

    each = (await count(60) - await count(10)) / 50
    assert each <= CALLS_OF_A_NOTIFICATION[era], each
    await app.service.stop()


async def test_idle_sessions_and_streams() -> None:
    """Bytes of one session, and of one open stream besides."""
    app = small_app()
    wire = Wire(app.asgi())
    await session_of(wire)
    loop = asyncio.get_running_loop()
    began, opened_one = 0, asyncio.Event()

    async def receive() -> dict[str, Any]:
        return await loop.create_future()

    async def send(event: dict[str, Any]) -> None:
        nonlocal began
        if event.get("body", b"").startswith(b"id: s"):
            began += 1
            opened_one.set()

    def listen(known: dict[str, str]) -> asyncio.Task[None]:
        headers = [
            (b"host", b"localhost"),
            (b"accept", names.MEDIA_SSE.encode()),
            *[(key.replace("_", "-").encode(), value.encode()) for key, value in known.items()],
        ]
        scope = {"type": "http", "method": "GET", "path": "/mcp", "query_string": b"", "headers": headers}
        return loop.create_task(wire.endpoint(scope, receive, send))  # type: ignore[arg-type] # a coroutine it is

    async def open_all(all_known: list[dict[str, str]]) -> list[asyncio.Task[None]]:
        wanted = began + len(all_known)
        tasks = [listen(known) for known in all_known]
        while began < wanted:
            opened_one.clear()
            await opened_one.wait()
        return tasks

    def traced() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = [await session_of(wire) for _ in range(5)]
        tasks = await open_all(first)
        before = traced()
        sessions = [await session_of(wire) for _ in range(STREAMS)]
        opened = traced()
        tasks += await open_all(sessions)
        after = traced()
    finally:
        tracemalloc.stop()
    assert (opened - before) / STREAMS < IDLE_SESSION
    assert (after - opened) / STREAMS < IDLE_STREAM
    assert len(asyncio.all_tasks()) <= 2 * len(tasks) + 3, (
        "one task of ours for each stream, and the server's own"
    )
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await app.service.stop()
