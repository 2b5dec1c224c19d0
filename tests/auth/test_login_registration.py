"""How the client becomes known: the order, the binding to the issuer, refusals, what is sent to whom."""

import base64
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from login_stage import RESOURCE_PATH, SERVER_PATH, Seen, Stage, World, server_metadata

from dovetail.auth.login import CredentialsUnbound, MemoryTokens, OAuth, RegistrationFailed

DOCUMENT = "https://app.example/client.json"


@pytest.mark.requirement(
    "R2607-AUTH-051", "R2607-AUTH-036", "R2511-AUTH-026", "R2511-AUTH-041", "R2607-AUTH-013", "R2607-AUTH-028"
)
async def test_R71_known_beforehand_comes_before_everything() -> None:
    async with World() as world:
        world.metadata["client_id_metadata_document_supported"] = True
        auth = world.oauth(client_id="me", issuer=world.issuer.url, client_metadata_url=DOCUMENT)
        assert await world.use(auth) == "done"
        assert world.issuer.at("/authorize")[0].query["client_id"] == "me"
        assert world.issuer.at("/register") == []


@pytest.mark.requirement(
    "R2607-AUTH-017",
    "R2511-AUTH-030",
    "R2607-AUTH-051",
    "R2511-AUTH-006",
    "R2511-AUTH-026",
    "R2511-AUTH-027",
    "R2511-AUTH-040",
    "R2607-AUTH-013",
    "R2607-AUTH-014",
    "R2607-AUTH-027",
    "R2607-AUTH-044",
)
async def test_R71_then_the_document_where_it_is_taken() -> None:
    async with World() as world:
        world.metadata["client_id_metadata_document_supported"] = True
        assert await world.use(world.oauth(client_metadata_url=DOCUMENT)) == "done"
        assert world.issuer.at("/authorize")[0].query["client_id"] == DOCUMENT
        assert world.issuer.at("/token")[0].form["client_id"] == DOCUMENT
        assert world.issuer.at("/register") == []


async def carry(url: str) -> str:
    """Where a person ends up who logs in at an address, and pastes it."""
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as response:
        return response.headers["location"]


@pytest.mark.requirement("R2607-AUTH-032")
@pytest.mark.parametrize(
    "redirect_uri,kind",
    [
        ("https://app.example/cb", "web"),
        ("https://8.8.8.8/cb", "web"),
        ("https://localhost/cb", "native"),
        ("https://app.localhost:8443/cb", "native"),
        ("https://127.0.0.1/cb", "native"),
        ("https://[::1]/cb", "native"),
        ("http://127.0.0.1:53682/cb", "native"),
        (None, "native"),
    ],
)
def test_a_document_says_which_kind_of_application_it_is(redirect_uri: str | None, kind: str) -> None:
    auth = OAuth(redirect_uri=redirect_uri, client_metadata_url=DOCUMENT)
    assert auth.metadata_document()["application_type"] == kind


@pytest.mark.requirement("R2607-AUTH-032")
@pytest.mark.parametrize("host,kind", [("app.example", "web"), ("localhost", "native")])
async def test_who_is_sent_back_to_a_site_registers_as_one(host: str, kind: str) -> None:
    uri = f"https://{host}/cb"
    async with World() as world:
        auth = world.oauth(redirect_uri=uri, open_browser=lambda _: False, paste=carry)
        assert await world.use(auth) == "done"
        said = world.issuer.at("/register")[0].json
        assert (said["application_type"], said["redirect_uris"]) == (kind, [uri])


@pytest.mark.requirement("R2607-AUTH-017", "R2511-AUTH-030")
@pytest.mark.parametrize(
    "url",
    ["http://app.example/c.json", "https://app.example", "https://app.example/", "https://a@app.example/c", "x",
     "https://app.example/c#x", "https://app.example/a/../c"],
)  # fmt: skip
@pytest.mark.requirement("R2511-AUTH-029", "R2607-AUTH-016")
def test_R74_the_address_of_a_document_is_https_with_a_path(url: str) -> None:
    with pytest.raises(ValueError, match="client_metadata_url"):
        OAuth(client_metadata_url=url)


@pytest.mark.requirement(
    "R2607-AUTH-030",
    "R2511-AUTH-089",
    "R2607-AUTH-120",
    "R2607-AUTH-112",
    "R2511-AUTH-081",
    "R2506-AUTH-001",
    "R2506-AUTH-006",
    "R2511-AUTH-026",
    "R2511-AUTH-040",
    "R2607-AUTH-013",
    "R2607-AUTH-027",
    "R2607-AUTH-031",
    "R2607-AUTH-086",
)
@pytest.mark.requirement("R2503-AUTH-021")
async def test_R72_then_registration_as_a_native_application() -> None:
    """The redirect address is registered, and is on this machine."""
    async with World() as world:
        assert await world.use(world.oauth(client_metadata_url=DOCUMENT)) == "done"
        said = world.issuer.at("/register")[0].json
        assert said["application_type"] == "native"
        assert said["grant_types"] == ["authorization_code", "refresh_token"]
        (uri,) = said["redirect_uris"]
        assert (urlsplit(uri).scheme, urlsplit(uri).hostname) == ("http", "127.0.0.1")
        assert world.issuer.at("/authorize")[0].query["redirect_uri"] == uri
        assert world.issuer.at("/token")[0].form["redirect_uri"] == uri
        assert said["token_endpoint_auth_method"] == "none"


