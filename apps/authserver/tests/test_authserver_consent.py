"""The pages against forged forms, other browsers, frames and repeated clicks (V42, R93, R97, R98)."""

from __future__ import annotations

import asyncio
import re

import pytest
from authority_calls import CALLBACK, PUBLIC, Calls, answer_of, calls

from dovetail.stores import MemoryStore
from dovetail_authserver import (
    AuthServer,
    LoginRequest,
    Page,
    RegisteredClient,
    User,
    form_login,
    pick_user,
    single_user,
)
from dovetail_authserver.testing import Browser


@pytest.mark.requirement("R2607-AUTH-130", "R2511-AUTH-099", "R2607-AUTH-128")
async def test_r93_the_page_shows_the_redirect_host_and_warns_of_this_machine() -> None:
    web = RegisteredClient(id="web", name="Web", redirect_uris=["https://app.example:8443/cb"])
    async with calls(clients=[PUBLIC, web]) as program:
        local = await program.get(program.authorize_url())
        assert "<strong>127.0.0.1:5000</strong>" in local.text
        assert "a program on this computer" in local.text
        there = await program.get(
            program.authorize_url(client_id="web", redirect_uri="https://app.example:8443/cb")
        )
        assert "<strong>app.example:8443</strong>" in there.text
        assert "a program on this computer" not in there.text


