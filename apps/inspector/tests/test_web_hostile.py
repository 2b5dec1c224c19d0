"""Attacks on the web face by whoever can reach its port: what is sent is wrong in every way that we could think of."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from test_web_access import logged_in, served

from dovetail_inspector.nesting import deeper
from dovetail_inspector.web import bodies
from dovetail_inspector.web.access import Access
from dovetail_inspector.web.serving import WebFace, listener, serve

JSON = "Content-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    """An attack leaves no traceback on the terminal of whoever looks at a server."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


class Attacker:
    """Speaks bytes to a port. ``cookie``: stolen, or "" for none."""

    def __init__(self, address: str, cookie: str = "") -> None:
        self.port = int(address.rpartition(":")[2])
        self.cookie = f"Cookie: {cookie}\r\n" if cookie else ""

    async def send(
        self, line: str, more: str = "", body: bytes = b"", *, length: bool = True
    ) -> tuple[int, str, str]:
        """A request; the status, the head and the body of its answer."""
        host = f"Host: 127.0.0.1:{self.port}\r\nConnection: close\r\n{self.cookie}"
        size = f"Content-Length: {len(body)}\r\n" if body and length else ""
        head = f"{line} HTTP/1.1\r\n{host}{more}{size}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head.encode() + body)
            answered = (await asyncio.wait_for(reader.read(), 20)).decode("utf-8", "replace")
        finally:
            writer.close()
        head, _, text = answered.partition("\r\n\r\n")
        return int(head.split(" ")[1]), head.lower(), text


async def stolen(address: str, access: Access) -> Attacker:
    """An attacker that has the cookie."""
    async with logged_in(address, access) as session:
        cookie = "; ".join(f"{each.key}={each.value}" for each in session.cookie_jar)
    return Attacker(address, cookie)


@pytest.mark.parametrize(
    "path",
    [
        "/assets/%00",
        "/assets/x%00.js",
        "/assets/" + "a" * 300,
        "/assets/" + "a/" * 5000,
        "/assets/%ff%fe",
        "/assets/..%2findex.html",
        "/assets/..%5cindex.html",
        "/assets/....//index.html",
        "/assets/linked",
        "//evil.example/",
        "/api/state/",
        "/api//state",
        "/api/../api/state",
        "/API/state",
        "/api/transcripts/t1/records/" + "9" * 5000,
        "/api/transcripts/t1/records/-1",
        "/api/transcripts/..%2f..%2fetc%2fpasswd/records",
        "/api/servers/%00/info",
    ],
)
async def test_odd_paths_lead_nowhere(inspection, tmp_path, path):
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    (page / "assets" / "linked").symlink_to(tmp_path / "secret")
    async with served(inspection, page) as (address, access):
        attacker = await stolen(address, access)
        status, head, text = await attacker.send(f"GET {path}")
        assert status == 404
        assert "location:" not in head
        assert "secret" not in text


@pytest.mark.parametrize(
    "path", ["/", "/api/state", "/api/events", "/api/session", "/api/servers", "/assets/x"]
)
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "HEAD", "CONNECT", "PROPFIND"])
async def test_v34_other_methods_are_not_answered_and_nothing_allows_other_origins(
    inspection, tmp_path, path, method
):
    (tmp_path / "index.html").write_text("page")
    asked = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
    async with served(inspection, tmp_path) as (address, access):
        for attacker in (Attacker(address), await stolen(address, access)):
            for origin in ("http://evil.example", "null", address):
                status, head, text = await attacker.send(f"{method} {path}", f"Origin: {origin}\r\n{asked}")
                assert status in (
                    (200, 404)
                    if method == "HEAD" and origin == address and path[:4] != "/api"
                    else (400, 401, 403, 405)
                )
                assert "access-control-" not in head
                assert "asked" not in text.lower()


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "more",
    [
        FORM,
        "Content-Type: text/plain\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "",
        "Content-Type: application/jsonx\r\n",
        "Content-Type: text/plain, application/json\r\n",
    ],
)
async def test_v34_v55_what_a_form_can_send_does_nothing(inspection, more):
    body = json.dumps({"name": "x", "target": {"command": "touch"}, "connect": True}).encode()
    async with served(inspection) as (address, access):
        attacker = await stolen(address, access)
        assert (await attacker.send("POST /api/servers", more, body))[0] == 415
        for path in ("/api/session", "/api/servers/import"):
            assert (await attacker.send(f"POST {path}", more, body))[0] == 415
        assert inspection.servers == {}


