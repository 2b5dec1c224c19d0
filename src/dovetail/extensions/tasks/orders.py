"""What is wanted of a client's next call of a tool: that it be started alone, or that it be the rest of one.

Specification: none; it is how `handles` has the calls made that `client` waits for.
"""

from contextvars import ContextVar
from typing import Final

from dovetail.extensions import Resolving

from .wire import DetailedTask

__all__ = ["Order", "Started", "order"]


class Order:
    """What is wanted of the next call: that it only be started (``resume`` is None), or that it be the rest of one.

    It is taken by one call alone: those that handlers make meanwhile see it as well. ``ttl``: in seconds.
    """

    def __init__(self, *, ttl: float | None = None, resume: DetailedTask | None = None) -> None:
        self.ttl = ttl
        self.resume = resume
        self._taken: Resolving | None = None

    def take(self, client: Resolving) -> "Order | None":
        """The order, if it is that of this call."""
        if self._taken is None:
            self._taken = client
        return self if self._taken is client else None


class Started(Exception):
    """A call that was to be started has become a task: how it is."""

    def __init__(self, task: DetailedTask) -> None:
        super().__init__(task.task_id)
        self.task = task


order: Final[ContextVar[Order | None]] = ContextVar("dovetail_task_order", default=None)
