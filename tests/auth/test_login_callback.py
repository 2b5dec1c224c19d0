"""The address on this machine: denials, strangers, junk, floods, reloads; and the pages it shows."""

import asyncio
import html.parser
import re
import socket
import time
from urllib.parse import quote

import pytest

from dovetail.auth.login.callback import Loopback
from dovetail.auth.login.pages import CallbackPage, render
from dovetail.auth.login.problems import LoginFailed

XSS = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


async def talk(loopback: Loopback, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", loopback.port)
    writer.write(request)
    if end:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def get(loopback: Loopback, target: str, *, host: str = "", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{loopback.port}'}\r\n\r\n".encode(
        "latin-1"
    )


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


class Taker:
    """Takes answers with the state "right"; notes them all."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []

    async def __call__(self, answer: dict[str, str]) -> CallbackPage:
        self.taken.append(answer)
        return CallbackPage.DONE if answer.get("state") == "right" else CallbackPage.STRANGER


@pytest.mark.requirement("R2511-AUTH-081", "R2607-AUTH-112")
async def test_it_is_bound_to_loopback_only() -> None:
    async with Loopback() as loopback:
        assert loopback.redirect_uri == f"http://127.0.0.1:{loopback.port}/callback"
        bound = [sock.getsockname()[:2] for server in loopback._servers for sock in server.sockets]
        assert ("127.0.0.1", loopback.port) in bound
        assert {*bound} <= {("127.0.0.1", loopback.port), ("::1", loopback.port)}
    with pytest.raises(ValueError, match="this machine"):
        Loopback(name="0.0.0.0")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", loopback.port), timeout=1)


async def test_a_busy_port_is_told() -> None:
    async with Loopback() as first:
        with pytest.raises(LoginFailed, match=f"port {first.port}"):
            async with Loopback(first.port):
                pass


async def test_r89_a_wrong_state_leaves_it_waiting_and_the_right_one_comes_through() -> None:
    taker = Taker()
    async with Loopback() as loopback:
        loopback.listen_for(taker)
        wrong = await talk(loopback, get(loopback, "/callback?state=wrong&code=x"))
        assert status_of(wrong) == 400
        assert b"still waits" in wrong
        assert status_of(await talk(loopback, get(loopback, "/callback?state=right&code=%C3%A9+b"))) == 200
        assert taker.taken[-1] == {"state": "right", "code": "é b"}


@pytest.mark.hostile
@pytest.mark.parametrize(
    "request_,status",
    [
        ("GET /other HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("GET /favicon.ico HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("GET /callback/../callback?state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("GET //callback?state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("GET http://{host}/callback?state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        ("POST /callback?state=right HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n", 405),
        ("HEAD /callback?state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 405),
        ("OPTIONS /callback?state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 405),
        ("GET /callback?state=right HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        ("GET /callback?state=right HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403),
        ("GET /callback?state=right HTTP/1.1\r\n\r\n", 403),
        ("GET /callback?state=right HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", 403),
        ("GET /callback?state=right&state=right HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        ("GET /callback?state=%ff HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        ("GET /callback HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        ("GET /callback\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
        ("GET /callback?state=right HTTP/1.1\r\nX: " + "x" * 30000 + "\r\n\r\n", 0),
        ("GET /callback?" + "&".join(f"a{n}=1" for n in range(100)) + " HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        ("nothing that ends", 0),
    ],
)  # fmt: skip
async def test_junk_gets_a_page_or_nothing_and_changes_nothing(request_: str, status: int) -> None:
    taker = Taker()
    async with Loopback() as loopback:
        loopback.listen_for(taker)
        request = request_.replace("{host}", f"127.0.0.1:{loopback.port}").encode("latin-1")
        assert status_of(await talk(loopback, request, end=True)) == status
        assert not [each for each in taker.taken if each.get("state") == "right"]
        assert status_of(await talk(loopback, get(loopback, "/callback?state=right&code=x"))) == 200


@pytest.mark.hostile
async def test_connections_that_say_nothing_neither_block_nor_delay_the_end() -> None:
    """Browsers open connections ahead and leave them unused; others may do it on purpose."""
    taker = Taker()
    async with Loopback() as loopback:
        loopback.listen_for(taker)
        idle = [(await asyncio.open_connection("127.0.0.1", loopback.port))[1] for _ in range(100)]
        assert status_of(await talk(loopback, get(loopback, "/callback?state=right&code=x"))) == 200
        assert len(loopback._handlers) <= 32
        began = time.monotonic()
    assert time.monotonic() - began < 2
    for writer in idle:
        writer.close()


async def test_the_last_page_is_shown_before_the_server_ends() -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(answer: dict[str, str]) -> CallbackPage:
        asked.set()
        await release.wait()
        return CallbackPage.DONE

    async with Loopback() as loopback:
        loopback.listen_for(slow)
        asking = asyncio.create_task(talk(loopback, get(loopback, "/callback?state=right")))
        await asked.wait()
        release.set()
    assert status_of(await asking) == 200


async def test_before_a_login_is_under_way_everybody_is_a_stranger() -> None:
    async with Loopback() as loopback:
        assert status_of(await talk(loopback, get(loopback, "/callback?state=right"))) == 400


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["error", "error_description", "state", "code", "iss"])
async def test_V39_nothing_of_a_request_appears_in_a_page(name: str) -> None:
    taker = Taker()
    async with Loopback() as loopback:
        loopback.listen_for(taker)
        for target in (
            f"/callback?{name}={quote(XSS)}",
            f"/{quote(XSS)}",
            f"/callback?{XSS.replace(' ', '')}",
        ):
            answer = await talk(loopback, get(loopback, target))
            assert b"alert" not in answer
            assert b"<script" not in answer


class Reading(html.parser.HTMLParser):
    """Notes the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.mark.requirement("RXSEC-SECURITY-030")
@pytest.mark.parametrize("page", CallbackPage)
def test_V39_pages_need_no_script_load_nothing_and_are_not_framed(page: CallbackPage) -> None:
    head, _, body = render(page).partition(b"\r\n\r\n")
    text = head.decode()
    reading = Reading()
    reading.feed(body.decode())
    tags = {tag for tag, _ in reading.elements}
    assert not tags & {"script", "img", "link", "iframe", "form", "object"}
    assert not [name for _, attributes in reading.elements for name in attributes if name.startswith("on")]
    assert "style" not in {name for _, attributes in reading.elements for name in attributes}
    policy = re.search(r"Content-Security-Policy: (.*)", text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "frame-ancestors 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for header in (
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
    ):
        assert header in text
    assert f"Content-Length: {len(body)}" in text
