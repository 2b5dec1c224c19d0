"""What becomes of a client's connection: states that can be awaited and watched, opening anew, giving up an opening."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from raw_http import Answer, RawHTTP, error, result
from waiting import until

from dovetail.client import Client, StateChange
from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    LocalProtocolError,
    RequestTimeout,
    ServerExited,
)
from dovetail.transports.stdio.client import StdioTransport

Command = Callable[..., list[str]]
SILENT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_states_from_the_first_to_the_last(era: str, request: pytest.FixtureRequest) -> None:
    told: list[StateChange] = []
    client = Client(request.getfixturevalue(era)(), on_state=told.append)
    assert client.state == "new"
    ready = asyncio.create_task(client.wait_for("ready"))
    async with client:
        assert client.state == "ready"
        assert await ready == "ready"
        assert await client.wait_for("lost", "ready") == "ready"
    assert client.state == "closed"
    assert await client.wait_for("closed") == "closed"
    assert [change.state for change in told] == ["opening", "ready", "closed"]
    with pytest.raises(Closed):
        await client.wait_for("ready")


async def test_a_server_that_is_started_again_is_seen(stateless: Command) -> None:
    told: list[StateChange] = []
    async with Client(stateless(), restart=True, on_state=told.append) as client:
        renewing = asyncio.create_task(client.wait_for("renewing", "lost"))
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        assert client.state == "renewing"  # at once: "ready" is the next one from here on
        assert await renewing == "renewing"
        assert await client.wait_for("ready") == "ready"
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"
    assert [change.state for change in told] == ["opening", "ready", "renewing", "ready", "closed"]
    assert isinstance(told[2].cause, ServerExited)
    assert [change.renewals for change in told] == [0, 0, 0, 1, 1]
    assert told[3].cause is None


async def test_an_async_watcher_may_use_the_client(stateful: Command) -> None:
    found: list[str] = []
    done = asyncio.Event()

    async def watch(change: StateChange) -> None:
        if change.state == "ready":
            found.append((await client.call_tool("echo", {"text": "from the watcher"})).text)
            done.set()

    client = Client(stateful(), on_state=watch)
    async with client:
        await done.wait()
    assert found == ["from the watcher"]


async def test_a_watcher_may_open_and_call_in_the_very_moment(stateful: Command) -> None:
    """The attempt is over then, and those who waited for it have not been told yet."""
    tasks: list[asyncio.Task[Any]] = []

    def watch(change: StateChange) -> None:
        if change.state == "ready":
            tasks.append(asyncio.create_task(client.open()))
            tasks.append(asyncio.create_task(client.call_tool("echo", {"text": "x"})))

    client = Client(stateful(), on_state=watch)
    async with client:
        opened, called = await asyncio.gather(*tasks)
        assert opened is client
        assert called.text == "x"


async def test_a_loss_for_good_is_raised_to_who_waits(stateful: Command) -> None:
    async with Client(stateful()) as client:
        waiting = [asyncio.create_task(client.wait_for("closed")) for _ in range(2)]
        with pytest.raises(ServerExited) as open_then:
            await client.call_tool("die")
        assert not open_then.value.retry_safe
        assert await client.wait_for("lost") == "lost"
        for task in waiting:
            with pytest.raises(ServerExited):
                await task
        with pytest.raises(ServerExited):
            await client.wait_for("ready")


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_a_call_that_was_never_sent_is_safe_to_repeat(era: str, request: pytest.FixtureRequest) -> None:
    async with Client(request.getfixturevalue(era)()) as client:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        with pytest.raises(ServerExited) as caught:
            await client.call_tool("echo", {"text": "x"})
        assert caught.value.retry_safe
        with pytest.raises(ServerExited) as caught:
            await client.notify("notifications/roots/list_changed")
        assert caught.value.retry_safe


async def test_waiting_for_a_state_has_its_bounds(stateful: Command) -> None:
    client = Client(stateful())
    with pytest.raises(RequestTimeout, match=r"not ready within 0.01 seconds; it is new"):
        await client.wait_for("ready", timeout=0.01)
    with pytest.raises(LocalProtocolError, match="no state 'open'"):
        await client.wait_for("open")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(LocalProtocolError, match="say which"):
        await client.wait_for()
    async with client:
        waiting = asyncio.create_task(client.wait_for("lost"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not client._connection.states._waiters


async def test_a_session_that_is_renewed_is_seen() -> None:
    sessions: list[str] = []
    lost = False

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        nonlocal lost
        if method != "POST":
            return 405, {}, None
        if message["method"] == "initialize":
            lost = False
            sessions.append(f"s{len(sessions)}")
            told = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            info = {"name": "s", "version": "1"}
            return 200, {"Mcp-Session-Id": sessions[-1]}, result(message, serverInfo=info, **told)
        if message["method"] == "server/discover":
            return 400, {}, error(message, -32600, "what?")
        if lost:
            return 404, {}, None
        return (200, {}, result(message, content=[])) if "id" in message else (202, {}, None)

    told: list[StateChange] = []
    async with RawHTTP(serve) as http, Client(http.url, on_state=told.append) as client:
        await client.call_tool("t")
        lost = True
        await asyncio.gather(*(client.call_tool("t") for _ in range(5)))
    assert [change.state for change in told] == ["opening", "ready", "renewing", "ready", "closed"]
    assert "404" in str(told[2].cause)
    assert len(sessions) == 2


# Opening anew


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_open_after_a_loss_connects_anew(era: str, request: pytest.FixtureRequest) -> None:
    changes: list[Any] = []
    heard = asyncio.Event()

    def changed(change: Any) -> None:
        changes.append(change)
        heard.set()

    async with Client(request.getfixturevalue(era)(), on_change=changed) as client:
        await client.subscribe("raw://a")
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        await asyncio.gather(client.open(), client.open())
        assert client.state == "ready"
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"
        changes.clear()
        heard.clear()
        await client.call_tool("change")
        await heard.wait()
        await until(lambda: any(getattr(change, "uri", None) == "raw://a" for change in changes))


async def test_open_after_a_loss_says_so_where_nothing_can_be_made_anew(stateful: Command) -> None:
    async with Client(StdioTransport(stateful())) as client:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        with pytest.raises(ServerExited) as caught:
            await client.open()
        assert caught.value.retry_safe
        assert client.state == "lost"


async def test_an_open_that_fails_after_a_loss_may_be_tried_again(stateful: Command, tmp_path: Any) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    command = stateful()
    async with Client([str(link), *command[1:]], env={"PYTHONPATH": os.pathsep.join(sys.path)}) as client:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        link.unlink()
        with pytest.raises(ConnectFailed):
            await client.open()
        assert client.state == "lost"
        with pytest.raises(ServerExited):
            await client.call_tool("echo", {"text": "x"})
        link.symlink_to(sys.executable)
        await client.open()
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


async def test_an_open_that_failed_may_be_tried_on_another_loop() -> None:
    """Nothing is left of it that belongs to a loop."""
    client = Client("http://127.0.0.1:9/mcp")

    def attempt() -> None:
        with pytest.raises((ConnectFailed, ConnectionLost)):
            asyncio.run(client.open())

    for _ in range(2):
        await asyncio.to_thread(attempt)
    assert client.state == "new"


# Giving up


async def test_a_cancelled_open_hurts_nobody_else(stateful: Command) -> None:
    client = Client(stateful("2025-11-25", "silent"), probe_timeout=0.5)
    first, second = (asyncio.create_task(client.open()) for _ in range(2))
    await until(lambda: client._connection._link and client._connection._link._timeouts)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second is client
    assert client.state == "ready"
    await client.close()


async def test_a_cancelled_open_does_not_take_a_call_with_it(stateful: Command) -> None:
    """Whoever waits for the same connection to make a call counts as well."""
    client = Client(stateful("2025-11-25", "silent"), probe_timeout=0.5)
    opening = asyncio.create_task(client.open())
    await until(lambda: client._connection._link and client._connection._link._timeouts)
    call = asyncio.create_task(client.call_tool("echo", {"text": "x"}))
    await until(lambda: client._connection._waiting == 2)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert (await call).text == "x"
    await client.close()


async def test_an_open_that_nobody_waits_for_is_given_up_and_may_be_tried_again(tmp_path: Any) -> None:
    ready = tmp_path / "ready"
    program = f"""
