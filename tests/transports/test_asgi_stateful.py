"""The stateful era over HTTP, on a real socket: sessions, calls, questions, cancellation, batches."""

from __future__ import annotations

import asyncio
import json

import pytest
from http_serving import Bench, Prober, bench, serving

from dovetail import App
from dovetail.protocol.revisions import STATEFUL
from dovetail.protocol.session import SessionState
from dovetail.security.principal import Principal
from dovetail.stores import MemoryStore, SessionBounds, StoreBounds
from dovetail.transports.http_server.asgi import HTTPApp


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-008", "R2511-TRANSPORT-HTTP-040", "R2511-TRANSPORT-HTTP-041")
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-042", "R2503-TRANSPORT-HTTP-002")
async def test_a_session_from_its_opening_to_its_end(revision):
    async with bench() as (_, prober):
        await prober.ready(revision)
        assert prober.session is not None
        assert len(prober.session) >= 43
        assert all(0x21 <= ord(character) <= 0x7E for character in prober.session)
        answer = await prober.tool("echo", text="x")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert "mcp-session-id" not in answer.headers
        assert (await prober.call("ping")).json["result"] == {}
        assert (await prober.send("DELETE")).status == 204


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-046", "R2511-TRANSPORT-HTTP-045")
async def test_an_ended_session_is_unknown():
    async with bench() as (_, prober):
        await prober.ready()
        await prober.send("DELETE")
        for method in ("DELETE", "GET"):
            assert (await prober.send(method)).status == 404
        assert (await prober.tool("echo")).status == 404
        prober.session = None
        for method in ("GET", "DELETE"):
            assert (await prober.send(method)).status == 400
        assert (await prober.tool("echo")).status == 400


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-053", "R2511-TRANSPORT-HTTP-052", "R2503-TRANSPORT-HTTP-010")
@pytest.mark.parametrize(
    "stated,status", [("", 200), ("2025-06-18", 200), ("2025-11-25", 200), ("2024-01-01", 400), ("\x81", 400)]
)
async def test_the_version_header_has_to_name_a_revision_that_is_served(stated, status):
    async with bench() as (_, prober):
        await prober.ready("2025-06-18")
        answer = await prober.call("ping", **{"MCP-Protocol-Version": stated})
        assert answer.status == status


async def test_an_opening_with_an_unknown_header_version_is_refused():
    async with bench() as (_, prober):
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "a", "version": "1"},
        }
        answer = await prober.call("initialize", params, **{"MCP-Protocol-Version": "1999-01-01"})
        assert answer.status == 400


@pytest.mark.hostile
async def test_v30_a_failed_opening_makes_no_session():
    """V30: validate first, allocate after."""
    store = MemoryStore()
    async with bench(store=store) as (_, prober):
        for params in (
            {},
            {"protocolVersion": 5},
            {"protocolVersion": "2025-11-25", "capabilities": []},
            None,
        ):
            for _ in range(50):
                answer = await prober.call("initialize", params)
                assert answer.json["error"]["code"] == -32602
                assert "mcp-session-id" not in answer.headers
        assert await store.sessions.count() == 0


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-006", "R2511-TRANSPORT-HTTP-007")
@pytest.mark.hostile
async def test_notifications_and_responses_are_taken_without_a_body():
    async with bench() as (_, prober):
        await prober.ready()
        accepted = await prober.send("POST", prober.message("notifications/roots/list_changed", notice=True))
        assert (accepted.status, accepted.body) == (202, b"")
        assert (await prober.send("POST", b'{"jsonrpc":"2.0","id":"nobody","result":{}}')).status == 202
        broken = await prober.send(
            "POST", prober.message("notifications/cancelled", {"requestId": []}, notice=True)
        )
        assert broken.status == 400
        assert "id" not in broken.json


