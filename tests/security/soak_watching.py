"""How a process that `soak` attacks looks at itself: its clock, the turns of its event loop, what is not read."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys
import time
from typing import Any, Final

from dovetail.stores import sweeping
from dovetail.transports.http1.server import uvicorn_server
from dovetail.transports.http1.server.connection import HTTPServerConnections

WEEK: Final = 7 * 86_400.0
#: Seconds between two looks for what has expired: sooner than by default, for somebody waits for it.
SWEEPING: Final = 0.25
#: Seconds between two looks at the loop.
_LOOK: Final = 0.005


class Watching:
    """``clock`` is the time of what is kept."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._turns: list[float] = []
        self._looking: asyncio.Task[None] | None = None
        self._connections: list[HTTPServerConnections] = []
        seen = self._connections

        class Seen(HTTPServerConnections):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                seen.append(self)

        setattr(uvicorn_server, "Connections", Seen)  # noqa: B010 - for this process
        setattr(sweeping, "INTERVAL", SWEEPING)  # noqa: B010 - as above

    def clock(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead

    def skip(self) -> None:
        """A week passes."""
        self._ahead += WEEK

    def unread(self) -> int:
        """Bytes that clients do not read."""
        return sum(each.unread.all for each in self._connections)

    def heads(self) -> int:
        """Bytes of heads that are not whole."""
        return sum(each.heads.all for each in self._connections)

    def look(self) -> None:
        """Look at the turns of the loop from now on."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(_LOOK)
            now = time.thread_time()
            self._turns.append(now - last)
            last = now

    def take_turns(self) -> list[float]:
        """Seconds of CPU between two turns of the loop, since this was last asked: of half of them at most, of 99 in a
        hundred, and the most. It is what a small call waits for at the worst, whatever else the machine does.
        """
        turns = sorted(self._turns) or [0.0]
        self._turns.clear()
        return [turns[len(turns) // 2], turns[int(len(turns) * 0.99)], turns[-1]]

    @staticmethod
    def tidy() -> int:
        """Collect rubbish, and hand back what the C library keeps for later. Gives how many blocks of memory the
        interpreter has given out: those are held by somebody.
        """
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
        return sys.getallocatedblocks()


def tell(line: str, watching: Watching) -> None:
    """Say where the server is, once it serves."""
    watching.look()
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