async def test_r97_pages_can_not_be_framed_and_load_nothing(program: Calls) -> None:
    for url in (program.authorize_url(), program.authorize_url(client_id="nobody")):
        headers = (await program.get(url)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("frame-ancestors 'none'; default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


async def test_the_policy_allows_the_form_and_where_it_leads(program: Calls) -> None:
    policy = (await program.get(program.authorize_url())).headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:5000;" in policy


async def test_r98_the_cookie_is_as_strict_as_the_issuer_allows() -> None:
    async with calls() as program:
        cookie = (await program.get(program.authorize_url())).headers["set-cookie"]
        assert re.fullmatch(r"dovetail-\d+=[\w-]{43}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax", cookie), (
            "plain http on this machine"
        )
    app = AuthServer(
        "https://auth.example",
        login=form_login(lambda name, password: None),
        store=MemoryStore(),
        resources=["https://mcp.example/mcp"],
        clients=[PUBLIC],
    )
    headers = await _asgi_get(app, Calls.authorize_url(_fake("https://auth.example")))
    assert re.fullmatch(
        r"__Host-dovetail=[\w-]{43}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure",
        headers["set-cookie"],
    )
    await app.aclose()


async def test_v42_another_browser_can_not_go_on() -> None:
    """The attacker starts the flow, the victim opens the link in the middle: refused, nothing is granted."""
    users = ("alice", "bob")
    async with (
        calls(users=users) as program,
        Browser(program.url) as attacker,
        Browser(program.url) as victim,
    ):
        started = await attacker.open(program.authorize_url())
        link = program.url + started.forms[0].action.removeprefix(program.url)
        assert (await victim.open(link)).status == 400
        # With a cookie of its own, from a flow of its own, it is no better.
        await victim.open(program.authorize_url())
        assert (await victim.open(link)).status == 400
        consent = await attacker.submit(started, user="bob")
        stolen = await victim.submit(consent, decision="allow")
        assert (stolen.status, stolen.left) == (400, "")
        assert (await attacker.submit(consent, decision="allow")).left


async def test_a_decision_counts_once() -> None:
    async with calls() as program, Browser(program.url) as browser:
        consent = await browser.open(program.authorize_url())
        shown = await asyncio.gather(*(browser.submit(consent, decision="allow") for _ in range(10)))
        assert [bool(each.left) for each in shown].count(True) == 1
        assert (await browser.submit(consent, decision="deny")).status == 400


@pytest.mark.hostile
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_r97_forms_of_other_sites_are_refused(program: Calls, headers: dict[str, str]) -> None:
    async with Browser(program.url) as browser:
        consent = await browser.open(program.authorize_url())
        shown = await browser.submit(consent, decision="allow", headers=headers)
        assert (shown.status, shown.left) == (403, "")
        assert (await browser.submit(consent, decision="allow")).left, "and nothing was used up"


@pytest.mark.hostile
async def test_r98_tickets_can_not_be_changed_or_swapped() -> None:
    async with calls(users=("alice", "bob")) as program, Browser(program.url) as browser:
        login = await browser.open(program.authorize_url())
        consent = await browser.submit(login, user="alice")
        ticket = consent.forms[0].fields["ticket"]
        login_ticket = login.forms[0].action.partition("ticket=")[2]
        middle = len(ticket) // 2
        flipped = ticket[:middle] + ("A" if ticket[middle] != "A" else "B") + ticket[middle + 1 :]
        for wrong in ("", flipped, ticket[:-1], ticket + "A", login_ticket, "x" * 40_000):
            shown = await browser.submit(consent, ticket=wrong, decision="allow")
            assert shown.status in (400, 413), wrong[:20]
            assert not shown.left
        assert (await browser.open(f"{program.url}/login?ticket={ticket}")).status == 400
        assert (await browser.submit(consent, decision="maybe")).status == 400
        assert (await browser.submit(consent)).status == 400
        assert (await browser.submit(consent, decision="allow")).left


async def test_a_page_is_good_for_a_while_only() -> None:
    from authority_calls import Clock

    clock = Clock()
    async with calls(clock=clock) as program, Browser(program.url) as browser:
        consent = await browser.open(program.authorize_url())
        clock.now += 601
        assert (await browser.submit(consent, decision="allow")).status == 400


async def test_failed_logins_are_limited() -> None:
    tries: list[str] = []

    async def check(name: str, password: str) -> User | None:
        tries.append(password)
        return User("alice") if password == "right" else None

    from authority_calls import Clock

    from dovetail_authserver import Bounds

    clock = Clock()
    options = {"login": form_login(check), "bounds": Bounds(failures=3), "clock": clock}
    async with calls(**options) as program, Browser(program.url) as browser:
        page = await browser.open(program.authorize_url())
        statuses = [(await browser.submit(page, name="alice", password=str(n))).status for n in range(8)]
        assert statuses == [401] * 3 + [429] * 5
        assert len(tries) == 3
        clock.now += 10
        assert "Allow access?" in (await browser.submit(page, name="alice", password="right")).text


async def test_a_login_elsewhere_comes_back() -> None:
    """A hook may send people to somebody else's login, which returns to `action` with a GET."""
    seen: list[LoginRequest] = []

    def hook(request: LoginRequest) -> User | Page:
        seen.append(request)
        if request.query.get("ticket_of_theirs") == "good":
            return User("from-elsewhere", name="E. L. Sewhere")
        return Page.elsewhere(
            f"https://login.example/?back={request.action}", headers=(("set-cookie", "theirs=1"),)
        )

    async with calls(login=hook) as program, Browser(program.url) as browser:
        away = await browser.open(program.authorize_url(scope="mail"))
        assert away.left.startswith("https://login.example/?back=")
        back = away.left.removeprefix("https://login.example/?back=")
        consent = await browser.open(f"{back}&ticket_of_theirs=good")
        assert "E. L. Sewhere" in consent.text
        assert seen[-1].cookies["theirs"] == "1"
        assert (seen[-1].client_name, seen[-1].scopes) == (PUBLIC.name, ("mail",))
        assert (await browser.submit(consent, decision="allow")).left.startswith(CALLBACK)


async def test_a_hook_that_fails_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: LoginRequest) -> User:
        raise RuntimeError("the database of users is at db.internal")

    def wrong(request: LoginRequest) -> User:
        return "alice"  # pyright: ignore[reportReturnType] - hooks are not always typed

    def clash(request: LoginRequest) -> User:
        return User("public")  # a client's id

    for hook in (broken, wrong, clash):
        async with calls(login=hook) as program:
            said = await program.get(program.authorize_url())
            assert said.status == 500
            assert "db.internal" not in said.text
            assert said.headers["x-frame-options"] == "DENY"
    assert "failed" in caplog.text


def test_logins_without_a_proof_are_for_this_machine() -> None:
    for hook in (single_user(), pick_user("alice", "bob")):
        with pytest.raises(ValueError, match="on this machine only"):
            AuthServer(
                "https://auth.example", login=hook, store=MemoryStore(), resources=["https://mcp.example"]
            )


@pytest.mark.parametrize("subject", ["", "x" * 256, "line\nbreak", "\u202e"])
def test_a_subject_is_readable(subject: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        User(subject)


async def test_a_pages_own_policy_never_allows_framing() -> None:
    page = Page("<p>hello</p>", policy="frame-ancestors *; default-src *")
    async with calls(login=lambda request: page) as program:
        headers = (await program.get(program.authorize_url())).headers
        assert headers["content-security-policy"].startswith("frame-ancestors 'none';")
        assert headers["x-frame-options"] == "DENY"


async def test_a_client_that_is_gone_gets_no_code() -> None:
    async with calls() as program, Browser(program.url) as browser:
        asked = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
        made = (await program.send("POST", "/register", json=asked)).body["client_id"]
        consent = await browser.open(program.authorize_url(client_id=made))
        await program.authority.server._parts.kept.clients.delete(made)
        assert (await browser.submit(consent, decision="allow")).status == 400


async def test_the_code_is_in_the_redirect_alone(program: Calls) -> None:
    async with Browser(program.url) as browser:
        away = await browser.submit(await browser.open(program.authorize_url()), decision="allow")
        assert answer_of(away.left)["code"] not in away.text
        assert away.headers["referrer-policy"] == "no-referrer"
        assert away.headers["cache-control"] == "no-store"


def _fake(url: str) -> Calls:
    from dovetail_authserver.testing import AuthorizationServer

    return Calls(AuthorizationServer(url, None), None)  # pyright: ignore[reportArgumentType] - only its URL is used


async def _asgi_get(app: AuthServer, url: str) -> dict[str, str]:
    """The headers of an answer to a GET, without a socket."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    path, _, query = url.removeprefix("https://auth.example").partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    await app(scope, receive, send)  # pyright: ignore[reportArgumentType] - plain dictionaries
    headers: list[tuple[bytes, bytes]] = sent[0]["headers"]  # pyright: ignore[reportAssignmentType] - as ASGI has them
    return {name.decode(): value.decode() for name, value in headers}
