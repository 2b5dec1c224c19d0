"""Which files changed: their sizes and times, looked at a few times a second.

Theory of operation. Polling needs no package and works on every file system, network folders included; a server of an
author has a few dozen files, and looking at one costs a microsecond or two. A change counts once the files have stood
still for one look: editors write in several moves, and some put the new file beside the old one and rename it, so that
for a moment there is none.

Specification: none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Final

INTERVAL: Final = 0.2
_LOOKS: Final = 25
"""How long files may go on changing before we stop waiting for them to stand still: this many looks."""

Signature = tuple[int, int, int]


def look(files: Iterable[str]) -> dict[str, Signature | None]:
    """What files look like from outside; None for one that is not there."""
    return {name: _signature(name) for name in files}


def _signature(name: str) -> Signature | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class FileWatcher:
    """Waits for changes. ``files`` tells which to look at; it is asked anew each time."""

    def __init__(self, files: Callable[[], Iterable[str]], *, interval: float = INTERVAL) -> None:
        self._files = files
        self._interval = interval
        self._known: dict[str, Signature | None] = {}
        self.know()

    def know(self) -> None:
        """Files that are to be looked at from now on have not changed; any other that is found later is new."""
        for name, seen in look(name for name in self._files() if name not in self._known).items():
            self._known[name] = seen

    async def changed(self) -> list[str]:
        """Wait until files have changed, or come into being, and stand still; gives their names."""
        while True:
            await asyncio.sleep(self._interval)
            now = look(self._files())
            changed = {name for name in now if name not in self._known or self._known[name] != now[name]}
            if changed:
                now = await self._still(now, changed)
                self._known.update(now)
                return sorted(changed)

    async def _still(
        self, now: dict[str, Signature | None], changed: set[str]
    ) -> dict[str, Signature | None]:
        for _ in range(_LOOKS):
            await asyncio.sleep(self._interval)
            later = look(now)
            if later == now and any(now[name] is not None for name in changed):
                break
            changed.update(name for name in later if later[name] != now[name])
            now = later
        return now
