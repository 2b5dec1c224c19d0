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


@pytest.mark.requirement("R2607-CANCELLATION-019")
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
@pytest.mark.requirement(
    "R2607-CANCELLATION-016", "R2607-TRANSPORT-STDIO-011", "R2607-CANCELLATION-013", "R2607-CANCELLATION-026"
)
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
    early = await wire.error("tools/list")
    assert early["code"] == -32602
    assert "initialize" in early["message"], "a client of either era learns what it left out"
    assert await wire.result("ping") == {}
    await wire.open()
    again = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    assert (await wire.error("initialize", again))["code"] == -32600
    await wire.close()


@pytest.mark.requirement("R2511-LIFECYCLE-017", "R2511-VERSIONING-005")
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
    for bad in ([], [{"jsonrpc": "2.0", "method": "x"}] * 1001):
        await wire.send(bad)
        assert (await wire.next())["error"]["code"] == -32600
    opening = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    await wire.send([{"jsonrpc": "2.0", "id": "b4", "method": "initialize", "params": opening}])
    assert (await wire.next())[0]["error"]["code"] == -32600


def calls(tool: str, count: int, **arguments: Any) -> list[dict[str, Any]]:
    """Calls of a tool as they stand in a batch; their ids tell their place."""
    params = {"name": tool, "arguments": arguments}
    return [
        {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params} for n in range(100, 100 + count)
    ]


@pytest.mark.requirement("R2503-LIFECYCLE-005")
async def test_a_batch_of_a_thousand_calls_is_answered_whole_while_others_run(connect: Any) -> None:
    gate = Gate()
    wire = await connect(gate.app, "2025-03-26")
    waiting = await wire.start("w", "tools/call", {"name": "wait"})
    await wire.send(calls("quick", 1000))
    answer: Any = await wire.next()
    assert sorted(each["id"] for each in answer) == list(range(100, 1100))
    assert {each["result"]["content"][0]["text"] for each in answer} == {"quick"}
    gate.open.set()
    assert "result" in await asyncio.wait_for(waiting, 10)


@pytest.mark.requirement("R2503-LIFECYCLE-005")
async def test_the_answers_of_a_batch_are_bounded_together(connect: Any) -> None:
    app = App("large", max_message=10_000)

    @app.tool
    async def large() -> str:
        return "x" * 3000

    wire = await connect(app, "2025-03-26")
    for _ in range(2):  # what was held is let go
        await wire.send(calls("large", 30))
        answer: Any = await wire.next()
        assert sorted(each["id"] for each in answer) == list(range(100, 130))
        held = [each for each in answer if "result" in each]
        refused = [each["error"] for each in answer if "error" in each]
        assert len(held) == 13, "forty thousand bytes of them"
        assert {(each["code"], "send fewer" in each["message"]) for each in refused} == {(-32603, True)}


SURROGATE = rb"half of a \ud83d pair"


