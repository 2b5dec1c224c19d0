"""Tokens that only their issuer can read: asked about once, believed for a moment, judged like any other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from typing import Any

import pytest
from guarded import RESOURCE, Issuer, Wire, issuing, notes

from dovetail.auth import Protected, introspection
from dovetail.testing.serving import served


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
        assert base64.b64decode(shown.removeprefix("Basic ")) == b"notes+server:s%2Fe%3Dc%3Ar%26t"


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
    }
    async with asking() as (issuer, wire):
        issuer.answers = {name.replace(" ", "-").replace(",", ""): each for name, each in answers.items()}
        for name in issuer.answers:
            answer = await wire.call(name)
            assert (answer.status, 'error="invalid_token"' in answer.challenge) == (401, True), name
        issuer.answers["list"] = active(aud=["x", RESOURCE], iss=issuer.url)
        assert (await wire.call("list")).status == 200


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


async def test_questions_that_are_open_are_bounded():
    async with asking() as (issuer, wire):
        issuer.delay = asyncio.Event()
        calls = [asyncio.create_task(wire.call(f"made-up-{n}")) for n in range(80)]
        done: set[Any] = set()
        while len(done) < 16:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {call.result().status for call in done} == {503}
        issuer.delay.set()
        answers = await asyncio.gather(*calls)
        assert sorted(answer.status for answer in answers) == [401] * 64 + [503] * 16


def test_secrets_are_not_shown():
    check = introspection("https://i.example", client_id="c", client_secret="very secret")
    assert "very secret" not in repr(check) + repr(Protected("https://a.example", check)) + str(check)
    assert Issuer().introspected == []
