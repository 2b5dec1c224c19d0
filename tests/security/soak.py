"""Hostile requests by the thousand against a server process: what stays in its memory, and how a good caller fares.

``python -m tests.security.soak KIND`` runs one kind of `soak_kinds`, or all. A server is started and attacked a little,
until it has seen everything once; then its memory is read, it is attacked in earnest, the attackers leave, and what it
says that it holds has to become what it was. Its memory is read again, and has to be within a tenth: that which is in
use, for a C library keeps what was freed, as much as was ever in use at a time. A good caller, a
process of its own, calls a tool every few milliseconds all the while: its times are printed and never judged, since
they are those of the machine as well. The command ends with 1 where something stays.

The tests use `soak` with few requests, and count what is held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from soak_kinds import KINDS, PATIENCE, Attacker, Kind, Talk, modern  # noqa: E402 - found where this file is

REQUESTS: Final = 20_000
#: Attackers at a time.
WIDTH: Final = 20
#: Seconds between two calls of the good caller.
PACE: Final = 0.02
#: Seconds that a server has to let go of what left.
SETTLING: Final = 30.0
#: How much more memory may be held afterwards.
TOLERANCE: Final = 0.10
#: What has to be as before when the attackers have left. (Sessions stay, within their bounds.)
PASSING: Final = ("requests", "streams", "bytes", "listeners", "calls", "live sessions")


@dataclass
class Report:
    """What came of it. Memory in bytes, None where the system does not tell; times in seconds. ``left`` and ``before``:
    what the server says that it holds; ``most``: the most of it that was seen meanwhile.
    """

    kind: str
    requests: int
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    memory_before: int | None = None
    memory_most: int | None = None
    memory_after: int | None = None
    before: dict[str, int] = field(default_factory=dict[str, int])
    most: Counter[str] = field(default_factory=Counter[str])
    left: dict[str, int] = field(default_factory=dict[str, int])
    good: list[float] = field(default_factory=list[float])
    failed: int = 0

    @property
    def settled(self) -> bool:
        """Whether the server holds what it did before."""
        return all(self.left[name] <= self.before[name] for name in PASSING)

    @property
    def remembered(self) -> bool:
        """Whether its memory stayed larger than is tolerated."""
        before, after = self.memory_before, self.memory_after
        return before is not None and after is not None and after > before * (1 + TOLERANCE)

    def __str__(self) -> str:
        times = sorted(self.good)
        came = ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common())
        lines = [
            f"{self.kind}: {self.requests:,} hostile requests in {self.seconds:.0f} s ({came})",
            f"  memory   {_mib(self.memory_before)} before, {_mib(self.memory_most)} at most",
            f"           {_mib(self.memory_after)} after: {'NOT ' if self.remembered else ''}within {TOLERANCE:.0%}",
            f"  held     {_counts(self.before)} before; {_counts(self.most)} at most; {_counts(self.left)} after",
            f"  good     {len(times):,} calls, {self.failed} failed",
            f"           p50 {_part(times, 0.5)}, p99 {_part(times, 0.99)}, worst {_part(times, 1)}",
        ]
        return "\n".join(lines)


def _mib(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**20:.1f} MiB"


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in found.items() if count) or "nothing"


def _part(times: list[float], part: float) -> str:
    if not times:
        return "?"
    return f"{times[min(len(times) - 1, int(len(times) * part))] * 1000:.1f} ms"


class Server:
    """The server process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid = process.pid
        self.port = port

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, options: Mapping[str, Any]) -> AsyncIterator[Server]:
        """Start it, and end it."""
        command = (sys.executable, str(HERE / "soak_server.py"), json.dumps(options))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe)
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            yield cls(process, int(line.split("://", 1)[1].split(":", 1)[1].split("/", 1)[0]))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def held(self) -> dict[str, int]:
        """What it says that it holds."""
        return await self._get("/held")

    async def tidy(self) -> None:
        """Have it hand back the memory that it only keeps for later, where it can."""
        await self._get("/tidy")

    async def _get(self, path: str) -> Any:
        talk = await Talk.open(self.port)
        try:
            talk.writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            status, _, body = await talk.answer()
            if status != 200:
                raise RuntimeError(f"the server answered {status}: {body!r}")
            return json.loads(body)
        finally:
            talk.drop()

    def memory(self) -> int | None:
        """The bytes that are its alone, where the system tells."""
        try:
            text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        except OSError:
            return None
        return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_"))

    async def settle(self, patience: float) -> dict[str, int]:
        """Wait until nothing goes on, or for so many seconds; gives what it holds then."""
        limit = time.monotonic() + patience
        while True:
            found = await self.held()
            if not any(found[name] for name in PASSING) or time.monotonic() > limit:
                return found
            await asyncio.sleep(0.1)


