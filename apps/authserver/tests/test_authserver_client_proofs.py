"""How clients prove who they are: secrets in two places, signed statements, and nothing; each only as it should."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from authority_calls import PRIVATE, PUBLIC, SECRET, SERVER, Calls, Clock, basic, calls
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from dovetail_authserver import Bounds, RegisteredClient

KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
OTHER_KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
STATEMENT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SIGNER = RegisteredClient(
    id="signer", jwks={"keys": [KEY.as_dict(private=False)]}, grants=["client_credentials"], scopes=["files"]
)
ODD = RegisteredClient(
    id="odd:%/ é".replace("é", "e"), secret="s: %&+ecret-é-☃-and more", grants=["client_credentials"]
)
OWN = {"grant_type": "client_credentials"}


def statement(
    program: Calls, key: Any = KEY, header: dict[str, Any] | None = None, **changed: Any
) -> dict[str, str]:
    """A form with a client's signed statement; None leaves a claim out."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "signer",
        "sub": "signer",
        "aud": program.url,
        "iat": now,
        "exp": now + 60,
        "jti": f"{time.perf_counter_ns()}",
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    algorithm = (header or {}).get("alg", "ES256")
    signed = jwt.encode({"alg": algorithm, "kid": "one", **(header or {})}, kept, key, algorithms=[algorithm])
    return {**OWN, "client_assertion_type": STATEMENT, "client_assertion": signed}


@pytest.mark.requirement("RXAUT-AUTH-034", "RXAUT-AUTH-035", "R2511-AUTH-005", "R2607-AUTH-043")
async def test_each_way_that_the_metadata_lists_works() -> None:
    async with calls(clients=[PUBLIC, PRIVATE, SERVER, SIGNER]) as program:
        about = (await program.get("/.well-known/oauth-authorization-server")).body
        assert set(about["token_endpoint_auth_methods_supported"]) == {
            "none",
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        }
        assert "ES256" in about["token_endpoint_auth_signing_alg_values_supported"]
        assert "none" not in about["token_endpoint_auth_signing_alg_values_supported"]
        assert "client_credentials" in about["grant_types_supported"]
        said = await program.post("/token", OWN, headers=basic("private", SECRET))
        assert said.status == 200, said.text
        assert (await program.claims(said.body["access_token"]))["sub"] == "private"
        assert "refresh_token" not in said.body
        form = {**OWN, "client_id": "private", "client_secret": SECRET}
        assert (await program.post("/token", form)).status == 200
        said = await program.post("/token", statement(program) | {"scope": "files"})
        assert said.status == 200, said.text
        assert said.body["scope"] == "files"
        assert (await program.post("/token", statement(program, aud=f"{program.url}/token"))).status == 200
        assert (await program.post("/token", statement(program, aud=[program.url]))).status == 200


@pytest.mark.hostile
@pytest.mark.parametrize(
    "form,headers,error",
    [
        ({}, {}, "invalid_client"),
        ({"client_id": "private"}, {}, "invalid_client"),
        ({"client_id": "private", "client_secret": "wrong-secret-here"}, {}, "invalid_client"),
        ({"client_id": "private", "client_secret": SECRET + " "}, {}, "invalid_client"),
        ({"client_id": "private", "client_secret": ""}, {}, "invalid_client"),
        ({"client_id": "nobody", "client_secret": SECRET}, {}, "invalid_client"),
        ({"client_secret": SECRET}, {}, "invalid_client"),
        ({"client_id": "public", "client_secret": SECRET}, {}, "invalid_client"),
        ({"client_id": "signer", "client_secret": SECRET}, {}, "invalid_client"),
        ({"client_id": "signer"}, {}, "invalid_client"),
        ({}, basic("private", "wrong-secret-here"), "invalid_client"),
        ({}, basic("nobody", SECRET), "invalid_client"),
        ({}, basic("", ""), "invalid_client"),
        ({"client_id": "public"}, basic("private", SECRET), "invalid_client"),
        ({"client_secret": SECRET}, basic("private", SECRET), "invalid_request"),
        ({"client_assertion": "x"}, basic("private", SECRET), "invalid_request"),
        ({}, {"authorization": "Basic !!!"}, "invalid_client"),
        ({}, {"authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, "invalid_client"),
        ({}, {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}, "invalid_client"),
        ({}, {"authorization": "Bearer x"}, "invalid_client"),
        ({}, {"authorization": ""}, "invalid_client"),
        ({"client_assertion": "x"}, {}, "invalid_request"),
        ({"client_assertion_type": STATEMENT}, {}, "invalid_request"),
        ({"client_assertion_type": STATEMENT, "client_assertion": "x.y.z"}, {}, "invalid_client"),
    ],
)
async def test_what_proves_nothing(form: dict[str, str], headers: dict[str, str], error: str) -> None:
    async with calls(clients=[PUBLIC, PRIVATE, SERVER, SIGNER]) as program:
        said = await program.post("/token", OWN | form, headers=headers)
        assert said.error == error
        assert said.status == (400 if error == "invalid_request" else 401)
        assert said.headers["cache-control"] == "no-store"
        if error == "invalid_client" and headers:
            assert said.headers["www-authenticate"].startswith("Basic ")


async def test_unknown_and_wrong_read_alike(program: Calls) -> None:
    wrong = await program.post("/token", OWN, headers=basic("private", "wrong-secret-here"))
    unknown = await program.post("/token", OWN, headers=basic("nobody", "wrong-secret-here"))
    assert (wrong.status, wrong.text, wrong.headers.keys()) == (
        unknown.status,
        unknown.text,
        unknown.headers.keys(),
    )


async def test_both_halves_of_basic_are_form_encoded() -> None:
    async with calls(clients=[ODD]) as program:
        assert (await program.post("/token", OWN, headers=basic(ODD.id, ODD.secret))).status == 200


@pytest.mark.parametrize("secret", ["random+bytes/in=base64", "50% of them, or more%zz", "%ff and some more"])
async def test_a_secret_that_was_not_form_encoded_is_known_too(secret: str) -> None:
    """As the TypeScript SDK sends it; a wrong one is not better known for that."""
    client = RegisteredClient(id="plain", secret=secret, grants=["client_credentials"])
    async with calls(clients=[client]) as program:
        for shown, status in ((secret, 200), (secret + "+", 401), ("plain", 401)):
            pair = base64.b64encode(f"plain:{shown}".encode()).decode()
            said = await program.post("/token", OWN, headers={"authorization": f"Basic {pair}"})
            assert said.status == status
            said = await program.post("/token", OWN, headers=basic("plain", shown))
            assert said.status == status


@pytest.mark.hostile
@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "private"},
        {"sub": "private"},
        {"iss": "private", "sub": "private"},
        {"iss": None},
        {"sub": None},
        {"sub": ["signer"]},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": "https://mcp.example/mcp"},
        {"exp": None},
        {"exp": "soon"},
        {"exp": -120.0},
        {"exp": 8000.0},
        {"nbf": 300.0},
        {"iat": 300.0},
        {"iat": None},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 600},
    ],
)
async def test_a_statement_has_to_be_right_in_everything(changed: dict[str, Any]) -> None:
    """A fraction stands for so many seconds from now: the time when this runs, not when it was collected."""
    now = int(time.time())
    changed = {
        name: now + int(value) if isinstance(value, float) else value for name, value in changed.items()
    }
    async with calls(clients=[PUBLIC, PRIVATE, SIGNER]) as program:
        said = await program.post("/token", statement(program, **changed))
        assert (said.status, said.error) == (401, "invalid_client")


