"""The stateless era over HTTP, on a real socket: the ladder of refusals, streams, departures."""

from __future__ import annotations

import asyncio
import json

import pytest
from http_serving import META, MODERN, Stream, bench, serving, until

from dovetail.protocol import names
from dovetail.protocol.header_parameters import HeaderParameter
from dovetail.protocol.listening import Change


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-001", "R2607-TRANSPORT-HTTP-010")
async def test_a_quick_call_is_answered_with_json():
    async with bench() as (_, prober):
        answer = await prober.ask("tools/call", {"name": "echo", "arguments": {"text": "hi"}})
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["result"]["content"][0]["text"] == "hi"
        assert "mcp-session-id" not in answer.headers


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-012", "R2607-TRANSPORT-HTTP-013", "R2607-TRANSPORT-HTTP-015")
@pytest.mark.requirement("R2607-TRANSPORT-HTTP-016", "R2607-TRANSPORT-HTTP-014")
async def test_what_is_said_on_the_way_makes_a_stream():
    async with bench() as (_, prober):
        answer = await prober.ask("tools/call", {"name": "talk", "arguments": {"times": 2}})
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-accel-buffering"] == "no"
        said = [json.loads(event.data) for event in answer.events]
        assert [message.get("method") for message in said] == ["notifications/progress"] * 2 + [None]
        assert ["id" in message for message in said] == [False, False, True], "a stream holds no requests"
        assert said[-1]["result"]["content"][0]["text"] == "talked "
        assert [event.id for event in answer.events] == [""] * 3


@pytest.mark.requirement("R2607-CANCELLATION-004", "R2607-CANCELLATION-020", "R2607-CANCELLATION-021")
async def test_a_silent_call_is_cancelled_when_its_client_leaves():
    async with bench() as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        connection = await prober.start("POST", body, headers)
        await found.event(found.started, "a").wait()
        connection.abort()
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 5)
        assert (await prober.ask("server/discover")).status == 200


@pytest.mark.requirement("R2607-CANCELLATION-020", "R2607-CANCELLATION-021")
async def test_a_streaming_call_is_cancelled_when_its_client_leaves():
    async with bench() as (found, prober):
        body, headers = prober.modern(
            "tools/call", {"name": "talk", "arguments": {"key": "a", "pause_after": 0}}
        )
        stream: Stream = await prober.stream("POST", body, headers)
        assert await stream.next() is not None
        stream.connection.abort()
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 5)


@pytest.mark.hostile
@pytest.mark.parametrize("missing", [names.META_PROTOCOL_VERSION, names.META_CLIENT_CAPABILITIES, None])
async def test_a_request_without_its_meta_is_invalid(missing):
    async with bench() as (_, prober):
        meta = {key: value for key, value in META.items() if key != missing}
        body, headers = prober.modern("server/discover", {} if missing else None, meta=meta)
        if missing is None:
            body = prober.message("server/discover", {}, id=5)
        answer = await prober.send("POST", body, headers)
        assert answer.status == 400
        assert answer.json["error"]["code"] == -32602
        assert answer.json["id"] is not None


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-020", "R2607-VERSIONING-008", "R2607-VERSIONING-021", "R2607-VERSIONING-022"
)
async def test_an_unknown_revision_is_refused_with_those_that_are_known():
    async with bench() as (_, prober):
        meta = {**META, names.META_PROTOCOL_VERSION: "v999.0.0"}
        body, headers = prober.modern("server/discover", meta=meta)
        answer = await prober.send("POST", body, {**headers, "MCP-Protocol-Version": "v999.0.0"})
        assert answer.status == 400
        error = answer.json["error"]
        assert error["code"] == -32022
        assert error["data"]["requested"] == "v999.0.0"
        assert MODERN in error["data"]["supported"]


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-019", "R2607-TRANSPORT-HTTP-059", "R2607-TRANSPORT-HTTP-061", "R2607-VERSIONING-020"
)
@pytest.mark.parametrize(
    "change",
    [
        {"MCP-Protocol-Version": "2025-11-25"},
        {"MCP-Protocol-Version": ""},
        {"Mcp-Method": ""},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Name": ""},
        {"Mcp-Name": "ech"},
        {"Mcp-Name": "=?base64?ZWNobw=?="},
        {"Mcp-Name": "=?base64?/////w==?="},
        {"Mcp-Name": "ech\xf6"},
    ],
    ids=repr,
)
@pytest.mark.requirement("R2607-TRANSPORT-HTTP-066")
async def test_headers_that_disagree_with_the_body_are_refused(change):
    async with bench() as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "echo", "arguments": {}}, id="same")
        answer = await prober.send("POST", body, {**headers, **change})
        assert answer.status == 400
        assert answer.json["error"]["code"] == -32020
        assert answer.json["id"] == "same"
        assert not found.calls


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-045", "R2607-TRANSPORT-HTTP-046", "R2607-TRANSPORT-HTTP-058")
@pytest.mark.parametrize("name", ["=?base64?ZWNobw==?=", "  echo  ", "echo\t"])
@pytest.mark.requirement("R2607-TRANSPORT-HTTP-062")
async def test_encoded_and_padded_names_are_read(name):
    async with bench() as (_, prober):
        body, headers = prober.modern("tools/call", {"name": "echo", "arguments": {}})
        del headers["Mcp-Name"]
        answer = await prober.send("POST", body, {**headers, "mCp-NaMe": name})
        assert answer.status == 200


