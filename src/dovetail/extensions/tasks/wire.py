"""Tasks as they travel: the shapes of the extension, and those of revision 2025-11-25.

Both say the same of a task under other names: ``ttlMs`` and ``pollIntervalMs`` of the extension are ``ttl`` and
``pollInterval`` there; the extension puts the result, the error or the open questions into the task, where 2025-11-25
fetches them by ``tasks/result``.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dovetail.types import InputRequest

TaskStatus = Literal["working", "input_required", "completed", "failed", "cancelled"]
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
"""The statuses that a task never leaves."""


class TaskError(Struct, frozen=True, omit_defaults=True):
    """The JSON-RPC error that a task failed with."""

    code: int
    message: str
    data: Any | UnsetType = UNSET


class DetailedTask(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A task of the extension, with what its status brings: ``input_requests``, ``result`` or ``error``.

    ``ttl_ms`` and ``poll_interval_ms``: milliseconds; a ``ttl_ms`` of None stands for no end, and so does none at all:
    libraries that leave null members out send that, against the schema. The times are ISO 8601.
    """

    task_id: str
    status: TaskStatus
    created_at: str
    last_updated_at: str
    ttl_ms: int | None = msgspec.field(default=None, name="ttlMs")
    status_message: str | UnsetType = UNSET
    poll_interval_ms: int | UnsetType = UNSET
    input_requests: dict[str, InputRequest] | UnsetType = UNSET
    result: msgspec.Raw | UnsetType = UNSET
    error: TaskError | UnsetType = UNSET


class StatefulTask(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A task of 2025-11-25. ``ttl`` and ``poll_interval``: milliseconds; a ``ttl`` of None stands for no end, as in
    `DetailedTask`.
    """

    task_id: str
    status: TaskStatus
    created_at: str
    last_updated_at: str
    ttl: int | None = None
    status_message: str | UnsetType = UNSET
    poll_interval: int | UnsetType = UNSET


class CreatedTask(Struct, frozen=True):
    """What a request of 2025-11-25 is answered with that became a task."""

    task: StatefulTask


class RelatedTask(Struct, frozen=True, rename="camel"):
    """What messages of 2025-11-25 that belong to a task say in their ``_meta``."""

    task_id: str


def timestamp(seconds: float) -> str:
    """A moment, in seconds since the epoch, as ISO 8601 with milliseconds."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    # Tasks are told of again and again within the seconds in which they were made and changed.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


__all__ = [
    "ENDED",
    "CreatedTask",
    "DetailedTask",
    "RelatedTask",
    "StatefulTask",
    "TaskError",
    "TaskStatus",
    "timestamp",
]
