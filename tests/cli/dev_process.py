"""A `dovetail dev` that runs, and what it says."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

PATIENCE = 20.0


class Dev:
    """The process. ``said`` are its lines so far; `says` waits for one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())
        self._seen = 0

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._more:
                self.said.append(line.decode().rstrip("\n"))
                self._more.notify_all()

    async def says(self, pattern: str) -> re.Match[str]:
        """The next line that matches, among those after the last that did."""
        found, self._seen = await self._search(pattern, self._seen)
        return found

    async def url(self) -> str:
        """Where it serves."""
        return (await self._search(r"http://\S+", 0))[0][0]

    async def _search(self, pattern: str, at: int) -> tuple[re.Match[str], int]:
        async with asyncio.timeout(PATIENCE), self._more:
            while True:
                while at < len(self.said):
                    at += 1
                    found = re.search(pattern, self.said[at - 1])
                    if found:
                        return found, at
                await self._more.wait()

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; gives its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@contextlib.asynccontextmanager
async def dev(path: Path, *words: str) -> AsyncIterator[Dev]:
    """Serve a file over HTTP on any free port, until the end of the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dovetail", "dev", str(path), "--http", "0", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Dev(process)
    try:
        yield running
    except BaseException:
        sys.stderr.write("\n".join(running.said) + "\n")
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            await running.end()
        await running._reading
