"""What goes back over ASGI: plain answers, refusals, event streams.

Every refusal is one exception, raised where the fault is seen and sent in one place, with a JSON-RPC error
for its body. An `EventWriter` is one open event stream: each event is one write, bounded in time, so that a
reader who never reads costs its own stream and nobody else's. Specification: 2026-07-28
basic/transports/streamable-http "Receiving Messages"; 2025-11-25 basic/transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from ...protocol import messages, names
from ...protocol.bindings.sse import comment
from ...protocol.errors import ConnectionLost, InvalidRequest, RPCError
from ...protocol.types.requests import RequestId

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
HeaderList = Sequence[tuple[bytes, bytes]]

JSON: Final = (b"content-type", names.MEDIA_JSON.encode())
STREAM: Final = (
    (b"content-type", names.MEDIA_SSE.encode()),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class Refusal(Exception):
    """A request that is not served: the HTTP status, and the JSON-RPC error of the body (under ``id``, if one
    is known).
    """

    def __init__(
        self,
        status: int,
        problem: RPCError | str,
        *,
        id: RequestId | None = None,
        headers: HeaderList = (),
        body: bytes | None = None,
    ) -> None:
        self.problem = InvalidRequest(problem) if isinstance(problem, str) else problem
        super().__init__(f"{status}: {self.problem.message}")
        self.status = status
        self.id = id
        self.headers = headers
        self.body = body

    def render(self) -> bytes:
        """The body of the answer."""
        return messages.error(self.id, self.problem) if self.body is None else self.body


async def answer(send: Send, status: int, body: bytes, extra: HeaderList = ()) -> None:
    """A whole answer: JSON, or nothing at all."""
    length = (b"content-length", b"%d" % len(body))
    headers = [JSON, length, *extra] if body else [length, *extra] if status != 204 else list(extra)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class EventWriter:
    """One event stream on its way to one client.

    ``limit`` is how long one write may wait for the client to read, in seconds: writes raise
    `ConnectionLost` after that. ``interval`` is after how many seconds of silence a comment keeps the
    connection alive; ``alive`` is called as often.
    """

    def __init__(
        self,
        send: Send,
        extra: HeaderList,
        *,
        limit: float,
        interval: float,
        alive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._send = send
        self._extra = extra
        self._limit = limit
        self._interval = interval
        self._alive = alive
        self._lock = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None
        self._written = 0
        self.broken = False

    async def start(self, first: bytes = b"") -> None:
        """Send the head of the answer, and its first event."""
        await self._pass({"type": "http.response.start", "status": 200, "headers": [*STREAM, *self._extra]})
        # An empty write would tell nothing; with chunks it would even look like the end.
        if first:
            await self.write(first)
        self._beating = asyncio.create_task(self._beat())

    async def write(self, data: bytes) -> None:
        """Send one whole event."""
        self._written += 1
        await self._pass({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last event, if any, and end the stream."""
        async with self._lock:
            self.close()
        await self._pass({"type": "http.response.body", "body": data, "more_body": False})

    def close(self) -> None:
        """Send no more comments. Idempotent."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat(self) -> None:
        try:
            while True:
                before = self._written
                await asyncio.sleep(self._interval)
                if self._alive is not None:
                    await self._alive()
                if self._written == before:
                    await self._pass({"type": "http.response.body", "body": comment(), "more_body": True})
        except ConnectionLost:
            return

    async def _pass(self, event: Event) -> None:
        async with self._lock:
            if self.broken:
                raise ConnectionLost("the client stopped reading")
            try:
                async with asyncio.timeout(self._limit):
                    await self._send(event)
            except (TimeoutError, OSError):
                self.broken = True
                raise ConnectionLost("the client stopped reading") from None
            except asyncio.CancelledError:
                self.broken = True  # whatever came next might not be whole
                raise
