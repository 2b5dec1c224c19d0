"""Every refusal that the endpoint writes itself is a message too: the oracle has judged it before it leaves."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from http_serving import MODERN, bench

import dovetail
import dovetail.transports.http_server.asgi
from dovetail.protocol import messages
from dovetail.security.authenticator import AuthenticationFailed
from dovetail.stores import MemoryStore
from dovetail.stores.errors import StoreUnavailable

PACKAGE = Path(dovetail.__file__).parent


class Doorkeeper:
    """Refuses everybody with one status, or fails."""

    def __init__(self, status):
        self.status = status

    async def authenticate(self, request):
        if self.status == 500:
            raise RuntimeError("broken")
        raise AuthenticationFailed("no", status=self.status)


class BrokenSessions:
    def __getattr__(self, name):
        async def fail(*args, **options):
            raise StoreUnavailable("gone")

        return fail


def refusals(oracle):
    """How many errors have left over HTTP."""
    return sum(
        number
        for count, number in oracle.counts.items()
        if count.direction == "sent" and count.transport == "http" and "Error" in count.definition
    )


async def refused(
    oracle, prober, status, method="POST", body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}', **more
):
    """See one request refused, and the refusal judged."""
    before = refusals(oracle)
    headers, path = more.pop("headers", {}), more.pop("path", None)
    answer = await prober.send(method, body if method == "POST" else None, headers, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]["message"]
    assert refusals(oracle) == before + 1
    return answer


async def test_what_a_head_is_refused_for_is_judged(oracle):
    async with bench() as (_, prober):
        await refused(oracle, prober, 403, headers={"origin": "https://evil.example"})
        await refused(oracle, prober, 403, headers={"host": "evil.example"})
        await refused(oracle, prober, 404, path="/elsewhere")
        await refused(oracle, prober, 405, "PUT")
        await refused(oracle, prober, 406, headers={"accept": "text/html"})
        await refused(oracle, prober, 406, "GET", headers={"accept": "text/html"})
        await refused(oracle, prober, 413, headers={"content-length": str(2**40)})
        await refused(oracle, prober, 415, headers={"content-type": "text/plain"})
        await refused(oracle, prober, 415, headers={"content-encoding": "gzip"})
        await refused(oracle, prober, 400, headers={"MCP-Protocol-Version": "1999-01-01"})
        await refused(oracle, prober, 404, headers={"Mcp-Session-Id": "x" * 43})
        await refused(oracle, prober, 404, "DELETE", headers={"Mcp-Session-Id": "x" * 43})


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN])
async def test_a_refusal_is_held_to_the_revision_of_its_request(oracle, revision):
    async with bench() as (_, prober):
        before = refusals(oracle)
        headers = {"MCP-Protocol-Version": revision, "origin": "https://evil.example"}
        await refused(oracle, prober, 403, headers=headers)
        assert refusals(oracle) == before + 1
        assert any(count.revision == revision for count in oracle.counts)


@pytest.mark.hostile
async def test_what_a_body_is_refused_for_is_judged(oracle):
    async with bench() as (_, prober):
        await refused(oracle, prober, 400, body=b"no json")
        answer = await refused(oracle, prober, 400, body=b'{"jsonrpc":"1.0","id":7,"method":"ping"}')
        assert answer.json["id"] == 7
        await prober.ready()
        other = {"MCP-Protocol-Version": MODERN}
        await refused(oracle, prober, 400, body=b"[]", headers=other)
        await refused(oracle, prober, 400, body=b'{"jsonrpc":"2.0","id":8,"result":{}}', headers=other)
        body, headers = prober.modern("subscriptions/listen", {"notifications": {}}, id=9)
        answer = await refused(
            oracle, prober, 406, body=body, headers={**headers, "accept": "application/json"}
        )
        assert answer.json["id"] == 9


@pytest.mark.hostile
@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"1.0","id":"s1","result":{}}',
        b'{"jsonrpc":"1.0","id":"s1","error":{"code":1,"message":"no"}}',
        b'{"jsonrpc":2,"id":"s1","result":{}}',
        b'{"jsonrpc":"2.0","id":"s1","result":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"jsonrpc":"2.0","id":"s1","result":[]}',
    ],
)
async def test_a_malformed_response_is_not_refused_under_its_id_which_is_ours(oracle, body):
    async with bench() as (_, prober):
        await prober.ready()
        assert "id" not in (await refused(oracle, prober, 400, body=body)).json


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_what_the_authenticator_refuses_is_judged(oracle, status):
    async with bench(authenticate=Doorkeeper(status)) as (_, prober):
        await refused(oracle, prober, status)


async def test_what_there_is_no_place_for_is_judged(oracle):
    async with bench(max_requests=2, max_streams=1, body_timeout=0.05) as (found, prober):
        await prober.ready()
        late = await prober.start("POST", None, {"content-type": "application/json", "content-length": "9"})
        before = refusals(oracle)
        assert (await late.answer()).status == 408
        assert refusals(oracle) == before + 1
        stream = await prober.stream("GET")
        await stream.next()
        await refused(oracle, prober, 503, "GET")
        calling = prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        waiting = await prober.start("POST", calling)
        await found.event(found.started, "a").wait()
        await refused(oracle, prober, 503)
        found.event(found.gates, "a").set()
        assert (await waiting.answer()).status == 200


async def test_a_second_reader_and_an_unknown_event_are_judged(oracle):
    async with bench() as (_, prober):
        await prober.ready()
        stream = await prober.stream("GET")
        await stream.next()
        await refused(oracle, prober, 409, "GET")
        await refused(oracle, prober, 400, "GET", headers={"Last-Event-ID": "nobody's"})


async def test_a_session_with_all_it_may_have_in_progress_is_judged(oracle):
    async with bench(service={"max_running": 1}) as (found, prober):
        await prober.ready()
        calling = prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        waiting = await prober.start("POST", calling)
        await found.event(found.started, "a").wait()
        answer = await refused(oracle, prober, 503, body=prober.message("tools/list", id="second"))
        assert answer.json["id"] == "second"
        found.event(found.gates, "a").set()
        assert (await waiting.answer()).status == 200


async def test_a_store_that_fails_and_a_server_that_ends_are_judged(oracle):
    store = MemoryStore()
    store.sessions = BrokenSessions()  # pyright: ignore[reportAttributeAccessIssue] - a broken one, on purpose
    applications = []

    def keep(service, **options):
        applications.append(dovetail.transports.http_server.asgi.HTTPApp(service, **options))
        return applications[-1]

    async with bench(keep, store=store) as (_, prober):
        await refused(oracle, prober, 503, headers={"Mcp-Session-Id": "x" * 43})
        await asyncio.wait_for(applications[0].drain(), 5)
        await refused(oracle, prober, 503)


async def test_a_refusal_that_breaks_the_schema_fails_its_test(oracle, monkeypatch):
    """The oracle itself: what it would say, and take from this test."""
    monkeypatch.setattr(messages, "error", lambda *_: b'{"jsonrpc":"2.0","error":{"code":"?"}}')
    async with bench() as (_, prober):
        assert (await prober.send("POST", b"{}", {"origin": "https://evil.example"})).status == 403
    (fault,) = oracle.take()
    assert fault.sent
    assert fault.transport == "http"


def test_nothing_but_refuse_writes_a_status_of_refusal():
    """A status of 400 or more that stands in a call of `answer` would be a refusal that nobody judges."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in (PACKAGE / "transports" / "http_server").glob("*.py")
        if path.name != "health.py"  # plain HTTP for probes: what it says is no message of the protocol
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "answer"
        and any(
            isinstance(each, ast.Constant) and type(each.value) is int and each.value >= 400
            for each in node.args
        )
    ]
    assert found == []
