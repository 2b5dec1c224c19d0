"""What goes on in a host, as one stream of events for whoever shows or keeps it.

Theory of operation. Everything is told once, to a callback and to any number of readers. A reader has a bounded queue:
of what it does not read in time the oldest is dropped and counted, so that one who sleeps holds nobody up.

Specification: none of its own; of what is told, server/utilities/logging, basic/patterns/progress, and others.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ..logs import get_logger

__all__ = ["MAX_WAITING", "EventKind", "EventReader", "EventTeller", "HostEvent"]

log = get_logger("dovetail.host")
MAX_WAITING: Final = 4096
"""Events that may wait for one reader."""

EventKind = Literal["state", "stderr", "log", "progress", "change", "warning", "decision", "call"]


class HostEvent(Struct, frozen=True):
    """Something happened at ``server`` (empty: at no one server). ``time``: seconds since the epoch.

    ``value`` by ``kind``: "state": a `ServerStatus`; "stderr": a line; "log": a `MessageNotice`; "progress": a
    `ProgressNotice`; "change": a `dovetail.extensions.Change`; "warning": a `dovetail.client.ServerWarning`, or a text;
    "decision" and "call": a `HostRecord`. What a server wrote is in it as it came.
    """

    kind: EventKind
    server: str
    value: Any
    time: float = msgspec.field(default_factory=time.time)


class EventReader:
    """Events as they happen: ``async for event in host.events(): ...``. Ends when the host is closed.

    ``dropped``: how many went unread because more than 4,096 waited.
    """

    def __init__(self, leave: Callable[["EventReader"], None]) -> None:
        self.dropped = 0
        self._waiting: deque[HostEvent] = deque()
        self._wake = asyncio.Event()
        self._over = False
        self._leave = leave

    def put(self, event: HostEvent) -> None:
        """Something happened."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        """Hear of nothing more. Idempotent."""
        self._over = True
        self._wake.set()
        self._leave(self)

    def __aiter__(self) -> "EventReader":
        return self

    async def __anext__(self) -> HostEvent:
        while not self._waiting:
            if self._over:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class EventTeller:
    """Tells everyone. ``callback`` is called at once; what it raises is logged."""

    def __init__(self, callback: Callable[[HostEvent], Any] | None) -> None:
        self._callback = callback
        self._readers: set[EventReader] = set()

    def reader(self) -> EventReader:
        """One more reader, who hears of everything from now on."""
        reader = EventReader(self._readers.discard)
        self._readers.add(reader)
        return reader

    def tell(self, kind: EventKind, server: str, value: Any) -> None:
        """Tell of something. Never raises."""
        event = HostEvent(kind, server, value)
        for reader in tuple(self._readers):
            reader.put(event)
        if self._callback is not None:
            try:
                self._callback(event)
            except Exception:  # whatever a program's callback raises is contained here
                log.exception("the callback for events of a host failed")

    def close(self) -> None:
        """Nothing more will happen."""
        for reader in tuple(self._readers):
            reader.close()
