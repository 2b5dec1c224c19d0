"""Which scopes are asked for: the challenge first, then the list, else none; stepping up, with an end to it."""

import asyncio
from typing import Any

import pytest
from login_stage import RESOURCE_PATH, World

from dovetail.auth.login import MemoryTokens, ScopeRefused
from dovetail.auth.login.scopes import selected, with_offline
from dovetail.protocol.errors import DovetailError


def asked(world: World) -> list[str]:
    """The scopes of each authorization request."""
    return [seen.query.get("scope", "-") for seen in world.issuer.at("/authorize")]


@pytest.mark.requirement(
    "R2511-AUTH-018",
    "R2511-AUTH-019",
    "R2607-AUTH-054",
    "R2607-AUTH-055",
    "R2511-AUTH-043",
    "R2511-AUTH-044",
    "R2607-AUTH-058",
    "R2607-AUTH-059",
)
@pytest.mark.parametrize("supported", [None, [], ["other"], ["read", "write", "admin"]])
async def test_R83_the_challenge_is_taken_as_it_is(supported: list[str] | None) -> None:
    """Whatever the metadata lists: no set relation is assumed."""
    async with World() as world:
        world.challenge = (
            f'Bearer scope="read special", resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
        )
        world.resource_metadata["scopes_supported"] = supported
        assert await world.use() == "done"
        assert asked(world) == ["read special"]


@pytest.mark.requirement("R2511-AUTH-022", "R2511-AUTH-044", "R2607-AUTH-059")
@pytest.mark.parametrize("supported,expected", [(["a", "b"], "a b"), ([], "-"), (None, "-")])
async def test_R83_then_the_list_of_the_resource_else_nothing(
    supported: list[str] | None, expected: str
) -> None:
    async with World() as world:
        world.resource_metadata["scopes_supported"] = supported
        assert await world.use() == "done"
        assert asked(world) == [expected]


@pytest.mark.requirement("R2511-AUTH-069", "R2511-AUTH-070", "R2607-AUTH-096", "R2607-AUTH-097")
async def test_R83_stepping_up_keeps_the_scopes_of_before() -> None:
    async with World() as world:
        world.challenge = f'Bearer scope="read", resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
        world.resource_metadata["scopes_supported"] = ["profile"]
        world.needed = {"write", "delete"}
        tokens = MemoryTokens()
        async with world.client(world.oauth(tokens=tokens)) as client:
            found = await asyncio.gather(*(client.call_tool("x") for _ in range(20)))
        assert {each.text for each in found} == {"done"}
        assert asked(world) == ["read", "read delete write"]


@pytest.mark.hostile
async def test_R83_a_server_that_is_never_satisfied_ends_it() -> None:
    """The person is asked twice, not for ever; and other scopes have a count of their own."""
    async with World() as world:
        world.needed = {"admin"}
        world.token_answer = lambda seen: world.issue("read")
        credentials = world.credentials()
        async with world.client(credentials) as client:
            for _ in range(3):
                with pytest.raises(ScopeRefused, match="admin"):
                    await client.call_tool("x")
            visits = len(world.visits)
            assert visits <= 3
            with pytest.raises(DovetailError):
                await asyncio.gather(*(client.call_tool("x") for _ in range(10)))
            assert len(world.visits) == visits
        await credentials.close()


@pytest.mark.parametrize(
    "challenge", ["Bearer", 'Bearer error="insufficient_scope"', 'Bearer error="invalid_token", scope="a"']
)
async def test_a_plain_403_asks_nobody(challenge: str) -> None:
    async with World() as world:
        world.mcp.routes["/mcp"] = lambda seen: (
            (403, {"www-authenticate": challenge}, None) if seen.method == "POST" else (405, {}, None)
        )
        with pytest.raises(DovetailError):
            await world.use()
        assert world.visits == []


@pytest.mark.parametrize(
    "supported,listed", [(["read", "offline_access"], True), (["read"], False), (None, False)]
)
async def test_R85_offline_access_only_where_the_authorization_server_lists_it(
    supported: list[str] | None, listed: bool
) -> None:
    async with World() as world:
        world.metadata["scopes_supported"] = supported
        world.resource_metadata["scopes_supported"] = ["read"]
        assert await world.use() == "done"
        assert asked(world) == ["read offline_access" if listed else "read"]
        assert (world.issuer.at("/authorize")[0].query.get("prompt") == "consent") == listed


async def test_R85_offline_access_is_not_asked_for_alone_nor_against_the_callers_will() -> None:
    async with World() as world:
        world.metadata["scopes_supported"] = ["offline_access"]
        assert await world.use() == "done"
        world.resource_metadata["scopes_supported"] = ["read"]
        world.valid = {}
        assert await world.use(world.oauth(offline_access=False)) == "done"
        assert asked(world) == ["-", "read"]


@pytest.mark.parametrize(
    "challenged,supported,wanted,before,expected",
    [
        ("a", ["b"], (), (), "a"),
        ("", ["b", "c"], (), (), "b c"),
        ("", None, (), (), ""),
        ("a", ["b"], ("w",), ("x", "a"), "x a w"),
        ("", ["b"], ("w",), (), "w"),
        ("", ["b"], (), ("x",), "x"),
    ],
)
def test_the_choice(challenged: str, supported: Any, wanted: Any, before: Any, expected: str) -> None:
    assert selected(challenged.split(), supported, wanted=wanted, before=before) == tuple(expected.split())


def test_offline_access_once() -> None:
    assert with_offline(("offline_access",), ["offline_access"]) == ("offline_access",)
    assert with_offline((), ["offline_access"]) == ()
