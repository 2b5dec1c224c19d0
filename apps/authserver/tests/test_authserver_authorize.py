"""The authorization endpoint against hostile requests: who is redirected, who is told, and what."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import pytest
from authority_calls import CALLBACK, PUBLIC, RESOURCE, Calls, answer_of, calls

from dovetail_authserver import RegisteredClient

WEB = RegisteredClient(
    id="web", redirect_uris=["https://app.example/cb"], scopes=["files"], resources=[RESOURCE]
)


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-AUTH-121", "R2511-AUTH-090", "R2607-AUTH-123", "R2511-AUTH-092", "R2503-AUTH-021"
)
@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "https://evil.example/",
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:5000/Callback",
        "http://127.0.0.1:5000/callback?x=1",
        "http://127.0.0.1:5000/callback#x",
        "http://127.0.0.1:5000/callback/../evil",
        "http://localhost:5000/callback",
        "http://localhost.evil.example:5000/callback",
        "http://127.0.0.1:5000\\@evil.example/callback",
        "http://127.0.0.1:5000@evil.example/callback",
        "https://127.0.0.1:5000/callback",
        "//evil.example/callback",
        "javascript:alert(1)",
        "http://127.0.0.1:5000/callback\r\nlocation: https://evil.example",
    ],
)
async def test_nobody_is_redirected_to_an_unregistered_address(
    program: Calls, redirect_uri: str | None
) -> None:
    said = await program.get(program.authorize_url(redirect_uri=redirect_uri))
    assert said.status == 400
    assert "location" not in said.headers
    assert said.headers["content-type"].startswith("text/html")
    assert "evil.example" not in said.text


@pytest.mark.hostile
@pytest.mark.parametrize(
    "client_id", [None, "", "nobody", "public ", "PUBLIC", "public\0", "x" * 500, "http://x", "é"]
)
async def test_nobody_is_redirected_for_an_unknown_client(program: Calls, client_id: str | None) -> None:
    said = await program.get(program.authorize_url(client_id=client_id))
    assert said.status == 400
    assert "location" not in said.headers


@pytest.mark.hostile
@pytest.mark.parametrize(
    "changed,error",
    [
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"code_challenge": "=" * 43}, "invalid_request"),
        ({"scope": "files unknown"}, "invalid_scope"),
        ({"scope": "files  mail"}, "invalid_scope"),
        ({"scope": 'files"'}, "invalid_scope"),
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"resource": "https://mcp.example/mcp/more"}, "invalid_target"),
        ({"resource": "https://mcp.example"}, "invalid_target"),
        ({"resource": "https://mcp.example/mcp#fragment"}, "invalid_target"),
        ({"resource": "mcp.example/mcp"}, "invalid_target"),
        ({"resource": "urn:example"}, "invalid_target"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
        ({"dpop_jkt": "short"}, "invalid_request"),
    ],
)
@pytest.mark.requirement("R2607-AUTH-061", "R2607-AUTH-062")
async def test_the_client_is_told_what_is_wrong(
    program: Calls, changed: dict[str, str | None], error: str
) -> None:
    said = await program.get(program.authorize_url(**changed))
    assert said.status == 303
    assert said.headers["location"].startswith(CALLBACK + "?")
    got = answer_of(said.headers["location"])
    assert (got["error"], got["state"], got["iss"]) == (error, "a state & more", program.url)
    assert "code" not in got


@pytest.mark.requirement("R2607-AUTH-123", "R2511-AUTH-092", "R2607-AUTH-124")
async def test_a_stranger_can_not_use_errors_to_send_people_away() -> None:
    """RFC 9700, 4.11.2: an error of a client that registered itself is shown; going on is the person's choice."""
    async with calls() as program:
        asked = {"redirect_uris": ["https://evil.example/login"], "token_endpoint_auth_method": "none"}
        made = await program.send("POST", "/register", json=asked)
        url = program.authorize_url(
            client_id=made.body["client_id"], redirect_uri="https://evil.example/login", scope="unknown"
        )
        said = await program.get(url)
        assert said.status == 400
        assert "location" not in said.headers
        assert 'href="https://evil.example/login?error=invalid_scope' in said.text
        assert "<strong>evil.example</strong>" in said.text


async def test_v41_tokens_are_for_the_resource_that_was_asked_for() -> None:
    """Two resources at one server: each token names one of them, and no other resource gets any."""
    other = "https://other.example/mcp"
    async with calls(resources=[RESOURCE, other]) as program:
        for asked in (RESOURCE, other):
            tokens = await program.tokens(resource=asked)
            assert (await program.claims(tokens["access_token"]))["aud"] == asked
        said = await program.get(program.authorize_url(resource=program.url))
        assert answer_of(said.headers["location"])["error"] == "invalid_target"


