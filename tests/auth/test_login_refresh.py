"""Refreshing at a real authorization server: once for all calls, once for all processes, and what is lost on the way.

The authorization server and the protected server are ours, on real sockets, with one clock that a test moves; what
reaches the token endpoint is counted in front of it, and answers are cut off there after the server has done its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from dovetail import App, Client, Principal
from dovetail.auth import FileTokens, MemoryTokens, OAuth, Protected, jwt
from dovetail.auth.login import TokenStore
from dovetail.stores import MemoryStore
from dovetail.testing.serving import served
from dovetail_authserver import Lifetimes
from dovetail_authserver.testing import AuthorizationServer, authorization_server


class Clock:
    """The time of both servers; the client's own goes on as ever."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Front:
    """Stands before the authorization server and counts grants. ``cut``: how many answers to refreshes are cut off
    in the middle, after the server is done; ``hold``: they wait for this event.
    """

    def __init__(self) -> None:
        self.app: Any = None
        self.grants: list[str] = []
        self.cut = 0
        self.status = 0
        self.hold: asyncio.Event | None = None
        self.rotated = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/token":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        grant = parse_qs(body.decode())["grant_type"][0]
        self.grants.append(grant)
        events = [{"type": "http.request", "body": body, "more_body": False}]
        said: list[Any] = []

        async def replay() -> Any:
            return events.pop() if events else await receive()

        async def keep(message: Any) -> None:
            said.append(message)

        await self.app(scope, replay, keep)
        if grant == "refresh_token":
            self.rotated.set()
            if self.hold is not None:
                await self.hold.wait()
            if self.cut:
                self.cut -= 1
                said[0]["status"] = self.status or said[0]["status"]
                said[1:] = [{"type": "http.response.body", "body": b"{", "more_body": False}]
                if self.status:
                    said[0]["headers"] = [(b"content-length", b"1")]
        for message in said:
            with contextlib.suppress(Exception):  # what is cut off is a fault of its own to the HTTP server
                await send(message)

    @property
    def refreshes(self) -> int:
        return self.grants.count("refresh_token")


class Site:
    """What `site` gives: the protected server's address, and what stands around it."""

    def __init__(self, url: str, authority: AuthorizationServer, front: Front, clock: Clock) -> None:
        self.url = url
        self.authority = authority
        self.front = front
        self.clock = clock
        self.visits = 0

    def oauth(self, tokens: TokenStore) -> OAuth:
        async def visit(url: str) -> bool:
            self.visits += 1
            await self.authority.approve(url)
            return True

        return OAuth(open_browser=visit, tokens=tokens, timeout=20)

    async def calls(self, auth: Any, count: int) -> set[str]:
        """What so many calls at once bring."""
        async with Client(self.url, auth=auth) as client:
            found = await asyncio.gather(*(client.call_tool("whoami") for _ in range(count)))
        return {each.raise_on_error().text for each in found}

    async def expired(self, tokens: TokenStore) -> None:
        """Log in, and let the token expire at the server."""
        assert await self.calls(self.oauth(tokens), 1) == {"alice"}
        assert (self.front.grants, self.visits) == (["authorization_code"], 1)
        self.clock.ahead += 3600


