"""One login: what the browser is sent off with, and what is believed of what comes back."""

import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from login_stage import OPENID_PATH, SERVER_PATH, World, challenge_of

from dovetail.auth.login import (
    AuthorizationError,
    DiscoveryFailed,
    LoginDenied,
    LoginFailed,
    LoginTimeout,
    MemoryTokens,
)
from dovetail.client import Visit


@pytest.mark.requirement(
    "R2511-AUTH-082", "R2511-AUTH-083", "R2607-AUTH-113", "R2607-AUTH-114", "R2503-AUTH-023"
)
@pytest.mark.requirement("R2506-AUTH-008")
async def test_R76_the_code_is_tied_to_a_verifier_by_S256() -> None:
    async with World() as world:
        for _ in range(2):
            await world.credentials().log_in()
        asked, redeemed = world.issuer.at("/authorize"), world.issuer.at("/token")
        for question, answer in zip(asked, redeemed, strict=True):
            assert question.query["code_challenge_method"] == "S256"
            assert question.query["code_challenge"] == challenge_of(answer.form["code_verifier"])
            assert question.query["response_type"] == "code"
        for name in ("code_challenge", "state"):
            assert len({question.query[name] for question in asked}) == 2
            assert all(len(question.query[name]) >= 43 for question in asked)


@pytest.mark.hostile
@pytest.mark.requirement("R2511-AUTH-084", "R2511-AUTH-085", "R2511-AUTH-086", "R2511-AUTH-087")
@pytest.mark.requirement("R2607-AUTH-115", "R2607-AUTH-116", "R2607-AUTH-117", "R2607-AUTH-118")
@pytest.mark.parametrize("place", [SERVER_PATH, OPENID_PATH])
@pytest.mark.parametrize("methods", [None, [], ["plain"], ["s256"]])
async def test_R76_a_server_that_does_not_say_S256_is_refused(place: str, methods: list[str] | None) -> None:
    async with World() as world:
        world.issuer.routes[place] = world.issuer.routes.pop(SERVER_PATH)
        world.metadata["code_challenge_methods_supported"] = methods
        with pytest.raises(DiscoveryFailed, match="S256"):
            await world.use()
        assert (world.visits, world.issuer.at("/register")) == ([], [])


@pytest.mark.requirement(
    "R2511-AUTH-045",
    "R2511-AUTH-046",
    "R2511-AUTH-047",
    "R2511-AUTH-048",
    "R2511-AUTH-052",
    "R2511-AUTH-049",
    "R2607-AUTH-070",
)
@pytest.mark.requirement(
    "R2607-AUTH-066", "R2607-AUTH-067", "R2607-AUTH-068", "R2607-AUTH-069", "R2607-AUTH-073"
)
@pytest.mark.requirement("R2607-AUTH-105", "R2607-AUTH-137", "R2511-AUTH-074", "R2511-AUTH-106")
async def test_R78_the_resource_is_named_in_every_request() -> None:
    """Also when a token is refreshed, and when more scopes are asked for."""
    async with World() as world:
        world.needed = {"write"}
        credentials = world.credentials()
        async with world.client(credentials) as client:
            await client.call_tool("x")
            credentials._clock = lambda: 4e9
            world.token_answer = lambda seen: {**world.issue("write"), "expires_in": 3e9}
            await client.call_tool("x")
        assert world.grants() == ["authorization_code", "authorization_code", "refresh_token"]
        assert [seen.query["resource"] for seen in world.issuer.at("/authorize")] == [world.resource] * 2
        assert [seen.form["resource"] for seen in world.issuer.at("/token")] == [world.resource] * 3
        await credentials.close()


