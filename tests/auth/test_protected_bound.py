"""Tokens that are bound to a key, over HTTP: accepted with a proof, required if so set, and never taken for less."""

from __future__ import annotations

from typing import Any

import pytest
from guarded import RESOURCE, Answer, Issuer, Wire, notes, protected

from dovetail.auth import Protected, jwt
from dovetail.auth.challenges import parse_challenges
from dovetail.auth.dpop import DPoPKey
from dovetail.testing.serving import served

KEY = DPoPKey.generate()


def bound(issuer: Issuer, key: DPoPKey = KEY, **changes: Any) -> str:
    """A token that is bound to a key."""
    return issuer.token(cnf={"jkt": key.thumbprint}, **changes)


async def shown(wire: Wire, token: str, *proofs: str, scheme: str = "DPoP") -> Answer:
    """A call with a token and proofs."""
    return await wire.call(token, scheme=scheme, headers=[("dpop", each) for each in proofs])


def told(answer: Answer) -> tuple[int, str, str]:
    """Status, scheme and error."""
    (challenge,) = parse_challenges(answer.values("www-authenticate"))
    return answer.status, challenge.scheme, challenge.parameters.get("error", "")


async def test_a_bound_token_with_its_proof():
    async with protected() as (issuer, wire):
        token = bound(issuer)
        for scheme in ("DPoP", "dpop", "DPOP"):
            made = KEY.proof("POST", RESOURCE, access_token=token)
            assert (await shown(wire, token, made, scheme=scheme)).status == 200
        assert told(await shown(wire, token, made)) == (401, "dpop", "invalid_dpop_proof")  # used before
        unbound = issuer.token()
        assert (await wire.call(unbound)).status == 200
        made = KEY.proof("POST", RESOURCE, access_token=unbound)
        assert told(await shown(wire, unbound, made)) == (401, "dpop", "invalid_token")


@pytest.mark.hostile
async def test_a_bound_token_without_its_proof_is_worth_nothing():
    async with protected() as (issuer, wire):
        token, thief = bound(issuer), DPoPKey.generate()
        good = KEY.proof("POST", RESOURCE, access_token=token)
        assert told(await shown(wire, token, scheme="Bearer")) == (401, "bearer", "invalid_token")
        assert told(await shown(wire, token, good, scheme="Bearer")) == (401, "bearer", "invalid_token")
        for proofs in (
            (),
            ("",),
            ("x",),
            (good, KEY.proof("POST", RESOURCE, access_token=token)),
            (thief.proof("POST", RESOURCE, access_token=token),),
            (KEY.proof("GET", RESOURCE, access_token=token),),
            (KEY.proof("POST", "https://other.example/mcp", access_token=token),),
            (
                KEY.proof("POST", f"http://localhost:{wire.port}/mcp", access_token=token),
            ),  # not its public name
            (KEY.proof("POST", RESOURCE),),
            (KEY.proof("POST", RESOURCE, access_token="other"),),
        ):
            answer = await shown(wire, token, *proofs)
            assert told(answer) == (401, "dpop", "invalid_dpop_proof")
            (challenge,) = parse_challenges(answer.values("www-authenticate"))
            assert "ES256" in challenge.parameters["algs"].split()
            assert challenge.parameters["resource_metadata"]
        assert (await shown(wire, token, good)).status == 200  # none of them used it up
        both = issuer.token(
            cnf={"jkt": KEY.thumbprint, "x5t#S256": "A" * 43}
        )  # of the two only one can be checked
        made = KEY.proof("POST", RESOURCE, access_token=both)
        assert told(await shown(wire, both, made)) == (401, "dpop", "invalid_token")
        stolen = issuer.token(cnf={"jkt": thief.thumbprint})
        made = KEY.proof("POST", RESOURCE, access_token=stolen)
        assert told(await shown(wire, stolen, made)) == (401, "dpop", "invalid_dpop_proof")


