"""Our client logs in to servers of the peers.

Servers with an authorization server of the SDK's own, which the one for Python has and the one for TypeScript had until
its version 2; and servers of both at our authorization server, which they ask about a token or whose keys they fetch.

Follows: basic/authorization of 2025-11-25 and 2026-07-28, and its extensions.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dovetail import Client
from dovetail.auth import ClientCredentials, EnterpriseManaged, MemoryTokens, OAuth
from dovetail_authserver import RegisteredClient
from dovetail_authserver.testing import AuthorizationServer
from interop.installing import Peers
from interop.login_scene import ERAS, READ, WRITE, Ledger, address, authorities, host, listening, visiting
from interop.login_vouchers import company
from interop.steps import STATEFUL

SECRET = "correct horse battery staple"
CHECKS = ("introspection", "jwks")
eras = pytest.mark.parametrize("era", ERAS)


@contextlib.asynccontextmanager
async def resource(
    peers: Peers, peer: str, check: str, folder: Path, *clients: RegisteredClient
) -> AsyncGenerator[tuple[AuthorizationServer, Ledger, str]]:
    """A server of a peer's at our authorization server: that, what comes to it, and the server's address."""
    with listening() as sock:
        url = address(sock)
        asking = RegisteredClient(id="notes-server", secret=SECRET, introspects=[url])
        async with authorities(clients=[asking, *clients], accepts_resource=url.__eq__) as (
            authority,
            ledger,
        ):
            given = {"role": check, "issuer": authority.url, "secret": SECRET}
            async with host(peers, peer, "login_server", folder, sock, **given):
                yield authority, ledger, url


@pytest.mark.parametrize(
    "peer,script,era",
    [
        *(("mcp", "login_server", era) for era in ERAS),
        ("typescript", "login_old_server", STATEFUL[1]),
        ("typescript", "login_old_server", STATEFUL[-1]),
    ],
)
async def test_we_log_in_at_an_authorization_server_of_theirs(
    peer: str, script: str, era: str, peers: Peers, folder: Path
) -> None:
    """Neither gives an `iss`. The Python SDK's takes clients with secrets alone, and finds none by Basic alone;
    the TypeScript SDK's version 1, which version 2 has no successor of, ends its issuer with a slash."""
    visits: list[str] = []

    async def agree(url: str) -> bool:
        visits.append(url)
        return await visiting(url)

    async with host(peers, peer, script, folder, role="authority") as (server, origin):
        auth = OAuth(open_browser=agree, tokens=MemoryTokens())
        async with Client(f"{origin}/mcp", auth=auth, revision=era) as client:
            assert (await client.call_tool("read")).text == "alice reads"
            await server.tell(do="end")
            await server.until_done()
            assert (await client.call_tool("read")).text == "alice reads"
        await server.tell(do="grants")
        assert (await server.until_done())["text"] == ["authorization_code", "refresh_token"]
        assert len(visits) == 1


async def test_we_are_let_in_there_by_a_companys_statement(peers: Peers, folder: Path) -> None:
    """Enterprise-managed authorization, both legs: the one way in without a browser that the Python SDK's authorization
    server has. It finds a client by the form, so Basic, which has no name there, does not do."""
    async with company() as (idp, token_endpoint):
        given = {
            "company": idp.issuer,
            "company_keys": idp.jwks,
            "secret": SECRET,
            "method": "client_secret_post",
        }
        async with host(peers, "mcp", "login_server", folder, role="authority", **given) as (server, origin):
            auth = EnterpriseManaged(
                "desktop",
                client_secret=SECRET,
                auth_method="client_secret_post",
                issuer=origin,
                idp_issuer=idp.issuer,
                idp_client_id="desktop-there",
                idp_token_endpoint=token_endpoint,
                subject_token="carol",
                scopes=[READ],
            )
            async with Client(f"{origin}/mcp", auth=auth) as client:
                assert (await client.call_tool("read")).text == "carol reads"
            await server.tell(do="grants")
            assert (await server.until_done())["text"] == ["jwt-bearer"]
        assert [each["audience"] for each in idp.asked] == [origin]


@eras
@pytest.mark.parametrize("check", CHECKS)
async def test_we_log_in_to_the_python_sdks_server_at_our_authorization_server(
    check: str, era: str, peers: Peers, folder: Path
) -> None:
    async with resource(peers, "mcp", check, folder) as (authority, ledger, url):
        auth = OAuth(open_browser=authority.approve, tokens=MemoryTokens())
        async with Client(url, auth=auth, revision=era) as client:
            assert (await client.call_tool("read")).text == "alice reads"
        assert ledger.grants == ["authorization_code"]
        assert len(ledger.at("/introspect")) == 0 if check == "jwks" else len(ledger.at("/introspect")) > 0


@eras
@pytest.mark.parametrize("check", CHECKS)
async def test_we_log_in_to_the_typescript_sdks_server_at_our_authorization_server_and_step_up(
    check: str, era: str, peers: Peers, folder: Path
) -> None:
    """Its challenge names the scopes that a tool needs."""
    visits: list[set[str]] = []

    async with resource(peers, "typescript", check, folder) as (authority, _, url):

        async def agree(where: str) -> None:
            visits.append(set(parse_qs(urlsplit(where).query)["scope"][0].split()))
            await authority.approve(where)

        async with Client(url, auth=OAuth(open_browser=agree, tokens=MemoryTokens()), revision=era) as client:
            assert (await client.call_tool("read")).text == "alice reads"
            assert (await client.call_tool("write")).text == "alice writes"
            assert (await client.call_tool("read")).text == "alice reads"
        assert visits == [{READ, "offline_access"}, {READ, WRITE, "offline_access"}]


@pytest.mark.parametrize("peer", ["mcp", "typescript"])
async def test_a_program_of_ours_is_let_in_to_servers_of_theirs(
    peer: str, peers: Peers, folder: Path
) -> None:
    job = RegisteredClient(id="job", secret=SECRET, grants=["client_credentials"])
    async with resource(peers, peer, "jwks", folder, job) as (authority, ledger, url):
        auth = ClientCredentials("job", issuer=authority.url, client_secret=SECRET, scopes=[READ])
        async with Client(url, auth=auth) as client:
            assert (await client.call_tool("read")).text == "job reads"
        assert ledger.grants == ["client_credentials"]