@pytest.mark.requirement(
    "R2607-AUTH-003", "R2607-AUTH-036", "R2607-AUTH-037", "R2607-AUTH-082", "R2511-AUTH-061"
)
@pytest.mark.requirement("R2607-LIFECYCLE-045")
async def test_V21_V22_V23_R73_another_authorization_server_means_another_registration() -> None:
    """Neither the id nor the secret nor the refresh token of the first reaches the second."""
    async with World() as world, World() as second:
        tokens = MemoryTokens()
        world.issuer.routes["/register"] = lambda seen: (
            201, {}, {**seen.json, "client_id": "first", "client_secret": "s3cret", "token_endpoint_auth_method":
                      "client_secret_basic"},
        )  # fmt: skip
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        world.valid = {}
        world.resource_metadata["authorization_servers"] = [second.issuer.url]
        second.issuer.routes["/token"] = lambda seen: world.issue("")
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert len(second.issuer.at("/register")) == 1
        basic = base64.b64encode(b"first:s3cret").decode()
        for seen in second.issuer.seen:
            everything = f"{seen.query} {seen.headers} {seen.body!r}"
            for secret in ("first", "s3cret", basic, "refresh-1", "token-1"):
                assert secret not in everything
        assert world.grants() == ["authorization_code"]


@pytest.mark.requirement("R2607-AUTH-038")
@pytest.mark.hostile
async def test_V21_a_malicious_server_gets_no_byte_of_a_given_secret() -> None:
    async with World() as world, Stage() as evil:
        evil.routes[SERVER_PATH] = server_metadata(evil.url)
        world.resource_metadata["authorization_servers"] = [evil.url]
        auth = world.oauth(client_id="me", client_secret="s3cret", issuer=world.issuer.url)
        with pytest.raises(CredentialsUnbound) as caught:
            await world.use(auth)
        assert (evil.seen, world.visits) == ([], [])
        assert "s3cret" not in str(caught.value) + repr(auth)


@pytest.mark.parametrize("options", [{"client_id": "me"}, {"client_id": "me", "client_secret": "x"}])
def test_V22_credentials_without_an_issuer_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="issuer"):
        OAuth(**options)
    with pytest.raises(ValueError, match="client_id"):
        OAuth(client_secret="x")


@pytest.mark.requirement("R2607-AUTH-033", "R2607-AUTH-034")
async def test_R72_a_refusal_over_redirect_addresses_is_met_once_and_then_told() -> None:
    async with World() as world:
        refusal = {"error": "invalid_redirect_uri", "error_description": "no\x1b[31m numbers"}

        def register(seen: Seen) -> Any:
            if "localhost" in seen.json["redirect_uris"][0]:
                return 201, {}, {**seen.json, "client_id": "me"}
            return 400, {}, refusal

        world.issuer.routes["/register"] = register
        assert await world.use() == "done"
        assert urlsplit(world.issuer.at("/authorize")[0].query["redirect_uri"]).hostname == "localhost"
        world.issuer.routes["/register"] = (400, {}, refusal)
        with pytest.raises(RegistrationFailed, match="invalid_redirect_uri") as caught:
            await world.use()
        assert "\x1b" not in str(caught.value)
        assert len(world.issuer.at("/register")) == 4


@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer",
    [
        (201, {}, b"<html>"), (201, {}, {}), (201, {}, {"client_id": ""}), (201, {}, {"client_id": 5}), (500, {}, None),
        (201, {}, {"client_id": "a\nb"}), (302, {"location": "https://evil.example/"}, None), (403, {}, {"error": 5}),
        (201, {}, {"client_id": "x", "token_endpoint_auth_method": "tls_client_auth"}),
        (201, {}, {"client_id": "x", "client_secret": "y", "client_secret_expires_at": 10**400}),
    ],
)  # fmt: skip
async def test_R72_odd_answers_to_a_registration_end_in_a_typed_error(answer: Any) -> None:
    async with World() as world:
        world.issuer.routes["/register"] = answer
        with pytest.raises(RegistrationFailed):
            await world.use()
        assert world.visits == []


@pytest.mark.requirement("R2511-AUTH-026", "R2607-AUTH-013")
async def test_without_any_way_to_become_known_the_error_says_what_to_do() -> None:
    async with World() as world:
        del world.metadata["registration_endpoint"]
        with pytest.raises(RegistrationFailed, match="give client_id and issuer"):
            await world.use()


