"""Rows that take all of it: our client, a protected server and our authorization server; and who a caller is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from guarded import protected

from dovetail import App, Client, Context, Principal
from dovetail.auth import MemoryTokens, OAuth, Protected, jwt
from dovetail.auth.pkce import challenge_of, new_verifier
from dovetail.protocol import names
from dovetail.stores import MemoryStore
from dovetail.testing.serving import served
from dovetail_authserver import AuthServer, RegisteredClient, single_user
from dovetail_authserver.testing import Browser

HIDDEN = {
    "metadata": (names.WELL_KNOWN_RESOURCE,),
    "default paths": (names.WELL_KNOWN_RESOURCE, names.WELL_KNOWN_OAUTH),
}


@contextlib.asynccontextmanager
async def one_origin(hidden: tuple[str, ...] = ()) -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
    """A protected server that is its own authorization server, as in 2025-03-26; what was asked of it. ``hidden``:
    well-known documents that it does not serve, as servers of that time did not.
    """
    asked: list[tuple[str, str]] = []
    apps: dict[str, Any] = {}

    async def site(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        asked.append((scope["method"], path))
        if path.startswith(hidden):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        ours = path.startswith(("/mcp", names.WELL_KNOWN_RESOURCE))
        await apps["server" if ours else "authority"](scope, receive, send)

    async with served(site) as url:
        issuer = url.removesuffix("/mcp")
        clients = [RegisteredClient(id="known", redirect_uris=["http://127.0.0.1:5000/callback"])]
        apps["authority"] = authority = AuthServer(
            issuer,
            login=single_user("alice"),
            store=MemoryStore(),
            resources=[url],
            registration="open",
            clients=clients,
        )
        app = App("notes", auth=Protected(url, jwt(issuer, jwks=f"{issuer}/jwks")), rate_limit=None)

        @app.tool
        def whoami(who: Principal) -> str:
            return who.subject

        apps["server"] = app.asgi()
        try:
            yield url, asked
        finally:
            await authority.aclose()


async def agree(url: str) -> bool:
    async with Browser(url) as browser:
        page = await browser.open(url)
        done = await browser.submit(page, decision="allow")
        return await browser.visit(done.left) == 200


@pytest.mark.requirement("R2503-AUTH-004", "R2503-AUTH-008", "R2503-AUTH-031")
@pytest.mark.parametrize("without", ["metadata", "default paths"])
async def test_r90_2025_03_26_between_our_own(without: str) -> None:
    """The authorization server's metadata is at the root; where it has none, its endpoints are at the default paths."""
    async with one_origin() as (url, _):
        wanted = f"{url.removesuffix('/mcp')}/.well-known/oauth-authorization-server"
        async with aiohttp.ClientSession() as http, http.get(wanted) as answer:
            assert (await answer.json())["token_endpoint"] == url.removesuffix("/mcp") + "/token"
    hidden = HIDDEN[without]
    async with one_origin(hidden) as (url, asked):
        auth = OAuth(open_browser=agree, tokens=MemoryTokens(), timeout=20)
        async with Client(url, auth=auth) as client:
            assert (await client.call_tool("whoami")).text == "alice"
        for step in (("POST", "/register"), ("GET", "/authorize"), ("POST", "/token")):
            assert step in asked, step


@pytest.mark.requirement("R2503-AUTH-019")
@pytest.mark.parametrize("issuer", ["http://login.example.com", "http://10.0.0.1", "ftp://login.example.com"])
def test_r87_authorization_endpoints_are_https(issuer: str) -> None:
    with pytest.raises(ValueError, match="https"):
        AuthServer(issuer, login=single_user("a"), store=MemoryStore(), resources=["https://mcp.example/mcp"])
    assert AuthServer(
        "https://login.example.com",
        login=lambda *_: None,  # pyright: ignore[reportArgumentType] - never called
        store=MemoryStore(),
        resources=["https://mcp.example/mcp"],
    )


