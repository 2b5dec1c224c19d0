"""Servers that crash, are killed and come back: what was under way ends with its cause and is never done twice.

Follows: basic/lifecycle "Shutdown"; 2025-11-25 basic/transports "Session Management".
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from everywhere_app import NOTE, make_app
from everywhere_cells import REVISIONS, STATELESS
from everywhere_serving import command, http_process, serving, serving_unix
from everywhere_spots import Clock

from dovetail import App, Client, ConnectionLost, DovetailError, ServerExited, SessionEnded, TransportError
from dovetail.protocol.listening import Change
from dovetail.stores.memory import MemoryStore

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("fresh")]
ERAS = pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25", STATELESS])


async def patiently(clock: Clock, call: Any) -> Any:
    """The outcome of something that waits before it tries again: time passes as fast as it likes."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await asyncio.wait((task,), timeout=0.02)  # the clock is ours, the network's is not
        clock.advance(0.1)
    return await task


def counting() -> tuple[App, list[str]]:
    """An app with a tool that notes each time its work is done."""
    app, done = make_app(), []

    @app.tool
    async def work(name: str) -> str:
        done.append(name)
        return f"{name} is done"

    return app, done


@ERAS
async def test_a_crash_under_way_and_a_new_start(revision: str, tmp_path: Path, tag: str) -> None:
    notes = tmp_path / "notes"
    async with Client(command(), revision=revision, restart=True) as client:
        first = await client.call_tool("pid", into=int)
        hanging = asyncio.create_task(client.call_tool("hang", {"tag": tag}))
        await client.call_tool("begun", {"tag": tag})
        for call in (
            client.call_tool("die", {"status": 3, "note": "did it", "path": str(notes)}),
            hanging,
        ):
            with pytest.raises(ServerExited) as problem:
                await call
            assert problem.value.status == 3
            assert not problem.value.retry_safe
        second = await client.call_tool("pid", into=int)
        assert second != first
        assert client.revision == revision
        assert notes.read_text() == "did it\n"
    assert not running(second)


@ERAS
async def test_kill_9(revision: str, tag: str) -> None:
    async with Client(command(), revision=revision, restart=True) as client:
        pid = await client.call_tool("pid", into=int)
        hanging = asyncio.create_task(client.call_tool("hang", {"tag": tag}))
        await client.call_tool("begun", {"tag": tag})
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ServerExited) as problem:
            await hanging
        assert problem.value.status == -signal.SIGKILL
        found = await asyncio.gather(*(client.call_tool("echo", {"text": str(n)}) for n in range(10)))
        assert [each.text for each in found] == [str(n) for n in range(10)]


@ERAS
async def test_without_a_new_start_the_loss_is_final(revision: str) -> None:
    client = await Client(command(), revision=revision).open()
    events = client.listen(tools=True)
    await events.open()
    pid = await client.call_tool("pid", into=int)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServerExited):
        await anext(events)
    for _ in range(2):
        with pytest.raises(ServerExited):
            await client.call_tool("echo", {"text": "x"})
    await client.close()
    async with Client(command(), revision=revision) as another:
        assert (await another.call_tool("echo", {"text": "x"})).text == "x"


