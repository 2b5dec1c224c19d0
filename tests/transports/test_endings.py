"""F67: one signal ends a server within its limit, whatever its tools and its lifespan do; calls that can finish do.

Each test is a real process. Nothing here waits for time to pass: a server that did not end would run into the test's
own limit. Follows: basic/lifecycle "Shutdown".
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, cast

import pytest
from ending_peers import TRANSPORTS, Lines, peer, process

from dovetail.runtime.shutdown import OVERDUE

EVERYWHERE = pytest.mark.parametrize("transport", TRANSPORTS)
#: Seconds after which something that goes round and round has not happened: the time-out of a test cannot stop it.
PATIENCE = 40.0
SHORT = {"drain": 1.0}


@EVERYWHERE
async def test_f67_a_sync_tool_that_blocks_keeps_no_server(transport: str, tmp_path: Path) -> None:
    async with peer(transport, tmp_path, options=SHORT) as one:
        await one.begin("block")
        await one.server.until("note: block")
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == 0
        assert one.server.said("calls in progress: tools/call 'block'") or one.server.said(
            "requests in progress: tools/call 'block'"
        )
        assert one.server.said("the process ends while these still run: block")
        assert one.server.notes[-2:] == ["left", "returned"]


@EVERYWHERE
async def test_f67_a_handler_that_swallows_its_cancellation_keeps_no_server(
    transport: str, tmp_path: Path
) -> None:
    async with peer(transport, tmp_path, options=SHORT) as one:
        await one.begin("swallow")
        await one.server.until("note: swallow")
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == OVERDUE
        assert one.server.said(f"with status {OVERDUE}. Calls in progress: tools/call 'swallow'")
        assert "left" in one.server.notes, "the lifespan ends in good order first"


@EVERYWHERE
async def test_f67_a_handler_that_blocks_the_loop_keeps_no_server(transport: str, tmp_path: Path) -> None:
    async with peer(transport, tmp_path, options=SHORT) as one:
        await one.begin("stuck")
        await one.server.until("note: stuck")
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == OVERDUE
        assert one.server.said("Calls in progress: tools/call 'stuck'")


@EVERYWHERE
@pytest.mark.parametrize("end", ["hang", "swallow"])
async def test_f67_a_lifespan_that_does_not_end_keeps_no_server(
    transport: str, end: str, tmp_path: Path
) -> None:
    # What is cancelled has a twentieth of the time to note it.
    async with peer(transport, tmp_path, options={"drain": 3.0}, end=end) as one:
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == (0 if end == "hang" else OVERDUE)
        assert one.server.said("the lifespan did not end within")
        assert one.server.notes[1:3] == ["leaving", "cancelled"]


@EVERYWHERE
async def test_f67_a_lifespan_that_does_not_start_keeps_no_server(transport: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {**SHORT}
    if transport != "stdio":
        options.update({"unix": {"path": str(tmp_path / "s")}, "http": {"port": 0}}[transport])
    async with process(transport, options=options, start="hang") as server:
        await server.until("starting")
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0


@EVERYWHERE
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_calls_in_progress_finish_and_new_ones_are_refused(
    transport: str, number: int, tmp_path: Path
) -> None:
    async with peer(transport, tmp_path, options={"drain": 60.0}) as one:
        first = None
        if one.lines is not None:
            one.lines.call("wait")
            await one.server.until("note: wait")
            one.server.signal(number)
            await refused(one.lines)
        else:
            first = await one.begin("wait")
            await one.server.until("note: wait")
            one.server.signal(number)
            assert one.prober is not None
            await closed(one.prober.port)
        one.server.signal(signal.SIGUSR1)
        answer: dict[str, Any] = await (first or cast("Any", one.lines).next())
        assert answer["result"]["content"][0]["text"] == "waited"
        assert await one.server.ended() == 0
        assert one.server.notes[-3:] == ["leaving", "left", "returned"]


async def refused(lines: Lines) -> None:
    """Call until it is refused: nobody tells when the signal has come."""
    async with asyncio.timeout(PATIENCE):
        while True:
            lines.call("pid")
            answer = await lines.next()
            assert answer is not None
            if "error" in answer:
                assert "shutting down" in answer["error"]["message"]
                break


async def closed(port: int) -> None:
    """Connect until that is refused."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()