async def test_what_the_endpoint_has_in_its_query_stays() -> None:
    async with World() as world:
        world.metadata["authorization_endpoint"] += "?tenant=a%26b&state=mine&client_id=x"
        assert await world.use() == "done"
        query = parse_qs(urlsplit(world.visits[0]).query)
        assert query["tenant"] == ["a&b"]
        assert len(query["state"]) == len(query["client_id"]) == 1
        assert query["state"] != ["mine"]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "endpoint",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x",
        "file:///etc/passwd", "http://auth.example/authorize", "https://a:b@auth.example/", "https://auth.example/$(id)`x`",
        "https://auth.example/a|b", "https://auth.example/a b", "\\\\host\\share", "https://auth.example/#x", "https://",
        "https://auth.example\\@evil.example/", None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.requirement(
    "RXSEC-SECURITY-022",
    "RXSEC-SECURITY-023",
    "RXSEC-SECURITY-024",
    "RXSEC-SECURITY-025",
    "RXSEC-SECURITY-031",
    "RXSEC-SECURITY-010",
    "RXSEC-SECURITY-026",
)
async def test_V35_V36_V37_odd_endpoints_are_never_opened(name: str, endpoint: str | None) -> None:
    async with World() as world:
        world.metadata[name] = endpoint
        with pytest.raises(DiscoveryFailed):
            await world.use()
        assert world.visits == []


@pytest.mark.parametrize(
    "advertised,sent", [(True, "right"), (False, "right"), (None, "right"), (False, None), (None, None)]
)
@pytest.mark.requirement("R2607-AUTH-060", "R2607-AUTH-063", "R2607-AUTH-140")
async def test_R80_iss_that_is_right_or_need_not_be_there(advertised: bool | None, sent: str | None) -> None:
    async with World() as world:
        world.metadata["authorization_response_iss_parameter_supported"] = advertised
        world.iss = sent
        assert await world.use() == "done"


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-060", "R2607-AUTH-063", "R2607-AUTH-064", "R2607-AUTH-140")
@pytest.mark.parametrize("advertised", [True, False, None])
@pytest.mark.parametrize(
    "iss", ["https://evil.example", "{}/", "{upper}", "{}:80", "{}/%61", "{} ", "x", None]
)
@pytest.mark.requirement("R2607-LIFECYCLE-044")
async def test_R80_mix_up_iss_that_is_not_exactly_the_issuer(
    advertised: bool | None, iss: str | None
) -> None:
    """The code goes to no token endpoint."""
    async with World() as world:
        if iss is None and not advertised:
            return
        world.metadata["authorization_response_iss_parameter_supported"] = advertised
        world.iss = iss and iss.format(world.issuer.url, upper=world.issuer.url.upper())
        with pytest.raises(LoginFailed, match="not used"):
            await world.use()
        assert world.issuer.at("/token") == []
        assert world.pages[0][0] == 200
        assert "did not work" in world.pages[0][1]


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-065")
async def test_R80_R81_mix_up_errors_of_somebody_else_are_not_shown() -> None:
    async with World() as world:
        world.iss = "https://evil.example"
        world.callback = {
            "code": "",
            "error": "access_denied",
            "error_description": "call 555-1234",
            "error_uri": "e://x",
        }
        with pytest.raises(LoginFailed) as caught:
            await world.use()
        assert not isinstance(caught.value, LoginDenied)
        for text in (str(caught.value), world.pages[0][1]):
            assert not any(word in text for word in ("access_denied", "555-1234", "e://x"))
        world.iss = None
        with pytest.raises(LoginFailed) as caught:
            await world.use()
        assert not isinstance(caught.value, LoginDenied)


async def test_a_denial_is_a_typed_error_and_a_page() -> None:
    async with World() as world:
        world.callback = {"code": "", "error": "access_denied", "error_description": "no <b>way</b>\x07"}
        with pytest.raises(LoginDenied, match="access_denied") as caught:
            await world.use()
        assert caught.value.error == "access_denied"
        assert "\x07" not in str(caught.value)
        assert "Not signed in" in world.pages[0][1]
        assert "way" not in world.pages[0][1]
        assert world.issuer.at("/token") == []


@pytest.mark.requirement("R2511-AUTH-091", "R2607-AUTH-122")
@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer", [{"code": ""}, {"code": "", "state": ""}, {"state": "x" * 43}, {"state": ""}]
)
async def test_an_answer_without_state_or_code_ends_no_login_well(answer: dict[str, str]) -> None:
    async with World() as world:
        world.callback = answer
        with pytest.raises(LoginFailed):
            await world.use(world.oauth(timeout=0.3))
        assert world.issuer.at("/token") == []