@pytest.mark.hostile
async def test_errors_that_answer_a_request_have_its_id():
    async with bench() as (_, prober):
        await prober.ready()
        answer = await prober.call("no/such")
        assert (answer.status, answer.json["error"]["code"], answer.json["id"]) == (200, -32601, prober.ids)
        answer = await prober.call("tools/call", {"name": 5})
        assert (answer.status, answer.json["error"]["code"]) == (200, -32602)
        answer = await prober.call("initialize", {"protocolVersion": "2025-11-25"})
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
        answer = await prober.send("POST", b"{nonsense")
        assert (answer.status, answer.json["error"]["code"]) == (400, -32700)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-020", "R2511-TRANSPORT-HTTP-021")
async def test_a_disconnect_is_no_cancellation():
    async with bench() as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        assert (await stream.next()) is not None
        stream.connection.abort()
        assert (await prober.call("ping")).status == 200
        assert not found.event(found.cancelled, "a").is_set()
        found.event(found.gates, "a").set()
        await asyncio.wait_for(found.event(found.finished, "a").wait(), 5)


@pytest.mark.requirement("R2511-CANCELLATION-004", "R2511-CANCELLATION-016", "R2511-CANCELLATION-010")
async def test_a_cancellation_ends_the_call_and_its_stream():
    async with bench() as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        notice = prober.message("notifications/cancelled", {"requestId": prober.ids}, notice=True)
        assert (await prober.send("POST", notice)).status == 202
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 5)
        assert [event.data for event in await stream.rest()] == [b""]
        assert (await prober.send("POST", notice)).status == 202


async def test_a_call_cancelled_before_its_first_step_still_ends():
    async with bench(slow_after=5) as (found, prober):
        await prober.ready()
        body = prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        first = asyncio.create_task(prober.send("POST", body))
        await found.event(found.started, "a").wait()
        await prober.send(
            "POST", prober.message("notifications/cancelled", {"requestId": prober.ids}, notice=True)
        )
        answer = await asyncio.wait_for(first, 5)
        assert (answer.status, answer.body) == (202, b"")


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-016", "R2511-TRANSPORT-HTTP-017")
async def test_a_question_goes_out_on_its_request_and_finds_its_answer():
    async with bench() as (_, prober):
        await prober.ready(capabilities={"roots": {}})
        stream = await prober.tool_stream("ask")
        priming = await stream.next()
        assert priming is not None
        assert priming.data == b""
        event = await stream.next()
        assert event is not None
        question = json.loads(event.data)
        assert question["method"] == "roots/list"
        roots = {"roots": [{"uri": "file:///a"}]}
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": roots}).encode()
        assert (await prober.send("POST", body)).status == 202
        rest = await stream.rest()
        assert json.loads(json.loads(rest[-1].data)["result"]["content"][0]["text"]) == roots


async def test_a_question_to_a_client_that_cannot_hear_it_is_an_error():
    async with bench() as (_, prober):
        await prober.ready(capabilities={"roots": {}})
        body = prober.message("tools/call", {"name": "ask"})
        answer = await prober.send("POST", body, {"accept": "application/json"})
        assert answer.json["error"]["code"] == -32600
    async with bench() as (_, prober):
        await prober.ready()
        assert (await prober.tool("ask")).json["error"]["code"] == -32600


async def test_the_record_keeps_levels_and_subscriptions():
    store = MemoryStore()
    async with bench(store=store) as (_, prober):
        await prober.ready()
        assert (await prober.call("logging/setLevel", {"level": "error"})).json["result"] == {}
        for uri in ("notes://a", "notes://b"):
            assert (await prober.call("resources/subscribe", {"uri": uri})).json["result"] == {}
        await prober.call("resources/unsubscribe", {"uri": "notes://a"})
        record = await store.sessions.load(prober.session or "")
        assert record is not None
        state = SessionState.load(record.data)
        assert (state.log_level, state.subscriptions, state.phase) == ("error", {"notes://b"}, "ready")


async def test_changes_of_one_session_at_once_are_all_kept():
    store = MemoryStore()
    async with bench(store=store) as (_, prober):
        await prober.ready()
        uris = {f"notes://{number}" for number in range(30)}
        await asyncio.gather(*(prober.call("resources/subscribe", {"uri": uri}) for uri in uris))
        record = await store.sessions.load(prober.session or "")
        assert record is not None
        assert SessionState.load(record.data).subscriptions == uris