import json, os, sys
while not os.path.exists({str(ready)!r}):
    if not sys.stdin.readline():
        sys.exit()
for line in sys.stdin:
    message = json.loads(line)
    shown = {{"supportedVersions": ["2026-07-28"], "capabilities": {{}}}}
    shown |= {{"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}}
    print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": shown}}), flush=True)
"""
    told: list[str] = []
    command = [sys.executable, "-c", program]
    client = Client(command, probe_timeout=30, on_state=lambda change: told.append(change.state))
    opening = asyncio.create_task(client.open())

    def started() -> Any:
        link: Any = client._connection._link
        return link and link.transport._process

    await until(started)
    process = started()
    opening.cancel()
    late = asyncio.create_task(client.open())  # comes while the first is being given up
    with pytest.raises(asyncio.CancelledError):
        await opening
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert process.exited.is_set()
    assert client.state == "new"
    ready.touch()
    async with client:
        assert client.era == "stateless"
    assert told[-2:] == ["ready", "closed"]


async def test_a_deadline_of_ones_own_for_opening() -> None:
    client = Client(SILENT, probe_timeout=30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.open(), 0.2)
    assert client.state == "new"


def test_states_of_the_blocking_client(stateful: Command) -> None:
    client = Client.sync(stateful())
    assert client.state == "new"
    with client:
        assert client.wait_for("ready", timeout=5) == "ready"
        with pytest.raises(ServerExited):
            client.call_tool("die")
        assert client.wait_for("lost") == "lost"
        client.open()
        assert client.call_tool("echo", {"text": "x"}).text == "x"
    assert client.state == "closed"
