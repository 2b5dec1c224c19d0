"""The kind of change that a task's notification tells of: a server publishes it, a client listens for it.

Specification: the extension io.modelcontextprotocol/tasks, "Task Status Notifications".
"""

from typing import Final

from dovetail.extensions import ChangeType

from .names import NOTIFY, TASK_ID, TASK_IDS

TASK_CHANGES: Final = ChangeType(
    kind="tasks", filter=TASK_IDS, notification=NOTIFY, subject=TASK_ID, bare=False
)
"""What ``subscriptions/listen`` is asked for with ``taskIds``. Each change carries the whole `DetailedTask`."""

__all__ = ["TASK_CHANGES"]