async def attack(kind: Kind, port: int, requests: int, width: int) -> Counter[str]:
    """Make hostile requests, and be gone; gives what came of them."""
    outcomes: Counter[str] = Counter()
    attackers = [Attacker(port, number, outcomes) for number in range(width)]

    async def go_on(attacker: Attacker) -> None:
        for turn in range(attacker.number, requests, width):
            attacker.turn = turn // width
            try:
                async with asyncio.timeout(PATIENCE):
                    await kind.attack(attacker)
            except TimeoutError:
                outcomes["no answer"] += 1
            except (OSError, asyncio.IncompleteReadError):
                outcomes["cut off"] += 1

    try:
        await asyncio.gather(*map(go_on, attackers))
    finally:
        for attacker in attackers:
            attacker.leave()
    return outcomes


async def call_well(port: int) -> None:
    """Be a good caller until standard input ends: a call every few milliseconds, on one connection. Prints the times
    that calls took, and how many failed.
    """
    gc.disable()
    body, headers = modern("tools/call", {"name": "echo", "arguments": {"text": "hello"}})
    times: list[float] = []
    failed = 0
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    talk: Talk | None = None
    while not over.done():
        began = time.perf_counter()
        try:
            talk = talk or await Talk.open(port)
            await talk.send(body, headers)
            status, _, _ = await talk.answer()
        except (OSError, asyncio.IncompleteReadError):
            status, talk = 0, None
        if status == 200:
            times.append(time.perf_counter() - began)
        else:
            failed += 1
        await asyncio.wait((over,), timeout=PACE)
    sys.stdout.write(json.dumps({"times": times, "failed": failed}))


@contextlib.asynccontextmanager
async def good_caller(port: int, report: Report) -> AsyncIterator[None]:
    """A good caller in a process of its own, meanwhile."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, str(HERE / "soak.py"), "--good-caller", str(port))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield
    finally:
        said, _ = await process.communicate(b"")
        found = json.loads(said)
        report.good, report.failed = found["times"], found["failed"]


async def soak(
    name: str, requests: int = REQUESTS, *, width: int = WIDTH, options: Mapping[str, Any] | None = None
) -> Report:
    """Attack a server of its own with one kind of requests. ``options``: more options of its endpoint."""
    kind, report = KINDS[name], Report(name, requests)
    async with Server.running({**kind.options, **(options or {})}) as server:
        await attack(kind, server.port, max(width, requests // 5), width)
        report.before = await server.settle(SETTLING)
        await server.tidy()
        report.memory_before = server.memory()

        async def look() -> None:
            while True:
                report.most |= Counter(await server.held())
                if (memory := server.memory()) is not None:
                    report.memory_most = max(memory, report.memory_most or 0)
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        began = time.monotonic()
        try:
            async with good_caller(server.port, report):
                report.outcomes = await attack(kind, server.port, requests, width)
                report.seconds = time.monotonic() - began
        finally:
            looking.cancel()
            await asyncio.wait((looking,))
        report.left = await server.settle(SETTLING)
        await server.tidy()
        report.memory_after = server.memory()
    return report


def main() -> int:
    """Run what the command line says. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.soak", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many ({REQUESTS:,})")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"how many at a time ({WIDTH})")
    parser.add_argument("--good-caller", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.good_caller is not None:
        asyncio.run(call_well(given.good_caller))
        return 0
    worst = 0
    for name in KINDS if given.kind == "all" else (given.kind,):
        report = asyncio.run(soak(name, given.requests, width=given.width))
        sys.stdout.write(f"{report}\n")
        sys.stdout.flush()
        worst |= not report.settled or report.remembered
    return int(worst)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