@contextlib.asynccontextmanager
async def site(**lifetimes: float) -> AsyncIterator[Site]:
    """A protected server and its authorization server."""
    front, clock = Front(), Clock()
    app: list[Any] = []

    async def later(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app[0](scope, receive, send)

    def behind(inner: Any) -> Front:
        front.app = inner
        return front

    async with (
        served(later) as url,
        authorization_server(
            url,
            wrap=behind,
            scopes={"notes": "your notes"},
            lifetimes=Lifetimes(access_token=600, **lifetimes),
            clock=clock,
            store=MemoryStore(clock=clock),
        ) as authority,
    ):
        notes = App("notes", auth=Protected(url, jwt(authority.url), clock=clock), rate_limit=None)

        @notes.tool
        def whoami(who: Principal) -> str:
            return who.subject

        app.append(notes.asgi())
        yield Site(url, authority, front, clock)


async def test_a_hundred_calls_meeting_an_expired_token_make_one_refresh() -> None:
    async with site() as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        assert await here.calls(here.oauth(tokens), 100) == {"alice"}
        assert here.front.grants == ["authorization_code", "refresh_token"]
        assert here.visits == 1


async def test_logging_out_ends_the_tokens_where_they_came_from(caplog: pytest.LogCaptureFixture) -> None:
    """A copy of the refresh token is worth nothing afterwards; a server that is gone keeps nobody logged in here."""
    async with site() as here:
        tokens, copies = MemoryTokens(), MemoryTokens()
        await here.expired(tokens)
        copies._records.update(tokens._records)
        credentials = here.oauth(tokens).client_auth(here.url)
        assert await credentials.log_out() is not None
        assert await here.calls(here.oauth(copies), 1) == {"alice"}
        assert here.front.grants == ["authorization_code", "refresh_token", "authorization_code"]
        assert here.visits == 2
        await credentials.close()
        late = here.oauth(copies).client_auth(here.url)
        assert not caplog.records
    assert await late.log_out() is not None
    assert await late.status() is None
    assert ["not revoked" in record.getMessage() for record in caplog.records] == [True]
    await late.close()


WORKER = """
import asyncio, sys
from dovetail import Client
from dovetail.auth import FileTokens, OAuth
url, folder = sys.argv[1:]
def nobody(url):
    raise SystemExit("a person was asked for")
async def main():
    auth = OAuth(tokens=FileTokens(folder), open_browser=nobody)
    async with Client(url, auth=auth) as client:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        found = await asyncio.gather(*(client.call_tool("whoami") for _ in range(10)))
    print({each.raise_on_error().text for each in found}, flush=True)
asyncio.run(main())
"""
CRASHES = """
import asyncio, os, sys
from dovetail import Client
from dovetail.auth import FileTokens, OAuth
from dovetail.auth.login import file_tokens
url, folder, where = sys.argv[1:]
if where == "before":
    async def write(self, key, data):
        os._exit(9)
    FileTokens.write = write
else:
    def replace(*_, **__):
        os._exit(9)
    os.replace = replace
async def main():
    async with Client(url, auth=OAuth(tokens=FileTokens(folder), open_browser=print)) as client:
        await client.call_tool("whoami")
asyncio.run(main())
"""


async def run(code: str, *arguments: str, told: bytes | None = None) -> tuple[int | None, bytes]:
    """Run a program to its end: its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate(told)
    return process.returncode, said.strip()


async def test_two_processes_sharing_a_store_make_one_refresh(tmp_path: Path) -> None:
    async with site() as here:
        folder = tmp_path / "logins"
        await here.expired(FileTokens(folder))
        here.clock.ahead -= 3600  # both open while the token is good, then it expires under them
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WORKER, here.url, str(folder),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(2)
        ]  # fmt: skip
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        here.clock.ahead += 3600
        async with asyncio.timeout(30):
            said = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
        assert [text.strip() for text, _ in said] == [b"{'alice'}"] * 2
        assert here.front.grants == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize("status", [0, 502, 504], ids=["cut off", "bad gateway", "gateway timeout"])
async def test_a_lost_reply_within_the_grace_window_costs_nothing(status: int) -> None:
    """The server has rotated; the same refresh token, shown once more at once, brings the same answer."""
    async with site() as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        here.front.cut, here.front.status = 1, status
        assert await here.calls(here.oauth(tokens), 20) == {"alice"}
        assert here.front.grants == ["authorization_code", "refresh_token", "refresh_token"]
        assert here.visits == 1


async def test_a_lost_reply_without_a_grace_window_ends_in_one_clear_login() -> None:
    """What looks like a stolen refresh token ends the grant; the person is asked once, and all calls go on."""
    async with site(retry=0) as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        here.front.cut = 1
        assert await here.calls(here.oauth(tokens), 20) == {"alice"}
        assert here.front.grants[1:] == ["refresh_token", "refresh_token", "authorization_code"]
        assert here.visits == 2
        here.clock.ahead += 3600
        assert await here.calls(here.oauth(tokens), 20) == {"alice"}
        assert (here.front.grants[-1], here.visits) == ("refresh_token", 2)


async def test_replies_that_are_lost_again_and_again_end_in_an_error_and_ask_nobody() -> None:
    async with site() as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        here.front.cut = 1000
        with pytest.raises(Exception, match="credentials") as caught:
            await here.calls(here.oauth(tokens), 5)
        assert (here.front.refreshes, here.visits) == (2, 1), caught
        here.front.cut = 0
        assert await here.calls(here.oauth(tokens), 5) == {"alice"}
        assert here.visits == 1


async def test_a_refresh_outlives_the_calls_that_needed_it() -> None:
    """They are cancelled while its answer, the only one with the next refresh token, is on its way."""
    async with site(retry=0) as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        here.clock.ahead -= 3600
        async with Client(here.url, auth=here.oauth(tokens)) as client:
            here.clock.ahead += 3600
            here.front.hold = asyncio.Event()
            calls = [asyncio.create_task(client.call_tool("whoami")) for _ in range(5)]
            await asyncio.wait_for(here.front.rotated.wait(), 10)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            here.front.hold.set()
            assert (await client.call_tool("whoami")).text == "alice"
        assert here.front.grants == ["authorization_code", "refresh_token"]
        assert here.visits == 1


async def test_a_client_that_is_closed_waits_for_its_refresh() -> None:
    async with site(retry=0) as here:
        tokens = MemoryTokens()
        await here.expired(tokens)
        here.front.hold = asyncio.Event()
        credentials = here.oauth(tokens).client_auth(here.url)
        before = await credentials.status()
        assert before is not None
        await tokens.write(
            next(key for key in tokens._records if key.startswith("tokens")),
            next(value for key, value in tokens._records.items() if key.startswith("tokens")).replace(
                b'"expires_at":', b'"expires_at":1,"was":'
            ),
        )
        asking = asyncio.create_task(credentials.headers("POST", here.url))
        await asyncio.wait_for(here.front.rotated.wait(), 10)
        asking.cancel()
        closing = asyncio.create_task(credentials.close())
        await asyncio.wait([asking])
        here.front.hold.set()
        await closing
        after = await here.oauth(tokens).client_auth(here.url).status()
        assert after is not None
        assert after.refresh_token not in (None, before.refresh_token)
        assert here.front.refreshes == 1


@pytest.mark.parametrize("where", ["before", "between"])
async def test_a_process_that_dies_before_it_has_written_costs_nothing_in_the_grace_window(
    tmp_path: Path, where: str
) -> None:
    """It had the new tokens in its hands, and the lock."""
    async with site() as here:
        folder = tmp_path / "logins"
        await here.expired(FileTokens(folder))
        assert (await run(CRASHES, here.url, str(folder), where))[0] == 9
        left = list(folder.glob(".*"))
        assert len(left) == (where == "between")
        for path in left:
            os.utime(path, (0, 0))
        assert await run(WORKER, here.url, str(folder), told=b"go\n") == (0, b"ready\n{'alice'}")
        assert here.front.grants == ["authorization_code", "refresh_token", "refresh_token"]
        assert list(folder.glob(".*")) == []


async def test_a_process_that_dies_before_it_has_written_costs_one_login_otherwise(tmp_path: Path) -> None:
    async with site(retry=0) as here:
        folder = tmp_path / "logins"
        await here.expired(FileTokens(folder))
        assert (await run(CRASHES, here.url, str(folder), "before"))[0] == 9
        assert await here.calls(here.oauth(FileTokens(folder)), 20) == {"alice"}
        assert here.front.grants[1:] == ["refresh_token", "refresh_token", "authorization_code"]
        assert here.visits == 2