async def test_nobody_comes_the_login_ends_in_time() -> None:
    async with World() as world:
        with pytest.raises(LoginTimeout, match=r"0\.2 s"):
            await world.use(world.oauth(timeout=0.2, open_browser=lambda url: True))


async def test_V36_the_address_is_shown_whole_and_nothing_is_fetched_before_consent() -> None:
    async with World() as world:
        shown: list[Any] = []

        def approve(visit: Any) -> bool:
            shown.append((visit, list(world.issuer.paths())))
            return False

        with pytest.raises(LoginDenied, match="declined"):
            await world.use(approve=approve)
        (visit, paths) = shown[0]
        assert "/authorize" not in paths
        assert world.visits == []
        assert (visit.server, visit.host) == (world.resource, "127.0.0.1")
        assert visit.url.startswith(f"{world.issuer.url}/authorize?")
        assert {"url", "message", "host", "server", "elicitation_id"} <= set(Visit.__struct_fields__)
        assert all(hasattr(visit, name) for name in Visit.__struct_fields__)
        assert await world.use(approve=lambda visit: True) == "done"


async def test_an_approve_handler_that_wants_the_call_is_asked_for_logins_too() -> None:
    async with World() as world:
        told: list[Any] = []

        async def approve(visit: Any, call: Any) -> bool:
            told.append((visit.call_waits, call))
            return True

        assert await world.use(approve=approve) == "done"
        assert told == [(False, None)]


async def test_without_a_browser_the_address_at_the_end_is_pasted() -> None:
    async with World() as world:
        pasted = ["rubbish", "http://127.0.0.1:1/callback?state=\udcff&code=y"]

        async def paste(url: str) -> str:
            if pasted:
                return pasted.pop(0)
            query = parse_qs(urlsplit(url).query)
            return f"{query['redirect_uri'][0]}?code=c&state={query['state'][0]}&iss={world.issuer.url}"

        assert await world.use(world.oauth(open_browser=lambda url: False, paste=paste)) == "done"
        with pytest.raises(LoginFailed, match="pasted"):
            await world.use(world.oauth(open_browser=lambda url: False, paste=lambda url: "rubbish"))


async def test_without_browser_and_paste_the_error_says_what_to_do() -> None:
    async with World() as world:
        with pytest.raises(LoginFailed, match="dovetail auth login"):
            await world.use(world.oauth(open_browser=lambda url: False))


async def test_a_redirect_address_of_ones_own() -> None:
    """It is used as it is; and if its port is taken, the error says so before anybody is sent off."""
    async with World() as world:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            uri = f"http://127.0.0.1:{port}/back"
            auth = world.oauth(client_id="me", issuer=world.issuer.url, redirect_uri=uri)
            with pytest.raises(LoginFailed, match=f"port {port}"):
                await world.use(auth)
            assert world.visits == []
        auth = world.oauth(client_id="me", issuer=world.issuer.url, redirect_uri=uri)
        assert await world.use(auth) == "done"
        assert world.issuer.at("/authorize")[0].query["redirect_uri"] == uri


@pytest.mark.requirement("R2511-AUTH-081", "R2607-AUTH-112", "R2503-AUTH-021")
@pytest.mark.parametrize(
    "uri", ["http://evil.example/cb", "custom://x", "http://127.0.0.1.evil.example/x", "https://a/b#c"]
)
def test_R87_redirect_addresses_are_on_this_machine_or_https(uri: str) -> None:
    with pytest.raises(ValueError, match="redirect_uri"):
        World().oauth(redirect_uri=uri)


async def test_a_login_that_failed_is_not_begun_again_by_every_call() -> None:
    """Ten calls that meet a person who says no open one browser."""
    async with World() as world:
        world.callback = {"code": "", "error": "access_denied"}
        credentials = world.credentials()
        for _ in range(10):
            with pytest.raises(AuthorizationError):
                await world.use(credentials)
        assert len(world.visits) == 1
        await credentials.close()


async def test_each_login_stands_for_itself() -> None:
    async with World() as world:
        tokens = MemoryTokens()
        first = await world.credentials(world.oauth(tokens=tokens)).log_in()
        second = await world.credentials(world.oauth(tokens=tokens)).log_in()
        assert first.login_id != second.login_id
