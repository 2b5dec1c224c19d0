"""Attack: scopes without end, challenges that vary each time, and records that go away between two requests."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from login_stage import RESOURCE_PATH, Reply, Seen, World
from test_endless_logins import Clock, credentials, demand
from test_login_scopes import asked

from dovetail.auth.login import FileTokens, LoginFailed, LoginStep, MemoryTokens, ScopeRefused
from dovetail.auth.login.credentials import MAX_LOGINS, SPAN
from dovetail.auth.login.scopes import MAX_SCOPE, fits, selected

MANY = " ".join(f"scope-of-it-{number}" for number in range(1000))  # more are no metadata at all


@pytest.mark.hostile
async def test_ever_more_scopes_make_neither_addresses_nor_records_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What there was is kept as long as all of it fits."""
    clock, tokens, numbers = Clock(monkeypatch), MemoryTokens(), itertools.count()
    async with World() as world:
        client = credentials(world, clock, world.oauth(tokens=tokens))
        await client.log_in()
        for _ in range(12):
            wanted = [f"scope-{next(numbers)}" for _ in range(200)]
            assert await demand(world, client, " ".join(wanted))
            assert set(wanted) <= set(asked(world)[-1].split())
            clock.now += SPAN
        assert max(len(each) for each in asked(world)) <= MAX_SCOPE
        assert max(len(each.split()) for each in asked(world)) > 400
        assert max(len(data) for data in tokens._records.values()) < 4 * MAX_SCOPE
        visits = len(world.visits)
        with pytest.raises(ScopeRefused, match="wants 950 scopes, which are more than 8192 characters"):
            await demand(world, client, " ".join(f"scope-{number}" for number in range(10_000, 10_950)))
        assert len(world.visits) == visits
        await client.close()


@pytest.mark.hostile
async def test_a_list_of_a_thousand_scopes_is_not_asked_for() -> None:
    """The authorization server gives what it gives to those who ask for nothing in particular."""
    steps: list[LoginStep] = []
    async with World() as world:
        world.resource_metadata["scopes_supported"] = MANY.split()
        assert await world.use(world.oauth(on_step=steps.append)) == "done"
        assert asked(world) == ["-"]
        (first, *_) = (step for step in steps if step.kind == "scopes")
        assert "too many" in first.decision


@pytest.mark.hostile
async def test_a_thousand_scopes_that_were_given_are_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, tokens = Clock(monkeypatch), MemoryTokens()
    async with World() as world:
        world.refresh = False
        world.token_answer = lambda _: world.issue(MANY)
        client = credentials(world, clock, world.oauth(tokens=tokens))
        async with world.client(client) as connected:
            for _ in range(3):
                assert (await connected.call_tool("x")).text == "done"
                clock.now += 4000
                world.valid = {}
        await client.close()
        assert asked(world) == ["-"] * 3
        assert max(len(data) for key, data in tokens._records.items() if key.startswith("server")) < 1000


