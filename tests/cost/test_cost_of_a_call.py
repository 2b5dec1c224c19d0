"""What one plain call costs, in things that can be counted without a clock: tasks, timers, decodings, calls, memory.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from counting import fewest

from dovetail import App
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.runtime import tap

Endpoint = Callable[..., Awaitable[None]]

#: Functions of ours that one call runs through, comprehensions and properties included.
CALLS = {"stateless": 45, "stateful": 80}
#: Instructions of the whole interpreter for one call, in process, without HTTP.
INSTRUCTIONS = 190_000
#: How many calls they are counted of.
COUNTED = 200


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the oracle, which reads every message of the other tests: here its work would be counted too."""
    monkeypatch.setattr(tap, "listeners", [])


class Wire:
    """Posts one message after another to an endpoint, in process."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.answers: list[dict[str, Any]] = []
        self._scopes: dict[bytes, dict[str, Any]] = {}  # made once, so that making them is not counted

    async def post(self, body: bytes, **headers: str) -> bytes:
        """The body of the answer."""
        scope = self._scopes.get(body)
        if scope is None:
            given = {
                "host": "localhost",
                "content-type": names.MEDIA_JSON,
                "accept": f"{names.MEDIA_JSON}, {names.MEDIA_SSE}",
                "content-length": str(len(body)),
                **{key.replace("_", "-"): value for key, value in headers.items()},
            }
            scope = self._scopes[body] = {
                "type": "http",
                "method": "POST",
                "path": "/mcp",
                "query_string": b"",
                "headers": [(key.encode(), value.encode()) for key, value in given.items()],
            }
        parts = [{"type": "http.request", "body": body}]
        self.answers = []

        async def receive() -> dict[str, Any]:
            return parts.pop() if parts else await asyncio.get_running_loop().create_future()

        async def send(event: dict[str, Any]) -> None:
            self.answers.append(event)

        await self.endpoint(scope, receive, send)
        return b"".join(event.get("body", b"") for event in self.answers)


def small_app() -> App:
    app = App("cost")

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def echo(text: str) -> str:
        return text

    return app


def call(name: str, arguments: dict[str, Any], **members: Any) -> bytes:
    params = {"name": name, "arguments": arguments, **members}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": names.TOOLS_CALL, "params": params}).encode()


async def ready(
    app: App, era: str, **options: Any
) -> tuple[Wire, Callable[[str, dict[str, Any]], Awaitable[bytes]]]:
    """An endpoint that has served already, and a function that calls a tool of it."""
    wire = Wire(app.asgi(**options))
    if era == "stateless":
        revision = STATELESS[-1]
        meta = {names.META_PROTOCOL_VERSION: revision, names.META_CLIENT_CAPABILITIES: {}}

        async def use(name: str, arguments: dict[str, Any]) -> bytes:
            return await wire.post(
                call(name, arguments, _meta=meta),
                mcp_protocol_version=revision,
                mcp_method=names.TOOLS_CALL,
                mcp_name=name,
            )
    else:
        revision = STATEFUL[-1]
        params = {
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        }
        opening = {"jsonrpc": "2.0", "id": 0, "method": names.INITIALIZE, "params": params}
        await wire.post(json.dumps(opening).encode())
        session = dict(wire.answers[0]["headers"])[names.HEADER_SESSION.encode()].decode()
        known = {"mcp_session_id": session, "mcp_protocol_version": revision}
        note = {"jsonrpc": "2.0", "method": names.NOTIFY_INITIALIZED}
        await wire.post(json.dumps(note).encode(), **known)

        async def use(name: str, arguments: dict[str, Any]) -> bytes:
            return await wire.post(call(name, arguments), **known)

    for _ in range(5):
        assert b'"3"' in await use("add", {"a": 1, "b": 2})
    return wire, use


@pytest.mark.parametrize("era,tasks", [("stateless", 0), ("stateful", 1)])
async def test_tasks_and_timers_of_a_quick_call(
    era: str, tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the stateless era a quick call makes no task; before, exactly its own, which outlives the connection."""
    app = small_app()
    _, use = await ready(app, era)
    loop = asyncio.get_running_loop()
    made: Counter[str] = Counter()
    call_at = loop.call_at

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    def timed(*given: Any, **options: Any) -> asyncio.TimerHandle:
        made["timers"] += 1
        return call_at(*given, **options)

    loop.set_task_factory(factory)
    monkeypatch.setattr(loop, "call_at", timed)
    for _ in range(100):
        await use("add", {"a": 1, "b": 2})
    monkeypatch.undo()
    loop.set_task_factory(None)
    assert made["tasks"] == 100 * tasks
    # One timer ticks for all requests, every few milliseconds.
    assert made["timers"] <= 50
    await app.service.stop()


