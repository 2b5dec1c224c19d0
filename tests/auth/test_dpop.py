"""Proofs of possession: made, checked, and worth nothing the second time or anywhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest
from guarded import KEYS, b64, signed
from joserfc.jwk import ECKey

from dovetail.auth.dpop import DPoPKey, NonceRequired, ProofChecker, ProofInvalid
from dovetail.stores.memory import MemoryStore

URL = "https://notes.example.com/mcp"
KEY = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")


def ath(token: str) -> str:
    """The digest of a token, as a proof names it."""
    return b64(hashlib.sha256(token.encode()).digest())


def proof(key: Any = KEY, *, header: dict[str, Any] | None = None, alg: str = "ES256", **changes: Any) -> str:
    """A proof for `URL`, changed; a change of None leaves a member out."""
    claims = {
        "jti": b64(hashlib.sha256(str(time.perf_counter_ns()).encode()).digest()),
        "htm": "POST",
        "htu": URL,
    }
    claims = {**claims, "iat": int(time.time()), "ath": ath("token"), **changes}
    head = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False), **(header or {})}
    claims = {name: value for name, value in claims.items() if value is not None}
    head = {name: value for name, value in head.items() if value is not None}
    return signed(head, json.dumps(claims).encode(), key, alg)


async def check(
    text: str, checker: ProofChecker | None = None, *, url: str = URL, thumbprint: str | None = None
) -> str:
    """What a checker says of a proof of ``token`` for a POST."""
    return await (checker or ProofChecker(MemoryStore())).check(text, "POST", url, "token", thumbprint)


async def test_our_proofs_are_good_once():
    key = DPoPKey.generate()
    same = DPoPKey(key.export())
    assert (same.thumbprint, repr(key)) == (key.thumbprint, f"DPoPKey(thumbprint={key.thumbprint!r})")
    checker = ProofChecker(MemoryStore())
    made = same.proof("post", URL + "?page=1#x", access_token="token")
    assert await check(made, checker, thumbprint=key.thumbprint) == key.thumbprint
    with pytest.raises(ProofInvalid, match="used before"):
        await check(made, checker)
    with pytest.raises(ProofInvalid, match="another key"):
        await check(
            same.proof("POST", URL, access_token="token"), checker, thumbprint=DPoPKey.generate().thumbprint
        )


async def test_each_algorithm():
    for alg in ("ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "RS256"):
        assert await check(proof(KEYS[alg], alg=alg)) == KEYS[alg].thumbprint()
    with pytest.raises(ProofInvalid):
        await check(proof(), ProofChecker(MemoryStore(), algorithms=["RS256"]))


@pytest.mark.parametrize(
    "written",
    [
        URL,
        "HTTPS://Notes.Example.COM/mcp",
        "https://notes.example.com:443/mcp",
        "https://notes.example.com/%6dcp",
        URL + "?x=1",
        URL + "#x",
    ],
)
async def test_one_address_has_many_spellings(written):
    assert await check(proof(htu=written))
    assert await check(proof(htu=URL), url=written)


BAD: dict[str, Any] = {
    "another method": lambda: proof(htm="GET"),
    "the method in another case": lambda: proof(htm="post"),
    "no method": lambda: proof(htm=None),
    "another host": lambda: proof(htu="https://evil.example/mcp"),
    "another path": lambda: proof(htu=URL + "/x"),
    "a slash more": lambda: proof(htu=URL + "/"),
    "another case of the path": lambda: proof(htu=URL.replace("mcp", "MCP")),
    "an encoded slash": lambda: proof(htu="https://notes.example.com%2Fmcp"),
    "another scheme": lambda: proof(htu=URL.replace("https", "http")),
    "another port": lambda: proof(htu="https://notes.example.com:444/mcp"),
    "a user": lambda: proof(htu="https://notes.example.com@evil.example/mcp"),
    "no address": lambda: proof(htu=None),
    "an address that is a number": lambda: proof(htu=7),
    "too old": lambda: proof(iat=time.time() - 61),
    "too new": lambda: proof(iat=time.time() + 62),
    "no time": lambda: proof(iat=None),
    "time as text": lambda: proof(iat=str(int(time.time()))),
    "time as truth": lambda: proof(iat=True),
    "time in infinity": lambda: proof(iat=1e308),
    "time in more digits than a float has": lambda: proof(iat=10**400),
    "time in as many digits as are read": lambda: proof(iat=10**39),
    "another token": lambda: proof(ath=ath("other")),
    "no token": lambda: proof(ath=None),
    "the token itself": lambda: proof(ath="token"),
    "no id": lambda: proof(jti=None),
    "an empty id": lambda: proof(jti=""),
    "an id that is a number": lambda: proof(jti=7),
    "an id without end": lambda: proof(jti="x" * 2000),
    "another type": lambda: proof(header={"typ": "JWT"}),
    "no type": lambda: proof(header={"typ": None}),
    "no key": lambda: proof(header={"jwk": None}),
    "a key that is a text": lambda: proof(header={"jwk": "key"}),
    "the key of someone else": lambda: proof(header={"jwk": OTHER.as_dict(private=False)}),
    "a private key": lambda: proof(header={"jwk": KEY.as_dict(private=True)}),
    "a secret": lambda: _secret(),
    "none": lambda: (
        f"{b64(json.dumps({'typ': 'dpop+jwt', 'alg': 'none', 'jwk': {}}).encode())}.{b64(b'{}')}."
    ),
    "a point that is not on the curve": lambda: proof(
        header={"jwk": {"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 32), "y": b64(b"\2" * 32)}}
    ),
    "crit": lambda: proof(header={"crit": ["jwk"]}),
    "two proofs": lambda: f"{proof()}, {proof()}",
    "no proof": lambda: "",
    "a proof without end": lambda: proof(x="x" * 10_000),
    "an exponent without end": lambda: proof(
        KEYS["RS256"],
        alg="RS256",
        header={"jwk": {**KEYS["RS256"].as_dict(private=False), "e": b64(b"\1" * 256)}},
    ),
}


def _secret() -> str:
    import hmac

    secret = b"s" * 32
    head = {"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": b64(secret)}}
    text = f"{b64(json.dumps(head).encode())}.{proof().split('.')[1]}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


@pytest.mark.hostile
@pytest.mark.parametrize("name", BAD)
async def test_proofs_that_prove_nothing(name):
    store = MemoryStore()
    with pytest.raises(ProofInvalid) as caught:
        await check(BAD[name](), ProofChecker(store))
    assert "token\0" not in str(caught.value)
    assert [key async for key in store.kv.scan()] == []  # nobody fills the store with proofs that are none


async def test_a_nonce_is_demanded_and_shared_by_all_workers():
    now, store = [time.time()], MemoryStore()
    one, two = (ProofChecker(store, nonces=True, clock=lambda: now[0]) for _ in range(2))
    for nonce in (None, "", "made up", 7):
        with pytest.raises(NonceRequired) as caught:
            await check(proof(nonce=nonce), one)
    given = caught.value.nonce
    assert given == await two.nonce()
    assert await check(proof(nonce=given), two)
    now[0] += 300
    assert await check(proof(nonce=given, iat=int(now[0])), one)
    now[0] += 300
    with pytest.raises(NonceRequired):
        await check(proof(nonce=given, iat=int(now[0])), one)
    with pytest.raises(NonceRequired):  # of another server
        await check(proof(nonce=given), ProofChecker(MemoryStore(), nonces=True))


async def test_a_proof_is_used_up_on_every_worker():
    store = MemoryStore()
    made = proof()
    await check(made, ProofChecker(store))
    with pytest.raises(ProofInvalid, match="used before"):
        await check(made, ProofChecker(store))
    # Another key may use the same id: ids belong to keys.
    used = json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))["jti"]
    assert await check(proof(OTHER, jti=used), ProofChecker(store))


@pytest.mark.parametrize(
    "jwk", [{}, {"kty": "RSA"}, KEY.as_dict(private=False), {**KEY.as_dict(private=True), "x": "!"}]
)
def test_what_is_no_key_for_proofs(jwk):
    with pytest.raises(ValueError, match="key"):
        DPoPKey(jwk)


def test_settings_that_make_no_sense():
    refused: tuple[dict[str, Any], ...] = (
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"window": 0},
    )
    for settings in refused:
        with pytest.raises(ValueError, match="proof"):
            ProofChecker(MemoryStore(), **settings)
