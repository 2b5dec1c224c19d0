"""What the log is told of a store that is away: when it goes, when it is back, and not each time that it is missed.

Theory of operation
-------------------
A server whose store is away refuses each request that needs it, and thousands may come. The first failure is told in
its own words, and so is the first of another kind; what follows is counted. Once none has been noted for some seconds,
one line says how many there were. Nobody is asked whether the store is back: who uses it finds out.

Specification: none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from logging import Logger
from typing import Final

__all__ = ["StoreOutages"]

QUIET: Final = 5.0
"""Seconds without a failure after which a store counts as back."""


class StoreOutages:
    """Tells a log of failures of a store, which is called ``what`` there: one warning when they begin, one when there
    was none for ``quiet`` seconds, with how many there were. `note` them in an event loop.

    ``clock`` gives seconds, from any time on.
    """

    def __init__(
        self,
        log: Logger,
        what: str = "the store",
        *,
        quiet: float = QUIET,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._what = what
        self._quiet = quiet
        self._clock = clock
        self._kinds: set[type] = set()
        self._count = 0
        self._since = self._last = 0.0

    def note(self, problem: Exception) -> None:
        """The store failed, with that."""
        now = self._clock()
        if self._count and now >= self._last + self._quiet:
            self._over()  # the loop that was to look has ended, or has not come to it
        self._last = now
        self._count += 1
        # An engine may raise errors of its own below those that users know: they are of one kind.
        kind = next(each for each in type(problem).__mro__ if not each.__name__.startswith("_"))
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._log.warning("%s failed: %s", self._what, problem)
        if self._count == 1:
            self._since = now
            asyncio.get_running_loop().call_later(self._quiet, self._look)

    def _look(self) -> None:
        if not self._count:
            return
        left = self._last + self._quiet - self._clock()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self._look)
        else:
            self._over()

    def _over(self) -> None:
        self._log.warning(
            "%s serves again: it failed %d times in %.1f seconds",
            self._what,
            self._count,
            self._last - self._since,
        )
        self._count = 0
        self._kinds.clear()
