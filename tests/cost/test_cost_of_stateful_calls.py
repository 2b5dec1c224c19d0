"""What calls of the stateful era cost beyond those of `test_cost_of_a_call`: their tasks, and streams that are kept.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from test_cost_of_a_call import Wire, call, small_app
from test_cost_of_streams import session_of

from dovetail import App
from dovetail.runtime import tap
from dovetail.transports.http_server import event_ids

#: Bytes that stay of a short answer that a client may come back for, its own 180 among them.
KEPT = 720


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `test_cost_of_a_call`."""
    monkeypatch.setattr(tap, "listeners", [])


async def in_session(app: App, **settings: Any) -> Callable[[], Awaitable[bytes]]:
    """Opens a session at an endpoint; gives a function that calls a tool in it."""
    wire = Wire(app.asgi(**settings))
    known = await session_of(wire)
    body = call("add", {"a": 1, "b": 2})

    async def use() -> bytes:
        return await wire.post(body, **known)

    for _ in range(5):
        assert b'"3"' in await use()
    return use


def test_names_of_streams_are_drawn_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Randomness is a system call: one for hundreds of streams. No name comes twice."""
    drawn = 0
    token_hex = secrets.token_hex

    def counted(size: int) -> str:
        nonlocal drawn
        drawn += 1
        return token_hex(size)

    monkeypatch.setattr(secrets, "token_hex", counted)
    found = {event_ids.new_stream_id(event_ids.REQUEST) for _ in range(1000)}
    assert len(found) == 1000
    assert {len(each) for each in found} == {25}
    assert drawn <= 4


async def test_what_is_kept_of_an_answer() -> None:
    app = small_app()
    use = await in_session(app, responses="sse")

    async def some(count: int) -> int:
        for _ in range(count):
            await use()
        await asyncio.sleep(0)
        gc.collect()
        return sum(each.size for each in tracemalloc.take_snapshot().statistics("filename"))

    tracemalloc.start()
    try:
        before = await some(200)
        after = await some(3000)
    finally:
        tracemalloc.stop()
    assert (after - before) / 3000 < KEPT, (after - before) / 3000
    await app.service.stop()


async def test_a_call_runs_in_one_task_from_its_first_step_to_its_last() -> None:
    """And not in the one of its request, which a framework may cancel."""
    app = App("tasks")
    seen: list[asyncio.Task[Any] | None] = []

    @app.tool
    async def add(a: int, b: int) -> int:
        seen.append(asyncio.current_task())
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())
        return a + b

    use = await in_session(app)
    seen.clear()
    await use()
    first, last = seen
    assert first is last
    assert first is not asyncio.current_task()
    await app.service.stop()


async def test_a_call_that_never_waits_takes_no_turn_of_the_loop() -> None:
    """Where tasks can take their first step at once: since Python 3.12."""
    app = small_app()
    use = await in_session(app)
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    asyncio.get_running_loop().call_soon(turn)
    await use()
    assert turned is (sys.version_info < (3, 12))
    await app.service.stop()
