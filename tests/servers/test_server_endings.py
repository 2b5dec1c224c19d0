"""SIGTERM to an ASGI server that nobody here wrote: what is open ends, the lifespan is closed, nobody is alarmed.

Each server waits for its open connections before it tells an application of the end, and frameworks do not tell a
mounted one at all; see `dovetail.transports.http_server.server_shutdown`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from server_process import NOISE, PLAIN, Server, Stream, gone, served

#: What is served, by the name of the mount, and at which path.
MOUNTS = {
    "plain": ("served_app:plain", "/mcp"),
    "mounted": ("served_app:mounted", "/in/mcp"),
    "fastapi": ("served_in_fastapi:fastapi", "/in/mcp"),
}
SITUATIONS = ("nothing", "session stream", "listen stream", "call", "session call")


async def open_up(server: Server, situation: str) -> Stream | None:
    """Bring a server into a situation."""
    if situation == "nothing":
        answer = await server.ask("tools/list")
        await answer.some(b'"forever"')
        await answer.close()  # a kept connection would be hypercorn's to wait for
        return None
    if situation == "session stream":
        stream = await server.listen()
        await stream.some(b"\n\n")
        return stream
    if situation == "listen stream":
        stream = await server.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await stream.some(b"\n\n")
        return stream
    session = await server.open_session() if situation == "session call" else None
    stream = await server.call("forever", session)
    await server.until(lambda: "called" in server.notes)
    return stream


async def check_end(server: Server, situation: str, stream: Stream | None) -> None:
    took = await server.end()
    said = await server.said
    answered = b"" if stream is None else await stream.rest()
    assert took < gone(), (situation, took, said)
    if situation.endswith("call"):
        assert "cancelled" in server.notes
        assert b"shutting down" in answered, (situation, answered)
    if situation == "listen stream":
        assert b'"resultType"' in answered, "the response that ends the stream"
    assert server.notes[-1] == "closed", (situation, server.notes, said)
    assert [noise for noise in NOISE if noise in said] == [], (situation, said)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("server", PLAIN)
async def test_an_end_is_quick_complete_and_quiet(server: str, mount: str, tmp_path: Path) -> None:
    """One process for each situation: they start side by side, and are ended one after the other."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(situation: str) -> tuple[Server, Stream | None]:
            folder = tmp_path / situation.replace(" ", "-")
            folder.mkdir()
            target, path = MOUNTS[mount]
            one = served(server, target, folder, path=path)
            running = await stack.enter_async_context(one)
            return running, await open_up(running, situation)

        all_of_them = await asyncio.gather(*map(start, SITUATIONS))
        for situation, (running, stream) in zip(SITUATIONS, all_of_them, strict=True):
            await check_end(running, situation, stream)


@pytest.mark.parametrize("server", PLAIN)
async def test_a_call_that_can_finish_is_answered(server: str, tmp_path: Path) -> None:
    """With the default time for it, and a lifespan that a framework was given."""
    async with served(server, "served_app:started", tmp_path, path="/in/mcp") as running:
        await running.until(lambda: running.notes == ["opened"])  # before there is a request
        calls = [await running.call("moment"), await running.call("moment", await running.open_session())]
        await running.until(lambda: running.notes.count("called") == 2)
        took = await running.end()
        for call in calls:
            assert b"after a moment" in await call.rest()
        assert took < gone()
        assert running.notes[-1] == "closed"
        said = await running.said
        assert [noise for noise in NOISE if noise in said] == [], said
