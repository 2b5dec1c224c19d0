"""A connection under hostile and unlucky peers: what comes back, and that it goes on afterwards."""

import asyncio
import json
from typing import Any

import pytest

from dovetail import App, Context
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
DEEP = b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"


class Gate:
    """A tool that waits, and what became of it."""

    def __init__(self) -> None:
        self.app = App("gated")
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.open = asyncio.Event()

        @self.app.tool
        async def wait() -> str:
            self.entered.set()
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return "through"

        @self.app.tool
        async def quick() -> str:
            return "quick"


@EVERY
@pytest.mark.hostile
@pytest.mark.parametrize(
    "data, code, id",
    [
        (b"{", -32700, None),
        (b"", -32700, None),
        (b"nonsense", -32700, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"}x', -32700, None),
        (b'\xff\xfe{"a":1}', -32700, None),
        ('{"jsonrpc":"2.0","id":7,"method":"ping"}'.encode("utf-16"), -32700, None),
        (b"null", -32600, None),
        (b"7", -32600, None),
        (b"{}", -32600, None),
        (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"Method":"ping"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method\\u0000":"ping"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":3}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"no/such"}', -32601, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":5}}', -32602, 7),
        (DEEP, -32600, None),
        (
            b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":[' + b"[]," * 300_000 + b"[]]}}",
            -32600,
            7,
        ),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, bytes) else repr(value[:40]),
)
@pytest.mark.requirement(
    "R2607-LIFECYCLE-003",
    "R2607-LIFECYCLE-004",
    "R2607-LIFECYCLE-005",
    "R2607-LIFECYCLE-012",
    "R2511-LIFECYCLE-003",
    "R2511-LIFECYCLE-004",
    "R2511-LIFECYCLE-005",
    "R2511-LIFECYCLE-011",
)
async def test_what_is_no_message_gets_the_right_error(
    revision: str, data: bytes, code: int, id: Any, connect: Any
) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    if wire.stateless and code in (-32601, -32602):
        message = json.loads(data)
        message["params"] = {**message.get("params", {}), "_meta": wire.meta()}
        data = json.dumps(message).encode()
    await wire.raw(data)
    answer = await wire.next()
    assert answer["error"]["code"] == code, answer
    assert answer.get("id") == id
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"


@EVERY
@pytest.mark.hostile
async def test_bad_notifications_are_never_answered(revision: str, connect: Any) -> None:
    wire = await connect(Gate().app, revision)
    for data in (
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {}}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 999}},
        {"jsonrpc": "2.0", "method": "no/such"},
        {"jsonrpc": "2.0", "id": 555, "result": {}},
        {"jsonrpc": "2.0", "id": 556, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 557, "result": {}, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 558, "result": 5},
    ):
        await wire.send(data)
    await wire.call("quick")
    assert wire.inbox.empty()


@EVERY
@pytest.mark.requirement("R2607-CANCELLATION-016", "R2607-TRANSPORT-STDIO-011")
async def test_a_cancelled_call_stops_and_stays_silent(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    answer = await wire.start("c", "tools/call", {"name": "wait"})
    await asyncio.wait_for(gate.entered.wait(), 5)
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}})
    await asyncio.wait_for(gate.cancelled.wait(), 5)
    await wire.call("quick")
    assert not answer.done()
    assert wire.inbox.empty()