@EVERY
@pytest.mark.hostile
@pytest.mark.parametrize(
    "text, reason",
    [
        (SURROGATE, "surrogate"),
        (rb"\\\ude00 \ud83d\ude00", "surrogate"),
        (b"a\nbare line break", "not JSON"),
        (rb'\ud83d\ude00","number":NaN,"b":"', "not JSON"),
        (b"\xff", "UTF-8"),
    ],
    ids=["half", "other half", "line break", "no number", "bytes"],
)
@pytest.mark.parametrize("place", ["name", "argument", "method", "member"])
async def test_what_cannot_be_decoded_is_answered_under_its_id(
    revision: str, text: bytes, reason: str, place: str, connect: Any
) -> None:
    """The id stands first or last, as clients put it; a client that gets no answer waits for one."""
    wire = await connect(Gate().app, revision)
    filled = dict.fromkeys(("name", "argument", "member"), b"quick") | {
        "method": b"tools/call",
        place: text,
    }
    params = b'{"name":"%(name)b","arguments":{"a":"%(argument)b"}}' % {
        key.encode(): value for key, value in filled.items()
    }
    rest = b'"jsonrpc":"2.0","method":"%b","params":%b,"x":"%b"' % (
        filled["method"],
        params,
        filled["member"],
    )
    for id, message in ((7, b'{"id":7,%b}' % rest), ("last", b'{%b,"id":"last"}' % rest)):
        await wire.raw(message)
        answer = await wire.next()
        assert (answer.get("id"), answer["error"]["code"]) == (id, -32700), answer
        assert reason in answer["error"]["message"]
    await wire.raw(b'{"id":"%b",%b}' % (SURROGATE, rest))
    assert (await wire.next()).get("id") is None, "an id that can't be read can't be said either"
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.hostile
@pytest.mark.parametrize(
    "body", [rb'{"result":{"action":"accept","content":{"value":"\ud800"}}}', b'{"result":5}']
)
async def test_an_answer_that_cannot_be_read_ends_the_question(
    revision: str, body: bytes, connect: Any
) -> None:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("Who?", str)

    wire = await connect(app, revision, {"elicitation": {}})
    answer = await wire.start("q", "tools/call", {"name": "ask"})
    question = await wire.next()
    await wire.raw(b'{"jsonrpc":"2.0","id":"%b",%b' % (question["id"].encode(), body[1:]))
    assert "malformed" in json.dumps(await asyncio.wait_for(answer, 10))
    assert wire.inbox.empty(), "an answer is not answered"


VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


@pytest.mark.hostile
@pytest.mark.parametrize("opened", [True, False], ids=["in a session", "before any"])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "no/such"])
@pytest.mark.parametrize(
    "meta, named",
    [
        ({CAPABILITIES: {}}, VERSION),
        ({VERSION: None, CAPABILITIES: {}}, VERSION),
        ({VERSION: None}, VERSION),
        ({VERSION: 20260728}, VERSION),
        ({VERSION: ["2026-07-28"], CAPABILITIES: {}}, VERSION),
        ({VERSION: "2026-07-28"}, CAPABILITIES),
        ({VERSION: "2026-07-28", CAPABILITIES: []}, CAPABILITIES),
    ],
)
@pytest.mark.requirement("R2607-SCHEMA-023", "R2607-SCHEMA-024")
async def test_an_envelope_that_is_not_whole_is_invalid_whatever_else_the_pipe_carries(
    meta: dict[str, Any], named: str, method: str, opened: bool, connect: Any
) -> None:
    gate = Gate()
    if opened:
        wire = await connect(gate.app, "2025-11-25")
    else:
        wire = Wire(gate.app, "2025-11-25")
    params = {"name": "quick", "arguments": {}, "_meta": {"progressToken": 1, **meta}}
    await wire.send({"jsonrpc": "2.0", "id": "m", "method": method, "params": params})
    error = (await wire.next())["error"]
    assert error["code"] == -32602
    assert named in error["message"]
    await wire.close()


@pytest.mark.hostile
@pytest.mark.parametrize("meta", [None, {}, {"progressToken": 5}, {"io.modelcontextprotocol/other": 1}])
async def test_before_a_session_a_request_lacks_the_envelope(meta: Any) -> None:
    wire = Wire(Gate().app, "2025-11-25")
    params = {} if meta is None else {"_meta": meta}
    await wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params})
    error = (await wire.next())["error"]
    assert (error["code"], error["data"]["missing"]) == (-32602, VERSION)
    await wire.close()


async def test_other_reserved_names_leave_a_request_in_its_session(connect: Any) -> None:
    wire = await connect(Gate().app, "2025-11-25")
    text = f"a text with {VERSION} in it"
    for meta in ({"io.modelcontextprotocol/related-task": {"taskId": "1"}}, {"progressToken": text}):
        assert "result" in await wire.request("tools/call", {"name": "quick"}, meta=meta)
        assert "result" in await wire.request("tools/list", meta=meta)


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-023", "R2607-SCHEMA-024", "R2607-LOGGING-006")
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
