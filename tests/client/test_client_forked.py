"""A child that is forked off a process with an open client is told at once; the parent's client goes on."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

Command = Callable[..., list[str]]
#: What asyncio's own finalizer of a process says where the interpreter closed the loop before it (since 3.12).
FINALIZER = re.compile(
    r"Exception ignored in: <function BaseSubprocessTransport\.__del__ .*?RuntimeError: Event loop is closed\n",
    re.S,
)

BLOCKING = """
import os, sys
from dovetail import Client
client = Client.sync({command!r})
client.open()
child = os.fork()
if not child:
    for use in (client.ping, lambda: client.call_tool("echo", {{"text": "x"}}), client.open):
        try:
            use()
        except Exception as problem:
            print("told:", type(problem).__name__, problem, flush=True)
    {end}
print("child:", os.waitpid(child, 0)[1], flush=True)
print("parent:", client.call_tool("echo", {{"text": "still here"}}).text, flush=True)
client.close()
"""
ASYNC = """
import asyncio, os, sys
from dovetail import Client
client = Client({command!r})
async def use():
    await client.call_tool("echo", {{"text": "x"}})
loop = asyncio.new_event_loop()
loop.run_until_complete(client.open())
child = os.fork()
if not child:
    for work in (use, client.open, client.ping):
        try:
            asyncio.run(work())
        except Exception as problem:
            print("told:", type(problem).__name__, problem, flush=True)
    asyncio.run(client.close())
    {end}
print("child:", os.waitpid(child, 0)[1], flush=True)
async def rest():
    print("parent:", (await client.call_tool("echo", {{"text": "still here"}})).text, flush=True)
    await client.close()
loop.run_until_complete(rest())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
"""
OWN = """
import os
from dovetail import Client
unopened = Client.sync({command!r})
with Client.sync({command!r}) as client:
    child = os.fork()
    if not child:
        with Client.sync({command!r}) as own:
            print(own.call_tool("echo", {{"text": "child"}}).text, flush=True)
        with unopened:
            print(unopened.call_tool("echo", {{"text": "unopened"}}).text, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(client.call_tool("echo", {{"text": "parent"}}).text, flush=True)
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "client.close(); sys.exit(0)"])
@pytest.mark.parametrize("program", [BLOCKING, ASYNC], ids=["blocking", "async"])
def test_a_forked_child_is_told_at_once(program: str, end: str, stateful: Command) -> None:
    if program is ASYNC and "close" in end:
        end = "del client; sys.exit(0)"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore:This process", "-c", program.format(command=stateful(), end=end)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith("told:")]
    assert len(told) == 3, done
    assert all("LocalProtocolError" in line and "forked off" in line for line in told)
    assert lines[-2:] == ["child: 0", "parent: still here"], done
    assert done.returncode == 0
    assert "Traceback" not in FINALIZER.sub("", done.stderr)
    assert "unclosed client" not in done.stderr


def test_a_child_may_open_a_client_of_its_own(stateful: Command) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process", "-c", OWN.format(command=stateful())],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert sorted(done.stdout.split()) == ["child", "parent", "unopened"]
