"""Dynamic registration: what is kept of what strangers say, and how much."""

from __future__ import annotations

from typing import Any

import pytest
from authority_calls import CALLBACK, Calls, Clock, basic, calls

from dovetail_authserver import Bounds, Lifetimes

ASKED: dict[str, Any] = {
    "client_name": "A client",
    "redirect_uris": [CALLBACK],
    "token_endpoint_auth_method": "none",
}


async def register(program: Calls, headers: dict[str, str] | None = None, **changed: Any) -> Any:
    asked = {name: value for name, value in {**ASKED, **changed}.items() if value is not None}
    return await program.send("POST", "/register", json=asked, headers=headers or {})


@pytest.mark.requirement("R2503-AUTH-002", "R2503-AUTH-011")
async def test_a_registration_is_said_back(program: Calls) -> None:
    said = await register(
        program,
        grant_types=["authorization_code", "refresh_token", "client_credentials", "implicit"],
        scope="files",
        contacts=["nobody@example.com"],
        logo_uri="https://app.example/logo.svg",
        something_new={"nested": True},
    )
    assert said.status == 201
    assert said.headers["cache-control"] == "no-store"
    assert set(said.body) == {
        "client_id",
        "client_id_issued_at",
        "client_name",
        "redirect_uris",
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "application_type",
        "scope",
    }
    assert said.body["grant_types"] == ["authorization_code", "refresh_token"], (
        "what was granted, not what was asked"
    )
    assert said.body["application_type"] == "native"


async def test_a_secret_is_said_once_and_works() -> None:
    async with calls() as program:
        for method, way in (
            (None, "basic"),
            ("client_secret_basic", "basic"),
            ("client_secret_post", "post"),
        ):
            made = (await register(program, token_endpoint_auth_method=method)).body
            id, secret = made["client_id"], made["client_secret"]
            assert made["client_secret_expires_at"] == 0
            assert len(secret) >= 43
            code = await program.code(client_id=id)
            said = await program.exchange(
                code,
                headers=basic(id, secret) if way == "basic" else {},
                client_id=id,
                client_secret=secret if way == "post" else None,
            )
            assert said.status == 200, said.text
            code = await program.code(client_id=id)
            assert (await program.exchange(code, client_id=id)).error == "invalid_client"
            code = await program.code(client_id=id)
            other = {} if way == "basic" else basic(id, secret)
            shown = secret if way == "basic" else None
            said = await program.exchange(code, headers=other, client_id=id, client_secret=shown)
            assert said.error == "invalid_client", "only in the way that it registered"


@pytest.mark.hostile
@pytest.mark.requirement("R2503-AUTH-021")
@pytest.mark.parametrize(
    "changed,error",
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://app.example/{n}" for n in range(17)]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK, "com.example:/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://localhost.evil.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#x"]}, "invalid_redirect_uri"),
        ({"application_type": "web"}, "invalid_redirect_uri"),
        ({"application_type": "web", "redirect_uris": ["https://localhost/cb"]}, "invalid_redirect_uri"),
        ({"application_type": "desktop"}, "invalid_client_metadata"),
        ({"redirect_uris": "http://127.0.0.1/cb"}, "invalid_client_metadata"),
        ({"redirect_uris": [7]}, "invalid_client_metadata"),
        ({"client_name": ["x"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}}, "invalid_client_metadata"),
        (
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": {"keys": []},
                "jwks_uri": "https://app.example/k",
            },
            "invalid_client_metadata",
        ),
        (
            {"jwks_uri": "file:///etc/passwd", "token_endpoint_auth_method": "private_key_jwt"},
            "invalid_client_metadata",
        ),
        ({"scope": "unknown"}, "invalid_scope"),
        ({"client_name": "x" * 20_000}, "invalid_client_metadata"),
    ],
)
async def test_what_can_not_be_registered(changed: dict[str, Any], error: str) -> None:
    from dovetail.stores import MemoryStore

    store = MemoryStore()
    async with calls(store=store) as program:
        said = await register(program, **changed)
        assert (said.status, said.error) == (413 if "x" * 20_000 in changed.values() else 400, error)
        assert not [key async for key in store.kv.scan("authserver/client/")], "and nothing of it is kept"


@pytest.mark.hostile
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":1,"a":2}', b"\xff", b"[" * 10_000])
async def test_bodies_that_are_no_object(program: Calls, body: bytes) -> None:
    said = await program.send("POST", "/register", data=body, headers={"content-type": "application/json"})
    assert (said.status, said.error) == (400, "invalid_client_metadata")
    said = await program.send("POST", "/register", data=b"{}", headers={"content-type": "text/plain"})
    assert (said.status, said.error) == (400, "invalid_client_metadata")


async def test_application_types(program: Calls) -> None:
    web: dict[str, Any] = {"redirect_uris": ["https://app.example/cb"]}
    assert (await register(program, **web)).body["application_type"] == "web"
    assert (await register(program, application_type="native", **web)).body["application_type"] == "native"
    assert (await register(program, application_type="native")).status == 201
    assert (await register(program)).body["application_type"] == "native"


async def test_an_initial_access_token_may_be_required() -> None:
    token = "an-initial-access-token"
    async with calls(registration=["another-token-of-16", token]) as program:
        for shown in ("", "Bearer wrong", f"Basic {token}", token):
            headers = {"authorization": shown}
            said = await register(program, headers)
            assert (said.status, said.error) == (401, "invalid_token")
            assert said.headers["www-authenticate"].startswith("Bearer ")
        assert (await register(program, {"authorization": f"Bearer {token}"})).status == 201


async def test_registrations_are_bounded_and_forgotten() -> None:
    clock = Clock()
    lifetimes = Lifetimes(unused_client=1000, idle_client=5000)
    async with calls(clock=clock, bounds=Bounds(clients=3), lifetimes=lifetimes) as program:
        ids = [(await register(program)).body["client_id"] for _ in range(3)]
        assert len(set(ids)) == 3
        full = await register(program)
        assert (full.status, full.error) == (503, "temporarily_unavailable")
        assert int(full.headers["retry-after"]) > 0
        # The one that is used stays, the others are forgotten.
        code = await program.code(client_id=ids[0])
        assert (await program.exchange(code, client_id=ids[0])).status == 200
        clock.now += 1001
        assert (await register(program)).status == 201
        assert (await program.get(program.authorize_url(client_id=ids[1]))).status == 400
        assert (await program.get(program.authorize_url(client_id=ids[0]))).status == 200
        clock.now += 5001
        assert (await program.get(program.authorize_url(client_id=ids[0]))).status == 400


async def test_one_address_registers_so_many(program: Calls) -> None:
    said = [(await register(program)).status for _ in range(32)]
    assert said == [201] * 30 + [503] * 2


async def test_a_registered_client_may_demand_bound_tokens(program: Calls) -> None:
    id = (await register(program, dpop_bound_access_tokens=True)).body["client_id"]
    code = await program.code(client_id=id)
    assert (await program.exchange(code, client_id=id)).error == "invalid_dpop_proof"
