"""What a call on stdio costs in things that can be counted: waits for the pipe, reads, writes, turns of the loop; and
what a server loads before it answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import subprocess
import sys
from typing import Any

import pytest

from dovetail import App
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.runtime.connection import ServerConnection
from dovetail.transports.stdio.streams import StdioStreams

#: What a server of plain tools does without until it is needed. Each of them takes time at every start.
UNNEEDED = (
    "jsonschema_rs",
    "hashlib",
    "hmac",
    "random",
    "secrets",
    "json",
    "zlib",
    "difflib",
    "pathlib",
    "mimetypes",
    "email",
    "uvloop",
    "uvicorn",
    "aiohttp",
    "pydantic",
    "cryptography",
    "dovetail.client",
    "dovetail.protocol.tool_balance",
    "dovetail.protocol.uri_template.expansion",
    "dovetail.server.contents",
    "dovetail.server.messages",
    "dovetail.server.texts",
    "dovetail.transports.http1",
    "dovetail.transports.http_client",
    "dovetail.transports.http_server",
    "dovetail.transports.stdio.client",
    "dovetail.transports.unix",
    "dovetail.cli",
)
MOST_MODULES = 132


class Counting(selectors.DefaultSelector):
    """Counts how often the loop waits for something."""

    waits = 0

    def select(self, timeout: float | None = None) -> Any:
        self.waits += 1
        return super().select(timeout)


def made() -> App:
    app = App("counted")

    @app.tool
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    return app


def opening(revision: str) -> list[dict[str, Any]]:
    if revision in STATELESS:
        return []
    params = {
        "protocolVersion": revision,
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    }
    return [
        {"jsonrpc": "2.0", "id": 0, "method": names.INITIALIZE, "params": params},
        {"jsonrpc": "2.0", "method": names.NOTIFY_INITIALIZED},
    ]


@pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
def test_a_call_is_one_wait_one_read_and_one_write(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    selector = Counting()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_count_calls(revision, selector, monkeypatch))


async def _count_calls(revision: str, selector: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    app = made()
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    streams = StdioStreams(ours_in, ours_out)
    connection = ServerConnection(app.service, streams.put, transport="stdio", at_once=True)
    await app.service.start()
    serving = asyncio.create_task(streams.serve(connection.take))
    counted: dict[str, int] = {}
    waits = 0
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def counting(name: str, call: Any) -> Any:
        def counted_call(descriptor: int, *rest: Any) -> Any:
            counted[name] = counted.get(name, 0) + 1
            return call(descriptor, *rest)

        return counted_call

    # The client is a callback of the same loop, which reads as the server does: its own waits are known.
    read, write = os.read, os.write
    asyncio.get_running_loop().add_reader(theirs_in, lambda: answered.set_result(read(theirs_in, 65536)))
    for message in opening(revision):
        write(theirs_out, json.dumps(message).encode() + b"\n")
    if opening(revision):
        await asyncio.wait_for(answered, 10)
        answered = asyncio.get_running_loop().create_future()
    meta = {names.META_PROTOCOL_VERSION: revision, names.META_CLIENT_CAPABILITIES: {}}
    for _ in range(3):  # the second and third are what they all cost
        counted.clear()
        monkeypatch.setattr(os, "read", counting("read", read))
        monkeypatch.setattr(os, "writev", counting("write", os.writev))
        params = {"name": "add", "arguments": {"a": 1, "b": 2}}
        if revision in STATELESS:
            params["_meta"] = meta
        line = json.dumps({"jsonrpc": "2.0", "id": 5, "method": names.TOOLS_CALL, "params": params}).encode()
        before = selector.waits
        write(theirs_out, line + b"\n")
        answer = await asyncio.wait_for(answered, 10)
        waits = selector.waits - before
        monkeypatch.undo()
        assert json.loads(answer)["result"]["content"][0]["text"] == "3"
        answered = asyncio.get_running_loop().create_future()
    assert counted == {"read": 1, "write": 1}
    assert waits <= 4, (
        "one for the request, one for its answer; the test's own timer and task take the others"
    )
    asyncio.get_running_loop().remove_reader(theirs_in)
    await connection.close()
    serving.cancel()
    await asyncio.wait([serving])
    await app.service.stop()
    streams._undo.clear()
    streams.release()
    for descriptor in (theirs_in, theirs_out):
        os.close(descriptor)


SERVER = """
import sys
from typing import Annotated, Literal
from dovetail import App, Range

async def tell(call, channel, handler):
    sys.stderr.write(" ".join(sys.modules) + "\\n")
    return await handler(call, channel)

app = App("plain", middleware=[tell])

@app.tool
async def add(a: int, b: int) -> int:
    "Add."
    return a + b

@app.tool
def words(
    text: str,
    often: list[int] | None = None,
    sort: Literal["short", "long"] = "short",
    most: Annotated[int, Range(1, 100)] = 10,
) -> dict[str, str]:
    "Words."
    return {}

app.run()
"""


@pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
def test_a_server_of_plain_tools_loads_little_before_it_answers(revision: str) -> None:
    meta = {names.META_PROTOCOL_VERSION: revision, names.META_CLIENT_CAPABILITIES: {}}
    first = (
        opening(revision)[0]
        if revision in STATEFUL
        else {"jsonrpc": "2.0", "id": 0, "method": names.DISCOVER, "params": {"_meta": meta}}
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", SERVER],
        input=json.dumps(first).encode() + b"\n",
        capture_output=True,
        timeout=60,
        check=True,
        env=plain,
    )
    assert json.loads(done.stdout)["id"] == 0
    loaded = set(done.stderr.decode().split())
    bare = subprocess.run(
        [sys.executable, "-I", "-c", "import asyncio, msgspec, sys; print(*sys.modules)"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    ours = loaded - set(bare.stdout.decode().split())
    assert sorted(ours & set(UNNEEDED)) == []
    assert len([name for name in ours if name.startswith("dovetail")]) <= MOST_MODULES
