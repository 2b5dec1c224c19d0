"""JSON-RPC as each revision has it, judged by every byte that our server and our client send in a conversation."""

import asyncio
import json
from typing import Any

import pytest
from must_peer import RawPeer, all_capabilities, frames, full_app, parsed

from dovetail import App, Client, Context, ElicitURL, InvalidParams, visit_first
from dovetail.protocol.errors import RemoteProtocolError, RPCError
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)


async def converse(revision: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A client of ours and a server of ours use everything that the revision has; what each of them sent."""
    app = full_app()
    handlers: dict[str, Any] = {"sampling": lambda _: "hm", "roots": ["file:///a"]}
    if revision >= "2025-06-18":
        handlers["elicitation"] = lambda _: "Ann"
    with frames() as seen:
        async with Client(app, revision=revision, **handlers) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).value is not None
            await client.call_tool("talk", progress=lambda _: None)
            assert (await client.call_tool("add", {"a": "x"})).is_error
            assert (await client.call_tool("fail")).is_error
            if revision >= "2025-06-18":
                assert (await client.call_tool("name")).text == "Ann"
            for missing in (client.call_tool("none"), client.read("note://none"), client.get_prompt("none")):
                with pytest.raises(RPCError):
                    await missing
            assert [tool.name async for tool in client.tools()]
            assert [each.uri async for each in client.resources()]
            assert [each.name async for each in client.resource_templates()]
            assert [each.name async for each in client.prompts()]
            await client.read("note://today")
            await client.get_prompt("greet", {"name": "Bo"})
            await client.complete("greet", "name", "B")
            await client.set_log_level("debug")
            await client.call_tool("talk")
            await client.roots_changed()
            await client.ping()
        await app.service.stop()
    return parsed(seen, "client"), parsed(seen, "server")


@EVERY
@pytest.mark.requirement(
    "R2411-LIFECYCLE-004",
    "R2411-LIFECYCLE-005",
    "R2411-LIFECYCLE-006",
    "R2411-LIFECYCLE-007",
    "R2503-LIFECYCLE-001",
    "R2503-LIFECYCLE-002",
    "R2503-LIFECYCLE-003",
    "R2503-LIFECYCLE-004",
    "R2506-LIFECYCLE-001",
    "R2506-LIFECYCLE-002",
    "R2506-LIFECYCLE-003",
    "R2506-LIFECYCLE-004",
    "R2511-LIFECYCLE-003",
    "R2511-LIFECYCLE-007",
    "R2511-LIFECYCLE-008",
    "R2511-LIFECYCLE-010",
    "R2511-LIFECYCLE-012",
    "R2607-LIFECYCLE-003",
    "R2607-LIFECYCLE-007",
    "R2607-LIFECYCLE-008",
    "R2607-LIFECYCLE-011",
    "R2607-LIFECYCLE-013",
)
@pytest.mark.requirement("R2511-LIFECYCLE-001", "R2607-LIFECYCLE-001")
async def test_every_response_has_the_id_of_its_request_and_either_result_or_error(revision: str) -> None:
    sent, answered = await converse(revision)
    for asking, answering in ((sent, answered), (answered, sent)):
        open_ids = [
            (message["id"], type(message["id"]))
            for message in asking
            if "method" in message and "id" in message
        ]
        for message in answering:
            assert message["jsonrpc"] == "2.0"
            if "method" in message:
                continue
            open_ids.remove((message["id"], type(message["id"])))
            assert ("result" in message) != ("error" in message), message
            if "result" in message:
                assert isinstance(message["result"], dict)
            else:
                assert type(message["error"]["code"]) is int
                assert isinstance(message["error"]["message"], str)
        assert not open_ids, "requests without an answer"


@EVERY
@pytest.mark.requirement(
    "R2511-LIFECYCLE-004",
    "R2511-LIFECYCLE-005",
    "R2511-LIFECYCLE-006",
    "R2511-LIFECYCLE-014",
    "R2607-LIFECYCLE-004",
    "R2607-LIFECYCLE-005",
    "R2607-LIFECYCLE-006",
    "R2607-LIFECYCLE-022",
)
async def test_ids_of_requests_are_texts_or_integers_and_never_used_twice_and_notifications_have_none(
    revision: str,
) -> None:
    for side in await converse(revision):
        ids = [message["id"] for message in side if "method" in message and "id" in message]
        assert all(type(id) in (int, str) for id in ids)
        assert len(set(ids)) == len(ids)
        for message in side:
            if str(message.get("method", "")).startswith("notifications/"):
                assert "id" not in message


@EVERY
@pytest.mark.requirement(
    "R2511-LIFECYCLE-010", "R2607-LIFECYCLE-011", "R2511-LIFECYCLE-004", "R2607-LIFECYCLE-004"
)
async def test_an_id_comes_back_as_the_type_it_was(revision: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    arguments = {"name": "add", "arguments": {"a": 1, "b": 1}}
    answers = [
        await wire.start(id, "tools/call", arguments)
        for id in (7, "7", 0, "", -1, 2**62, "\u2028\x00", "null")
    ]
    for answer in answers:
        assert "result" in await asyncio.wait_for(answer, 5)


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement("R2511-LIFECYCLE-005", "R2607-LIFECYCLE-005")
async def test_a_null_id_runs_nothing(revision: str, connect: Any) -> None:
    ran: list[int] = []
    app = App("null")
    app.add_tool(lambda: ran.append(1), name="run")
    wire = await connect(app, revision)
    params = {"name": "run", "_meta": wire.meta()}
    await wire.send({"jsonrpc": "2.0", "id": None, "method": "tools/call", "params": params})
    error = await wire.next()
    assert error["error"]["code"] == -32600
    assert error.get("id") is None
    assert not ran


@EVERY
@pytest.mark.hostile
@pytest.mark.vendor_methods("notifications/vendor/x", "notifications/tools/call")
@pytest.mark.requirement("R2511-LIFECYCLE-013", "R2607-LIFECYCLE-021")
async def test_no_notification_is_answered_by_server_or_client(revision: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    notices: list[dict[str, Any]] = [
        {"method": "notifications/vendor/x", "params": {}},
        {
            "method": "tools/call",
            "params": {"name": "add", "arguments": {"a": 1, "b": 1}, "_meta": wire.meta()},
        },
        {"method": "notifications/cancelled", "params": {"requestId": 12345}},
        {"method": "notifications/progress", "params": {"progressToken": "nobody's", "progress": "much"}},
        {"method": "initialize", "params": {}},
        {"method": "server/discover", "params": {"_meta": wire.meta()}},
    ]
    for notice in notices:
        await wire.send({"jsonrpc": "2.0", **notice})
    await wire.call("add", a=1, b=1)
    assert wire.inbox.empty()

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        for notice in notices:
            peer.say(**notice)
        peer.result(message["id"], content=[])

    peer = RawPeer(answer, revision=revision)
    async with Client(peer, revision=revision) as client:
        await client.call_tool("any")
        await client.call_tool("any")
    assert [message for message in peer.seen if "method" not in message] == []


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement("R2607-LIFECYCLE-010", "R2607-SCHEMA-050", "R2607-SCHEMA-002")
async def test_every_result_has_a_type_of_the_specification(revision: str) -> None:
    _, answered = await converse(revision)
    kinds = {message["result"]["resultType"] for message in answered if "result" in message}
    assert kinds == {"complete", "input_required"}


@pytest.mark.parametrize("revision", STATEFUL)
async def test_no_result_of_the_stateful_era_has_a_type(revision: str) -> None:
    _, answered = await converse(revision)
    assert not [message for message in answered if "resultType" in message.get("result", {})]


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement(
    "R2607-LIFECYCLE-028", "R2607-TRANSPORT-STDIO-009", "R2607-TRANSPORT-STDIO-007", "R2607-MRTR-001"
)
async def test_servers_send_no_requests_and_clients_no_responses(revision: str) -> None:
    sent, answered = await converse(revision)
    assert not [message for message in answered if "method" in message and "id" in message]
    assert not [message for message in sent if "method" not in message]
    assert [
        message for message in answered if message.get("result", {}).get("resultType") == "input_required"
    ]


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.hostile
@pytest.mark.requirement("R2607-TRANSPORT-STDIO-007", "R2607-LIFECYCLE-028")
async def test_a_request_from_a_server_of_the_stateless_era_gets_no_response(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        peer.say(id="q", method="roots/list", params={})
        peer.say(id="p", method="ping", params={})
        peer.result(message["id"], content=[])

    peer = RawPeer(answer)
    async with Client(peer, revision=revision, roots=["file:///a"]) as client:
        await client.call_tool("any")
        await client.call_tool("any")
    assert [message for message in peer.seen if "method" not in message] == []


class Odd(RPCError):
    """An author's error with a code that the revision keeps for itself."""


@EVERY
@pytest.mark.requirement(
    "R2607-LIFECYCLE-015", "R2607-LIFECYCLE-016", "R2607-LIFECYCLE-017", "R2607-LIFECYCLE-018"
)
async def test_codes_of_the_reserved_range_are_never_sent_without_their_meaning(
    revision: str, connect: Any
) -> None:
    app = App("codes")
    codes = (-32000, -32001, -32002, -32019, -32023, -32042, -32099, -31999, -32100, 5)

    @app.tool
    async def odd(code: int) -> str:
        raise Odd("odd", code=code, data={"elicitations": []})

    @app.tool
    async def visit() -> str:
        raise visit_first(ElicitURL("pay", "https://example.com/pay"))

    wire = await connect(app, revision, all_capabilities(revision))
    for code in codes:
        got = (await wire.error("tools/call", {"name": "odd", "arguments": {"code": code}}))["code"]
        reserved = wire.stateless and -32099 <= code <= -32000
        assert got == (-32603 if reserved else code)
    told = await wire.call("visit") if revision != "2025-11-25" else None
    if told is None:
        assert (await wire.error("tools/call", {"name": "visit"}))["code"] == -32042
    elif wire.stateless:
        assert told["resultType"] == "input_required"
    else:
        assert told["isError"] is True, "this revision can send nobody anywhere"


@pytest.mark.hostile
@pytest.mark.requirement("R2607-LIFECYCLE-016")
@pytest.mark.parametrize("code", [-32000, -32001, -32019])
async def test_a_client_gives_no_meaning_to_codes_that_have_none(code: int) -> None:
    peer = RawPeer(lambda peer, message: peer.error(message["id"], code, "strange"))
    async with Client(peer, revision="2026-07-28") as client:
        with pytest.raises(RPCError) as caught:
            await client.call_tool("any")
    assert type(caught.value) is RPCError
    assert caught.value.code == code
    assert len(peer.sent("tools/call")) == 1


@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-003", "R2607-SCHEMA-002")
@pytest.mark.parametrize("kind", ["acme", "", "Complete", 5, None])
async def test_a_result_of_an_unknown_type_is_no_result(kind: Any) -> None:
    peer = RawPeer(lambda peer, message: peer.result(message["id"], content=[], resultType=kind))
    async with Client(peer, revision="2026-07-28") as client:
        if kind is None:
            await client.call_tool("any")
            return
        with pytest.raises(RemoteProtocolError):
            await client.call_tool("any")


@pytest.mark.requirement("R2607-SCHEMA-004", "R2607-SCHEMA-051", "R2607-LIFECYCLE-041")
@pytest.mark.hostile
async def test_a_result_without_a_type_is_complete() -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        peer.say(id=message["id"], result={"content": [{"type": "text", "text": "old"}]})

    async with Client(RawPeer(answer), revision="2026-07-28") as client:
        assert (await client.call_tool("any")).text == "old"


@pytest.mark.parametrize("revision", ["2025-03-26"])
@pytest.mark.requirement("R2503-LIFECYCLE-005")
async def test_a_client_takes_batches(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        progress = {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1}
        notice = {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
        response = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}
        for batch in ([notice], [response]):
            peer._open().accept(json.dumps(batch).encode())

    heard: list[float] = []
    async with Client(RawPeer(answer, revision=revision), revision=revision) as client:
        await client.call_tool("any", progress=lambda notice: heard.append(notice.progress))
    assert heard == [1]


@pytest.mark.requirement("R2503-LIFECYCLE-005", "R2503-LIFECYCLE-006")
async def test_a_server_takes_batches_and_a_client_never_opens_in_one(connect: Any) -> None:
    wire = await connect(full_app(), "2025-03-26")
    await wire.send([{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in ("a", "b")])
    answers: Any = await wire.next()
    assert sorted(answer["id"] for answer in answers) == ["a", "b"]
    with frames() as seen:
        async with Client(full_app(), revision="2025-03-26") as client:
            await client.ping()
    assert not [
        frame for frame in seen if frame.role == "client" and frame.sent and frame.data.startswith(b"[")
    ]


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement(
    "R2607-LIFECYCLE-023",
    "R2607-SCHEMA-046",
    "R2607-LIFECYCLE-027",
    "R2607-SCHEMA-027",
    "R2607-ELICITATION-006",
    "R2607-MRTR-017",
    "R2607-LIFECYCLE-024",
)
async def test_nothing_is_concluded_from_earlier_requests_of_the_connection(
    revision: str, connect: Any
) -> None:
    app = full_app()

    @app.tool
    async def who(ctx: Context) -> str:
        return f"{ctx.client.info and ctx.client.info.name} {ctx.client.capabilities.sampling is not None}"

    wire = await connect(app, revision, {"elicitation": {}, "sampling": {}})
    first = await wire.result("tools/call", {"name": "name"})
    assert first["resultType"] == "input_required"
    other = {
        "io.modelcontextprotocol/clientInfo": {"name": "other", "version": "2"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    assert (await wire.result("tools/call", {"name": "who"}, meta=other))["content"][0][
        "text"
    ] == "other False"
    assert (await wire.result("tools/call", {"name": "who"}))["content"][0]["text"] == "wire True"
    error = await wire.error("tools/call", {"name": "name"}, meta=other)
    assert error["code"] == -32021
    # What spans requests is named in the request: without the state the same answers start anew.
    key = next(iter(first["inputRequests"]))
    answers = {key: {"action": "accept", "content": {"value": "Ann"}}}
    again = await wire.result("tools/call", {"name": "name", "inputResponses": answers})
    assert again["resultType"] == "input_required"
    ended = await wire.result(
        "tools/call", {"name": "name", "inputResponses": answers, "requestState": first["requestState"]}
    )
    assert ended["content"][0]["text"] == "Ann"


@EVERY
@pytest.mark.requirement("R2511-LIFECYCLE-029", "R2607-LIFECYCLE-031", "R2607-LIFECYCLE-034")
async def test_a_transport_of_ones_own_carries_the_same_messages(revision: str) -> None:
    app = full_app()
    server: dict[str, Wire] = {}

    class Bridge(RawPeer):
        async def open(self, receiver: Any) -> None:
            await super().open(receiver)
            await app.service.start()
            wire = server["wire"] = Wire(app, revision)
            wire.connection._send = self._back

        async def _take(self, data: bytes) -> None:
            self.seen.append(json.loads(data))
            await server["wire"].raw(data)

        async def _back(self, data: bytes) -> None:
            self._open().accept(data)

    own = Bridge(lambda *_: None, revision=revision)
    async with Client(own, revision=revision) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        with pytest.raises(InvalidParams):
            await client.get_prompt("none")
    with frames() as seen:
        async with Client(app, revision=revision) as client:
            await client.call_tool("add", {"a": 1, "b": 2})
            with pytest.raises(InvalidParams):
                await client.get_prompt("none")
    assert parsed(seen, "client") == own.seen
    await server["wire"].close()
    await app.service.stop()