@pytest.mark.requirement("R2503-AUTH-020")
@pytest.mark.parametrize(
    "redirect",
    [
        "http://127.0.0.1:5000/other", "http://127.0.0.1:5000/callback/", "http://127.0.0.1:5000/callback?x=1",
        "http://127.0.0.1.evil.example:5000/callback", "https://127.0.0.1:5000/callback", "//evil.example/callback",
        "/\\evil.example", "javascript:alert(1)", "http://127.0.0.1:5000\\@evil.example/callback", "",
    ],
)  # fmt: skip
async def test_r88_v46_nobody_is_sent_to_an_address_that_is_not_registered(redirect: str) -> None:
    async with one_origin() as (url, _):
        asked = {
            "response_type": "code",
            "client_id": "known",
            "redirect_uri": redirect,
            "state": "s",
            "code_challenge": challenge_of(new_verifier()),
            "code_challenge_method": "S256",
            "resource": url,
        }
        place = f"{url.removesuffix('/mcp')}/authorize?"
        async with aiohttp.ClientSession() as http:
            async with http.get(place + urlencode(asked), allow_redirects=False) as answer:
                assert (answer.status, answer.headers.get("location")) == (400, None)
            asked["redirect_uri"] = "http://127.0.0.1:5000/callback"
            async with http.get(place + urlencode(asked), allow_redirects=False) as answer:
                assert answer.status == 200


# Who a caller is


@pytest.mark.requirement(
    "R2511-ELICITATION-027",
    "R2607-ELICITATION-018",
    "RXSEC-SECURITY-014",
    "R2511-ELICITATION-054",
    "R2607-ELICITATION-043",
)
async def test_r126_who_calls_is_what_the_token_says_and_nothing_else() -> None:
    """Whatever a client says of its user is taken for what it is: something that a client says."""
    seen: list[str] = []
    app = App("who", rate_limit=None)

    @app.tool
    async def read(who: Principal, ctx: Context) -> str:
        seen.append(f"{who.issuer} {who.subject} {ctx.principal.subject}")
        await ctx.elicit("Who are you?", str)
        return f"{who.subject}"

    async with protected(app=app) as (issuer, wire):
        told = {"sub": "root", "user": "root", "subject": "root", "principal": {"subject": "root"}}
        headers = [(name, "root") for name in ("x-user", "x-forwarded-user", "remote-user", "x-remote-user")]
        headers += [("cookie", "user=root; sub=root"), ("from", "root@example.com")]
        asked = await wire.call(
            issuer.token(), params={"name": "read", "arguments": {}, **told}, headers=headers
        )
        result = asked.json["result"]
        (key,) = result["inputRequests"]
        done = await wire.call(
            issuer.token(),
            params={
                "name": "read",
                "arguments": {},
                "requestState": result["requestState"],
                "inputResponses": {key: {"action": "accept", "content": {"value": "root"}}},
            },
            headers=headers,
        )
        assert done.json["result"]["content"][0]["text"] == "ann"
        assert seen == [f"{issuer.url} ann ann"] * 2


@pytest.mark.requirement("R2511-ELICITATION-028", "R2607-ELICITATION-019")
async def test_r127_a_visit_is_no_authorization() -> None:
    """A person went where they were sent; the caller has not one right more, and without a token is nobody."""
    app = App("visits", rate_limit=None)

    @app.tool
    async def read(ctx: Context) -> str:
        await ctx.elicit_url("Log in", "https://third.example/login")
        ctx.require_scopes("notes:write")
        return "in"

    async with protected(app=app) as (issuer, wire):
        meta = {
            names.META_PROTOCOL_VERSION: "2026-07-28",
            names.META_CLIENT_CAPABILITIES: {"elicitation": {"form": {}, "url": {}}},
        }
        headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "read"),
        ]

        async def call(token: str | None, **more: Any) -> Any:
            params = {"name": "read", "arguments": {}, "_meta": meta, **more}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            shown = [] if token is None else [("authorization", f"Bearer {token}")]
            return await wire.send(headers=[*headers, *shown], body=json.dumps(body).encode())

        result = (await call(issuer.token())).json["result"]
        (key,) = result["inputRequests"]
        visited = {"requestState": result["requestState"], "inputResponses": {key: {"action": "accept"}}}
        refused = await call(issuer.token(), **visited)
        assert refused.status == 403
        assert 'error="insufficient_scope"' in refused.challenge
        assert (await call(None, **visited)).status == 401
        allowed = await call(issuer.token(scope="notes:write"), **visited)
        assert allowed.json["result"]["content"][0]["text"] == "in"


