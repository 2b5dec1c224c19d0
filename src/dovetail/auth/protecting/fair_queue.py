"""Whose questions are open at an issuer, and who is next.

Theory of operation. Anybody can show a token that nobody has seen, and each costs a question, so the questions that may
be open at once are a good that is divided. One network has a share of them and no more. A part is never given to tokens
that nobody has seen: it is for those that were good before, whose holders would otherwise be locked out by strangers.
Whoever finds no place waits a moment: known tokens first, then one of each network in turn. Those who wait are bounded,
too; where there are too many, the network with the most of them gives one up.

A turn is taken and left in one event loop; nothing here may be used from two.

Specification: RFC 7662, section 4 (an issuer that is asked too much); the rest is operation, not protocol.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from .verdicts import Unavailable

__all__ = ["KEPT", "OPEN", "PATIENCE", "SHARE", "FairQueue", "WAITING"]

OPEN: Final = 64
"""Questions that may be open at once."""
KEPT: Final = 16
"""Those of them that only tokens get which were good before."""
SHARE: Final = 8
"""Questions about unknown tokens that one network may have open."""
WAITING: Final = 1024
"""Questions that may wait for a place."""
PATIENCE: Final = 5.0
"""Seconds that one waits."""

_BUSY: Final = "the server has as many questions open at the authorization server as it may; retry"

Waiter = asyncio.Future[None]


class FairQueue:
    """Gives places to questions. For one event loop."""

    def __init__(self) -> None:
        self._open = 0
        self._unknown = 0
        self._held: Counter[str] = Counter()
        self._first: deque[Waiter] = deque()
        self._line: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, network: str, *, known: bool) -> AsyncGenerator[None]:
        """Hold a place. ``network``: who asks; ``known``: about a token that was good before. Raises `Unavailable`
        when no place was to be had in time.
        """
        if self._fits(network, known):
            self._count(network, known, 1)
        else:
            await self._wait(network, known)
        try:
            yield
        finally:
            self._leave(network, known)

    def _fits(self, network: str, known: bool) -> bool:
        if self._open >= OPEN:
            return False
        return known or (self._unknown < OPEN - KEPT and self._held[network] < SHARE)

    def _count(self, network: str, known: bool, step: int) -> None:
        self._open += step
        if not known:
            self._unknown += step
            self._held[network] += step
            if not self._held[network]:
                del self._held[network]

    def _leave(self, network: str, known: bool) -> None:
        self._count(network, known, -1)
        self._next()

    async def _wait(self, network: str, known: bool) -> None:
        if self._waiting >= WAITING:
            self._displace(network, known)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        line = self._first if known else self._line.setdefault(network, deque())
        line.append(waiter)
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await waiter
        except BaseException as problem:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._leave(network, known)  # its turn came in the same moment
            elif waiter in line:
                self._remove(line, waiter, network)
            if isinstance(problem, TimeoutError):
                raise Unavailable(_BUSY) from None
            raise

    def _next(self) -> None:
        """Give the place that has become free to one who waits."""
        while self._first and self._open < OPEN:
            if self._grant(self._first, "", known=True):
                return
        while self._open < OPEN and self._unknown < OPEN - KEPT:
            network = next((each for each in self._line if self._fits(each, known=False)), None)
            if network is None:
                return
            self._line.move_to_end(network)
            if self._grant(self._line[network], network, known=False):
                return

    def _grant(self, line: deque[Waiter], network: str, *, known: bool) -> bool:
        """Give a place to the first in line. False if that one waits no more."""
        waiter = line[0]
        self._remove(line, waiter, network)
        if waiter.done():
            return False
        self._count(network, known, 1)
        waiter.set_result(None)
        return True

    def _remove(self, line: deque[Waiter], waiter: Waiter, network: str) -> None:
        line.remove(waiter)
        self._waiting -= 1
        if not line and line is not self._first:
            del self._line[network]

    def _displace(self, network: str, known: bool) -> None:
        """Make room in the line: the network that has most in it gives up the one that came last. Raises `Unavailable`
        if that would be whoever comes now.
        """
        most = max(self._line, key=lambda each: len(self._line[each]), default=None)
        own = 0 if known else len(self._line.get(network, ())) + 1
        if most is None or own >= len(self._line[most]):
            raise Unavailable(_BUSY)
        line = self._line[most]
        last = line[-1]
        self._remove(line, last, most)
        if not last.done():
            last.set_exception(Unavailable(_BUSY))
