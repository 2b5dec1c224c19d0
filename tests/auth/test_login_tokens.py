"""Tokens over time: renewing once for all, lost answers, rotation, circles, tasks and processes."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from login_stage import Seen, World

from dovetail.auth.login import (
    AuthorizationError,
    AuthorizationUnavailable,
    FileTokens,
    LoginFailed,
    MemoryTokens,
)
from dovetail.auth.login.records import Tokens, decode, encode
from dovetail.protocol.errors import DovetailError
from dovetail.security.client_auth import Refusal


def only(tokens: MemoryTokens) -> Tokens:
    """The tokens that are kept."""
    (found,) = (decode(data, Tokens) for key, data in tokens._records.items() if key.startswith("tokens"))
    assert found is not None
    return found


async def age(tokens: MemoryTokens, **changes: Any) -> None:
    """Change what is kept, as if time had passed."""
    kept = only(tokens)
    for key in list(tokens._records):
        if key.startswith("tokens"):
            await tokens.write(key, json.dumps({**json.loads(encode(kept)), **changes}).encode())


async def logged_in(world: World) -> MemoryTokens:
    """A store with a login of an hour ago, whose access token has just expired."""
    tokens = MemoryTokens()
    credentials = world.credentials(world.oauth(tokens=tokens))
    await credentials.log_in()
    now = time.time()
    await age(tokens, expires_at=now - 1, obtained_at=now - 3600, login_at=now - 3600)
    world.valid = {}
    return tokens


def refusal_of(
    world: World, sent: dict[str, str] | Any, status: int = 401, attempt: int = 1, **more: Any
) -> Refusal:
    challenges = more.pop("challenges", ("Bearer",))
    return Refusal(
        status=status, method="POST", url=world.resource, challenges=challenges, headers={}, sent=dict(sent),
        attempt=attempt,
    )  # fmt: skip


@pytest.mark.requirement(
    "R2607-AUTH-075", "R2607-AUTH-076", "R2607-AUTH-077", "R2511-AUTH-054", "R2511-AUTH-055"
)
@pytest.mark.requirement("R2511-AUTH-056", "R2503-AUTH-013")
async def test_R63_the_token_is_in_the_header_of_every_request_and_nowhere_else() -> None:
    async with World() as world:
        async with world.client() as client:
            for _ in range(3):
                await client.call_tool("x")
        sent = world.mcp.at("/mcp")[1:]
        assert len(sent) == 4
        for seen in sent:
            assert seen.headers["authorization"] == "Bearer token-1"
            assert seen.query == {}
            assert b"token-1" not in seen.body


async def test_V21_R79_the_token_goes_to_the_servers_origin_only() -> None:
    async with World() as world:
        credentials = world.credentials()
        await credentials.log_in()
        assert await credentials.headers("GET", f"{world.mcp.url}/messages?x=y")
        for url in (
            world.issuer.url,
            "https://evil.example/mcp",
            world.resource.replace("127.0.0.1", "localhost"),
        ):
            assert await credentials.headers("POST", url) == {}


# Renewing


@pytest.mark.requirement("R2607-AUTH-088")
async def test_R85_no_refresh_token_means_a_new_login_and_no_fault() -> None:
    async with World() as world:
        world.refresh = False
        tokens = await logged_in(world)
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert world.grants() == ["authorization_code", "authorization_code"]


async def test_a_hundred_calls_with_an_expired_token_make_one_refresh() -> None:
    """Expired by our clock: it is renewed before anything is sent."""
    async with World() as world:
        tokens = await logged_in(world)
        async with world.client(world.oauth(tokens=tokens)) as client:
            found = await asyncio.gather(*(client.call_tool("x") for _ in range(100)))
        assert {each.text for each in found} == {"done"}
        assert world.grants() == ["authorization_code", "refresh_token"]
        assert len(world.visits) == 1


async def test_a_hundred_calls_that_are_refused_make_one_refresh() -> None:
    """Expired by the server's clock alone."""
    async with World() as world:
        tokens = await logged_in(world)
        await age(tokens, expires_at=time.time() + 3600)
        world.valid = {"token-1": set()}
        async with world.client(world.oauth(tokens=tokens)) as client:
            world.valid = {}
            found = await asyncio.gather(*(client.call_tool("x") for _ in range(100)))
        assert {each.text for each in found} == {"done"}
        assert world.grants().count("refresh_token") == 1
        assert len(world.visits) == 1


async def test_a_token_is_renewed_shortly_before_it_expires() -> None:
    async with World() as world:
        tokens = await logged_in(world)
        await age(tokens, expires_at=time.time() + 20)
        credentials = world.credentials(world.oauth(tokens=tokens))
        assert await credentials.headers("POST", world.resource) == {"authorization": "Bearer token-2"}
        await age(tokens, expires_at=time.time() + 300, obtained_at=time.time() - 3300)
        again = world.credentials(world.oauth(tokens=tokens))
        assert await again.headers("POST", world.resource) == {"authorization": "Bearer token-2"}
        assert world.grants().count("refresh_token") == 1


