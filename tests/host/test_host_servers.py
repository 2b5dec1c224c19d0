"""Many servers, kept up: bad ones cost nobody else anything, and what was lost comes back."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from must_peer import RawPeer

from dovetail import (
    App,
    Client,
    Closed,
    Context,
    HTTPStatusError,
    Image,
    LocalProtocolError,
    LoginRequired,
    RequestTimeout,
    ServerExited,
)
from dovetail.extensions import Call, Channel
from dovetail.host import (
    EventReader,
    HostEvent,
    HostPolicy,
    ResultLimits,
    ServerStatus,
    ServerUnavailable,
)
from dovetail.host import Host as ConsentingHost
from dovetail.host.hosted_server import UNTOLD_SECONDS
from dovetail.providers import Provided, ProvidedPage, Provider
from dovetail.testing import served
from dovetail.types import ReadResourceResult, Resource

Host = partial(ConsentingHost, policy=HostPolicy(default="allow"))
MORTAL = """
import asyncio, os, sys
from dovetail import App, Context

app = App("mortal", instructions="Handle with care.")


@app.tool
async def pid() -> int:
    return os.getpid()


@app.tool
async def linger(ctx: Context) -> str:
    print("lingering", file=sys.stderr, flush=True)
    await ctx.progress(1, 2)
    await asyncio.sleep(3600)
    return "at last"


