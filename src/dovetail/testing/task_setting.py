"""What the tests of tasks share: moves that each of them begins with, and names that every store takes.

Theory of operation
-------------------
The moves go through the contract, as those of anybody do.

Specification: none.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from dovetail.stores.contracts import Store, TaskRecord
from dovetail.testing.store_setting import a_task

__all__ = ["ANY", "UNUSUAL", "claimed", "created", "ended", "ids", "loaded"]

ANY = {"q": None}
"""The one queue, from which any number may be held."""
UNUSUAL = (
    "a b",
    "a/b",
    "a%",
    "a_",
    "A_",
    "a*b[0]",
    "{a}",
    "'; --",
    '"\\',
    "\n\t",
    "\ud7ff",
    "\ue000",
    "\U0010ffff",
    "\u00e9",
    "e\u0301",
    "0",
    "-1",
    "x" * 512,
    "é" * 512,
)
"""What ids, owners, queues, holders and names may be as well."""


async def created(store: Store, record: TaskRecord | None = None, **change: Any) -> TaskRecord:
    """A task, as it is once it was created."""
    record = replace(record or a_task(), **change)
    await store.tasks.create(record, max_unended=1000)
    return await loaded(store, record.id)


async def loaded(store: Store, id: str = "t") -> TaskRecord:
    """A task that is there."""
    record = await store.tasks.load(id)
    assert record is not None
    return record


async def claimed(
    store: Store, holder: str = "w", *, limit: int = 1, lease: float = 30, **queues: int | None
) -> Sequence[TaskRecord]:
    """What a claim gives, of the queue "q" unless told otherwise."""
    return await store.tasks.claim(holder, queues or ANY, limit=limit, lease=lease)


async def ended(store: Store, record: TaskRecord, **change: Any) -> TaskRecord:
    """A task that is ended now."""
    done = await store.tasks.update(
        replace(record, status="completed", ended=True, **change), expected_version=record.version
    )
    assert done is not None
    return done


def ids(records: Sequence[TaskRecord]) -> Sequence[str]:
    """Their ids, in order."""
    return [record.id for record in records]