async def test_a_renewal_that_fails_early_is_no_fault_while_the_token_is_good() -> None:
    async with World() as world:
        tokens = await logged_in(world)
        await age(tokens, expires_at=time.time() + 20)
        world.token_answer = lambda seen: (503, {}, None)
        credentials = world.credentials(world.oauth(tokens=tokens))
        for _ in range(10):
            assert await credentials.headers("POST", world.resource) == {"authorization": "Bearer token-1"}
        assert world.grants().count("refresh_token") == 1
        await age(tokens, expires_at=time.time() - 1)
        later = world.credentials(world.oauth(tokens=tokens))
        with pytest.raises(AuthorizationUnavailable):
            await later.headers("POST", world.resource)


async def test_the_time_of_expiry_is_absolute_and_outlives_the_program() -> None:
    async with World() as world:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        kept = only(tokens)
        assert kept.expires_at is not None
        assert kept.expires_at == pytest.approx(time.time() + 3600, abs=60)
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert world.grants() == ["authorization_code"]
        assert only(tokens) == kept


async def test_a_rotated_refresh_token_is_kept_and_an_unrotated_one_stays() -> None:
    async with World() as world:
        tokens = await logged_in(world)
        world.refresh = False
        await world.use(world.oauth(tokens=tokens))
        assert only(tokens).refresh_token == "refresh-1"
        world.refresh = True
        await age(tokens, expires_at=time.time() - 1)
        await world.use(world.oauth(tokens=tokens))
        assert only(tokens).refresh_token == "refresh-3"
        assert [seen.form.get("refresh_token") for seen in world.issuer.at("/token")] == [
            None,
            "refresh-1",
            "refresh-1",
        ]


async def test_a_refresh_whose_answer_is_lost_is_tried_once_more() -> None:
    async with World() as world:
        tokens = await logged_in(world)
        lost: list[int] = []

        def answer(seen: Seen) -> Any:
            if not lost:
                lost.append(1)
                return None
            return world.issue("")

        world.token_answer = answer
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert world.grants()[1:] == ["refresh_token", "refresh_token"]
        assert len(world.visits) == 1


async def test_R85_a_lost_answer_that_cost_the_refresh_token_ends_in_one_login() -> None:
    """The server has rotated and takes the second try for a theft: one clear login, then all is well."""
    async with World() as world:
        tokens = await logged_in(world)
        lost: list[int] = []

        def answer(seen: Seen) -> Any:
            if seen.form["grant_type"] == "refresh_token":
                lost.append(1)
                return None if len(lost) == 1 else (400, {}, {"error": "invalid_grant"})
            return world.issue("")

        world.token_answer = answer
        async with world.client(world.oauth(tokens=tokens)) as client:
            await asyncio.gather(*(client.call_tool("x") for _ in range(20)))
        assert world.grants()[1:] == ["refresh_token", "refresh_token", "authorization_code"]
        assert len(world.visits) == 2


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "unauthorized_client"])
async def test_a_dead_refresh_token_is_used_once_and_leads_to_one_login(error: str) -> None:
    async with World() as world:
        tokens = await logged_in(world)
        world.token_answer = lambda seen: (
            (400, {}, {"error": error}) if seen.form["grant_type"] == "refresh_token" else world.issue("")
        )
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert world.grants()[1:] == ["refresh_token", "authorization_code"]


async def test_a_refused_login_has_not_lost_what_others_still_use() -> None:
    """Somebody else has renewed meanwhile: their tokens are taken, nobody is asked."""
    async with World() as world:
        tokens = await logged_in(world)
        old = world.credentials(world.oauth(tokens=tokens))
        old._clock = lambda: 0.0
        sent = await old.headers("POST", world.resource)
        assert sent == {"authorization": "Bearer token-1"}
        await world.use(world.oauth(tokens=tokens))
        old._clock = time.time
        assert await old.refused(refusal_of(world, sent))
        assert await old.headers("POST", world.resource) == {"authorization": "Bearer token-2"}
        assert world.grants().count("refresh_token") == 1


async def test_the_server_is_asked_who_its_authorization_server_is_before_a_refresh() -> None:
    """A refused token leads to discovery; where the server has moved on, the refresh token stays unused."""
    async with World() as world, World() as second:
        tokens = await logged_in(world)
        await age(tokens, expires_at=time.time() + 3600)
        world.resource_metadata["authorization_servers"] = [second.issuer.url]
        second.issuer.routes["/token"] = lambda seen: world.issue("")
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert world.grants() == ["authorization_code"]
        assert second.grants() == ["authorization_code"]


# Circles


@pytest.mark.hostile
async def test_a_server_that_refuses_every_token_ends_it_after_one_login() -> None:
    async with World() as world:
        world.token_answer = lambda seen: {**world.issue(""), "access_token": "never-good"}
        world.challenge = 'Bearer error="invalid_token", error_description="wrong aud"'
        credentials = world.credentials()
        for _ in range(3):
            with pytest.raises(LoginFailed, match="refuses the token"):
                await world.use(credentials)
        assert len(world.visits) == 1
        assert world.grants() == ["authorization_code"]
        await credentials.close()


