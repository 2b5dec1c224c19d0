"""What a store has in each event loop that uses it: connections belong to the loop that opened them.

Theory of operation
-------------------
It is made when it is first asked for in a loop, and forgotten once the loop is closed. A forked child makes its own;
what it inherited is never touched, nor freed, for that would close what is the parent's. At the end each is ended in
its own loop, as long as that one runs.

Specification: none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Generic, Protocol, TypeVar

from dovetail.stores.errors import StoreClosed

__all__ = ["PerLoop"]


class Stoppable(Protocol):
    """What can be in each loop."""

    async def stop(self) -> None:
        """End it. Called once, in its loop."""
        ...


L = TypeVar("L", bound=Stoppable)


class PerLoop(Generic[L]):
    """One for each event loop, made by ``make``. ``timeout``: seconds that other loops have to end theirs."""

    def __init__(self, make: Callable[[], L], timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._lock = Lock()
        self._closed = False
        self._process = os.getpid()
        self._found: dict[asyncio.AbstractEventLoop, L] = {}
        self._inherited: list[object] = []

    def here(self) -> L:
        """That of the loop that runs now. Raises `StoreClosed`."""
        loop = asyncio.get_running_loop()
        found = self._found.get(loop)
        if found is not None and not self._closed and self._process == os.getpid():
            return found
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self._process != os.getpid():
                self._inherited.append(self._found)
                self._found, self._process = {}, os.getpid()
            for other in [each for each in self._found if each.is_closed()]:
                del self._found[other]
            found = self._found[loop] = self._make()
            return found

    async def aclose(self) -> None:
        """End all of them; `here` raises `StoreClosed` from now on. May be called again."""
        with self._lock:
            self._closed = True
            ours = self._process == os.getpid()
            found, self._found = self._found, {}
        if not ours:
            self._inherited.append(found)
            return
        here = asyncio.get_running_loop()
        mine = found.pop(here, None)
        elsewhere: list[asyncio.Future[None]] = []
        for loop, each in found.items():
            if loop.is_running():
                stopping = each.stop()
                try:
                    elsewhere.append(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(stopping, loop)))
                except RuntimeError:  # it was closed meanwhile, and what it had with it
                    stopping.close()
        if mine is not None:
            await mine.stop()
        if elsewhere:  # a loop that ends meanwhile answers nobody
            done, _ = await asyncio.wait(elsewhere, timeout=self._timeout)
            for future in done:
                with suppress(Exception, asyncio.CancelledError):  # of a loop that went down with it
                    future.result()
