"""Attack: metadata that name more than the server, so that its client gets tokens which are good elsewhere as well.

RFC 9728, section 3.3: the resource is the very URL that the client uses, or the one that the well-known place was made
from. Whoever means otherwise says so.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from login_stage import RESOURCE_PATH, SERVER_PATH, World

from dovetail.auth import ClientCredentials, EnterpriseManaged, WorkloadIdentity
from dovetail.auth.login import AuthorizationUnavailable, DiscoveryFailed, discover_login
from dovetail.security.fetching import FetchFailed

OWN = f"{RESOURCE_PATH}/team/notes/mcp"


async def below(world: World) -> None:
    """The server stands at /team/notes/mcp."""
    world.mcp.routes["/team/notes/mcp"] = world.mcp.routes.pop("/mcp")
    world.mcp.routes[OWN] = world.mcp.routes.pop(f"{RESOURCE_PATH}/mcp")
    world.resource = world.resource_metadata["resource"] = f"{world.mcp.url}/team/notes/mcp"
    world.challenge = "Bearer"


@pytest.mark.hostile
@pytest.mark.requirement("R2511-AUTH-109", "R2607-AUTH-141")
@pytest.mark.parametrize("above", ["", "/", "/team", "/team/", "/team/notes", "/team/notes/mcp/"])
@pytest.mark.parametrize("by", ["challenge", "place"])
async def test_what_is_above_the_server_is_not_the_server(above: str, by: str) -> None:
    """A tenant of a host must not get tokens for all of it."""
    async with World() as world:
        await below(world)
        if by == "challenge":
            world.mcp.routes["/custom"] = world.mcp.routes.pop(OWN)
            world.challenge = f'Bearer resource_metadata="{world.mcp.url}/custom"'
        world.resource_metadata["resource"] = world.mcp.url + above
        with pytest.raises(DiscoveryFailed, match="accept_parent_resource=True"):
            await world.use()
        assert world.issuer.seen == []
        assert await world.use(world.oauth(accept_parent_resource=True)) == "done"
        assert world.issuer.at("/token")[0].form["resource"] == world.mcp.url + above


@pytest.mark.hostile
@pytest.mark.parametrize(
    "resource", ["{}/team/notes/other", "{}/team/notes/mcp/more", "{}/te", "https://evil.example"]
)
async def test_what_is_not_above_it_is_refused_whatever_is_said(resource: str) -> None:
    async with World() as world:
        await below(world)
        world.resource_metadata["resource"] = resource.format(world.mcp.url)
        for said in (False, True):
            with pytest.raises(DiscoveryFailed) as caught:
                await world.use(world.oauth(accept_parent_resource=said))
            assert "accept_parent_resource" not in str(caught.value)
        assert world.issuer.seen == []


@pytest.mark.parametrize("named", ["the host", "the host with a slash", "the server"])
@pytest.mark.parametrize("challenge", [True, False])
async def test_at_the_root_of_a_host_the_host_is_what_the_place_is_made_from(
    named: str, challenge: bool
) -> None:
    """There, the specification has clients look for the metadata of servers that have none below their path."""
    async with World() as world:
        await below(world)
        world.mcp.routes[RESOURCE_PATH] = world.mcp.routes.pop(OWN)
        if challenge:
            world.challenge = f'Bearer resource_metadata="{world.mcp.url}{RESOURCE_PATH}"'
        slash = "/" if named == "the host with a slash" else ""
        world.resource_metadata["resource"] = (
            world.resource if named == "the server" else world.mcp.url + slash
        )
        assert await world.use() == "done"
        assert world.issuer.at("/token")[0].form["resource"] == world.resource_metadata["resource"]


@pytest.mark.hostile
async def test_at_the_root_nothing_between_is_believed() -> None:
    async with World() as world:
        await below(world)
        world.mcp.routes[RESOURCE_PATH] = world.mcp.routes.pop(OWN)
        world.resource_metadata["resource"] = f"{world.mcp.url}/team"
        with pytest.raises(DiscoveryFailed):
            await world.use()


@pytest.mark.hostile
async def test_a_query_belongs_to_the_name() -> None:
    async with World() as world:
        world.challenge = "Bearer"
        asked = f"{world.resource}?tenant=a"
        with pytest.raises(DiscoveryFailed, match="accept_parent_resource=True"):
            await discover_login(asked)
        assert (await discover_login(asked, accept_parent_resource=True)).resource == world.resource
        world.resource_metadata["resource"] = asked
        assert (await discover_login(asked)).resource == asked


async def test_spellings_of_one_url_are_one_name() -> None:
    async with World() as world:
        world.resource_metadata["resource"] = world.resource.replace("http://", "HTTP://")
        assert await world.use() == "done"


@pytest.mark.parametrize("kind", [ClientCredentials, WorkloadIdentity, EnterpriseManaged])
async def test_programs_are_as_strict_and_can_be_told_the_same(kind: Any) -> None:
    more: dict[Any, dict[str, Any]] = {
        ClientCredentials: {"client_secret": "s3cret"},
        WorkloadIdentity: {"assertion": "x"},
        EnterpriseManaged: {
            "client_secret": "s3cret",
            "idp_issuer": "http://127.0.0.1:9",
            "idp_client_id": "c",
            "idp_token_endpoint": "http://127.0.0.1:9/token",
            "subject_token": "x",
        },
    }
    async with World() as world:
        world.resource_metadata["resource"] = world.mcp.url
        for accepted in (False, True):
            auth = kind("me", issuer=world.issuer.url, accept_parent_resource=accepted, **more[kind])
            client = auth.client_auth(world.resource)
            with contextlib.suppress(
                AuthorizationUnavailable, FetchFailed, *(() if accepted else (DiscoveryFailed,))
            ):
                await client.log_in()
            await client.close()
            assert (SERVER_PATH in world.issuer.paths()) == accepted, "it went on to the authorization server"