async def test_where_it_is_required_bearer_tokens_are_not_taken():
    async with protected(dpop="required") as (issuer, wire):
        assert told(await wire.call(None)) == (401, "dpop", "")
        assert told(await wire.call(issuer.token())) == (401, "dpop", "invalid_token")
        document = await wire.send("GET", "/.well-known/oauth-protected-resource")
        assert document.json["dpop_bound_access_tokens_required"] is True
        assert "ES256" in document.json["dpop_signing_alg_values_supported"]
        token = bound(issuer)
        assert (await shown(wire, token, KEY.proof("POST", RESOURCE, access_token=token))).status == 200
    async with protected(dpop="refused") as (issuer, wire):
        token = bound(issuer)
        made = KEY.proof("POST", RESOURCE, access_token=token)
        assert told(await shown(wire, token, made)) == (401, "dpop", "invalid_token")
        assert told(await shown(wire, token, scheme="Bearer")) == (401, "bearer", "invalid_token")
        assert (await wire.call(issuer.token())).status == 200
        document = await wire.send("GET", "/.well-known/oauth-protected-resource")
        assert "dpop_signing_alg_values_supported" not in document.json


async def test_a_nonce_is_given_with_the_refusal():
    async with protected(dpop_nonces=True) as (issuer, wire):
        token = bound(issuer)
        answer = await shown(wire, token, KEY.proof("POST", RESOURCE, access_token=token))
        assert told(answer) == (401, "dpop", "use_dpop_nonce")
        (nonce,) = answer.values("dpop-nonce")
        for _ in range(2):
            made = KEY.proof("POST", RESOURCE, access_token=token, nonce=nonce)
            assert (await shown(wire, token, made)).status == 200


async def test_a_nonce_of_one_app_is_good_at_all_that_share_its_keys(monkeypatch: pytest.MonkeyPatch):
    """Two apps of the same keys, each with a store of its own, and one whose newest key is another since today."""
    old, new = "k" * 40, "n" * 40
    monkeypatch.setenv("DOVETAIL_KEYS", old)
    async with protected(dpop_nonces=True) as (issuer, wire):
        token = bound(issuer)

        async def call(wire: Wire, nonce: str | None = None) -> Answer:
            return await shown(wire, token, KEY.proof("POST", RESOURCE, access_token=token, nonce=nonce))

        (nonce,) = (await call(wire)).values("dpop-nonce")
        for keys in (old, f"{new},{old}"):
            monkeypatch.setenv("DOVETAIL_KEYS", keys)
            auth = Protected(RESOURCE, jwt(issuer.url), dpop_nonces=True)
            async with served(notes(auth).asgi()) as url:
                assert (await call(Wire(url), nonce)).status == 200
        monkeypatch.setenv("DOVETAIL_KEYS", new)
        auth = Protected(RESOURCE, jwt(issuer.url), dpop_nonces=True)
        async with served(notes(auth).asgi()) as url:
            assert told(await call(Wire(url), nonce)) == (401, "dpop", "use_dpop_nonce")


async def test_lacking_scopes_are_told_under_the_scheme_that_was_used():
    async with protected() as (issuer, wire):
        token = bound(issuer)
        made = KEY.proof("POST", RESOURCE, access_token=token)
        answer = await wire.call(token, params={"name": "write"}, scheme="DPoP", headers=[("dpop", made)])
        assert told(answer) == (403, "dpop", "insufficient_scope")


async def test_every_request_of_a_session_needs_a_proof_of_its_own():
    async with protected() as (issuer, wire):
        token = bound(issuer)
        opening = KEY.proof("POST", RESOURCE, access_token=token)
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        import json

        from guarded import READS_BOTH

        headers = [*READS_BOTH, ("authorization", f"DPoP {token}")]
        answer = await wire.send(headers=[*headers, ("dpop", opening)], body=json.dumps(body).encode())
        (session,) = answer.values("mcp-session-id")
        headers.append(("mcp-session-id", session))
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        assert (await wire.send(headers=[*headers, ("dpop", opening)], body=ping)).status == 401
        fresh = KEY.proof("POST", RESOURCE, access_token=token)
        assert (await wire.send(headers=[*headers, ("dpop", fresh)], body=ping)).status == 200
        ending = KEY.proof("DELETE", RESOURCE, access_token=token)
        assert (await wire.send("DELETE", headers=[*headers, ("dpop", ending)])).status == 204
