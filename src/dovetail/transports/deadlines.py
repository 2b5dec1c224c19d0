"""Deadlines that stand still while a person is waited for.

Theory of operation. Whoever bounds a wait puts its `PausableClock` into the context of the task (`tick`); whoever
begins to wait for a person, however deep below, stops all clocks that it finds there (`standing_still`) and
lets them go on afterwards. Tasks inherit the clocks under which they were started. Nothing has to be handed
through the seams between, and other tasks have other clocks.
Specification: 2025-11-25 basic/lifecycle "Timeouts" (they are ours to choose).
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar, Token
from typing import Final, Protocol

__all__ = ["PausableClock", "deadline", "nothing_sent", "standing_still", "tick", "untick"]


class PausableClock(Protocol):
    """Something whose time can stand still. The calls come in pairs, and may be nested. ``unsent``: the message that it
    bounds has not begun to leave.
    """

    unsent: bool

    def stop(self) -> None:
        """Time stands still from here on."""
        ...

    def go_on(self) -> None:
        """Time goes on where it stood."""
        ...


_clocks: Final[ContextVar[tuple[PausableClock, ...]]] = ContextVar("dovetail_clocks", default=())


def tick(clock: PausableClock) -> Token[tuple[PausableClock, ...]]:
    """From here on this task runs under this clock, too, up to `untick` with what this gives."""
    return _clocks.set((*_clocks.get(), clock))


def untick(token: Token[tuple[PausableClock, ...]]) -> None:
    """Take back a `tick`, in the same task."""
    _clocks.reset(token)


@contextmanager
def standing_still() -> Generator[None, None, None]:
    """All clocks of this task stand still inside."""
    clocks = _clocks.get()
    for clock in clocks:
        clock.stop()
    try:
        yield
    finally:
        for clock in clocks:
            clock.go_on()


@contextmanager
def nothing_sent() -> Generator[None, None, None]:
    """Inside, the message of this task has not begun to leave. Whoever gives up there has nothing to take back, so what
    ends by an exception stays unsent.
    """
    clocks = _clocks.get()
    for clock in clocks:
        clock.unsent = True
    yield
    for clock in clocks:
        clock.unsent = False


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncGenerator[None, None]:
    """As ``asyncio.timeout``, under a clock. Raises TimeoutError."""
    async with asyncio.timeout(seconds) as scope:
        clock = _Timeout(scope)
        token = tick(clock)
        try:
            yield
        finally:
            untick(token)
            clock.over = True


class _Timeout:
    """The clock of an ``asyncio.timeout``."""

    def __init__(self, scope: asyncio.Timeout) -> None:
        self.over = False
        self.unsent = False
        self._scope = scope
        self._stops = 0
        self._left: float | None = None

    def stop(self) -> None:
        self._stops += 1
        due = self._scope.when()
        if self._stops == 1 and due is not None and not self.over and not self._scope.expired():
            self._left = due - asyncio.get_running_loop().time()
            self._scope.reschedule(None)

    def go_on(self) -> None:
        self._stops -= 1
        if self._stops == 0 and self._left is not None and not self.over:
            self._scope.reschedule(asyncio.get_running_loop().time() + self._left)
            self._left = None
