"""Getting in without a person: client credentials, the company's identity provider, the platform's token; and DPoP."""

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from login_stage import SERVER_PATH, Seen, Stage, World, server_metadata

from dovetail.auth.login import (
    AuthorizationError,
    ClientCredentials,
    CredentialsUnbound,
    EnterpriseManaged,
    MemoryTokens,
    SigningKey,
    TokenRefused,
    WorkloadIdentity,
)
from dovetail.client import Client
from dovetail.client.options import capabilities_of, settle
from dovetail.protocol.errors import DovetailError

ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def header_of(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))


@pytest.mark.requirement("RXAUT-AUTH-032")
@pytest.mark.parametrize("kind", ["pem", "jwk", "rsa"])
async def test_R95_client_credentials_with_a_key(kind: str) -> None:
    made: Any = RSAKey.generate_key(2048) if kind == "rsa" else ECKey.generate_key("P-256")
    given = made.as_dict(private=True) if kind == "jwk" else made.as_pem(private=True)
    async with World() as world:
        world.metadata["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]
        auth = ClientCredentials("me", issuer=world.issuer.url, private_key=given, scopes=["read"])
        assert await world.use(auth) == "done"
        form = world.issuer.at("/token")[0].form
        assert (form["grant_type"], form["resource"], form["scope"]) == (
            "client_credentials",
            world.resource,
            "read",
        )
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        algorithm = "RS256" if kind == "rsa" else "ES256"
        claims = jwt.decode(form["client_assertion"], made, algorithms=[algorithm]).claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", world.issuer.url)
        assert 0 < claims["exp"] - time.time() <= 61
        assert claims["jti"]
        assert "client_secret" not in form


@pytest.mark.requirement("RXAUT-AUTH-032")
async def test_R95_client_credentials_with_a_secret() -> None:
    async with World() as world:
        auth = ClientCredentials("me", issuer=world.issuer.url, client_secret="s3cret")
        assert await world.use(auth) == "done"
        seen = world.issuer.at("/token")[0]
        assert base64.b64decode(seen.headers["authorization"].split()[1]) == b"me:s3cret"
        assert seen.form == {"grant_type": "client_credentials", "resource": world.resource}
        assert "s3cret" not in repr(auth)


def test_there_is_exactly_one_proof() -> None:
    with pytest.raises(ValueError, match="give one"):
        ClientCredentials("me", issuer="https://a.example")
    with pytest.raises(ValueError, match="private key"):
        SigningKey("-----BEGIN NONSENSE-----")
    public = ECKey.generate_key("P-256").as_dict(private=False)
    with pytest.raises(ValueError, match="private key"):
        SigningKey(public)
    with pytest.raises(ValueError, match="assertions are signed with"):
        SigningKey(ECKey.generate_key("P-256").as_pem(private=True), "HS256")


MACHINES = {
    "secret": lambda issuer: ClientCredentials("me", issuer=issuer, client_secret="s3cret"),
    "key": lambda issuer: ClientCredentials(
        "me", issuer=issuer, private_key=ECKey.generate_key("P-256").as_pem(private=True)
    ),
    "workload": lambda issuer: WorkloadIdentity("me", issuer=issuer, assertion="s3cret"),
    "enterprise": lambda issuer: EnterpriseManaged(
        "me",
        issuer=issuer,
        client_secret="s3cret",
        idp_issuer=issuer,
        idp_client_id="idp",
        subject_token="s3cret",
    ),
}


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-036", "R2607-AUTH-037")
@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("announced", [True, False])
async def test_V21_V22_V23_a_malicious_server_gets_nothing(kind: str, announced: bool) -> None:
    """Neither by naming its own authorization server, nor by having no metadata at all."""
    async with World() as world, Stage() as evil:
        evil.routes = {SERVER_PATH: server_metadata(evil.url), "/token": (200, {}, {})}
        if announced:
            world.resource_metadata["authorization_servers"] = [evil.url]
        else:
            world.mcp.routes = {"/mcp": world.mcp.routes["/mcp"], SERVER_PATH: server_metadata(evil.url)}
            world.token_answer = lambda seen: world.issue("")
        del world.metadata["token_endpoint_auth_methods_supported"]
        auth = MACHINES[kind](world.issuer.url)
        if announced:
            with pytest.raises(CredentialsUnbound):
                await world.use(auth)
            assert evil.seen == world.issuer.seen == []
        elif kind != "enterprise":
            assert await world.use(auth) == "done"
        assert evil.seen == []


async def test_a_machine_renews_by_itself_and_steps_up() -> None:
    async with World() as world:
        world.needed = {"write"}
        auth = ClientCredentials("me", issuer=world.issuer.url, client_secret="x", tokens=MemoryTokens())
        credentials = world.credentials(auth)
        async with world.client(credentials) as client:
            assert (await client.call_tool("x")).text == "done"
            first = await credentials.headers("POST", world.resource)
            credentials._clock = lambda: time.time() + 3599
            assert await credentials.headers("POST", world.resource) != first
        assert world.grants() == ["client_credentials"] * 3
        assert [seen.form.get("scope") for seen in world.issuer.at("/token")] == [None, "write", "write"]
        await credentials.close()


@pytest.mark.requirement(
    "RXAUT-AUTH-001", "RXAUT-AUTH-002", "RXAUT-AUTH-003", "RXAUT-AUTH-004", "RXAUT-AUTH-006"
)
@pytest.mark.requirement("RXAUT-AUTH-007", "RXAUT-AUTH-025", "RXAUT-AUTH-026")
@pytest.mark.parametrize("lookup", [True, False])
async def test_R94_enterprise_managed(lookup: bool) -> None:
    async with World() as world, Stage() as idp:
        idp.routes = {
            SERVER_PATH: server_metadata(idp.url),
            "/token": {
                "access_token": "the-jag",
                "issued_token_type": ID_JAG,
                "token_type": "N_A",
                "expires_in": 300,
            },
        }
        auth = EnterpriseManaged(
            "me", issuer=world.issuer.url, client_secret="s3cret", idp_issuer=idp.url, idp_client_id="idp-me",
            idp_token_endpoint=None if lookup else f"{idp.url}/token", subject_token=lambda: "the-id-token",
        )  # fmt: skip
        assert await world.use(auth) == "done"
        assert idp.at("/token")[0].form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": ID_JAG,
            "audience": world.issuer.url,
            "resource": world.resource,
            "subject_token": "the-id-token",
            "subject_token_type": ID_TOKEN,
            "client_id": "idp-me",
        }
        token = world.issuer.at("/token")[0]
        assert token.form == {"grant_type": JWT_BEARER, "assertion": "the-jag", "resource": world.resource}
        assert "authorization" in token.headers
        for stage, foreign in ((idp, "s3cret"), (world.issuer, "the-id-token"), (world.mcp, "the-jag")):
            assert not [seen for seen in stage.seen if foreign in f"{seen.body!r} {seen.headers}"]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer",
    [{"access_token": "x", "token_type": "N_A"},
     {"access_token": "x", "issued_token_type": ID_TOKEN, "token_type": "N_A"},
     {}, (400, {}, {"error": "invalid_grant"})],
)  # fmt: skip
async def test_R94_what_is_no_assertion_goes_no_further(answer: Any) -> None:
    async with World() as world, Stage() as idp:
        idp.routes["/token"] = answer
        auth = EnterpriseManaged(
            "me", issuer=world.issuer.url, client_secret="x", idp_issuer=idp.url, idp_client_id="i",
            idp_token_endpoint=f"{idp.url}/token", subject_token="t",
        )  # fmt: skip
        with pytest.raises(TokenRefused):
            await world.use(auth)
        assert world.issuer.at("/token") == []