@pytest.mark.hostile
async def test_a_statement_for_two_servers_is_for_none() -> None:
    async with calls(clients=[SIGNER]) as program:
        said = await program.post("/token", statement(program, aud=[program.url, "https://other.example"]))
        assert said.error == "invalid_client"


@pytest.mark.hostile
async def test_keys_and_algorithms_of_others_are_not_taken() -> None:
    async with calls(clients=[SIGNER]) as program:
        own = KEY.as_dict(private=False)
        tries = [
            statement(program, OTHER_KEY),
            statement(program, OTHER_KEY, {"jwk": OTHER_KEY.as_dict(private=False)}),
            statement(program, KEY, {"kid": "two"}),
            statement(program, KEY, {"typ": "at+jwt"}),
            statement(program, RSAKey.generate_key(2048), {"alg": "RS256"}),
            # The public key as a shared secret: the confusion of algorithms.
            statement(program, OctKey.import_key(str(own["x"]) + str(own["y"])), {"alg": "HS256"}),
        ]
        unsigned = statement(program)
        head, body, _ = unsigned["client_assertion"].split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        tries += [
            unsigned | {"client_assertion": f"{none}.{body}."},
            unsigned | {"client_assertion": f"{head}.{body}."},
        ]
        for form in tries:
            assert (await program.post("/token", form)).error == "invalid_client"


async def test_v47_a_statement_counts_once() -> None:
    async with calls(clients=[SIGNER]) as program:
        form = statement(program)
        assert (await program.post("/token", form)).status == 200
        assert (await program.post("/token", form)).error == "invalid_client"


async def test_v47_a_statement_for_one_server_is_refused_by_another() -> None:
    async with calls(clients=[SIGNER]) as staging, calls(clients=[SIGNER]) as production:
        form = statement(staging)
        assert (await production.post("/token", form)).error == "invalid_client"
        assert (await staging.post("/token", form)).status == 200


async def test_failures_are_limited_and_forgiven() -> None:
    clock = Clock()
    async with calls(bounds=Bounds(failures=5), clock=clock) as program:
        wrong, right = basic("private", "wrong-secret-here"), basic("private", SECRET)
        said = [(await program.post("/token", OWN, headers=wrong)).status for _ in range(8)]
        assert said == [401] * 6 + [429] * 2
        limited = await program.post("/token", OWN, headers=right)
        assert limited.status == 429
        assert int(limited.headers["retry-after"]) >= 1
        clock.now += 10
        assert (await program.post("/token", OWN, headers=right)).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"id": ""},
        {"id": "x" * 257},
        {"id": "é"},
        {"id": "x", "secret": "short"},
        {"id": "x", "secret": SECRET, "jwks": {"keys": []}, "jwks_uri": "https://x.example"},
        {"id": "x", "redirect_uris": ["http://app.example/cb"]},
        {"id": "x", "grants": ["password"]},
        {"id": "x", "grants": ["client_credentials"]},
        {"id": "x", "introspects": ["https://mcp.example/mcp"]},
    ],
)
def test_a_client_that_would_not_be_safe_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="client"):
        RegisteredClient(**settings)


def test_no_repr_shows_a_secret() -> None:
    assert SECRET not in repr(PRIVATE)
