"""How often a server can have more scopes asked for: what counts, what is forgotten, and what is said of it."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from login_stage import RESOURCE_PATH, Reply, Seen, World, answer_message
from test_login_scopes import asked

from dovetail.auth.login import LoginDenied, LoginTimeout, OAuthCredentials, ScopeRefused
from dovetail.auth.login.credentials import MAX_LOGINS, SPAN
from dovetail.auth.login.interactive import AuthorizationCode
from dovetail.auth.login.step_ups import REMEMBERED, STEPS
from dovetail.protocol.errors import DovetailError

DAY = 86400.0
BOUND = pytest.mark.requirement("R2511-AUTH-072", "R2607-AUTH-100")


class Clock:
    """Seconds that pass when a test says so; tokens are given at its time as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr("dovetail.auth.login.interactive.time.time", self)

    def __call__(self) -> float:
        return self.now


def credentials(world: World, clock: Clock, **options: Any) -> OAuthCredentials:
    made = world.credentials(world.oauth(**options))
    made._clock = clock
    return made


def reading_first(world: World) -> None:
    """The first login is for "read"; refresh tokens are dead when they are needed."""
    world.challenge = f'Bearer scope="read", resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'

    def answer(seen: Seen) -> Any:
        if seen.form["grant_type"] == "refresh_token":
            return 400, {}, {"error": "invalid_grant"}
        return world.issue(world.asked_scopes)

    world.token_answer = answer


def demanding(world: World, *demands: str) -> None:
    """Every call is refused for want of scopes: of these, one after the other, whatever the token has."""
    world.lifetime = 10 * DAY
    turn = itertools.cycle(demands)
    served = world.mcp.routes["/mcp"]

    def refuse(seen: Seen) -> Reply:
        token = seen.headers.get("authorization", "").partition(" ")[2]
        if seen.method == "POST" and token in world.valid and seen.json["method"] == "tools/call":
            return 403, {"www-authenticate": f'Bearer error="insufficient_scope", scope="{next(turn)}"'}, None
        return served(seen)

    world.mcp.routes["/mcp"] = refuse


@BOUND
async def test_a_login_that_serves_is_never_held_against_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refresh token that lives for a week, in a client that lives for months; and a server that forgets rights."""
    clock = Clock(monkeypatch)
    async with World() as world:
        reading_first(world)
        world.needed = {"write"}
        client = credentials(world, clock)
        async with world.client(client) as connected:
            for _ in range(3 * STEPS):
                assert (await connected.call_tool("x")).text == "done"
                clock.now += 7 * DAY
                world.valid = {}
            assert asked(world) == ["read"] + ["read write"] * (3 * STEPS)
            for hours in range(1, 3 * STEPS):
                assert (await connected.call_tool("x")).text == "done"
                clock.now += hours * 600
                world.valid = {token: {"read"} for token in world.valid}  # the rights end; the token does not
        await client.close()


@BOUND
async def test_who_declined_may_think_better_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: the server has refused no token that has these scopes. And what is said is said as it is."""
    clock = Clock(monkeypatch)
    async with World() as world:
        reading_first(world)
        world.needed = {"write"}
        authorize, declines = world.issuer.routes["/authorize"], [True]

        async def deciding(seen: Seen) -> Any:
            if "write" not in seen.query["scope"].split() or not declines:
                return await authorize(seen)
            refused = {"error": "access_denied", "state": seen.query["state"], "iss": world.issuer.url}
            return 302, {"location": f"{seen.query['redirect_uri']}?{urlencode(refused)}"}, None

        world.issuer.routes["/authorize"] = deciding
        client = credentials(world, clock)
        async with world.client(client) as connected:
            for _ in range(2 * STEPS):
                with pytest.raises(LoginDenied, match="access_denied"):
                    await connected.call_tool("x")
                clock.now += 600
            declines.clear()
            assert (await connected.call_tool("x")).text == "done"
        await client.close()


