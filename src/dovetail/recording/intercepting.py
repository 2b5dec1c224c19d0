"""What stands in a relay and decides about what passes: it may hold it back, change it, or answer in its place.

Theory of operation. A relay without an interceptor passes bytes on as they come and never looks into them. With one, a
`PipeRelay` hands it each whole line, and only what it sends goes anywhere; an `HTTPRelay` hands it each request,
together with the function that passes a request on, and gives its client the response that it makes. What is recorded
stays what client and server said themselves; an interceptor notes what it did by `CaptureLink.fault`.

An interceptor may be put into a relay and taken out while that runs (``relay.interceptor``).

Specification: none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..capture.lines import Sender
from ..capture.writing import CaptureLink

__all__ = [
    "Forward",
    "HTTPInterceptor",
    "PipeInterceptor",
    "RelayedPipe",
    "RelayedRequest",
    "RelayedResponse",
]


class RelayedPipe(Protocol):
    """The two ends of a `PipeRelay`, as its interceptor uses them; from any thread. ``link``: where it is recorded."""

    @property
    def link(self) -> CaptureLink:
        """What is recorded of this connection."""
        ...

    def send(self, to: Sender, data: bytes) -> None:
        """Write bytes to the client or the server, all of them. Raises OSError where that end is closed."""
        ...

    def close(self, to: Sender) -> None:
        """Close one end: the client or the server reads the end of its input. Idempotent."""
        ...


class PipeInterceptor(Protocol):
    """What decides about the lines of a `PipeRelay`. Each direction has a thread of its own that calls it."""

    def message(self, sender: Sender, line: bytes, pipe: RelayedPipe) -> None:
        """A line came from ``sender``, with its line end. Nothing is passed on but by ``pipe.send``. Whoever takes its
        time holds up this direction. An OSError ends the direction, as if the other end had gone; any other error is
        logged, and the line passed on as it is.
        """
        ...

    def ended(self, sender: Sender, pipe: RelayedPipe) -> None:
        """Nothing more comes from ``sender``: what is held back has to go now, before this returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedRequest:
    """A request on its way through an `HTTPRelay`. ``target``: path and query; ``headers``: as the client sent them,
    but for those of its connection. ``link``, ``exchange``: what it is recorded as.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    link: CaptureLink
    exchange: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedResponse:
    """A response on its way back. ``body``: its bytes as they come, without compression; it raises `ConnectionLost`
    where the server breaks off. It is closed when the client has it all, or has left.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: AsyncGenerator[bytes]


Forward = Callable[[RelayedRequest], Awaitable[RelayedResponse]]
"""Passes a request on. Raises `ConnectFailed` and `ConnectionLost`."""


class HTTPInterceptor(Protocol):
    """What decides about the requests of an `HTTPRelay`, as a callable."""

    async def __call__(self, request: RelayedRequest, forward: Forward) -> RelayedResponse:
        """Give the response that the client gets: of ``forward(request)``, or one of its own. Raises
        ConnectionResetError, also from the body, to break the client's connection off. Cancelled when that leaves.
        """
        ...
