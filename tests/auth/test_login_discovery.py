"""Who gives out tokens: the order of discovery, what is believed, what is refused, what is never asked."""

from typing import Any

import pytest
from login_stage import OPENID_PATH, RESOURCE_PATH, SERVER_PATH, Stage, World, server_metadata

from dovetail.auth.login import (
    AuthorizationError,
    AuthorizationUnavailable,
    CredentialsUnbound,
    DiscoveryFailed,
    discover_login,
)
from dovetail.protocol.errors import LocalProtocolError


def documents(stage: Stage) -> list[str]:
    return [path for path in stage.paths() if ".well-known" in path or path == "/custom"]


@pytest.mark.requirement("R2511-AUTH-009", "R2511-AUTH-015", "R2607-AUTH-005", "R2607-AUTH-047")
async def test_R68_the_challenge_says_where_the_resource_metadata_is() -> None:
    async with World() as world:
        world.mcp.routes["/custom"] = lambda _: world.resource_metadata
        del world.mcp.routes[f"{RESOURCE_PATH}/mcp"]
        world.challenge = f'Basic realm="x", Bearer resource_metadata="{world.mcp.url}/custom"'
        assert await world.use() == "done"
        assert documents(world.mcp) == ["/custom"]


@pytest.mark.requirement("R2511-AUTH-015", "R2607-AUTH-005", "R2511-AUTH-021", "R2607-AUTH-006")
@pytest.mark.parametrize(
    "challenge", ["", "Bearer", 'Bearer resource_metadata="', "nonsense,,,", "Basic realm=x"]
)
async def test_without_it_the_path_comes_first_and_then_the_root(challenge: str) -> None:
    async with World() as world:
        world.challenge = challenge
        world.mcp.routes[RESOURCE_PATH] = world.mcp.routes.pop(f"{RESOURCE_PATH}/mcp")
        world.resource_metadata["resource"] = world.mcp.url
        assert await world.use() == "done"
        assert documents(world.mcp) == [f"{RESOURCE_PATH}/mcp", RESOURCE_PATH]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data", "https://internal.example/x", "http://127.0.0.2/x", "file:///etc/passwd",
        "http://[::ffff:127.0.0.1]/x", "javascript:alert(1)", "//evil.example/x", "/relative",
    ],
)  # fmt: skip
async def test_V38_V51_a_challenge_leads_to_no_other_origin(place: str) -> None:
    async with World() as world:
        world.challenge = f'Bearer resource_metadata="{place}"'
        assert await world.use() == "done"
        assert documents(world.mcp) == [f"{RESOURCE_PATH}/mcp"]


@pytest.mark.hostile
@pytest.mark.requirement("R2511-AUTH-109", "R2607-AUTH-141")
@pytest.mark.parametrize(
    "resource",
    [
        "https://evil.example/mcp",
        "{}/mcp2",
        "{}/mc",
        "{}/mcp/deeper",
        "{}/mcp#x",
        "{}/mcp?tenant=b",
        "{}/../x",
        "x",
    ],
)
async def test_the_metadata_of_another_resource_is_not_used(resource: str) -> None:
    """Also a name that merely begins alike."""
    async with World() as world:
        world.resource_metadata["resource"] = resource.format(world.mcp.url)
        with pytest.raises(AuthorizationError):
            await world.use()
        assert world.issuer.seen == []


@pytest.mark.requirement("R2607-AUTH-008", "R2511-AUTH-024", "R2511-AUTH-023", "R2607-AUTH-007")
@pytest.mark.requirement("R2511-AUTH-011", "R2607-AUTH-049", "R2506-AUTH-003", "R2506-AUTH-005")
@pytest.mark.parametrize("place", [f"{SERVER_PATH}/tenant", f"{OPENID_PATH}/tenant", f"/tenant{OPENID_PATH}"])
async def test_R69_an_issuer_with_a_path_is_looked_for_in_order(place: str) -> None:
    order = [f"{SERVER_PATH}/tenant", f"{OPENID_PATH}/tenant", f"/tenant{OPENID_PATH}"]
    async with World() as world:
        world.metadata["issuer"] = f"{world.issuer.url}/tenant"
        world.resource_metadata["authorization_servers"] = [world.metadata["issuer"]]
        world.issuer.routes[place] = world.issuer.routes.pop(SERVER_PATH)
        world.iss = world.metadata["issuer"]
        assert await world.use() == "done"
        assert documents(world.issuer) == order[: order.index(place) + 1]