@pytest.mark.hostile
@pytest.mark.requirement("R2607-TRANSPORT-HTTP-021")
@pytest.mark.parametrize(
    "method", ["no/such", "initialize", "ping", "logging/setLevel", "resources/subscribe"]
)
async def test_methods_that_the_era_lacks_are_not_found(method):
    async with bench() as (_, prober):
        answer = await prober.ask(method, id=77)
        assert answer.status == 404
        assert answer.json["error"]["code"] == -32601
        assert answer.json["id"] == 77


async def test_a_method_of_the_era_that_the_server_lacks_is_not_found():
    async with bench() as (_, prober):
        answer = await prober.ask("prompts/list")
        assert (answer.status, answer.json["error"]["code"]) == (404, -32601)


async def test_errors_of_handlers_are_answers():
    async with bench() as (_, prober):
        answer = await prober.ask("tools/call", {"name": "nothing"})
        assert (answer.status, answer.json["error"]["code"]) == (200, -32602)
        answer = await prober.ask("tools/call", {"name": "crash"})
        assert (answer.status, answer.json["error"]["code"]) == (200, -32603)


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-008", "R2607-TRANSPORT-HTTP-009")
@pytest.mark.hostile
async def test_notifications_are_accepted_or_refused_by_status():
    async with bench() as (_, prober):
        notice = prober.message("notifications/made-up", {"_meta": META}, notice=True)
        answer = await prober.send("POST", notice, {"MCP-Protocol-Version": MODERN})
        assert (answer.status, answer.body) == (202, b"")
        response = b'{"jsonrpc":"2.0","id":1,"result":{}}'
        assert (await prober.send("POST", response, {"MCP-Protocol-Version": MODERN})).status == 400
        lying = await prober.send("POST", notice, {"MCP-Protocol-Version": "2025-11-25"})
        assert lying.status == 400
        meta = {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
        unknown = prober.message("notifications/made-up", {"_meta": meta}, notice=True)
        assert (await prober.send("POST", unknown, {"MCP-Protocol-Version": "2099-01-01"})).status == 400
        assert (await prober.send("POST", unknown, {"MCP-Protocol-Version": MODERN})).status == 400


@pytest.mark.requirement("R2607-VERSIONING-006", "R2607-TRANSPORT-HTTP-023", "R2607-VERSIONING-017")
@pytest.mark.hostile
async def test_a_server_of_this_era_alone_refuses_the_other():
    async with bench(service={"stateful": ()}) as (_, prober):
        for method in ("GET", "DELETE"):
            answer = await prober.send(method)
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
        answer = await prober.initialize()
        assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
        assert MODERN in answer.json["error"]["message"]
        body, headers = prober.modern("server/discover")
        ignored = {"Mcp-Session-Id": "made-up", "Last-Event-ID": "17"}
        answer = await prober.send("POST", body, {**headers, **ignored})
        assert answer.status == 200
        assert "mcp-session-id" not in answer.headers


async def test_session_and_event_ids_mean_nothing_here():
    async with bench() as (_, prober):
        body, headers = prober.modern("server/discover")
        answer = await prober.send(
            "POST", body, {**headers, "Mcp-Session-Id": "foreign", "Last-Event-ID": "1"}
        )
        assert answer.status == 200
        assert (await prober.send("GET", headers={"MCP-Protocol-Version": MODERN})).status == 405


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-007", "R2607-SUBSCRIPTIONS-008")
async def test_listening_ends_gracefully_when_the_server_drains():
    async with bench() as (found, prober):
        body, headers = prober.modern(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id=9
        )
        stream = await prober.stream("POST", body, headers)
        first = await stream.next()
        assert first is not None
        assert json.loads(first.data)["method"] == "notifications/subscriptions/acknowledged"
        found.hub.publish(Change("tools"))
        second = await stream.next()
        assert second is not None
        assert json.loads(second.data)["params"]["_meta"][names.META_SUBSCRIPTION_ID] == 9
        found.hub.close()
        rest = await stream.rest()
        assert json.loads(rest[-1].data)["id"] == 9


async def test_listening_stops_when_its_client_leaves():
    async with bench() as (found, prober):
        body, headers = prober.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        stream = await prober.stream("POST", body, headers)
        await stream.next()
        assert len(found.hub) == 1
        stream.connection.abort()
        await until(lambda: not (len(found.hub)))


async def test_an_idle_stream_is_kept_alive_by_comments():
    async with bench(keep_alive=0.02) as (_, prober):
        body, headers = prober.modern("subscriptions/listen", {"notifications": {}})
        stream = await prober.stream("POST", body, headers)
        await stream.next()
        assert (await asyncio.wait_for(stream.connection.chunk(), 5)).startswith(b":")


@pytest.mark.parametrize(
    "accept,status,media",
    [
        ("application/json", 200, "application/json"),
        ("text/event-stream", 200, "text/event-stream"),
        ("*/*", 200, "application/json"),
        ("", 200, "application/json"),
        ("text/html", 406, "application/json"),
        ("application/json;q=0, text/event-stream;q=0", 406, "application/json"),
    ],
)
async def test_the_answer_is_what_the_client_accepts(accept, status, media):
    async with bench() as (_, prober):
        body, headers = prober.modern("server/discover")
        answer = await prober.send("POST", body, {**headers, "accept": accept})
        assert (answer.status, answer.headers["content-type"]) == (status, media)


async def test_a_client_of_json_alone_gets_json_from_a_talking_call():
    async with bench() as (_, prober):
        body, headers = prober.modern("tools/call", {"name": "talk", "arguments": {}})
        answer = await prober.send("POST", body, {**headers, "accept": "application/json"})
        assert answer.headers["content-type"] == "application/json"
        body, headers = prober.modern("subscriptions/listen", {"notifications": {}})
        answer = await prober.send("POST", body, {**headers, "accept": "application/json"})
        assert answer.status == 406


async def test_the_form_of_answers_can_be_forced():
    async with bench(responses="json") as (_, prober):
        answer = await prober.ask("tools/call", {"name": "talk", "arguments": {}})
        assert answer.headers["content-type"] == "application/json"
    async with bench(responses="sse") as (_, prober):
        answer = await prober.ask("tools/call", {"name": "echo", "arguments": {}})
        assert answer.headers["content-type"] == "text/event-stream"
        assert len(answer.events) == 1


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-051",
    "R2607-TRANSPORT-HTTP-052",
    "R2607-TRANSPORT-HTTP-053",
    "R2607-TRANSPORT-HTTP-054",
    "R2607-TRANSPORT-HTTP-057",
    "R2607-TRANSPORT-HTTP-055",
    "R2607-TRANSPORT-HTTP-056",
    "R2607-TRANSPORT-HTTP-060",
)
async def test_parameters_that_headers_repeat_are_compared():
    async with bench() as (found, prober):
        found.service.header_parameters = lambda call, principal: (
            HeaderParameter(("text",), "mcp-param-text", "string"),
            HeaderParameter(("times",), "mcp-param-times", "integer"),
        )

        async def status(arguments, **extra):
            body, headers = prober.modern("tools/call", {"name": "echo", "arguments": arguments})
            answer = await prober.send(
                "POST", body, {**headers, **{f"Mcp-Param-{k}": v for k, v in extra.items()}}
            )
            return answer.status, answer.json.get("error", {}).get("code")

        assert await status({"text": "a"}, Text="a") == (200, None)
        assert await status({"times": 42}, Times="42.0") == (200, None)
        assert await status({}) == (200, None)
        assert await status({"text": None}) == (200, None)
        assert await status({"text": "a"}) == (400, -32020)
        assert await status({"text": "a"}, Text="b") == (400, -32020)
        assert await status({"text": "a"}, Text="=?base64?YQ==?=") == (200, None)
        assert await status({"text": "a"}, Text="\x81") == (400, -32020)
        assert found.calls == ["echo"] * 5


