"""Who looks at a task, and is to look at once when a server of 2025-11-25 tells that it changed.

Such notifications only ever save time: what they say is looked up, and nobody waits for them.
Specification: 2025-11-25, basic/utilities/tasks, "Task Status Notification".
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from .names import TASK_ID

__all__ = ["Notified"]


class Notified:
    """Those who look at tasks, by task and event loop."""

    def __init__(self) -> None:
        self._by_task: dict[str, list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]]] = {}

    @contextmanager
    def of(self, task: str, wake: Callable[[], None]) -> Generator[None]:
        """Call ``wake`` when the server tells of the task."""
        entry = (asyncio.get_running_loop(), wake)
        self._by_task.setdefault(task, []).append(entry)
        try:
            yield
        finally:
            left = self._by_task[task]
            left.remove(entry)
            if not left:
                del self._by_task[task]

    def tell(self, params: dict[str, Any]) -> None:
        """A server told of a task. To be called in an event loop; clients of others do not hear of it."""
        task = params.get(TASK_ID)
        if not isinstance(task, str):
            return
        loop = asyncio.get_running_loop()
        for its, wake in tuple(self._by_task.get(task, ())):
            if its is loop:
                wake()
