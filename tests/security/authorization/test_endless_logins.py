"""Attack: a server that makes its client log in again and again: for ever other scopes, or by refusing good tokens.

It can do so ten times within an hour, whatever it asks for.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from login_stage import RESOURCE_PATH, World

from dovetail.auth import ClientCredentials, MemoryTokens
from dovetail.auth.login import LoginFailed, OAuthCredentials, ScopeRefused
from dovetail.auth.login.credentials import MAX_LOGINS, SPAN
from dovetail.auth.login.records import Tokens, decode
from dovetail.security.client_auth import Refusal


class Clock:
    """Seconds that pass when a test says so; tokens are given at its time as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr("dovetail.auth.login.interactive.time.time", self)

    def __call__(self) -> float:
        return self.now


def credentials(world: World, clock: Clock, auth: Any = None) -> OAuthCredentials:
    made = world.credentials(auth)
    made._clock = clock
    return made


def refusal(world: World, sent: dict[str, str], status: int, challenge: str) -> Refusal:
    return Refusal(
        status=status,
        method="POST",
        url=world.resource,
        challenges=(challenge,),
        headers={},
        sent=sent,
        attempt=1,
    )


async def demand(world: World, client: OAuthCredentials, scopes: str) -> bool:
    """The server wants more scopes for what the client has just sent."""
    sent = dict(await client.headers("POST", world.resource))
    return await client.refused(
        refusal(world, sent, 403, f'Bearer error="insufficient_scope", scope="{scopes}"')
    )


async def refuse(world: World, client: OAuthCredentials) -> bool:
    """The server refuses what the client has just sent."""
    sent = dict(await client.headers("POST", world.resource))
    where = f'resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
    return await client.refused(refusal(world, sent, 401, f"Bearer {where}"))


@pytest.mark.hostile
@pytest.mark.parametrize("person", [True, False])
async def test_ever_other_scopes_have_a_total(person: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody is asked: each is a request to the authorization server, of the hostile server's choice."""
    clock = Clock(monkeypatch)
    async with World() as world:
        world.metadata["grant_types_supported"] = ["client_credentials"]
        machine = ClientCredentials("me", issuer=world.issuer.url, client_secret="s3cret-enough")
        client = credentials(world, clock, None if person else machine)
        await client.log_in()
        names = (f"scope-{n}" for n in itertools.count())
        for _ in range(MAX_LOGINS):
            clock.now += 60
            assert await demand(world, client, next(names))
        asked = len(world.issuer.at("/token"))
        assert asked == 1 + MAX_LOGINS
        for _ in range(5):
            clock.now += 60
            with pytest.raises(ScopeRefused, match="10 times within an hour"):
                await demand(world, client, next(names))
        assert len(world.issuer.at("/token")) == asked
        assert len(world.visits) == (asked if person else 0)
        clock.now += SPAN
        assert await demand(world, client, next(names)), "when the hour is over, it may ask again"
        await client.close()


@pytest.mark.hostile
async def test_many_sets_of_the_same_scopes_have_the_same_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many sets that the counts of single sets are forgotten, as they are to stay small."""
    clock = Clock(monkeypatch)
    async with World() as world:
        client = credentials(world, clock)
        await client.log_in()
        refused = 0
        for some in itertools.islice(itertools.combinations("abcdefghijkl", 4), 300):
            clock.now += 10
            try:
                await demand(world, client, " ".join(some))
            except ScopeRefused:
                refused += 1
        assert len(world.visits) == 1 + MAX_LOGINS
        assert refused == 300 - MAX_LOGINS
        await client.close()


@pytest.mark.hostile
async def test_a_server_that_refuses_good_tokens_has_the_same_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every time late enough not to be taken for one that never takes what it was given."""
    clock = Clock(monkeypatch)
    async with World() as world:
        world.refresh = False
        client = credentials(world, clock)
        await client.log_in()
        for _ in range(MAX_LOGINS):
            clock.now += 40
            assert await refuse(world, client)
        clock.now += 40
        with pytest.raises(LoginFailed, match="10 times within an hour"):
            await refuse(world, client)
        assert len(world.visits) == 1 + MAX_LOGINS
        await client.close()


async def test_tokens_that_end_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose tokens are short, and that gives nothing to renew them with, is tiresome and not hostile."""
    clock = Clock(monkeypatch)
    async with World() as world:
        world.refresh, world.lifetime = False, 120
        tokens = MemoryTokens()
        client = credentials(world, clock, world.oauth(tokens=tokens))
        await client.log_in()
        for _ in range(2 * MAX_LOGINS):
            clock.now += 130
            assert await refuse(world, client)
        assert len(world.visits) == 1 + 2 * MAX_LOGINS
        (kept,) = (decode(data, Tokens) for key, data in tokens._records.items() if key.startswith("tokens"))
        assert kept is not None
        await client.close()
