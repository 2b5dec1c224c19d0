"""Tokens that only their issuer can read: asked about once, believed for a moment, judged like any other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from typing import Any

import pytest
from guarded import MODERN, READS_BOTH, RESOURCE, Issuer, Wire, issuing, notes

from dovetail.auth import MemoryTokens, OAuth, Protected, introspection
from dovetail.auth.protecting import fair_queue
from dovetail.testing.serving import served
from dovetail_authserver import RegisteredClient
from dovetail_authserver.testing import authorization_server

META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def active(**changes: Any) -> dict[str, Any]:
    """An answer about a good token; a change of None leaves a member out."""
    answer = {
        "active": True,
        "sub": "ann",
        "client_id": "cli",
        "aud": RESOURCE,
        "scope": "notes:read",
        **changes,
    }
    return {name: value for name, value in answer.items() if value is not None}


@contextlib.asynccontextmanager
async def asking(*, clock: Any = time.time, **settings: Any):
    """An issuer that is asked, and what it protects."""
    async with issuing() as issuer:
        check = introspection(issuer.url, client_id="notes server", client_secret="s/e=c:r&t", **settings)
        async with served(notes(Protected(RESOURCE, check, clock=clock)).asgi()) as url:
            yield issuer, Wire(url)


async def test_an_active_token_is_taken_and_asked_about_once():
    async with asking() as (issuer, wire):
        issuer.answers["t"] = active()
        for _ in range(5):
            assert (await wire.call("t")).status == 200
        assert issuer.introspected == [{"token": "t", "token_type_hint": "access_token"}]
        (shown,) = issuer.credentials
        assert base64.b64decode(shown.removeprefix("Basic ")) == b"notes%20server:s%2Fe%3Dc%3Ar%26t"


async def test_the_secret_can_go_with_the_form():
    async with asking(method="client_secret_post") as (issuer, wire):
        issuer.answers["t"] = active()
        assert (await wire.call("t")).status == 200
        assert issuer.introspected[0]["client_secret"] == "s/e=c:r&t"
        assert issuer.credentials == [""]


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-135", "R2511-AUTH-104", "R2607-AUTH-083", "R2511-AUTH-062")
async def test_v24_answers_that_are_not_for_here_and_now_are_refused():
    answers: dict[str, Any] = {
        "inactive": {"active": False, "aud": RESOURCE, "sub": "ann"},
        "nothing": {},
        "active as text": active(active="true"),
        "active as number": active(active=1),
        "no audience": active(aud=None),
        "an empty list": active(aud=[]),
        "another audience": active(aud="https://other.example/mcp"),
        "a prefix": active(aud=RESOURCE[:-1]),
        "another issuer": active(iss="https://other.example"),
        "the end": active(exp=time.time() - 60),
        "the end as text": active(exp="never"),
        "not yet": active(nbf=time.time() + 600),
        "a certificate": active(cnf={"x5t#S256": "x"}),
        "bound, shown as bearer": active(cnf={"jkt": "x"}),
        "nobody": active(sub=None, client_id=None),
        "a refresh token of Hydra": active(token_use="refresh_token"),
        "a refresh token of Keycloak": active(typ="Refresh"),
        "a refresh token by its type": active(token_type="refresh_token"),
        "an ID token by its type": active(token_type="urn:ietf:params:oauth:token-type:id_token"),
        "an ID token of Keycloak": active(typ="ID"),
    }
    async with asking() as (issuer, wire):
        issuer.answers = {name.replace(" ", "-").replace(",", ""): each for name, each in answers.items()}
        for name in issuer.answers:
            answer = await wire.call(name)
            assert (answer.status, 'error="invalid_token"' in answer.challenge) == (401, True), name
        issuer.answers["list"] = active(aud=["x", RESOURCE], iss=issuer.url)
        assert (await wire.call("list")).status == 200
        issuer.answers["typed"] = active(token_type="Bearer", token_use="access_token", typ="Bearer")
        assert (await wire.call("typed")).status == 200


@pytest.mark.hostile
async def test_v24_a_refresh_token_opens_nothing_at_a_server_that_asks_our_authorization_server():
    """It is good for as long as the grant, and may be bound to nothing: no resource may take it for an access token."""
    served_app: list[Any] = []

    async def later(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await served_app[0](scope, receive, send)

    async with served(later) as url:
        asks = RegisteredClient(id="the-server", secret="a-secret-with-enough-characters", introspects=[url])
        async with authorization_server(url, clients=[asks]) as authority:
            check = introspection(authority.url, client_id="the-server", client_secret=asks.secret or "")
            served_app.append(notes(Protected(url, check)).asgi())

            async def visit(address: str) -> bool:
                return bool(await authority.approve(address))

            credentials = OAuth(open_browser=visit, tokens=MemoryTokens()).client_auth(url)
            tokens = await credentials.log_in()
            await credentials.close()
            wire = Wire(url)
            host = url.split("/")[2]
            for token, status in ((tokens.access_token, 200), (tokens.refresh_token, 401)):
                assert token is not None
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
                headers = [*READS_BOTH, ("authorization", f"Bearer {token}"), ("mcp-method", "tools/list")]
                headers.append(("mcp-protocol-version", MODERN))
                answer = await wire.send(headers=headers, body=json.dumps(body).encode(), host=host)
                assert answer.status == status, answer


async def test_only_typed_answers_where_that_is_asked_for():
    for typed in (False, True):
        async with asking(typed=typed) as (issuer, wire):
            for kind, status in (("Bearer", 200), ("bearer", 200), (None, 401 if typed else 200), (7, 401)):
                if kind == 7 and not typed:
                    continue
                issuer.answers[f"t-{kind}"] = active(token_type=kind)
                assert (await wire.call(f"t-{kind}")).status == status, (typed, kind)


async def test_an_answer_is_never_kept_past_its_token_or_for_long():
    now = [time.time()]
    async with asking(clock=lambda: now[0], keep=10) as (issuer, wire):
        issuer.answers["t"] = active()
        assert (await wire.call("t")).status == 200
        issuer.answers["t"] = {"active": False}  # revoked
        now[0] += 9
        assert (await wire.call("t")).status == 200
        now[0] += 2
        assert (await wire.call("t")).status == 401
        issuer.answers["short"] = active(exp=now[0] + 1 - 30)
        assert (await wire.call("short")).status == 200
        now[0] += 2
        assert (await wire.call("short")).status == 401


async def test_a_token_that_is_not_known_is_asked_about_once_for_a_while():
    now = [time.time()]
    async with asking(clock=lambda: now[0]) as (issuer, wire):
        for _ in range(20):
            assert (await wire.call("made-up")).status == 401
        assert len(issuer.introspected) == 1
        now[0] += 6
        assert (await wire.call("made-up")).status == 401
        assert len(issuer.introspected) == 2


async def test_many_who_show_one_token_ask_once():
    async with asking() as (issuer, wire):
        issuer.answers["t"] = active()
        issuer.delay = asyncio.Event()
        calls = [asyncio.create_task(wire.call("t")) for _ in range(30)]
        await issuer.reached.wait()
        issuer.delay.set()
        assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
        assert len(issuer.introspected) == 1


@pytest.mark.hostile
async def test_what_can_not_be_asked_lets_nobody_in():
    async with asking() as (issuer, wire):
        issuer.answers["t"] = active()
        for status, body in (
            (500, None),
            (401, None),
            (302, None),
            (200, b"[]"),
            (200, b"{" * 9000),
            (200, b"{}x"),
        ):
            issuer.status = status
            issuer.answers["u"] = active() if body is None else body
            answer = await wire.call("u")
            assert (answer.status, answer.values("retry-after")) == (503, ["5"]), (status, body)
        issuer.status = 200
        issuer.answers["u"] = (
            b'{"active": false, "active": true, "aud": "' + RESOURCE.encode() + b'", "sub": "a"}'
        )
        assert (await wire.call("u")).status == 503
        issuer.answers["u"] = active(x="y" * 300_000)
        assert (await wire.call("u")).status == 503
        assert (await wire.call("t")).status == 200


async def test_questions_that_are_open_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Each network has a share; what is divided how is in the tests of that attack."""
    monkeypatch.setattr(fair_queue, "PATIENCE", 0.2)
    async with asking() as (issuer, wire):
        issuer.delay = asyncio.Event()
        calls = [asyncio.create_task(wire.call(f"made-up-{n}")) for n in range(80)]
        done: set[Any] = set()
        while len(done) < 80 - fair_queue.SHARE:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {call.result().status for call in done} == {503}
        issuer.delay.set()
        answers = await asyncio.gather(*calls)
        assert sorted(answer.status for answer in answers) == [401] * fair_queue.SHARE + [503] * (
            80 - fair_queue.SHARE
        )


def test_secrets_are_not_shown():
    check = introspection("https://i.example", client_id="c", client_secret="very secret")
    assert "very secret" not in repr(check) + repr(Protected("https://a.example", check)) + str(check)
    assert Issuer().introspected == []
