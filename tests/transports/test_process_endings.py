"""How servers end: crashes, the ladder, descendants, cancellation; nothing is ever left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time

import pytest
import uvloop
from server_peer import (
    ECHO,
    GRANDCHILD,
    READY,
    SLEEPER,
    SPEAKER,
    STUBBORN,
    Peer,
    alive,
    children,
    descriptors,
    gone,
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
async def test_a_crash_is_known_at_once(number):
    peer = Peer()
    server = await peer.start(ECHO)
    os.kill(server.pid, number)
    await asyncio.wait_for(server.exited.wait(), 10)
    assert server.exit_status == -number
    await server.close()
    assert peer.exits == 1


async def test_what_was_written_before_the_end_is_delivered():
    peer = Peer()
    server = await peer.start("import sys; sys.stdout.write('{\"n\":1}\\n' * 20000 + '{\"last\":1}')")
    await asyncio.wait_for(server.exited.wait(), 10)
    assert len(peer.lines) == 20001
    assert peer.lines[-1] == b'{"last":1}'
    await server.close()


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-012", "R2511-TRANSPORT-STDIO-001")
@pytest.mark.parametrize(
    "code,status",
    [
        (READY + "import sys; sys.stdin.read(); sys.exit(5)", 5),
        ("import time;" + READY + "time.sleep(600)", -signal.SIGTERM),
        (STUBBORN + READY + "time.sleep(600)", -signal.SIGKILL),
    ],
    ids=["input ends", "sigterm", "sigkill"],
)
async def test_f55_the_ladder(code, status):
    peer = Peer()
    server = await peer.start(code)
    await peer.until(lambda: peer.lines)
    began = time.monotonic()
    await server.close(0.3)
    assert server.exit_status == status
    assert time.monotonic() - began < 5


async def test_f55_a_stopped_server_is_ended():
    peer = Peer()
    server = await peer.start(STUBBORN + READY + "time.sleep(600)")
    await peer.until(lambda: peer.lines)
    os.kill(server.pid, signal.SIGSTOP)
    await asyncio.wait_for(server.close(0.1), 10)
    assert server.exit_status == -signal.SIGKILL


async def test_a_stopped_server_may_still_end_by_itself():
    peer = Peer()
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7));" + READY + "time.sleep(600)"
    server = await peer.start(code)
    await peer.until(lambda: peer.lines)
    os.kill(server.pid, signal.SIGSTOP)
    await asyncio.wait_for(server.close(1), 10)
    assert server.exit_status == 7


@pytest.mark.parametrize("sleeper", [SLEEPER, SPEAKER], ids=["obedient", "stubborn"])
@pytest.mark.parametrize("end", ["sys.stdin.read()", "time.sleep(600)", "sys.exit(1)"])
async def test_f56_grandchildren_end_too(sleeper, end):
    """They hold the pipes, so nothing may wait for the pipes to end."""
    peer = Peer()
    server = await peer.start(GRANDCHILD % sleeper + end)
    await peer.until(lambda: any(b"pid" in line for line in peer.lines))
    grandchild = next(json.loads(line)["pid"] for line in peer.lines if b"pid" in line)
    if sleeper is SPEAKER and end != "sys.exit(1)":
        await peer.until(lambda: len(peer.lines) == 2)
    began = time.monotonic()
    await server.close(0.3)
    assert time.monotonic() - began < 6
    await gone(grandchild)
    assert peer.exits == 1


async def test_f56_grandchildren_of_a_crashed_server_end_without_close():
    peer = Peer()
    server = await peer.start(GRANDCHILD % SLEEPER + "time.sleep(600)")
    await peer.until(lambda: peer.lines)
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.wait_for(server.exited.wait(), 5)
    await gone(json.loads(peer.lines[0])["pid"])
    await server.close()


async def test_f56_a_descendant_out_of_reach_holds_nothing_up():
    peer = Peer()
    code = GRANDCHILD.replace("stdout=None", "start_new_session=True") % SLEEPER
    server = await peer.start(code)
    await peer.until(lambda: peer.lines)
    escaped = json.loads(peer.lines[0])["pid"]
    try:
        await asyncio.wait_for(server.exited.wait(), 5)
        began = time.monotonic()
        await server.close()
        assert time.monotonic() - began < 2
    finally:
        os.kill(escaped, signal.SIGKILL)


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-014")
async def test_a_server_that_closes_its_output_is_ended():
    peer = Peer()
    server = await peer.start("import os, time; os.close(1); time.sleep(600)")
    await asyncio.wait_for(server.exited.wait(), 15)
    assert server.exit_status == -signal.SIGTERM
    await server.close()


async def test_close_again_and_together():
    peer = Peer()
    server = await peer.start("import time; time.sleep(600)")
    await asyncio.wait_for(asyncio.gather(*(server.close(0.2) for _ in range(5))), 10)
    await server.close()
    assert peer.exits == 1


async def test_close_from_another_task_after_a_crash_in_a_third():
    peer = Peer()
    server = await asyncio.create_task(peer.start(ECHO))
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.create_task(server.close())
    assert server.exit_status == -signal.SIGKILL


async def test_a_cancelled_close_leaves_nothing():
    peer = Peer()
    server = await peer.start(STUBBORN + READY + "time.sleep(600)")
    await peer.until(lambda: peer.lines)
    before, began = descriptors(), time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await server.close(60)
    assert time.monotonic() - began < 3
    assert server.exit_status == -signal.SIGKILL
    assert descriptors() < before
    assert server.exited.is_set()


async def test_a_cancelled_start_leaves_nothing():
    before, known = descriptors(), children()
    for turns in range(12):
        task = asyncio.create_task(Peer().start(STUBBORN + "time.sleep(600)"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await task).close(0)
    assert children() <= known
    assert descriptors() <= before


def test_the_end_of_the_loop_ends_a_close_that_runs():
    pids = []

    async def scenario():
        peer = Peer()
        server = await peer.start(STUBBORN + READY + "time.sleep(600)")
        await peer.until(lambda: peer.lines)
        pids.append(server.pid)
        closing = asyncio.create_task(server.close(60))
        await asyncio.sleep(0)
        assert not closing.done()

    began = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - began < 10
    assert not alive(pids[0])


async def test_a_hundred_cycles_leave_nothing():
    async def cycle():
        peer = Peer()
        server = await peer.start(["/bin/cat"])
        await server.send(b'{"a":1}')
        await peer.until(lambda: peer.lines)
        await server.close()

    await cycle()
    before, known = descriptors(), children()
    for _ in range(25):
        await asyncio.gather(*(cycle() for _ in range(4)))
    assert descriptors() <= before
    assert children() <= known


def test_everything_on_uvloop():
    async def scenario():
        peer = Peer()
        server = await peer.start(GRANDCHILD % SPEAKER + ECHO)
        await peer.until(
            lambda: len(peer.lines) == 2
        )  # or the second is written into the midst of what comes back
        await server.send(b'{"a":"' + b"x" * 1_000_000 + b'"}')
        await peer.until(lambda: len(peer.lines) == 3)
        server.pause()
        server.resume()
        grandchild = next(json.loads(line)["pid"] for line in peer.lines if b"pid" in line)
        await server.close(0.2)
        assert server.exit_status == 0
        await gone(grandchild)
        stubborn = await Peer().start(STUBBORN + "time.sleep(600)")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stubborn.close(60)
        crashed = await Peer().start("import os; os.kill(os.getpid(), 9)")
        await asyncio.wait_for(crashed.exited.wait(), 10)
        assert crashed.exit_status == -9
        await crashed.close()

    # From its first loop on libuv keeps a pipe for signals, for as long as the process lives.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))
    before, known = descriptors(), children()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    assert children() <= known
    assert descriptors() <= before