@EVERY
async def test_a_slow_call_holds_nobody_up(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    slow = await wire.start("s", "tools/call", {"name": "wait"})
    await wire.call("quick")
    assert not slow.done()
    gate.open.set()
    assert (await asyncio.wait_for(slow, 5))["result"]["content"][0]["text"] == "through"


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement("R2607-LIFECYCLE-006", "R2511-LIFECYCLE-006")
async def test_an_id_in_use_is_refused_and_the_first_call_goes_on(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    first = await wire.start("d", "tools/call", {"name": "wait"})
    await asyncio.wait_for(gate.entered.wait(), 5)
    second = await wire.start("d", "tools/call", {"name": "quick"})
    assert (await asyncio.wait_for(second, 5))["error"]["code"] == -32600
    assert not first.done()
    gate.open.set()
    answer = await wire.next()
    assert answer["result"]["content"][0]["text"] == "through"


@EVERY
async def test_closing_ends_what_runs(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    await wire.start("x", "tools/call", {"name": "wait"})
    await asyncio.wait_for(gate.entered.wait(), 5)
    await wire.close()
    assert gate.cancelled.is_set()


@EVERY
@pytest.mark.parametrize(
    "fault", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration]
)
async def test_whatever_a_handler_raises_ends_its_own_call_alone(
    revision: str, fault: type[BaseException], connect: Any
) -> None:
    app = App("faulty")

    @app.prompt
    async def bad() -> str:
        raise fault

    @app.tool
    async def quick() -> str:
        return "quick"

    wire = await connect(app, revision)
    assert (await wire.error("prompts/get", {"name": "bad"}))["code"] == -32603
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.hostile
@pytest.mark.requirement("R2511-LIFECYCLE-015")
async def test_nothing_but_ping_comes_before_initialize(revision: str) -> None:
    gate = Gate()
    wire = Wire(gate.app, revision)
    assert (await wire.error("tools/list"))["code"] == -32600
    assert await wire.result("ping") == {}
    await wire.open()
    again = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    assert (await wire.error("initialize", again))["code"] == -32600
    await wire.close()


@pytest.mark.requirement("R2511-LIFECYCLE-017")
async def test_an_unknown_version_is_answered_with_our_newest(connect: Any) -> None:
    gate = Gate()
    wire = Wire(gate.app, "2025-11-25")
    offered = {
        "protocolVersion": "1999-01-01",
        "capabilities": {},
        "clientInfo": {"name": "a", "version": "1"},
    }
    assert (await wire.result("initialize", offered))["protocolVersion"] == "2025-11-25"
    await wire.close()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.hostile
@pytest.mark.requirement("R2503-LIFECYCLE-005", "R2503-LIFECYCLE-006")
async def test_batches(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    batch: list[Any] = [
        {"jsonrpc": "2.0", "id": "b1", "method": "tools/call", "params": {"name": "quick"}},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": "b2", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b3", "method": "no/such"},
        5,
    ]
    await wire.send(batch)
    answer = await wire.next()
    if revision != "2025-03-26":
        assert answer["error"]["code"] == -32600
        return
    assert isinstance(answer, list)
    by_id = {each.get("id"): each for each in answer}
    assert by_id["b1"]["result"]["content"][0]["text"] == "quick"
    assert by_id["b2"]["result"] == {}
    assert by_id["b3"]["error"]["code"] == -32601
    assert by_id[None]["error"]["code"] == -32600
    for bad in ([], [{"jsonrpc": "2.0", "method": "x"}] * 101):
        await wire.send(bad)
        assert (await wire.next())["error"]["code"] == -32600
    opening = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    await wire.send([{"jsonrpc": "2.0", "id": "b4", "method": "initialize", "params": opening}])
    assert (await wire.next())[0]["error"]["code"] == -32600


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-023", "R2607-SCHEMA-024")
async def test_each_missing_field_of_meta_is_named(revision: str, connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, revision)
    for key in ("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"):
        meta = {name: value for name, value in wire.meta().items() if name != key}
        if key.endswith("protocolVersion"):
            await wire.send(
                {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}}
            )
        else:
            await wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})
        error = (await wire.next())["error"]
        assert error["code"] == -32602
        assert key in error["message"]
    stale = {**wire.meta(), "io.modelcontextprotocol/protocolVersion": "1900-01-01"}
    await wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": stale}})
    error = (await wire.next())["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": list(reversed(REVISIONS)), "requested": "1900-01-01"}
    loud = {**wire.meta(), "io.modelcontextprotocol/logLevel": "shouting"}
    await wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": loud}})
    assert (await wire.next())["error"]["code"] == -32602


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.hostile
@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
async def test_methods_of_the_other_era_do_not_exist(revision: str, method: str, connect: Any) -> None:
    wire = await connect(Gate().app, revision)
    assert (await wire.error(method))["code"] == -32601


async def test_both_eras_on_one_connection(connect: Any) -> None:
    gate = Gate()
    old = await connect(gate.app, "2025-06-18")
    new = Wire(gate.app, "2026-07-28")
    new.connection = old.connection
    modern = {"name": "quick", "_meta": new.meta()}
    await old.send({"jsonrpc": "2.0", "id": "m", "method": "tools/call", "params": modern})
    assert (await old.next())["result"]["resultType"] == "complete"
    assert "resultType" not in await old.call("quick")


@pytest.mark.parametrize("revision", STATEFUL)
async def test_asking_is_taken_back_when_the_call_is_cancelled(revision: str, connect: Any) -> None:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        return str((await ctx.sample("hello", max_tokens=5)).model)

    wire = await connect(app, revision, {"sampling": {}})
    await wire.start("a", "tools/call", {"name": "ask"})
    asked = await wire.next()
    assert asked["method"] == "sampling/createMessage"
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}})
    taken_back = await wire.next()
    assert taken_back["method"] == "notifications/cancelled"
    assert taken_back["params"]["requestId"] == asked["id"]