@pytest.mark.requirement("R2607-AUTH-009", "R2511-AUTH-025")
@pytest.mark.parametrize("place", [SERVER_PATH, OPENID_PATH])
async def test_R69_an_issuer_without_a_path_is_looked_for_in_order(place: str) -> None:
    order = [SERVER_PATH, OPENID_PATH]
    async with World() as world:
        world.issuer.routes[place] = world.issuer.routes.pop(SERVER_PATH)
        assert await world.use() == "done"
        assert documents(world.issuer) == order[: order.index(place) + 1]


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-010", "R2607-AUTH-011", "R2607-AUTH-012")
@pytest.mark.parametrize(
    "issuer", ["https://honest.example", "{}/", "{}/x", "HTTP://{host}", "{}:80", "", None]
)
async def test_R70_metadata_of_another_issuer_is_not_used(issuer: str | None) -> None:
    """Not by a slash, a capital, or a port: nobody is sent anywhere, nothing is registered."""
    async with World() as world:
        text = issuer and issuer.format(world.issuer.url, host=world.issuer.url.partition("//")[2])
        world.metadata["issuer"] = text
        with pytest.raises(DiscoveryFailed):
            await world.use()
        assert set(world.issuer.paths()) <= {SERVER_PATH, OPENID_PATH}


@pytest.mark.hostile
async def test_mix_up_a_server_that_claims_an_honest_issuer_gets_nothing() -> None:
    """The attacker's document names the honest issuer and the attacker's endpoints."""
    async with World() as world, Stage() as evil:
        evil.routes[SERVER_PATH] = {**server_metadata(evil.url), "issuer": world.issuer.url}
        world.resource_metadata["authorization_servers"] = [evil.url]
        with pytest.raises(DiscoveryFailed, match="issuer"):
            await world.use()
        assert set(evil.paths()) == {SERVER_PATH, OPENID_PATH}
        assert world.issuer.seen == []


@pytest.mark.requirement(
    "R2503-AUTH-003", "R2503-AUTH-007", "R2503-AUTH-010", "R2503-AUTH-029", "R2503-AUTH-032"
)
async def test_r90_2025_03_26_metadata_at_the_root_of_the_server() -> None:
    async with World() as world:
        del world.mcp.routes[f"{RESOURCE_PATH}/mcp"]
        world.mcp.routes[SERVER_PATH] = {**server_metadata(world.mcp.url)}
        world.mcp.routes |= {
            f"/{name}": world.issuer.routes[f"/{name}"] for name in ("authorize", "token", "register")
        }
        world.iss = world.mcp.url
        assert await world.use() == "done"
        assert documents(world.mcp) == [f"{RESOURCE_PATH}/mcp", RESOURCE_PATH, SERVER_PATH]
        assert world.mcp.at(SERVER_PATH)[0].headers["mcp-protocol-version"] == "2025-03-26"
        assert world.mcp.at("/token")[0].form["resource"] == world.resource


@pytest.mark.requirement("R2503-AUTH-009", "R2503-AUTH-010", "R2503-AUTH-023", "R2506-AUTH-008")
async def test_r90_2025_03_26_the_default_endpoints() -> None:
    """No metadata at all: the default paths at the root of the server, and PKCE all the same."""
    async with World() as world:
        del world.mcp.routes[f"{RESOURCE_PATH}/mcp"]
        world.mcp.routes |= {
            f"/{name}": world.issuer.routes[f"/{name}"] for name in ("authorize", "token", "register")
        }
        world.iss = None
        assert await world.use() == "done"
        assert world.mcp.at("/authorize")[0].query["code_challenge_method"] == "S256"
        assert world.mcp.at("/token")[0].form["code_verifier"]
        assert world.issuer.seen == []


@pytest.mark.hostile
async def test_2025_03_26_a_root_that_leads_elsewhere_is_not_followed() -> None:
    """Metadata at the root may name a part of its own host, and then leads to no other."""
    async with World() as world:
        del world.mcp.routes[f"{RESOURCE_PATH}/mcp"]
        root = {**server_metadata(world.issuer.url), "issuer": f"{world.mcp.url}/part"}
        world.mcp.routes[SERVER_PATH] = root
        with pytest.raises(DiscoveryFailed):
            await world.use()
        assert world.issuer.seen == []


