"""Attack: a token that was revoked goes on reading, by the stream that it opened before.

Who reads is judged again at each keep-alive of the stream. A stream without authorization pays nothing for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from guarded import RESOURCE, Issuer, Wire, issuing
from stream_reading import OpenStream, modern

from dovetail import App, Context
from dovetail.auth import Protected, introspection
from dovetail.auth.dpop import DPoPKey
from dovetail.security.authenticator import AuthenticationFailed, Credentials
from dovetail.security.principal import Principal
from dovetail.testing.serving import served
from dovetail.transports.http_server import permission

BEAT = 0.05
LISTEN = {"notifications": {"toolsListChanged": True}}
CALL = {"name": "slow", "arguments": {}, "_meta": {"progressToken": "p"}}


class Slow:
    """An app with a tool that tells how far it is, and waits."""

    def __init__(self, auth: Any) -> None:
        self.begun, self.gate, self.ended = asyncio.Event(), asyncio.Event(), list[str]()
        self.app = app = App("slow", auth=auth, rate_limit=None)

        @app.tool
        async def slow(ctx: Context) -> str:
            await ctx.progress(1, 2)
            self.begun.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.ended.append("cancelled")
                raise
            self.ended.append("done")
            return "done"


@contextlib.asynccontextmanager
async def revocable(**settings: Any) -> AsyncIterator[tuple[Issuer, Wire, Slow]]:
    """A server whose issuer is asked about each token again and again; the token "t" is good."""
    async with issuing() as issuer:
        check = introspection(issuer.url, client_id="notes", client_secret="secret", keep=0)
        slow = Slow(Protected(RESOURCE, check))
        issuer.answers["t"] = issuer.answers["later"] = good()
        async with served(slow.app.asgi(keep_alive=BEAT, http_sse=True)) as url:
            yield issuer, Wire(url), slow
            slow.gate.set()


def good(**changes: Any) -> dict[str, Any]:
    return {"active": True, "sub": "ann", "client_id": "cli", "aud": RESOURCE, "scope": "a b", **changes}


async def opened(kind: str, wire: Wire) -> dict[str, Any]:
    """How a stream of a kind is opened."""
    if kind == "standalone":
        return {"session": await wire.initialize("t")}
    if kind == "2024":
        return {"path": "/mcp/sse"}
    return modern("subscriptions/listen", **LISTEN)


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-083", "R2511-AUTH-062")
@pytest.mark.parametrize("kind", ["standalone", "listen", "2024"])
@pytest.mark.parametrize(
    "became",
    [
        {"active": False},
        good(sub="eve"),
        good(client_id="other"),
        good(scope="a"),
        good(aud="https://x.example"),
    ],
    ids=["revoked", "somebody else's", "another client's", "less", "for somebody else"],
)
async def test_what_listens_ends(kind: str, became: dict[str, Any]) -> None:
    async with revocable() as (issuer, wire, _), OpenStream(wire, "t", **await opened(kind, wire)) as stream:
        assert stream.status == 200
        if kind == "listen":
            assert (await stream.next() or {})["method"] == "notifications/subscriptions/acknowledged"
        await stream.quiet()
        issuer.answers["t"] = became
        last = await stream.next()
        if kind == "listen":
            assert last is not None
            assert "result" in last, "in good order"
            last = await stream.next()
        assert last is None


@pytest.mark.hostile
async def test_a_stateless_call_of_a_revoked_token_is_cancelled() -> None:
    async with (
        revocable() as (issuer, wire, slow),
        OpenStream(wire, "t", **modern("tools/call", **CALL)) as stream,
    ):
        assert (await stream.next() or {})["method"] == "notifications/progress"
        await stream.quiet()
        issuer.answers["t"] = {"active": False}
        said = await stream.next()
        assert said is not None
        assert "good no more" in said["error"]["message"]
        assert await stream.next() is None
        assert slow.ended == ["cancelled"]


@pytest.mark.hostile
async def test_the_stream_of_a_call_with_a_session_ends_and_a_good_token_gets_the_rest() -> None:
    async with revocable() as (issuer, wire, slow):
        session = await wire.initialize("t")
        message = {"id": 5, "method": "tools/call", "params": CALL}
        async with OpenStream(wire, "t", session=session, message=message) as stream:
            assert (await stream.next() or {})["method"] == "notifications/progress"
            await stream.quiet()
            issuer.answers["t"] = {"active": False}
            assert await stream.next() is None
        slow.gate.set()
        async with OpenStream(wire, "t", session=session, last=stream.last_id) as refused:
            assert refused.status == 401
        async with OpenStream(wire, "later", session=session, last=stream.last_id) as resumed:
            said = await resumed.next()
            assert said is not None
            assert said["result"]["content"][0]["text"] == "done"
        assert slow.ended == ["done"]


@pytest.mark.hostile
@pytest.mark.parametrize("resumed", ["standalone", "call"])
async def test_a_resumed_stream_ends(resumed: str) -> None:
    async with revocable() as (issuer, wire, _):
        session = await wire.initialize("later")
        message = {"id": 5, "method": "tools/call", "params": CALL}
        first = OpenStream(wire, "later", session=session, message=message if resumed == "call" else None)
        async with first:
            await first.primed()
            if resumed == "call":
                await first.next()
        async with OpenStream(wire, "t", session=session, last=first.last_id) as stream:
            assert stream.status == 200
            await stream.quiet()
            issuer.answers["t"] = {"active": False}
            assert await stream.next() is None


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_an_issuer_that_can_not_be_asked_cuts_nobody_off(status: int) -> None:
    async with (
        revocable() as (issuer, wire, _),
        OpenStream(wire, "t", session=await wire.initialize("t")) as stream,
    ):
        await stream.quiet()
        issuer.status = status
        await stream.quiet(5)
        issuer.status = 200
        issuer.answers["t"] = {"active": False}
        assert await stream.next() is None


async def test_a_proof_that_was_used_is_not_asked_for_again() -> None:
    key = DPoPKey.generate()
    async with revocable() as (issuer, wire, _):
        issuer.answers["bound"] = good(cnf={"jkt": key.thumbprint})
        proof = ("dpop", key.proof("POST", RESOURCE, access_token="bound"))
        how = modern("subscriptions/listen", **LISTEN)
        how["headers"] = (*how["headers"], proof)
        async with OpenStream(wire, "bound", scheme="DPoP", **how) as stream:
            assert stream.status == 200
            await stream.next()
            await stream.quiet(4)
            issuer.answers["bound"] = {"active": False}
            assert "result" in (await stream.next() or {})


async def test_an_authenticator_of_ones_own_is_asked_again() -> None:
    """And an error of it is in the log, and ends nothing."""
    wrong: list[Exception] = []

    class Own:
        asked = 0

        async def authenticate(self, request: Credentials) -> Principal:
            self.asked += 1
            if wrong:
                raise wrong[0]
            return Principal("https://i.example", "ann")

    own = Own()
    app = App("own", rate_limit=None)
    async with served(app.asgi(keep_alive=BEAT, authenticate=own)) as url:
        wire = Wire(url)
        async with OpenStream(wire, "t", **modern("subscriptions/listen", **LISTEN)) as stream:
            await stream.next()
            await stream.quiet()
            assert own.asked >= 3
            wrong.append(RuntimeError("the directory is down"))
            await stream.quiet()
            wrong[0] = AuthenticationFailed("no more")
            assert "result" in (await stream.next() or {})


@pytest.mark.parametrize("kind", ["standalone", "listen", "2024", "call"])
async def test_without_authorization_nothing_is_made(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("a permission for a caller that nobody vouched for")

    monkeypatch.setattr(permission.Permission, "__init__", made)
    slow = Slow(None)
    async with served(slow.app.asgi(keep_alive=BEAT, http_sse=True)) as url:
        wire = Wire(url)
        how = modern("tools/call", **CALL) if kind == "call" else await opened(kind, wire)
        async with OpenStream(wire, None, **how) as stream:
            assert stream.status == 200
            if kind in ("listen", "call"):
                await stream.next()
            await stream.quiet(2)
        slow.gate.set()


async def test_nothing_is_left_of_readers_who_are_gone() -> None:
    """Their tokens are good for long, and so would be what waits for the end of these."""
    async with revocable() as (issuer, wire, slow):
        issuer.answers["t"] = good(exp=int(time.time()) + 100_000)
        session = await wire.initialize("t")
        message = {"id": 5, "method": "tools/call", "params": CALL}
        async with OpenStream(wire, "t", session=session, message=message) as call:
            await call.next()
        for _ in range(3):
            how: list[dict[str, Any]] = [{"session": session, "last": call.last_id}, {"session": session}]
            how += [{"path": "/mcp/sse"}, modern("subscriptions/listen", **LISTEN)]
            for each in how:
                async with OpenStream(wire, "t", **each) as stream:
                    assert stream.status == 200
        slow.gate.set()
        async with asyncio.timeout(20):
            while any(isinstance(each, permission.Permission) for each in gc.get_objects()):
                await asyncio.sleep(BEAT)  # the server learns of a reader that left when it writes to it
                gc.collect()
