"""Logins over the page's paths: real servers behind a real authorization server, gone through step by step."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from inspected import question, until
from test_web_access import logged_in, served

from dovetail import App, Client, Principal
from dovetail.auth import Protected, jwt
from dovetail.auth.login import FileTokens, MemoryTokens, OAuth
from dovetail.testing import served as serving
from dovetail_authserver.testing import AuthorizationServer, authorization_server
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.questions import PersonAnswer
from dovetail_inspector.views import ServerTarget

ERAS = ["2025-11-25", "2026-07-28"]
WHOLE = [
    "challenge", "resource-metadata", "server-chosen", "server-metadata", "scopes", "resource", "code-challenge",
    "registration", "authorization", "redirect", "token", "kept",
]  # fmt: skip


@asynccontextmanager
async def protected(
    audience: str = "", wrap: Callable[[Any], Any] = lambda app: app
) -> AsyncIterator[tuple[str, AuthorizationServer]]:
    """A protected server, and the authorization server that gives out its tokens. ``audience``: what it wants tokens
    to be for, if that is not itself; ``wrap``: what the authorization server is served in.
    """
    apps: dict[str, Any] = {}

    async def site(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await apps["server"](scope, receive, send)

    async with (
        serving(site) as url,
        authorization_server(
            url, wrap=wrap, scopes={"read": "read notes", "write": "write notes"}
        ) as authority,
    ):
        check = jwt(authority.url, audience=audience) if audience else jwt(authority.url)
        app = App("notes", auth=Protected(url, check, scopes=["read"]), rate_limit=None)

        @app.tool
        def mine(who: Principal) -> str:
            return f"of {who.subject}"

        @app.tool(scopes=["read", "write"])
        def write() -> str:
            return "written"

        apps["server"] = app.asgi()
        yield url, authority


async def post(session: aiohttp.ClientSession, path: str, body: Any = None, status: int = 200) -> Any:
    async with session.post(path, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def login(session: aiohttp.ClientSession, server: str) -> Any:
    async with session.get(f"/api/servers/{server}/login") as answer:
        assert answer.status == 200
        return await answer.json()


async def agree(inspection: Inspection, authority: AuthorizationServer) -> None:
    """The person agrees, and their browser goes where it is sent."""
    asked = await question(inspection)
    assert asked.kind == "login"
    inspection.answer(asked.id, PersonAnswer("accept"))
    await authority.approve(asked.url)


async def added(session: aiohttp.ClientSession, url: str, **settings: Any) -> str:
    body = {"name": "notes", "target": {"url": url}, "settings": settings, "connect": True}
    return str((await post(session, "/api/servers", body, 201))["id"])


def kinds(view: Any) -> list[str]:
    """The kinds of steps, without the second one about scopes where refresh tokens can be asked for."""
    found = [step["kind"] for step in view["steps"]]
    return [
        kind for n, kind in enumerate(found) if kind != "scopes" or "scopes" not in found[max(0, n - 2) : n]
    ]


@pytest.mark.parametrize("revision", ERAS)
async def test_a_login_is_seen_and_begun_anew(inspection: Inspection, revision: str) -> None:
    async with (
        protected() as (url, authority),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url, revision=revision)
        await agree(inspection, authority)
        await inspection.server(id).connected()
        assert inspection.server(id).view.state == "ready", inspection.server(id).view.error
        view = await login(session, id)
        assert kinds(view) == WHOLE
        assert not view["waiting"]
        assert {step["state"] for step in view["steps"]} == {"done"}
        token = next(step for step in view["steps"] if step["kind"] == "token")
        assert (token["source"], token["target"]) == ("client", "authority")
        assert token["request"]["sent"]["resource"] == url
        assert token["response"]["status"] == 200
        assert token["documents"][0]["content"]["token_type"] == "Bearer"
        assert token["requirement"]
        told = [event for event in inspection.events.after(0) or [] if event.type == "login"]
        assert len(told) == len(view["steps"])

        # The same tokens again: nobody is asked.
        await post(session, f"/api/servers/{id}/connect")
        await inspection.server(id).connected()
        assert inspection.server(id).view.state == "ready"
        assert (await login(session, id))["steps"][-1]["kind"] == "loaded"

        view = await post(session, f"/api/servers/{id}/login/reset")
        assert view["steps"] == []
        assert inspection.server(id).view.state == "idle"
        await post(session, f"/api/servers/{id}/connect")
        await agree(inspection, authority)
        await inspection.server(id).connected()
        assert kinds(await login(session, id)) == WHOLE


@pytest.mark.parametrize("revision", ERAS)
async def test_a_login_is_gone_through_step_by_step(inspection: Inspection, revision: str) -> None:
    async with (
        protected() as (url, authority),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url, revision=revision, stepLogin=True)
        logins = inspection.server(id).logins
        for count in range(1, 5):
            await until(lambda: logins.view.waiting)
            view = await login(session, id)
            assert [step["held"] for step in view["steps"]] == [False] * (count - 1) + [True]
            await post(session, f"/api/servers/{id}/login/step", {})
        assert kinds(await login(session, id))[:4] == WHOLE[:4]
        await until(lambda: logins.view.waiting)
        assert inspection.questions.views == [], "nobody is asked before that step"
        await post(session, f"/api/servers/{id}/login/step", {"run": True})
        await agree(inspection, authority)
        await inspection.server(id).connected()
        assert inspection.server(id).view.state == "ready"
        view = await login(session, id)
        assert kinds(view) == WHOLE
        assert (view["waiting"], view["stepping"]) == (False, True)
        assert (await post(session, f"/api/servers/{id}/login/step", {}, 404))["error"][
            "kind"
        ] == "NothingHeld"


async def test_a_server_can_be_let_go_while_a_step_is_held(inspection: Inspection) -> None:
    async with (
        protected() as (url, _),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url, stepLogin=True)
        await until(lambda: inspection.server(id).logins.view.waiting)
        await post(session, f"/api/servers/{id}/disconnect")
        view = await login(session, id)
        assert (view["waiting"], [step["held"] for step in view["steps"]]) == (False, [False])


async def test_a_step_up_is_seen(inspection: Inspection) -> None:
    async with (
        protected() as (url, authority),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url)
        await agree(inspection, authority)
        await inspection.server(id).connected()
        before = len((await login(session, id))["steps"])
        call = await post(session, f"/api/servers/{id}/calls", {"kind": "tool", "name": "write"}, 201)
        await agree(inspection, authority)
        await until(lambda: inspection.calls.view(call["id"]).state == "done")
        steps = (await login(session, id))["steps"][before:]
        assert steps[0]["response"]["status"] == 403
        scopes = next(step for step in steps if step["kind"] == "scopes")
        assert set(scopes["documents"][0]["content"]["scopes"]) >= {"read", "write"}
        assert scopes["requirement"] == "R2607-AUTH-056"


async def test_a_token_for_another_audience_is_seen_as_what_it_is(inspection: Inspection) -> None:
    async with (
        protected(audience="https://elsewhere.example/mcp") as (url, authority),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url)
        await agree(inspection, authority)
        await inspection.server(id).connected()
        assert inspection.server(id).view.state == "failed"
        last = (await login(session, id))["steps"][-1]
        assert (last["kind"], last["state"]) == ("failed", "failed")
        assert "audience" in last["decision"]


async def test_an_authorization_server_that_lies_is_seen(inspection: Inspection) -> None:

    def lying(app: Any) -> Any:
        async def lies(scope: Any, receive: Any, send: Any) -> None:
            async def changed(message: Any) -> None:
                if message["type"] == "http.response.body" and "/.well-known/" in scope["path"]:
                    body = message.get("body", b"").replace(b'"issuer":"http://127', b'"issuer":"http://128')
                    message = {**message, "body": body}
                await send(message)

            await app(scope, receive, changed)

        return lies

    async with (
        protected(wrap=lying) as (url, _),
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        id = await added(session, url)
        await inspection.server(id).connected()
        steps = (await login(session, id))["steps"]
        refused = [step for step in steps if step["state"] == "refused"]
        assert refused
        assert {step["kind"] for step in refused} == {"server-metadata"}
        assert "http://128" in refused[0]["decision"]
        assert steps[-1]["kind"] == "failed"


async def test_tokens_can_be_kept_for_other_launches() -> None:
    tokens = MemoryTokens()
    async with protected() as (url, authority):
        for kinds_of_steps in (WHOLE, ["loaded"]):
            async with Inspection(tokens=tokens) as inspection:
                server = inspection.add("notes", ServerTarget(url=url))
                server.connect()
                if kinds_of_steps == WHOLE:
                    await agree(inspection, authority)
                await server.connected()
                assert server.view.state == "ready"
                assert [step.kind for step in server.logins.view.steps][-1] == kinds_of_steps[-1]
        async with Inspection(tokens=tokens) as inspection:
            server = inspection.add("notes", ServerTarget(url=url))
            server.connect()
            await server.connected()
            await server.forget_login()
            assert server.logins.view.steps == []
            server.connect()
            assert (await question(inspection)).kind == "login"


@asynccontextmanager
async def launched(url: str, *words: str) -> AsyncIterator[aiohttp.ClientSession]:
    """The command, which looks at a URL; gives a browser that has its token."""
    command = ["-m", "dovetail", "inspect", "--no-browser", "--port", "0", *words, url]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        address, _, token = (await process.stdout.readline()).decode().strip().partition("/#token=")
        async with aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            await post(session, "/api/session", {"token": token})
            yield session
    finally:
        process.terminate()
        await process.wait()


async def first_server(session: aiohttp.ClientSession) -> Any:
    """The server, as soon as it is connected or somebody is asked to log in."""
    while True:
        async with session.get("/api/state") as answer:
            state = await answer.json()
        if state["questions"] or state["servers"][0]["state"] not in ("idle", "connecting"):
            return state["servers"][0]["state"], [each["kind"] for each in state["questions"]]
        await asyncio.sleep(0.02)


async def test_the_command_keeps_logins_and_uses_those_that_were_made_before_if_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with protected() as (url, authority):

        async def opened(address: str) -> bool:
            await authority.approve(address)
            return True

        async with Client(url, auth=OAuth(open_browser=opened, tokens=FileTokens())) as client:
            assert (await client.call_tool("mine")).text
        async with launched(url) as session:
            assert await first_server(session) == ("connecting", ["login"])
        async with launched(url, "--keep-logins") as session:
            assert await first_server(session) == ("ready", [])