class SlowSessions:
    """A session store whose answers take a turn of the loop, as those of a real one do."""

    def __init__(self, sessions):
        self.sessions = sessions
        self.conflicts = 0

    def __getattr__(self, name):
        return getattr(self.sessions, name)

    async def load(self, id):
        record = await self.sessions.load(id)
        await asyncio.sleep(0)
        return record

    async def save(self, record, *, expected_version):
        saved = await self.sessions.save(record, expected_version=expected_version)
        self.conflicts += not saved
        return saved


async def test_changes_that_meet_in_the_store_are_made_again():
    store = MemoryStore()
    slow = SlowSessions(store.sessions)
    store.sessions = slow  # pyright: ignore[reportAttributeAccessIssue] - a slower one, on purpose
    async with bench(store=store) as (_, prober):
        await prober.ready()
        uris = {f"notes://{number}" for number in range(6)}
        answers = await asyncio.gather(*(prober.call("resources/subscribe", {"uri": uri}) for uri in uris))
        assert {answer.status for answer in answers} == {200}
        assert slow.conflicts
        record = await store.sessions.load(prober.session or "")
        assert record is not None
        assert SessionState.load(record.data).subscriptions == uris


async def test_any_worker_can_serve_a_session():
    """A session is a record: a second application with the same store serves it."""

    store = MemoryStore()
    one, two = Bench(), Bench()
    async with (
        serving(HTTPApp(one.service, store=store)) as first,
        serving(HTTPApp(two.service, store=store)) as second,
    ):
        prober = await Prober(first).ready("2025-06-18")
        prober.port = second
        assert (await prober.tool("echo", text="y")).json["result"]["content"][0]["text"] == "y"
        for connection in prober.opened:
            await connection.close()
        assert two.calls == ["echo"]
        assert not one.calls


@pytest.mark.requirement("R2503-TRANSPORT-HTTP-002", "R2503-TRANSPORT-HTTP-003", "R2503-TRANSPORT-HTTP-008")
async def test_a_batch_is_answered_by_one_array():
    async with bench() as (_, prober):
        await prober.ready("2025-03-26")
        items = [
            json.loads(prober.message("ping")),
            json.loads(prober.message("tools/call", {"name": "echo", "arguments": {"text": "b"}})),
            {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        ]
        answer = await prober.send("POST", json.dumps(items).encode())
        assert answer.status == 200
        assert {reply["id"] for reply in answer.json} == {item["id"] for item in items if "id" in item}


@pytest.mark.requirement("R2503-TRANSPORT-HTTP-003", "R2503-TRANSPORT-HTTP-007")
async def test_a_slow_batch_is_answered_by_one_stream():
    async with bench() as (found, prober):
        await prober.ready("2025-03-26")
        items = [
            json.loads(prober.message("tools/call", {"name": "echo", "arguments": {}})),
            json.loads(prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})),
        ]
        stream = await prober.stream("POST", json.dumps(items).encode())
        first = await stream.next()
        assert first is not None
        assert json.loads(first.data)["id"] == items[0]["id"]
        found.event(found.gates, "a").set()
        assert [json.loads(event.data)["id"] for event in await stream.rest()] == [items[1]["id"]]


@pytest.mark.requirement("R2503-TRANSPORT-HTTP-003")
async def test_a_batch_of_a_thousand_calls_is_answered_by_one_array():
    async with bench(responses="json") as (_, prober):
        await prober.ready("2025-03-26")
        items = [
            json.loads(prober.message("tools/call", {"name": "echo", "arguments": {"text": str(n)}}))
            for n in range(1000)
        ]
        answer = await prober.send("POST", json.dumps(items).encode())
        said = {reply["id"]: reply["result"]["content"][0]["text"] for reply in answer.json}
        assert said == {item["id"]: item["params"]["arguments"]["text"] for item in items}


