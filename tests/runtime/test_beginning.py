"""Tasks that begin at once are tasks like any other: for the author, for who cancels them, for what they bind to."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from dovetail.runtime.beginning import begun

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


async def in_callback(make: Callable[[], Coroutine[Any, Any, None]]) -> tuple[asyncio.Task[None], bool]:
    """Begin work in a callback of the loop, where a transport reads; gives the task, and whether it was over then."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[tuple[asyncio.Task[None], bool]] = loop.create_future()

    def callback() -> None:
        task = begun(make(), loop)
        found.set_result((task, task.done()))

    loop.call_soon(callback)
    return await asyncio.wait_for(found, 10)


async def test_what_never_waits_is_over_at_once() -> None:
    seen: list[Any] = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    task, over = await in_callback(work)
    assert over
    assert seen == [task], "the author's task is its own"


async def test_what_waits_goes_on_in_the_same_task_and_context() -> None:
    gate = asyncio.Event()
    seen: list[Any] = []

    async def work() -> None:
        token = MARK.set("inside")
        seen.append(asyncio.current_task())
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(gate.wait())
        seen.append(asyncio.current_task())
        MARK.reset(token)  # which only works in the context where it was set

    task, over = await in_callback(work)
    assert not over
    assert MARK.get() == "none"
    gate.set()
    await asyncio.wait_for(task, 10)
    assert seen == [task, task]


async def test_what_one_call_sets_no_other_sees() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append(MARK.get())
        MARK.set("of the first")

    for _ in range(2):
        assert (await in_callback(work))[1]
    assert seen == ["none", "none"]


async def test_a_failure_is_the_tasks_and_the_loop_goes_on() -> None:
    async def work() -> None:
        raise RuntimeError("as asked")

    task, over = await in_callback(work)
    assert over
    with pytest.raises(RuntimeError, match="as asked"):
        task.result()


async def test_it_is_cancelled_as_tasks_are() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task, over = await in_callback(work)
    assert not over
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert ended.is_set()


async def test_within_a_task_it_is_never_taken_for_that_one() -> None:
    seen: list[Any] = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    task = begun(work(), asyncio.get_running_loop())
    assert task.done() == (sys.version_info >= (3, 12))
    await task
    assert seen == [task]


async def test_what_other_threads_put_in_line_keeps_its_turn() -> None:
    """Threads put things in line all the time: none is lost, none is taken for a task's first step."""
    loop = asyncio.get_running_loop()
    told, sent = 0, 0
    stop = threading.Event()
    begun_at_once = 0

    def tell() -> None:
        nonlocal told
        told += 1

    def chatter() -> None:
        nonlocal sent
        while not stop.is_set():
            loop.call_soon_threadsafe(tell)
            sent += 1

    async def work() -> None:
        return

    thread = threading.Thread(target=chatter)
    thread.start()
    tasks = []
    try:
        for _ in range(2000):
            task, over = await in_callback(work)
            begun_at_once += over
            tasks.append(task)
    finally:
        stop.set()
        thread.join()
    await asyncio.gather(*tasks)
    last: asyncio.Future[None] = loop.create_future()
    loop.call_soon_threadsafe(last.set_result, None)
    await asyncio.wait_for(last, 10)
    assert told == sent
    assert begun_at_once > 1000


async def test_a_loop_with_a_task_factory_makes_its_own_tasks() -> None:
    loop = asyncio.get_running_loop()
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    async def work() -> None:
        return

    loop.set_task_factory(factory)
    try:
        task, _ = await in_callback(work)
        await task
    finally:
        loop.set_task_factory(None)
    assert len(made) == 1


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["debugging", "uvloop"])
def test_on_loops_of_another_kind_it_begins_a_turn_later_or_at_once_and_ends(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        task, _ = await in_callback(work)
        await asyncio.wait_for(task, 10)

    with asyncio.Runner(loop_factory=make, debug=make is asyncio.new_event_loop) as runner:
        runner.run(main())
