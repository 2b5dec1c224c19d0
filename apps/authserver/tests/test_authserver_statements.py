"""Statements of others: workloads (RFC 7523) and ID-JAGs of an enterprise's identity provider."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from authority_calls import RESOURCE, SECRET, SERVER, Calls, Said, basic, calls
from joserfc import jwt
from joserfc.jwk import ECKey

from dovetail.security import Fetcher, FetchFailed
from dovetail_authserver import RegisteredClient, TrustedIssuer, User
from dovetail_authserver.assertions import AssertionInvalid, KeySets

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
IDP = "https://idp.example"
PLATFORM = "https://platform.example"
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
STRANGER = ECKey.generate_key("P-256", parameters={"kid": "one"})
KEYS = {"keys": [KEY.as_dict(private=False)]}
OTHER = "https://other.example/mcp"
CLIENTS = [
    RegisteredClient(id="agent", secret=SECRET, grants=[GRANT]),
    RegisteredClient(id="second", secret=SECRET, grants=[GRANT]),
    RegisteredClient(id="workload", grants=[GRANT]),
    RegisteredClient(id="open", grants=[GRANT]),
    RegisteredClient(id="without", secret=SECRET, grants=["client_credentials"]),
    SERVER,
]
ENTERPRISE = TrustedIssuer(
    issuer=IDP, jwks=KEYS, kind="enterprise", clients=["agent", "second", "open", "without"]
)
WORKLOADS = TrustedIssuer(issuer=PLATFORM, jwks=KEYS, clients=["workload"], scopes=["files:read"])


@contextlib.asynccontextmanager
async def trusting(*trusted: TrustedIssuer) -> AsyncIterator[Calls]:
    """A server that believes these."""
    chosen = trusted or (ENTERPRISE, WORKLOADS)
    async with calls(clients=CLIENTS, trusted=chosen, resources=[RESOURCE, OTHER]) as program:
        yield program


def jag(program: Calls, key: Any = KEY, header: Mapping[str, Any] | None = None, **changed: Any) -> str:
    """An ID-JAG for the client ``agent``; None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": IDP,
        "sub": "alice",
        "aud": program.url,
        "client_id": "agent",
        "resource": RESOURCE,
        "scope": "files:read mail",
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 300,
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    head = {"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "one", **(header or {})}
    return jwt.encode({n: v for n, v in head.items() if v is not None}, kept, key, algorithms=["ES256"])


async def ask(program: Calls, assertion: str, client: str = "agent", **more: str) -> Said:
    form = {"grant_type": GRANT, "assertion": assertion, **more}
    if client in ("workload", "open"):
        return await program.post("/token", {**form, "client_id": client})
    return await program.post("/token", form, headers=basic(client, SECRET))


async def test_an_id_jag_becomes_a_token_for_its_resource() -> None:
    async with trusting() as program:
        about = (await program.get("/.well-known/oauth-authorization-server")).body
        assert about["authorization_grant_profiles_supported"] == [
            "urn:ietf:params:oauth:grant-profile:id-jag"
        ]
        assert GRANT in about["grant_types_supported"]
        said = await ask(program, jag(program))
        assert said.status == 200, said.text
        assert "refresh_token" not in said.body, "the identity provider decides anew each time"
        claims = await program.claims(said.body["access_token"])
        assert (claims["sub"], claims["aud"], claims["client_id"]) == (f"{IDP}#alice", RESOURCE, "agent")
        assert claims["scope"] == "files:read mail"
        said = await ask(program, jag(program), scope="files:read files")
        assert said.body["scope"] == "files:read", "no more than was stated"
        said = await ask(program, jag(program, scope=None), scope="files")
        assert said.body["scope"] == "files"
        assert (await ask(program, jag(program), scope="files")).error == "invalid_scope"


@pytest.mark.hostile
@pytest.mark.requirement("RXAUT-AUTH-027", "RXAUT-AUTH-028")
# What has to stand in an ID-JAG: without it, or with anything else there, none is taken.
@pytest.mark.requirement(
    "RXAUT-AUTH-014", "RXAUT-AUTH-015", "RXAUT-AUTH-016", "RXAUT-AUTH-017", "RXAUT-AUTH-018"
)
@pytest.mark.requirement("RXAUT-AUTH-019", "RXAUT-AUTH-020", "RXAUT-AUTH-021", "RXAUT-AUTH-023")
@pytest.mark.parametrize(
    "changed,header,error",
    [
        ({"aud": OTHER}, {}, "invalid_grant"),
        ({"aud": None}, {}, "invalid_grant"),
        ({"aud": RESOURCE}, {}, "invalid_grant"),
        ({"client_id": "second"}, {}, "invalid_grant"),
        ({"client_id": None}, {}, "invalid_grant"),
        ({"client_id": ["agent"]}, {}, "invalid_grant"),
        ({"iss": "https://evil.example"}, {}, "invalid_grant"),
        ({"iss": IDP + "/"}, {}, "invalid_grant"),
        ({"iss": PLATFORM}, {}, "unauthorized_client"),
        ({"sub": None}, {}, "invalid_grant"),
        ({"sub": ""}, {}, "invalid_grant"),
        ({"sub": "x" * 300}, {}, "invalid_grant"),
        ({"resource": None}, {}, "invalid_grant"),
        ({"resource": [RESOURCE]}, {}, "invalid_grant"),
        ({"resource": "https://unknown.example"}, {}, "invalid_target"),
        ({"exp": int(time.time()) - 60}, {}, "invalid_grant"),
        ({"exp": None}, {}, "invalid_grant"),
        ({"exp": True}, {}, "invalid_grant"),
        ({"exp": int(time.time()) + 90_000}, {}, "invalid_grant"),
        ({"nbf": int(time.time()) + 80_000}, {}, "invalid_grant"),
        ({"iat": None}, {}, "invalid_grant"),
        ({"iat": int(time.time()) + 80_000}, {}, "invalid_grant"),
        ({"jti": None}, {}, "invalid_grant"),
        ({}, {"typ": None}, "invalid_grant"),
        ({}, {"typ": "JWT"}, "invalid_grant"),
        ({}, {"typ": "at+jwt"}, "invalid_grant"),
        ({}, {"kid": "unknown"}, "invalid_grant"),
    ],
)
async def test_an_id_jag_has_to_be_right_in_everything(
    changed: dict[str, Any], header: dict[str, Any], error: str
) -> None:
    async with trusting() as program:
        said = await ask(program, jag(program, header=header, **changed))
        assert (said.status, said.error) == (400, error)


@pytest.mark.hostile
async def test_an_id_jag_is_bound_to_who_shows_it() -> None:
    async with trusting() as program:
        assert (await ask(program, jag(program), client="second")).error == "invalid_grant"
        assert (await ask(program, jag(program), client="without")).error == "unauthorized_client"
        assert (
            await ask(program, jag(program, client_id="open"), client="open")
        ).error == "unauthorized_client"
        assert (await ask(program, jag(program, key=STRANGER))).error == "invalid_grant"
        form = {"grant_type": GRANT, "assertion": jag(program), "client_id": "agent"}
        assert (await program.post("/token", form)).error == "invalid_client"
        assert (await ask(program, jag(program), resource=OTHER)).error == "invalid_target"
        assert (await ask(program, jag(program), resource=RESOURCE)).status == 200
        for broken in ("", "x", "a.b.c", jag(program)[:-4], "x" * 20_000):
            assert (await ask(program, broken)).error in ("invalid_grant", "invalid_request")


async def test_v47_an_id_jag_counts_once() -> None:
    async with trusting() as program:
        once = jag(program)
        assert (await ask(program, once)).status == 200
        assert (await ask(program, once)).error == "invalid_grant"


def workload(program: Calls, **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": PLATFORM,
        "sub": "ns/prod/worker",
        "aud": program.url,
        "iat": now,
        "exp": now + 600,
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": "one"}, kept, KEY, algorithms=["ES256"])


async def test_a_workload_gets_a_token_without_a_secret() -> None:
    async with trusting() as program:
        token = workload(program)
        assert (await ask(program, token, client="workload", resource=RESOURCE)).status == 200
        said = await ask(program, token, client="workload", resource=RESOURCE)
        assert said.status == 200, "a file that is read many times"
        claims = await program.claims(said.body["access_token"])
        assert (claims["sub"], claims["aud"]) == (f"{PLATFORM}#ns/prod/worker", RESOURCE)
        said = await ask(program, token, client="workload", resource=RESOURCE, scope="files:read mail")
        assert said.body["scope"] == "files:read", "the operator gave this issuer no more"
        assert (
            await ask(program, token, client="workload", resource=RESOURCE, scope="mail")
        ).error == "invalid_scope"
        assert (await ask(program, token, client="workload")).error == "invalid_target"


@pytest.mark.hostile
@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://wrong.example"},
        {"exp": int(time.time()) - 60},
        {"iss": IDP},
        {"sub": None},
        {"exp": None},
    ],
)
async def test_a_workloads_statement_has_to_be_right(changed: dict[str, Any]) -> None:
    async with trusting() as program:
        said = await ask(program, workload(program, **changed), client="workload", resource=RESOURCE)
        assert said.error in ("invalid_grant", "unauthorized_client")