async def test_the_answers_of_a_batch_in_one_array_are_bounded_together():
    app = App("large", max_message=10_000)

    @app.tool
    async def large() -> str:
        return "x" * 3000

    async with serving(HTTPApp(app.service, responses="json")) as port:
        prober = await Prober(port).ready("2025-03-26")
        items = [json.loads(prober.message("tools/call", {"name": "large"})) for _ in range(30)]
        answer = await prober.send("POST", json.dumps(items).encode())
        assert {reply["id"] for reply in answer.json} == {item["id"] for item in items}
        refused = [reply["error"] for reply in answer.json if "error" in reply]
        assert len(refused) == 17, "forty thousand bytes are the others"
        assert {(each["code"], "send fewer" in each["message"]) for each in refused} == {(-32603, True)}
        for connection in prober.opened:
            await connection.close()


@pytest.mark.hostile
async def test_v28_batches_have_bounds_and_one_revision():
    """V28: a long batch is refused whole."""
    async with bench() as (found, prober):
        await prober.ready("2025-03-26")
        ping = json.loads(prober.message("ping"))
        assert (await prober.send("POST", json.dumps([ping] * 1001).encode())).status == 400
        assert (await prober.send("POST", b"[]")).status == 400
        notices = [{"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}] * 3
        assert (await prober.send("POST", json.dumps(notices).encode())).status == 202
        mixed = [{"jsonrpc": "2.0", "id": 90, "method": "initialize", "params": {}}, 5, ping]
        replies = (await prober.send("POST", json.dumps(mixed).encode())).json
        assert sorted(str(reply.get("id")) for reply in replies) == sorted(["90", "None", str(ping["id"])])
        other = prober.another()
        other.session = None
        await other.ready("2025-11-25")
        assert (await other.send("POST", json.dumps([ping]).encode())).status == 400
        assert not found.calls


async def test_without_sessions_each_request_is_served_alone():
    async with bench(sessions=False) as (_, prober):
        answer = await prober.initialize()
        assert "mcp-session-id" not in answer.headers
        assert answer.json["result"]["protocolVersion"] == "2025-11-25"
        assert (await prober.tool("echo", text="q")).json["result"]["content"][0]["text"] == "q"
        assert (await prober.tool("talk", key="z")).headers["content-type"] == "text/event-stream"
        for method in ("GET", "DELETE"):
            refused = await prober.send(method)
            assert (refused.status, refused.headers["allow"]) == (405, "POST")
        prober.revision = None
        batch = json.dumps([json.loads(prober.message("ping"))]).encode()
        assert (await prober.send("POST", batch)).status == 200


async def test_a_session_that_uses_two_eras():
    async with bench() as (_, prober):
        await prober.ready()
        modern = prober.another()
        modern.session = modern.revision = None
        assert (await modern.ask("tools/call", {"name": "echo"})).status == 200
        assert (await prober.tool("echo")).status == 200


class Alice:
    """Everybody is Alice."""

    async def authenticate(self, request):
        return Principal("https://issuer.test", "alice")


async def test_v31_a_full_store_asks_to_come_back_later():
    """V31: an initialize flood is bounded. Of callers with names no session ends for a new one."""
    store = MemoryStore(bounds=StoreBounds(sessions=SessionBounds(max_sessions=3)))
    async with bench(store=store, authenticate=Alice()) as (_, prober):
        for _ in range(3):
            prober.session = prober.revision = None
            assert (await prober.initialize()).status == 200
        newcomer = prober.another()
        newcomer.session = None
        refused = await newcomer.initialize()
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert (await prober.call("ping")).status == 200
        assert await store.sessions.count() == 3


class Tokens:
    """Says who is calling by a made-up token."""

    async def authenticate(self, request):
        from dovetail.security.authenticator import AuthenticationFailed
        from dovetail.security.principal import ANONYMOUS

        if not request.authorization:
            return ANONYMOUS
        issuer, subject, client = request.authorization[0].split("|")
        if subject == "nobody":
            raise AuthenticationFailed("no", headers=(("WWW-Authenticate", "Bearer"),))
        return Principal(issuer, subject, client)


@pytest.mark.parametrize(
    "owner,other",
    [
        ("i|s|c", "i|t|c"),
        ("i|s|c", "i|s|d"),
        ("i|s|c", "j|s|c"),
        ("", "i|s|c"),
        ("i|s|c", ""),
    ],
)
async def test_v17_a_session_is_unknown_to_any_other_principal(owner, other):
    async with bench(authenticate=Tokens()) as (found, prober):

        async def send(who, method, body=None, **extra):
            headers = {**extra, **({"Authorization": who} if who else {})}
            return await prober.send(method, body, headers)

        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "a", "version": "1"},
        }
        opened = await send(owner, "POST", prober.message("initialize", params))
        prober.session = opened.headers["mcp-session-id"]
        body = prober.message("tools/call", {"name": "echo", "arguments": {}})
        unknown = prober.another()
        unknown.session = "x" * 43
        expected = await unknown.send("POST", body, {"Authorization": owner} if owner else {})
        for method, payload in (("POST", body), ("GET", None), ("DELETE", None)):
            answer = await send(other, method, payload)
            assert (answer.status, answer.body) == (404, expected.body)
        batch = await send(other, "POST", b"[" + body + b"]")
        assert batch.status == 404
        assert (await send(other, "GET", **{"Last-Event-ID": "r" + "0" * 24 + "-1"})).status == 404
        assert not found.calls
        assert (await send(owner, "POST", body)).status == 200


