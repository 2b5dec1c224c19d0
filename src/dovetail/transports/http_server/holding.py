"""Bytes of messages that are held, each counted as its caller's until nobody needs it any more.

Theory of operation. What arrived of a body that is not whole yet is held, and then what a call in progress or an open
subscription keeps of it. One that is decoded may take more than its bytes, so its items count as some too. A call of
the stateful era outlives its request: each says for itself that it is done. Small messages are not counted: how many of
those there can be is bounded by the number of requests.

Specification: none; whatever a client can make us keep has a bound.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from ...protocol.envelope import MAX_ITEMS, count
from ...security.quotas import Quotas

#: Bytes of a message up to which it is not counted.
SMALL: Final = 4096
#: Bytes of a message up to which its items are not counted while there is plenty.
MODEST: Final = 32 * 1024
#: Bytes that each item of a message counts as, besides its own.
ITEM: Final = 64


class HeldBytes:
    """Bytes that are held of a caller's part, until everybody who needs them is done. Whoever makes it needs them."""

    __slots__ = ("_caller", "_shares", "_users", "size")

    def __init__(self, shares: Quotas, caller: Hashable) -> None:
        self._shares = shares
        self._caller = caller
        self._users = 1
        self.size = 0

    def resize(self, size: int) -> bool:
        """Hold so many bytes in all. False, and nothing changes, where there are not that many more."""
        more = size - self.size
        if more > 0 and not self._shares.take(self._caller, more):
            return False
        if more < 0:
            self._shares.give_back(self._caller, -more)
        self.size = size
        return True

    def keep(self) -> HeldBytes:
        """One more needs them."""
        self._users += 1
        return self

    def release(self) -> None:
        """One of those who need them is done."""
        self._users -= 1
        if not self._users:
            self.resize(0)


def weight(body: bytes) -> int:
    """How many bytes a message counts as."""
    items = count(body, b",") + count(body, b"[") + count(body, b"{")
    return len(body) + ITEM * min(items, MAX_ITEMS)


def heaviest(limit: int) -> int:
    """The most that a message of at most ``limit`` bytes counts as."""
    return limit + ITEM * min(limit, MAX_ITEMS)
