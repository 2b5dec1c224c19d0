"""From bytes to messages, in the callback of the loop that read them.

Theory of operation. Whoever takes a line does at once what needs no waiting, and gives what has to be awaited before
the next line. So most lines cost no task and no turn of the loop: a call that never waits is read, run and answered
between two waits for the pipe. Only what has to be awaited is awaited in the task that runs the intake; meanwhile lines
wait, and beyond a bound nothing more is read. Order is kept throughout.

Where several lines came at once, what is written for them leaves together. After so many lines others get their turn.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from ...protocol.bindings.lines import LineSplitter, LineTooLong
from .descriptor_io import CHUNK, DescriptorReader, DescriptorWriter
from .threaded_io import ThreadedReader

__all__ = ["LineIntake"]

_AT_ONCE: Final = 128
"""Lines taken in one turn of the loop."""

_AHEAD: Final = 2 * CHUNK
"""Bytes of lines that may wait before no more is read."""


class LineIntake:
    """Gives lines to ``take``, one after the other. ``on_oversize`` is told of a line over ``max_line`` bytes, which is
    dropped. ``writer``: where what is written may be gathered. ``begun``: whether it reads, or did.
    """

    def __init__(
        self,
        max_line: int,
        take: Callable[[bytes], Awaitable[None] | None],
        on_oversize: Callable[[LineTooLong], None] | None,
        writer: DescriptorWriter | None,
    ) -> None:
        self.begun = False
        self._splitter = LineSplitter(max_line)
        self._take = take
        self._on_oversize = on_oversize
        self._writer = writer
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._waiting = False
        self._reader: DescriptorReader | ThreadedReader | None = None
        self._next: asyncio.Future[Awaitable[None] | None] | None = None

    async def run(self, reader: DescriptorReader | ThreadedReader) -> None:
        """Take lines until the end of the stream. Raises what ``take`` raised, or what was awaited; `OSError` where the
        loop cannot watch what is to be read.
        """
        loop = asyncio.get_running_loop()
        self._reader = reader
        self._next = loop.create_future()
        reader.listen(self._read)
        self.begun = True
        try:
            while (rest := await self._next) is not None:
                self._next = loop.create_future()
                await rest
                # Not here: what is taken begins in a callback of the loop, where no task is running.
                loop.call_soon(self._go_on)
        finally:
            self.stop()
            reader.pause()

    def stop(self) -> None:
        """Take nothing more, and end `run`."""
        self._ended = self._waiting = True
        self._lines.clear()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    def _read(self, data: bytes) -> None:
        if data:
            try:
                lines = self._splitter.feed(data)
            except LineTooLong as problem:
                lines = problem.lines
                if self._on_oversize is not None:
                    self._on_oversize(problem)
        else:
            self._ended = True
            last = self._splitter.close()
            lines = [] if last is None else [last]
        if self._waiting or self._lines:
            self._keep(lines)
        elif len(lines) == 1 and not self._ended:
            self._take_one(lines[0])
        else:
            self._lines.extend(lines)
            self._work()

    def _keep(self, lines: list[bytes]) -> None:
        self._lines.extend(lines)
        self._bytes += sum(map(len, lines))
        if self._bytes >= _AHEAD and self._reader is not None:
            self._reader.pause()

    def _take_one(self, line: bytes) -> None:
        try:
            rest = self._take(line)
        except Exception as problem:  # noqa: BLE001 - raised by `run`
            self._fail(problem)
            return
        if rest is not None:
            self._wait_for(rest)

    def _work(self) -> None:
        """Take the lines that are there, some now and others a turn of the loop later."""
        lines, writer = self._lines, self._writer
        count = min(len(lines), _AT_ONCE)
        if writer is not None and count > 1:
            writer.gather()
        for _ in range(count):
            self._take_one(lines.popleft())
            if self._waiting:
                break
        if writer is not None and count > 1:
            writer.gathered(count)
        if self._waiting:
            return
        if lines:
            asyncio.get_running_loop().call_soon(self._go_on)
        elif self._ended and self._next is not None and not self._next.done():
            self._next.set_result(None)

    def _wait_for(self, rest: Awaitable[None]) -> None:
        self._waiting = True
        if self._next is not None and not self._next.done():
            self._next.set_result(rest)

    def _fail(self, problem: Exception) -> None:
        self._waiting = True
        if self._next is not None and not self._next.done():
            self._next.set_exception(problem)

    def _go_on(self) -> None:
        """What had to be awaited is over, or others had their turn."""
        if self._next is None or self._next.done():
            return
        self._waiting = False
        self._work()
        if not self._lines:
            self._bytes = 0
            if self._reader is not None and not self._ended:
                self._reader.watch()