def test_the_subject_is_an_identity_token_or_an_assertion() -> None:
    auth = EnterpriseManaged(
        "me", issuer="https://a.example", client_secret="x", idp_issuer="https://b.example", idp_client_id="i",
        subject_token="t", subject_token_type="urn:ietf:params:oauth:token-type:access_token",
    )  # fmt: skip
    with pytest.raises(ValueError, match="subject_token_type"):
        auth.client_auth("https://server.example/mcp")


async def test_workload_identity() -> None:
    async with World() as world:

        async def token() -> str:
            return "platform-token\n"

        auth = WorkloadIdentity("me", issuer=world.issuer.url, assertion=token, scopes="read write")
        assert await world.use(auth) == "done"
        assert world.issuer.at("/token")[0].form == {
            "grant_type": JWT_BEARER,
            "assertion": "platform-token",
            "client_id": "me",
            "resource": world.resource,
            "scope": "read write",
        }


@pytest.mark.hostile
@pytest.mark.parametrize("error", ["invalid_grant", "invalid_scope", "unauthorized_client"])
async def test_a_machine_that_is_refused_tries_nothing_else(error: str) -> None:
    async with World() as world:
        world.token_answer = lambda seen: (400, {}, {"error": error})
        for _ in range(2):
            with pytest.raises(TokenRefused, match=error):
                await world.use(WorkloadIdentity("me", issuer=world.issuer.url, assertion="x"))
        assert world.grants() == [JWT_BEARER] * 2
        for nothing in ("", "  ", None, 5):
            auth = WorkloadIdentity("me", issuer=world.issuer.url, assertion=lambda value=nothing: value)
            with pytest.raises(AuthorizationError, match="workload's token"):
                await world.use(auth)


@pytest.mark.parametrize(
    "auth,identifiers",
    [
        (MACHINES["secret"]("https://a.example"), ["oauth-client-credentials"]),
        (MACHINES["enterprise"]("https://a.example"), ["enterprise-managed-authorization"]),
        (MACHINES["workload"]("https://a.example"), ["auth/wif"]),
        (World().oauth(dpop=True), ["auth/dpop"]),
        (World().oauth(), []),
        (ClientCredentials("m", issuer="https://a.example", client_secret="x", dpop=True),
         ["oauth-client-credentials", "auth/dpop"]),
    ],
)  # fmt: skip
def test_what_is_an_extension_is_declared(auth: Any, identifiers: list[str]) -> None:
    declared = capabilities_of(
        settle({"auth": auth, "extensions": {"com.example/mine": {"a": 1}}})
    ).extensions
    mine = {f"io.modelcontextprotocol/{each}": {} for each in identifiers}
    assert declared == {**mine, "com.example/mine": {"a": 1}}


