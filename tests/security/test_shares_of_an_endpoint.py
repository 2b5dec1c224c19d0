"""Nobody takes all requests, streams or sessions: not one network, not all who have no name, not one who has."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from asgi_peer import Exchange, Peer
from soak_talk import initialize, message
from test_held_bytes import ECHO, ELSEWHERE, HERE, THERE, Tokens, endpoint, small_app, until

from dovetail import App, Context
from dovetail.stores import MemoryStore, SessionBounds, StoreBounds

pytestmark = pytest.mark.hostile


async def listen(peer: Peer) -> Exchange:
    exchange = peer.listen(["held://one"])
    await until(lambda: exchange.said)
    return exchange


async def end(exchanges: list[Exchange]) -> None:
    for each in exchanges:
        each.leave()
    for each in exchanges:
        await each.over()


def statuses(exchanges: list[Exchange]) -> list[int]:
    return [each.status for each in exchanges]


# Streams


async def test_one_network_never_has_all_streams(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint(max_streams=8) as http:
        streams = [await listen(Peer(http, f"2001:db8::{number}")) for number in range(4)]
        assert statuses(streams) == [200, 200, 503, 503]
        assert int(streams[-1].headers["retry-after"]) > 0
        others = [await listen(Peer(http, address)) for address in (THERE, ELSEWHERE)]
        local = [await listen(Peer(http, HERE)) for _ in range(5)]
        assert statuses(others) == [200, 200]
        assert statuses(local) == [200, 200, 200, 200, 503], "all that there are"
        assert caplog.text.count("streams open") == 2, "one line for each that was refused"
        await end([*streams, *others, *local])
        assert http._limits.streams == 0


async def test_streams_of_sessions_are_counted_likewise() -> None:
    async with endpoint(max_streams=8) as http:
        opened: list[Exchange] = []
        for number in range(3):
            peer = Peer(http, f"2001:db8::{number}")
            await peer.open()
            exchange = peer.read()
            await until(lambda each=exchange: each.status)
            opened.append(exchange)
        assert statuses(opened) == [200, 200, 503]
        await end(opened)
        assert http._limits.streams == 0


async def test_callers_without_a_name_leave_streams_to_those_who_have_one() -> None:
    async with endpoint(max_streams=8, authenticate=Tokens()) as http:
        nameless = [await listen(Peer(http, f"198.51.100.{number}")) for number in range(6)]
        assert statuses(nameless) == [200, 200, 200, 200, 503, 503]
        local = [await listen(Peer(http, HERE))]
        assert statuses(local) == [503], "those on this machine have no name either"
        named = [await listen(Peer(http, ELSEWHERE, name)) for name in ("alice", "alice", "alice", "bob")]
        assert statuses(named) == [200, 200, 503, 200]
        await end([*nameless, *local, *named])
        assert http._limits.streams == 0


# Requests


async def test_one_network_never_has_all_requests() -> None:
    async with endpoint(max_requests=8) as http:
        waiting = [Peer(http, f"2001:db8::{number}").begin(ECHO[1]) for number in range(3)]
        await asyncio.wait((waiting[2].task,))
        assert waiting[2].status == 503
        assert (await Peer(http, THERE).post(*ECHO).over()).status == 200
        await end(waiting)
        assert http._limits.requests == 0


async def test_a_request_counts_for_its_network_before_it_has_a_name_and_for_its_name_then() -> None:
    gate = asyncio.Event()

    class Slow(Tokens):
        async def authenticate(self, request: Any) -> Any:
            if request.authorization == ("slow",):
                await gate.wait()
            return await super().authenticate(request)

    async with endpoint(max_requests=8, authenticate=Slow()) as http:
        unknown = [Peer(http, THERE, "slow").begin(ECHO[1]) for _ in range(3)]
        await asyncio.wait((unknown[2].task,))
        assert unknown[2].status == 503, "who says nothing true yet has no more than his network's part"
        alice = [Peer(http, ELSEWHERE, "alice").begin(ECHO[1]) for _ in range(3)]
        await asyncio.wait((alice[2].task,))
        assert alice[2].status == 503
        assert (await Peer(http, ELSEWHERE, "bob").post(*ECHO).over()).status == 200
        gate.set()
        await asyncio.sleep(0)
        await end([*unknown, *alice])
        assert http._limits.requests == 0
        assert len(http._limits._requests) == 0


async def test_callers_without_a_name_leave_requests_to_those_who_have_one() -> None:
    async with endpoint(max_requests=8, authenticate=Tokens()) as http:
        waiting = [Peer(http, f"198.51.100.{number}").begin(ECHO[1]) for number in range(6)]
        await asyncio.wait([each.task for each in waiting[4:]])
        assert statuses(waiting[4:]) == [503, 503]
        assert (await Peer(http, THERE, "alice").post(*ECHO).over()).status == 200
        assert (await Peer(http, THERE).post(*ECHO).over()).status == 503
        await end(waiting)
        assert http._limits.requests == 0


@pytest.mark.parametrize("share", [0, 101, -1])
@pytest.mark.parametrize("name", ["caller_share", "anonymous_share"])
def test_a_part_is_a_percentage(name: str, share: int) -> None:
    with pytest.raises(ValueError, match=name):
        small_app().asgi(**cast("Any", {name: share}))


# Sessions


def store(**bounds: Any) -> MemoryStore:
    return MemoryStore(bounds=StoreBounds(sessions=SessionBounds(**bounds)))


async def opens(peer: Peer) -> int:
    return (await peer.post(initialize({}), {}).over()).status


async def test_addresses_of_one_ipv6_network_share_their_sessions() -> None:
    kept = store(max_sessions=100, max_per_principal=5)
    async with endpoint(store=kept) as http:
        for number in range(20):
            assert await opens(Peer(http, f"2001:db8::{number:x}")) == 200
        assert await kept.sessions.count() == 5
        assert await opens(Peer(http, "2001:db8:0:1::1")) == 200
        assert await kept.sessions.count() == 6


async def test_a_session_follows_its_client_to_another_address() -> None:
    """Who has no name is told by the id alone, as before."""
    async with endpoint() as http:
        peer = Peer(http, "2001:db8::1")
        await peer.open()
        peer.address = THERE
        assert await peer.in_use()


async def test_a_flood_of_sessions_ends_its_own_and_keeps_nobody_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = store(max_sessions=100, max_per_principal=5)
    async with endpoint(store=kept) as http:
        good = Peer(http, THERE)
        assert (await good.open()).status == 200
        for _ in range(50):
            assert await opens(Peer(http, THERE)) == 200
        assert await good.in_use(), "what was used goes after what never was"
        newcomer = Peer(http, THERE)
        assert (await newcomer.open()).status == 200
        assert await newcomer.in_use()
        assert await kept.sessions.count() == 5
        assert caplog.text.count("ended to make room") == 1


async def test_a_newcomer_is_not_the_idlest() -> None:
    """Between its opening and its first use, others open theirs."""
    kept = store(max_sessions=100, max_per_principal=6)
    async with endpoint(store=kept) as http:
        for _ in range(6):
            await Peer(http, THERE).open()
            await asyncio.sleep(0.002)  # or the clock may not tell them apart
        newcomers = [await Peer(http, THERE).post(initialize({}), {}).over() for _ in range(3)]
        for each in newcomers:
            session = {"mcp-session-id": each.headers["mcp-session-id"]}
            used = await Peer(http, THERE).post(message("notifications/initialized"), session).over()
            assert used.status == 202


async def test_of_sessions_in_use_the_idlest_goes() -> None:
    kept = store(max_sessions=100, max_per_principal=3)
    async with endpoint(store=kept) as http:
        peers = [Peer(http, THERE) for _ in range(4)]
        for peer in peers[:3]:
            await peer.open()
            await asyncio.sleep(0.06)  # beyond what counts as just now
        assert await peers[0].in_use()
        await peers[3].open()
        assert [await peer.in_use() for peer in peers] == [True, False, True, True]


async def test_whoever_has_a_name_gets_a_session_however_many_have_none() -> None:
    kept = store(max_sessions=20, max_per_principal=10)
    async with endpoint(store=kept, authenticate=Tokens()) as http:
        for number in range(40):
            assert await opens(Peer(http, f"198.51.100.{number}")) == 200
        assert await kept.sessions.count() == 20
        for name in ("alice", "bob"):
            assert [await opens(Peer(http, THERE, name)) for _ in range(11)] == [200] * 10 + [503]
        assert await kept.sessions.count() == 20
        assert await opens(Peer(http, "198.51.100.7")) == 503, (
            "no session of somebody with a name goes for one"
        )


async def test_what_a_session_was_doing_ends_with_it() -> None:
    app = App("busy", rate_limit=None)
    ended = asyncio.Event()

    @app.tool
    async def wait(ctx: Context) -> str:
        await ctx.progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    kept = store(max_sessions=100, max_per_principal=1)
    async with endpoint(app, store=kept) as http:
        peer = Peer(http, THERE)
        await peer.open()
        call = peer.call("wait")
        stream = peer.read()
        await until(lambda: http._stateful._calls._tasks and stream.status)
        assert await opens(Peer(http, THERE)) == 200
        async with asyncio.timeout(5):
            await ended.wait()
        await stream.over()
        await call.over()
        assert not http._stateful._sessions._live
        assert not http._stateful._calls._tasks
        assert (await peer.post(message("ping", id=1), peer.session).over()).status == 404


async def test_bytes_of_the_sessions_of_one_caller_have_a_bound() -> None:
    kept = store(max_bytes_per_principal=64 * 1024)
    async with endpoint(store=kept) as http:
        peer = Peer(http, THERE)
        await peer.open()
        said = [
            (
                await peer.post(
                    message("resources/subscribe", {"uri": f"held://{number}/{'x' * 8000}"}, id=1),
                    peer.session,
                ).over()
            ).status
            for number in range(10)
        ]
        assert said == [200] * 8 + [503, 503] or said == [200] * 7 + [503] * 3
        assert await opens(Peer(http, ELSEWHERE)) == 200