async def test_a_refused_caller_gets_the_challenge():
    async with bench(authenticate=Tokens()) as (_, prober):
        answer = await prober.send("POST", prober.message("ping"), {"Authorization": "i|nobody|c"})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "id" not in answer.json


async def test_v15_equal_request_ids_of_many_sessions_never_meet():
    async with bench() as (_, prober):
        probers = []
        for _ in range(20):
            other = prober.another()
            other.session = None
            probers.append(await other.ready(capabilities={"roots": {}}))

        async def converse(number, client):
            for turn in range(5):
                text = f"{number}-{turn}"
                body = client.message("tools/call", {"name": "echo", "arguments": {"text": text}}, id=1)
                assert (await client.send("POST", body)).json["result"]["content"][0]["text"] == text
            stream = await client.stream("POST", client.message("tools/call", {"name": "ask"}, id=2))
            await stream.next()
            event = await stream.next()
            question = json.loads(event.data)
            roots = {"roots": [{"uri": f"file:///{number}"}]}
            for forger in (probers[number - 1], client):
                mine = roots if forger is client else {"roots": []}
                body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": mine}).encode()
                assert (await forger.send("POST", body)).status == 202
            rest = await stream.rest()
            assert json.loads(json.loads(rest[-1].data)["result"]["content"][0]["text"]) == roots

        await asyncio.gather(*(converse(number, client) for number, client in enumerate(probers)))


async def test_an_id_in_use_is_refused():
    async with bench() as (found, prober):
        await prober.ready()
        body = prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}}, id="one")
        stream = await prober.stream("POST", body)
        answer = await prober.send("POST", body)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
        found.event(found.gates, "a").set()
        assert json.loads((await stream.rest())[-1].data)["id"] == "one"


async def test_the_end_of_a_session_ends_everything_of_it():
    store = MemoryStore()
    async with bench(store=store) as (found, prober):
        await prober.ready(capabilities={"roots": {}})
        waiting = await prober.tool_stream("wait", key="a")
        asking = await prober.tool_stream("ask", key="b")
        standing = await prober.stream("GET")
        for stream in (waiting, asking, standing):
            assert (await stream.next()) is not None
        assert (await prober.send("DELETE")).status == 204
        for stream in (waiting, asking, standing):
            await asyncio.wait_for(stream.rest(), 5)
        assert found.event(found.cancelled, "a").is_set()
        assert len(found.hub) == 0
