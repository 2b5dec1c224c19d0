"""Which tokens let a caller in, and what the others hear: every one of them the same 401, before anything runs."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from guarded import KEYS, RESOURCE, Issuer, b64, protected, signed
from joserfc.jwk import ECKey, RSAKey

from dovetail import App, Principal
from dovetail.auth import Protected, introspection, jwt

ATTACKER = ECKey.generate_key("P-256", {"kid": "es"})
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    SMALL = RSAKey.generate_key(1024, {"kid": "small"})
Make = Callable[[Issuer], str]


def payload(issuer: Issuer, **changes: Any) -> bytes:
    """The bytes of good claims, changed."""
    return json.dumps(issuer.claims(**changes)).encode()


def raw(header: dict[str, Any], body: bytes, signature: bytes = b"") -> str:
    """A token with any signature."""
    return f"{b64(json.dumps(header).encode())}.{b64(body)}.{b64(signature)}"


def shared_secret(issuer: Issuer, secret: bytes, kid: str = "rs", alg: str = "HS256") -> str:
    """A token signed with bytes that anyone can know."""
    text = f"{b64(json.dumps({'alg': alg, 'kid': kid}).encode())}.{b64(payload(issuer))}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def by_hand(issuer: Issuer, header: str, claims: str) -> str:
    """A token with exactly this JSON, truly signed."""
    text = f"{b64(header.encode())}.{b64(claims.encode())}"
    from joserfc.jws import JWSRegistry

    return f"{text}.{b64(JWSRegistry.algorithms['ES256'].sign(text.encode(), KEYS['ES256']))}"


GOOD_HEADER = '{"alg":"ES256","kid":"es","typ":"at+jwt"}'

CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": time.time() - 3600},
    "expires now, beyond the leeway": {"exp": time.time() - 31},
    "no end": {"exp": None},
    "end as text": {"exp": str(time.time() + 600)},
    "end as truth": {"exp": True},
    "end in infinity": {"exp": 1e300},
    "V44 not good yet": {"nbf": time.time() + 3600},
    "V44 not good yet, as text": {"nbf": "0"},
    "V44 issued in the future": {"iat": time.time() + 3600},
    "V24 another audience": {"aud": "https://other.example/mcp"},
    "V24 no audience": {"aud": None},
    "V24 empty audience": {"aud": ""},
    "V24 no audience in the list": {"aud": []},
    "V24 a list of others": {"aud": ["https://other.example/mcp", "cli"]},
    "V24 a prefix": {"aud": RESOURCE[:-1]},
    "V24 more than the resource": {"aud": RESOURCE + "x"},
    "V24 below the resource": {"aud": RESOURCE + "/x"},
    "V24 a slash at the end": {"aud": RESOURCE + "/"},
    "V24 the path in another case": {"aud": RESOURCE.replace("/mcp", "/MCP")},
    "V24 another port": {"aud": RESOURCE.replace(":8765", ":8766")},
    "V24 no port": {"aud": RESOURCE.replace(":8765", "")},
    "V24 another scheme": {"aud": RESOURCE.replace("http:", "https:")},
    "V24 the origin alone": {"aud": RESOURCE.removesuffix("/mcp")},
    "V24 a query": {"aud": RESOURCE + "?x=1"},
    "V24 a user": {"aud": RESOURCE.replace("//", "//a@")},
    "V24 a fragment": {"aud": RESOURCE + "#x"},
    "V24 two in one text": {"aud": f"https://other.example {RESOURCE}"},
    "V25 an object": {"aud": {"0": RESOURCE}},
    "V25 a number": {"aud": 1},
    "V25 a list with a number": {"aud": [RESOURCE, 1]},
    "V25 a long list": {"aud": ["x"] * 200 + [RESOURCE]},
    "no subject and no client": {"sub": None, "client_id": None},
    "subject as number": {"sub": 7},
    "subject without end": {"sub": "a" * 5000},
    "scopes as number": {"scope": 7},
    "scopes as object": {"scope": {"notes:read": True}},
    "scopes with a number": {"scope": ["notes:read", 7]},
    "bound to a certificate": {"cnf": {"x5t#S256": "A" * 43}},
    "bound to a certificate and a key": {"cnf": {"x5t#S256": "A" * 43, "jkt": "B" * 43}},
    "bound to nothing": {"cnf": {}},
    "bound to a number": {"cnf": {"jkt": 7}},
    "bound to a text": {"cnf": "A" * 43},
    "bound to a whole key": {"cnf": {"jwk": KEYS["ES256"].as_dict(private=False)}},
    "bound to a key, shown as bearer": {"cnf": {"jkt": "B" * 43}},
}
LOOSE: dict[str, dict[str, Any]] = {  # told apart only where the type does not say what the token is
    "an ID token with a nonce": {"nonce": "n"},
    "an ID token with at_hash": {"at_hash": "h"},
    "an ID token with c_hash": {"c_hash": "h"},
    "an ID token of Cognito": {"token_use": "id"},
    "an ID token of Keycloak": {"typ": "ID"},
    "a refresh token of Keycloak": {"typ": "Refresh"},
}
ISSUERS: dict[str, Callable[[str], Any]] = {
    "another issuer": lambda _: "https://other.example",
    "the issuer with a slash": lambda url: url + "/",
    "the issuer in another case": lambda url: url.upper(),
    "below the issuer": lambda url: url + "/x",
    "no issuer": lambda _: None,
    "an issuer that is a list": lambda url: [url],
}
FORGED: dict[str, Make] = {
    "none": lambda i: raw({"alg": "none"}, payload(i)),
    "None": lambda i: raw({"alg": "None", "kid": "es"}, payload(i), b"x"),
    "NONE with a signature": lambda i: raw({"alg": "NONE"}, payload(i), b"x" * 64),
    "no algorithm": lambda i: raw({"kid": "es"}, payload(i), b"x" * 64),
    "an empty algorithm": lambda i: raw({"alg": "", "kid": "es"}, payload(i), b"x" * 64),
    "a list of algorithms": lambda i: raw({"alg": ["ES256"], "kid": "es"}, payload(i), b"x" * 64),
    "algorithm in another case": lambda i: raw({"alg": "es256", "kid": "es"}, payload(i), b"x" * 64),
    "HMAC with the public key (PEM)": lambda i: shared_secret(i, KEYS["RS256"].as_pem(private=False)),
    "HMAC with the public key (DER)": lambda i: shared_secret(i, KEYS["RS256"].as_der(private=False)),
    "HMAC with the public key (JWK)": lambda i: shared_secret(
        i, json.dumps(KEYS["RS256"].as_dict(private=False)).encode()
    ),
    "HMAC with a key of zeros": lambda i: shared_secret(i, b"\0" * 32),
    "HMAC with the key that the set publishes": lambda i: shared_secret(i, b"s" * 32, "shared"),
    "signed by someone else": lambda i: signed({"alg": "ES256", "kid": "es"}, payload(i), ATTACKER),
    "no key id, signed by someone else": lambda i: signed({"alg": "ES256"}, payload(i), ATTACKER),
    "the key of another kind": lambda i: signed({"alg": "ES256", "kid": "rs"}, payload(i)),
    "the curve of another algorithm": lambda i: signed(
        {"alg": "ES384", "kid": "es"}, payload(i), KEYS["ES256"], "ES256"
    ),
    "a key that is only for RS256": lambda i: signed({"alg": "PS256", "kid": "fixed"}, payload(i)),
    "a key that is for encryption": lambda i: signed({"alg": "ES256", "kid": "enc"}, payload(i)),
    "a key that is too small": lambda i: signed({"alg": "RS256", "kid": "small"}, payload(i), SMALL),
    "a key that is published with its private part": lambda i: signed(
        {"alg": "ES256", "kid": "open"}, payload(i), ATTACKER
    ),
    "zeros for a signature": lambda i: raw({"alg": "ES256", "kid": "es"}, payload(i), b"\0" * 64),
    "no signature": lambda i: i.token().rpartition(".")[0] + ".",
    "half a signature": lambda i: i.token()[:-40],
    "a signature in DER": lambda i: raw(
        {"alg": "ES256", "kid": "es"}, payload(i), b"\x30\x06\x02\x01\x01\x02\x01\x01"
    ),
    "the claims exchanged": lambda i: _exchanged(i),
    "an own key in jwk": lambda i: signed(
        {"alg": "ES256", "jwk": ATTACKER.as_dict(private=False)}, payload(i), ATTACKER
    ),
    "an own key in jwk, under a known id": lambda i: signed(
        {"alg": "ES256", "kid": "es", "jwk": ATTACKER.as_dict(private=False)}, payload(i), ATTACKER
    ),
    "an own key set in jku": lambda i: signed(
        {"alg": "ES256", "kid": "evil", "jku": f"{i.url}/evil"}, payload(i), ATTACKER
    ),
    "an own certificate in x5u": lambda i: signed(
        {"alg": "ES256", "kid": "es", "x5u": f"{i.url}/evil"}, payload(i), ATTACKER
    ),
    "an own certificate in x5c": lambda i: signed(
        {"alg": "ES256", "kid": "es", "x5c": [base64.b64encode(b"certificate").decode()]},
        payload(i),
        ATTACKER,
    ),
    "crit": lambda i: i.token(header={"crit": ["exp"], "exp": 1}),
    "crit, empty": lambda i: i.token(header={"crit": []}),
    "b64 is false": lambda i: i.token(header={"b64": False}),
    "a key id that is a number": lambda i: i.token(header={"kid": 7}),
    "a key id that is a path": lambda i: i.token(header={"kid": "../../dev/null"}),
    "a key id without end": lambda i: i.token(header={"kid": "k" * 5000}),
    "a type for proofs": lambda i: i.token(header={"typ": "dpop+jwt"}),
    "a type for ID tokens": lambda i: i.token(header={"typ": "id+jwt"}),
    "a type for logging out": lambda i: i.token(header={"typ": "logout+jwt"}),
    "a type that is a number": lambda i: i.token(header={"typ": 7}),
    "a claim that comes twice": lambda i: by_hand(
        i, GOOD_HEADER, payload(i).decode()[:-1] + f', "aud": "{RESOURCE}"}}'
    ),
    "an algorithm that comes twice": lambda i: by_hand(
        i, '{"alg":"none","alg":"ES256","kid":"es"}', payload(i).decode()
    ),
    "claims that are no UTF-8": lambda i: signed({"alg": "ES256", "kid": "es"}, b'{"sub":"\xff\xfe"}'),
    "claims in UTF-16": lambda i: signed({"alg": "ES256", "kid": "es"}, payload(i).decode().encode("utf-16")),
    "half a character": lambda i: by_hand(i, GOOD_HEADER, payload(i).decode()[:-1] + ', "x": "\\ud800"}'),
    "numbers that are none": lambda i: by_hand(i, GOOD_HEADER, payload(i).decode()[:-1] + ', "x": NaN}'),
    "a number of many digits": lambda i: by_hand(
        i, GOOD_HEADER, payload(i).decode()[:-1] + f', "x": {"9" * 6000}}}'
    ),
    "claims that are a list": lambda i: by_hand(i, GOOD_HEADER, "[1]"),
    "claims that are deep": lambda i: by_hand(
        i, GOOD_HEADER, payload(i).decode()[:-1] + f', "x": {"[" * 3000}{"]" * 3000}}}'
    ),
    "claims that never close": lambda i: by_hand(i, GOOD_HEADER, "[" * 8000),
    "no claims": lambda i: signed({"alg": "ES256", "kid": "es"}, b""),
    "a header that is no JSON": lambda i: f"{b64(b'alg')}.{b64(payload(i))}.{b64(b'x' * 64)}",
    "base64 with padding": lambda i: i.token() + "=",
    "two parts": lambda i: i.token().rpartition(".")[0],
    "four parts": lambda i: i.token() + ".x",
    "encrypted": lambda i: "e30.e30.e30.e30.e30",
    "a text": lambda _: "opaque",
    "more than a token may have": lambda i: i.token(x="x" * 20_000),
}


def _exchanged(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{b64(payload(issuer, sub='root'))}.{signature}"


async def refused(tokens: dict[str, Make], **settings: Any) -> list[str]:
    """The names of those that were not refused as a token has to be."""
    entered: list[str] = []
    app = App("entered", rate_limit=None)

    @app.tool
    def read(principal: Principal) -> str:
        entered.append(principal.subject)
        return "read"

    wrong: list[str] = []
    async with protected(app=app, **settings) as (issuer, wire):
        shared = {"kty": "oct", "kid": "shared", "k": b64(b"s" * 32)}
        fixed = {**KEYS["RS256"].as_dict(private=False), "kid": "fixed", "alg": "RS256"}
        sealing = {**KEYS["ES256"].as_dict(private=False), "kid": "enc", "use": "enc"}
        open_ = {**ATTACKER.as_dict(private=True), "kid": "open"}
        issuer.keys += [shared, fixed, sealing, SMALL, open_, {"kty": 7}, {}, "no key"]
        issuer.keys[-1] = {"kid": ["x"]}
        assert (await wire.call(issuer.token())).status == 200
        before = dict(issuer.asked)
        for name, make in tokens.items():
            answer = await wire.call(make(issuer))
            challenge = answer.challenge if answer.status == 401 else ""
            if 'error="invalid_token"' not in challenge or "resource_metadata=" not in challenge:
                wrong.append(f"{name}: {answer}")
        assert (await wire.call(issuer.token(sub="bob"))).status == 200
        assert issuer.asked.get("/evil") is None
        assert issuer.asked["/jwks"] <= before["/jwks"] + 1
    assert entered == ["ann", "bob"]
    return wrong


@pytest.mark.requirement(
    "R2607-AUTH-078",
    "R2607-AUTH-134",
    "R2511-AUTH-057",
    "R2511-AUTH-103",
    "R2503-AUTH-014",
)
async def test_a_good_token_of_each_algorithm_is_taken():
    async with protected() as (issuer, wire):
        for alg in ("ES256", "ES384", "ES512", "RS256", "RS512", "PS256", "Ed25519", "EdDSA"):
            answer = await wire.call(issuer.token(alg))
            assert (answer.status, answer.json["result"]["content"][0]["text"]) == (200, "read"), alg
        assert issuer.asked["/jwks"] == 1


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-AUTH-079",
    "R2607-AUTH-081",
    "R2607-AUTH-083",
    "R2607-AUTH-084",
    "R2607-AUTH-106",
    "R2607-AUTH-133",
    "R2607-AUTH-135",
    "R2511-AUTH-058",
    "R2511-AUTH-060",
    "R2511-AUTH-062",
    "R2511-AUTH-063",
    "R2511-AUTH-075",
    "R2511-AUTH-102",
    "R2511-AUTH-104",
)
@pytest.mark.requirement("RXSEC-SECURITY-008")
async def test_v24_v25_v44_r65_claims_that_are_not_for_here_and_now_are_refused():
    def make(changes: dict[str, Any]) -> Make:
        return lambda issuer: issuer.token(**changes)

    assert await refused({name: make(changes) for name, changes in CLAIMS.items()}) == []


@pytest.mark.hostile
async def test_issuers_are_compared_exactly():
    def make(change: Callable[[str], Any]) -> Make:
        return lambda issuer: issuer.token(iss=change(issuer.url))

    assert await refused({name: make(change) for name, change in ISSUERS.items()}) == []


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-080", "R2511-AUTH-059", "R2503-AUTH-015", "R2503-AUTH-014")
@pytest.mark.requirement("R2607-AUTH-078", "R2607-AUTH-134", "R2511-AUTH-057", "R2511-AUTH-103")
async def test_forged_and_malformed_tokens_are_refused():
    assert await refused(FORGED) == []


@pytest.mark.hostile
async def test_tokens_that_are_no_access_tokens_are_refused():
    def make(changes: dict[str, Any]) -> Make:
        return lambda issuer: issuer.token(header={"typ": "JWT"}, **changes)

    assert await refused({name: make(changes) for name, changes in LOOSE.items()}) == []


async def test_only_typed_tokens_where_that_is_asked_for():
    for typ, status in (
        ("at+jwt", 200),
        ("application/at+jwt", 200),
        ("AT+JWT", 200),
        ("JWT", 401),
        (None, 401),
    ):
        async with protected(check={"typed": True}) as (issuer, wire):
            assert (await wire.call(issuer.token(header={"typ": typ}))).status == status


@pytest.mark.requirement("R2607-AUTH-071", "R2511-AUTH-050")
async def test_what_is_only_written_otherwise_is_taken():
    otherwise: tuple[dict[str, Any], ...] = (
        {"aud": [RESOURCE]},
        {"aud": ["https://other.example", RESOURCE]},
        {"aud": RESOURCE.replace("http://localhost", "HTTP://LOCALHOST")},
        {"exp": time.time() - 10},  # within the leeway
        {"nbf": time.time() + 10},
        {"scope": None, "scp": ["notes:read"]},
        {"scope": None, "scp": "notes:read other"},
        {"scope": None},
        {"client_id": None},
        {"sub": None},
        {"iat": None},
    )
    async with protected() as (issuer, wire):
        for changes in otherwise:
            assert (await wire.call(issuer.token(**changes))).status == 200, changes
        for typ in (None, "JWT", "jwt", "application/at+jwt", "application/jwt"):
            assert (await wire.call(issuer.token(header={"typ": typ}))).status == 200, typ
        assert (await wire.call(issuer.token(header={"kid": None}))).status == 200
        for scheme in ("bearer", "BEARER", "bEaReR", "Bearer  "):
            assert (await wire.call(issuer.token(), scheme=scheme)).status == 200, scheme


async def test_a_verdict_ends_with_its_token():
    now = [time.time()]
    async with protected(clock=lambda: now[0]) as (issuer, wire):
        token = issuer.token(exp=int(now[0]) + 20)
        assert (await wire.call(token)).status == 200
        now[0] += 45
        assert (await wire.call(token)).status == 200  # within the leeway
        now[0] += 10
        assert (await wire.call(token)).status == 401


async def test_the_principal_is_what_the_token_says():
    seen: list[Principal] = []
    app = App("who", rate_limit=None)

    @app.tool
    def read(who: Principal) -> str:
        seen.append(who)
        return ""

    async with protected(app=app) as (issuer, wire):
        assert (await wire.call(issuer.token(tenant="t1"))).status == 200
        (who,) = seen
        assert (who.issuer, who.subject, who.client_id) == (issuer.url, "ann", "cli")
        assert who.scopes == {"notes:read"}
        assert who.claims["tenant"] == "t1"


async def test_several_issuers_have_each_their_check():
    from guarded import Wire, issuing, notes

    from dovetail.testing.serving import served

    async with issuing() as first, issuing() as second, issuing() as third:
        auth = Protected(
            RESOURCE,
            jwt(first.url),
            jwt(second.url, audience="two"),
            introspection(third.url, client_id="c", client_secret="s"),
        )
        third.answers["opaque"] = {"active": True, "sub": "ann", "aud": RESOURCE}
        async with served(notes(auth).asgi()) as url:
            wire = Wire(url)
            assert (await wire.call(first.token())).status == 200
            assert (await wire.call(second.token(aud="two"))).status == 200
            assert (await wire.call(second.token())).status == 401
            assert (await wire.call("opaque")).status == 200
            assert (await wire.call(first.token(iss="https://fourth.example"))).status == 401
            crossed = signed({"alg": "ES256", "kid": "es"}, payload(first), ATTACKER)
            assert (await wire.call(crossed)).status == 401
            assert [third.introspected[0]["token"], len(third.introspected)] == ["opaque", 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Protected("https://a.example/mcp"),
        lambda: Protected("a.example/mcp", jwt("https://i.example")),
        lambda: Protected("https://a.example/mcp#x", jwt("https://i.example")),
        lambda: Protected("http://a.example/mcp", jwt("https://i.example")),
        lambda: Protected("https://a.example/mcp", jwt("http://i.example")),
        lambda: Protected("https://a.example/mcp", jwt("http://localhost:1")),
        lambda: Protected("https://a.example/mcp", jwt("https://i.example"), jwt("https://i.example")),
        lambda: Protected("https://a.example/mcp", jwt("https://i.example"), scopes="notes"),
        lambda: Protected("https://a.example/mcp", jwt("https://i.example"), scopes=['a"b']),
        lambda: Protected("https://a.example/mcp", jwt("https://i.example"), scopes=["offline_access"]),
        lambda: Protected(
            "https://a.example/mcp", jwt("https://i.example"), scopes_supported=["offline_access"]
        ),
        lambda: Protected("https://a.example/mcp", jwt("https://i.example"), leeway=1e9),
        lambda: jwt("https://i.example?x"),
        lambda: jwt("i.example"),
        lambda: jwt("https://i.example", algorithms=["none"]),
        lambda: jwt("https://i.example", algorithms=["HS256"]),
        lambda: jwt("https://i.example", algorithms=[]),
        lambda: jwt("https://i.example", audience=""),
        lambda: jwt("https://i.example", audience=[]),
        lambda: jwt("https://i.example", keep=1e9),
        lambda: introspection("https://i.example", client_id="", client_secret="s"),
        lambda: introspection("https://i.example", client_id="c", client_secret="s", keep=1e9),
    ],
)
def test_v24_settings_that_would_protect_nothing_are_refused(make):
    with pytest.raises(ValueError, match=r"."):
        make()
