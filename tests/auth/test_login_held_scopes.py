"""Scopes that were got once: a later login asks for them again, whatever became of the tokens, and in one go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from login_stage import RESOURCE_PATH, Seen, World
from test_login_scopes import asked
from test_login_tokens import age

from dovetail.auth.login import FileTokens, LoginDenied, LoginStep, LoginVisit, MemoryTokens
from dovetail.host import ConsentRequest, Host, HostPolicy, PolicyRule


def demanding(world: World, scopes: str) -> None:
    """The server's refusals demand these."""
    where = f'resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
    world.challenge = f'Bearer scope="{scopes}", {where}'


def renewing_nothing(world: World, unasked: str = "") -> None:
    """Refresh tokens are dead. ``unasked``: what is given where nothing is asked for."""

    def answer(seen: Seen) -> Any:
        if seen.form["grant_type"] == "refresh_token":
            return 400, {}, {"error": "invalid_grant"}
        return world.issue(world.asked_scopes or unasked)

    world.token_answer = answer


async def stepped_up(world: World, tokens: Any) -> None:
    """A login for "read" that was stepped up to "write", and whose tokens have all ended since."""
    demanding(world, "read")
    world.needed = {"write"}
    assert await world.use(world.oauth(tokens=tokens)) == "done"
    assert asked(world) == ["read", "read write"]
    renewing_nothing(world)
    world.valid = {}


@pytest.mark.requirement("R2607-AUTH-056", "RXSEC-SECURITY-035")
@pytest.mark.parametrize("expired", [True, False])
async def test_a_dead_refresh_token_costs_one_login_with_the_scopes_of_all_before(expired: bool) -> None:
    """By our clock, before anything is sent; or by the server's alone."""
    async with World() as world:
        tokens = MemoryTokens()
        await stepped_up(world, tokens)
        now = time.time()
        if expired:
            await age(tokens, expires_at=now - 1, obtained_at=now - 3600, login_at=now - 3600)
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(world)[2:] == ["read write"]
        assert world.grants()[2:] == ["refresh_token", "authorization_code"]


@pytest.mark.requirement("R2607-AUTH-056", "RXSEC-SECURITY-035")
@pytest.mark.parametrize("refresh", [True, False])
async def test_what_was_given_without_being_asked_for_is_asked_for_as_well(refresh: bool) -> None:
    async with World() as world:
        tokens = MemoryTokens()
        world.refresh = refresh
        renewing_nothing(world, unasked="files:read")
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        minute_ago = time.time() - 60
        await age(tokens, obtained_at=minute_ago, login_at=minute_ago)
        world.valid = {}
        demanding(world, "files:write")
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(world) == ["-", "files:read files:write"]


OTHER = """
import asyncio, sys
from dovetail.auth import FileTokens, OAuth
url, folder = sys.argv[1:]
async def main():
    credentials = OAuth(tokens=FileTokens(folder), open_browser=print).client_auth(url)
    assert await credentials.headers("POST", url) == {}, "nothing is left that could be sent"
    assert await credentials.status() is None
    await credentials.close()
asyncio.run(main())
"""


@pytest.mark.requirement("R2607-AUTH-056", "RXSEC-SECURITY-035")
async def test_another_process_found_the_refresh_token_dead_and_its_scopes_are_asked_for_here(
    tmp_path: Path,
) -> None:
    async with World() as world:
        tokens = FileTokens(tmp_path / "logins")
        await stepped_up(world, tokens)
        (kept,) = tokens.folder.glob("tokens-*.json")
        kept.write_text(json.dumps({**json.loads(kept.read_text()), "expires_at": 1}))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, world.resource, str(tokens.folder), stdout=subprocess.PIPE
        )
        await process.communicate()
        assert process.returncode == 0
        assert list(tokens.folder.glob("tokens-*.json")) == [], "no dead token is kept"
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(world)[2:] == ["read write"]


@pytest.mark.requirement("R2607-AUTH-056")
async def test_scopes_of_another_issuer_or_of_a_login_that_was_ended_are_not_asked_for() -> None:
    async with World() as world, World() as second:
        tokens = MemoryTokens()
        await stepped_up(world, tokens)
        second.issuer.routes["/token"] = lambda seen: world.issue("read")
        world.resource_metadata["authorization_servers"] = [second.issuer.url]
        world.needed = set()
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(second) == ["read"]
        credentials = world.credentials(world.oauth(tokens=tokens))
        await credentials.log_out()
        await credentials.close()
        world.resource_metadata["authorization_servers"] = [world.issuer.url]
        world.valid = {}
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(world)[2:] == ["read"]