async def test_work_in_a_thread_is_not_cut_off_while_there_is_time(tmp_path: Path) -> None:
    """A client that cancels a call stops neither its thread nor what the thread does."""
    async with peer("stdio", tmp_path, options={"drain": 60.0}) as one:
        assert one.lines is not None
        id = one.lines.call("work")
        await one.server.until("note: work")
        one.lines.say(method="notifications/cancelled", params={"requestId": id})
        one.lines.writer.close()
        await one.server.until("note: returned")
        one.server.signal(signal.SIGUSR1)
        assert await one.server.ended() in (0, -signal.SIGUSR1)


# A second signal, several processes


@EVERYWHERE
async def test_a_second_signal_ends_now(transport: str, tmp_path: Path) -> None:
    async with peer(transport, tmp_path, options={"drain": 1000.0}) as one:
        await one.begin("hang")
        await one.server.until("note: hang")
        one.server.signal(signal.SIGTERM)
        if one.lines is not None:
            one.tasks.pop().cancel()
            await asyncio.sleep(0)
            await refused(one.lines)
        else:
            assert one.prober is not None
            await closed(one.prober.port)
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == 0


async def test_f67_workers_end_within_the_limit_too(tmp_path: Path) -> None:
    options = {**SHORT, "workers": 2, "sessions": False}
    async with peer("http", tmp_path, options=options) as one:
        await one.server.until("entered", 2)
        for tool in ("block", "swallow"):
            await one.begin(tool)
            await one.server.until(f"note: {tool}")
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == 0, "standard error is closed, so all workers are gone"
        assert one.server.said("did not end in good order")


async def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    options = {"workers": 2, "sessions": False}
    async with peer("http", tmp_path, options=options) as one:
        await one.server.until("entered", 2)
        for mishap in range(1, 4):
            answer = await (await one.begin("pid"))
            victim = int(answer["result"]["content"][0]["text"])
            assert victim != one.server.process.pid
            os.kill(victim, signal.SIGKILL)
            line = await one.server.until(f"worker {victim} was killed by SIGKILL")
            assert line.endswith(f"starts in {0 if mishap == 1 else 0.5 * 2 ** (mishap - 1):g} seconds")
            await one.server.until("entered", 2 + mishap)
        assert "result" in await (await one.begin("pid"))
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == 0
        assert one.server.notes.count("left") == 2


async def test_f57_workers_whose_parent_is_killed_end_in_good_order(tmp_path: Path) -> None:
    options = {"workers": 2, "sessions": False}
    async with peer("http", tmp_path, options=options) as one:
        await one.server.until("entered", 2)
        waiting = await one.begin("wait")
        await one.server.until("note: wait")
        one.server.signal(signal.SIGKILL)
        assert one.prober is not None
        await closed(one.prober.port)
        for line in [note for note in one.server.notes if note.startswith("entered")]:
            try:
                os.kill(int(line.split()[1]), signal.SIGUSR1)
            except ProcessLookupError:
                continue
        assert (await waiting)["result"]["content"][0]["text"] == "waited"
        await one.server.ended()
        assert one.server.notes.count("left") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_whole_group_is_one_signal(number: int, tmp_path: Path) -> None:
    """As a terminal or a service manager sends it; the parent's word must not count as a second one."""
    options = {"workers": 2, "sessions": False, "drain": 60.0}
    async with peer("http", tmp_path, session=True, options=options) as one:
        await one.server.until("entered", 2)
        waiting = await one.begin("wait")
        await one.server.until("note: wait")
        os.killpg(one.server.process.pid, number)
        assert one.prober is not None
        await closed(one.prober.port)
        for line in [note for note in one.server.notes if note.startswith("entered")]:
            try:
                os.kill(int(line.split()[1]), signal.SIGUSR1)
            except ProcessLookupError:
                continue
        assert (await waiting)["result"]["content"][0]["text"] == "waited"
        assert await one.server.ended() == 0


async def test_workers_that_do_not_start_are_not_started_for_ever(tmp_path: Path) -> None:
    options = {"workers": 2, "sessions": False, "port": 0}
    async with process("http", options=options, start="fail") as server:
        assert await server.ended() == 1
        assert server.said("AddressUnavailable: the server did not start")
        assert not server.said("killing"), "a worker that ended together with another was waited for"
