"""What the stateful era's event streams cost, in things that can be counted without a clock: functions, tasks, bytes.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from typing import Any

import pytest
import uvicorn
from counting import fewest
from test_cost_of_a_call import Wire, call, small_app
from uvicorn.server import ServerState

from dovetail import App, Context
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.runtime import tap
from dovetail.transports.http1.server.connection import HTTPServerConnections

STREAMS = 200
#: Functions of ours for one call that is answered as an event stream, with a priming event and the event log.
CALLS = 88
#: Functions of ours for each notification that a call sends, from the author's line to the ASGI server.
CALLS_OF_A_NOTIFICATION = {"stateless": 11, "stateful": 33}
#: The same in the stateless era on a server of ours, which takes a message there and then, down to the event loop's.
CALLS_OF_A_PUSHED_NOTIFICATION = 9
#: Functions of ours for each stream that is told of a change; and how many streams those of this test are.
CALLS_OF_A_CHANGE = 14
LISTENERS = 250
#: Bytes of a session that nobody uses, and of a stream on which nothing happens, in Python's own allocations. Of the
#: latter, 1200 are this test's: what a server keeps of a request.
IDLE_SESSION = 1_500
IDLE_STREAM = 9_350


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
    counted = await fewest(lambda: wire.post(call("add", {"a": 1, "b": 2}), **known))
    assert counted.functions.total() <= CALLS, counted.functions.most_common()
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


def reporting_app() -> App:
    app = App("cost")

    @app.tool
    async def report(ctx: Context, times: int) -> str:
        for done in range(times):
            await ctx.progress(done, times)
        return "done"

    return app


@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_a_notification(era: str) -> None:
    """No task, no lock, no timer; and in the stateful era, where all goes through the event log, no more than that."""
    app = reporting_app()
    wire = Wire(app.asgi(slow_after=60.0))
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
        return (await fewest(lambda: wire.post(body, **known))).functions.total()

    each = (await count(60) - await count(10)) / 50
    assert each <= CALLS_OF_A_NOTIFICATION[era], each
    await app.service.stop()


class Line(asyncio.Transport):
    """A connection that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        return

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


class Served:
    """An application on our server's connections, and the requests that are in progress."""

    def __init__(self, endpoint: Any) -> None:
        self._config = uvicorn.Config(endpoint, log_config=None, lifespan="off")
        self._config.load()
        self._state = ServerState()
        self._connections = HTTPServerConnections(30.0)
        self.tasks = self._state.tasks

    def post(self, method: str, params: dict[str, Any]) -> Line:
        """A request of the stateless era, on a connection of its own."""
        meta = {
            "progressToken": 7,
            names.META_PROTOCOL_VERSION: STATELESS[-1],
            names.META_CLIENT_CAPABILITIES: {},
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        body = json.dumps(message).encode()
        head = {
            "host": "localhost",
            "content-type": names.MEDIA_JSON,
            "accept": f"{names.MEDIA_JSON}, {names.MEDIA_SSE}",
            "content-length": str(len(body)),
            "mcp-protocol-version": STATELESS[-1],
            "mcp-method": method,
            **({"mcp-name": params["name"]} if "name" in params else {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        line = Line()
        connection = self._connections(self._config, self._state, {})
        connection.connection_made(line)
        connection.data_received(f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body)
        return line


async def test_a_notification_that_our_server_takes() -> None:
    """No coroutine but the author's own, no lock, no timer: it is on its way when `progress` returns."""
    app = reporting_app()
    served = Served(app.asgi(slow_after=60.0))

    async def count(times: int) -> int:
        async def posted() -> None:
            line = served.post(names.TOOLS_CALL, {"name": "report", "arguments": {"times": times}})
            while served.tasks:  # none since Python 3.12: the call has begun, and has not waited
                await asyncio.wait(served.tasks)
            assert b"".join(line.written).count(b'"progress":') == times

        return (await fewest(posted)).functions.total()

    await count(1)
    each = (await count(60) - await count(10)) / 50
    assert each <= CALLS_OF_A_PUSHED_NOTIFICATION, each
    await app.service.stop()


async def test_a_change_that_many_are_told() -> None:
    """Nobody's task is woken for it, and what all are told is encoded once."""
    app = small_app()
    app.add_resource(lambda: "text", "note://a")
    served = Served(
        app.asgi(slow_after=60.0)
    )  # what is set off when streams are no longer new is not counted
    wanted = {"notifications": {"resourceSubscriptions": ["note://a"]}}
    opened = [served.post(names.SUBSCRIPTIONS_LISTEN, wanted) for _ in range(LISTENERS)]
    for line in opened:
        while not line.written:  # noqa: ASYNC110 - a connection of this test's, which tells nobody
            await asyncio.sleep(0)
    before = Counter(len(line.written) for line in opened)
    assert len(before) == 1

    async def change() -> None:
        app.resource_updated("note://a")
        for _ in range(5):
            await asyncio.sleep(0)

    counted = await fewest(change)
    assert Counter(len(line.written) - 5 for line in opened) == before
    assert counted.functions.total() / LISTENERS <= CALLS_OF_A_CHANGE, counted.functions.most_common()
    assert counted.codec["encode"] <= 1
    await app.service.stop()
    while served.tasks:
        await asyncio.wait(served.tasks)


async def idle_bytes() -> tuple[float, float]:
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
    assert len(asyncio.all_tasks()) <= 2 * len(tasks) + 3, (
        "one task of ours for each stream, and the server's own"
    )
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await app.service.stop()
    return (opened - before) / STREAMS, (after - opened) / STREAMS


def test_idle_sessions_and_streams() -> None:
    """In a process of its own: the tables of one in which tests ran before grow at other moments."""
    told = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=60, check=True)
    session, stream = (float(each) for each in told.stdout.split())
    assert session < IDLE_SESSION
    assert stream < IDLE_STREAM


if __name__ == "__main__":
    sys.stdout.write("{} {}".format(*asyncio.run(idle_bytes())))
