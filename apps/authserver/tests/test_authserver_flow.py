"""The whole way: discovery, registration, login, consent, code, token, refresh, over real sockets."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import pytest
from authority_calls import CALLBACK, PUBLIC, RESOURCE, SERVER, Calls, answer_of, calls

from dovetail.auth import oauth
from dovetail_authserver.testing import Browser


@pytest.mark.requirement(
    "R2506-AUTH-002", "R2511-AUTH-010", "R2607-AUTH-048", "R2503-AUTH-003", "R2607-AUTH-062", "R2607-AUTH-061"
)
@pytest.mark.requirement("R2511-AUTH-005", "R2607-AUTH-043", "R2503-AUTH-001")
async def test_a_client_that_registers_itself_gets_tokens() -> None:
    async with calls(clients=[SERVER], scopes={"files": "your files"}) as program:
        about = (await program.get("/.well-known/oauth-authorization-server")).body
        assert about["issuer"] == program.url
        assert about["authorization_response_iss_parameter_supported"] is True
        registered = await program.send(
            "POST",
            about["registration_endpoint"],
            json={
                "client_name": "A client",
                "redirect_uris": [CALLBACK],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
                "application_type": "native",
            },
        )
        assert registered.status == 201, registered.text
        client = registered.body["client_id"]
        got = await program.authority.code(program.authorize_url(client_id=client, scope="files"))
        assert got["state"] == "a state & more"
        assert got["iss"] == program.url
        said = await program.exchange(got["code"], client_id=client, resource=RESOURCE)
        assert said.status == 200, said.text
        assert said.headers["cache-control"] == "no-store"
        assert said.headers["content-type"] == "application/json"
        assert said.body["token_type"] == "Bearer"
        assert said.body["scope"] == "files"
        claims = await program.claims(said.body["access_token"])
        assert (claims["iss"], claims["aud"], claims["sub"]) == (program.url, RESOURCE, "alice")
        assert (claims["client_id"], claims["scope"]) == (client, "files")
        assert claims["exp"] - claims["iat"] == 600
        again = await program.refresh(said.body["refresh_token"], client_id=client)
        assert again.status == 200, again.text
        assert (await program.active(again.body["access_token"]))["active"] is True


async def test_the_pages_work_without_a_script_and_name_everything() -> None:
    async with calls(users=("alice", "bob")) as program, Browser(program.url) as browser:
        login = await browser.open(program.authorize_url(scope="files:read mail"))
        assert "Who are you" in login.text
        consent = await browser.submit(login, user="bob")
        for word in (PUBLIC.name, RESOURCE, "bob", "127.0.0.1:5000", "read your files", "read your mail"):
            assert word in consent.text
        assert "<script" not in login.text + consent.text
        away = await browser.submit(consent, decision="allow")
        assert away.left.startswith(CALLBACK + "?")
        assert set(answer_of(away.left)) == {"code", "state", "iss"}
        said = await program.exchange(answer_of(away.left)["code"])
        assert (await program.claims(said.body["access_token"]))["sub"] == "bob"


@pytest.mark.requirement("R2607-AUTH-061")
async def test_r82_a_denial_is_told_with_state_and_iss() -> None:
    async with calls() as program:
        got = await program.authority.code(program.authorize_url(), allow=False)
        assert got["error"] == "access_denied"
        assert (got["state"], got["iss"]) == ("a state & more", program.url)
        assert "code" not in got


async def test_the_browser_is_sent_where_the_client_listens() -> None:
    """`approve` ends at the client's own loopback listener, with whatever port that has."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listener(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listener, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with calls() as program, server:
        await program.authority.approve(
            program.authorize_url(redirect_uri=f"http://127.0.0.1:{port}/callback")
        )
        assert b"GET /callback?code=" in await asyncio.wait_for(heard, 5)


async def test_scopes_and_resource_default_where_there_is_one_answer() -> None:
    async with calls(default_scopes=["files:read"]) as program:
        tokens = await program.tokens(resource=None)
        claims = await program.claims(tokens["access_token"])
        assert (claims["aud"], claims["scope"]) == (RESOURCE, "files:read")


@pytest.mark.requirement("R2503-AUTH-012")
async def test_a_redirect_uri_with_a_query_keeps_it() -> None:
    client = PUBLIC.__class__(id="public", redirect_uris=[f"{CALLBACK}?tenant=1"])
    async with calls(clients=[client]) as program:
        got = await program.authority.code(program.authorize_url(redirect_uri=f"{CALLBACK}?tenant=1"))
        assert got["tenant"] == "1"
        assert got["code"]


async def test_v44_remembered_consent_is_for_the_same_redirect_and_scopes_only() -> None:
    """The consent of one request is no consent to another."""
    web = PUBLIC.__class__(id="web", redirect_uris=["https://app.example/a", "https://app.example/b"])
    async with calls(clients=[web, PUBLIC], remember_consent=3600) as program:

        async def pages_until_there(**changed: str) -> int:
            async with Browser(program.url) as browser:
                shown = await browser.open(program.authorize_url(**changed))
                if shown.left:
                    return 0
                assert (await browser.submit(shown, decision="allow")).left
                return 1

        at_a = {"client_id": "web", "redirect_uri": "https://app.example/a", "scope": "mail"}
        assert await pages_until_there(**at_a) == 1
        assert await pages_until_there(**at_a) == 0
        assert await pages_until_there(**at_a | {"redirect_uri": "https://app.example/b"}) == 1
        assert await pages_until_there(**at_a | {"scope": "mail files"}) == 1
        # A program on this machine can be anybody: it is asked for every time.
        assert await pages_until_there(scope="mail") == 1
        assert await pages_until_there(scope="mail") == 1


async def test_without_the_option_consent_is_asked_for_every_time() -> None:
    async with calls() as program:
        for _ in range(2):
            async with Browser(program.url) as browser:
                assert "Allow access?" in (await browser.open(program.authorize_url())).text


async def test_a_user_grants_no_more_than_a_user_has() -> None:
    from dovetail_authserver import single_user

    async with calls(login=single_user("carol", scopes=["files:read"])) as program:
        assert (await program.tokens(scope="files:read mail"))["scope"] == "files:read"
        refused = await program.authority.code(program.authorize_url(scope="mail"))
        assert refused["error"] == "access_denied"


def test_pkce_is_the_one_of_the_rfc() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oauth.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert oauth.verifies("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", verifier)
    assert oauth.verifies(oauth.challenge_of(made := oauth.new_verifier()), made)
    for wrong in ("", "x" * 42, "x" * 129, verifier + "é", verifier + " ", verifier[:-1] + "A"):
        assert not oauth.verifies("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", wrong)
    with pytest.raises(ValueError, match="verifier"):
        oauth.challenge_of("short")


async def test_the_same_request_twice_gives_two_codes(program: Calls) -> None:
    url = program.authorize_url()
    first, second = await program.authority.code(url), await program.authority.code(url)
    assert first["code"] != second["code"]
    assert urlencode(first) != urlencode(second)
