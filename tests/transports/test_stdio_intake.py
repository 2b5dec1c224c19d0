"""Lines taken in the callback that read them: in order, bounded, and with a turn for others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dovetail.protocol.bindings.lines import LineTooLong
from dovetail.protocol.errors import TransportError
from dovetail.transports.stdio import intake as stdio_intake
from dovetail.transports.stdio.descriptor_io import DescriptorReader
from dovetail.transports.stdio.intake import LineIntake
from dovetail.transports.stdio.threaded_io import ThreadedReader

READERS = pytest.mark.parametrize("kind", [DescriptorReader, ThreadedReader])


class Taker:
    """Takes lines; those in ``slow`` have to be awaited until the gate opens."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.over: list[bytes] = []
        self.oversize: list[LineTooLong] = []
        self.gate = asyncio.Event()
        self.waits = asyncio.Event()
        self.in_task: list[bool] = []

    def take(self, line: bytes) -> Awaitable[None] | None:
        self.taken.append(line)
        self.in_task.append(asyncio.current_task() is not None)
        if line.startswith(b"slow"):
            return self._slow(line)
        if line == b"broken":
            raise TransportError("as asked")
        return None

    async def _slow(self, line: bytes) -> None:
        self.waits.set()
        await self.gate.wait()
        self.over.append(line)


@asynccontextmanager
async def intake(
    kind: Any, taker: Taker, **options: Any
) -> AsyncIterator[tuple[int, asyncio.Task[None], Any]]:
    """An intake of a pipe; gives the end to write to, the task that runs it, and its reader."""
    read, write = os.pipe()
    reader = kind(read)
    made = LineIntake(options.get("max_line", 1000), taker.take, taker.oversize.append, None)
    task = asyncio.create_task(made.run(reader))
    try:
        yield write, task, reader
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, TransportError):
            await task
        reader.stop()
        with suppress(OSError):
            os.close(write)
        if isinstance(reader, ThreadedReader) and reader._thread is not None:
            reader._thread.join(10)
        os.close(read)


@READERS
async def test_lines_come_in_order_and_the_end_after_them(kind: Any) -> None:
    taker = Taker()
    async with intake(kind, taker) as (write, task, _):
        os.write(write, b"one\ntwo\r\n\nthr")
        os.write(write, b"ee\nlast without end")
        os.close(write)
        await asyncio.wait_for(task, 10)
    assert taker.taken == [b"one", b"two", b"three", b"last without end"]
    assert not any(taker.in_task), "each is taken where no task is running"


@READERS
async def test_what_has_to_be_awaited_holds_up_what_follows(kind: Any) -> None:
    taker = Taker()
    async with intake(kind, taker) as (write, task, _):
        os.write(write, b"a\nslow 1\nb\n")
        await asyncio.wait_for(taker.waits.wait(), 10)
        os.write(write, b"c\nslow 2\nd\n")
        os.close(write)
        assert taker.taken == [b"a", b"slow 1"]
        taker.gate.set()
        await asyncio.wait_for(task, 10)
    assert taker.taken == [b"a", b"slow 1", b"b", b"c", b"slow 2", b"d"]
    assert taker.over == [b"slow 1", b"slow 2"]
    assert not any(taker.in_task)


@READERS
async def test_while_something_is_awaited_little_is_read(kind: Any) -> None:
    """The pipe fills, and its writer waits: nothing piles up here."""
    taker = Taker()
    async with intake(kind, taker) as (write, task, _):
        os.write(write, b"slow\n")
        await asyncio.wait_for(taker.waits.wait(), 10)
        os.set_blocking(write, False)
        line, written = b"x" * 99 + b"\n", 0
        for _ in range(1000):
            with suppress(BlockingIOError):
                while True:
                    written += os.write(write, line * 600)
            await asyncio.sleep(0)
        assert written < 4 * stdio_intake._AHEAD + 2 * 1024 * 1024
        os.set_blocking(write, True)
        taker.gate.set()
        os.close(write)
        await asyncio.wait_for(task, 20)
    assert sum(len(each) + 1 for each in taker.taken[1:]) == pytest.approx(written, abs=100)


async def test_many_lines_at_once_leave_others_their_turn() -> None:
    taker, turns = Taker(), [0]
    async with intake(DescriptorReader, taker) as (write, task, _):
        loop = asyncio.get_running_loop()
        largest = 0

        def turn() -> None:
            nonlocal largest
            largest = max(largest, len(taker.taken) - turns[0])
            turns[0] = len(taker.taken)
            if not task.done():
                loop.call_soon(turn)

        turn()
        os.write(write, b"x\n" * 20_000)
        os.close(write)
        await asyncio.wait_for(task, 10)
    assert len(taker.taken) == 20_000
    assert largest <= 2 * stdio_intake._AT_ONCE


@READERS
async def test_a_line_that_is_too_long_is_told_and_the_others_are_taken(kind: Any) -> None:
    taker = Taker()
    async with intake(kind, taker, max_line=10) as (write, task, _):
        os.write(write, b"a\n" + b"x" * 50 + b"\nb\n")
        os.close(write)
        await asyncio.wait_for(task, 10)
    assert taker.taken == [b"a", b"b"]
    assert len(taker.oversize) == 1


@READERS
async def test_what_taking_raises_ends_it(kind: Any) -> None:
    taker = Taker()
    async with intake(kind, taker) as (write, task, _):
        os.write(write, b"a\nbroken\nb\n")
        with pytest.raises(TransportError, match="as asked"):
            await asyncio.wait_for(task, 10)
    assert taker.taken == [b"a", b"broken"]


async def test_stopping_ends_it_and_nothing_more_is_taken() -> None:
    taker = Taker()
    read, write = os.pipe()
    reader = DescriptorReader(read)
    made = LineIntake(1000, taker.take, None, None)
    task = asyncio.create_task(made.run(reader))
    await asyncio.sleep(0)
    os.write(write, b"half of a li")
    made.stop()
    await asyncio.wait_for(task, 10)
    reader.stop()
    assert taker.taken == []
    os.close(read)
    os.close(write)