app.run()
"""
MUTE = "import sys\nfor line in sys.stdin: pass\n"


def mortal(tmp_path: Path) -> list[str]:
    """The command of a server that says who it is."""
    path = tmp_path / "mortal.py"
    path.write_text(MORTAL)
    return [sys.executable, str(path)]


def greeter(word: str = "hello") -> App:
    """An app with one tool."""
    app = App("greeter")

    @app.tool
    async def hello(who: str) -> str:
        return f"{word} {who}"

    return app


async def until(events: EventReader, wanted: Callable[[HostEvent], bool]) -> HostEvent:
    """The first event that is wanted."""
    async with asyncio.timeout(20):
        async for event in events:
            if wanted(event):
                return event
    raise AssertionError("the host was closed first")


async def test_servers_of_all_kinds_have_their_tools_in_one_list_and_bad_ones_hold_nobody_up(
    tmp_path: Path,
) -> None:
    async with served(greeter("hi").asgi()) as url:
        servers = {
            "mortal": mortal(tmp_path),
            "memory": greeter(),
            "web": Client(url, timeout=20),
            "absent": "no-such-program-anywhere --flag",
            "mute": [sys.executable, "-c", MUTE],
        }
        async with Host(servers, connect_timeout=60) as host:
            for name in ("mortal", "memory", "web"):
                await host.server(name).wait_for("ready", timeout=20)
            failed = await host.server("absent").wait_for("failed", timeout=20)
            assert "no-such-program-anywhere" in str(failed)
            assert host.server("mute").state == "connecting"
            assert (await host.call("memory__hello", {"who": "you"})).text == "hello you"
            assert (await host.call("web__hello", {"who": "you"})).text == "hi you"
            assert int((await host.call("mortal__pid")).text) != os.getpid()
            assert (
                "Server mortal (its tools begin with mortal__):\n> Handle with care." in host.instructions()
            )
            with pytest.raises(ServerUnavailable, match="'absent' can't be used now: it is failed") as caught:
                await host.tool("absent__x")
            assert caught.value.status.state == "failed"
            assert caught.value.retry_safe
            with pytest.raises(LocalProtocolError, match="no server's name"):
                await host.call("hello")
            await host.remove("mute")
            assert [each.name for each in await host.tools()] == [
                "mortal__pid",
                "mortal__linger",
                "memory__hello",
                "web__hello",
            ]


async def test_a_list_waits_for_a_slow_server_no_longer_than_it_may() -> None:
    async with Host({"memory": greeter(), "mute": [sys.executable, "-c", MUTE]}, patience=0.2) as host:
        await host.server("memory").wait_for("ready", timeout=20)
        assert [each.name for each in await host.tools()] == ["memory__hello"]
        assert host.server("mute").state == "connecting"
        assert not await host.settled(0.01)
        with pytest.raises(ServerUnavailable, match="it is connecting"):
            await host.call("mute__x")
        with pytest.raises(RequestTimeout, match="'mute' was not ready in time"):
            await host.server("mute").wait_for("ready", timeout=0.01)


async def test_one_that_does_not_answer_has_failed_after_its_time() -> None:
    async with Host({"mute": [sys.executable, "-c", MUTE]}, connect_timeout=0.3, attempts=1) as host:
        status = await host.server("mute").wait_for("failed", timeout=20)
        assert "did not answer in time" in str(status)
        assert status.retry_in is None


async def test_a_server_that_is_killed_in_the_middle_is_started_again(tmp_path: Path) -> None:
    """The call that was lost says so, since nobody knows what it did; the next goes to the new process."""
    async with Host({"mortal": mortal(tmp_path)}) as host:
        events = host.events()
        first = int((await host.call("mortal__pid")).text)
        lost = asyncio.create_task(host.call("mortal__linger"))
        told = await until(events, lambda event: event.kind == "progress")
        assert (told.server, told.value.progress) == ("mortal", 1)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ServerExited):
            await lost
        assert int((await host.call("mortal__pid")).text) != first
        assert list(host.server("mortal").stderr) == ["lingering"]
        gone = await until(events, lambda event: event.kind == "state" and event.value.state == "degraded")
        assert isinstance(gone.value.cause, ServerExited)
        back = await until(events, lambda event: event.kind == "state" and event.value.state == "ready")
        assert back.value.connections == 2


async def test_a_server_that_can_not_be_started_is_left_alone_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text("import sys\nprint('broken', file=sys.stderr)\nsys.exit(3)\n")
    states: list[ServerStatus] = []

    def note(event: HostEvent) -> None:
        if event.kind == "state":
            states.append(event.value)

    async with Host({"late": [sys.executable, str(path)]}, attempts=2, on_event=note) as host:
        late = host.server("late")
        await late.wait_for("failed", timeout=20)
        await late.wait_for("connecting", timeout=20)
        status = await late.wait_for("failed", timeout=20)
        assert status.retry_in is None
        assert isinstance(status.cause, ServerExited)
        assert set(late.stderr) == {"broken"}
        assert [each.state for each in states] == ["connecting", "failed", "connecting", "failed"]
        assert states[1].retry_in is not None
        path.write_text(MORTAL)
        host.restart("late")
        assert int((await host.call("late__pid")).text) > 0
    assert late.state == "closed"


async def test_connecting_is_broken_off_by_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "mute.py"
    path.write_text(MUTE)
    async with Host({"mute": [sys.executable, str(path)]}, connect_timeout=3600) as host:
        assert not await host.settled(0.2)
        path.write_text(MORTAL)
        host.restart("mute")
        await host.server("mute").wait_for("ready", timeout=20)
        assert int((await host.call("mute__pid")).text) > 0


Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Front:
    """An HTTP server that can be made to answer otherwise than its app: ``refuse`` says with which status."""

    def __init__(self, app: App) -> None:
        self.answer = app.asgi()
        self.refuse: Callable[[dict[bytes, bytes]], int] = lambda _: 0
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = self.refuse(dict(scope["headers"])) if scope["type"] == "http" else 0
        if not status:
            await self.answer(scope, receive, send)
            return
        self.refused += 1
        challenge = [(b"www-authenticate", b'Bearer realm="x"')] if status == 401 else []
        await send({"type": "http.response.start", "status": status, "headers": challenge})
        await send({"type": "http.response.body", "body": b""})


def old_session(kept: set[bytes]) -> Callable[[dict[bytes, bytes]], int]:
    """400, and not a word, to requests of a session that is not kept."""

    def refuse(headers: dict[bytes, bytes]) -> int:
        session = headers.get(b"mcp-session-id")
        return 400 if session is not None and session in kept else 0

    return refuse


async def test_a_session_that_is_gone_is_opened_anew_whatever_the_server_says() -> None:
    """404 is what is prescribed. A bare 400 may mean anything: the call says so, and the connection is made anew."""
    app = greeter()
    sessions: set[bytes] = set()
    front = Front(app)

    def noting(headers: dict[bytes, bytes]) -> int:
        if session := headers.get(b"mcp-session-id"):
            sessions.add(session)
        return 0

    front.refuse = noting
    async with served(front) as url, Host({"web": Client(url, revision="2025-11-25")}) as host:
        assert (await host.call("web__hello", {"who": "a"})).text == "hello a"
        first = set(sessions)
        assert len(first) == 1
        front.refuse = lambda headers: 404 if headers.get(b"mcp-session-id") in first else noting(headers)
        assert (await host.call("web__hello", {"who": "b"})).text == "hello b"
        second = sessions - first
        assert len(second) == 1
        await host.tools()
        front.refuse = old_session(sessions.copy())
        with pytest.raises(HTTPStatusError):
            await host.call("web__hello", {"who": "c"})
        assert (await host.call("web__hello", {"who": "d"})).text == "hello d"
        assert front.refused >= 3


async def test_an_http_server_that_is_away_is_found_again() -> None:
    front = Front(greeter())
    async with served(front) as url, Host({"web": url}) as host:
        await host.server("web").wait_for("ready", timeout=20)
        front.refuse = lambda _: 503
        with pytest.raises((HTTPStatusError, ServerUnavailable)):
            await host.call("web__hello", {"who": "a"})
        await host.server("web").wait_for("failed", timeout=20)
        assert [each.name for each in await host.tools()] == ["web__hello"]
        front.refuse = lambda _: 0
        await host.server("web").wait_for("ready", timeout=20)
        assert (await host.call("web__hello", {"who": "b"})).text == "hello b"


async def test_a_server_that_needs_a_login_says_so_and_is_asked_again_after_it() -> None:
    front = Front(greeter())
    front.refuse = lambda headers: 0 if headers.get(b"authorization") == b"Bearer good" else 401
    token = "bad"

    async with served(front) as url:
        client = Client(url, headers=lambda: {"Authorization": f"Bearer {token}"})
        async with Host({"web": client, "memory": greeter()}) as host:
            status = await host.server("web").wait_for("needs_login", timeout=20)
            assert isinstance(status.cause, LoginRequired)
            assert status.retry_in is None
            assert await host.settled(20)
            assert [each.name for each in await host.tools()] == ["memory__hello"]
            token = "good"
            host.restart("web")
            assert (await host.call("web__hello", {"who": "a"})).text == "hello a"
            token = "bad"
            with pytest.raises((LoginRequired, ServerUnavailable)):
                await host.call("web__hello", {"who": "b"})
            await host.server("web").wait_for("needs_login", timeout=20)


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_a_tool_that_comes_or_goes_is_seen(revision: str) -> None:
    app = greeter()
    async with Host({"memory": Client(app, revision=revision)}) as host:
        await host.settled(20)
        assert [each.name for each in await host.tools()] == ["memory__hello"]
        events = host.events()

        @app.tool
        async def late() -> str:
            return "late"

        await until(events, lambda event: event.kind == "change")
        assert [each.name for each in await host.tools()] == ["memory__hello", "memory__late"]
        assert (await host.call("memory__late")).text == "late"


def library() -> App:
    """An app with a bit of everything."""
    app = App("library", instructions="Read.\x1b[2J\nMuch.")

    @app.prompt
    async def summary(book: str) -> str:
        """Sum it up."""
        return f"Sum up {book}."

    @app.completion("summary", "book")
    async def books(start: str) -> list[str]:
        return [each for each in ("Emma", "Ulysses") if each.startswith(start)]

    @app.resource("book://one")
    def one() -> str:
        return "once upon a time"

    @app.tool
    async def picture() -> Image:
        return Image(data=b"\x89PNG\r\n\x1a\n" + bytes(100))

    @app.tool
    async def long() -> str:
        return "x" * 1000

    @app.tool
    async def fail() -> str:
        raise ValueError("no")

    return app


async def test_prompts_resources_and_instructions_of_all_servers() -> None:
    async with Host({"a": library(), "b": library()}) as host:
        await host.settled(20)
        assert [each.name for each in await host.prompts()] == ["/a:summary", "/b:summary"]
        found = await host.prompt("/b:summary", {"book": "it"})
        assert "Sum up it." in str(found.messages[0].content)
        assert [(each.server, each.resource.uri) for each in await host.resources()] == [
            ("a", "book://one"),
            ("b", "book://one"),
        ]
        assert (await host.read("a", "book://one")).contents[0].text == "once upon a time"
        assert "> Read.\\x1b[2J\n> Much." in host.instructions()
        assert (await host.complete("/a:summary", "book", "Em")).values == ["Emma"]


@pytest.mark.hostile
async def test_resources_of_a_server_that_never_ends_its_list_hold_nobody_up() -> None:
    """What it listed in its time is there, and an event says that there may be more."""

    class Stuck(Provider):
        async def list_resources(
            self, call: Call, channel: Channel, cursor: str | None
        ) -> ProvidedPage[Resource]:
            if cursor is not None:
                await asyncio.Event().wait()
            found = Provided(described=Resource(uri="book://first", name="first"), answer=unread)
            return ProvidedPage([found], "next")

    async def unread(call: Call, channel: Channel) -> ReadResourceResult:
        raise AssertionError("nobody reads it")

    stuck = App("stuck", page_size=1)
    stuck.mount(None, Stuck())
    async with Host({"stuck": stuck, "good": library()}, patience=0.3) as host:
        await host.settled(20)
        events = host.events()
        assert [each.resource.uri for each in await host.resources()] == ["book://first", "book://one"]
        told = await until(events, lambda event: event.kind == "warning")
        assert (told.server, told.value) == ("stuck", "not all its resources were listed in 0.3 seconds")


async def test_results_are_bounded_and_what_is_base64_is_bytes() -> None:
    limits = ResultLimits(text=100, blobs=200)
    async with Host({"a": library()}, limits=limits) as host:
        shown = await host.call("a__picture")
        (blob,) = shown.blobs
        assert (blob.kind, blob.media_type, len(blob.data)) == ("image", "image/png", 108)
        assert shown.text == "[image, image/png, 108 bytes]"
        long = await host.call("a__long")
        assert long.cut
        assert long.text == "x" * 100 + "\n[cut: 1000 characters, of which 100 are shown]"
        assert long.raw.text == "x" * 1000
    async with Host({"a": library()}, limits=ResultLimits(blobs=50)) as host:
        shown = await host.call("a__picture")
        assert (shown.blobs, shown.cut) == ((), True)
        assert "left out: larger than allowed" in shown.text


@pytest.mark.requirement("R2511-TOOLS-018", "R2607-TOOLS-041")
async def test_a_failure_of_a_tool_is_for_the_model() -> None:
    async with Host({"a": library()}) as host:
        failed = await host.call("a__fail")
        assert failed.is_error
        assert failed.text


@pytest.mark.requirement("R2511-TOOLS-021", "R2607-TOOLS-043")
async def test_a_call_has_a_time_in_all(tmp_path: Path) -> None:
    """Progress holds off the timeout of a request, and not this one."""
    app = App("busy")

    @app.tool
    async def busy(ctx: Context) -> str:
        for done in range(10_000):
            await ctx.progress(done)
            await asyncio.sleep(0.01)
        return "done"

    async with Host({"a": app}, limits=ResultLimits(seconds=0.3)) as host:
        began = time.monotonic()
        with pytest.raises(RequestTimeout, match="'a__busy' took longer"):
            await host.call("a__busy")
        assert time.monotonic() - began < 10


async def test_a_handler_of_a_call_and_events_both_hear_of_its_progress() -> None:
    app = App("steps")

    @app.tool
    async def step(ctx: Context) -> str:
        await ctx.progress(1, 1)
        return "done"

    told: list[HostEvent] = []
    heard: list[Any] = []
    own: list[Any] = []
    client = Client(app, progress=lambda notice, call: own.append(call))
    async with Host({"a": client}, on_event=told.append) as host:
        await host.call("a__step")
        await host.call("a__step", progress=heard.append)
    assert len([event for event in told if event.kind == "progress"]) == 2
    assert (len(heard), [call.name for call in own]) == (1, ["step"])


async def test_what_is_closed_stays_closed() -> None:
    host = Host({"one": greeter()})
    await host.close()
    await host.close()
    for use in (host.open(), host.add("two", greeter()), host.call("one__hello", {"who": "x"})):
        with pytest.raises(Closed):
            await use
    assert host.server("one").state == "closed"


async def test_a_target_that_is_none_fails_alone() -> None:
    async with Host({"number": 7, "odd": Client("x", timeout=1), "memory": greeter()}) as host:
        assert await host.settled(20)
        assert [server.state for server in host.servers.values()] == ["failed", "failed", "ready"]
        assert host.server("number").status.retry_in is None


async def test_servers_come_and_go() -> None:
    async with Host({}) as host:
        assert await host.settled(1)
        await host.add("one", greeter())
        with pytest.raises(LocalProtocolError, match="already"):
            await host.add("one", greeter())
        assert (await host.call("one__hello", {"who": "x"})).text == "hello x"
        await host.remove("one")
        assert await host.tools() == []
        with pytest.raises(LocalProtocolError, match="no server 'one'"):
            host.restart("one")


async def test_who_reads_events_too_slowly_loses_the_oldest_and_is_told() -> None:
    async with Host({"memory": greeter()}) as host:
        slow, left = host.events(), host.events()
        left.close()
        await host.settled(20)
        for number in range(5000):
            host.server("memory")._on_stderr(str(number))
        assert slow.dropped > 900
        assert (await anext(slow)).value == str(5000 - 4096)
    assert len([event async for event in slow]) < 4200
    assert [event async for event in left] == []


def aging(ttl: int, counts: list[str], **offered: Any) -> RawPeer:
    """A server of 2026-07-28 whose two pages of tools may be kept for this time, and whose list grows each time."""

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        method = message["method"]
        if method == "prompts/list":
            peer.result(message["id"], prompts=[], ttlMs=600_000, cacheScope="private")
        elif method == "tools/list":
            counts.append(method)
            first = message["params"].get("cursor") is None
            more = {"nextCursor": "2", "ttlMs": 600_000} if first else {"ttlMs": ttl}
            tools = [{"name": f"tool{len(counts)}", "inputSchema": {"type": "object"}}] if first else []
            peer.result(message["id"], tools=tools, cacheScope="private", **more)

    return RawPeer(answer, **offered)


@pytest.mark.requirement("R2607-CACHING-008", "R2607-CACHING-013")
async def test_a_list_is_read_anew_once_its_shortest_time_is_up() -> None:
    counts: list[str] = []
    async with Host({"old": aging(60_000, counts)}) as host:
        await host.settled()
        assert [tool.tool.name for tool in await host.tools()] == ["tool1"]
        host.server("old")._until["tools"] -= 50
        assert [tool.tool.name for tool in await host.tools()] == ["tool1"]
        host.server("old")._until["tools"] -= 10
        assert [tool.tool.name for tool in await host.tools()] == ["tool3"]
        assert [tool.tool.name for tool in await host.tools()] == ["tool3"]


async def test_a_list_without_a_time_is_kept_until_a_change_is_told_or_for_a_moment() -> None:
    counts: list[str] = []
    async with Host({"told": aging(0, []), "old": aging(0, counts, tools={})}) as host:
        await host.settled()
        assert "tools" not in host.server("told")._until
        await host.tools()
        assert len(counts) == 2
        host.server("old")._until["tools"] -= UNTOLD_SECONDS
        await host.tools()
        assert len(counts) == 4
