"""Waiting for answers without sleeping, where the load has a core of its own.

Who writes to a process that sleeps pays for waking it; on a virtual machine, where that interrupts another
processor, more than for the write. A server faster than the load would never pay that, a slower one for each answer,
and the difference would look like the servers'. So the load looks again and again instead. Where it shares its core
with the server it sleeps.
"""

from __future__ import annotations

import select
import time

TIMEOUT = 60.0


class Lookout:
    """Waits for what can be read from any of some files. ``spins``: without sleeping. ``idle``: the seconds it waited
    so far.
    """

    def __init__(self, numbers: list[int], *, spins: bool) -> None:
        self._poll = select.epoll()
        for number in numbers:
            self._poll.register(number, select.EPOLLIN)
        self._spins = spins
        self.idle = 0.0

    def ready(self, patience: float = TIMEOUT) -> list[tuple[int, int]]:
        """The files, by number, that have something; none if nothing comes for so many seconds."""
        poll = self._poll.poll
        found = poll(0)
        if found:
            return found
        began = now = time.perf_counter()
        while not found and now - began < patience:
            found = poll(0 if self._spins else patience)
            now = time.perf_counter()
        self.idle += now - began
        return found

    def forget(self, number: int) -> None:
        """Wait for this one no longer."""
        self._poll.unregister(number)

    def close(self) -> None:
        """Wait for none."""
        self._poll.close()