@ERAS
async def test_subscriptions_outlive_a_new_start(revision: str, clock: Clock) -> None:
    async with Client(command(), revision=revision, restart=True) as client:
        events = client.listen(tools=True, resources=[NOTE], again=True)
        await events.open()
        with pytest.raises(ServerExited):
            await client.call_tool("die", {"status": 1})
        missed = {await patiently(clock, anext(events)), await patiently(clock, anext(events))}
        assert missed == {Change("tools"), Change("resource", NOTE)}
        # What was missed is told once the new stream is there: whatever happens from then on is heard.
        await client.call_tool("touch", {"uri": NOTE})
        assert await anext(events) == Change("resource", NOTE)
        await events.close()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_an_http_server_that_comes_back(revision: str, clock: Clock) -> None:
    """Its sessions are lost. A call that is refused for that has done nothing, and is made once more, once."""
    old, _ = counting()
    new, done = counting()
    async with serving(old.asgi()) as port:
        client = Client(f"http://127.0.0.1:{port}/mcp", revision=revision)
        await client.open()
        await client.call_tool("work", {"name": "before"})
        events = client.listen(tools=True, resources=[NOTE], again=True)
        await events.open()
    async with serving(new.asgi(), port=port):
        calls = [client.call_tool("work", {"name": str(number)}) for number in range(10)]
        found = await asyncio.gather(*calls)
        assert [each.text for each in found] == [f"{number} is done" for number in range(10)]
        assert sorted(done) == [str(number) for number in range(10)]
        missed = {await patiently(clock, anext(events)), await patiently(clock, anext(events))}
        assert missed == {Change("tools"), Change("resource", NOTE)}
        async with client.listen(resources=[NOTE]) as others:
            await client.call_tool("touch", {"uri": NOTE})
            assert await anext(others) == Change("resource", NOTE)
        await client.close()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_an_http_server_that_goes_under_way(revision: str, clock: Clock, tag: str) -> None:
    """Nobody knows whether the work was done: the call ends with the loss, and is not made again."""
    old, new = make_app(), make_app()
    async with serving(old.asgi(retry=0.01, drain=0)) as port:
        client = Client(f"http://127.0.0.1:{port}/mcp", revision=revision)
        await client.open()
        call = asyncio.create_task(client.call_tool("hang", {"tag": tag}))
        await client.call_tool("begun", {"tag": tag})
    async with serving(new.asgi(), port=port):
        with pytest.raises(TransportError) as problem:
            await patiently(clock, call)
        # Who resumed the stream at the new server was told there that the session is gone.
        assert isinstance(problem.value, ConnectionLost | SessionEnded)
        assert not problem.value.retry_safe
        assert (await client.call_tool("state_of", {"tag": tag})).text == "new"
        await client.close()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_an_http_server_that_is_gone(revision: str) -> None:
    async with serving(make_app().asgi()) as port:
        client = Client(f"http://127.0.0.1:{port}/mcp", revision=revision)
        await client.open()
        await client.call_tool("echo", {"text": "x"})
    for _ in range(2):
        with pytest.raises(TransportError):
            await client.call_tool("echo", {"text": "x"})
    await client.close()


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_sessions_that_are_kept_outlive_their_server(revision: str) -> None:
    store = MemoryStore()
    first, _ = counting()
    second, done = counting()
    opened: list[str] = []

    def noting(asgi: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            async def watch(event: Any) -> None:
                if event["type"] == "http.response.start":
                    opened.extend(value for name, value in event["headers"] if name == b"mcp-session-id")
                await send(event)

            await asgi(scope, receive, watch)

        return serve

    async with serving(noting(first.asgi(store=store))) as port:
        client = Client(f"http://127.0.0.1:{port}/mcp", revision=revision)
        await client.open()
        await client.subscribe(NOTE)
        assert len(opened) == 1
    async with serving(noting(second.asgi(store=store)), port=port):
        assert (await client.call_tool("work", {"name": "after"})).text == "after is done"
        assert done == ["after"]
        assert len(opened) == 1
        await client.close()


@ERAS
async def test_an_http_process_that_is_killed(revision: str, clock: Clock, tag: str) -> None:
    async with http_process() as served:
        client = await Client(served.url, revision=revision).open()
        call = asyncio.create_task(client.call_tool("hang", {"tag": tag}))
        await client.call_tool("begun", {"tag": tag})
        await served.kill()
        port = int(served.url.split(":")[2].split("/")[0])
        async with http_process(run={"port": port}):
            with pytest.raises(ConnectionLost):
                await patiently(clock, call)
            assert (await client.call_tool("echo", {"text": "back"})).text == "back"
            await client.close()


@ERAS
async def test_a_unix_server_that_goes(revision: str, tmp_path: Path, tag: str) -> None:
    path = str(tmp_path / "s")
    async with serving_unix(make_app(), path):
        client = await Client(f"unix:{path}", revision=revision).open()
        call = asyncio.create_task(client.call_tool("hang", {"tag": tag}))
        await client.call_tool("begun", {"tag": tag})
    with pytest.raises(ConnectionLost):
        await call
    with pytest.raises(ConnectionLost):
        await client.call_tool("echo", {"text": "x"})
    await client.close()
    with pytest.raises(DovetailError):
        await Client(f"unix:{path}", revision=revision).open()


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
