"""How much may go on at once: requests and event streams, counted for a whole endpoint.

Specification: none; whatever a client can open has a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .answering import Refusal

RETRY_SOON: Final = ((b"retry-after", b"1"),)


class Places:
    """Two counters and their limits. ``lasting`` is told of each stream, which may stay."""

    def __init__(self, max_requests: int, max_streams: int) -> None:
        self._max_requests = max_requests
        self._max_streams = max_streams
        self.requests = 0
        self.streams = 0
        self.lasting: Callable[[], None] | None = None

    def take_request(self) -> None:
        """Count one more request. Raises `Refusal` (503) beyond the limit."""
        if self.requests >= self._max_requests:
            raise Refusal(
                503, "the server has as many requests in progress as it takes; retry", headers=RETRY_SOON
            )
        self.requests += 1

    def leave_request(self) -> None:
        """A request is over."""
        self.requests -= 1

    def check_stream(self) -> None:
        """Raise `Refusal` (503) when there is no place for one more stream."""
        if self.streams >= self._max_streams:
            raise Refusal(503, "the server has as many streams open as it takes; retry", headers=RETRY_SOON)

    def take_stream(self) -> bool:
        """Count one more stream. False beyond the limit."""
        if self.streams >= self._max_streams:
            return False
        self.streams += 1
        if self.lasting is not None:
            self.lasting()
        return True

    def leave_stream(self) -> None:
        """A stream is over."""
        self.streams -= 1
