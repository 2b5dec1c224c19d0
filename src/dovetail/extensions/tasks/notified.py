"""Who looks at a task, and is to look at once when its receiver, in 2025-11-25, tells that it changed.

Such notifications only ever save time: what they say is looked up, and nobody waits for them.
Specification: 2025-11-25, basic/utilities/tasks, "Task Status Notification".
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from .names import TASK_ID

__all__ = ["MAX_ID", "Notified"]

MAX_ID: Final = 512
"""Characters of an id that others are told of."""

EARLY: Final = 64
"""Tasks of which a word is remembered that came before anybody looked at them: the answer that makes a task may be read
after it.
"""


class Notified:
    """Those who look at tasks, by task and event loop."""

    def __init__(self) -> None:
        self._by_task: dict[str, list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]]] = {}
        self._early: deque[str] = deque(maxlen=EARLY)

    @contextmanager
    def of(self, task: str, wake: Callable[[], None]) -> Generator[None]:
        """Call ``wake`` when the peer tells of the task."""
        entry = (asyncio.get_running_loop(), wake)
        self._by_task.setdefault(task, []).append(entry)
        if task in self._early:
            self._early.remove(task)
            wake()
        try:
            yield
        finally:
            left = self._by_task[task]
            left.remove(entry)
            if not left:
                del self._by_task[task]

    def tell(self, params: dict[str, Any]) -> None:
        """The peer told of a task. To be called in an event loop; those in others do not hear of it."""
        task = params.get(TASK_ID)
        if isinstance(task, str):
            self.wake(task)

    def wake(self, task: str) -> bool:
        """Have those look who look at a task in this event loop. Whether there is anybody."""
        loop = asyncio.get_running_loop()
        found = [wake for its, wake in self._by_task.get(task, ()) if its is loop]
        for wake in found:
            wake()
        if not found and len(task) <= MAX_ID:
            self._early.append(task)
        return bool(found)
