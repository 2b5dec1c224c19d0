"""What a caller is told who may not come in: where credentials are read, and the challenges and their documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from guarded import LEGACY, MODERN, READS_BOTH, RESOURCE, Issuer, Wire, issuing, notes, protected

from dovetail import App, Client
from dovetail.auth import Protected, jwt
from dovetail.auth.challenges import parse_challenges
from dovetail.auth.metadata import parse_protected_resource
from dovetail.auth.resources import protected_resource_urls
from dovetail.testing.serving import served

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def told(answer: Any) -> dict[str, str]:
    """The parameters of the one challenge, its scheme among them."""
    (challenge,) = parse_challenges(answer.values("www-authenticate"))
    return {"scheme": challenge.scheme, **challenge.parameters}


@pytest.mark.requirement(
    "R2607-AUTH-004",
    "R2511-AUTH-014",
    "R2506-AUTH-004",
    "R2503-AUTH-006",
    "R2607-AUTH-052",
    "R2511-AUTH-016",
    "R2607-AUTH-090",
    "R2511-AUTH-064",
    "R2511-AUTH-002",
    "R2607-AUTH-040",
)
async def test_r62_r67_without_a_token_the_challenge_says_where_to_begin():
    async with protected(scopes=["notes:read", "notes:list"]) as (issuer, wire):
        session = await wire.initialize(issuer.token(scope="notes:read notes:list"))
        for answer in (
            await wire.call(None),
            await wire.call(None, "server/discover", {}),
            await wire.message(None, {"id": 1, "method": "ping"}, session=session),
            await wire.send("GET", headers=[("accept", "text/event-stream"), ("mcp-session-id", session)]),
            await wire.send("DELETE", headers=[("mcp-session-id", session)]),
            await wire.send("OPTIONS"),
            await wire.send(headers=READS_BOTH, body=b"not even JSON"),
            await wire.send(headers=[*READS_BOTH, ("authorization", "Basic YTpi")], body=b"{}"),
        ):
            assert answer.status == 401, answer
            assert told(answer) == {
                "scheme": "bearer",
                "scope": "notes:read notes:list",
                "resource_metadata": "http://localhost:8765/.well-known/oauth-protected-resource/mcp",
            }


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-090", "R2511-AUTH-064")
async def test_r62_malformed_requests_are_400():
    async with protected() as (issuer, wire):
        token = issuer.token()
        for values in (
            [f"Bearer {token}", f"Bearer {token}"],
            [f"Bearer {token}", "Basic YTpi"],
            ["Basic YTpi", f"Bearer {token}"],
            ["Bearer"],
            ["Bearer   "],
            ["DPoP"],
            [f"Bearer {token} {token}"],
            [f"Bearer {token}, Bearer {token}"],
            [f"Bearer {token},{token}"],
        ):
            answer = await wire.call(None, headers=[("authorization", value) for value in values])
            assert (answer.status, told(answer)["error"]) == (400, "invalid_request"), values
        for value in (
            b"Bearer \xff\xfe",
            "Bearer tök".encode(),
            b'Bearer "a"',
            b"Bearer =a",
        ):
            answer = await wire.call(None, headers=[("authorization", value)])
            assert (answer.status, told(answer)["error"]) == (401, "invalid_token"), value


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-133", "R2511-AUTH-102")
async def test_r63_a_token_counts_only_in_its_header():
    async with protected() as (issuer, wire):
        token = issuer.token()
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping", "access_token": token}
        for path, headers, body in (
            (f"/mcp?access_token={token}", [], b"{}"),
            (f"/mcp?authorization=Bearer%20{token}", [], b"{}"),
            ("/mcp", [("cookie", f"access_token={token}")], b"{}"),
            (
                "/mcp",
                [("x-authorization", f"Bearer {token}"), ("proxy-authorization", f"Bearer {token}")],
                b"{}",
            ),
            ("/mcp", [], json.dumps(message).encode()),
        ):
            answer = await wire.send(path=path, headers=[*READS_BOTH, *headers], body=body)
            assert answer.status == 401, path
        routing = [("mcp-method", "server/discover"), ("mcp-protocol-version", MODERN)]
        shown = [*READS_BOTH, *routing, ("authorization", f"Bearer {token}")]
        answer = await wire.send(
            path="/mcp?access_token=other", headers=shown, body=b'{"jsonrpc":"2.0","id":1}'
        )
        assert answer.status == 400  # let in by the header; the message is no request


async def test_r64_the_body_of_a_stranger_is_never_read():
    async with protected() as (_, wire):
        reader, writer = await __import__("asyncio").open_connection("127.0.0.1", wire.port)
        writer.write(b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        writer.write(b"accept: application/json, text/event-stream\r\ncontent-length: 1000000\r\n\r\n")
        line = await reader.readline()  # nothing of the body was sent
        writer.close()
        assert b" 401 " in line


async def test_r113_no_token_is_in_answers_or_logs(caplog):
    caplog.set_level("DEBUG")
    async with protected() as (issuer, wire):
        for token in (issuer.token(exp=1), issuer.token(aud="x"), issuer.token() + "x", "opaque-secret"):
            answer = await wire.call(token)
            part = token.rpartition(".")[2]
            assert part not in repr(answer)
            ours = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("dovetail"))
            assert part not in ours


# The document


@pytest.mark.requirement(
    "R2607-AUTH-001",
    "R2607-AUTH-002",
    "R2607-AUTH-004",
    "R2607-AUTH-046",
    "R2511-AUTH-008",
    "R2511-AUTH-012",
    "R2511-AUTH-013",
    "R2511-AUTH-014",
)
async def test_r67_the_resource_describes_itself_where_clients_look():
    async with protected(scopes=["a"], scopes_supported=["a", "b"], name="Notes") as (issuer, wire):
        challenge = told(await wire.call(None))
        assert challenge["resource_metadata"] == protected_resource_urls(RESOURCE)[0]
        for path in (WELL_KNOWN + "/mcp", WELL_KNOWN):
            answer = await wire.send("GET", path, [("mcp-protocol-version", MODERN)])
            assert answer.status == 200
            assert answer.values("content-type") == ["application/json"]
            found = parse_protected_resource(answer.body)
            assert (found.resource, found.authorization_servers) == (RESOURCE, [issuer.url])
            assert (found.scopes_supported, found.bearer_methods_supported) == (["a", "b"], ["header"])
            assert found.resource_name == "Notes"
        assert (await wire.send("HEAD", WELL_KNOWN)).status == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = await wire.send(method, WELL_KNOWN)
            assert (answer.status, answer.values("allow")) == (405, ["GET, HEAD"])
        for path in (
            WELL_KNOWN + "/",
            WELL_KNOWN + "/mcp/",
            WELL_KNOWN + "/other",
            WELL_KNOWN + "x",
            "/x" + WELL_KNOWN,
        ):
            assert (await wire.send("GET", path)).status == 404


@pytest.mark.parametrize("resource", ["https://notes.example.com/api/mcp", "https://notes.example.com/other"])
async def test_below_a_mount_the_document_is_where_the_challenge_says(resource):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with issuing() as issuer:
        auth = Protected(resource, jwt("https://issuer.example.com"))
        app = App("mounted", rate_limit=None)
        site = Starlette(routes=[Mount("/api", app.asgi(auth=auth))])
        async with served(site) as url:
            wire = Wire(url, "/api")
            answer = await wire.call(None)
            assert answer.status == 401
            where = told(answer)["resource_metadata"]
            assert where.startswith("https://notes.example.com/api/.well-known/")
            found = await wire.send("GET", where.removeprefix("https://notes.example.com"))
            assert parse_protected_resource(found.body).resource == resource
        assert issuer.asked == {}


async def test_the_root_of_a_site_can_serve_the_document():
    auth = Protected("https://notes.example.com/api/mcp", jwt("https://issuer.example.com"))
    assert parse_protected_resource(auth.metadata).resource == auth.resource


async def test_behind_a_proxy_the_public_name_counts():
    """The proxy takes away a prefix; what it says in headers is not believed."""
    auth = Protected("https://notes.example.com/tools/mcp", jwt("https://issuer.example.com"))
    async with served(App("behind").asgi(auth=auth)) as url:
        wire = Wire(url)
        forged = [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "host=evil.example"),
        ]
        for host in ("notes.example.com", "localhost"):
            answer = await wire.send(headers=[*READS_BOTH, *forged], body=b"{}", host=host)
            where = "https://notes.example.com/.well-known/oauth-protected-resource/tools/mcp"
            assert (answer.status, told(answer)["resource_metadata"]) == (401, where)
        assert (await wire.send("GET", where.removeprefix("https://notes.example.com"))).status == 200
        assert (await wire.send(headers=READS_BOTH, body=b"{}", host="evil.example")).status == 403
        named = Protected(
            auth.resource, jwt("https://issuer.example.com"), metadata_url="https://meta.example.com/x"
        )
    async with served(App("behind").asgi(auth=named)) as url:
        answer = await Wire(url).call(None)
        assert told(answer)["resource_metadata"] == "https://meta.example.com/x"


async def test_v11_pages_read_the_document_only_from_origins_that_are_configured():
    async with protected() as (_, wire):
        for method, path in (
            ("GET", WELL_KNOWN),
            ("OPTIONS", WELL_KNOWN),
            ("POST", "/mcp"),
            ("OPTIONS", "/mcp"),
        ):
            answer = await wire.send(
                method, path, [("origin", "http://localhost:8765"), ("host", "localhost:8765")][:1]
            )
            assert not [name for name, _ in answer.headers if name.startswith("access-control-")]
    async with protected(options={"allowed_origins": ("https://page.example",)}) as (_, wire):
        origin = ("origin", "https://page.example")
        asks = ("access-control-request-method", "GET")
        answer = await wire.send("GET", WELL_KNOWN, [origin])
        assert answer.values("access-control-allow-origin") == ["https://page.example"]
        asked = await wire.send(
            "OPTIONS", WELL_KNOWN, [origin, asks, ("access-control-request-headers", "mcp-protocol-version")]
        )
        assert (asked.status, asked.values("access-control-allow-methods")) == (204, ["GET, HEAD"])
        refused = await wire.call(None, headers=[origin])
        assert refused.values("access-control-allow-origin") == ["https://page.example"]
        assert "www-authenticate" in refused.values("access-control-expose-headers")[0]
        assert (await wire.send("GET", WELL_KNOWN, [("origin", "https://evil.example")])).status == 403


@pytest.mark.requirement("R2607-AUTH-089")
async def test_offline_access_is_named_nowhere():
    async with protected(scopes=["a"]) as (_, wire):
        assert "offline_access" not in told(await wire.call(None))["scope"]
        assert b"offline_access" not in (await wire.send("GET", WELL_KNOWN)).body


async def test_an_app_whose_entries_ask_who_calls_is_not_served_to_strangers():
    app = notes(None)
    with pytest.raises(ValueError, match="protect the app"):
        app.asgi()
    with pytest.raises(ValueError, match="not both"):
        app.asgi(auth=Protected(RESOURCE, jwt("https://i.example")), authenticate=_Nobody())


class _Nobody:
    async def authenticate(self, request: Any) -> Any:
        raise AssertionError(request)


@pytest.mark.requirement("R2607-AUTH-041", "R2511-AUTH-003", "R2607-AUTH-138", "R2511-AUTH-107")
async def test_where_there_are_no_tokens_nobody_is_asked_for_one():
    app = notes(Protected(RESOURCE, jwt("https://issuer.example.com")))
    async with Client(app) as client:
        assert (await client.call_tool("write")).text == "written"
        assert [tool.name async for tool in client.tools()] == ["read", "write", "destroy"]


@pytest.mark.requirement("R2607-AUTH-136", "R2511-AUTH-105")
@pytest.mark.requirement("R2511-ELICITATION-030", "R2607-ELICITATION-021")
async def test_r66_r103_a_handler_never_sees_the_token():
    seen: list[str] = []
    app = App("upstream", rate_limit=None)
    from dovetail import Context

    @app.tool
    async def read(ctx: Context) -> str:
        seen.extend([repr(dict(ctx.headers)), repr(ctx.principal), str(ctx.principal.claims)])
        return ""

    async with protected(app=app) as (issuer, wire):
        token = issuer.token()
        assert (await wire.call(token)).status == 200
        assert "mcp-method" in seen[0]
        assert not any(part in text for text in seen for part in token.split("."))


def test_legacy_is_not_modern():
    assert LEGACY != MODERN
    assert Issuer().url == ""