# Tokens bound to a key


class Bound:
    """A world whose tokens are bound to a key, and whose servers may want nonces."""

    def __init__(self, world: World, *, nonces: bool = False) -> None:
        self.world = world
        self.nonces = nonces
        self.proofs: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        world.token_answer = self.token
        self.mcp = world.mcp.routes["/mcp"]
        world.mcp.routes["/mcp"] = self.call

    def proof(self, where: str, seen: Seen) -> dict[str, Any]:
        text = seen.headers["dpop"]
        header = header_of(text)
        key = ECKey.import_key(header["jwk"])
        jws.deserialize_compact(text, key, algorithms=["ES256"])
        claims = claims_of(text)
        self.proofs.append((where, header, claims))
        assert (header["typ"], claims["htm"]) == ("dpop+jwt", seen.method)
        assert "d" not in header["jwk"]
        return claims

    def token(self, seen: Seen) -> Any:
        claims = self.proof("token", seen)
        assert claims["htu"] == f"{self.world.issuer.url}/token"
        if self.nonces and claims.get("nonce") != "of-the-issuer":
            return 400, {"DPoP-Nonce": "of-the-issuer"}, {"error": "use_dpop_nonce"}
        return {**self.world.issue(""), "token_type": "DPoP"}

    def call(self, seen: Seen) -> Any:
        if "authorization" not in seen.headers:
            return 401, {"www-authenticate": 'DPoP algs="ES256"'}, None
        assert seen.headers["authorization"].startswith("DPoP ")
        claims = self.proof("call", seen)
        assert claims["htu"] == self.world.resource
        assert claims["ath"]
        if self.nonces and claims.get("nonce") != f"nonce-{self.rounds()}":
            return (
                401,
                {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": f"nonce-{self.rounds()}"},
                None,
            )
        return self.mcp(seen)

    def rounds(self) -> int:
        return sum(1 for where, _, _ in self.proofs if where == "call") // 4


@pytest.mark.parametrize("dpop", [True, None])
async def test_dpop_tokens_are_bound_and_each_request_has_its_own_proof(dpop: bool | None) -> None:
    """Asked for, or because the server takes nothing else."""
    async with World() as world:
        bound = Bound(world)
        tokens = MemoryTokens()
        async with world.client(world.oauth(dpop=dpop, tokens=tokens)) as client:
            for _ in range(3):
                await client.call_tool("x")
        ids = [claims["jti"] for _, _, claims in bound.proofs]
        assert len(ids) == len(set(ids)) == 5
        assert len({json.dumps(header["jwk"]) for _, header, _ in bound.proofs}) == 1
        again = len(bound.proofs)
        assert await world.use(world.oauth(dpop=dpop, tokens=tokens)) == "done"
        assert bound.proofs[again][1]["jwk"] == bound.proofs[0][1]["jwk"]
        assert len(world.visits) == 1


async def test_dpop_nonces_of_both_servers_are_used_and_renewed() -> None:
    async with World() as world:
        bound = Bound(world, nonces=True)
        async with world.client(world.oauth(dpop=True)) as client:
            for _ in range(6):
                assert (await client.call_tool("x")).text == "done"
        assert [claims.get("nonce") for where, _, claims in bound.proofs if where == "token"] == [
            None,
            "of-the-issuer",
        ]
        assert len(world.visits) == 1


@pytest.mark.hostile
async def test_dpop_a_server_that_always_wants_a_nonce_ends_it() -> None:
    async with World() as world:
        bound = Bound(world)
        wants = {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "same"}
        world.mcp.routes["/mcp"] = lambda seen: (
            (401, wants, None) if "dpop" in seen.headers else (401, {"www-authenticate": "DPoP"}, None)
        )
        with pytest.raises(DovetailError):
            await world.use(world.oauth(dpop=True))
        assert len([seen for seen in world.mcp.at("/mcp") if "dpop" in seen.headers]) == 2
        assert len(bound.proofs) == 1


@pytest.mark.hostile
async def test_dpop_is_refused_where_the_caller_said_no() -> None:
    async with World() as world:
        world.resource_metadata["dpop_bound_access_tokens_required"] = True
        world.token_answer = lambda seen: {**world.issue(""), "token_type": "DPoP"}
        with pytest.raises(TokenRefused, match="type"):
            await world.use(world.oauth(dpop=False))
        assert "dpop" not in world.issuer.at("/token")[0].headers


@pytest.mark.hostile
async def test_dpop_a_plain_token_in_place_of_a_bound_one_is_refused_where_binding_was_asked_for() -> None:
    async with World() as world:
        with pytest.raises(TokenRefused, match="not bound"):
            await world.use(world.oauth(dpop=True))


async def test_a_client_can_be_given_all_of_them() -> None:
    for make in MACHINES.values():
        client = Client("https://server.example/mcp", auth=make("https://a.example"))
        await client.close()
