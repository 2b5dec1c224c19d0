"""Who listens to a bus in this process, and what each of them has still to hear.

Theory of operation
-------------------
Every bus, whatever brings its messages, hands them to a `BusListeners`. Each listener has a queue of its own, bounded
in messages and bytes, and one callback on the way to its event loop while there is something in it. So a slow one
takes no memory beyond its bounds and delays nobody. What finds a queue full is dropped, and a None is put in its
place, one for all that is dropped in a row: the listener learns where something is missing. A listener is called in
the context in which it began to listen, not in a publisher's.

Specification: none.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from threading import Lock

from dovetail.logs import get_logger
from dovetail.stores.bounds import BusBounds
from dovetail.stores.errors import StoreClosed

__all__ = ["BusListeners"]

Heard = Callable[[bytes | None], None]

_log = get_logger("dovetail.stores")


class _Listener:
    """One who listens, in the event loop that ran when it was made."""

    __slots__ = (
        "_bounds",
        "_bytes",
        "_context",
        "_heard",
        "_lock",
        "_loop",
        "_scheduled",
        "_waiting",
        "ended",
    )

    def __init__(self, heard: Heard, bounds: BusBounds) -> None:
        self.ended = False
        self._heard = heard
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._lock = Lock()
        self._waiting: deque[bytes | None] = deque()
        self._bytes = 0
        self._scheduled = False

    def put(self, data: bytes | None) -> bool:
        """Let it hear this in its loop. Whether half of its queue is full."""
        with self._lock:
            if self.ended:
                return False
            waiting, bounds = self._waiting, self._bounds
            if data is not None and (
                not waiting
                or (len(waiting) < bounds.max_waiting and self._bytes + len(data) <= bounds.max_waiting_bytes)
            ):
                waiting.append(data)
                self._bytes += len(data)
            elif not waiting or waiting[-1] is not None:
                waiting.append(None)
            if not self._scheduled:
                self._scheduled = True
                try:
                    self._loop.call_soon_threadsafe(self._drain, context=self._context)
                except RuntimeError:  # its loop was closed: nobody is there to hear
                    self._end()
            return 2 * len(waiting) >= bounds.max_waiting or 2 * self._bytes >= bounds.max_waiting_bytes

    def end(self) -> None:
        """It hears nothing more."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._waiting.clear()
        self._bytes = 0

    def _next(self) -> bytes | None:
        """What it is to hear next. Raises `LookupError` where there is nothing."""
        with self._lock:
            data = self._waiting.popleft()
            self._bytes -= 0 if data is None else len(data)
            return data

    def _drain(self) -> None:
        try:
            for _ in range(len(self._waiting)):  # what comes meanwhile waits until others had their turn
                try:
                    data = self._next()
                except LookupError:  # it ended
                    return
                self._hear(data)
        finally:
            with self._lock:
                self._scheduled = bool(self._waiting)
                if self._scheduled:
                    self._loop.call_soon(self._drain, context=self._context)

    def _hear(self, data: bytes | None) -> None:
        try:
            self._heard(data)
        except Exception as error:  # noqa: BLE001 - it is the listener's own, and no other may suffer from it
            # Its text may quote a message, so only its kind and place are told.
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error(
                "a listener of the bus raised %s (%s, line %s): it has missed that message",
                type(error).__name__,
                place.filename,
                place.lineno,
            )


class BusListeners:
    """Those who listen, by channel. May be used from any thread.

    `vacated(channel)` is called, in the thread that did it and with no lock held, when the last listener of a channel
    has gone; there may be a new one by then (`on`).
    """

    def __init__(self, bounds: BusBounds, vacated: Callable[[str], None] | None = None) -> None:
        self._bounds = bounds
        self._vacated = vacated
        self._lock = Lock()
        self._closed = False
        self._on: dict[str, tuple[_Listener, ...]] = {}

    def add(self, channel: str, heard: Heard) -> Callable[[], None]:
        """One more, in the event loop that runs now. Gives what ends it. Raises `StoreClosed`."""
        listener = _Listener(heard, self._bounds)
        with self._lock:
            if self._closed:
                raise StoreClosed
            self._on[channel] = (*self._on.get(channel, ()), listener)

        def end() -> None:
            listener.end()
            self._forget_ended(channel)

        return end

    def on(self, channel: str) -> bool:
        """Whether anybody listens there."""
        with self._lock:
            return channel in self._on

    def channels(self) -> list[str]:
        """Where anybody listens."""
        with self._lock:
            return list(self._on)

    def tell(self, channel: str, data: bytes | None) -> bool:
        """Let everybody on the channel hear this, or that something is missing here (None).

        Gives whether one of them has half of its queue full: a publisher in the same loop does well to let it turn.
        Raises `StoreClosed`.
        """
        with self._lock:
            if self._closed:
                raise StoreClosed
            listeners = self._on.get(channel, ())
        crowded = False
        for listener in listeners:
            crowded = listener.put(data) or crowded
            if listener.ended:
                self._forget_ended(channel)
        return crowded

    def tell_all_of_a_gap(self) -> None:
        """Let everybody on every channel know that something may be missing here."""
        for channel in self.channels():
            self.tell(channel, None)

    def close(self) -> None:
        """Nobody hears anything any more; `add` and `tell` raise `StoreClosed`. May be called again."""
        with self._lock:
            self._closed = True
            listeners = [listener for each in self._on.values() for listener in each]
            self._on = {}
        for listener in listeners:
            listener.end()

    def _forget_ended(self, channel: str) -> None:
        with self._lock:
            before = self._on.get(channel, ())
            left = tuple(listener for listener in before if not listener.ended)
            if left:
                self._on[channel] = left
            else:
                self._on.pop(channel, None)
        if self._vacated is not None and before and not left:
            self._vacated(channel)
