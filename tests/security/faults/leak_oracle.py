"""What a test left behind: tasks, threads, file descriptors, child processes.

Endings are allowed a moment, for closing is often finished by the event loop; what is still there then is a
leak. Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 5.0
#: The loop's own executor keeps its threads until the loop closes; what looks for stalls is one for the process.
OF_THE_LOOP = ("asyncio_", "dovetail-stalls")


def descriptors() -> dict[int, str]:
    """The open file descriptors and what they are."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def children() -> set[int]:
    """The child processes, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except OSError:
            continue  # a thread that has just ended
    return found


def threads() -> set[threading.Thread]:
    """The threads that somebody of ours may have started."""
    return {each for each in threading.enumerate() if not each.name.startswith(OF_THE_LOOP)}


class Leaks:
    """What there was when it was made; `check` fails for anything more."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = threads()
        self._children = children()
        self._descriptors = descriptors()

    async def check(self) -> None:
        """Raise AssertionError, naming what is left."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (left := self._left()) and asyncio.get_running_loop().time() < deadline:
            gc.collect()
            await asyncio.sleep(0.01)
        assert not left, f"left behind: {left}"

    def _left(self) -> list[str]:
        tasks = {task for task in asyncio.all_tasks() - self._tasks if task is not asyncio.current_task()}
        opened = {
            number: name for number, name in descriptors().items() if self._descriptors.get(number) is None
        }
        more = len(descriptors()) - len(self._descriptors)
        return [
            *(f"task {task!r}" for task in tasks),
            *(f"thread {thread.name}" for thread in threads() - self._threads),
            *(f"child {pid}" for pid in children() - self._children),
            *(f"descriptor {number} ({name})" for number, name in opened.items() if more > 0),
        ]


class Peak:
    """The most memory that was taken inside `traced`, in bytes."""

    bytes = 0


@contextlib.contextmanager
def traced() -> Iterator[Peak]:
    """Measure what is allocated at most meanwhile. Slows everything down; time nothing inside."""
    peak = Peak()
    gc.collect()
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
