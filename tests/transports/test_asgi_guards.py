"""Who may call, in which shape, by which path: the guards, routes, mounts and the lifespan, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from http_serving import MODERN, Bench, Prober, bench, serving

from dovetail.protocol.bindings.origins import OriginPolicy
from dovetail.security.authenticator import AuthenticationFailed
from dovetail.stores import MemoryStore
from dovetail.stores.errors import StoreUnavailable
from dovetail.transports.http_server.asgi import HTTPApp

ROUTES = ["/mcp", "/nowhere", "/mcp/sse", "/mcp/messages", "/"]
EVIL_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil",
    "evil.example:80",
    "user@127.0.0.1",
    "[::1].evil",
    "2130706433",
    "",
]
EVIL_ORIGINS = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil",
    "file://",
]


@pytest.mark.requirement(
    "R2607-SECURITY-001", "R2607-SECURITY-002", "R2511-SECURITY-001", "R2511-SECURITY-002"
)
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS", "PUT"])
async def test_v3_v4_v5_v6_v7_v8_v9_foreign_origins_are_refused_on_every_route(path, method):
    async with bench(http_sse=True) as (found, prober):
        body = prober.message("ping") if method == "POST" else None
        for origin in EVIL_ORIGINS:
            answer = await prober.send(method, body, {"origin": origin}, path)
            assert answer.status == 403
            assert "id" not in answer.json
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert not found.service.started or not found.calls


@pytest.mark.parametrize("path", ROUTES)
async def test_v3_v4_v5_v6_v7_v8_v9_foreign_hosts_are_refused_on_every_route(path):
    async with bench(http_sse=True) as (found, prober):
        for host in EVIL_HOSTS:
            answer = await prober.send("POST", prober.message("ping"), {"host": host}, path)
            assert answer.status in (400, 403)
        assert not found.calls


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "127.9.9.9", "[::1]:8000"])
async def test_loopback_names_are_served(host):
    async with bench() as (_, prober):
        body, headers = prober.modern("server/discover")
        for origin in ("", "http://localhost:3000", "http://127.0.0.1"):
            answer = await prober.send("POST", body, {**headers, "host": host, "origin": origin})
            assert answer.status == 200


async def test_v10_pages_of_other_sites_cannot_call():
    async with bench() as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "echo"})
        answer = await prober.send("POST", body, {**headers, "sec-fetch-site": "cross-site"})
        assert answer.status == 403
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
            " ",
        ):
            assert (await prober.send("POST", body, {**headers, "content-type": kind})).status == 415
        assert (
            await prober.send("POST", body, {**headers, "content-type": "application/json; charset=latin-1"})
        ).status == 415
        connection = await prober.start("POST", None, {**headers, "content-length": str(len(body))})
        await connection.send(body)
        assert (await connection.answer()).status == 415
        assert not found.calls


async def test_v10_a_doubled_content_type_is_refused():
    async with bench() as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "echo"})
        answer = await prober.send("POST", body, {**headers, "Content-Type": "application/json"})
        assert answer.status == 415
        assert not found.calls


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_content_codings_are_not_taken(coding):
    async with bench() as (_, prober):
        body, headers = prober.modern("server/discover")
        assert (await prober.send("POST", body, {**headers, "content-encoding": coding})).status == 415


async def test_v11_no_answer_has_cors_headers_by_default():
    async with bench(http_sse=True) as (_, prober):
        body, headers = prober.modern("server/discover")
        answers = [await prober.send("POST", body, {**headers, "origin": "http://localhost:1"})]
        for method in ("GET", "OPTIONS", "PUT"):
            for path in ("/mcp", "/nothing"):
                asked = {"origin": "http://localhost:1", "access-control-request-method": "POST"}
                answers.append(await prober.send(method, None, asked, path))
        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answers[0].status == 200


async def test_configured_origins_get_cors_and_preflight():
    async with bench(allowed_origins=("https://app.example",)) as (_, prober):
        body, headers = prober.modern("server/discover")
        mine = {"origin": "https://app.example"}
        answer = await prober.send("POST", body, {**headers, **mine})
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["vary"] == "Origin"
        asked = {
            **mine,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type, mcp-param-city, x-evil, mcp-param-\u00e4",
        }
        preflight = await prober.send("OPTIONS", None, asked)
        assert preflight.status == 204
        allowed = preflight.headers["access-control-allow-headers"].split(", ")
        assert {"mcp-session-id", "mcp-param-city", "content-type"} <= set(allowed)
        assert "x-evil" not in allowed
        assert "access-control-allow-credentials" not in preflight.headers
        refused = await prober.send("GET", None, mine)
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        for origin in ("https://app.example.evil", "http://app.example", "https://other.example", "null"):
            answer = await prober.send("OPTIONS", None, {**asked, "origin": origin})
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_needs_no_credentials():
    class Nobody:
        async def authenticate(self, request):
            raise AuthenticationFailed("no", headers=(("WWW-Authenticate", "Bearer"),))

    async with bench(allowed_origins=("https://app.example",), authenticate=Nobody()) as (_, prober):
        asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
        assert (await prober.send("OPTIONS", None, asked)).status == 204
        refused = await prober.send("POST", prober.message("ping"), {"origin": "https://app.example"})
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        names = [name for name, _ in refused.pairs]
        assert names.count("access-control-allow-origin") == 1


async def test_a_refusal_has_each_cors_header_once():
    async with bench(allowed_origins=("https://app.example",)) as (_, prober):
        body, headers = prober.modern("no/such")
        answer = await prober.send("POST", body, {**headers, "origin": "https://app.example"})
        assert answer.status == 404
        assert [name for name, _ in answer.pairs].count("access-control-allow-origin") == 1


class BrokenSessions:
    """A session store that is not there."""

    def __getattr__(self, name):
        async def fail(*args, **options):
            raise StoreUnavailable("gone")

        return fail


async def test_a_store_that_is_gone_is_a_503_and_costs_the_other_era_nothing():
    store = MemoryStore()
    store.sessions = BrokenSessions()  # pyright: ignore[reportAttributeAccessIssue] - a broken one, on purpose
    async with bench(store=store) as (_, prober):
        assert (await prober.initialize()).status == 503
        prober.session = "x" * 43
        for method in ("POST", "GET", "DELETE"):
            answer = await prober.send(method, prober.message("ping") if method == "POST" else None)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await prober.ask("server/discover")).status == 200


async def test_a_public_host_has_to_be_named():
    async with bench(allowed_hosts=("api.example",)) as (_, prober):
        body, headers = prober.modern("server/discover")
        assert (await prober.send("POST", body, {**headers, "host": "api.example"})).status == 200
        refused = await prober.send("POST", body, headers)
        assert refused.status == 403
        assert "allowed hosts" in refused.json["error"]["message"]
    async with bench(policy=OriginPolicy(("*",))) as (_, prober):
        assert (await prober.send("POST", body, {**headers, "host": "anything.example"})).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused_with_those_that_are_served(method):
    async with bench() as (_, prober):
        connection = await prober.start(method)
        answer = await connection.head()
        assert (answer.status, answer.headers["allow"]) == (405, "POST, GET, DELETE")


async def test_a_get_has_to_accept_event_streams():
    async with bench() as (_, prober):
        await prober.ready()
        assert (await prober.send("GET", headers={"accept": "application/json"})).status == 406


async def test_doubled_headers_are_refused():
    async with bench() as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "echo"})
        for name, value in {
            "mcp-method": "tools/call",
            "MCP-NAME": "echo",
            "mcp-protocol-version": MODERN,
        }.items():
            answer = await prober.send("POST", body, {**headers, name: value})
            assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
        await prober.ready()
        answer = await prober.send("POST", prober.message("ping"), {"mcp-session-id": prober.session or ""})
        assert answer.status == 400
        assert not found.calls


@pytest.mark.parametrize(
    "path", ["/mcp/", "/mcp//", "/MCP", "/mcp/x", "//mcp", "/mcp%2f", "/%6dcp/", "/mcp;x"]
)
async def test_only_the_exact_path_is_served_and_nothing_redirects(path):
    async with bench() as (_, prober):
        body, headers = prober.modern("server/discover")
        answer = await prober.send("POST", body, headers, path)
        assert answer.status == 404
        assert answer.json["error"]["code"] == -32600
        assert "location" not in answer.headers


async def test_a_trailing_slash_is_served_only_when_asked_for():
    async with bench(trailing_slash=True) as (_, prober):
        body, headers = prober.modern("server/discover")
        for path in ("/mcp", "/mcp/"):
            assert (await prober.send("POST", body, headers, path)).status == 200


async def test_mounted_in_a_framework():
    from starlette.applications import Starlette
    from starlette.routing import Mount

    found = Bench()
    app = Starlette(
        routes=[Mount("/api", HTTPApp(found.service)), Mount("/tools", HTTPApp(found.service, path="/"))]
    )
    async with serving(app) as port:
        prober = Prober(port)
        body, headers = prober.modern("server/discover")
        for path, status in (
            ("/api/mcp", 200),
            ("/api/", 200),
            ("/tools/", 200),
            ("/api/other", 404),
            ("/mcp", 404),
        ):
            assert (await prober.send("POST", body, headers, path)).status == status, path


async def test_behind_a_root_path():
    found = Bench()
    async with serving(HTTPApp(found.service), root_path="/prefix") as port:
        body, headers = Prober(port).modern("server/discover")
        assert (await Prober(port).send("POST", body, headers, "/mcp")).status == 200


@pytest.mark.parametrize(
    "root,path",
    [
        ("/api", "/mcp"),
        ("/api", "/api/mcp"),
        ("/api/", "/api/mcp"),
        ("", "/mcp"),
        ("/api", "/api"),
        ("/api", "/"),
        ("/api", ""),
    ],
)
async def test_paths_of_older_and_newer_frameworks(root, path):
    found = Bench()
    app = HTTPApp(found.service)
    body, headers = Prober(0).modern("server/discover")
    fields = {**headers, "host": "localhost", "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": root,
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(event):
        sent.append(event)

    await app(scope, receive, send)
    assert sent[0]["status"] == 200


async def test_the_lifespan_starts_once_and_ends():
    log = []

    @contextlib.asynccontextmanager
    async def lifespan():
        log.append("in")
        yield
        log.append("out")

    async with bench(service={"lifespan": lifespan}) as (_, prober):
        assert log == ["in"]
        await prober.ask("server/discover")
    assert log == ["in", "out"]


async def test_a_lifespan_that_fails_at_the_first_request_is_tried_again():
    log = []

    @contextlib.asynccontextmanager
    async def lifespan():
        log.append("in")
        if len(log) == 1:
            raise ValueError("not yet")
        yield

    found = Bench(lifespan=lifespan)
    async with serving(HTTPApp(found.service), lifespan="off") as port:
        prober = Prober(port)
        failed = await prober.ask("server/discover")
        assert (failed.status, failed.headers["retry-after"]) == (503, "1")
        assert "not yet" not in failed.body.decode()
        assert (await prober.ask("server/discover")).status == 200


async def test_f67_draining_ends_streams_and_waits_for_calls():
    found = Bench()
    app = HTTPApp(found.service, drain=5)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        standing = await prober.stream("GET")
        await standing.next()
        working = await prober.tool_stream("wait", key="a")
        await working.next()
        modern = prober.another()
        modern.session = modern.revision = None
        body, headers = modern.modern("subscriptions/listen", {"notifications": {}}, id=5)
        listening = await modern.stream("POST", body, headers)
        await listening.next()
        draining = asyncio.create_task(app.drain())
        assert await standing.rest() == []
        assert [json.loads(event.data)["id"] for event in await listening.rest()] == [5]
        refused = await prober.call("ping")
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        assert not draining.done()
        found.event(found.gates, "a").set()
        assert "result" in json.loads((await working.rest())[-1].data)
        await asyncio.wait_for(draining, 5)
        for connection in prober.opened:
            await connection.close()


async def test_f67_draining_has_a_limit():
    found = Bench()
    app = HTTPApp(found.service, drain=0.05)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        working = await prober.tool_stream("wait", key="a")
        await working.next()
        await asyncio.wait_for(app.drain(), 5)
        assert found.event(found.cancelled, "a").is_set()
        await working.rest()
        await working.connection.close()
        for connection in prober.opened:
            await connection.close()


async def test_requests_and_streams_are_counted():
    async with bench(max_requests=2, max_streams=1) as (found, prober):
        await prober.ready()
        stream = await prober.tool_stream("wait", key="a")
        await stream.next()
        assert (await prober.send("GET")).status == 503
        body, headers = prober.modern("subscriptions/listen", {"notifications": {}})
        assert (await prober.send("POST", body, headers)).status == 503
        second = await prober.start(
            "POST", prober.message("tools/call", {"name": "wait", "arguments": {"key": "b"}})
        )
        await found.event(found.started, "b").wait()
        refused = await prober.call("ping")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        for key in ("a", "b"):
            found.event(found.gates, key).set()
        assert (await second.answer()).json["result"]["content"][0]["text"] == "waited b"
        await stream.rest()
        assert (await prober.call("ping")).status == 200


def test_settings_that_make_no_sense_are_refused():
    found = Bench()
    wrong: list[dict[str, Any]] = [
        {"path": "mcp"},
        {"path": "/mcp/"},
        {"responses": "xml"},
        {"keep_alive": 0},
        {"retry": -1},
    ]
    for options in wrong:
        with pytest.raises(ValueError, match=next(iter(options))):
            HTTPApp(found.service, **options)


# The deprecated transport


@pytest.mark.requirement("R2411-TRANSPORT-HTTP-001", "R2411-TRANSPORT-HTTP-002", "R2411-TRANSPORT-HTTP-004")
async def test_the_transport_of_2024():
    async with bench(http_sse=True) as (found, prober):
        stream = await prober.stream("GET", path="/mcp/sse")
        endpoint = await stream.next()
        assert endpoint is not None
        assert endpoint.event == "endpoint"
        path = endpoint.data.decode()
        assert path.startswith("/mcp/messages?session=")

        async def post(body):
            return (await prober.send("POST", body, path=path)).status

        async def reply():
            event = await stream.next()
            assert event is not None
            assert event.event == "message"
            return json.loads(event.data)

        params = {
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": {"name": "a", "version": "1"},
        }
        assert await post(prober.message("initialize", params)) == 202
        assert (await reply())["result"]["protocolVersion"] == "2024-11-05"
        assert await post(prober.message("notifications/initialized", notice=True)) == 202
        assert await post(prober.message("tools/call", {"name": "echo", "arguments": {"text": "old"}})) == 202
        assert (await reply())["result"]["content"][0]["text"] == "old"
        assert await post(prober.message("tools/call", {"name": "wait", "arguments": {"key": "a"}})) == 202
        await found.event(found.started, "a").wait()
        stream.connection.abort()
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 5)
        assert await post(prober.message("ping")) == 404


async def test_the_transport_of_2024_is_off_and_guarded():
    async with bench() as (_, prober):
        assert (await prober.send("GET", path="/mcp/sse")).status == 404
    async with bench(http_sse=True) as (_, prober):
        assert (await prober.send("POST", b"{}", path="/mcp/messages")).status == 404
        assert (await prober.send("POST", b"{}", path="/mcp/messages?session=x&session=y")).status == 404
        assert (
            await prober.send("POST", b"{}", {"content-type": "text/plain"}, path="/mcp/messages")
        ).status == 415
        assert (await prober.send("POST", b"{}", path="/mcp/sse")).headers["allow"] == "GET"
        assert (await prober.send("GET", path="/mcp/messages")).headers["allow"] == "POST"


async def test_the_transport_of_2024_drains():
    found = Bench()
    app = HTTPApp(found.service, http_sse=True)
    async with serving(app) as port:
        prober = Prober(port)
        stream = await prober.stream("GET", path="/mcp/sse")
        await stream.next()
        await asyncio.wait_for(app.drain(), 5)
        assert await stream.rest() == []
        await stream.connection.close()
