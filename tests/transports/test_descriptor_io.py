"""Reading and writing descriptors: whole frames, in order, bounded, without blocking the loop."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
import uvloop

from dovetail.protocol.errors import TransportError
from dovetail.transports.stdio import descriptor_io
from dovetail.transports.stdio.descriptor_io import DescriptorReader, DescriptorWriter, PeerGone
from dovetail.transports.stdio.streams import StdioStreams
from dovetail.transports.stdio.threaded_io import ThreadedReader, ThreadedWriter


@contextmanager
def pipe():
    """A pipe's two ends, closed at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):
                os.close(end)


@pytest.fixture(params=["own", "cautious", "socket"])
def channel(request, monkeypatch):
    """A writer and the descriptor to read from, for each way of writing."""
    if request.param == "cautious":
        genuine = os.open

        def refuse(path, *arguments, **options):
            if str(path).startswith("/proc/self/fd"):
                raise OSError(errno.EACCES, "no")
            return genuine(path, *arguments, **options)

        monkeypatch.setattr(os, "open", refuse)
    if request.param == "socket":
        ours, theirs = socket.socketpair()
        read, write = ours.detach(), theirs.detach()
    else:
        read, write = os.pipe()
    writer = DescriptorWriter(write)
    assert (writer._cautious, writer._own is not None, writer._socket is not None) == {
        "own": (False, True, False),
        "cautious": (True, False, False),
        "socket": (False, False, True),
    }[request.param]
    yield writer, read
    writer.close()
    for descriptor in (read, write):
        with suppress(OSError):
            os.close(descriptor)


def hold(writer: DescriptorWriter) -> None:
    """What is written now and in the next two turns of the loop is to leave together."""
    writer.gather()
    writer.gathered(10**6)


async def collect(descriptor: int, count: int) -> bytes:
    """Read ``count`` bytes by way of the loop."""
    reader = DescriptorReader(descriptor)
    data = bytearray()
    while len(data) < count:
        chunk = await asyncio.wait_for(reader.read(), 10)
        assert chunk
        data += chunk
    reader.stop()
    return bytes(data)


async def test_many_writers_frames_of_all_sizes_whole_and_in_order(channel):
    writer, read = channel
    sizes = [1, 100, 4095, 4096, 4097, 65_536, 300_000]

    async def send(name: int) -> None:
        for number, size in enumerate(sizes * 2):
            await writer.write(b"%d %d " % (name, number) + b"x" * size + b"\n")

    total = sum(len(b"%d %d " % (n, k)) + s + 1 for n in range(10) for k, s in enumerate(sizes * 2))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        reading = group.create_task(collect(read, total))
        for name in range(10):
            group.create_task(send(name))
    seen: dict[bytes, list[int]] = {}
    for line in reading.result().splitlines():
        name, number, fill = line.split(b" ")
        assert len(fill) == (sizes * 2)[int(number)]
        assert fill == b"x" * len(fill)
        seen.setdefault(name, []).append(int(number))
    assert len(seen) == 10
    assert all(numbers == list(range(len(sizes) * 2)) for numbers in seen.values())


async def test_writing_never_blocks_the_loop(channel):
    """Nobody reads: the writer waits, the loop goes on."""
    writer, read = channel
    task = asyncio.create_task(writer.write(b"x" * 5_000_000))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    assert await collect(read, 5_000_000) == b"x" * 5_000_000
    await asyncio.wait_for(task, 10)


async def test_a_cancelled_writer_never_leaves_half_a_frame(channel):
    writer, read = channel
    begun = asyncio.create_task(writer.write(b"A" * 3_000_000 + b"\n"))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(writer.write(b"B" * 10 + b"\n")) for _ in range(3)]
    last = asyncio.create_task(writer.write(b"C\n"))
    await asyncio.sleep(0)
    for task in (begun, waiting[0], waiting[2]):
        task.cancel()
    await asyncio.wait([begun, waiting[0], waiting[2]])
    assert await collect(read, 3_000_001 + 11 + 2) == b"A" * 3_000_000 + b"\n" + b"B" * 10 + b"\nC\n"
    await asyncio.wait_for(asyncio.gather(waiting[1], last), 10)


async def test_the_reader_leaves_while_writers_wait(channel):
    writer, read = channel
    tasks = [asyncio.create_task(writer.write(b"x" * 3_000_000)) for _ in range(3)]
    await asyncio.sleep(0)
    os.close(read)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert [type(outcome) for outcome in outcomes] == [PeerGone] * 3
    with pytest.raises(PeerGone):
        await writer.write(b"x")