@BOUND
async def test_a_login_that_nobody_came_to_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, away = Clock(monkeypatch), [True]
    async with World() as world:
        reading_first(world)
        world.needed = {"write"}

        async def browse(url: str) -> bool:
            alone = bool("write" in url and away)
            person.timeout = 0.05 if alone else 20.0
            return alone or await world.browse(url)

        client = credentials(world, clock, open_browser=browse)
        grant = client._grant
        assert isinstance(grant, AuthorizationCode)
        person = grant._person
        async with world.client(client) as connected:
            for _ in range(2 * STEPS):
                with pytest.raises(LoginTimeout):
                    await connected.call_tool("x")
                clock.now += 600
            away.clear()
            assert (await connected.call_tool("x")).text == "done"
        await client.close()


@BOUND
@pytest.mark.hostile
async def test_a_server_that_refuses_whatever_it_is_shown_gets_two_logins_in_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    async with World() as world:
        reading_first(world)
        demanding(world, "admin")
        client = credentials(world, clock)
        async with world.client(client) as connected:
            for _ in range(60):
                with pytest.raises(
                    ScopeRefused, match="wants the scopes admin, and refuses a token that was got"
                ):
                    await connected.call_tool("x")
                clock.now += 60
            assert asked(world) == ["read"] + ["read admin"] * STEPS
            clock.now += REMEMBERED
            world.mcp.routes["/mcp"] = lambda seen: (
                answer_message(seen.json) if seen.method == "POST" else (405, {}, None)
            )
            assert (await connected.call_tool("x")).text == "done"
            demanding(world, "admin")
            for _ in range(60):
                with pytest.raises(ScopeRefused):
                    await connected.call_tool("x")
                clock.now += 60
            assert len(world.visits) <= 1 + 2 * STEPS
        await client.close()


@BOUND
@pytest.mark.hostile
@pytest.mark.parametrize("demands", [("a", "b"), ("a", "b", "c", "a b", "b c", "a c", "a b c")])
async def test_a_server_that_alternates_what_it_wants_gets_no_more(
    demands: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was got with one set was got for the others as well, as far as it has them."""
    clock = Clock(monkeypatch)
    async with World() as world:
        reading_first(world)
        demanding(world, *demands)
        client = credentials(world, clock)
        async with world.client(client) as connected:
            for _ in range(200):
                with pytest.raises(DovetailError):
                    await connected.call_tool("x")
                clock.now += 300
        single = {name for each in demands for name in each.split()}
        assert len(world.visits) <= 1 + len(single) + STEPS, asked(world)
        await client.close()


@BOUND
@pytest.mark.hostile
async def test_a_server_that_lets_every_second_request_pass_has_the_total_of_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time late enough to look like rights that ended."""
    clock = Clock(monkeypatch)
    async with World() as world:
        reading_first(world)
        world.needed = {"admin"}
        client = credentials(world, clock)
        async with world.client(client) as connected:
            for _ in range(100):
                try:
                    await connected.call_tool("x")
                except ScopeRefused as problem:
                    assert "10 times within an hour" in str(problem)  # noqa: PT017 - both ends are right
                clock.now += 31
                world.valid = {token: {"read"} for token in world.valid}
        assert len(world.visits) <= 1 + MAX_LOGINS * (100 * 31 // SPAN + 1)
        assert len(world.visits) >= MAX_LOGINS
        await client.close()


@BOUND
async def test_what_the_authorization_server_did_not_give_is_said_to_be_so() -> None:
    async with World() as world:
        reading_first(world)
        world.needed = {"write", "read"}
        world.token_answer = lambda seen: world.issue("read")
        expected = (
            f"{world.resource} wants the scopes read write; {world.issuer.url} was asked for them, and gave a token"
            " without write"
        )
        with pytest.raises(ScopeRefused, match=re.escape(expected)):
            await world.use()
        assert asked(world) == ["read", "read write"]
