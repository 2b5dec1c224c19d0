"""The keys of an issuer: found, kept, renewed, and never fetched more than within bounds."""

from __future__ import annotations

import asyncio
import json

import pytest
from guarded import KEYS, Issuer, issuing, protected
from joserfc.jwk import ECKey

from dovetail.auth.protecting.key_sets import COOLDOWN, STALE, Keys
from dovetail.auth.protecting.verdicts import Unavailable
from dovetail.security.fetching import Fetcher


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def local() -> Fetcher:
    """A fetcher that may reach this machine."""
    return Fetcher(allow_loopback=True, timeout=5.0)


def keys(issuer: Issuer, clock: Clock | None = None) -> Keys:
    """The keys of an issuer, by its metadata."""
    return Keys(issuer.url, None, local, clock=clock or Clock())


@pytest.mark.hostile
async def test_a_thousand_unknown_keys_make_one_fetch():
    async with protected() as (issuer, wire):
        assert (await wire.call(issuer.token())).status == 200
        statuses = [(await wire.call(issuer.token(header={"kid": f"k{n}"}))).status for n in range(300)]
        assert set(statuses) == {401}
        assert issuer.asked["/jwks"] == 1  # the first fetch was just now: an unknown key has to wait
        assert (await wire.call(issuer.token(sub="bob"))).status == 200


async def test_unknown_keys_are_looked_for_again_once_per_cooldown():
    clock = Clock()
    async with issuing() as issuer:
        found = keys(issuer, clock)
        assert len(await found.find("es", "ES256")) == 1
        clock.now += COOLDOWN
        for n in range(1000):
            assert await found.find(f"k{n}", "ES256") == []
        assert issuer.asked["/jwks"] == 2


async def test_a_new_key_is_found_and_an_old_one_forgotten():
    clock = Clock()
    async with issuing() as issuer:
        found = keys(issuer, clock)
        assert await found.find("es", "ES256")
        issuer.keys = [ECKey.generate_key("P-256", {"kid": "new"})]
        clock.now += COOLDOWN
        assert await found.find("new", "ES256")
        assert await found.find("es", "ES256") == []


async def test_many_who_wait_make_one_fetch():
    async with issuing() as issuer:
        issuer.delay = asyncio.Event()
        found = keys(issuer)
        waiting = [asyncio.create_task(found.find("es", "ES256")) for _ in range(100)]
        await issuer.reached.wait()
        waiting[0].cancel()  # whoever leaves takes nothing along
        issuer.delay.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(each, list) and len(each) == 1 for each in results[1:])
        assert issuer.asked["/jwks"] == 1


async def test_an_issuer_that_is_down_logs_nobody_out_for_a_while():
    clock = Clock()
    async with issuing() as issuer:
        found = keys(issuer, clock)
        assert await found.find("es", "ES256")
        issuer.status = 503
        clock.now += 2 * 3600
        assert await found.find("es", "ES256")  # the old ones, while new ones are looked for
        await _settled(found)
        assert issuer.asked["/jwks"] == 2
        clock.now += STALE
        with pytest.raises(Unavailable):
            await found.find("es", "ES256")
        issuer.status = 200
        clock.now += 10
        assert await found.find("es", "ES256")


async def _settled(found: Keys) -> None:
    flight = found._flight
    assert flight is not None
    await flight


async def test_how_long_keys_are_kept_is_the_issuers_word_within_bounds():
    for header, seconds in (
        ("max-age=600", 600),
        ("max-age=1, public", 300),
        ("max-age=999999999", 86400),
        ("no-store", 3600),
    ):
        clock = Clock()
        async with issuing() as issuer:
            issuer.headers = [(b"cache-control", header.encode())]
            found = keys(issuer, clock)
            await found.find("es", "ES256")
            clock.now += seconds - 1
            await found.find("es", "ES256")
            assert issuer.asked["/jwks"] == 1
            clock.now += 2
            await found.find("es", "ES256")
            await _settled(found)
            assert issuer.asked["/jwks"] == 2


@pytest.mark.hostile
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": 7}',
        b'{"keys": [], "keys": []}',
        b'{"keys": ' + b"[" * 50_000,
        b'{"keys": [' + b'{"kty":"EC"},' * 5000 + b"{}]}",
        b'{"keys": ["' + b"x" * 300_000 + b'"]}',
        b"\xff\xfe",
    ],
    ids=range(10),
)
async def test_a_set_that_can_not_be_read_is_no_set(body):
    async with issuing() as issuer:
        issuer.body = body
        with pytest.raises(Unavailable):
            await keys(issuer).find("es", "ES256")


async def test_a_large_set_costs_only_the_keys_that_are_used():
    async with issuing() as issuer:
        issuer.keys = [{**KEYS["ES256"].as_dict(private=False), "kid": f"k{n}"} for n in range(900)]
        found = keys(issuer)
        assert len(await found.find("k899", "ES256")) == 1
        assert found._set is not None
        assert len(found._set._made) == 1
        assert len(await found.find("", "ES256")) == 8  # a token without a key id tries a handful


@pytest.mark.hostile
async def test_metadata_of_another_issuer_is_not_used():
    async with issuing() as issuer:
        for named in ("https://honest.example", issuer.url + "/", issuer.url.upper()):
            issuer.named = named
            with pytest.raises(Unavailable):
                await keys(issuer).find("es", "ES256")
        assert "/jwks" not in issuer.asked


@pytest.mark.hostile
async def test_keys_are_not_fetched_from_elsewhere_or_from_inside():
    class Redirecting(Issuer):
        target = b"http://localhost:1/jwks"

        async def __call__(self, scope, receive, send):
            if scope["type"] == "http" and scope["path"] == "/jwks":
                self.asked["/jwks"] = self.asked.get("/jwks", 0) + 1
                headers = [(b"location", self.target), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 302, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
            await super().__call__(scope, receive, send)

    async with issuing(Redirecting()) as issuer:
        with pytest.raises(Unavailable):
            await keys(issuer).find("es", "ES256")
        # Where the resource is not on this machine, nothing on this machine is asked.
        with pytest.raises(Unavailable):
            await Keys(issuer.url, None, Fetcher).find("es", "ES256")
        assert issuer.asked["/jwks"] == 1


async def test_a_dead_issuer_is_no_reason_to_let_anyone_in():
    async with protected() as (issuer, wire):
        issuer.status = 500
        answer = await wire.call(issuer.token())
        assert (answer.status, answer.values("retry-after")) == (503, ["5"])
        assert answer.values("www-authenticate") == []
        assert b"500" not in answer.body
        assert issuer.url.encode() not in answer.body
    async with protected(check={"jwks": "http://localhost:1/jwks"}) as (issuer, wire):
        assert (await wire.call(issuer.token())).status == 503
        assert json.loads((await wire.call(issuer.token())).body)["error"]["message"]


async def test_the_two_places_of_metadata_are_tried_in_order():
    class Old(Issuer):
        async def __call__(self, scope, receive, send):
            if scope["type"] == "http" and scope["path"] == "/realm/.well-known/openid-configuration":
                self.asked[scope["path"]] = 1
                scope = {**scope, "path": "/.well-known/oauth-authorization-server"}
            await super().__call__(scope, receive, send)

    async with issuing(Old()) as issuer:
        bare = issuer.url
        issuer.named = bare + "/realm"
        found = Keys(bare + "/realm", None, local, clock=Clock())
        assert await found.find("es", "ES256")
        assert list(issuer.asked) == [
            "/.well-known/oauth-authorization-server/realm",
            "/.well-known/openid-configuration/realm",
            "/realm/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
            "/jwks",
        ]
