"""Who may come in to the page, and what is answered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from inspected import kitchen
from starlette.routing import Route

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.views import ServerTarget
from dovetail_inspector.web.access import Access
from dovetail_inspector.web.serving import WebFace, listener, serve

JSON = {"content-type": "application/json"}


@asynccontextmanager
async def served(inspection: Inspection, page: Any = None) -> AsyncIterator[tuple[str, Access]]:
    """The page of an Inspector, on a port of this machine."""
    with listener(0) as sock:
        port = sock.getsockname()[1]
        access = Access(port)
        started = asyncio.Event()
        face = WebFace(inspection, access) if page is None else WebFace(inspection, access, page=page)
        running = asyncio.create_task(serve(face, sock, started=started.set))
        await started.wait()
        try:
            yield f"http://127.0.0.1:{port}", access
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def logged_in(address: str, access: Access) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that has the token."""
    async with aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.post("/api/session", json={"token": access.token}) as answer:
            assert answer.status == 200
            cookie = answer.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
        yield session


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1.evil.example:PORT"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:PORT"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:PORT", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_v34_other_pages_and_other_names_are_kept_out(inspection, headers, status, method):
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        port = address.rpartition(":")[2]
        sent = {name: value.replace("PORT", port) for name, value in headers.items()}
        path = "/api/state" if method == "GET" else "/api/servers"
        body = {"name": "x", "target": {"url": "http://127.0.0.1:1/mcp"}} if method == "POST" else None
        async with session.request(method, path, headers=sent, json=body) as answer:
            assert answer.status == (201 if (status, method) == (200, "POST") else status)
        assert len(inspection.servers) == (1 if (status, method) == (200, "POST") else 0)


@pytest.mark.requirement("RXSEC-SECURITY-030")
async def test_v34_nothing_is_told_without_the_cookie_and_a_wrong_token_gets_none(inspection, tmp_path):
    (tmp_path / "index.html").write_text("<p nonce=__NONCE__>")
    async with served(inspection, tmp_path) as (address, access), aiohttp.ClientSession(address) as session:
        paths = (
            "/api/state",
            "/api/events",
            "/api/servers/s1/tools",
            "/api/transcripts/t1/records",
            "/api/nothing",
        )
        for path in paths:
            async with session.get(path) as answer:
                assert answer.status == 401
        for token in ("", "x", access.token[:-1], access.token + "x"):
            async with session.post("/api/session", json={"token": token}) as answer:
                assert answer.status == 401
                assert "set-cookie" not in answer.headers
        async with session.post("/api/session", data=json.dumps({"token": access.token})) as answer:
            assert answer.status == 415  # what a form of another page could send
        async with session.get("/", headers={"Cookie": f"{access.cookie_name}=x"}) as answer:
            text, policy = await answer.text(), answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "__NONCE__" not in text
            assert text.removeprefix("<p nonce=").removesuffix(">") in policy
            assert access.token not in text
        async with session.get("/") as answer:
            assert text != await answer.text()


#: What whoever comes may ask for: the page itself, and a cookie for the token.
OPEN = {("GET", "/"), ("GET", "/assets/{path:path}"), ("POST", "/api/session")}


def every_route(face: WebFace) -> list[tuple[str, str]]:
    """Method and path of whatever it answers."""
    rows = [(each.path, each.methods or set()) for each in face._app.routes if isinstance(each, Route)]
    assert len(rows) == len(face._app.routes)
    return sorted({(method, path) for path, methods in rows for method in methods - {"HEAD"}})


def place_of(path: str, id: str = "x1") -> str:
    """A path with something in its parameters."""
    return re.sub(r"\{[^}]*\}", id, path)