async def test_an_uppercase_host_names_the_same_resource(program: Calls) -> None:
    tokens = await program.tokens(resource="HTTPS://MCP.EXAMPLE:443/mcp")
    assert (await program.claims(tokens["access_token"]))["aud"] == RESOURCE


async def test_only_one_resource_at_a_time(program: Calls) -> None:
    said = await program.get(f"{program.authorize_url()}&{urlencode({'resource': RESOURCE})}")
    assert answer_of(said.headers["location"])["error"] == "invalid_target"


async def test_with_several_resources_one_has_to_be_named() -> None:
    async with calls(resources=[RESOURCE, "https://other.example/mcp"]) as program:
        said = await program.get(program.authorize_url(resource=None))
        assert answer_of(said.headers["location"])["error"] == "invalid_target"
        tokens = await program.tokens(resource="https://other.example/mcp")
        assert (await program.claims(tokens["access_token"]))["aud"] == "https://other.example/mcp"


async def test_a_hook_may_accept_resources() -> None:
    seen: list[str] = []

    async def accepts(url: str) -> bool:
        seen.append(url)
        return url.endswith("/mine")

    async with calls(accepts_resource=accepts) as program:
        tokens = await program.tokens(resource="https://any.example/mine")
        assert (await program.claims(tokens["access_token"]))["aud"] == "https://any.example/mine"
        said = await program.get(program.authorize_url(resource="https://any.example/yours"))
        assert answer_of(said.headers["location"])["error"] == "invalid_target"
        assert seen == ["https://any.example/mine", "https://any.example/yours"]


async def test_a_client_gets_no_more_than_the_operator_gave_it() -> None:
    clients = [WEB, PUBLIC]
    resources = [RESOURCE, "https://other.example/mcp"]
    implied = {"files": ["files:read"]}
    async with calls(
        clients=clients, resources=resources, implies=lambda name: implied.get(name, ())
    ) as program:
        at = {"client_id": "web", "redirect_uri": "https://app.example/cb"}
        for changed, error in (
            ({"scope": "mail"}, "invalid_scope"),
            ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ):
            said = await program.get(program.authorize_url(**at, **changed))
            assert answer_of(said.headers["location"])["error"] == error
        # What a scope implies may be asked for by who may have the scope.
        assert "code" in await program.authority.code(program.authorize_url(**at, scope="files:read"))


@pytest.mark.hostile
@pytest.mark.parametrize(
    "name", ["client_id", "redirect_uri", "state", "scope", "code_challenge", "response_type"]
)
async def test_no_parameter_comes_twice(program: Calls, name: str) -> None:
    said = await program.get(f"{program.authorize_url(scope='mail')}&{name}=x")
    assert said.status == 400
    assert "location" not in said.headers


async def test_state_is_echoed_as_it_came(program: Calls) -> None:
    for state in ("", "é ☃ +%2B&=#", "x" * 2048, "<script>"):
        said = await program.authority.code(program.authorize_url(state=state or None))
        assert said.get("state", "") == state
    long = await program.get(program.authorize_url(state="x" * 2049))
    got = answer_of(long.headers["location"])
    assert got["error"] == "invalid_request"
    assert "state" not in got


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_an_authorization_request_is_a_get(program: Calls, method: str) -> None:
    said = await program.send(method, program.authorize_url())
    assert said.status == 405
    assert said.headers["allow"] == "GET"


async def test_nothing_is_stored_before_somebody_logged_in() -> None:
    from dovetail.stores import MemoryStore

    store = MemoryStore()
    async with calls(store=store, users=("alice", "bob")) as program:
        await program.get("/jwks")
        before = [key async for key in store.kv.scan()]
        for _ in range(20):
            assert (await program.get(program.authorize_url())).status == 200
        assert [key async for key in store.kv.scan()] == before


@pytest.mark.hostile
async def test_v39_v48_what_strangers_say_is_escaped() -> None:
    """The pages repeat nothing as markup."""
    nasty = "\"><script>alert(1)</script>'\u202etxt.exe\x00"
    async with calls() as program:
        asked = {"redirect_uris": [CALLBACK], "client_name": nasty, "token_endpoint_auth_method": "none"}
        made = await program.send("POST", "/register", json=asked)
        page = await program.get(program.authorize_url(client_id=made.body["client_id"]))
        assert page.status == 200
        assert "<script" not in page.text
        assert "\u202e" not in page.text
        assert "gave itself this name" in page.text
        refused = await program.get(program.authorize_url(client_id=nasty, redirect_uri=nasty))
        assert "<script" not in refused.text


async def test_the_answer_goes_nowhere_else(program: Calls) -> None:
    """The redirect has the host that the page showed, and nothing of the request but the state."""
    away = await program.authority.approve(program.authorize_url(scope="mail", evil="1"), visit=False)
    assert urlsplit(away).netloc == "127.0.0.1:5000"
    assert set(answer_of(away)) == {"code", "state", "iss"}