@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer", [(500, {}, None), (503, {}, {}), (429, {}, None), (302, {"location": "/x"}, None), None]
)
async def test_V50_an_outage_is_not_taken_for_absence(answer: Any) -> None:
    """No older rules because of a server that has a bad day."""
    async with World() as world:
        world.challenge = ""
        world.mcp.routes[f"{RESOURCE_PATH}/mcp"] = lambda _: answer
        world.mcp.routes["/x"] = (500, {}, None)
        with pytest.raises((DiscoveryFailed, AuthorizationUnavailable)):
            await world.use()
        assert SERVER_PATH not in world.mcp.paths()
        assert "/authorize" not in world.mcp.paths()


@pytest.mark.hostile
@pytest.mark.parametrize(
    "document",
    [
        b"[]", b'{"resource": 1}', b'{"a":1,"a":2}', b'{"resource":"x","authorization_servers":"y"}', b"{" * 5000,
        b'{"authorization_servers": ["https://a.example"]}', b"{" + b" " * 300_000 + b"}",
    ],
)  # fmt: skip
async def test_V27_V29_odd_documents_end_in_a_typed_error(document: bytes) -> None:
    async with World() as world:
        world.mcp.routes[f"{RESOURCE_PATH}/mcp"] = (200, {}, document)
        with pytest.raises(AuthorizationError):
            await world.use()
        assert world.visits == []


@pytest.mark.hostile
async def test_a_resource_without_authorization_servers_is_an_error() -> None:
    async with World() as world:
        world.resource_metadata["authorization_servers"] = []
        with pytest.raises(DiscoveryFailed, match="names no authorization server"):
            await world.use()


@pytest.mark.requirement("RXSEC-SECURITY-011")
@pytest.mark.hostile
@pytest.mark.parametrize(
    "issuer",
    [
        "https://10.0.0.1",
        "https://169.254.169.254",
        "http://auth.example",
        "https://[::ffff:10.0.0.1]",
        "https://a@b.example",
    ],
)
async def test_V38_an_issuer_at_a_private_address_is_not_asked(issuer: str) -> None:
    async with World() as world:
        world.resource_metadata["authorization_servers"] = [issuer]
        with pytest.raises(AuthorizationError):
            await world.use()
        assert world.visits == []


@pytest.mark.requirement("RXSEC-SECURITY-012")
@pytest.mark.hostile
@pytest.mark.parametrize("path", [SERVER_PATH, f"{RESOURCE_PATH}/mcp"])
async def test_V32_metadata_that_redirects_to_another_origin_is_not_used(path: str) -> None:
    async with World() as world, Stage() as evil:
        evil.routes[SERVER_PATH] = server_metadata(evil.url)
        stage = world.issuer if path == SERVER_PATH else world.mcp
        stage.routes[path] = (302, {"location": f"{evil.url}{SERVER_PATH}"}, None)
        with pytest.raises(AuthorizationUnavailable, match="redirects to another origin"):
            await world.use()
        assert (evil.seen, world.visits) == ([], [])


@pytest.mark.requirement("R2607-AUTH-003", "R2607-AUTH-036")
async def test_several_authorization_servers_the_first_or_the_one_that_knows_us() -> None:
    async with World() as world, Stage() as other:
        world.resource_metadata["authorization_servers"] = [world.issuer.url, other.url]
        assert (await discover_login(world.resource)).issuer == world.issuer.url
        world.resource_metadata["authorization_servers"].reverse()
        known = world.oauth(client_id="me", issuer=world.issuer.url)
        assert await world.use(known) == "done"
        assert other.seen == []
        with pytest.raises(CredentialsUnbound):
            await world.use(world.oauth(client_id="me", issuer="https://third.example"))


@pytest.mark.hostile
@pytest.mark.parametrize(
    "url", ["http://server.example/mcp", "http+unix:///x.sock:/mcp", "http://10.0.0.1/mcp"]
)
async def test_credentials_are_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        World().oauth().client_auth(url)
