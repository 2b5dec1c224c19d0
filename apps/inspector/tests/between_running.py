"""Relays as people start them, for the length of a test: as a command, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dovetail_inspector.between.live import LiveRelay, Steering, live_relays

__all__ = ["INSPECT", "SERVER", "RunningRelay", "around", "relayed"]

SERVER = Path(__file__).with_name("between_server.py")
INSPECT = [sys.executable, "-m", "dovetail", "inspect", "--between"]


class RunningRelay:
    """A relay to a URL: its ``process``, its ``url``, and what steers it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.live: LiveRelay = next(each for each in live_relays() if each.url == url)
        self.steering = Steering(self.live)

    async def ended(self) -> int:
        """End it as its operator would; gives its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        assert self.process.stderr is not None
        await self.process.stderr.read()
        return await self.process.wait()


def around(capture: Path, *faults: str, command: Sequence[str] = ()) -> list[str]:
    """The command that a host starts in the place of a server's (default: that of these tests)."""
    words = [word for each in faults for word in ("--fault", each)]
    server = command or (sys.executable, str(SERVER))
    return [*INSPECT, "--output", str(capture), *words, "--", *server]


@asynccontextmanager
async def relayed(url: str, capture: Path, *words: str) -> AsyncIterator[RunningRelay]:
    """A relay to ``url``, at a free port."""
    process = await asyncio.create_subprocess_exec(
        *INSPECT, url, "--http", "0", "--output", str(capture), *words, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    told = (await process.stderr.readline()).decode()
    at = next((word for word in told.split() if word.startswith("http://")), None)
    assert at is not None, told
    running = RunningRelay(process, at)
    try:
        yield running
    finally:
        assert await running.ended() == 0