async def test_the_server_that_gave_the_ended_tokens_is_preferred() -> None:
    async with World() as world, World() as second:
        tokens = MemoryTokens()
        await stepped_up(world, tokens)
        world.resource_metadata["authorization_servers"] = [second.issuer.url, world.issuer.url]
        credentials = world.credentials(world.oauth(tokens=tokens))
        await age(tokens, expires_at=1)
        assert await credentials.headers("POST", world.resource) == {}
        await credentials.close()
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert asked(world)[2:] == ["read write"]
        assert asked(second) == []


async def test_a_scope_that_is_unknown_by_now_keeps_nobody_out() -> None:
    """The authorization server refuses the whole request for it: once more, with what the server demands."""
    steps: list[LoginStep] = []
    async with World() as world:
        tokens = MemoryTokens()
        await stepped_up(world, tokens)
        world.needed = set()
        authorize = world.issuer.routes["/authorize"]

        async def knowing_less(seen: Seen) -> Any:
            if "write" not in seen.query["scope"].split():
                return await authorize(seen)
            refused = {"error": "invalid_scope", "state": seen.query["state"], "iss": world.issuer.url}
            return 302, {"location": f"{seen.query['redirect_uri']}?{urlencode(refused)}"}, None

        world.issuer.routes["/authorize"] = knowing_less
        assert await world.use(world.oauth(tokens=tokens, on_step=steps.append)) == "done"
        assert asked(world)[2:] == ["read write", "read"]
        assert [step.kind for step in steps].count("failed") == 0
        world.valid, visits = {}, len(world.visits)
        demanding(world, "write")
        with pytest.raises(LoginDenied, match="invalid_scope"):
            await world.use(world.oauth(tokens=tokens))
        assert len(world.visits) == visits + 2, "there is an end to it"


@pytest.mark.requirement("R2607-AUTH-056")
async def test_what_a_person_declined_is_not_asked_for_again_by_itself() -> None:
    """A step-up that was declined leaves nothing behind; the next login asks for what was agreed to."""
    shown: list[str] = []

    async def approve(visit: LoginVisit) -> bool:
        (scope,) = parse_qs(urlsplit(visit.url).query)["scope"]
        shown.append(scope)
        return "write" not in scope.split()

    async with World() as world:
        tokens = MemoryTokens()
        demanding(world, "read")
        renewing_nothing(world)
        world.needed = {"write"}
        with pytest.raises(LoginDenied):
            await world.use(world.oauth(tokens=tokens, approve=approve))
        world.valid, world.needed = {}, set()
        assert await world.use(world.oauth(tokens=tokens, approve=approve)) == "done"
        assert shown == ["read", "read write", "read"]


@pytest.mark.requirement("R2607-AUTH-056")
@pytest.mark.parametrize("agreed", [True, False])
async def test_a_host_asks_for_all_scopes_of_the_one_login_and_a_rule_for_fewer_lets_nothing_by(
    agreed: bool,
) -> None:
    requests: list[ConsentRequest] = []
    decided = asyncio.Event()

    async def consent(request: ConsentRequest) -> bool:
        requests.append(request)
        decided.set()
        return agreed

    reading = PolicyRule(decision="allow", kind="login", scope="read")
    calls = PolicyRule(decision="allow", kind="tool")
    async with World() as world:
        tokens = MemoryTokens()
        await stepped_up(world, tokens)
        await age(tokens, expires_at=1)
        server = world.client(world.oauth(tokens=tokens))
        async with (
            Host({"web": server}, consent=consent, policy=HostPolicy(rules=(reading, calls))) as host,
            asyncio.timeout(20),
        ):
            if agreed:
                await host.server("web").wait_for("ready")
                assert (await host.call("web__x")).text == "done"
            else:
                await decided.wait()
        assert [request.scopes for request in requests] == [("read", "write")]
        assert asked(world)[2:] == (["read write"] if agreed else [])
