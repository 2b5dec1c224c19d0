"""Clients of the peers log in to our server, at our authorization server.

Both eras of each: registration by the client itself and by a document that it publishes, a tool that needs a scope, a
token that has ended, a scope that was not granted yet, a person who says no; programs with a secret, a key, or an
identity provider's statement; tokens bound to a key.

Follows: basic/authorization of 2025-11-25 and 2026-07-28, and its extensions.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from dovetail_authserver import RegisteredClient, TrustedIssuer
from interop.installing import Peers
from interop.login_scene import ERAS, JWT_BEARER, LATER, READ, WRITE, PeerFailed, guest, ours
from interop.login_vouchers import Company, published

CLIENTS = ("mcp", "typescript")
SECRET = "correct+horse/battery=staple 50%"  # the TypeScript SDK does not form-encode it before Basic
both = pytest.mark.parametrize("peer", CLIENTS)
eras = pytest.mark.parametrize("era", ERAS)


@both
@eras
async def test_a_peer_registers_and_logs_in_then_refreshes_and_steps_up(
    peer: str, era: str, peers: Peers, folder: Path
) -> None:
    async with ours() as place, guest(peers, peer, folder, place.url, era, place.agree) as client:
        assert await client.call("read") == "alice reads"
        assert (len(place.ledger.at("/register")), place.ledger.grants) == (1, ["authorization_code"])
        assert place.visits[0]["resource"] == place.url
        assert place.visits[0]["code_challenge_method"] == "S256"

        place.clock.ahead += LATER
        await client.later()
        assert await client.call("read") == "alice reads"
        assert place.ledger.grants[1:] == ["refresh_token"]
        assert len(place.visits) == 1

        assert await client.call("write", place.agree) == "alice writes"
        assert {READ, WRITE} <= place.asked[1]
        assert await client.call("read") == "alice reads"
        assert len(place.ledger.at("/register")) == 1
        assert all(each.form["resource"] == place.url for each in place.ledger.at("/token"))


@both
@eras
async def test_a_peer_is_known_by_the_document_that_it_publishes(
    peer: str, era: str, peers: Peers, folder: Path
) -> None:
    async with (
        published(folder) as (document, fetcher),
        ours(registration="off", fetcher=fetcher) as place,
        guest(peers, peer, folder, place.url, era, place.agree, document=document) as client,
    ):
        assert await client.call("read") == "alice reads"
        assert [each["client_id"] for each in place.visits] == [document]
        assert place.ledger.grants == ["authorization_code"]


@both
async def test_a_peer_whose_person_says_no_gets_nothing(peer: str, peers: Peers, folder: Path) -> None:
    async with ours() as place:
        with pytest.raises(PeerFailed, match=r"(?i)access_denied|no authorization code|OAuthFlowError"):
            async with guest(peers, peer, folder, place.url, ERAS[-1], place.refuse):
                pass
        assert place.ledger.grants == []


@both
@eras
async def test_a_peers_program_is_let_in_by_its_secret(
    peer: str, era: str, peers: Peers, folder: Path
) -> None:
    """Both SDKs ask for what the challenge names, whatever they were told: more only when they are refused."""
    job = RegisteredClient(id="job", secret=SECRET, grants=["client_credentials"])
    async with ours(clients=[job]) as place:
        known = {"how": "secret", "client_id": "job", "secret": SECRET, "issuer": place.authority.url}
        async with guest(peers, peer, folder, place.url, era, scope=READ, **known) as client:
            assert await client.call("read") == "job reads"
            assert await client.call("write") == "job writes"
            place.clock.ahead += LATER
            await client.later()
            assert await client.call("read") == "job reads"
        assert place.ledger.grants == ["client_credentials"] * 3
        asked = [set(each.form["scope"].split()) for each in place.ledger.at("/token")]
        assert asked[:2] == [{READ}, {READ, WRITE}]


@both
async def test_a_peers_program_is_let_in_by_its_key(peer: str, peers: Peers, folder: Path) -> None:
    key = ECKey.generate_key("P-256", {"kid": "1"})
    public = {"keys": [key.as_dict(private=False)]}
    job = RegisteredClient(id="job", jwks=public, grants=["client_credentials"])
    async with ours(clients=[job]) as place:
        known = {"how": "key", "client_id": "job", "issuer": place.authority.url, "scope": READ}
        secret = key.as_pem(private=True).decode()
        async with guest(peers, peer, folder, place.url, ERAS[-1], key=secret, **known) as client:
            assert await client.call("read") == "job reads"
        assert place.ledger.grants == ["client_credentials"]


@both
async def test_a_peers_client_is_let_in_by_a_companys_statement(
    peer: str, peers: Peers, folder: Path
) -> None:
    """Enterprise-managed authorization: the second leg, an ID-JAG of an identity provider that is trusted."""
    company = Company("https://company.example")
    desktop = RegisteredClient(id="desktop", secret=SECRET, grants=[JWT_BEARER])
    trusted = TrustedIssuer(issuer=company.issuer, jwks=company.jwks, kind="enterprise", clients=["desktop"])
    async with ours(clients=[desktop], trusted=[trusted]) as place:
        issuer = place.authority.url
        statement = company.id_jag(
            "carol", audience=issuer, client_id="desktop", resource=place.url, scope=READ
        )
        known = {
            "how": "statement",
            "client_id": "desktop",
            "secret": SECRET,
            "issuer": issuer,
            "scope": READ,
        }
        async with guest(peers, peer, folder, place.url, ERAS[-1], statement=statement, **known) as client:
            assert await client.call("read") == "https://company.example#carol reads"
        assert place.ledger.grants == ["jwt-bearer"]


@eras
async def test_a_peers_tokens_are_bound_to_its_key(era: str, peers: Peers, folder: Path) -> None:
    """DPoP, which the TypeScript SDK alone speaks: required by both servers, with nonces of both."""
    async with (
        ours({"dpop": "required", "dpop_nonces": True}, require_dpop=True, dpop_nonces=True) as place,
        guest(peers, "typescript", folder, place.url, era, place.agree, how="dpop") as client,
    ):
        assert await client.call("read") == "alice reads"
        place.clock.ahead += LATER
        await client.later()
        assert await client.call("read") == "alice reads"
        assert place.ledger.grants == ["authorization_code", "refresh_token"]
        assert len(place.visits) == 1