async def test_the_operator_says_who_is_let_in_and_as_whom() -> None:
    seen: list[str] = []

    def accept(claims: Mapping[str, Any]) -> User | None:
        seen.append(claims["sub"])
        return User("local-bob", scopes=["mail"]) if claims.get("email") == "bob@corp.example" else None

    issuer = TrustedIssuer(
        issuer=IDP, jwks=KEYS, kind="enterprise", clients=["agent"], accept=accept, subjects=["bob", "eve"]
    )
    async with trusting(issuer) as program:
        said = await ask(program, jag(program, sub="bob", email="bob@corp.example"))
        assert (await program.claims(said.body["access_token"]))["sub"] == "local-bob"
        assert said.body["scope"] == "mail"
        assert (await ask(program, jag(program, sub="eve"))).error == "invalid_grant"
        assert (await ask(program, jag(program, sub="mallory"))).error == "invalid_grant"
        assert seen == ["bob", "eve"]


async def test_keys_are_fetched_kept_and_fetched_again_within_bounds() -> None:
    now = [0.0]
    asked: list[str] = []
    answer: dict[str, Any] = {"keys": [KEY.as_dict(private=False), {"kty": "oct", "k": "x"}, "nonsense"]}

    class Counting(Fetcher):
        async def get_json(self, url: str) -> dict[str, Any]:
            asked.append(url)
            if not answer:
                raise FetchFailed("down")
            return answer

    keys = KeySets(Counting(), clock=lambda: now[0])
    uri = "https://idp.example/keys"
    assert [key.id for key in await keys.find(None, uri, "one")] == ["one"]
    assert await keys.find(None, uri, None)
    assert asked == [uri]
    assert not await keys.find(None, uri, "two"), "an unknown key, but it was just fetched"
    assert len(asked) == 1
    now[0] += 31
    assert not await keys.find(None, uri, "two")
    assert not await keys.find(None, uri, "three")
    assert len(asked) == 2, "not more often than every half a minute, whatever tokens come"
    now[0] += 301
    answer = {}
    with pytest.raises(AssertionInvalid, match="fetched"):
        await keys.find(None, uri, "one")


@pytest.mark.parametrize(
    "settings", [{"issuer": ""}, {"clients": []}, {"jwks": None}, {"jwks_uri": "https://idp.example/keys"}]
)
def test_a_trusted_issuer_is_described_whole(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="issuer"):
        TrustedIssuer(**{"issuer": IDP, "clients": ["agent"], "jwks": KEYS, **settings})
