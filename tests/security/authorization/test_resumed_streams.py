"""Attack: a stream that a strong token opened is read on with a weak one, or beyond the end of the one it is resumed
with.

A resumed stream ends with the token that resumed it, and tells what that one may hear.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from guarded import RESOURCE, Issuer, Wire, issuing
from stream_reading import OpenStream

from dovetail import App, Context
from dovetail.auth import Protected, jwt
from dovetail.protocol.listening import Change, change_in
from dovetail.protocol.revisions import PROFILES
from dovetail.stores import SQLiteStore
from dovetail.testing.serving import served
from dovetail.transports.http_server.event_ids import (
    REQUEST,
    STANDALONE,
    covers,
    new_stream_id,
    parse_event_id,
)

SECRET, OPEN = "notes://secret", "notes://open"
CALL = {"name": "slow", "arguments": {}, "_meta": {"progressToken": "p"}}
STRONG, WEAK = "read admin", "read"


class Notes:
    """An app with a resource for some and one for all, and a tool for some that takes its time."""

    def __init__(self, auth: Any, store: Any = None) -> None:
        self.gate = asyncio.Event()
        self.app = app = App("notes", auth=auth, rate_limit=None, store=store, keys=["k" * 32])

        @app.resource(SECRET, scopes=["admin"])
        async def secret() -> str:
            return "secret"

        @app.resource(OPEN)
        async def plain() -> str:
            return "open"

        @app.tool(scopes=["admin"])
        async def slow(ctx: Context) -> str:
            await ctx.progress(1, 2)
            await self.gate.wait()
            return "the secret"

    def update(self) -> None:
        """Both resources change; the one for all comes last."""
        self.app.resource_updated(SECRET)
        self.app.resource_updated(OPEN)


@contextlib.asynccontextmanager
async def serving(
    path: Path | None = None, workers: int = 1
) -> AsyncIterator[tuple[Issuer, list[Wire], Notes]]:
    async with issuing() as issuer, contextlib.AsyncExitStack() as stack:
        auth = Protected(RESOURCE, jwt(issuer.url), leeway=0.0)
        notes = Notes(auth, None if path is None else SQLiteStore(path))
        wires: list[Wire] = []
        for number in range(workers):
            each = notes if not number else Notes(auth, SQLiteStore(path or ""))
            wires.append(
                Wire(await stack.enter_async_context(served(each.app.asgi(keep_alive=0.1, workers=1))))
            )
        yield issuer, wires, notes
        notes.gate.set()


async def subscribed(wire: Wire, token: str) -> str:
    session = await wire.initialize(token)
    for id, uri in enumerate((SECRET, OPEN), 1):
        message = {"id": id, "method": "resources/subscribe", "params": {"uri": uri}}
        assert "result" in (await wire.message(token, message, session=session)).json
    return session


def told(message: dict[str, Any] | None) -> str:
    assert message is not None
    return message["params"]["uri"]


@pytest.mark.hostile
async def test_a_weak_token_hears_less_of_the_same_stream() -> None:
    """Of what was kept while nobody read as well as of what comes now; and a strong one hears all again."""
    async with serving() as (issuer, (wire,), notes):
        strong, weak = issuer.token(scope=STRONG), issuer.token(scope=WEAK)
        session = await subscribed(wire, strong)
        async with OpenStream(wire, strong, session=session) as first:
            await first.primed()
            notes.update()
            assert [told(await first.next()) for _ in range(2)] == [SECRET, OPEN]
        notes.update()  # heard on behalf of the strong token
        async with OpenStream(wire, weak, session=session, last=first.last_id) as second:
            assert told(await second.next()) == OPEN
            notes.update()
            assert told(await second.next()) == OPEN
        notes.update()  # heard on behalf of the weak token
        async with OpenStream(wire, strong, session=session, last=second.last_id) as third:
            assert told(await third.next()) == OPEN
            notes.update()
            assert [told(await third.next()) for _ in range(2)] == [SECRET, OPEN]


@pytest.mark.hostile
async def test_what_was_kept_is_filtered_at_every_worker(tmp_path: Path) -> None:
    async with serving(tmp_path / "shared.db", workers=2) as (issuer, (wire, other), notes):
        strong, weak = issuer.token(scope=STRONG), issuer.token(scope=WEAK)
        session = await subscribed(wire, strong)
        async with OpenStream(wire, strong, session=session) as first:
            began = await first.primed()
            notes.update()
            assert [told(await first.next()) for _ in range(2)] == [SECRET, OPEN]
        async with OpenStream(other, weak, session=session, last=began) as second:
            assert told(await second.next()) == OPEN


@pytest.mark.hostile
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("at", ["the same worker", "another worker"])
async def test_the_answer_to_a_call_is_for_tokens_with_all_scopes_that_the_caller_had(
    over: bool, at: str, tmp_path: Path
) -> None:
    async with serving(tmp_path / "shared.db", workers=2) as (issuer, wires, notes):
        wire, there = wires[0], wires[at == "another worker"]
        strong, weak = issuer.token(scope=STRONG), issuer.token(scope=WEAK)
        stronger = issuer.token(scope=f"{STRONG} more")
        session = await wire.initialize(strong)
        message = {"id": 5, "method": "tools/call", "params": CALL}
        async with OpenStream(wire, strong, session=session, message=message) as call:
            assert (await call.next() or {})["method"] == "notifications/progress"
            id = call.last_id
            if over:
                notes.gate.set()
                assert "result" in (await call.next() or {})
        async with OpenStream(there, weak, session=session, last=id) as refused:
            assert refused.status == 403
        bare = id.partition(".")[0] + "-" + id.rpartition("-")[2]
        for forged in (bare, id.replace(".", "_")):
            async with OpenStream(there, weak, session=session, last=forged) as refused:
                assert refused.status == 400, "without what it needs it is the name of no stream"
        notes.gate.set()
        async with OpenStream(there, stronger, session=session, last=id) as resumed:
            said = await resumed.next()
            assert said is not None
            assert said["result"]["content"][0]["text"] == "the secret"


@pytest.mark.hostile
async def test_a_whole_answer_in_one_stream_is_kept_for_the_same_tokens() -> None:
    """A client that reads nothing but streams gets even a quick answer as one, and can come back for it."""
    async with serving() as (issuer, (wire,), notes):
        notes.gate.set()
        strong, weak = issuer.token(scope=STRONG), issuer.token(scope=WEAK)
        session = await wire.initialize(strong)
        headers = (("accept", "text/event-stream"),)
        message = {"id": 5, "method": "tools/list", "params": {}}
        stream = OpenStream(wire, strong, session=session, message=message)
        stream._sent = stream._sent.replace(b"application/json, text/event-stream", headers[0][1].encode())
        async with stream:
            first = await stream.primed()
        for token, status in ((weak, 403), (strong, 200)):
            async with OpenStream(wire, token, session=session, last=first) as resumed:
                assert resumed.status == status


@pytest.mark.parametrize("resumed", ["standalone", "call"])
async def test_it_ends_with_the_token_that_resumed_it(resumed: str) -> None:
    """Not with the one that opened it, be that longer or shorter."""
    async with serving() as (issuer, (wire,), notes):
        now = int(time.time())
        short, long = issuer.token(scope=STRONG, exp=now + 3), issuer.token(scope=STRONG, exp=now + 600)
        session = await subscribed(wire, long)
        message = {"id": 5, "method": "tools/call", "params": CALL} if resumed == "call" else None
        async with OpenStream(wire, long, session=session, message=message) as first:
            await first.primed()
            if message is not None:
                await first.next()
        async with OpenStream(wire, short, session=session, last=first.last_id) as second:
            assert second.status == 200
            assert await second.next() is None
            assert now + 2 <= time.time() < now + 600
        if message is not None:
            notes.gate.set()
            async with OpenStream(wire, long, session=session, last=first.last_id) as third:
                assert "result" in (await third.next() or {})


async def test_a_longer_token_keeps_a_stream_that_a_shorter_one_opened() -> None:
    async with serving() as (issuer, (wire,), notes):
        now = int(time.time())
        short, long = issuer.token(scope=STRONG, exp=now + 2), issuer.token(scope=STRONG, exp=now + 600)
        session = await subscribed(wire, long)
        async with OpenStream(wire, short, session=session) as first:
            await first.primed()
        async with OpenStream(wire, long, session=session, last=first.last_id) as second:
            while time.time() < now + 2.2:
                await second.quiet(1)
            notes.update()
            assert [told(await second.next()) for _ in range(2)] == [SECRET, OPEN]


# The parts


@pytest.mark.parametrize(
    "change", [Change("tools"), Change("prompts"), Change("resources"), Change("resource", "a://b")]
)
@pytest.mark.parametrize("revision", ["2025-03-26", "2025-11-25"])
def test_a_change_is_found_in_its_message(change: Change, revision: str) -> None:
    assert change_in(change.message(PROFILES[revision])) == change


@pytest.mark.parametrize(
    "message",
    [b"", b"x", b"[]", b"{}", b'{"method":"notifications/progress","params":{}}', b'{"id":1,"result":{}}'],
)
def test_other_messages_tell_of_none(message: bytes) -> None:
    assert change_in(message) is None


def test_names_of_streams_say_which_scopes_it_takes() -> None:
    many = frozenset(f"scope-{n}" for n in range(40))
    for scopes in (frozenset({"a"}), frozenset({"a", "b", "é \udcff"}), frozenset(list(many)[:16]), many):
        id = new_stream_id(REQUEST, scopes)
        assert parse_event_id(f"{id}-7".encode()) == (id, 7)
        assert covers(id, scopes)
        assert not covers(id, frozenset())
        assert not covers(id, frozenset(list(scopes)[1:]))
        assert not covers(id, frozenset({"other"}))
        assert covers(id, scopes | {"more"}) == (len(scopes) <= 16)
    for id in (new_stream_id(REQUEST), new_stream_id(STANDALONE)):
        assert len(id) == 25
        assert covers(id, frozenset())
        assert covers(id, many)
