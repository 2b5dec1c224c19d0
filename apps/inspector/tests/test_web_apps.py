"""The second origin of views, asked by programs: what it gives, to whom, and under which policy."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import app_server
import pytest
from test_web_access import logged_in, served

from dovetail_inspector.app_views.hosting import MAX_OPEN, AppViews
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.views import ConnectionSettings, ServerTarget
from dovetail_inspector.web.sandbox import MAX_REPORT, Sandbox

AROUND = {"theme": "dark", "width": 500, "height": 300}


@asynccontextmanager
async def open_view(
    inspection: Inspection, **body: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, dict[str, Any]]]:
    """A page that has opened the view of a call."""
    target = ServerTarget(command=sys.executable, args=[str(Path(app_server.__file__))])
    server = inspection.add("tower", target, ConnectionSettings())
    server.connect()
    await server.connected()
    call = inspection.call(server.id, CallRequest(kind="tool", name="clock", arguments={}))
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        made = {"call": call.id, "around": AROUND, **body}
        async with session.post(f"/api/servers/{server.id}/apps", json=made) as answer:
            assert answer.status == 201, await answer.text()
            yield session, await answer.json()


def directives(policy: str) -> dict[str, str]:
    """A policy by directive."""
    return dict(each.strip().split(" ", 1) for each in policy.split(";"))


async def test_the_outer_document_has_the_policy_of_the_view_and_nothing_of_it(inspection):
    async with open_view(inspection) as (session, view), session.get(view["frame"]) as answer:
        page = str(session._base_url).rstrip("/")
        assert view["frame"].startswith("http://localhost:")
        assert page.startswith("http://127.0.0.1:")
        text, policy = await answer.text(), directives(answer.headers["content-security-policy"])
        assert policy.pop("frame-ancestors") == page
        assert policy.pop("report-uri").startswith("/report/")
        assert policy == directives(view["policy"])
        assert policy["connect-src"] == app_server.CONNECT
        assert policy["script-src"] == "'self' 'unsafe-inline'"
        allowed = answer.headers["permissions-policy"]
        assert "clipboard-write=*" in allowed
        assert "camera=()" in allowed
        assert "Clock" not in text
        assert f'data-page="{page}"' in text
        assert "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"


ASKED = [
    ("GET", "", {"Host": "evil.example"}, 421),
    ("GET", "", {"Host": "localhost"}, 421),
    ("GET", "", {"Host": "evil.localhost:PORT"}, 421),
    ("GET", "", {"Sec-Fetch-Dest": "document"}, 403),
    ("GET", "", {"Sec-Fetch-Dest": "script"}, 403),
    ("GET", "", {"Origin": "http://127.0.0.1:1"}, 403),
    ("GET", "", {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}, 200),
    ("POST", "", {}, 404),
    ("GET", "/", {}, 404),
    ("GET", "/view/", {}, 404),
    ("GET", "/api/state", {}, 404),
    ("GET", "/assets/index.js", {}, 404),
    ("GET", "/sandbox_proxy.html", {}, 404),
    ("GET", "/sandbox_proxy.js", {}, 200),
]


async def test_v34_what_the_second_origin_answers(inspection):
    async with open_view(inspection) as (session, view):
        port = view["frame"].split("/")[2].rpartition(":")[2]
        for method, path, headers, status in ASKED:
            sent = {name: value.replace("PORT", port) for name, value in headers.items()}
            place = (
                f"http://127.0.0.1:{port}{path}" if path else view["frame"].replace("localhost", "127.0.0.1")
            )
            async with session.request(method, place, headers=sent) as answer:
                assert answer.status == status, (method, path, headers)


REPORTS = [
    ({"csp-report": {"effective-directive": "connect-src", "blocked-uri": "https://x.example"}}, {}, 204),
    ({"csp-report": {"effective-directive": ["x"], "blocked-uri": 5}}, {"Origin": "null"}, 204),
    ({"csp-report": {}}, {"Origin": "http://evil.example"}, 403),
    ({"csp-report": []}, {}, 400),
    ({"other": {}}, {}, 400),
    ([], {}, 400),
    ({"csp-report": {"x": "y" * MAX_REPORT}}, {}, 413),
]


@pytest.mark.hostile
async def test_what_a_browser_reports_is_kept_as_far_as_it_can_be_read(inspection):
    async with open_view(inspection) as (session, view):
        place = view["frame"].replace("localhost", "127.0.0.1").replace("/view/", "/report/")
        for body, headers, status in REPORTS:
            async with session.post(place, json=body, headers=headers) as answer:
                assert answer.status == status, body
        told = ["connect-src: https://x.example", "policy: something"]
        assert inspection.apps.view(view["id"]).blocked == told


@pytest.mark.hostile
async def test_reports_have_an_end(inspection):
    async with open_view(inspection) as (session, view):
        place = view["frame"].replace("localhost", "127.0.0.1").replace("/view/", "/report/")
        for n in range(150):
            report = {"effective-directive": "img-src", "blocked-uri": f"https://{n}.example"}
            async with session.post(place, json={"csp-report": report}) as answer:
                assert answer.status == 204
        assert len(inspection.apps.view(view["id"]).blocked) == 100


async def test_a_view_that_is_open_has_its_place_however_many_ended_meanwhile(inspection):
    async with open_view(inspection) as (session, view):
        other = view
        for _ in range(MAX_OPEN + 2):
            made = {"call": view["call"], "around": AROUND}
            async with session.post(f"/api/servers/{view['server']}/apps", json=made) as answer:
                other = await answer.json()
            async with session.delete(f"/api/apps/{other['id']}") as answer:
                assert (await answer.json())["state"] == "closed"
        place = view["frame"].replace("localhost", "127.0.0.1")
        report = {"csp-report": {"effective-directive": "img-src", "blocked-uri": "https://x.example"}}
        async with session.post(place.replace("/view/", "/report/"), json=report) as answer:
            assert answer.status == 204
        assert inspection.apps.view(view["id"]).blocked == ["img-src: https://x.example"]
        async with session.get(other["frame"].replace("localhost", "127.0.0.1")) as answer:
            assert answer.status == 200


async def test_a_page_may_have_frames_of_the_second_origin_alone(inspection, tmp_path):
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "assets").mkdir()
    async with served(inspection, tmp_path) as (address, access), logged_in(address, access) as session:
        port = address.rpartition(":")[2]
        async with session.get("/") as answer:
            policy = directives(answer.headers["content-security-policy"])
            origin = policy["frame-src"]
            assert origin.startswith("http://localhost:")
            assert answer.headers["permissions-policy"].startswith(f'camera=(self "{origin}")')
            # Nobody listens there before there is a view, and nobody else can.
            at = int(origin.rpartition(":")[2])
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", at)
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with pytest.raises(OSError, match="in use"):
                    other.bind(("127.0.0.1", at))
        async with session.get("/", headers={"Host": f"localhost:{port}"}) as answer:
            policy = directives(answer.headers["content-security-policy"])
            assert policy["frame-src"] == origin.replace("localhost", "127.0.0.1")
        async with session.get("/api/state") as answer:
            assert "frame-src" not in answer.headers["content-security-policy"]
            assert answer.headers["permissions-policy"].startswith("camera=()")


IMPOSSIBLE = [
    ("POST", "/api/servers/s9/apps", {"call": "c1", "around": AROUND}, 404),
    ("POST", "/api/servers/s1/apps", {"call": "c99", "around": AROUND}, 404),
    ("POST", "/api/servers/s1/apps", {"call": "c1", "around": {"theme": "pink"}}, 400),
    ("POST", "/api/servers/s1/apps", {"call": "c1", "around": {**AROUND, "more": 1}}, 400),
    ("POST", "/api/apps/a9/messages", {"messages": []}, 404),
    ("POST", "/api/apps/a1/messages", {"messages": [{}]}, 400),
    ("GET", "/api/apps/a1/messages/x", None, 404),
    ("GET", "/api/apps/a1/messages/999", None, 404),
    ("POST", "/api/apps/a1/mode", {"mode": "pip"}, 400),
    ("POST", "/api/apps/a9/mode", {"mode": "inline"}, 404),
    ("DELETE", "/api/apps/a9", None, 404),
]


async def test_what_can_not_be_done_with_views_says_why(inspection):
    async with open_view(inspection) as (session, _):
        for method, path, body, status in IMPOSSIBLE:
            async with session.request(method, path, json=body) as answer:
                assert answer.status == status, (method, path)
                assert (await answer.json())["error"]["message"]


async def test_views_are_for_who_has_the_cookie(inspection):
    async with open_view(inspection) as (session, view):
        place = str(session._base_url)
        async with aiohttp.ClientSession(place) as other:
            for method, path in (
                ("POST", f"/api/apps/{view['id']}/messages"),
                ("POST", "/api/servers/s1/apps"),
            ):
                async with other.request(method, path, json={}) as answer:
                    assert answer.status == 401


async def test_a_view_that_is_gone_is_loaded_by_nobody(inspection):
    async with open_view(inspection) as (session, view):
        async with session.delete(f"/api/apps/{view['id']}") as answer:
            assert (await answer.json())["state"] == "closed"
        inspection.apps._all.clear()
        async with session.get(view["frame"].replace("localhost", "127.0.0.1")) as answer:
            assert answer.status == 404


async def test_a_place_that_has_no_second_name_has_no_views():
    views: Any = AppViews
    sandbox = Sandbox(views, 6280)
    for host in ("evil.example:6280", "", "127.0.0.1", "[::2]:6280"):
        assert sandbox.reserve(host) == ""
    assert sandbox.ports == (6280,)
    first = sandbox.reserve("127.0.0.1:6280")
    assert sandbox.reserve("[::1]:6280") == first
    assert len(sandbox.ports) == 2
    await asyncio.gather(sandbox.start(), sandbox.start())
    await sandbox.stop()
    await sandbox.stop()
    assert sandbox.ports == (6280,)
