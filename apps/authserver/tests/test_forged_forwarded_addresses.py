"""Attack: requests that say themselves where they come from, to guess passwords for ever or to lock others out; and
other ways to have an honest address locked out.

Proxies are believed by name only. What fails is counted where something can be guessed at, and shuts nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from authority_calls import PRIVATE, PUBLIC, RESOURCE, SECRET, Calls, basic, calls

from dovetail.auth import oauth
from dovetail.stores import MemoryStore
from dovetail_authserver import AuthServer, Bounds, User, form_login
from dovetail_authserver.testing import Browser

OWN = {"grant_type": "client_credentials"}
SERVER = """
import sys
from dovetail_authserver import AuthServer, Bounds, RegisteredClient, User, form_login
from dovetail.stores import MemoryStore

server = AuthServer(
    sys.argv[1],
    login=form_login(lambda name, password: User(name) if password == "right" else None),
    store=MemoryStore(),
    resources=["https://mcp.example/mcp"],
    clients=[RegisteredClient(id="public", redirect_uris=["http://127.0.0.1:5000/callback"])],
    bounds=Bounds(failures=3, recovery=3600.0),
)
server.run(proxies=sys.argv[2:])
"""


@contextlib.asynccontextmanager
async def running(*proxies: str) -> AsyncIterator[str]:
    """The authorization server in a process of its own, as `run` serves it; its issuer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{probe.getsockname()[1]}"
    env = {**os.environ, "FORWARDED_ALLOW_IPS": "*"}  # what the environment says names nobody
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, issuer, *proxies, env=env)
    try:
        async with asyncio.timeout(30):
            await _listening(int(issuer.rpartition(":")[2]))
        yield issuer
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)  # nothing tells when a process begins to listen
            continue
        writer.close()
        return


