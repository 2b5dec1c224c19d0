"""All three together: our client, our protected server and our authorization server, by each way to get in."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc import jwt as jose
from joserfc.jwk import ECKey

from dovetail import App, Client, Principal
from dovetail.auth import (
    AuthorizationError,
    ClientCredentials,
    EnterpriseManaged,
    MemoryTokens,
    OAuth,
    Protected,
    WorkloadIdentity,
    introspection,
    jwt,
)
from dovetail.testing import served
from dovetail_authserver import Lifetimes, RegisteredClient, TrustedIssuer
from dovetail_authserver.testing import AuthorizationServer, authorization_server

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SECRET = "a-secret-with-enough-characters"
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
KEYS = {"keys": [KEY.as_dict(private=False)]}
PLATFORM = "https://platform.example"
Check = Callable[[AuthorizationServer], Any]


class Later:
    """An ASGI application that is made once its address is known."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@contextlib.asynccontextmanager
async def together(
    check: Check | None = None, **options: Any
) -> AsyncIterator[tuple[str, AuthorizationServer]]:
    """The address of a protected server, and who issues the tokens for it. ``check``: how it checks them."""
    later = Later()
    protected = options.pop("protected", {})
    async with served(later) as url:
        clients = [
            RegisteredClient(id="nightly", secret=SECRET, grants=["client_credentials"]),
            RegisteredClient(id="signer", jwks=KEYS, grants=["client_credentials"]),
            RegisteredClient(id="worker", grants=[GRANT]),
            RegisteredClient(id="assistant", secret=SECRET, grants=[GRANT]),
            RegisteredClient(id="the-server", secret=SECRET, introspects=[url]),
        ]
        async with authorization_server(url, clients=clients, scopes=["notes"], **options) as authority:
            judged = check(authority) if check else jwt(authority.url)
            app = App("notes", auth=Protected(url, judged, scopes=["notes"], **protected))

            @app.tool
            def whoami(who: Principal) -> str:
                return f"{who.subject} by {who.client_id}"

            later.app = app.asgi()
            yield url, authority


async def whoami(url: str, auth: Any) -> str:
    async with Client(url, auth=auth) as client:
        return (await client.call_tool("whoami", {})).raise_on_error().text


def signed(authority: AuthorizationServer, **changed: Any) -> str:
    """A statement of the platform about a workload."""
    now = int(time.time())
    claims = {"iss": PLATFORM, "sub": "job", "aud": authority.url, "iat": now, "exp": now + 300, **changed}
    head = {"alg": "ES256", "kid": "one", **({"typ": changed.pop("typ")} if "typ" in changed else {})}
    claims.pop("typ", None)
    return jose.encode(head, claims, KEY, algorithms=["ES256"])


def person(authority: AuthorizationServer, **how: Any) -> OAuth:
    async def visit(url: str) -> bool:
        await authority.approve(url)
        return True

    return OAuth(open_browser=visit, tokens=MemoryTokens(), timeout=20, **how)


@pytest.mark.parametrize("how", [{}, {"dpop": True}], ids=["bearer", "dpop"])
async def test_a_person_logs_in(how: dict[str, Any]) -> None:
    async with together() as (url, authority):
        assert (await whoami(url, person(authority, **how))).startswith("alice by ")


async def test_nonces_are_learnt_on_both_sides() -> None:
    protected = {"dpop": "required", "dpop_nonces": True}
    async with together(dpop_nonces=True, require_dpop=True, protected=protected) as (url, authority):
        assert (await whoami(url, person(authority, dpop=True))).startswith("alice by ")


async def test_a_program_gets_in_by_itself() -> None:
    async with together() as (url, authority):
        by_secret = ClientCredentials("nightly", issuer=authority.url, client_secret=SECRET)
        assert await whoami(url, by_secret) == "nightly by nightly"
        key = {str(name): value for name, value in KEY.as_dict(private=True).items()}
        by_key = ClientCredentials("signer", issuer=authority.url, private_key=key)
        assert await whoami(url, by_key) == "signer by signer"
        wrong = ClientCredentials(
            "nightly", issuer=authority.url, client_secret="another-secret-of-some-length"
        )
        with pytest.raises(AuthorizationError):
            await whoami(url, wrong)


