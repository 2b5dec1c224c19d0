"""How a task may end, for a client, other than with a result or with the error of its call.

Specification: 2025-11-25, basic/utilities/tasks; the extension io.modelcontextprotocol/tasks, "Task Status".
"""

from dovetail.errors import InvalidParams, RequestCancelled

__all__ = ["TaskCancelled", "TaskLost"]


class TaskCancelled(RequestCancelled):
    """The task was cancelled, by whoever may: call the tool again if it is still wanted. ``task`` is its id."""

    def __init__(self, message: str, *, task: str = "") -> None:
        super().__init__(message)
        self.task = task


class TaskLost(InvalidParams):
    """The server knows no such task, or no more: its time was over, or it is another server's. Whether the work was
    done is unknown. ``task`` is its id.
    """

    retry_safe = False

    def __init__(self, message: str, *, task: str = "") -> None:
        super().__init__(message)
        self.task = task
