"""The guard around a wait: it ends that wait with a reason, and never anything after it."""

import asyncio

import pytest

from dovetail.client.timeouts import CallTimeout
from dovetail.protocol.errors import ConnectionLost, RequestTimeout


async def abort_inside(guard, *, leave):
    """End the guard from inside, then leave at once or await something."""
    with guard:
        guard.abort(ConnectionLost("the reason"))
        if leave:
            raise ConnectionLost("another")
        await asyncio.Event().wait()


@pytest.mark.parametrize("leave", [True, False])
async def test_aborted_by_its_own_task(leave):
    """The loss is noticed while the task itself runs: no cancellation is left over for what it does next."""
    with pytest.raises(ConnectionLost, match="the reason"):
        await abort_inside(CallTimeout("a wait", 10), leave=leave)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_aborted_from_outside():
    """By another task, or because the time is up."""
    guard = CallTimeout("a wait", 10)
    asyncio.get_running_loop().call_soon(guard.abort, ConnectionLost("the reason"))
    with pytest.raises(ConnectionLost, match="the reason"), guard:
        await asyncio.Event().wait()
    with pytest.raises(RequestTimeout), CallTimeout("a wait", 0.01):
        await asyncio.Event().wait()
    await asyncio.sleep(0)


async def test_the_cancellation_of_others_passes():
    """Also when the guard ends the wait at the same time."""

    async def wait(guard):
        with guard:
            await asyncio.Event().wait()

    for error in (None, ConnectionLost("the reason")):
        guard = CallTimeout("a wait", 10)
        task = asyncio.create_task(wait(guard))
        await asyncio.sleep(0)
        if error is not None:
            guard.abort(error)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
