"""What the parts of the store contract share: small bounds, a clock, a session, a task, keys that no store takes.

Theory of operation
-------------------
The bounds are small enough to reach in a test; times to live are the defaults, for the clock is virtual.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from __future__ import annotations

from collections.abc import Callable

from dovetail.stores.bounds import (
    BusBounds,
    EventBounds,
    KeyValueBounds,
    SessionBounds,
    StoreBounds,
    TaskBounds,
)
from dovetail.stores.contracts import SessionRecord, Store, TaskRecord

__all__ = ["BAD_KEYS", "CONTRACT_BOUNDS", "Advance", "VirtualClock", "a_session", "a_task", "scanned"]

CONTRACT_BOUNDS = StoreBounds(
    kv=KeyValueBounds(max_value=65_536),
    sessions=SessionBounds(max_sessions=20, max_per_principal=8, max_data=4_096),
    events=EventBounds(max_events=10, max_bytes=4_096),
    bus=BusBounds(max_message=4_096, max_waiting=50, max_waiting_bytes=65_536),
    tasks=TaskBounds(max_tasks=100, max_data=4_096),
)
"""Small enough to reach; times to live are the defaults."""

Advance = Callable[[float], None]
BAD_KEYS = ("", "x" * 513, "a\0b", "\ud800")
"""Empty, too long, with NUL, and half of a surrogate pair."""


class VirtualClock:
    """A clock that moves only when told to. Call it for seconds since the epoch."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass."""
        self.now += seconds


def a_session(
    id: str = "s", *, version: int = 1, principal: str = "alice", data: bytes = b"state"
) -> SessionRecord:
    """A record whose times are ahead of any clock, so the store's own count."""
    return SessionRecord(id=id, version=version, created=1e11, seen=1e11, principal=principal, data=data)


def a_task(
    id: str = "t",
    *,
    owner: str = "alice",
    queue: str = "q",
    due: float | None = 0.0,
    expires: float | None = None,
    data: bytes = b"state",
) -> TaskRecord:
    """A record whose times are ahead of any clock, so the store's own count. It is due unless told otherwise."""
    return TaskRecord(
        id=id,
        owner=owner,
        queue=queue,
        status="working",
        created=1e11,
        updated=1e11,
        expires=expires,
        due=due,
        data=data,
    )


async def scanned(store: Store, prefix: str = "") -> list[str]:
    """The keys with that prefix, sorted."""
    return sorted([key async for key in store.kv.scan(prefix)])