@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_decodings_and_calls_of_a_quick_call(era: str) -> None:
    """Envelope and parameters are decoded at once, then the arguments; one encoding of the result."""
    app = small_app()
    _, use = await ready(app, era)
    counted = await fewest(lambda: use("echo", {"text": "hello"}))
    assert counted.functions.total() <= CALLS[era], counted.functions.most_common()
    assert counted.codec["encode"] == 1
    # A session's record is read as well: any worker can serve it.
    assert counted.codec["decode"] == (2 if era == "stateless" else 3)
    await app.service.stop()


@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_nothing_is_left_of_a_call(era: str) -> None:
    app = small_app()
    _, use = await ready(app, era)

    async def some(count: int) -> int:
        for _ in range(count):
            await use("echo", {"text": "hello"})
        await asyncio.sleep(0)
        gc.collect()
        return sum(each.size for each in tracemalloc.take_snapshot().statistics("filename"))

    tracemalloc.start()
    try:
        await some(50)
        before = await some(50)
        after = await some(1000)
    finally:
        tracemalloc.stop()
    assert after - before < 1000 * 16, "bytes stay behind with each call"
    await app.service.stop()


@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_copies_of_a_large_text(era: str) -> None:
    """Of 8 MB that come in and go out again, never more than a few copies exist: the text the author gets, the encoded
    result, the message around it. (What the request itself takes is there before.)
    """
    size = 8_000_000
    app = small_app()
    _, use = await ready(app, era)
    text = "x" * size
    await use("echo", {"text": "warm"})
    tracemalloc.start()
    try:
        answer = use("echo", {"text": text})
        before, _ = tracemalloc.get_traced_memory()
        await answer
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copies = (peak - before) / size
    assert copies < 6, copies  # two of them are the request, made by this test
    await app.service.stop()


PROBE = """
import asyncio, os, sys, time
sys.path.insert(0, {here!r})
import test_cost_of_a_call as cost
from dovetail.runtime import stalls

# What is done once a second, or for calls that are slow, is no part of a call, however busy the machine is.
stalls.INTERVAL = 3600.0

async def main():
    app = cost.small_app()
    _, use = await cost.ready(app, "stateless", slow_after=3600.0)
    print("ready", flush=True)
    while not os.path.exists({counting!r}):  # in turns, in which valgrind hears what it is told
        time.sleep(0.001)
    for _ in range(20):
        await use("add", {{"a": 1, "b": 2}})
    os.getppid()  # where the counting begins
    for _ in range({count}):
        await use("add", {{"a": 1, "b": 2}})
    os.getppid()  # and ends

asyncio.run(main())
"""


def counted_by_valgrind(valgrind: str, program: list[str], folder: Path, begin: Path) -> None:
    """Run a program that says that it is ready and waits for a file, and count from then on: what it imports before
    would take valgrind twenty times as long to count.
    """
    counting = [
        "--tool=callgrind",
        "--instr-atstart=no",
        "--dump-before=getppid",
        f"--callgrind-out-file={folder / 'callgrind'}",
        "--log-file=/dev/null",
    ]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        [valgrind, *counting, *program], env=environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            control = [str(Path(valgrind).with_name("vgdb")), f"--pid={process.pid}", "instrumentation", "on"]
            subprocess.run(control, check=True, capture_output=True)
            begin.touch()
            assert process.wait() == 0
        finally:
            process.kill()


@pytest.mark.timeout(240)
def test_instructions_of_a_call(tmp_path: Path) -> None:
    """Counted by valgrind between two marks of one process; what that does before and after, no two do alike. A
    machine's load does not change it.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("no-valgrind: instructions cannot be counted")
    begin, folder = tmp_path / "begin", tmp_path / "counted"
    folder.mkdir()
    probe = PROBE.format(here=str(Path(__file__).parent), count=COUNTED, counting=str(begin))
    counted_by_valgrind(valgrind, [sys.executable, "-c", probe], folder, begin)
    assert sorted(path.name for path in folder.iterdir()) == ["callgrind", "callgrind.1", "callgrind.2"]
    between = (folder / "callgrind.2").read_text().splitlines()
    total = next(int(line.split()[1]) for line in between if line.startswith("summary:"))
    assert 0.5 * INSTRUCTIONS < total / COUNTED < INSTRUCTIONS, total / COUNTED