class Person:
    """A browser at an address of this machine."""

    def __init__(self, issuer: str, address: str) -> None:
        self.issuer = issuer
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        self.http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Person:
        asked = {
            "response_type": "code",
            "client_id": "public",
            "redirect_uri": "http://127.0.0.1:5000/callback",
            "code_challenge": oauth.challenge_of(oauth.new_verifier()),
            "code_challenge_method": "S256",
        }
        async with self.http.get(f"{self.issuer}/authorize?{urlencode(asked)}") as page:
            action = re.search(r'action="([^"]+)"', await page.text())
        assert action is not None
        self.action = unescape(action[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def guess(self, password: str, forwarded: str = "") -> int:
        """Try a password; the status."""
        headers = {"origin": self.issuer, **({"x-forwarded-for": forwarded} if forwarded else {})}
        form = {"name": "alice", "password": password}
        async with self.http.post(self.action, data=form, headers=headers) as answer:
            return answer.status


@pytest.mark.hostile
async def test_a_guesser_gets_no_new_tries_by_naming_new_addresses() -> None:
    async with running() as issuer, Person(issuer, "127.0.0.1") as guesser:
        statuses = [await guesser.guess(str(n), f"203.0.113.{n}") for n in range(8)]
        assert statuses == [401] * 3 + [429] * 5
        assert await guesser.guess("right", "203.0.113.99") == 429


@pytest.mark.hostile
async def test_a_guesser_locks_nobody_out_by_naming_their_address() -> None:
    async with running() as issuer, Person(issuer, "127.0.0.66") as guesser:
        for n in range(8):
            await guesser.guess(str(n), "127.0.0.1")
        async with Person(issuer, "127.0.0.1") as honest:
            assert await honest.guess("right") == 200


@pytest.mark.hostile
async def test_a_proxy_is_believed_by_its_name_and_nobody_else() -> None:
    async with running("127.0.0.2", "127.1.0.0/16") as issuer:
        async with Person(issuer, "127.0.0.2") as proxied:
            for n in range(4):
                await proxied.guess(str(n), "203.0.113.9")
            assert await proxied.guess("right", "203.0.113.9") == 429
            assert await proxied.guess("right", "203.0.113.10, 203.0.113.9") == 429, (
                "the proxy's own word counts"
            )
            assert await proxied.guess("right", "203.0.113.10") == 200
        async with Person(issuer, "127.1.2.3") as proxied:
            assert await proxied.guess("right", "203.0.113.9") == 429
        async with Person(issuer, "127.0.0.1") as stranger:
            assert [await stranger.guess(str(n), f"203.0.113.{n}") for n in range(4)] == [401] * 3 + [429]


@pytest.mark.parametrize(
    "proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["proxy.example"], ["127.0.0.1:80"], "10.0.0.1"]
)
def test_everybody_is_no_name(proxies: Any) -> None:
    server = AuthServer(
        "http://127.0.0.1:9", login=form_login(lambda *_: None), store=MemoryStore(), resources=[RESOURCE]
    )
    with pytest.raises(ValueError, match=r"prox|everybody"):
        server.run(proxies=proxies)


@pytest.mark.hostile
async def test_many_guesses_at_once_are_counted_one_by_one() -> None:
    tries: list[str] = []
    going = asyncio.Event()

    async def check(name: str, password: str) -> User | None:
        tries.append(password)
        await going.wait()
        return None

    options: dict[str, Any] = {"login": form_login(check), "bounds": Bounds(failures=3)}
    async with calls(**options) as program, Browser(program.url) as browser:
        page = await browser.open(program.authorize_url())
        at_once = [
            asyncio.create_task(browser.submit(page, name="alice", password=str(n))) for n in range(20)
        ]
        await asyncio.wait(at_once, return_when=asyncio.FIRST_COMPLETED)
        going.set()
        statuses = sorted([(await each).status for each in at_once])
    assert statuses == [401] * 3 + [429] * 17
    assert len(tries) == 3


async def test_logins_that_succeed_are_not_counted() -> None:
    login = form_login(lambda name, password: User(name) if password == "right" else None)
    async with calls(login=login, bounds=Bounds(failures=2)) as program, Browser(program.url) as browser:
        page = await browser.open(program.authorize_url())
        for _ in range(10):
            assert "Allow access?" in (await browser.submit(page, name="alice", password="right")).text
        await browser.submit(page, name="alice", password="wrong")
        assert "Allow access?" in (await browser.submit(page, name="alice", password="right")).text


async def wrong_secrets(program: Calls) -> None:
    for _ in range(5):
        await program.post("/token", OWN, headers=basic("private", "wrong-secret-here"))
    assert (await program.post("/token", OWN, headers=basic("private", SECRET))).status == 429


@pytest.mark.hostile
async def test_what_can_not_be_guessed_at_stays_open_to_an_address_that_fails() -> None:
    """Else a client with a wrong secret cuts the servers beside it off from the keys, and people from the login."""
    async with calls(bounds=Bounds(failures=2), clients=[PUBLIC, PRIVATE]) as program:
        await wrong_secrets(program)
        for path in ("/jwks", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"):
            assert (await program.get(path)).status == 200, path
        assert (await program.code()) != ""


@pytest.mark.hostile
@pytest.mark.parametrize(
    "path",
    ["/login?ticket=made-up", "/authorize?client_id=nobody", "/authorize?client_id=public&redirect_uri=x:y"],
)
async def test_a_page_of_another_site_locks_nobody_out_with_pictures(path: str) -> None:
    """An address that any page can make a browser load."""
    login = form_login(lambda name, password: User(name))
    async with calls(login=login, bounds=Bounds(failures=2)) as program, Browser(program.url) as browser:
        for _ in range(10):
            assert 400 <= (await program.get(path)).status < 429
        page = await browser.open(program.authorize_url())
        assert "Allow access?" in (await browser.submit(page, name="alice", password="x")).text


@pytest.mark.hostile
async def test_a_page_of_another_site_locks_nobody_out_with_forms() -> None:
    """A page can post a form anywhere; the browser says whose it is."""
    from_a_page = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    async with calls(bounds=Bounds(failures=2)) as program:
        for path in ("/token", "/revoke", "/introspect", "/login?ticket=x", "/consent"):
            for _ in range(6):
                said = await program.post(path, {"client_id": "nobody", "token": "x"}, headers=from_a_page)
                assert said.status == 403, path
        assert (await program.post("/token", OWN, headers=basic("private", SECRET))).status == 200


@pytest.mark.hostile
async def test_documents_that_are_none_make_their_address_wait_and_nobody_else() -> None:
    async with calls(bounds=Bounds(failures=2)) as program:
        named = [f"http://127.0.0.1:9/{n}.json" for n in range(6)]
        said = [(await program.get(program.authorize_url(client_id=each))).status for each in named]
        assert said == [400] * 3 + [429] * 3
        assert (await program.code()) != "", "clients that need no fetch are not kept out"