async def test_closing_ends_waiting_writers(channel):
    writer, _ = channel
    task = asyncio.create_task(writer.write(b"x" * 3_000_000))
    await asyncio.sleep(0)
    writer.close()
    with pytest.raises(PeerGone):
        await asyncio.wait_for(task, 10)


async def test_gathered_frames_leave_together_and_in_order(channel):
    """Small ones are held and their writers go on; a large one drives them out before itself."""
    writer, read = channel
    frames = [b"%d\n" % number for number in range(100)]
    frames[60] = b"x" * 200_000 + b"\n"
    hold(writer)
    for frame in frames[:60]:
        await writer.write(frame)
    tasks = [asyncio.create_task(writer.write(frame)) for frame in frames[60:]]
    assert await collect(read, sum(map(len, frames))) == b"".join(frames)
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_frames_that_all_came_at_once_leave_at_once(channel):
    writer, read = channel
    os.set_blocking(read, False)
    writer.gather()
    for _ in range(3):
        assert writer.put(b"x\n") is None
    with pytest.raises(BlockingIOError):
        os.read(read, 100)
    writer.gathered(3)
    assert os.read(read, 100) == b"x\n" * 3


async def test_what_is_put_has_its_place_in_the_line_before_it_is_awaited(channel):
    writer, read = channel
    parts = [b"A" * 3_000_000, b"B" * 10, b"C" * 100_000]
    rests = [writer.put(part) for part in parts]
    assert None not in rests
    reading = asyncio.create_task(collect(read, sum(map(len, parts))))
    for rest in reversed(rests):
        await asyncio.wait_for(rest, 10)
    assert await reading == b"".join(parts)


async def test_what_is_held_is_bounded(channel):
    """Nobody reads: no more than a few frames are taken from writers that do not wait."""
    writer, read = channel
    frame = b"x" * 4000
    tasks: list[asyncio.Task[None]] = []
    for _ in range(100):
        hold(writer)
        tasks += [asyncio.create_task(writer.write(frame)) for _ in range(10)]
        await asyncio.sleep(0)
    done = sum(task.done() for task in tasks)
    if writer._socket is None:
        assert done * len(frame) <= fcntl.fcntl(writer._target, fcntl.F_GETPIPE_SZ) + descriptor_io._HELD
    assert done < 1000
    assert len(await collect(read, 1000 * len(frame))) == 1000 * len(frame)
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_nothing_is_held_for_longer_than_a_moment(channel, monkeypatch):
    """One answer that takes long does not hold up those before it; two turns of the loop end it in any case."""
    writer, read = channel
    os.set_blocking(read, False)
    monkeypatch.setattr(descriptor_io, "_MOMENT", -1.0)
    hold(writer)
    await writer.write(b"early\n")
    assert os.read(read, 100) == b"early\n"
    monkeypatch.setattr(descriptor_io, "_MOMENT", 60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hold(writer)
    await writer.write(b"late\n")
    with pytest.raises(BlockingIOError):
        os.read(read, 100)
    for _ in range(3):
        await asyncio.sleep(0)
    assert os.read(read, 100) == b"late\n"


async def test_flushing_waits_for_what_no_writer_waits_for(channel):
    writer, read = channel
    frames = (b"%d " % number + b"x" * 5000 + b"\n" for number in range(1000))
    written = b""
    task = asyncio.create_task(asyncio.sleep(0))
    while not written or task.done():
        hold(writer)
        frame = next(frames)
        written += frame
        task = asyncio.create_task(writer.write(frame))
        await asyncio.sleep(0)
    flushed = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    assert not flushed.done()
    assert await collect(read, len(written)) == written
    await asyncio.wait_for(flushed, 10)
    await task
    await writer.flush()


async def test_whoever_comes_next_hears_that_held_frames_found_nobody(channel):
    writer, read = channel
    hold(writer)
    await writer.write(b"for nobody\n")
    os.close(read)
    with pytest.raises(PeerGone):
        await writer.flush()
    with pytest.raises(PeerGone):
        await writer.write(b"x")


async def test_closing_sends_what_is_held(channel):
    writer, read = channel
    hold(writer)
    await writer.write(b"last words\n")
    writer.close()
    assert os.read(read, 100) == b"last words\n"


async def test_a_large_frame_gets_a_larger_pipe():
    with pipe() as (read, write):
        writer = DescriptorWriter(write)
        small = fcntl.fcntl(write, fcntl.F_GETPIPE_SZ)
        await writer.write(b"x" * 1000)
        assert fcntl.fcntl(write, fcntl.F_GETPIPE_SZ) == small
        task = asyncio.create_task(writer.write(b"x" * 400_000))
        await collect(read, 401_000)
        await task
        assert fcntl.fcntl(write, fcntl.F_GETPIPE_SZ) > small
        writer.close()


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_slow_consumer_holds_the_peer_up(factory):
    async def scenario():
        with pipe() as (read, write):
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 65_536)
            os.set_blocking(write, False)
            streams = StdioStreams(os.dup(read), None)
            lines = streams.lines()
            block = b"x" * 99 + b"\n"
            sent = 0
            os.write(write, block)
            assert await anext(lines) == block[:-1]
            for _ in range(50):
                with suppress(BlockingIOError):
                    while True:
                        sent += os.write(write, block * 40)
                await asyncio.sleep(0)
            assert sent < 1_500_000
            os.close(write)
            rest = sum([len(line) + 1 async for line in lines])
            assert rest == sent
            streams.release()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())