async def test_v34_a_token_counts_in_the_body_of_a_session_alone_and_a_ticket_once(inspection):
    async with served(inspection) as (address, access):
        token, attacker = access.token, Attacker(address)
        for path, more in (
            (f"/api/state?token={token}", ""),
            (f"/api/state?cookie={token}", ""),
            ("/api/state", f"Authorization: Bearer {token}\r\n"),
            ("/api/state", f"Cookie: {access.cookie_name}={token}\r\n"),
            ("/api/state", f"Cookie: {access.cookie_name}=\r\n"),
            ("/api/state", f"Cookie: {'a=b; ' * 900}{access.cookie_name}=x\r\n"),
            ("/api/state", "Cookie: \xff=\xfe\r\n"),
            (f"/api/session?token={token}", ""),
        ):
            status, head, _ = await attacker.send(f"GET {path}", more)
            assert status in (401, 405)
            assert "set-cookie" not in head
        ticket = access.ticket()
        statuses = [
            (await attacker.send("POST /api/session", JSON, json.dumps({"token": each}).encode()))[0]
            for each in (ticket, ticket, token, token)
        ]
        assert statuses == [200, 401, 200, 200]


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"token":5}',
        b'{"token":null}',
        b'{"token":"\\ud800"}',
        b'{"token":"\xff"}',
        b'{"__proto__":{"token":"x"}}',
        b"[" * 1500 + b"]" * 1500,
    ],
)
async def test_what_is_no_token_is_refused(inspection, body):
    async with served(inspection) as (address, _):
        status, head, text = await Attacker(address).send("POST /api/session", JSON, body)
        assert status in (400, 401)
        assert json.loads(text)["error"]["message"]
        assert "set-cookie" not in head


