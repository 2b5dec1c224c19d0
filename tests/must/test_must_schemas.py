"""Schemas, header annotations, keys of ``_meta`` and identifiers of extensions: judged where they are used."""

import asyncio
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
from must_peer import RawPeer, full_app, post

from client.raw_http import RawHTTP, result
from dovetail import App, Client, Context, RegistrationError
from dovetail.client.results import OutputInvalid
from dovetail.protocol.errors import InvalidParams, LocalProtocolError
from dovetail.protocol.revisions import STATELESS

MODERN = STATELESS[-1]
DRAFT_07 = "http://json-schema.org/draft-07/schema#"
FIRST_IS_A_NUMBER = [{"type": "integer"}]


def output(**members: Any) -> dict[str, Any]:
    """An output schema with a list ``p``, about which ``members`` say something."""
    schema = members.pop("schema", {})
    return {"type": "object", "properties": {"p": {"type": "array", **members}}, **schema}


def listing(schema: dict[str, Any]) -> RawPeer:
    """A server with one tool of this output schema, which gives a list that begins with a text."""

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] == "tools/list":
            tool = {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": schema}
            peer.result(message["id"], tools=[tool], ttlMs=0, cacheScope="private")
        else:
            said = {"content": [{"type": "text", "text": "x"}], "structuredContent": {"p": ["x"]}}
            peer.result(message["id"], **said)

    return RawPeer(answer)


@pytest.mark.requirement(
    "R2511-SCHEMA-002",
    "R2511-SCHEMA-004",
    "R2511-SCHEMA-005",
    "R2607-SCHEMA-006",
    "R2607-SCHEMA-008",
    "R2607-SCHEMA-009",
)
@pytest.mark.parametrize(
    "schema, fits",
    [
        (output(prefixItems=FIRST_IS_A_NUMBER), False),
        (
            output(prefixItems=FIRST_IS_A_NUMBER, schema={"$schema": DRAFT_07}),
            True,
        ),  # a word it does not know
        (output(items=FIRST_IS_A_NUMBER, schema={"$schema": DRAFT_07}), False),
    ],
    ids=["2020-12 unsaid", "draft-07 lacks it", "draft-07"],
)
async def test_a_client_holds_output_against_its_schema_in_the_dialect_of_that(
    schema: dict[str, Any], fits: bool
) -> None:
    async with Client(listing(schema)) as client:
        await client.list_tools()
        if fits:
            assert (await client.call_tool("t")).checked
        else:
            with pytest.raises(OutputInvalid, match="integer"):
                await client.call_tool("t")


@pytest.mark.requirement(
    "R2511-SCHEMA-002",
    "R2511-SCHEMA-004",
    "R2511-SCHEMA-005",
    "R2607-SCHEMA-006",
    "R2607-SCHEMA-008",
    "R2607-SCHEMA-009",
)
@pytest.mark.parametrize(
    "dialect, said, fits",
    [
        (None, "prefixItems", False),
        (DRAFT_07, "prefixItems", True),
        (DRAFT_07, "items", False),
    ],
)
async def test_a_server_holds_arguments_against_its_schema_in_the_dialect_of_that(
    dialect: str | None, said: str, fits: bool, connect: Any
) -> None:
    app = App("dialects")
    schema = output(schema={} if dialect is None else {"$schema": dialect}, **{said: FIRST_IS_A_NUMBER})

    async def takes(arguments: dict[str, Any]) -> str:
        return "taken"

    app.add_tool(takes, input_schema=schema)
    wire = await connect(app, MODERN)
    answer = await wire.call("takes", p=["x"])
    assert answer.get("isError", False) is not fits


@pytest.mark.requirement("R2511-SCHEMA-006", "R2607-SCHEMA-010")
async def test_an_unknown_dialect_is_told_and_costs_the_client_nothing_but_the_check() -> None:
    odd = "https://dialects.example/mine"
    async with Client(listing(output(schema={"$schema": odd}))) as client:
        await client.list_tools()
        found = await client.call_tool("t")
        assert found.structured == {"p": ["x"]}
        assert not found.checked
        assert odd in str(found.unchecked_because)
        assert "2020-12" in str(found.unchecked_because)
        (warning,) = client.warnings
        assert warning.kind == "schema"
        assert odd in warning.message


async def takes_anything(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


NO_SCHEMAS = [
    {"type": "object", "properties": {"p": {"type": "nonsense"}}},
    {"type": "object", "properties": {"p": {"minimum": "low"}}},
    {"type": "object", "required": "p"},
    {"type": "object", "$schema": "https://dialects.example/mine"},
    {"type": "object", "$schema": DRAFT_07, "properties": {"p": {"items": [{"type": 5}]}}},
]


@pytest.mark.requirement("R2511-SCHEMA-008", "R2607-SCHEMA-012", "R2511-SCHEMA-006", "R2607-SCHEMA-010")
@pytest.mark.parametrize("schema", NO_SCHEMAS, ids=str)
@pytest.mark.parametrize("which", ["input_schema", "output_schema"])
def test_what_is_no_schema_of_its_dialect_is_never_published(which: str, schema: dict[str, Any]) -> None:
    app = App("strict")
    options: dict[str, Any] = {which: schema}
    with pytest.raises(RegistrationError, match="test_must_schemas"):
        app.add_tool(takes_anything, **options)
    assert not app._catalog.tools.all()


@contextmanager
def shop() -> Generator[tuple[str, list[str]]]:
    """A web server that has a schema: its address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b'{"type": "string"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/schema.json", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.requirement("R2607-SCHEMA-013", "R2607-SCHEMA-014")
@pytest.mark.hostile
@pytest.mark.parametrize("how", ["$ref", "$dynamicRef"])
async def test_nobody_fetches_what_a_schema_refers_to(how: str) -> None:
    with shop() as (address, asked):
        schema = output(items={how: address})
        async with Client(listing(schema)) as client:
            await client.list_tools()
            found = await client.call_tool("t")
            assert not found.checked
            assert address in str(found.unchecked_because)
        for which in ("input_schema", "output_schema"):
            options: dict[str, Any] = {which: schema}
            with pytest.raises(RegistrationError):
                App("server").add_tool(takes_anything, **options)
        question = {"mode": "form", "message": "?", "requestedSchema": {**schema, "$schema": address}}

        def answer(peer: RawPeer, message: dict[str, Any]) -> None:
            asks = {"k": {"method": "elicitation/create", "params": question}}
            peer.result(message["id"], resultType="input_required", inputRequests=asks)

        async with Client(RawPeer(answer), elicitation=lambda _: {"p": ["x"]}) as client:
            with pytest.raises(InvalidParams, match="schema"):
                await client.call_tool("t")
        assert asked == []


BAD_KEYS = [
    "a b",
    "/name",
    "1a/x",
    "-a/x",
    "a-/x",
    "a..b/x",
    ".a/x",
    "com.example/-x",
    "com.example/x_",
    "_x",
    "é",
]


@pytest.mark.requirement(
    "R2511-SCHEMA-010",
    "R2511-SCHEMA-011",
    "R2511-SCHEMA-013",
    "R2607-SCHEMA-018",
    "R2607-SCHEMA-019",
    "R2607-SCHEMA-021",
    "R2607-SCHEMA-040",
    "R2607-SCHEMA-041",
    "R2607-SCHEMA-043",
)
@pytest.mark.parametrize("key", BAD_KEYS)
def test_what_is_no_key_of_meta_is_never_published(key: str) -> None:
    app = App("strict")
    meta = {"com.example/good": 1, key: 2}
    with pytest.raises(RegistrationError, match="_meta key"):
        app.add_tool(lambda: "x", name="t", meta=meta)
    with pytest.raises(RegistrationError, match="_meta key"):
        app.add_prompt(lambda: "x", name="p", meta=meta)
    with pytest.raises(RegistrationError, match="_meta key"):
        app.add_resource(lambda: "x", "note://a", name="r", meta=meta)


@pytest.mark.requirement("R2607-SCHEMA-032")
async def test_a_trace_that_is_none_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "x=1", "baggage": "k=v"}
    bad = {
        "traceparent": "00-" + "0" * 32 + "-" + "b" * 16 + "-01",
        "tracestate": "X=1",
        "baggage": "k=\u00e9 v",
    }
    carried: dict[str, str] = {}
    fake = ModuleType("opentelemetry.propagate")
    fake.inject = lambda carrier: carrier.update(carried)  # type: ignore[attr-defined] - it is made here
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", fake)
    peer = RawPeer(lambda peer, message: peer.result(message["id"], content=[]))
    async with Client(peer) as client:
        for each in (good, bad, {**bad, "baggage": "k=v"}):
            carried.clear()
            carried.update(each)
            await client.call_tool("t")
    metas = [call["params"]["_meta"] for call in peer.sent("tools/call")]
    traces = [{key: meta[key] for key in good if key in meta} for meta in metas]
    assert traces == [good, {}, {"baggage": "k=v"}]


@pytest.mark.requirement("R2607-VERSIONING-012", "R2607-VERSIONING-023", "R2607-VERSIONING-024")
@pytest.mark.parametrize(
    "identifier", ["extra", "com.example/", "/extra", "com..example/extra", "1.example/x", ""]
)
def test_an_extension_without_a_proper_name_is_never_declared(identifier: str) -> None:
    with pytest.raises(LocalProtocolError, match="prefix"):
        App("server", extensions={identifier: {}})
    with pytest.raises(LocalProtocolError, match="prefix"):
        Client("http://127.0.0.1:1/mcp", extensions={identifier: {}})


def annotated(**parameters: Any) -> dict[str, Any]:
    return {"type": "object", "properties": parameters}


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "empty": annotated(a={"type": "string", "x-mcp-header": ""}),
    "no token": annotated(a={"type": "string", "x-mcp-header": "a b"}),
    "no token either": annotated(a={"type": "string", "x-mcp-header": "a:b"}),
    "control character": annotated(a={"type": "string", "x-mcp-header": "a\r\nb"}),
    "NUL": annotated(a={"type": "string", "x-mcp-header": "a\x00"}),
    "twice": annotated(
        a={"type": "string", "x-mcp-header": "Region"}, b={"type": "string", "x-mcp-header": "region"}
    ),
    "number": annotated(a={"type": "number", "x-mcp-header": "A"}),
    "object": annotated(a={"type": "object", "x-mcp-header": "A"}),
    "untyped": annotated(a={"x-mcp-header": "A"}),
    "items": annotated(a={"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
    "anyOf": annotated(a={"anyOf": [{"type": "string", "x-mcp-header": "A"}]}),
    "if": {**annotated(a={"type": "string"}), "if": annotated(a={"type": "string", "x-mcp-header": "A"})},
    "$defs": {
        **annotated(a={"$ref": "#/$defs/d"}),
        "$defs": {"d": {"type": "string", "x-mcp-header": "A"}},
    },
    "root": {"type": "object", "x-mcp-header": "A"},
}


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-029",
    "R2607-TRANSPORT-HTTP-030",
    "R2607-TRANSPORT-HTTP-031",
    "R2607-TRANSPORT-HTTP-032",
    "R2607-TRANSPORT-HTTP-033",
    "R2607-TRANSPORT-HTTP-035",
    "R2607-TRANSPORT-HTTP-036",
    "R2607-TOOLS-022",
    "R2607-TOOLS-023",
    "R2607-TOOLS-024",
    "R2607-TOOLS-025",
    "R2607-TOOLS-026",
    "R2607-TOOLS-028",
)
@pytest.mark.parametrize("why", BAD_HEADERS)
def test_a_tool_whose_header_annotations_break_a_rule_is_never_published(why: str) -> None:
    app = App("strict")
    with pytest.raises(RegistrationError, match="x-mcp-header"):
        app.add_tool(takes_anything, input_schema=BAD_HEADERS[why])
    assert not app._catalog.tools.all()


PARAMETERS = annotated(
    text={"type": "string", "x-mcp-header": "Text"},
    count={"type": "integer", "x-mcp-header": "Count"},
    sure={"type": "boolean", "x-mcp-header": "Sure"},
    deep={"type": "object", **annotated(inner={"type": "string", "x-mcp-header": "Inner"})},
)


class Listening:
    """A server of the stateless era that notes the headers of each call."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []

    def __call__(self, method: str, headers: dict[str, str], message: Any) -> Any:
        hints = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        kind = message["method"]
        if kind == "server/discover":
            return (
                200,
                {},
                result(message, supportedVersions=[MODERN], capabilities={"tools": {}}, **hints),
            )
        if kind == "tools/list":
            return 200, {}, result(message, tools=[{"name": "t", "inputSchema": PARAMETERS}], **hints)
        self.heads.append({name: value for name, value in headers.items() if name.startswith("mcp-param-")})
        return 200, {}, result(message, resultType="complete", content=[])


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-028",
    "R2607-TRANSPORT-HTTP-041",
    "R2607-TRANSPORT-HTTP-042",
    "R2607-TRANSPORT-HTTP-044",
    "R2607-TRANSPORT-HTTP-047",
    "R2607-TRANSPORT-HTTP-048",
    "R2607-TRANSPORT-HTTP-054",
    "R2607-TRANSPORT-HTTP-055",
    "R2607-TRANSPORT-HTTP-056",
)
async def test_a_client_writes_arguments_into_headers_as_headers_can_carry_them() -> None:
    calls: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"text": "plain text"}, {"text": "plain text"}),
        ({"text": "t\u00e9"}, {"text": "=?base64?dMOp?="}),
        ({"text": " a"}, {"text": "=?base64?IGE=?="}),
        ({"text": "a\t"}, {"text": "=?base64?YQk=?="}),
        ({"text": "x\r\nX-Evil: 1"}, {"text": "=?base64?eA0KWC1FdmlsOiAx?="}),
        ({"text": "\x00"}, {"text": "=?base64?AA==?="}),
        ({"text": "=?base64?YQ==?="}, {"text": "=?base64?PT9iYXNlNjQ/WVE9PT89?="}),
        ({"text": ""}, {"text": ""}),
        ({"count": -5, "sure": True}, {"count": "-5", "sure": "true"}),
        ({"deep": {"inner": "x"}}, {"inner": "x"}),
        ({"text": None, "count": None, "deep": None}, {}),
        ({"deep": {}}, {}),
        ({}, {}),
    ]
    server = Listening()
    async with RawHTTP(server) as http, Client(http.url) as client:
        await client.list_tools()
        for arguments, _ in calls:
            await client.call_tool("t", arguments)
    assert server.heads == [
        {f"mcp-param-{name}": value for name, value in expected.items()} for _, expected in calls
    ]


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-034", "R2607-TOOLS-027")
async def test_integers_beyond_what_every_reader_can_hold_are_never_sent_in_headers() -> None:
    server = Listening()
    async with RawHTTP(server) as http, Client(http.url) as client:
        await client.list_tools()
        for fine in (2**53 - 1, -(2**53 - 1)):
            await client.call_tool("t", {"count": fine})
        for bad in (2**53, -(2**53), 10**18):
            with pytest.raises(LocalProtocolError, match="count"):
                await client.call_tool("t", {"count": bad})
    assert [head["mcp-param-count"] for head in server.heads] == ["9007199254740991", "-9007199254740991"]


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-044",
    "R2607-TRANSPORT-HTTP-045",
    "R2607-TRANSPORT-HTTP-046",
    "R2607-TRANSPORT-HTTP-051",
    "R2607-TRANSPORT-HTTP-052",
    "R2607-TRANSPORT-HTTP-053",
    "R2607-TRANSPORT-HTTP-055",
    "R2607-TRANSPORT-HTTP-056",
    "R2607-TRANSPORT-HTTP-057",
    "R2607-TRANSPORT-HTTP-062",
)
@pytest.mark.parametrize(
    "value, header, fine",
    [
        ("t\u00e9", "=?base64?dMOp?=", True),
        ("t\u00e9", "=?BASE64?dMOp?=", False),
        ("t\u00e9", "=?base64?dMOq?=", False),
        ("t\u00e9", "t\u00e9", False),
        ("x", "x", True),
        ("x", "=?base64?eA==?=", True),
        ("x", "y", False),
        ("x", "x\x7f", False),
        ("x", None, False),
        (None, None, True),
        (None, "x", False),
        ("absent", None, True),
        ("absent", "x", False),
    ],
)
async def test_a_server_holds_headers_against_the_arguments_that_they_repeat(
    value: Any, header: str | None, fine: bool
) -> None:
    app = App("headers")
    ran: list[Any] = []

    async def takes(arguments: dict[str, Any]) -> str:
        ran.append(arguments)
        return "taken"

    app.add_tool(takes, input_schema=annotated(t={"type": "string", "x-mcp-header": "Text"}))
    arguments = {} if value == "absent" else {"t": value}
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "takes", "arguments": arguments, "_meta": meta},
    }
    status, answer = await post(app, message, **({} if header is None else {"mcp_param_text": header}))
    assert status == (200 if fine else 400)
    if not fine:
        assert answer["error"]["code"] == -32020
        assert answer["id"] == 7
        assert not ran
    await app.service.stop()


@pytest.mark.requirement("R2511-PING-001")
@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25"])
async def test_a_server_that_takes_no_more_calls_still_answers_a_ping(revision: str, connect: Any) -> None:
    app = full_app()
    entered = asyncio.Semaphore(0)

    @app.tool
    async def wait(ctx: Context) -> None:
        entered.release()
        await asyncio.Event().wait()

    wire = await connect(app, revision)
    app.service.max_running = 2
    for number in range(2):
        await wire.start(f"w{number}", "tools/call", {"name": "wait"})
        await entered.acquire()
    assert "in progress" in (await wire.error("tools/call", {"name": "wait"}))["message"]
    assert await wire.result("ping") == {}
