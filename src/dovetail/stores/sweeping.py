"""What has expired leaves the memory also where nobody writes any more.

Theory of operation
-------------------
Each write of a store in memory removes some of what is due. After a flood there may be no further write, and all that
expired would stay. So while a part of a store holds something that can expire, a timer of the event loop looks now and
then. It removes a few entries at a time, for the loop has other things to do, and comes back soon where more is due.
What holds nothing has no timer, and a timer holds no store: one that nobody has any more is gone at once.

A write that finds no timer where there should be one starts it; the last one may have been on a loop that has ended.
Where no loop runs there is none, and writes alone remove what is due.

Specification: none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final
from weakref import WeakMethod

__all__ = ["INTERVAL", "Sweeper"]

INTERVAL: Final = 5.0
"""Seconds between two looks."""
MOST: Final = 500
"""Entries that one look removes."""
_SOON: Final = 0.02

#: Removes at most so many of the entries that are due; gives whether more may be due now, or None where nothing is left
#: that may expire.
Sweep = Callable[[int], bool | None]


class Sweeper:
    """Sweeps one part of a store, a method of which is ``sweep``. ``until``: a write from this time on, by the store's
    clock, has to `start` it.
    """

    def __init__(self, clock: Callable[[], float], sweep: Sweep) -> None:
        self.until = -math.inf
        self._clock = clock
        self._sweep = WeakMethod(sweep)
        self._run: object = None

    def start(self) -> None:
        """There is something that may expire."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._run = run = object()
        self._look_again(loop, run, INTERVAL)

    def _look(self, loop: asyncio.AbstractEventLoop, run: object) -> None:
        if run is not self._run:
            return  # another one was started, on another loop or since this one was late
        sweep = self._sweep()
        more = None if sweep is None else sweep(MOST)
        if more is None:
            self.until = -math.inf
        else:
            self._look_again(loop, run, _SOON if more else INTERVAL)

    def _look_again(self, loop: asyncio.AbstractEventLoop, run: object, wait: float) -> None:
        self.until = self._clock() + wait + INTERVAL
        loop.call_later(wait, self._look, loop, run)
