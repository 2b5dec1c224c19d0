"""Our client and our server at an authorization server that neither we nor the SDKs wrote: `oidc-provider`, a certified
OpenID provider for Node.

It stands for Keycloak and Ory Hydra, neither of which is in a package registry that these tests may use. It has pages
of its own for a person, OpenID's places for its metadata, and tokens of two kinds: signed ones that our server checks
by its keys, and opaque ones that it asks about.

Follows: basic/authorization; OpenID Connect Discovery and Registration; RFC 7523, RFC 7662, RFC 8707, RFC 9068,
RFC 9449.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey

from dovetail import Client
from dovetail.auth import ClientCredentials, MemoryTokens, OAuth, Protected, introspection, jwt
from dovetail.auth.login import resolve
from interop.installing import Peers
from interop.login_scene import (
    ERAS,
    LATER,
    READ,
    WRITE,
    Clock,
    Peer,
    address,
    at,
    host,
    listening,
    notes,
    visiting,
)
from interop.login_vouchers import published

SECRET = "correct horse battery staple"
KEY = ECKey.generate_key("P-256", {"kid": "mine"})


@dataclass
class Elsewhere:
    """The authorization server, our server there, and who went to it."""

    server: Peer
    issuer: str
    url: str
    clock: Clock
    visits: list[dict[str, str]] = field(default_factory=list)

    async def agree(self, url: str) -> bool:
        """Somebody who says that they are alice, and agrees."""
        self.visits.append(dict(parse_qsl(urlsplit(url).query)))
        return await visiting(url, login="alice", password="anything")

    def oauth(self, **options: Any) -> OAuth:
        """A login with that person at the browser."""
        return OAuth(open_browser=self.agree, tokens=MemoryTokens(), **options)

    async def grants(self) -> list[str]:
        """How tokens were got."""
        await self.server.tell(do="grants")
        return (await self.server.until_done())["text"]


@contextlib.asynccontextmanager
async def elsewhere(
    peers: Peers, folder: Path, token_format: str = "jwt", **options: Any
) -> AsyncGenerator[Elsewhere]:
    """The two servers; options of `Protected`."""
    clock = Clock()
    given = {"secret": SECRET, "format": token_format, "jwks": {"keys": [KEY.as_dict(private=False)]}}
    async with host(peers, "typescript", "login_authority", folder, **given) as (server, issuer):
        check = jwt(issuer) if token_format == "jwt" else asking(issuer)
        with listening() as sock:
            url = address(sock)
            protected = Protected(url, check, scopes_supported=[READ], clock=clock, **options)
            async with at(sock, notes(protected).asgi()):
                yield Elsewhere(server, issuer, url, clock)


def asking(issuer: str) -> Any:
    """A check that asks there."""
    return introspection(issuer, client_id="notes-server", client_secret=SECRET)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("token_format", ["jwt", "opaque"])
async def test_we_log_in_there_refresh_and_step_up(
    token_format: str, era: str, peers: Peers, folder: Path
) -> None:
    async with elsewhere(peers, folder, token_format) as place:
        credentials = resolve(place.oauth(), place.url)
        async with Client(place.url, auth=credentials, revision=era) as client:
            assert (await client.call_tool("read")).text == "alice reads"
            assert place.visits[0]["resource"] == place.url
            credentials._clock = lambda: place.clock() + LATER
            assert (await client.call_tool("read")).text == "alice reads"
            assert await place.grants() == ["authorization_code", "refresh_token"]
            assert len(place.visits) == 1
            credentials._clock = place.clock
            assert (await client.call_tool("write")).text == "alice writes"
            assert {READ, WRITE} <= set(place.visits[1]["scope"].split())
        await credentials.close()


async def test_our_tokens_of_theirs_are_bound_to_our_key(peers: Peers, folder: Path) -> None:
    """DPoP, with the nonce that it asks for."""
    async with elsewhere(peers, folder, dpop="required", dpop_nonces=True) as place:
        async with Client(place.url, auth=place.oauth(dpop=True)) as client:
            assert (await client.call_tool("read")).text == "alice reads"
        assert await place.grants() == ["authorization_code"]


async def test_we_are_known_there_by_our_document(peers: Peers, folder: Path) -> None:
    """It is the one that our client says has to be published."""

    def describe(url: str) -> dict[str, Any]:
        return OAuth(client_metadata_url=url).metadata_document()

    async with published(folder, describe) as (document, _), elsewhere(peers, folder) as place:
        async with Client(place.url, auth=place.oauth(client_metadata_url=document)) as client:
            assert (await client.call_tool("read")).text == "alice reads"
        assert [each["client_id"] for each in place.visits] == [document]


@pytest.mark.parametrize(
    "who,proof", [("job", {"client_secret": SECRET}), ("keyed", {"private_key": KEY.as_dict(private=True)})]
)
async def test_a_program_of_ours_is_let_in_there(
    who: str, proof: dict[str, Any], peers: Peers, folder: Path
) -> None:
    async with elsewhere(peers, folder) as place:
        auth = ClientCredentials(who, issuer=place.issuer, scopes=[READ], **proof)
        async with Client(place.url, auth=auth) as client:
            assert (await client.call_tool("read")).text == f"{who} reads"
        assert await place.grants() == ["client_credentials"]
