"""Event streams as whole events, byte for byte; and bodies that come slowly, or in another order.

Specification: WHATWG HTML, "Server-sent events", "Interpreting an event stream".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final

from .faults import Drip

__all__ = ["HeldStream", "drip", "event_data", "events", "with_data"]

_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_LONGEST: Final = 64 * 1024 * 1024


async def events(body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """A stream as its events, each with the blank line that ends it; what follows the last one as it is, and what is
    longer than 64 MiB in pieces.
    """
    rest = b""
    async for chunk in body:
        rest += chunk
        at = 0
        while found := _END.search(rest, at):
            yield rest[at : found.end()]
            at = found.end()
        rest = rest[at:]
        if len(rest) > _LONGEST:
            yield rest
            rest = b""
    if rest:
        yield rest


def event_data(event: bytes) -> bytes:
    """The data of an event; empty for one that has none, such as a comment."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(lines)


def with_data(event: bytes, data: bytes) -> bytes:
    """The event with other data; its other fields stay."""
    fields = [line for line in _LINE.split(event) if line and not line.startswith(b"data:")]
    return b"\n".join([*fields, *(b"data: " + line for line in _LINE.split(data)), b"", b""])


async def drip(data: bytes, slow: Drip | None) -> AsyncGenerator[bytes]:
    """Bytes at once, or in pieces with pauses between them."""
    if slow is None:
        yield data
        return
    for at in range(0, len(data), slow.bytes):
        if at:
            await asyncio.sleep(slow.seconds)
        yield data[at : at + slow.bytes]


class HeldStream:
    """A stream of which events can be held back: ``read`` gives each as it comes, and those that were held back when it
    is their turn (then it is not new). At the end all that is held back comes.
    """

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._held: list[tuple[bytes, int, float]] = []
        self._passed = 0

    def hold(self, event: bytes, behind: int, seconds: float) -> None:
        """Give an event back after so many others have passed (0: any number), or after that time."""
        turn = self._passed + behind if behind else -1
        self._held.append((event, turn, asyncio.get_running_loop().time() + seconds))

    def passed(self) -> None:
        """An event has passed."""
        self._passed += 1

    async def read(self) -> AsyncGenerator[tuple[bytes, bool]]:
        """The events, each with whether it is new. Once."""
        coming: asyncio.Task[bytes] | None = None
        try:
            while True:
                for each in self._due():
                    yield each, False
                if coming is None:
                    coming = asyncio.create_task(_next(self._source))
                await asyncio.wait({coming}, timeout=self._patience())
                if coming.done():
                    task, coming = coming, None
                    try:
                        event = task.result()
                    except StopAsyncIteration:
                        break
                    yield event, True
            for event, _, _ in self._held:
                yield event, False
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await coming

    def _due(self) -> list[bytes]:
        now = asyncio.get_running_loop().time()
        due = [each for each in self._held if 0 <= each[1] <= self._passed or each[2] <= now]
        self._held = [each for each in self._held if each not in due]
        return [event for event, _, _ in due]

    def _patience(self) -> float | None:
        """Seconds until the first event is due by time."""
        if not self._held:
            return None
        return max(0.0, min(due for _, _, due in self._held) - asyncio.get_running_loop().time())


async def _next(source: AsyncIterator[bytes]) -> bytes:
    return await anext(source)
