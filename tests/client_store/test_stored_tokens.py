"""Tokens in a store: one refresh for all who share it, whoever dies or stands still, and nobody reads them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from store_places import Place
from test_login_refresh import run, site

from dovetail import Client
from dovetail.auth import OAuth, StoredTokens
from dovetail.auth.login import AuthorizationUnavailable, stored_tokens
from dovetail.auth.login.records import key_of
from dovetail.security import KeyRing
from dovetail.stores import RedisStore
from dovetail.stores.leases import Lease

SECRET = b"k" * 32
KEYS = KeyRing.from_secrets([SECRET])
KEY = key_of("tokens", "https://issuer.example", "me", "https://server.example/mcp")
WORKER = """
import asyncio, os, signal, sys
from dovetail import Client
from dovetail.auth import OAuth, StoredTokens
from dovetail.auth.login import credentials, stored_tokens
from dovetail.security import KeyRing
from dovetail.stores import *
url, mode = sys.argv[1:]
stored_tokens.LEASE = 3.0
def nobody(url):
    raise SystemExit("a person was asked for")
if mode == "dies":
    async def write(self, key, data):
        os.kill(os.getpid(), signal.SIGKILL)
    StoredTokens.write = write
if mode == "stops":
    renewing = credentials.OAuthCredentials._server_of
    async def _server_of(self, tokens):
        found = await renewing(self, tokens)
        print("stopping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        return found
    credentials.OAuthCredentials._server_of = _server_of
async def main():
    store = {code}
    auth = OAuth(tokens=StoredTokens(store, keys=KeyRing.from_secrets([{secret!r}])), open_browser=nobody)
    async with Client(url, auth=auth) as client:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        found = await asyncio.gather(
            *(client.call_tool("whoami") for _ in range(10)), return_exceptions=mode == "stops"
        )
        if mode == "stops":
            found = [await client.call_tool("whoami")]
    print({{each.raise_on_error().text for each in found}}, flush=True)
    await store.aclose()
asyncio.run(main())
"""


def worker(place: Place) -> str:
    head, tail = WORKER.split("async def main", 1)
    return head + "async def main" + tail.format(code=place.code, secret=SECRET)


async def started(place: Place, url: str, mode: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", worker(place), url, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def tokens_in(place: Place, **options: Any) -> StoredTokens:
    return StoredTokens(place.open(), keys=KEYS, **options)


async def test_a_record_is_kept_and_forgotten(place: Place) -> None:
    tokens, others = tokens_in(place), tokens_in(place)
    assert await tokens.read(KEY) is None
    await tokens.write(KEY, b"secret")
    assert await others.read(KEY) == b"secret"
    async with others.lock(KEY):
        assert await others.read(KEY) == b"secret"
        await others.confirm(KEY)
        await others.write(KEY, b"newer")
    assert await tokens.read(KEY) == b"newer"
    await tokens.remove(KEY)
    assert await others.read(KEY) is None


async def test_the_lock_keeps_everybody_else_out(place: Place) -> None:
    """Ten tasks of two stores count up, each reading before it writes."""
    stores = [tokens_in(place), tokens_in(place)]
    await stores[0].write(KEY, b"0")

    async def count(tokens: StoredTokens) -> None:
        async with tokens.lock(KEY):
            before = await tokens.read(KEY)
            await asyncio.sleep(0)
            await tokens.write(KEY, b"%d" % (int(before or b"0") + 1))

    await asyncio.gather(*(count(stores[number % 2]) for number in range(10)))
    assert await stores[0].read(KEY) == b"10"


async def test_calls_that_meet_an_expired_token_make_one_refresh(place: Place) -> None:
    async with site() as here:
        await here.expired(tokens_in(place))
        found = await asyncio.gather(*(here.calls(here.oauth(tokens_in(place)), 5) for _ in range(2)))
        assert found == [{"alice"}, {"alice"}]
        assert here.front.grants == ["authorization_code", "refresh_token"]


async def test_two_processes_make_one_refresh(shared: Place) -> None:
    """The server takes each refresh token once: a second use would end the grant."""
    async with site(retry=0) as here:
        await here.expired(tokens_in(shared))
        here.clock.ahead -= 3600  # both open while the token is good, then it expires under them
        workers = [await started(shared, here.url) for _ in range(2)]
        for each in workers:
            assert each.stdout is not None
            assert await each.stdout.readline() == b"ready\n"
        here.clock.ahead += 3600
        async with asyncio.timeout(40):
            said = await asyncio.gather(*(each.communicate(b"go\n") for each in workers))
        assert [text.strip() for text, _ in said] == [b"{'alice'}"] * 2
        assert here.front.grants == ["authorization_code", "refresh_token"]
        assert here.visits == 1


async def test_a_process_that_is_killed_with_the_lock_keeps_nobody_waiting(shared: Place) -> None:
    """It had the new tokens in its hands. Within the server's grace window that costs nothing."""
    async with site() as here:
        await here.expired(tokens_in(shared))
        assert (await run(worker(shared), here.url, "dies"))[0] == -signal.SIGKILL
        assert await here.calls(here.oauth(tokens_in(shared)), 5) == {"alice"}
        assert here.front.grants == ["authorization_code", "refresh_token", "refresh_token"]
        assert here.visits == 1


async def test_a_process_that_stood_still_does_not_use_the_refresh_token_again(lasting: Place) -> None:
    """It is stopped between the lock and the refresh, and goes on when another has long refreshed."""
    async with site(retry=0) as here:
        await here.expired(tokens_in(lasting))
        here.clock.ahead -= 3600
        stopped = await started(lasting, here.url, "stops")
        assert stopped.stdout is not None
        assert stopped.stdin is not None
        assert await stopped.stdout.readline() == b"ready\n"
        here.clock.ahead += 3600
        stopped.stdin.write(b"go\n")
        await stopped.stdin.drain()
        assert await stopped.stdout.readline() == b"stopping\n"
        assert await here.calls(here.oauth(tokens_in(lasting)), 5) == {"alice"}
        os.kill(stopped.pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            said, _ = await stopped.communicate()
        assert said.strip() == b"{'alice'}"
        assert here.front.grants == ["authorization_code", "refresh_token"]
        assert here.visits == 1


async def test_a_lock_that_was_lost_is_noticed_before_it_matters(place: Place) -> None:
    tokens, others = tokens_in(place), tokens_in(place)
    await tokens.write(KEY, b"old")
    async with tokens.lock(KEY):
        assert await tokens.read(KEY) == b"old"
        await others._kv.delete(f"lock-{KEY}")  # as if it had expired
        async with others.lock(KEY):
            assert await others.read(KEY) == b"old"
            await others.write(KEY, b"new")
            with pytest.raises(AuthorizationUnavailable, match="took over"):
                await tokens.confirm(KEY)
            with pytest.raises(AuthorizationUnavailable, match="another process"):
                await tokens.write(KEY, b"late")
            await tokens.remove(KEY)
            await others.confirm(KEY)
    assert await others.read(KEY) == b"new"


class Elsewhere(Lease):
    """A lease of a process on another machine: nobody here knows whether that lives."""

    def _next(self) -> bytes:
        nonce, _, *rest = json.loads(super()._next())
        return json.dumps([nonce, "another system", *rest]).encode()


async def test_a_lease_is_taken_from_who_stands_still_whatever_the_clocks_say(place: Place) -> None:
    """A holder that renews it keeps it for ever; one that does not loses it to who has seen that for long enough."""
    kv = place.open().kv
    held = Elsewhere(kv, "lease", ttl=0.3, keep=3600.0)
    late = Lease(kv, "lease", ttl=0.3, keep=3600.0)
    assert await held.acquire()
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.6
    while loop.time() < until:
        assert await held.renew()
        assert not await late.acquire()
    async with asyncio.timeout(10):
        await late.wait()
    assert not await held.renew()
    assert not await held.acquire()
    await held.release()
    assert await late.renew()
    await late.release()
    assert await kv.get("lease") is None


async def test_a_renewal_whose_answer_was_lost_loses_no_lease(place: Place) -> None:
    kv = place.open().kv
    lease = Lease(kv, "lease", ttl=5.0, keep=60.0)
    assert await lease.acquire()
    before = lease._value
    assert await lease.renew()
    lease._value = before  # as if it had not been heard
    assert await lease.renew()
    await lease.release()
    assert await kv.get("lease") is None


async def test_a_renewal_that_was_cancelled_keeps_no_lease_from_others(place: Place) -> None:
    kv = place.open().kv
    lease = Lease(kv, "lease", ttl=5.0, keep=60.0)
    assert await lease.acquire()
    before = lease._value
    assert await lease.renew()
    lease._value = before  # it came to pass, and whoever was cancelled in it never knew
    await lease.release()
    assert await kv.get("lease") is None


@pytest.mark.hostile
async def test_what_is_no_lease_is_held_by_nobody(place: Place) -> None:
    kv = place.open().kv
    held = [b'["x","y",-1,1,1]', b'["x","y",99999999999999999999,1,1]']
    for value in (b"", b"\xff", b"[]", b"[" * 5000, b'["x"]', *held):
        await kv.set("lease", value)
        assert await Lease(kv, "lease", ttl=5.0, keep=60.0).acquire() is (value not in held), value
        await kv.delete("lease")


@pytest.mark.requirement("R2511-AUTH-076", "R2607-AUTH-107")
async def test_nobody_reads_tokens_without_the_keys(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    store = place.open()
    tokens = StoredTokens(store, keys=KEYS)
    await tokens.write(KEY, b"hunter2")
    values = [await store.kv.get(key) or b"" async for key in store.kv.scan("client/tokens/")]
    assert len(values) == 1
    assert b"hunter2" not in values[0]
    assert await StoredTokens(store, allow_unsealed=True).read(KEY) is None
    assert await StoredTokens(store, keys=KeyRing.generate()).read(KEY) is None
    assert await StoredTokens(store, keys=KEYS.rotated(b"n" * 32)).read(KEY) == b"hunter2"
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "hunter2" not in caplog.text
    assert await tokens.read(KEY) == b"hunter2"  # and whoever can't read it leaves it alone


@pytest.mark.hostile
async def test_a_record_that_was_put_into_the_place_of_another_is_none(place: Place) -> None:
    store = place.open()
    tokens = StoredTokens(store, keys=KEYS)
    await tokens.write(KEY, b"mine")
    raw = await store.kv.get(f"client/tokens/{KEY}")
    assert raw is not None
    for hostile in (
        raw,
        b"Pplain",
        b"",
        b"S",
        b"S\xff",
        raw[:-1],
        b"P" + b"x" * 300_000,
        b"S" + b"A" * 500_000,
    ):
        await store.kv.set("client/tokens/another", hostile)
        assert await tokens.read("another") is None, hostile[:20]
    with pytest.raises(AuthorizationUnavailable, match="too large"):
        await tokens.write(KEY, bytes(stored_tokens.MAX_RECORD + 1))


def test_a_store_that_others_can_read_takes_no_tokens_as_they_are(place: Place) -> None:
    store = place.open()
    if place.kind in ("redis", "postgres"):
        with pytest.raises(ValueError, match="keys=KeyRing"):
            StoredTokens(store)
    else:
        StoredTokens(store)
    assert repr(StoredTokens(store, allow_unsealed=True)) == "<StoredTokens>"


async def test_a_store_that_is_away_fails_nobody_who_has_good_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked to log in because of it; what was refreshed meanwhile is kept when it is back."""
    server = RedisServer(tmp_path / "redis").start()
    store = RedisStore(server.url, timeout=1.0)
    try:
        async with site() as here:
            tokens = StoredTokens(store, keys=KEYS)
            async with Client(here.url, auth=here.oauth(tokens)) as client:
                assert (await client.call_tool("whoami")).text == "alice"
                server.kill()
                assert (await client.call_tool("whoami")).text == "alice"
                here.clock.ahead += 3600
                with pytest.raises(AuthorizationUnavailable, match="store of the tokens"):
                    await client.call_tool("whoami")
                assert here.visits == 1
                server.start()
                assert (await client.call_tool("whoami")).text == "alice"
                assert here.front.grants == ["authorization_code", "refresh_token"]
            assert here.visits == 1
            raw = tokens._kv
            await tokens.write(KEY, b"before")
            async with tokens.lock(KEY):
                await tokens.read(KEY)
                server.kill()
                await tokens.write(KEY, b"the only copy")
                assert await tokens.read(KEY) == b"the only copy"
            server.start()
            assert await tokens.read(KEY) == b"the only copy"
            assert await StoredTokens(store, keys=KEYS).read(KEY) == b"the only copy"
            assert await raw.get(KEY)
            assert "until the store takes them" in caplog.text
    finally:
        await store.aclose()
        server.kill()


async def test_a_login_is_not_thrown_away_for_a_store_that_is_away(tmp_path: Path) -> None:
    """The store goes while the person is at the browser, and is back before the next program comes."""
    server = RedisServer(tmp_path / "redis").start()
    store = RedisStore(server.url, timeout=1.0)
    try:
        async with site() as here:
            tokens = StoredTokens(store, keys=KEYS)

            async def visit(url: str) -> bool:
                server.kill()
                await here.authority.approve(url)
                return True

            assert await here.calls(OAuth(open_browser=visit, tokens=tokens), 3) == {"alice"}
            server.start()
            places = [key for key in tokens._waiting if key.startswith(("server", "tokens"))]
            assert len(places) == 2
            for key in places:
                assert await tokens.read(key)
            assert await here.calls(here.oauth(StoredTokens(store, keys=KEYS)), 3) == {"alice"}
            assert here.visits == 0
            assert here.front.grants == ["authorization_code"]
    finally:
        await store.aclose()
        server.kill()
