"""Where Python has tasks that begin at once, a call that never waits is over in the turn of the loop that brought it.

On Python 3.11 there are none: the same calls are answered in the loop's next turn. Both are held here, so that neither
changes unseen. Follows: no page of the specification.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from dovetail import App, Client, Context, Depends
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.runtime.connection import ServerConnection
from wire_of_server import Wire as SlowWire


class Wire(SlowWire):
    """A wire that calls come through as they do from outside: to begin at once, where that can be."""

    def __init__(self, app: App, revision: str) -> None:
        super().__init__(app, revision)
        self.connection = ServerConnection(app.service, self._take, transport="memory", at_once=True)


EVERY = pytest.mark.parametrize("revision", REVISIONS)
AT_ONCE = sys.version_info >= (3, 12)


def the_app(gate: asyncio.Event | None = None) -> App:
    """Tools that wait for nothing, for the gate, and for the gate when they have been answered."""
    app = App("stepping")
    gate = gate or asyncio.Event()

    async def cleaned_up() -> AsyncIterator[int]:
        yield 1
        await gate.wait()

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def wait() -> str:
        await gate.wait()
        return "waited"

    @app.tool
    async def tidied(number: Annotated[int, Depends(cleaned_up)]) -> int:
        return number

    @app.tool
    async def told(ctx: Context) -> str:
        await ctx.progress(1)
        return type(asyncio.current_task()).__name__

    return app


async def begun(wire: Wire, id: int, name: str, **arguments: Any) -> "asyncio.Future[dict[str, Any]]":
    """A call, right after its message was taken."""
    return await wire.start(id, "tools/call", {"name": name, "arguments": arguments})


@EVERY
async def test_a_call_that_never_waits_is_over_in_the_turn_that_brought_it(revision: str) -> None:
    wire = Wire(the_app(), revision)
    await wire.open()
    answer = await begun(wire, 901, "add", a=1, b=2)
    assert answer.done() == AT_ONCE
    assert (await answer)["result"]["content"][0]["text"] == "3"
    again = await begun(wire, 901, "add", a=2, b=2)  # the id is free again
    assert (await again)["result"]["content"][0]["text"] == "4"
    await wire.connection.drain()
    await wire.close()


@EVERY
async def test_a_call_that_waits_can_be_cancelled_and_keeps_its_id(revision: str) -> None:
    gate = asyncio.Event()
    wire = Wire(the_app(gate), revision)
    await wire.open()
    waiting = await begun(wire, 901, "wait")
    assert not waiting.done()
    twice = await begun(wire, 901, "add", a=1, b=2)
    assert "in use" in (await twice)["error"]["message"]
    cancelled = await begun(wire, 902, "wait")
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 902}})
    gate.set()
    await wire.connection.drain()
    assert not cancelled.done()
    await wire.close()


async def test_what_cleans_up_after_its_answer_is_forgotten_when_it_is_done() -> None:
    """Its first step ends behind its answer: it must not be noted as a call in progress then."""
    gate = asyncio.Event()
    wire = Wire(the_app(gate), STATELESS[-1])
    await wire.open()
    answer = await begun(wire, 901, "tidied")
    assert (await answer)["result"]["content"][0]["text"] == "1"
    async with asyncio.timeout(5):
        await wire.connection.drain()
    gate.set()
    await wire.close()


async def test_a_task_factory_is_asked() -> None:
    loop = asyncio.get_running_loop()
    made: list[Any] = []

    def make(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        wire = Wire(the_app(), STATELESS[-1])
        await wire.open()
        answer = await begun(wire, 901, "add", a=1, b=2)
        assert not answer.done()
        assert (await answer)["result"]["content"][0]["text"] == "3"
        assert any("_run" in work.__qualname__ for work in made)
        await wire.close()
    finally:
        loop.set_task_factory(None)


@EVERY
async def test_a_client_in_the_same_loop_lets_others_run(revision: str) -> None:
    """In memory no call begins at once: one that calls and calls would never give the loop back."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while turns < 3:
            turns += 1
            await asyncio.sleep(0)

    async with Client(the_app(), revision=revision) as client:
        beside = asyncio.create_task(others())
        for _ in range(20):
            await client.call_tool("add", {"a": 1, "b": 2})
        assert turns == 3
        await beside


@EVERY
async def test_a_handler_has_a_task_of_its_own_from_its_first_step_on(revision: str) -> None:
    seen: list[float] = []
    async with Client(the_app(), revision=revision) as client:
        result = await client.call_tool("told", progress=lambda notice: seen.append(notice.progress))
    assert (result.text, seen) == ("Task", [1])