@pytest.mark.hostile
async def test_a_server_that_refuses_refreshed_tokens_gets_one_login_more() -> None:
    async with World() as world:
        tokens = await logged_in(world)
        world.token_answer = lambda seen: {
            **world.issue(""),
            "access_token": f"never-good-{len(world.issuer.seen)}",
        }
        with pytest.raises(AuthorizationError):
            await world.use(world.oauth(tokens=tokens))
        assert world.grants()[1:] == ["refresh_token", "refresh_token", "authorization_code"]


async def test_ending_a_session_asks_nobody() -> None:
    async with World() as world:
        credentials = world.credentials()
        refusal = Refusal(
            status=401, method="DELETE", url=world.resource, challenges=("Bearer",), headers={}, sent={}, attempt=1
        )  # fmt: skip
        assert not await credentials.refused(refusal)
        assert not await credentials.refused(refusal_of(world, {}, status=403, challenges=("Basic realm=x",)))
        assert world.visits == []


# Tasks and processes


async def test_a_call_that_is_cancelled_takes_no_login_from_the_others() -> None:
    async with World() as world:
        here, gate = asyncio.Event(), asyncio.Event()

        async def browse(url: str) -> bool:
            here.set()
            await gate.wait()
            return await world.browse(url)

        credentials = world.credentials(world.oauth(open_browser=browse))
        first = asyncio.create_task(credentials.refused(refusal_of(world, {})))
        await here.wait()
        second = asyncio.create_task(credentials.refused(refusal_of(world, {})))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        gate.set()
        assert await second
        assert len(world.visits) == 1


async def test_when_everybody_has_left_the_login_ends_too() -> None:
    async with World() as world:
        here, ended = asyncio.Event(), asyncio.Event()

        async def browse(url: str) -> bool:
            here.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return True

        credentials = world.credentials(world.oauth(open_browser=browse))
        waiting = [asyncio.create_task(credentials.refused(refusal_of(world, {}))) for _ in range(3)]
        await here.wait()
        for task in waiting:
            task.cancel()
        await asyncio.wait_for(ended.wait(), 5)
        again = asyncio.create_task(credentials.refused(refusal_of(world, {})))
        here.clear()
        await here.wait()
        await credentials.close()
        await asyncio.wait([again])
        assert again.cancelled()


WORKER = """
import asyncio, sys
from dovetail.auth.login import FileTokens, OAuth
url, folder = sys.argv[1:]
async def main():
    auth = OAuth(tokens=FileTokens(folder), open_browser=lambda url: False).client_auth(url)
    print("ready", flush=True)
    sys.stdin.readline()
    found = await asyncio.gather(*(auth.headers("POST", url) for _ in range(10)))
    print({each.get("authorization") for each in found}, flush=True)
    await auth.close()
asyncio.run(main())
"""


async def test_several_processes_that_share_a_store_make_one_refresh(tmp_path: Path) -> None:
    async with World() as world:
        store = FileTokens(tmp_path / "logins")
        await world.credentials(world.oauth(tokens=store)).log_in()
        (record,) = store.folder.glob("tokens-*.json")
        kept = json.loads(record.read_bytes())
        await store.write(record.stem, json.dumps({**kept, "expires_at": time.time() - 1}).encode())
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WORKER, world.resource, str(store.folder),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]  # fmt: skip
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        said = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
        assert {text.strip() for text, _ in said} == {b"{'Bearer token-2'}"}
        assert world.grants() == ["authorization_code", "refresh_token"]


async def test_a_process_that_dies_with_the_lock_blocks_nobody(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from dovetail.auth.login import FileTokens
async def main():
    async with FileTokens(sys.argv[1]).lock("k"):
        print("locked", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "logins"), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"locked\n"
    process.kill()
    async with asyncio.timeout(5), FileTokens(tmp_path / "logins").lock("k"):
        pass
    await process.wait()


async def test_logging_out_forgets_the_tokens_and_keeps_the_registration() -> None:
    async with World() as world:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        credentials = world.credentials(world.oauth(tokens=tokens))
        gone = await credentials.log_out()
        assert gone is not None
        assert (gone.issuer, await credentials.status(), await credentials.log_out()) == (
            world.issuer.url,
            None,
            None,
        )
        assert [key.partition("-")[0] for key in tokens._records] == ["client"]
        assert await credentials.headers("POST", world.resource) == {}


async def test_R113_no_secret_in_errors_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with World() as world:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        world.valid = {}
        world.token_answer = lambda seen: (400, {}, {"error": "server_error", "error_description": "no"})
        text = ""
        with pytest.raises(DovetailError) as caught:
            await world.use(world.oauth(tokens=tokens))
        text += f"{caught.value!r} {caught.value}"
        text += caplog.text.replace("dovetail", "")
        form = world.issuer.at("/token")[0].form
        for secret in ("token-1", "refresh-1", form["code_verifier"], "the-code"):
            assert secret not in text
