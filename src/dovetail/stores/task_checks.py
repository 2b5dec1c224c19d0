"""What every `TaskStore` judges before it touches anything, said once for all of them.

Theory of operation
-------------------
Each method of the contract has one check, which knows what every argument has to be, and raises where one is not:
`KeyInvalid`, `ValueTooLarge`, `TypeError` for a value that is no bytes, `ValueError` for numbers that can't be.

Specification: none; security considerations of basic/transports ask for bounded state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from dovetail.stores.bounds import TaskBounds, check_key, check_prefix, check_value
from dovetail.stores.contracts import TaskRecord
from dovetail.stores.errors import KeyInvalid

__all__ = [
    "check_claim",
    "check_due",
    "check_owner",
    "check_page",
    "check_queues",
    "check_renewal",
    "check_result",
    "check_task",
    "check_task_id",
    "step_cost",
]

MAX_STATUS = 64
"""Characters in the status of a task."""
STEP_COST = 256
"""Bytes that a recorded result counts besides its own and its name."""


def check_task(record: TaskRecord, bounds: TaskBounds) -> None:
    """Judge what `create` and `update` are given."""
    check_task_id(record.id)
    check_owner(record.owner)
    check_queues((record.queue,))
    check_prefix(record.holder, "holder")
    check_prefix(record.status, "status")
    if len(record.status) > MAX_STATUS:
        raise KeyInvalid("status", f"has {len(record.status)} characters, more than {MAX_STATUS}")
    check_value(record.data, bounds.max_data, "data of the task")
    for time in (record.created, record.updated, record.expires, record.due):
        if time is not None and not math.isfinite(time):
            raise ValueError(
                f"The times of a task are finite numbers of seconds since the epoch, not {time}."
            )


def check_task_id(id: str) -> None:
    """Judge what `load`, `recorded` and `delete` are given."""
    check_key(id, "task id")


def check_claim(holder: str, queues: Iterable[str], *, limit: int, lease: float) -> None:
    """Judge what `claim` is given."""
    check_key(holder, "holder")
    check_queues(queues)
    _check_lease(lease)
    _check_limit(limit)


def check_renewal(holder: str, ids: Iterable[str], *, lease: float) -> None:
    """Judge what `renew` and `claim_one` are given."""
    check_key(holder, "holder")
    for id in ids:
        check_task_id(id)
    _check_lease(lease)


def check_queues(queues: Iterable[str]) -> None:
    """Judge what `next_due` is given."""
    for queue in queues:
        check_key(queue, "queue")


def check_due(queue: str, *, limit: int) -> None:
    """Judge what `due` is given."""
    check_queues((queue,))
    _check_limit(limit)


def check_result(id: str, name: str, result: bytes, bounds: TaskBounds, *, holder: str) -> None:
    """Judge what `record` is given."""
    check_task_id(id)
    check_key(name, "name of the result")
    check_key(holder, "holder")
    check_value(result, bounds.max_data, "result")


def check_page(owner: str, after: tuple[float, str] | None, limit: int) -> None:
    """Judge what `list` is given."""
    check_owner(owner)
    if after is not None:
        check_task_id(after[1])
    _check_limit(limit)


def check_owner(owner: str | None) -> None:
    """Judge what `count` is given; None stands for all owners."""
    if owner is not None:
        check_key(owner, "owner")


def step_cost(name: str, result: bytes) -> int:
    """What a recorded result counts toward `TaskBounds.max_data`, in bytes."""
    return len(name) + len(result) + STEP_COST


def _check_lease(lease: float) -> None:
    if not 0 < lease < math.inf:
        raise ValueError(f"A lease is a finite number of seconds above zero, not {lease}.")


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise ValueError(f"At least one task is asked for, not {limit}.")
