"""A server in a child process as the tests see it: programs to run, and what they said."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from dovetail.protocol.bindings.lines import LineTooLong
from dovetail.transports.stdio.process import OutputHandlers, ServerProcess

ECHO = """
import sys
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
READY = """print('{"ready": 1}', flush=True);"""


class Peer:
    """What a server said, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.noise: list[str] = []
        self.stderr: list[str] = []
        self.oversize: list[LineTooLong] = []
        self.exits = 0
        self._changed = asyncio.Event()

    def _note(self, where: list, what) -> None:
        where.append(what)
        self._changed.set()

    def _exit(self) -> None:
        self.exits += 1
        self._changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def start(self, code: str | list[str], **options) -> ServerProcess:
        command = [sys.executable, "-c", code] if isinstance(code, str) else code
        return await ServerProcess.start(
            command,
            OutputHandlers(
                on_line=lambda line: self._note(self.lines, line),
                on_noise=lambda text: self._note(self.noise, text),
                on_stderr=lambda text: self._note(self.stderr, text),
                on_oversize=lambda error: self._note(self.oversize, error),
                on_exit=self._exit,
            ),
            **options,
        )


def alive(pid: int) -> bool:
    """Whether a process runs (one that waits to be collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


async def gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    async with asyncio.timeout(10):
        while alive(pid):  # noqa: ASYNC110 - no event tells of a process that is not our child
            await asyncio.sleep(0.01)


def children() -> set[int]:
    """Our child processes, zombies included."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


GRANDCHILD = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", %r], stdout=None)
print(json.dumps({"pid": child.pid}), flush=True)
"""
SLEEPER = "import time; time.sleep(600)"
SPEAKER = STUBBORN + READY + "time.sleep(600)"