async def test_a_line_over_the_bound_is_reported_and_the_next_is_fine():
    with pipe() as (read, write):
        streams = StdioStreams(os.dup(read), None, max_line=1_000_000)
        errors = []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def feed():
            with os.fdopen(os.dup(write), "wb") as file:
                file.write(b'{"a":1}\n')
                for _ in range(2048):
                    file.write(b"x" * 65_536)
                file.write(b'\n{"b":2}\n')
            os.close(write)

        thread = threading.Thread(target=feed)
        thread.start()
        assert [line async for line in streams.lines(errors.append)] == [b'{"a":1}', b'{"b":2}']
        thread.join()
        assert [error.limit for error in errors] == [1_000_000]
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
        streams.release()


async def test_one_reader_at_a_time():
    for kind in (DescriptorReader, ThreadedReader):
        with pipe() as (read, write):
            reader = kind(read)
            task = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one reader"):
                await reader.read()
            reader.stop()
            assert await asyncio.wait_for(task, 10) == b""
            os.close(write)
            if isinstance(reader, ThreadedReader):
                join(reader)


def join(part: ThreadedReader | ThreadedWriter) -> None:
    """Wait for the thread: its descriptor must not be reused while it might still use it."""
    assert part._thread is not None
    part._thread.join(10)
    assert not part.busy


async def test_threads_read_with_bounds_and_write_in_order():
    with pipe() as (read, write):
        reader, writer = ThreadedReader(read), ThreadedWriter(write)
        frames = [b"%d " % number * 20_000 for number in range(30)]
        data = bytearray()

        async def take():
            while len(data) < sum(map(len, frames)):
                data.extend(await reader.read())

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(take())
            for frame in frames:
                group.create_task(writer.write(frame))
        assert bytes(data) == b"".join(frames)
        os.close(write)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        join(reader)
        writer.close()
        join(writer)
    with pipe() as (read, write):
        writer = ThreadedWriter(write)
        os.close(read)
        with pytest.raises(PeerGone):
            await writer.write(b"x")
        writer.close()
        join(writer)
        with pytest.raises(PeerGone):
            await writer.write(b"x")


async def test_a_threaded_writer_that_is_closed_lets_its_writers_go_though_nobody_reads():
    with pipe() as (read, write):
        writer = ThreadedWriter(write)
        waiting = [asyncio.create_task(writer.write(b"x" * 5_000_000)) for _ in range(3)]
        await asyncio.wait_for(writer.crowded(), 10)
        assert writer.waiting
        assert await collect(read, 1)  # it has begun to write, and the pipe takes no more
        writer.close(PeerGone("enough"))
        for each in waiting:
            with pytest.raises(PeerGone, match="enough"):
                await asyncio.wait_for(each, 10)
        assert writer.busy, "the thread is still in its write"
        os.close(read)
        join(writer)


async def test_a_cancelled_threaded_write_is_still_whole():
    with pipe() as (read, write):
        writer = ThreadedWriter(write)
        task = asyncio.create_task(writer.write(b"A" * 1_000_000))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        after = asyncio.create_task(writer.write(b"B"))
        assert await collect(read, 1_000_001) == b"A" * 1_000_000 + b"B"
        await asyncio.wait_for(after, 10)
        writer.close()
        join(writer)


def test_other_write_errors_name_their_cause():
    assert isinstance(descriptor_io.gone(OSError(errno.EPIPE, "x")), PeerGone)
    full = descriptor_io.gone(OSError(errno.ENOSPC, "No space left on device"))
    assert type(full) is TransportError
    assert "No space left" in str(full)
