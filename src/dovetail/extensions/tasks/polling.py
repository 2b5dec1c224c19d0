"""How often a task may be looked at: as often as its caller was told to, and a good deal more at once.

Theory of operation. Whoever looks as often as told is never refused: twice that is allowed in the long run, and many
looks at once, for those who were just told of a change, or look from several places. All looks at one task count
together, by whomever and at whatever process: only its owner finds it. What is counted is kept where the tasks are, a
part of the looks at a time, so that few of them cost anything.

Specification: the extension io.modelcontextprotocol/tasks, "Task Polling"; 2025-11-25, basic/utilities/tasks, "Task
Isolation and Access Control".
"""

import math

from dovetail.errors import RateLimited
from dovetail.security import RateLimiter, SharedRateLimiter
from dovetail.stores import MemoryStore, Store

from .records import TaskData

__all__ = ["PollLimit"]


class PollLimit:
    """Lets each task be looked at ``most`` times at once, and twice as often as its caller was told in the long run;
    None: as often as anybody likes. ``name``: of the server.
    """

    def __init__(self, most: int | None, store: Store, name: str) -> None:
        self._most = most
        self._store = store
        self._name = name
        self._by_interval: dict[float, RateLimiter | SharedRateLimiter] = {}

    async def admit(self, id: str, data: TaskData) -> None:
        """Count a look at a task. Raises `RateLimited`."""
        if self._most is None:
            return
        limiter = self._by_interval.get(data.poll)
        if limiter is None:
            limiter = self._by_interval[data.poll] = self._limiter(2 / data.poll, self._most)
        wait = limiter.take(id)
        if not isinstance(wait, (int, float)):
            wait = await wait
        if wait > 0:
            raise RateLimited(
                f"the task was looked at far more often than every {data.poll:g} seconds; try again in"
                f" {math.ceil(wait * 10) / 10:g} seconds",
                data={"retryAfter": math.ceil(wait * 1000) / 1000},
            )

    def _limiter(self, rate: float, burst: int) -> RateLimiter | SharedRateLimiter:
        """What counts the looks at tasks with the same interval."""
        if isinstance(self._store, MemoryStore):
            return RateLimiter(rate, burst)
        return SharedRateLimiter(rate, burst, kv=self._store.kv, name=f"tasks/{self._name}/{rate:g}")
