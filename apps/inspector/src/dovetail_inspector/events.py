"""What happened, numbered, for whoever watches: the page, the terminal, a test.

Theory of operation. An event is published once, kept for a while (bounded in number and bytes) and given to any number
of watchers from any number on; one that comes back after its connection broke names the last it has seen and misses
nothing, or is told that too much went by. Nothing waits for a watcher.

Specification: none; the numbers are what HTML's server-sent events call ids.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

__all__ = ["InspectorEvent", "Events"]

_MOST: Final = 20_000
_BYTES: Final = 32 * 1024 * 1024


class InspectorEvent(msgspec.Struct, frozen=True):
    """Something that happened. ``data``: JSON."""

    seq: int
    type: str
    data: bytes


class Events:
    """All events of one Inspector, for one event loop."""

    def __init__(self) -> None:
        self.seq = 0
        self._kept: deque[InspectorEvent] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._ended = False

    def publish(self, type: str, value: Any) -> None:
        """Tell of something. ``value``: anything that msgspec writes."""
        self.seq += 1
        event = InspectorEvent(self.seq, type, msgspec.json.encode(value))
        self._kept.append(event)
        self._bytes += len(event.data)
        while len(self._kept) > _MOST or (self._bytes > _BYTES and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft().data)
        self._wake()

    def newest(self, type: str, most_bytes: int) -> list[bytes]:
        """The data of the newest events of a type that are kept, the oldest first, so many bytes of it at most."""
        found: deque[bytes] = deque()
        for each in reversed(self._kept):
            if each.type == type:
                most_bytes -= len(each.data)
                if most_bytes < 0:
                    break
                found.appendleft(each.data)
        return list(found)

    def end(self) -> None:
        """There will be no more; watchers end."""
        self._ended = True
        self._wake()

    def after(self, seq: int) -> list[InspectorEvent] | None:
        """The events after a number; None if some of these are not kept any more, or the number is of another run."""
        if seq > self.seq or (self._kept and seq + 1 < self._kept[0].seq):
            return None
        missing = self.seq - seq
        return list(self._kept)[-missing:] if missing else []

    async def watch(self, seq: int) -> AsyncIterator[list[InspectorEvent]]:
        """Events after a number, as they come, those that came together together. Ends with one of the type ``reset``
        where some are not kept any more.
        """
        while True:
            news = self._news
            found = self.after(seq)
            if found is None:
                yield [InspectorEvent(self.seq, "reset", b"{}")]
                return
            if found:
                seq = found[-1].seq
                yield found
            elif self._ended:
                return
            else:
                await news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