@pytest.mark.requirement("RXSEC-SECURITY-014", "R2607-AUTH-076", "R2511-AUTH-055")
async def test_r48_r64_every_request_is_asked_again_who_sends_it() -> None:
    """A session that was opened with a token opens nothing without one, whatever the method and the route."""
    entered: list[str] = []
    app = App("every", rate_limit=None)

    @app.tool
    def read(who: Principal) -> str:
        entered.append(who.subject)
        return ""

    async with protected(app=app, options={"http_sse": True}) as (issuer, wire):
        session = await wire.initialize(issuer.token())
        expired = issuer.token(exp=1)
        call = {"id": 1, "method": "tools/call", "params": {"name": "read", "arguments": {}}}
        for token in (None, "", "made-up", expired, issuer.token(aud="https://other.example/mcp")):
            assert (await wire.message(token, call, session=session)).status in (400, 401)
            assert (await wire.call(token)).status in (400, 401)
            shown = [] if token is None else [("authorization", f"Bearer {token}")]
            for method, path, more in (
                ("GET", "/mcp", [("mcp-session-id", session)]),
                ("DELETE", "/mcp", [("mcp-session-id", session)]),
                ("GET", "/mcp/sse", []),
                ("POST", "/mcp/messages?session_id=x", []),
            ):
                sent = [*shown, *more, ("accept", "text/event-stream"), ("content-type", "application/json")]
                answer = await wire.send(method, path, sent, b"{}" if method == "POST" else b"")
                assert answer.status in (400, 401), (token, method, path, answer)
        assert entered == []
        assert (await wire.message(issuer.token(), call, session=session)).status == 200
        assert entered == ["ann"]


# Opening an address


@pytest.mark.requirement("RXSEC-SECURITY-027", "RXSEC-SECURITY-028", "RXSEC-SECURITY-029")
@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a script with a shebang")
def test_v36_r102_the_address_reaches_the_browser_as_one_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real browser process; whatever a shell would have run leaves a file."""
    seen, bait = tmp_path / "seen", tmp_path / "bait"
    script = tmp_path / "browser"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(seen)!r}, 'w'))\n"
    )
    script.chmod(0o700)
    url = f"https://login.example/authorize?a=1&b=$(touch${{IFS}}{bait})&c=`touch%20{bait}`;touch%20{bait}|x&d='\"%s"
    code = (
        "import sys, webbrowser\nfrom dovetail.auth.login.person import open_in_browser\n"
        f"webbrowser.register('test', None, webbrowser.GenericBrowser([{str(script)!r}, '%s']), preferred=True)\n"
        f"assert open_in_browser({url!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "DISPLAY": ":0"}, timeout=60)
    assert json.loads(seen.read_text()) == [url]
    assert not bait.exists()


async def test_r78_the_resource_in_the_token_is_the_server_that_was_asked_for() -> None:
    """From the metadata over the authorization request to the audience: one text all the way."""
    async with one_origin() as (url, _):
        visits: list[str] = []

        async def visit(address: str) -> bool:
            visits.append(address)
            return await agree(address)

        tokens = MemoryTokens()
        async with Client(url, auth=OAuth(open_browser=visit, tokens=tokens, timeout=20)) as client:
            assert (await client.call_tool("whoami")).text == "alice"
        assert parse_qs(urlsplit(visits[0]).query)["resource"] == [url]