@pytest.mark.hostile
async def test_challenges_that_point_elsewhere_each_time_bring_about_no_more_logins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other scopes and another place of the metadata, which is never there; and every token is refused."""
    clock, numbers = Clock(monkeypatch), itertools.count()
    async with World() as world:

        def refuse(seen: Seen) -> Reply:
            where = f'resource_metadata="{world.mcp.url}/{next(numbers)}"'
            return 401, {"www-authenticate": f'Bearer scope="scope-{next(numbers)}", {where}'}, None

        world.mcp.routes["/mcp"] = refuse
        client = credentials(world, clock)
        for _ in range(40):
            with pytest.raises(LoginFailed):
                async with world.client(client):
                    pass
            clock.now += 40
        assert len(world.visits) <= 1 + MAX_LOGINS
        assert all(scopes.count("scope-") <= 1 + MAX_LOGINS for scopes in asked(world))
        await client.close()


DAMAGES: dict[str, Any] = {
    "the folder is gone": lambda folder: shutil.rmtree(folder, ignore_errors=True),
    "all records are gone": lambda folder: [path.unlink() for path in folder.glob("*.json")],
    "the pointer is gone": lambda folder: [path.unlink() for path in folder.glob("server-*.json")],
    "the tokens are gone": lambda folder: [path.unlink() for path in folder.glob("tokens-*.json")],
    "cut off": lambda folder: [path.write_bytes(path.read_bytes()[:20]) for path in folder.glob("*.json")],
    "empty": lambda folder: [path.write_bytes(b"") for path in folder.glob("*.json")],
    "overwritten": lambda folder: [path.write_bytes(b"\0" * 100) for path in folder.glob("*.json")],
}


@pytest.mark.hostile
@pytest.mark.parametrize("damage", list(DAMAGES))
async def test_records_that_go_away_between_requests_cost_a_login_at_most(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tokens = Clock(monkeypatch), FileTokens(tmp_path / "logins")
    where = f'resource_metadata="{{}}{RESOURCE_PATH}/mcp"'
    async with World() as world:
        world.challenge = f'Bearer scope="read", {where.format(world.mcp.url)}'
        client = credentials(world, clock, world.oauth(tokens=tokens))
        async with world.client(client) as connected:
            assert (await connected.call_tool("x")).text == "done"
            for step in ("use", "renew", "step up", "refused"):
                DAMAGES[damage](tokens.folder)
                if step == "renew":
                    clock.now += 4000
                elif step == "step up":
                    world.needed = {"write"}
                elif step == "refused":
                    clock.now += 60
                    world.valid = {}
                before = len(world.visits)
                assert (await connected.call_tool("x")).text == "done"
                assert len(world.visits) <= before + (step != "use")
        await client.close()
        assert await world.use(world.oauth(tokens=tokens)) == "done", "what was written last is whole"
        assert set(asked(world)[-1].split()) == {"read", "write"}


async def test_two_clients_of_one_store_that_step_up_at_once_both_get_through() -> None:
    """And keep what they got: neither sends the other back to a login."""
    async with World() as world:
        tokens, codes, valid = MemoryTokens(), list[str](), dict[str, set[str]]()
        world.challenge = f'Bearer scope="read", resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
        served = world.mcp.routes["/mcp"]

        def need(seen: Seen) -> Reply:
            world.valid = valid
            token = seen.headers.get("authorization", "").partition(" ")[2]
            if seen.method == "POST" and token in valid and seen.json["method"] == "tools/call":
                wanted = seen.json["params"]["arguments"]["need"]
                if wanted not in valid[token]:
                    challenge = f'Bearer error="insufficient_scope", scope="{wanted}"'
                    return 403, {"www-authenticate": challenge}, None
            return served(seen)

        async def authorize(seen: Seen) -> Reply:
            codes.append(seen.query["scope"])
            sent = {"code": str(len(codes) - 1), "state": seen.query["state"], "iss": world.issuer.url}
            return 302, {"location": f"{seen.query['redirect_uri']}?{urlencode(sent)}"}, None

        def exchange(seen: Seen) -> Any:
            answer = world.issue(codes[int(seen.form["code"])])
            valid.update(world.valid)
            return answer

        world.mcp.routes["/mcp"], world.issuer.routes["/authorize"] = need, authorize
        world.token_answer = exchange
        first, second = (world.client(world.oauth(tokens=tokens)) for _ in range(2))
        async with first as one, second as other:
            for _ in range(5):
                found = await asyncio.gather(
                    one.call_tool("x", {"need": "a"}), other.call_tool("x", {"need": "b"})
                )
                assert [each.text for each in found] == ["done", "done"]
        assert codes[0] == "read"
        assert len(codes) <= 4
        assert {"a", "b"} <= set(" ".join(codes[1:]).split())


def test_what_fits() -> None:
    assert fits(["a" * MAX_SCOPE])
    assert not fits(["a" * MAX_SCOPE, "b"])
    assert selected((), ["a" * MAX_SCOPE, "b"]) == ()