@pytest.mark.parametrize("depth", [400, 499, 600, 900, 950, 980, 1500, 100_000])
async def test_deep_json_is_refused_before_it_is_kept(inspection, depth):
    meta = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"name":"x","target":{"url":"http://127.0.0.1:1/"},"settings":{"meta":' + meta + b"}}"
    async with served(inspection) as (address, access):
        attacker = await stolen(address, access)
        status, _, text = await attacker.send("POST /api/servers", JSON, body)
        assert status == (201 if depth < 498 else 400), text
        assert (await attacker.send("GET /api/state"))[0] == 200


def test_depth_is_that_of_brackets_outside_of_texts():
    assert not deeper(b'{"a":"' + b"[" * 1000 + b'\\"[[["}', 5)
    assert deeper(b'["\\\\",' + b"[" * 6 + b"]" * 6 + b"]", 5)
    assert not deeper(b"[[]," * 3 + b"[]" + b"]" * 3, 5)
    assert not deeper(b"[" + b"[]," * 1000 + b"[]]", 5)


async def test_a_long_body_is_not_read(inspection):
    async with served(inspection) as (address, access):
        stranger, thief = Attacker(address), await stolen(address, access)
        for attacker, path, length in (
            (stranger, "/api/session", 5000),
            (thief, "/api/servers", 17 * 2**20),
            (thief, "/api/captures", 257 * 2**20),
            (thief, "/api/captures", 10**18),
        ):
            # Nothing of the body is sent: the length alone is refused.
            status, _, text = await attacker.send(f"POST {path}", f"{JSON}Content-Length: {length}\r\n")
            assert (status, json.loads(text)["error"]["kind"]) == (413, "Refused")
        pieces = b"".join(b"%x\r\n%s\r\n" % (1000, b"x" * 1000) for _ in range(5))
        chunked = f"{JSON}Transfer-Encoding: chunked\r\n"
        assert (await stranger.send("POST /api/session", chunked, pieces, length=False))[0] == 413
        assert (await stranger.send("POST /api/servers", f"{JSON}Content-Length: 99999999\r\n"))[0] == 401


async def test_a_body_that_does_not_come_is_not_waited_for(inspection, monkeypatch):
    monkeypatch.setattr(bodies, "_PATIENCE", 0.05)
    async with served(inspection) as (address, access):
        for attacker in (Attacker(address), await stolen(address, access)):
            status, _, _ = await attacker.send("POST /api/session", f"{JSON}Content-Length: 10\r\n")
            assert status == 408
        status, _, _ = await attacker.send("POST /api/captures", f"{JSON}Content-Length: 10\r\n")
        assert status == 408


async def test_a_thousand_streams_leave_room_for_the_page(inspection, tmp_path):
    inspection.events.publish("log", {"data": "x" * 1_000_000})
    async with served(inspection) as (address, access):
        attacker = await stolen(address, access)
        session = aiohttp.ClientSession(
            address,
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Cookie": attacker.cookie.removeprefix("Cookie: ").strip()},
        )
        async with session:
            opened = [asyncio.create_task(session.get("/api/events?after=0")) for _ in range(1000)]
            statuses = sorted([(await each).status for each in opened])
            assert statuses == [200] * 64 + [503] * 936
            async with session.get("/api/state") as answer:
                assert answer.status == 200
            for each in opened:
                (await each).close()


@pytest.mark.parametrize("given", ["-1", "1e9", "9" * 400, "x", "0x1", "٣", "%00", "1\t2", "<script>"])
async def test_an_id_of_an_event_that_is_none_is_the_beginning(inspection, given):
    inspection.events.publish("log", {"n": 1})
    inspection.events.publish("log", {"n": 2})
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        for headers, query in (({"Last-Event-ID": given}, ""), ({}, "?after=" + given)):
            if any(ord(each) < 32 for each in given) and headers:
                continue  # no header can have these
            async with session.get("/api/events" + query, headers=headers) as answer:
                assert answer.status == 200
                async for line in answer.content:
                    if line.startswith(b"id:"):
                        assert line in (b"id: 1\n", b"id: 2\n")
                        break


async def test_who_reads_slowly_holds_little(inspection):
    for n in range(400):
        inspection.events.publish("log", {"n": n, "data": "x" * 10_000})
    async with served(inspection) as (address, access):
        attacker = await stolen(address, access)
        reader, writer = await asyncio.open_connection("127.0.0.1", attacker.port, limit=2**14)
        host = f"Host: 127.0.0.1:{attacker.port}\r\n{attacker.cookie}"
        writer.write(f"GET /api/events HTTP/1.1\r\n{host}\r\n".encode())
        seen = b""
        while b"id: 400\n" not in seen:
            some = await reader.read(100_000)
            # Pieces of the stream are those of chunked coding: none is much longer than what is written at once.
            seen = (seen + some)[-200_000:]
            assert all(int(size, 16) < 80_000 for size in re.findall(rb"\r\n([0-9a-f]+)\r\nid", seen))
        writer.close()


async def test_open_streams_end_with_the_server(inspection, caplog):
    with listener(0) as sock:
        port = sock.getsockname()[1]
        access, started = Access(port), asyncio.Event()
        serving = asyncio.create_task(serve(WebFace(inspection, access), sock, started=started.set))
        await started.wait()
        async with logged_in(f"http://127.0.0.1:{port}", access) as session:
            answers = [await session.get("/api/events") for _ in range(3)]
            serving.cancel()
            await asyncio.wait((serving,))
            assert serving.cancelled()
            # To its end, and not to a connection that broke.
            assert [await answer.content.read() for answer in answers] == [b"retry: 500\n\n"] * 3
        with pytest.raises(OSError):  # noqa: PT011 - refused, or there is nobody
            await asyncio.open_connection("127.0.0.1", port)
    assert not asyncio.all_tasks() - {asyncio.current_task()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_at_the_end_of_the_process_nothing_is_left(tmp_path, number):
    place = tmp_path / "server.py"
    place.write_text("from dovetail import App\napp = App('a')\n")
    mark = f"HOME={tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-m", "dovetail", "inspect", "--no-browser", "--port", "0", str(place)],
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        while not list(tmp_path.glob("dovetail-inspect-*/s1-1.jsonl")):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == (130 if number == signal.SIGINT else 0)
    assert list(tmp_path.glob("dovetail-inspect-*")) == []
    assert [each for each in Path("/proc").glob("[0-9]*/environ") if mark in _environ(each)] == []


def _environ(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


async def test_a_capture_takes_the_place_of_no_other(inspection, tmp_path):
    def capture(said: str) -> bytes:
        return (
            b'{"capture":1,"began":""}\n'
            + json.dumps({"n": 1, "seconds": 0, "time": "", "text": said}).encode()
        )

    async with served(inspection) as (address, access), logged_in(address, access) as session:
        ids: list[str] = []
        for name in ("one", "two", "../../three", "/etc/passwd", "a\0b"):
            async with session.post(
                "/api/captures",
                params={"name": name},
                data=capture(name),
                headers={"content-type": "text/plain"},
            ) as answer:
                assert answer.status == 201
                ids.append((await answer.json())["id"])
            if name == "two":
                async with session.delete(f"/api/transcripts/{ids.pop(0)}") as answer:
                    assert answer.status == 200
        assert len(set(ids)) == 4
        inspection.catch_up()
        assert [inspection.transcript(id).detail(1).text for id in ids] == [
            "two",
            "../../three",
            "/etc/passwd",
            "a\0b",
        ]
        assert {each.path.parent for each in inspection.transcripts.values()} == {inspection.folder}
        for id in ids:
            async with session.get(f"/api/transcripts/{id}/export") as answer:
                assert re.fullmatch(r'attachment; filename="[\w.?-]+"', answer.headers["content-disposition"])