@pytest.mark.hostile
async def test_v34_every_route_is_closed_to_who_has_no_cookie_and_to_other_pages(inspection, tmp_path):
    """Also those that are added one day: the routes are asked for, not written down here."""
    (tmp_path / "index.html").write_text("page")
    routes = every_route(WebFace(inspection, Access(1)))
    assert set(routes) >= OPEN
    assert len(routes) > 50
    server = inspection.add("idle", ServerTarget(command="touch", args=[str(tmp_path / "ran")]))
    async with (
        served(inspection, tmp_path) as (address, access),
        logged_in(address, access) as inside,
        aiohttp.ClientSession(address) as outside,
    ):
        port = address.rpartition(":")[2]
        for method, path in routes:
            place, body = place_of(path, server.id), {} if method in ("POST", "PATCH") else None
            for bad, status in (
                ({"Host": f"evil.example:{port}"}, 421),
                ({"Origin": "http://evil.example"}, 403),
                ({"Sec-Fetch-Site": "cross-site"}, 403),
            ):
                async with inside.request(method, place, headers=bad, json=body) as answer:
                    assert answer.status == status, (method, path, bad)
            if (method, path) in OPEN:
                continue
            for query, headers in (
                ({}, {}),
                ({"token": access.token}, {}),
                ({}, {"Authorization": f"Bearer {access.token}"}),
                ({}, {"Cookie": f"{access.cookie_name}={access.token}"}),
            ):
                async with outside.request(method, place, json=body, params=query, headers=headers) as answer:
                    assert answer.status == 401, (method, path, query, headers)
                    assert "set-cookie" not in answer.headers
    assert list(inspection.servers) == [server.id]
    assert server.view.state == "idle"
    assert not (tmp_path / "ran").exists()


async def test_v34_nothing_that_is_read_starts_anything(inspection, tmp_path):
    """GET is what a link, a picture and a page that is fetched ahead do: whatever such an address says."""
    (tmp_path / "index.html").write_text("page")
    marker = str(tmp_path / "ran")
    server = inspection.add("idle", ServerTarget(command="touch", args=[marker]))
    wanted = {
        "command": "touch",
        "args": marker,
        "target": json.dumps({"command": "touch", "args": [marker]}),
        "name": "x",
        "connect": "true",
    }
    async with served(inspection, tmp_path) as (address, access), logged_in(address, access) as session:
        for method, path in every_route(WebFace(inspection, access)):
            if method != "GET":
                continue
            async with session.get(place_of(path, server.id), params=wanted) as answer:
                assert answer.status != 500, path
        async with session.get("/sse", params=wanted) as answer:
            assert answer.status == 404
    assert list(inspection.servers) == [server.id]
    assert server.view.state == "idle"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "path", ["/assets/../index.html", "/assets/%2e%2e/index.html", "/assets//etc/passwd", "/x"]
)
async def test_no_other_file_is_given(inspection, tmp_path, path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("secret")
    async with served(inspection, tmp_path) as (address, _):
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in (await reader.read()).split(b"\r\n")[0]
        writer.close()


async def test_events_go_on_where_they_were(inspection, tmp_path):
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        await kitchen(inspection, tmp_path)
        inspection.catch_up()

        async def read(last: int, until: int) -> list[int]:
            async with session.get("/api/events", headers={"Last-Event-ID": str(last)}) as answer:
                assert answer.content_type == "text/event-stream"
                seen: list[int] = []
                async for line in answer.content:
                    if line.startswith(b"id: "):
                        seen.append(int(line[4:]))
                        if seen[-1] == until:
                            return seen
            return seen

        latest = inspection.events.seq
        assert await read(0, latest) == list(range(1, latest + 1))
        assert await read(latest - 2, latest) == [latest - 1, latest]
        async with session.get("/api/events?after=99999") as answer:
            async for line in answer.content:
                if line.startswith(b"event: "):
                    assert line == b"event: reset\n"
                    break


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/api/servers/s9/info", None, 404),
        ("GET", "/api/calls/c9", None, 404),
        ("POST", "/api/questions/q9", {"action": "accept"}, 404),
        ("POST", "/api/questions/q9", {"action": "burn"}, 400),
        ("POST", "/api/servers", {"name": "x"}, 400),
        ("POST", "/api/servers", {"name": "x", "target": {}}, 400),
        ("POST", "/api/servers", {"name": "x", "target": {"url": "u"}, "more": 1}, 400),
        ("POST", "/api/captures", {"not": "a capture"}, 400),
        ("GET", "/api/transcripts/t9/records", None, 404),
    ],
)
async def test_what_can_not_be_done_says_why(inspection, method, path, body, status):
    async with (
        served(inspection) as (address, access),
        logged_in(address, access) as session,
        session.request(method, path, json=body) as answer,
    ):
        assert answer.status == status
        error = (await answer.json())["error"]
        assert error["message"]
