"""A client of a hostile server: V26, F14. V32 is tested beside the HTTP transport.

The schema of a tool's output comes from the server, and so does the output. Nothing in it may make the client
open a connection or a file, or hold up its event loop.
"""

import asyncio
import builtins
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import Client
from dovetail.transports.client_seam import Outgoing, Receiver, Reply
from dovetail.transports.shared_channel import SharedChannel

pytestmark = pytest.mark.hostile


class HostileServer:
    """A client's transport to a server that offers one tool, with this output schema and this output."""

    name = "memory"
    http = False
    shared = True

    def __init__(self, schema: dict[str, Any], output: Any) -> None:
        self._schema = schema
        self._output = output
        self._channel: SharedChannel | None = None

    async def open(self, receiver: Receiver) -> None:
        self._channel = SharedChannel(self.name, self._take)
        self._channel.attach(receiver)

    async def request(self, out: Outgoing) -> Reply:
        assert self._channel is not None
        return await self._channel.request(out)

    async def send(self, out: Outgoing) -> None:
        pass

    async def listen(self) -> None:
        pass

    async def end_session(self) -> None:
        pass

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def describe(self) -> str:
        return "a hostile server"

    async def _take(self, data: bytes) -> None:
        message = json.loads(data)
        result: dict[str, Any] = {}
        if message["method"] == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "h", "version": "0"},
            }
        elif message["method"] == "tools/list":
            tool = {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": self._schema}
            result = {"tools": [tool]}
        elif message["method"] == "tools/call":
            result = {"content": [], "structuredContent": self._output}
        assert self._channel is not None
        self._channel.accept(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())


@asynccontextmanager
async def longest_pause() -> AsyncIterator[list[float]]:
    """The longest time that the event loop did not come round, in seconds of this thread's own work.

    What else runs on the machine does not count, so that a bound tells exponential work from linear and nothing else.
    """
    longest = [0.0]

    async def tick() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest[0] = max(longest[0], time.thread_time() - began)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    longest[0] = 0.0
    try:
        yield longest
    finally:
        ticking.cancel()
        await asyncio.wait({ticking})


async def called(schema: dict[str, Any], output: Any) -> float:
    """List, call twice; gives the longest pause. Whatever the schema is, the client goes on."""
    async with Client(HostileServer(schema, output), revision="2025-11-25") as client:
        await client.list_tools()
        async with longest_pause() as longest:
            for _ in range(2):
                result = await client.call_tool("t")
                assert result.structured == output
                await asyncio.sleep(0)  # for the pause to be seen
        return longest[0]


EXTERNAL: list[dict[str, Any]] = [
    {"$ref": "http://127.0.0.1:PORT/s"},
    {"$ref": "HTTP://127.0.0.1:PORT/s#/$defs/a"},
    {"$ref": "//127.0.0.1:PORT/s"},
    {"$ref": "file://FILE"},
    {"$ref": "FILE"},
    {"$dynamicRef": "http://127.0.0.1:PORT/s#a"},
    {"$schema": "http://127.0.0.1:PORT/dialect"},
    {"$id": "http://127.0.0.1:PORT/a/", "$ref": "b"},
    {"$id": "file://FILE/../", "properties": {"a": {"$ref": "never.json"}}},
    {"$defs": {"a": {"$id": "http://127.0.0.1:PORT/", "items": {"$ref": "x"}}}, "$ref": "#/$defs/a"},
    {"allOf": [{"not": {"if": {"contains": {"$ref": "http://127.0.0.1:PORT/"}}}}]},
    {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "http://127.0.0.1:PORT/",
        "properties": {"a": {"$ref": "x"}},
    },
]


@pytest.mark.parametrize("schema", EXTERNAL, ids=range(len(EXTERNAL)))
async def test_v26_an_output_schema_makes_the_client_fetch_nothing(
    schema: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from outside: a listening socket that nobody comes to, a file that would refuse everything."""
    (tmp_path / "never.json").write_text('{"not": {}}')
    visits: list[str] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("connection")
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = json.dumps(schema).replace("PORT", str(port)).replace("FILE", str(tmp_path / "never.json"))

    def opened(name: Any, *_: Any, **__: Any) -> Any:
        visits.append(f"open {name}")
        raise AssertionError(name)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(socket.socket, "connect", opened)
    monkeypatch.setattr(socket, "getaddrinfo", opened)
    await called(json.loads(text), {"a": 1})
    monkeypatch.undo()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not visits
    server.close()
    await server.wait_closed()


def doubling(levels: int) -> dict[str, Any]:
    """Each definition refers twice to the next: 2^levels ways through a few hundred bytes."""
    defs: dict[str, Any] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
        for n in range(levels)
    }
    defs[f"a{levels}"] = {"type": "object"}
    return {"$ref": "#/$defs/a0", "$defs": defs}


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


BOUNDED: dict[str, tuple[dict[str, Any], Any]] = {
    "refers to itself": ({"$ref": "#"}, {"a": 1}),
    "refers in a circle": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"a": 1},
    ),
    "all of itself": ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"a": 1}),
    "dynamic circle": (
        {"$dynamicAnchor": "n", "anyOf": [{"$dynamicRef": "#n"}, {"$dynamicRef": "#n"}]},
        {"a": 1},
    ),
    "doubles at each level of the value": (
        {
            "$ref": "#/$defs/n",
            "$defs": {"n": {"allOf": [{"properties": {"a": {"$ref": "#/$defs/n"}}}] * 2}},
        },
        nested(100),
    ),
    "pattern that backtracks": ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000}),
    "pattern with look-ahead": ({"properties": {"a": {"pattern": "^(?=a)(a|aa)*$"}}}, {"a": "a" * 20}),
    "too deep": (nested(90), {}),
    "too wide": ({"properties": {f"p{n}": {} for n in range(20_000)}}, {}),
    "references that double": (doubling(30), {}),
    "no schema": ({"type": "nonsense", "properties": 5}, {}),
}


@pytest.mark.parametrize("name", BOUNDED)
async def test_v26_f14_a_schema_costs_the_event_loop_little(name: str) -> None:
    schema, output = BOUNDED[name]
    assert await called(schema, output) < 2.0
