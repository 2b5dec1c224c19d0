"""How much of something callers may have at once.

Theory of operation. There is a total; one caller may have a part of it, and those without a name may have a part
together, so that neither one caller nor many that nobody knows can take what the others need. Callers are keys of
`callers`: texts have no name, and empty ones (callers on this machine) have no part of their own. Only who has
something is remembered.

Specification: none; whatever a caller can use up has a bound.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Quotas"]


class Quotas:
    """A ``total``, of which ``each`` caller may have so much, and all without a name so much together (``nameless``).
    ``all``: what is taken. For one thread. Raises ValueError for bounds below 1.
    """

    __slots__ = ("_each", "_most_nameless", "_nameless", "_of", "all", "total")

    def __init__(self, total: int, *, each: int, nameless: int) -> None:
        if min(total, each, nameless) < 1:
            raise ValueError("a total and the parts of it are at least 1")
        self.total = total
        self.all = 0
        self._each = each
        self._most_nameless = nameless
        self._nameless = 0
        self._of: dict[Hashable, int] = {}

    def fits(self, caller: Hashable, amount: int = 1, own: int | None = None) -> bool:
        """Whether `take` would give so much; ``own``: how much of it would be the caller's, if not all."""
        if self.all + amount > self.total:
            return False
        if caller and self.of(caller) + (amount if own is None else own) > self._each:
            return False
        return type(caller) is not str or self._nameless + amount <= self._most_nameless

    def plenty(self, caller: Hashable, amount: int) -> bool:
        """Whether half of what there is for this caller would be left if `take` gave so much."""
        if 2 * (self.all + amount) > self.total or (caller and 2 * (self.of(caller) + amount) > self._each):
            return False
        return type(caller) is not str or 2 * (self._nameless + amount) <= self._most_nameless

    def take(self, caller: Hashable, amount: int = 1) -> bool:
        """Take so much. False, and nothing is taken, where that is more than there is for this caller."""
        taken = self.all + amount
        if taken > self.total:
            return False
        of = 0
        if caller and (of := self._of.get(caller, 0) + amount) > self._each:
            return False
        if type(caller) is str:
            if self._nameless + amount > self._most_nameless:
                return False
            self._nameless += amount
        if caller:
            self._of[caller] = of
        self.all = taken
        return True

    def give_back(self, caller: Hashable, amount: int = 1) -> None:
        """Give back what was taken."""
        self.all -= amount
        if type(caller) is str:
            self._nameless -= amount
        if caller:
            left = self._of[caller] - amount
            if left:
                self._of[caller] = left
            else:
                del self._of[caller]

    def move(self, before: Hashable, after: Hashable) -> bool:
        """One that was taken for a caller is now another's, who has become known. False, and nothing changes, where
        that one has its part already.
        """
        self.give_back(before)
        if self.take(after):
            return True
        self.all += 1
        if before:
            self._of[before] = self._of.get(before, 0) + 1
        if type(before) is str:
            self._nameless += 1
        return False

    def of(self, caller: Hashable) -> int:
        """What one caller has; of callers on this machine nobody knows."""
        return self._of.get(caller, 0)

    @property
    def nameless(self) -> int:
        """What callers without a name have together."""
        return self._nameless

    def __len__(self) -> int:
        return len(self._of)
