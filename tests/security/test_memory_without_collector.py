"""What ends is let go of at once: the collector of reference cycles counts objects, not bytes, so that a few hundred of
them, each with a large message, would stay for as long as nothing else is made.

Each kind of request is made some times, with the collector off, over real sockets; what is still given out afterwards
is weighed.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from soak_talk import KIB, Attacker, Talk, message, modern

from dovetail import App, Context
from dovetail.runtime import tap
from dovetail.transports.http_server.asgi import HTTPApp
from transports.connection_serving import serving, settled

pytestmark = pytest.mark.hostile
LARGE: Final = "x" * (256 * KIB)
TIMES: Final = 8
#: Bytes that may be left of one request: what asyncio's own transports keep of a connection, and what a log keeps.
LEFT: Final = 32 * KIB


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    """Without the schema oracle, which keeps and decodes what it reads."""
    listening, tap.listeners[:] = tap.listeners[:], []
    yield
    tap.listeners[:] = listening


@asynccontextmanager
async def attacked() -> AsyncIterator[tuple[HTTPApp, int]]:
    """An endpoint, and its port."""
    app = App("let-go", rate_limit=None)

    @app.resource("soak://{+path}")
    async def some(path: str) -> str:
        return path

    @app.tool
    async def echo(text: str) -> int:
        return len(text)

    @app.tool
    async def wait(text: str) -> int:
        await asyncio.Event().wait()
        return len(text)

    @app.tool(timeout=0.1)
    async def late(text: str) -> int:
        await asyncio.Event().wait()
        return len(text)

    @app.tool
    async def tell(ctx: Context, text: str) -> str:
        await ctx.progress(1, 2)
        return text

    @app.tool
    async def ask(ctx: Context, text: str) -> str:
        return f"{await ctx.elicit('go on?', bool)} {len(text)}"

    endpoint: Any = app.asgi(linger=0.1, body_timeout=0.1)
    async with serving(endpoint) as server:
        yield endpoint, server.address[1]


Request = Callable[[Attacker], Awaitable[object]]
REQUESTS: Final[dict[str, Request]] = {}


def request(make: Request) -> Request:
    """Put a kind of request into the table."""
    REQUESTS[make.__name__] = make
    return make


def call(tool: str, text: object = LARGE) -> tuple[bytes, dict[str, str]]:
    return modern("tools/call", {"name": tool, "arguments": {"text": text}})


async def leave(attacker: Attacker, body: bytes, headers: dict[str, str], *, until: str) -> None:
    """Send a request, and be gone when the server has it (``until``: "head", "part" or "call")."""
    talk = await Talk.open(attacker.port)
    try:
        await talk.send(body, headers)
        if until == "call":
            await settled(lambda: bool(attacker.noted["endpoint"]._pulse.waiting))
        else:
            await talk.head()
            if until == "part":
                await talk.part()
    finally:
        talk.drop()


@request
async def answered(attacker: Attacker) -> None:
    await attacker.post(*call("echo"))


@request
async def misread(attacker: Attacker) -> None:
    body, headers = call("echo")
    await attacker.post(body[:-1], headers)


@request
async def misread_in_a_session(attacker: Attacker) -> None:
    await attacker.open_session({})
    body = message("tools/call", {"name": "echo", "arguments": {"text": LARGE}}, id=7)
    await attacker.post(body[:-1], attacker.in_session())


@request
async def wrong(attacker: Attacker) -> None:
    await attacker.post(*call("echo", [LARGE]))


@request
async def unknown(attacker: Attacker) -> None:
    await attacker.post(*call("nothing"))


@request
async def late(attacker: Attacker) -> None:
    await attacker.post(*call("late"))


@request
async def left(attacker: Attacker) -> None:
    await leave(attacker, *call("wait"), until="call")


@request
async def subscribed(attacker: Attacker) -> None:
    uris = [f"soak://{attacker.turn}/{'x' * 40}/{n}" for n in range(4_000)]
    wanted = {"notifications": {"resourceSubscriptions": uris}}
    await leave(attacker, *modern("subscriptions/listen", wanted), until="part")


@request
async def unfinished(attacker: Attacker) -> None:
    talk = await Talk.open(attacker.port)
    body, headers = call("echo")
    await talk.send(body, headers, declared=2 * len(body))
    assert (await talk.head())[0] == 408
    talk.drop()


@request
async def asked_in_a_session(attacker: Attacker) -> None:
    await in_session(attacker, "ask", until="part")


@request
async def told_in_a_session(attacker: Attacker) -> None:
    await in_session(attacker, "tell", until="head")


@request
async def cancelled_in_a_session(attacker: Attacker) -> None:
    await in_session(attacker, "wait", until="head")


async def in_session(attacker: Attacker, tool: str, *, until: str) -> None:
    """A call in a session, which ends with it."""
    await attacker.open_session({"elicitation": {}})
    body = message("tools/call", {"name": tool, "arguments": {"text": LARGE}}, id=7)
    await leave(attacker, body, attacker.in_session(), until=until)
    status, _, _ = await attacker.post(b"", attacker.in_session(), method="DELETE")
    assert status == 204


def busy(endpoint: HTTPApp) -> bool:
    """Whether anything goes on."""
    limits = endpoint._limits
    return bool(limits.requests or limits.streams or limits.bytes.all or endpoint._stateful._calls._tasks)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_what_ends_is_let_go_of_without_the_collector(kind: str) -> None:
    async with attacked() as (endpoint, port):
        attacker = Attacker(port, 0, Counter(), noted={"endpoint": endpoint})

        async def make(times: int) -> None:
            for turn in range(times):
                attacker.turn = turn
                await REQUESTS[kind](attacker)
            await settled(lambda: not busy(endpoint))
            await asyncio.sleep(0)

        await make(2)  # what is kept for all of them is kept by now
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await make(TIMES)
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            gc.enable()
        assert left < TIMES * LEFT, f"{left / TIMES:.0f} bytes are left of each"
