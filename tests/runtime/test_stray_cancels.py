"""A call that nobody cancelled gets just one answer, whatever raises CancelledError in it; a cancelled one gets none.

Before Python 3.13 a task group that failed leaves a request to cancel behind in the task, so what the task says of
itself proves nothing. Follows: basic/patterns/cancellation, basic "Responses".
"""

import asyncio
from typing import Any

import pytest

from dovetail import App
from dovetail.protocol.revisions import REVISIONS, STATEFUL
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
WAYS = ("raised", "awaited", "after a group", "itself")


def make_app() -> App:
    app = App("stray")

    @app.tool
    async def stray(how: str) -> str:
        await fail(how)
        return "never"

    @app.prompt
    async def stray_prompt(how: str) -> str:
        await fail(how)
        return "never"

    @app.tool
    async def quick() -> str:
        return "quick"

    return app


async def fail(how: str) -> None:
    """Let a CancelledError out that means nothing for the call."""
    if how == "after a group":
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(raising())
        except* ZeroDivisionError:
            pass
    if how == "itself":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
    if how == "raised":
        raise asyncio.CancelledError
    other = asyncio.ensure_future(asyncio.sleep(0, "never"))
    other.cancel()
    await other


async def raising() -> None:
    raise ZeroDivisionError


@EVERY
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
async def test_a_stray_cancellation_is_answered_once(
    revision: str, how: str, method: str, connect: Any
) -> None:
    wire = await connect(make_app(), revision)
    name = {"tools/call": "stray", "prompts/get": "stray_prompt"}[method]
    for _ in range(2):
        error = await wire.error(method, {"name": name, "arguments": {"how": how}})
        assert error["code"] == -32603
    assert (await wire.call("quick"))["content"][0]["text"] == "quick"
    assert wire.inbox.empty()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.parametrize("how", WAYS)
async def test_what_is_answered_in_order_ends_no_connection(revision: str, how: str) -> None:
    async def middleware(call: Any, channel: Any, inner: Any) -> Any:
        if call.method == "ping":
            await fail(how)
        return await inner(call, channel)

    app = App("middle", middleware=[middleware])
    wire = Wire(app, revision)
    await wire.open()
    assert (await wire.error("ping"))["code"] == -32603
    assert (await wire.error("ping"))["code"] == -32603
    await wire.close()
    await app.service.stop()


@EVERY
async def test_a_cancelled_call_is_not_answered_even_if_its_handler_swallows_that(
    revision: str, connect: Any
) -> None:
    app = App("swallows")
    entered = asyncio.Event()

    @app.tool
    async def swallow() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "swallowed"
        return "never"

    @app.tool
    async def quick() -> str:
        return "quick"

    wire = await connect(app, revision)
    answer = await wire.start("s", "tools/call", {"name": "swallow"})
    await entered.wait()
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "s"}})
    await wire.connection.drain()
    await wire.call("quick")
    assert not answer.done()
    assert wire.inbox.empty()
