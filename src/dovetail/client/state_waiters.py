"""Those who wait for a state: of a client's connection, or of anything else that has one.

Each waits for any of several states, and is let go when the first of them is there, or none can come any more.
Specification: none.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar, Generic, TypeVar

from ..protocol.errors import LocalProtocolError, RequestTimeout

__all__ = ["StateWaiters"]

Reached = TypeVar("Reached")


class StateWaiters(ABC, Generic[Reached]):
    """What has a state, and those who wait for it. ``STATES``: all that there are. `changed` is called after each
    change.
    """

    STATES: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._waiters: set[tuple[frozenset[str], asyncio.Future[Reached]]] = set()

    @abstractmethod
    def _outcome(self, wanted: Collection[str]) -> Reached | Exception | None:
        """What those who wait for these states are given now, or why none of them comes; None: they go on waiting."""

    @abstractmethod
    def _late(self, wanted: Collection[str], seconds: float) -> str:
        """What to say where none of these states came within so many seconds."""

    def changed(self) -> None:
        """Let go who waits for what is there now."""
        for each in tuple(self._waiters):
            self._let_go(*each)

    async def wait(self, wanted: tuple[str, ...], seconds: float | None) -> Reached:
        """Wait until the state is one of these. ``seconds``: at most so long; None: without end.

        Raises `RequestTimeout`, `LocalProtocolError` for what is no state or where none is named, and what
        `_outcome` says of states that can't come any more.
        """
        for each in wanted:
            if each not in self.STATES:
                raise LocalProtocolError(
                    f"there is no state {each!r}; the states are {', '.join(self.STATES)}"
                )
        if not wanted:
            raise LocalProtocolError('say which state to wait for, such as "ready"')
        waiter: asyncio.Future[Reached] = asyncio.get_running_loop().create_future()
        entry = (frozenset(wanted), waiter)
        self._waiters.add(entry)
        self._let_go(*entry)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
            if waiter.done():
                return waiter.result()
        finally:
            self._waiters.discard(entry)
            if not waiter.cancel() and not waiter.cancelled():
                waiter.exception()  # whoever was cancelled meanwhile does not ask for it
        raise RequestTimeout(self._late(wanted, seconds or 0.0))

    def _let_go(self, wanted: frozenset[str], waiter: "asyncio.Future[Reached]") -> None:
        if waiter.done():
            return
        outcome = self._outcome(wanted)
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        elif outcome is not None:
            waiter.set_result(outcome)
