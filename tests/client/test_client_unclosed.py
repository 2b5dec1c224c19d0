"""A client that nobody closed is told of, once, and what it holds is let go; one that was closed says nothing."""

import asyncio
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from waiting import until

from dovetail import App
from dovetail.client import Client

Command = Callable[..., list[str]]
UNCLOSED = "unclosed client"


async def test_a_dropped_client_warns_and_lets_go_of_its_server(stateful: Command) -> None:
    client = await Client(stateful()).open()
    process: Any = client._connection.link.transport._process  # type: ignore[attr-defined]  # it is a process
    holders = [client]
    del client
    with pytest.warns(ResourceWarning, match=r"unclosed client of .*async with Client\(\.\.\.\) as client"):
        holders.clear()
    await process.exited.wait()


async def test_whoever_listens_may_go_on(stateful: Command) -> None:
    client = await Client(stateful()).open()
    connection = client._connection
    events = client.listen(tools=True)
    await events.open()
    holders = [client]
    del client
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        holders.clear()
    assert connection.states.current.state == "ready"
    await events.close()
    await connection.close()


async def give_up() -> None:
    client = Client([sys.executable, "-c", "import sys; sys.stdin.read()"], probe_timeout=30)
    opening = asyncio.create_task(client.open())
    await until(lambda: client._connection._link)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_a_closed_client_says_nothing(stateful: Command) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Client(stateful()):
            pass
        gc.collect()
        never_opened = Client(stateful())
        del never_opened
        failed = Client(["/nonexistent/program"])
        with pytest.raises(Exception, match="nonexistent"):
            await failed.open()
        del failed
        await give_up()
        gc.collect()


def test_a_loop_that_ends_first_warns_and_closes(stateful: Command) -> None:
    found: list[Any] = []

    async def leave_open() -> None:
        app = App("mine")
        for target in (stateful(), app):
            client = await Client(target).open()
            found.append(client)

    with pytest.warns(ResourceWarning, match="await client.close\\(\\) in its loop") as told:
        asyncio.run(leave_open())
    assert len(told) == 2
    assert [client.state for client in found] == ["closed", "closed"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.clear()
        gc.collect()


def test_a_dropped_blocking_client_warns_and_ends_its_thread(stateful: Command) -> None:
    client = Client.sync(stateful()).open()
    thread: Any = client._thread
    holders = [client]
    del client
    with pytest.warns(ResourceWarning, match="with Client.sync"):
        holders.clear()
    thread.join(10)
    assert not thread.is_alive()


SYNC = "client = Client.sync(target)\nclient.open()\n{close}\n"
ASYNC = """
async def main():
    global client
    client = Client(target)
    await client.open()
    {close}
asyncio.run(main())
"""
DROPPED = "Client.sync(target).open()\n{close}\n"
#: That a step took long on a busy machine is a warning of asyncio in its debug mode, and says nothing of the client.
HURRIED = 'import logging\nlogging.getLogger("asyncio").setLevel("ERROR")\n'
PROGRAM = """
import asyncio, sys
from dovetail import Client
target = sys.argv[1:]
{work}
print("done")
"""


@pytest.mark.parametrize("ways", ["sync", "async", "dropped"])
@pytest.mark.parametrize("told", [True, False])
def test_the_end_of_a_program(ways: str, told: bool, stateful: Command) -> None:
    """Told only to those who asked for warnings; nobody sees a traceback."""
    work = {"sync": SYNC, "async": ASYNC, "dropped": DROPPED}[ways].format(close="")
    program = [sys.executable, *(["-W", "always::ResourceWarning"] if told else [])]
    ended = subprocess.run(
        [*program, "-c", PROGRAM.format(work=work), *stateful()],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count(UNCLOSED) == (1 if told else 0)
    if not told:
        assert ended.stderr == ""


@pytest.mark.parametrize("ways", ["sync", "async"])
def test_the_end_of_a_program_that_closes(ways: str, stateful: Command) -> None:
    close = "client.close()" if ways == "sync" else "await client.close()"
    work = HURRIED + {"sync": SYNC, "async": ASYNC}[ways].format(close=close)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", PROGRAM.format(work=work), *stateful()],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


IN_FLIGHT = """
import asyncio
from dovetail import App, Client
app = App("busy")
@app.tool
async def slow() -> str:
    await asyncio.sleep(60)
    return ""
async def main():
    global client, call
    client = Client(app, revision={revision!r})
    await client.open()
    call = asyncio.create_task(client.call_tool("slow"))
    await asyncio.sleep(0.05)
asyncio.run(main())
"""


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_a_loop_that_ends_in_the_middle_of_a_call_shows_no_traceback(revision: str) -> None:
    """The loop cancels the call at the server's side first: that is no failure of the tool."""
    program = IN_FLIGHT.format(revision=revision)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "cut short" in done.stderr
