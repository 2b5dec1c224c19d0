"""What a function started and is not over is seen in its context, and nothing else is."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dovetail.runtime.context_mark import mark, may_go_on

own: contextvars.ContextVar[int] = contextvars.ContextVar("own", default=0)


async def nothing() -> None:
    """What a task does that is not to be over at once."""
    await asyncio.sleep(0)


def task() -> Any:
    return asyncio.create_task(nothing())


def group() -> Any:
    return asyncio.gather(nothing(), nothing())


def callback() -> Any:
    asyncio.get_running_loop().call_soon(int)


def timer() -> Any:
    return asyncio.get_running_loop().call_later(3600, int)


def listener() -> Any:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(print)
    return future


def in_a_copy() -> Any:
    return contextvars.copy_context().run(asyncio.create_task, nothing())


def after_a_change() -> Any:
    own.set(1)
    started = asyncio.create_task(nothing())
    own.set(2)
    return started


STARTED = [task, group, callback, timer, listener, in_a_copy, after_a_change]


@pytest.mark.parametrize("start", STARTED)
async def test_what_was_started_is_seen(start: Callable[[], Any]) -> None:
    since = mark()
    held = start()
    assert may_go_on(since)
    assert may_go_on(since), "asking changes nothing"
    if held is not None:
        held.cancel()


async def test_work_of_a_thread_is_seen() -> None:
    since, release = mark(), threading.Event()
    waiting = asyncio.ensure_future(asyncio.to_thread(release.wait))
    await asyncio.sleep(0)
    assert may_go_on(since)
    release.set()
    await waiting


async def test_what_is_over_and_let_go_of_is_not_seen() -> None:
    since = mark()
    await asyncio.create_task(nothing())
    own.set(1)
    callback()
    await asyncio.sleep(0)
    gc.collect()
    assert not may_go_on(since)


async def test_what_was_there_before_is_not_seen() -> None:
    before = asyncio.create_task(nothing())
    since = mark()
    assert not may_go_on(since)
    await before


async def test_a_mark_is_asked_for_once_it_said_no() -> None:
    """It is gone then, and nobody may take that for an answer."""
    since = mark()
    assert not may_go_on(since)
    assert may_go_on(since)


async def test_another_mark_hides_the_first() -> None:
    """What was started under the other one would not be seen, so the first says that there may be something."""
    since = mark()
    mark()
    assert may_go_on(since)


async def test_another_context_knows_nothing() -> None:
    since = mark()

    async def elsewhere() -> bool:
        return may_go_on(since)

    assert await asyncio.create_task(elsewhere())
