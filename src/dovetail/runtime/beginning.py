"""Tasks that take their first step at once: most calls never wait, and are over before a loop would have begun them.

Theory of operation. Since Python 3.12 a task can be told to start eagerly, from anywhere. Python 3.11 can't, but what
a new task hands to its loop is one callback, its first step, and where no other task is running (a callback of the
loop, such as one that reads a pipe) that callback may as well run now. Either way it is a task like any other: for the
author `asyncio.current_task` is the call's own, with a context of its own, and it is cancelled like any other. Where
neither can be done (a task factory of somebody's, a debugging loop, a loop that is not asyncio's) it begins a turn
later, as tasks do.
"""

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Protocol, cast

__all__ = ["MakeTask", "begun", "task_maker"]


class MakeTask(Protocol):
    """What makes a task, in ``context`` (default: a copy of the current one)."""

    def __call__(
        self, work: Coroutine[Any, Any, None], /, *, context: Context | None = None
    ) -> asyncio.Task[None]:
        """The task, which may be done already."""
        ...


def task_maker(loop: asyncio.AbstractEventLoop) -> MakeTask:
    """What makes tasks of this loop that are under way at once, if that can be; to be called in the loop alone."""
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return cast("MakeTask", partial(asyncio.Task, loop=loop, eager_start=True))
    return loop.create_task


def begun(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """A task of the running loop. Where Python can do that, it has taken its first step: it waits, or it is over."""
    if loop.get_task_factory() is not None:
        return loop.create_task(work)
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    task = asyncio.Task(work, loop=loop)
    ready = getattr(loop, "_ready", None)
    if ready and not loop.get_debug() and asyncio.current_task(loop) is None:
        handle = ready.pop()
        # Another thread may have put something behind it in the meantime; then it keeps its turn.
        if getattr(handle._callback, "__self__", None) is task:
            handle._run()
        else:
            ready.append(handle)
    return task