async def test_a_workload_gets_in_by_its_platform() -> None:
    trusted = [TrustedIssuer(issuer=PLATFORM, jwks=KEYS, clients=["worker"])]
    async with together(trusted=trusted) as (url, authority):
        auth = WorkloadIdentity("worker", issuer=authority.url, assertion=signed(authority))
        assert await whoami(url, auth) == f"{PLATFORM}#job by worker"
        wrong = WorkloadIdentity(
            "worker", issuer=authority.url, assertion=signed(authority, aud="https://x.example")
        )
        with pytest.raises(AuthorizationError):
            await whoami(url, wrong)


async def test_a_company_lets_its_people_in() -> None:
    """The identity provider is a stand-in that gives an ID-JAG for an ID token; what it says is checked for real."""
    asked: list[dict[str, str]] = []
    later = Later()
    async with served(later) as idp_url:
        idp = idp_url.removesuffix("/mcp")
        trusted = [TrustedIssuer(issuer=idp, jwks=KEYS, kind="enterprise", clients=["assistant"])]
        async with together(trusted=trusted) as (url, authority):
            later.app = _identity_provider(idp, authority, asked)
            auth = EnterpriseManaged(
                "assistant",
                client_secret=SECRET,
                issuer=authority.url,
                idp_issuer=idp,
                idp_token_endpoint=f"{idp}/token",
                idp_client_id="assistant-at-idp",
                subject_token="an-id-token",
            )
            assert await whoami(url, auth) == f"{idp}#alice by assistant"
            assert asked[0]["audience"] == authority.url
            assert asked[0]["resource"] == url


async def test_a_server_that_asks_learns_of_a_revocation() -> None:
    def asks(authority: AuthorizationServer) -> Any:
        return introspection(authority.url, client_id="the-server", client_secret=SECRET, keep=0)

    async with together(asks, lifetimes=Lifetimes(access_token=3600)) as (url, authority):
        credentials = person(authority).client_auth(url)
        async with Client(url, auth=credentials) as client:
            assert (await client.call_tool("whoami", {})).text.startswith("alice by ")
        tokens = await credentials.status()
        assert tokens is not None
        parts = authority.server._parts.kept
        claims = await parts.tokens.read(tokens.access_token)
        assert claims is not None
        assert await parts.grants.end(claims["gid"])
        # The token itself would be good for an hour; the person is sent to log in again instead.
        assert (await whoami(url, person(authority))).startswith("alice by ")
        header = {"authorization": f"Bearer {tokens.access_token}"}
        with pytest.raises(Exception, match="401"):
            await whoami_with(url, header)


async def whoami_with(url: str, headers: dict[str, str]) -> str:
    async with Client(url, headers=headers) as client:
        return (await client.call_tool("whoami", {})).raise_on_error().text


def _identity_provider(idp: str, authority: AuthorizationServer, asked: list[dict[str, str]]) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def token(request: Request) -> JSONResponse:
        from urllib.parse import parse_qsl

        form = dict(parse_qsl((await request.body()).decode()))
        asked.append(form)
        jag = signed(
            authority,
            typ="oauth-id-jag+jwt",
            iss=idp,
            sub="alice",
            aud=form["audience"],
            resource=form["resource"],
            client_id="assistant",
            scope="notes",
            jti=secrets.token_hex(8),
        )
        kind = "urn:ietf:params:oauth:token-type:id-jag"
        return JSONResponse(
            {"access_token": jag, "issued_token_type": kind, "token_type": "N_A", "expires_in": 300}
        )

    return Starlette(routes=[Route("/token", token, methods=["POST"])])
