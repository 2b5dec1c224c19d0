"""Spans of servers and clients, by OpenTelemetry's conventions for MCP, over every transport and in both eras."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal, cast

import pytest
from opentelemetry import baggage, context, trace
from recorded import Recorded, id_of, parent_of, trace_of

from dovetail import App, Client, Context
from dovetail.errors import RPCError
from dovetail.stores import SQLiteStore
from dovetail.telemetry import Observer, OpenTelemetry, digest_of
from dovetail.testing import connected, served

ERAS = ("2025-11-25", "2026-07-28")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
Transport = Literal["memory", "stdio", "http-json", "http-sse"]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    found = Recorded()
    yield found
    found.close()


def desk(telemetry: Observer | None, **options: Any) -> App:
    app = App("desk", telemetry=() if telemetry is None else telemetry, **options)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def fail() -> None:
        raise ValueError("the secret of the house")

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("who?", str)

    @app.tool
    async def sleep(ctx: Context) -> None:
        await ctx.log("info", "asleep")
        await asyncio.sleep(60)

    @app.prompt
    async def greet(name: str) -> str:
        return f"hello {name}"

    @app.resource("desk://today")
    async def today() -> str:
        return "monday"

    @app.resource("desk://day/{name}")
    async def day(name: str) -> str:
        return name

    return app


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json", "http-sse"])
async def test_a_call_is_one_trace_from_client_to_server(
    transport: Transport, revision: str, recorded: Recorded
) -> None:
    app = desk(recorded.observer)
    options: Any = {"transport": transport, "revision": revision, "telemetry": recorded.observer}
    async with connected(app, **options) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    server, client_span = recorded.one("tools/call", "SERVER"), recorded.one("tools/call", "CLIENT")
    assert server.name == client_span.name == "tools/call add"
    assert trace_of(server) == trace_of(client_span)
    assert parent_of(server) == id_of(client_span)
    assert parent_of(client_span) is None
    found = dict(server.attributes or {})
    expected = {"memory": {}, "stdio": {"network.transport": "pipe"}}.get(
        transport, {"network.transport": "tcp", "network.protocol.name": "http"}
    )
    session = found.pop("mcp.session.id", None)
    assert found.pop("jsonrpc.request.id") == dict(client_span.attributes or {})["jsonrpc.request.id"]
    assert found == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": revision,
        "gen_ai.tool.name": "add",
        "gen_ai.operation.name": "execute_tool",
        "dovetail.outcome": "ok",
        **expected,
    }
    assert (session is not None) == (revision == ERAS[0])
    if transport.startswith("http"):
        place = dict(client_span.attributes or {})
        assert place["server.address"] == "127.0.0.1"
        assert isinstance(place["server.port"], int)
    assert not server.status.is_ok or server.status.status_code is trace.StatusCode.UNSET


@pytest.mark.parametrize("revision", ERAS)
async def test_other_requests_have_spans_and_say_no_value(revision: str, recorded: Recorded) -> None:
    async with connected(desk(recorded.observer), revision=revision, telemetry=recorded.observer) as client:
        await client.get_prompt("greet", {"name": "private"})
        await client.read("desk://today")
        await client.read("desk://day/private")
        await client.list_tools()
    assert recorded.one("prompts/get", "SERVER").name == "prompts/get greet"
    registered, template = recorded.spans("resources/read", "SERVER")
    assert dict(registered.attributes or {})["mcp.resource.uri"] == "desk://today"
    assert template.name == "resources/read"
    assert recorded.one("tools/list", "SERVER")
    everything = "".join(span.to_json() for span in recorded.spans())
    assert "private" not in everything


async def test_uris_are_there_when_asked_for() -> None:
    recorded = Recorded(uris=True)
    async with connected(desk(recorded.observer), revision=ERAS[1]) as client:
        await client.read("desk://day/public")
    span = recorded.one("resources/read", "SERVER")
    assert dict(span.attributes or {})["mcp.resource.uri"] == "desk://day/public"
    recorded.close()


@pytest.mark.parametrize("revision", ERAS)
async def test_errors_are_told_apart(revision: str, recorded: Recorded) -> None:
    async with connected(desk(recorded.observer), revision=revision, telemetry=recorded.observer) as client:
        assert (await client.call_tool("fail")).is_error
        with pytest.raises(RPCError):
            await client.call_tool("made-up-by-a-model")
    for kind in ("SERVER", "CLIENT"):
        failed, unknown = recorded.spans("tools/call", kind)
        assert dict(failed.attributes or {})["error.type"] == "tool_error"
        assert failed.status.status_code is trace.StatusCode.ERROR
        found = dict(unknown.attributes or {})
        assert (found["error.type"], found["rpc.response.status_code"]) == ("-32602", "-32602")
        assert "there is no tool" in (unknown.status.description or "")
    assert "gen_ai.tool.name" not in dict(recorded.spans("tools/call", "SERVER")[1].attributes or {})
    assert "secret" not in "".join(span.to_json() for span in recorded.spans())


@pytest.mark.parametrize("revision", ERAS)
async def test_a_cancelled_call_ends_its_spans(revision: str, recorded: Recorded) -> None:
    asleep = asyncio.Event()
    options: Any = {"revision": revision, "log_level": "info", "logging": lambda _: asleep.set()}
    async with connected(desk(recorded.observer), telemetry=recorded.observer, **options) as client:
        call = asyncio.create_task(client.call_tool("sleep"))
        await asleep.wait()
        call.cancel()
        await asyncio.wait([call])
        await client.list_tools()  # what was sent before it has been taken
    for kind in ("SERVER", "CLIENT"):
        span = recorded.one("tools/call", kind)
        assert dict(span.attributes or {})["error.type"] == "cancelled"


async def test_the_rounds_of_a_call_are_linked_and_one_trace(recorded: Recorded) -> None:
    app = desk(recorded.observer)
    async with connected(
        app,
        transport="http-json",
        revision=ERAS[1],
        telemetry=recorded.observer,
        elicitation=lambda _: {"value": "me"},
    ) as client:
        assert (await client.call_tool("ask")).text == "me"
    first, second = recorded.spans("tools/call", "SERVER")
    ours_first, ours_second = recorded.spans("tools/call", "CLIENT")
    assert dict(first.attributes or {})["dovetail.outcome"] == "input_required"
    assert [event.name for event in first.events] == ["dovetail.question"]
    assert dict(first.events[0].attributes or {})["mcp.method.name"] == "elicitation/create"
    assert [link.context.span_id for link in second.links] == [id_of(first)]
    assert [link.context.span_id for link in ours_second.links] == [id_of(ours_first)]
    question = recorded.one("elicitation/create", "SERVER")
    assert parent_of(question) == id_of(ours_first)
    traces = {trace_of(span) for span in (first, second, ours_first, ours_second, question)}
    assert len(traces) == 1


async def test_rounds_are_linked_whichever_worker_they_reach(recorded: Recorded) -> None:
    """The link travels in the sealed state: two apps that share keys know nothing else of each other."""
    keys = ["k" * 32]
    spans = Recorded()
    one, two = (desk(each.observer, keys=keys) for each in (recorded, spans))
    answers: Any = {"elicitation": lambda _: {"value": "me"}, "revision": ERAS[1], "telemetry": ()}
    async with Client(one, rounds="manual", **answers) as first, Client(two, **answers) as second:
        required = await first.request("tools/call", {"name": "ask", "arguments": {}})
        state, key = required["requestState"], next(iter(required["inputRequests"]))
        answer = {"action": "accept", "content": {"value": "me"}}
        await second.request(
            "tools/call",
            {"name": "ask", "arguments": {}, "requestState": state, "inputResponses": {key: answer}},
        )
    before, after = recorded.one("tools/call", "SERVER"), spans.one("tools/call", "SERVER")
    assert [link.context.span_id for link in after.links] == [id_of(before)]
    assert dict(after.links[0].attributes or {}) == {"dovetail.link": "previous_round"}
    spans.close()


async def test_a_question_of_a_session_is_part_of_its_call(recorded: Recorded) -> None:
    async with connected(
        desk(recorded.observer),
        transport="http-sse",
        revision=ERAS[0],
        telemetry=recorded.observer,
        elicitation=lambda _: {"value": "me"},
    ) as client:
        await client.call_tool("ask")
    call = recorded.one("tools/call", "SERVER")
    asked, answered = (
        recorded.one("elicitation/create", "CLIENT"),
        recorded.one("elicitation/create", "SERVER"),
    )
    assert parent_of(asked) == id_of(call)
    assert parent_of(answered) == id_of(asked)
    assert trace_of(asked) == trace_of(answered) == trace_of(call)
    points = [dict(point.attributes) for point in recorded.points("mcp.client.operation.duration")]
    assert "elicitation/create" in {point["mcp.method.name"] for point in points}


async def test_a_span_that_is_open_is_linked_and_the_parent_of_what_the_client_does(
    recorded: Recorded,
) -> None:
    tracer = recorded.tracers.get_tracer("program")
    async with connected(desk(recorded.observer), revision=ERAS[1], telemetry=recorded.observer) as client:
        with tracer.start_as_current_span("work") as work:
            await client.call_tool("add", {"a": 1, "b": 1})
    assert parent_of(recorded.one("tools/call", "CLIENT")) == work.get_span_context().span_id


async def post(url: str, message: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
    """Send one message as it is, over a socket."""
    host, _, rest = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    body = json.dumps(message).encode()
    head = {
        "host": host,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    reader, writer = await asyncio.open_connection(name, int(port))
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    writer.write(f"POST /{rest} HTTP/1.1\r\n{lines}\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    first, _, content = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(content) if content else None


def call_of(meta: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    own = {
        "io.modelcontextprotocol/protocolVersion": ERAS[1],
        "io.modelcontextprotocol/clientCapabilities": {},
        **meta,
    }
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": own}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return message, {"mcp-protocol-version": ERAS[1], "mcp-method": "tools/call", "mcp-name": "add"}


BAD = [
    {"traceparent": "00-" + "0" * 32 + "-" + PARENT + "-01"},
    {"traceparent": "ff-" + TRACE + "-" + PARENT + "-01"},
    {"traceparent": TRACEPARENT + "\r\nx: y"},
    {"traceparent": TRACEPARENT.upper()},
    {"traceparent": 7},
    {"traceparent": ["00"]},
    {"traceparent": "00-" + "a" * 100_000},
    {"tracestate": "a=1", "baggage": "k=" + "v" * 100_000},
    {"baggage": ",".join(f"k{n}=v" for n in range(65))},
    {"baggage": {"k": "v"}, "tracestate": 1},
]


@pytest.mark.hostile
@pytest.mark.parametrize("meta", BAD, ids=range(len(BAD)))
async def test_bad_trace_context_is_as_none(meta: dict[str, Any], recorded: Recorded) -> None:
    carried: list[Any] = []
    app = desk(recorded.observer, middleware=[noting(carried)])
    async with served(app.asgi()) as url:
        message, headers = call_of(meta)
        status, answer = await post(url, message, headers)
    assert (status, answer["result"]["content"][0]["text"]) == (200, "3")
    span = recorded.one("tools/call", "SERVER")
    assert span.parent is None
    assert carried == [{}]


def noting(carried: list[Any]) -> Any:
    async def note(call: Any, channel: Any, handler: Any) -> Any:
        carried.append(dict(baggage.get_all()))
        return await handler(call, channel)

    return note


@pytest.mark.requirement("R2607-SCHEMA-032")
async def test_what_the_specification_names_is_taken_from_meta(recorded: Recorded) -> None:
    carried: list[Any] = []
    app = desk(recorded.observer, middleware=[noting(carried)])
    async with served(app.asgi()) as url:
        message, headers = call_of({"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "who=me"})
        await post(url, message, {**headers, "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    span = recorded.one("tools/call", "SERVER")
    assert (f"{trace_of(span):032x}", f"{parent_of(span):016x}") == (TRACE, PARENT)
    assert span.context is not None
    assert span.context.trace_state.to_header() == "a=1"
    assert carried == [{"who": "me"}]


async def test_headers_count_where_meta_has_nothing(recorded: Recorded) -> None:
    async with served(desk(recorded.observer).asgi()) as url:
        message, headers = call_of({})
        await post(url, message, {**headers, "traceparent": TRACEPARENT})
    assert f"{trace_of(recorded.one('tools/call', 'SERVER')):032x}" == TRACE


async def test_strangers_decide_no_trace_where_they_are_only_linked() -> None:
    recorded = Recorded(remote_parents="link")
    async with served(desk(recorded.observer).asgi()) as url:
        message, headers = call_of({"traceparent": TRACEPARENT})
        await post(url, message, headers)
    span = recorded.one("tools/call", "SERVER")
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]
    recorded.close()


async def test_ids_of_sessions_are_digests(recorded: Recorded) -> None:
    seen: list[str] = []
    app = desk(recorded.observer)

    @app.tool
    async def which(ctx: Context) -> None:
        seen.append(ctx.session_id or "")

    async with connected(app, transport="http-json", revision=ERAS[0]) as client:
        await client.call_tool("which")
    span = recorded.one("tools/call", "SERVER")
    assert dict(span.attributes or {})["mcp.session.id"] == digest_of(seen[0])
    assert seen[0] not in span.to_json()


async def test_stores_have_spans_inside_those_of_their_calls(recorded: Recorded, tmp_path: Any) -> None:
    app = desk(recorded.observer, store=SQLiteStore(tmp_path / "s.db"))

    @app.tool
    async def keep(ctx: Context) -> None:
        await ctx.session.set("a", 1)

    async with connected(app, transport="http-json", revision=ERAS[0]) as client:
        await client.call_tool("keep")
    call = recorded.one("tools/call", "SERVER")
    inside = {span.name for span in recorded.spans() if parent_of(span) == id_of(call)}
    assert "sessions.save" in inside
    stored = next(span for span in recorded.spans() if span.name == "sessions.save")
    assert dict(stored.attributes or {})["dovetail.store.backend"] == "sqlite"


async def test_without_a_provider_nothing_is_recorded_and_all_works() -> None:
    async with connected(desk(OpenTelemetry()), revision=ERAS[1], telemetry=OpenTelemetry()) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    assert not trace.get_current_span(context.get_current()).get_span_context().is_valid


async def test_an_observer_that_fails_is_said_and_forgiven(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def begin(self, operation: Any) -> Any:
            raise RuntimeError("broken")

        def end(self, operation: Any, begun: Any) -> None:
            raise RuntimeError("broken")

    recorded = Recorded()
    app = App("desk", telemetry=[Broken(), recorded.observer])

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    async with connected(app, revision=ERAS[1]) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    assert recorded.one("tools/call", "SERVER")
    assert sum("the observer Broken failed" in record.getMessage() for record in caplog.records) == 1
    recorded.close()


def test_what_is_no_observer_is_refused() -> None:
    with pytest.raises(TypeError, match="telemetry= takes observers"):
        App("desk", telemetry=cast("Any", ["spans"]))