@pytest.mark.parametrize(
    "supported,method",
    [
        (["client_secret_basic"], "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
        (["none"], "none"),
        (["client_secret_basic", "client_secret_post"], "client_secret_post"),
        (["client_secret_basic", "none"], "none"),
    ],
)
async def test_the_method_at_the_token_endpoint_is_one_that_the_server_takes(
    supported: list[str], method: str
) -> None:
    """Given the choice, not Basic: some servers that take it look for the client_id in the form all the same, and
    others refuse one there. In Basic a space is %20, for some take a plus for a plus."""
    async with World() as world:
        world.metadata["token_endpoint_auth_methods_supported"] = supported
        world.issuer.routes["/register"] = lambda seen: (
            201, {}, {**seen.json, "client_id": "a b:c", "client_secret": "p%/+ é"},
        )  # fmt: skip
        assert await world.use() == "done"
        assert world.issuer.at("/register")[0].json["token_endpoint_auth_method"] == method
        token = world.issuer.at("/token")[0]
        if method == "client_secret_basic":
            kind, _, pair = token.headers["authorization"].partition(" ")
            assert (kind, base64.b64decode(pair)) == ("Basic", b"a%20b%3Ac:p%25%2F%2B%20%C3%A9")
            assert not {"client_id", "client_secret"} & token.form.keys()
        else:
            assert "authorization" not in token.headers
            assert token.form.get("client_secret") == ("p%/+ é" if method == "client_secret_post" else None)


async def test_a_registration_is_used_again_and_its_port_too() -> None:
    async with World() as world:
        tokens = MemoryTokens()
        for _ in range(2):
            world.valid = {}
            await world.credentials(world.oauth(tokens=tokens)).log_in()
        assert len(world.issuer.at("/register")) == 1
        first, second = (seen.query["redirect_uri"] for seen in world.issuer.at("/authorize"))
        assert first == second


async def test_a_registration_that_has_expired_or_was_forgotten_is_made_anew() -> None:
    async with World() as world:
        tokens = MemoryTokens()
        world.issuer.routes["/register"] = lambda seen: (
            201, {}, {**seen.json, "client_id": "me", "client_secret": "x", "client_secret_expires_at": 1,
                      "token_endpoint_auth_method": "client_secret_post"},
        )  # fmt: skip
        await world.credentials(world.oauth(tokens=tokens)).log_in()
        world.issuer.routes["/register"] = world._register
        await world.credentials(world.oauth(tokens=tokens)).log_in()
        assert len(world.issuer.at("/register")) == 2
        world.token_answer = lambda seen: (
            (401, {}, {"error": "invalid_client"})
            if len(world.issuer.at("/register")) == 2
            else world.issue("")
        )
        await world.credentials(world.oauth(tokens=tokens)).log_in()
        assert len(world.issuer.at("/register")) == 3


async def test_the_registration_names_the_scopes_that_will_be_asked_for() -> None:
    """Some servers allow no others later; for new ones, the client registers anew."""
    async with World() as world:
        tokens = MemoryTokens()
        world.challenge = f'Bearer scope="read", resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
        world.needed = {"write"}
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        scopes = [seen.json["scope"].split() for seen in world.issuer.at("/register")]
        assert scopes == [["read"], ["read", "write"]]


@pytest.mark.requirement("R2511-AUTH-031", "R2511-AUTH-032", "R2607-AUTH-018", "R2607-AUTH-019")
@pytest.mark.parametrize("keyed", [True, False])
async def test_R74_the_document_to_publish_says_what_it_must(keyed: bool) -> None:
    """Its id is its own address, byte for byte; and what the client then does fits what it says."""
    key = ECKey.generate_key("P-256").as_dict(private=True) if keyed else None
    async with World() as world:
        world.metadata["client_id_metadata_document_supported"] = True
        auth = world.oauth(client_metadata_url=DOCUMENT, client_name="Notes", private_key=key)
        said = auth.metadata_document()
        assert (said["client_id"], said["client_name"]) == (DOCUMENT, "Notes")
        assert await world.use(auth) == "done"
        used = urlsplit(world.issuer.at("/authorize")[0].query["redirect_uri"])
        assert f"http://{used.hostname}{used.path}" in said["redirect_uris"]
        form = world.issuer.at("/token")[0].form
        assert said["token_endpoint_auth_method"] == ("private_key_jwt" if keyed else "none")
        assert ("client_assertion" in form) == keyed
        if keyed:
            (public,) = said["jwks"]["keys"]
            assert "d" not in public
            jwt.decode(form["client_assertion"], ECKey.import_key(public), algorithms=["ES256"])
        own = world.oauth(
            client_metadata_url=DOCUMENT, redirect_uri="http://127.0.0.1:5000/x"
        ).metadata_document()
        assert own["redirect_uris"] == ["http://127.0.0.1:5000/x"]
    with pytest.raises(ValueError, match="client_metadata_url"):
        OAuth().metadata_document()
