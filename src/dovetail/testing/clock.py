"""A clock that jumps: code that sleeps for an hour is tested in no time, and always in the same order.

Theory of operation. The loop's time stands still while anything is ready to run; when nothing is, it jumps to the
next timer. So timeouts fire exactly when they are due, never because a machine was slow. What waits for the outside
(sockets, threads, processes) does not fit into such a world: a loop that has no timer left and nothing ready says so
instead of waiting forever. `time.time` is not touched.

Specification: none.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualLoop", "run_virtual"]

T = TypeVar("T")


class StoodStill(RuntimeError):
    """Nothing was ready, and no timer was left: what is awaited would never have come; see that something
    in the test brings it.
    """


class _Jumping(selectors.SelectSelector):
    """Does not wait: tells the loop's clock to jump instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None:
            raise StoodStill(
                "nothing is ready and no timer is left: what is awaited comes from outside of this loop, or never"
            )
        self.loop.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is ``now``, in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """The time of the loop."""
        return self.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a `VirtualLoop`. Raises what it raises."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