async def test_a_handler_sees_headers_without_credentials():
    async with bench() as (_, prober):
        body, headers = prober.modern("tools/call", {"name": "headers"})
        answer = await prober.send(
            "POST", body, {**headers, "Authorization": "Bearer x", "Cookie": "y", "X-Mine": "z"}
        )
        seen = json.loads(answer.json["result"]["content"][0]["text"])
        assert seen["x-mine"] == "z"
        assert not {"authorization", "cookie"} & set(seen)


async def test_the_app_works_without_any_lifespan():
    from http_serving import Bench, Prober

    from dovetail.transports.http_server.asgi import HTTPApp

    found = Bench()
    async with serving(HTTPApp(found.service), lifespan="off") as port:
        assert (await Prober(port).ask("server/discover")).status == 200
    assert found.service.started


async def test_a_plain_call_makes_no_task():
    """The law of the fast path: no task and no stream for a call that ends quickly."""
    made: list[str] = []

    def factory(loop, coro, **options):
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **options)

    async with bench() as (_, prober):
        await prober.ask("server/discover")
        asyncio.get_running_loop().set_task_factory(factory)
        try:
            await prober.ask("tools/call", {"name": "echo", "arguments": {}})
        finally:
            asyncio.get_running_loop().set_task_factory(None)
    ours = [name for name in made if "run_asgi" not in name and "Prober" not in name]
    assert not [name for name in ours if name.startswith(("Watch", "Stateless", "EventWriter", "HTTPApp"))], (
        ours
    )
    assert sum("run_asgi" in name for name in made) == 1
