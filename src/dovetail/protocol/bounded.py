"""What is remembered of somebody else's words: bounded in number and in bytes, the least used goes first.

Specification: none.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["Bounded"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most ``limit`` values, of at most ``most`` bytes together: what each has, whoever puts it there says."""

    def __init__(self, limit: int, most: int) -> None:
        self._limit = limit
        self._most = most
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        #: Bytes of all that is kept.
        self.size = 0

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value, in place of what was there. One that is larger than all together may be is not kept."""
        self.pop(key)
        if size > self._most:
            return
        self._kept[key] = (value, size)
        self.size += size
        while self.size > self._most or len(self._kept) > self._limit:
            self.size -= self._kept.popitem(last=False)[1][1]

    def get(self, key: K) -> V | None:
        """A value; it is the one used last."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def pop(self, key: K) -> V | None:
        """Forget a value; gives it."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self.size -= found[1]
        return found[0]

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self.size = 0

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[K]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
