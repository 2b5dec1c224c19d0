"""What was written for clients that do not read it, bounded in bytes.

Theory of operation. An answer that its client does not take waits in this process, and the request that it belongs to
is over: no bound on requests holds for it. So each connection that has more waiting than its system takes is counted,
and where all of them together have too much waiting, one is dropped: of the network with the most of it that which has
waited longest. Who reads is never counted. Heads of requests that are not whole are bounded in the same way, by
themselves: nobody is known by name yet.

Specification: none; whatever a client can make us keep has a bound.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from ...logs import get_logger
from ...security.limits import LogThrottle

log = get_logger("dovetail.http")

#: Bytes that may wait for clients to read them, of all together.
MAX_UNREAD: Final = 256 * 1024 * 1024


def weight_of(size: int) -> int:
    """What an answer of so many bytes takes, about: encoders take half as much again, and do not give that back."""
    return size + size // 2


class Unread:
    """What waits. ``most``: bytes that may, together. ``all``: how many do. ``what``: what they are, for the log. For
    one thread.
    """

    def __init__(self, most: int = MAX_UNREAD, what: str = "answers that clients do not read") -> None:
        self.all = 0
        self._most = most
        self._what = what
        self._waiting: dict[object, tuple[Hashable, int, Callable[[], object]]] = {}
        self._lines: dict[Hashable, OrderedDict[object, None]] = {}
        self._of: Counter[Hashable] = Counter()
        self._seldom = LogThrottle()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, what: object, caller: Hashable, size: int, drop: Callable[[], object]) -> None:
        """So many bytes wait for a caller from now on, in the place of what did. ``drop``: ends that, soon."""
        self.remove(what)
        self._waiting[what] = (caller, size, drop)
        self._lines.setdefault(caller, OrderedDict())[what] = None
        self._of[caller] += size
        self.all += size
        while self.all > self._most and len(self._waiting) > 1:
            self._drop_one()

    def remove(self, what: object) -> None:
        """They were read, or nobody is there any more. Idempotent."""
        found = self._waiting.pop(what, None)
        if found is None:
            return
        caller, size, _ = found
        self.all -= size
        self._of[caller] -= size
        line = self._lines[caller]
        del line[what]
        if not line:
            del self._lines[caller], self._of[caller]

    def _drop_one(self) -> None:
        most = max(self._of, key=lambda caller: self._of[caller])
        oldest = next(iter(self._lines[most]))
        if self._seldom.due(most):
            log.warning(
                "there are %d bytes of %s; a connection from %s, which has most of them, is dropped; this is said once "
                "a minute",
                self.all,
                self._what,
                most or "here",
            )
        drop = self._waiting[oldest][2]
        self.remove(oldest)
        drop()
