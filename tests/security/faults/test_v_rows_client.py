"""A client of a hostile server: V26, F14. V32 is tested beside the HTTP transport.

The schema of a tool's output comes from the server, and so does the output. Nothing in it may make the client
open a connection or a file, or hold up its event loop.
"""

import asyncio
import builtins
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import Client
from dovetail.client.results import OutputInvalid
from dovetail.protocol.bounded import Bounded
from dovetail.protocol.schema import validator as schemas
from dovetail.transports.client_transport import Outgoing, ReceivedResponse, Receiver
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

    async def request(self, out: Outgoing) -> ReceivedResponse:
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


async def called(schema: dict[str, Any], output: Any) -> None:
    """List, call twice. Whatever the schema is, the client goes on."""
    async with Client(HostileServer(schema, output), revision="2025-11-25") as client:
        await client.list_tools()
        for _ in range(2):
            result = await client.call_tool("t")
            assert result.structured == output


class Visits:
    """A keyword of ours: the validator tells it of each schema that it judges a value by. No clock.

    Beyond ``most`` nothing fits, so that a broken bound fails a test and does not hang it.
    """

    count = 0
    most = 100_000

    def __init__(self, *_: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        Visits.count += 1
        if Visits.count > Visits.most:
            raise ValueError("more was visited than the test allows")


def watched(schema: Any) -> Any:
    """The schema, with that keyword in each schema inside it."""
    if isinstance(schema, list):
        return [watched(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: each if key in ("enum", "const") else watched(each) for key, each in schema.items()}
    return {**inner, "visited": True}


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> type[Visits]:
    """Validators count what they visit."""

    def counting(engine: Any) -> Any:
        return lambda schema, **options: engine(schema, keywords={"visited": Visits}, **options)

    engines = {name: counting(engine) for name, engine in schemas._engines().items()}
    monkeypatch.setattr(schemas, "_ENGINES", engines)
    monkeypatch.setattr(schemas, "_cache", Bounded(256, 2**20))
    monkeypatch.setattr(Visits, "count", 0)
    return Visits


@contextmanager
def python_calls() -> Iterator[list[int]]:
    """Calls of Python functions meanwhile: what screening, pricing and counting cost."""
    counted = [0]

    def count(frame: Any, event: str, argument: Any) -> None:
        counted[0] += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(before)


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


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("name", BOUNDED)
async def test_v26_f14_a_schema_costs_the_event_loop_little(name: str, visits: type[Visits]) -> None:
    """In counts of work: what the validator visits, and what we do before. Exponential would be 2^30 and more."""
    schema, output = BOUNDED[name]
    offered = watched(schema)
    with python_calls() as calls:
        await called(offered, output)
    assert visits.count < 5_000
    assert calls[0] < 400_000


PRODUCTS: dict[str, tuple[dict[str, Any], Any]] = {
    "enum of numbers": ({"items": {"enum": [n + 0.5 for n in range(4000)]}}, [3999.5] * 20_000),
    "enum of objects": ({"items": {"enum": [{"a": n} for n in range(1500)]}}, [{"a": 1499}] * 6_000),
    "const": ({"items": {"const": [n + 0.5 for n in range(3_000)]}}, [[n + 0.5 for n in range(3_000)]] * 60),
    "anyOf": ({"items": {"anyOf": [{"const": n} for n in range(2_000)]}}, [1999] * 20_000),
    "oneOf": ({"items": {"oneOf": [{"required": ["a"]} for _ in range(2_000)]}}, [{}] * 20_000),
    "unevaluated": ({"items": {"allOf": [{"items": {}}] * 2_000, "unevaluatedItems": False}}, [[1]] * 20_000),
    "huge integers": ({"uniqueItems": True}, [10**1000 + n for n in range(1_000)]),
}


@pytest.mark.parametrize("name", PRODUCTS)
async def test_v26_f14_a_large_schema_times_a_large_output_is_refused(
    name: str, visits: type[Visits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not checked at any price: the result says that it was not, before the validator has seen anything."""
    schema, output = PRODUCTS[name]
    monkeypatch.setattr(visits, "most", 0)
    async with Client(HostileServer(watched(schema), output), revision="2025-11-25") as client:
        await client.list_tools()
        result = await client.call_tool("t")
        assert not result.checked
        assert "too much work" in (result.unchecked_because or "")
        assert [warning.kind for warning in client.warnings] == ["schema"]
        assert visits.count == 0
        assert (await client.list_tools()).tools[0].name == "t"


async def test_v26_f14_an_output_that_breaks_a_large_enum_everywhere_is_told_in_short(
    visits: type[Visits],
) -> None:
    """Each error would carry all options: the validator is asked for one, not for all."""
    schema = {"type": "array", "items": watched({"enum": [str(n) for n in range(4000)]})}
    async with Client(HostileServer(schema, ["x"] * 20_000), revision="2025-11-25") as client:
        await client.list_tools()
        with pytest.raises(OutputInvalid, match=r"\[0\]: expected one of") as refused:
            await client.call_tool("t")
    assert len(str(refused.value)) < 1_000
    assert visits.count < 10
