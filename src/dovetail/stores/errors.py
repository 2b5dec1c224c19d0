"""What can go wrong with a store.

Theory of operation
-------------------
Every backend raises only what stands here, so that callers handle a full disk, a lost server and a spent
quota alike whatever is behind the contract. A programmer's mistake (a value that is not bytes, a time to live
of zero) is a plain `TypeError` or `ValueError` instead: no caller should ever have to handle it.

Keys, session ids and stream names are often secrets (a session id opens a session), so no message quotes
them.

Specification: none; stores are ours. Streams serve resumption ("Resumability and Redelivery" in
basic/transports).
"""

from __future__ import annotations

__all__ = [
    "EventsTrimmed",
    "KeyInvalid",
    "SessionExists",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreVersionMismatch",
    "StreamEnded",
    "StreamUnknown",
    "TaskExists",
    "TooManyTasks",
    "ValueTooLarge",
]


class StoreError(Exception):
    """The root of everything a store raises. Unless a subclass says otherwise, the operation had no
    effect.
    """


class StoreFull(StoreError):
    """A bound on how much the store holds was reached, and nothing in it had expired.

    `what` names the bound ("sessions", "bytes of values" ...), `limit` is its value.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"The store is full: it holds its limit of {limit} {what}. "
            "Try again once something has expired, or raise the limit."
        )
        self.what = what
        self.limit = limit


class ValueTooLarge(StoreError):
    """One value, record or event is larger than the store takes. `size` and `limit` are in bytes."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(
            f"The {what} has {size} bytes; the store takes at most {limit}. Split it or raise the limit."
        )
        self.what = what
        self.size = size
        self.limit = limit


class KeyInvalid(StoreError):
    """A key, id, stream name or prefix is empty, too long, or has characters that no backend could keep."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"The {what} {reason}.")
        self.what = what
        self.reason = reason


class SessionExists(StoreError):
    """A live session has this id already. Ids are random: meeting this means that the source of ids is
    broken.
    """

    def __init__(self) -> None:
        super().__init__("A live session has this id already. Create sessions with fresh, unguessable ids.")


class TaskExists(StoreError):
    """There is a task of this id already."""

    def __init__(self) -> None:
        super().__init__("There is a task of this id already. Create tasks with fresh, unguessable ids.")


class TooManyTasks(StoreError):
    """The owner has as many tasks that have not ended as it may. `limit` is how many."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The owner has its limit of {limit} tasks that have not ended. "
            "Wait until one has, cancel one, or raise the limit."
        )
        self.limit = limit


class EventsTrimmed(StoreError):
    """Events after the asked position are gone, so reading on would leave a silent gap.

    `oldest` is the first sequence that can still be read (`last + 1` when none can), `last` the newest ever
    appended.
    """

    def __init__(self, after: int, oldest: int, last: int) -> None:
        super().__init__(
            f"Events after {after} were trimmed: the stream now reaches from {oldest} to {last}. "
            f"Read after {oldest - 1} and tell the reader what it missed, or start over."
        )
        self.after = after
        self.oldest = oldest
        self.last = last


class StreamUnknown(StoreError):
    """No such stream (never written, dropped, or expired), or it never reached the asked position."""

    def __init__(
        self, reason: str = "no such stream: it was never written, was dropped, or has expired"
    ) -> None:
        super().__init__(f"The events cannot be read: {reason}. Start a new stream.")


class StreamEnded(StoreError):
    """The stream was closed: it can still be read, but takes no more events."""

    def __init__(self) -> None:
        super().__init__("The stream was closed and takes no more events. Append to another stream.")


class StoreUnavailable(StoreError):
    """The backend cannot serve now: locked, unreachable, out of disk, damaged, or overloaded. Nothing was
    written, unless `uncertain` is True: then a server was asked and its answer did not come, so the operation may have
    been done or not.

    The same operation may be tried again (after a look, where it is uncertain); for a damaged file or a missing
    directory an operator has to act first.
    """

    uncertain: bool = False


class StoreVersionMismatch(StoreUnavailable):
    """What the store holds has another layout than this version of the library reads: an older one, which has to be
    migrated, or a newer one. It stays so until somebody acts.
    """


class StoreClosed(StoreError):
    """The store was closed before or while the operation waited. It had no effect."""

    def __init__(self) -> None:
        super().__init__("The store is closed. Use it before `aclose`, or open a new one.")
