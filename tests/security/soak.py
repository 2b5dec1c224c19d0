"""Hostile requests by the thousand against a server process: what stays in its memory, and how a good caller fares.

``python -m tests.security.soak KIND`` runs one kind of `soak_kinds`, or all in a row, with a table. A server is
started, its memory is read, and it is attacked twice in the same way. What it says that it holds, when the attackers
have left, has to be what it was. What it keeps for a time (streams to come back to, calls between rounds, sessions) is
given a week by its clock, before each reading.

Memory is judged twice. The blocks that the interpreter has given out are what somebody holds: of these there have to be
as many after the second attack as before it, within a tenth. And the process may not be larger than after the first, by
more than a tenth. It is larger than when it was fresh, which is printed: the interpreter gives back memory in pieces of
a MiB, and one small thing that stays keeps a whole piece; so a process has the size of the worst that it went through.

A good caller, a process of its own, calls all the while: none of its calls may fail, and 99 of 100 have to be
answered within 100 ms. As that is a time of the machine as well, there is another number beside it: how much CPU the
turns of the server's loop took, of which a small call waits for one or two. The command ends with 1 where a bound was
not kept.

The tests use `soak` with few requests, and count what is held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from soak_beside import beside  # noqa: E402 - found where this file is
from soak_kinds import KINDS, Kind  # noqa: E402 - as above
from soak_talk import PATIENCE, Attacker, Talk  # noqa: E402 - as above

REQUESTS: Final = 20_000
#: Attackers at a time.
WIDTH: Final = 20
#: Seconds that a server has to let go of what left, and seconds without a change after which it sweeps no more.
SETTLING: Final = 60.0
QUIET: Final = 2.0
#: How much more memory may be held afterwards.
TOLERANCE: Final = 0.10
#: Seconds within which 99 of 100 good calls are answered.
PROMPT: Final = 0.1
#: What has to be as before when the attackers have left.
PASSING: Final = ("requests", "streams", "bytes", "listeners", "calls", "live sessions", "unread", "heads")
#: What is kept for a time.
KEPT: Final = ("sessions", "streams kept", "values kept")


@dataclass
class Report:
    """What came of it. Memory in bytes, None where the system does not tell; times in seconds. ``left`` and ``before``:
    what the server says that it holds; ``most``: the most of it that was seen meanwhile. ``memory_fresh``: before the
    first attack; ``memory_kept``: with all that was still kept for its time. ``blocks``: those given out before and
    after. ``turns``: see `Watching.take_turns`.
    """

    kind: str
    requests: int
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    blocks: tuple[int, int] = (0, 0)
    memory_fresh: int | None = None
    memory_before: int | None = None
    memory_most: int | None = None
    memory_kept: int | None = None
    memory_after: int | None = None
    before: dict[str, int] = field(default_factory=dict[str, int])
    most: Counter[str] = field(default_factory=Counter[str])
    left: dict[str, int] = field(default_factory=dict[str, int])
    good: list[float] = field(default_factory=list[float])
    failed: int = 0
    turns: Sequence[float] = (0.0, 0.0, 0.0)

    @property
    def settled(self) -> bool:
        """Whether the server holds what it did before."""
        return all(self.left.get(name, 0) <= self.before.get(name, 0) for name in (*PASSING, *KEPT))

    @property
    def remembered(self) -> bool:
        """Whether its memory stayed larger than is tolerated."""
        before, after = self.memory_before, self.memory_after
        grown = before is not None and after is not None and after > before * (1 + TOLERANCE)
        return grown or self.blocks[1] > self.blocks[0] * (1 + TOLERANCE)

    @property
    def prompt(self) -> bool:
        """Whether the good caller was answered, and in time."""
        return not self.failed and bool(self.good) and _part(self.good, 0.99) < PROMPT

    def __str__(self) -> str:
        rate = self.requests / (self.seconds or 1)
        came = ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common())
        p50, p99, worst = (f"{_part(self.good, part) * 1000:.1f} ms" for part in (0.5, 0.99, 1))
        turns = " ms, ".join(f"{each * 1000:.1f}" for each in self.turns)
        memory = f"{_mib(self.memory_before)} before, {_mib(self.memory_most)} at most"
        within = f"{'NOT ' if self.remembered else ''}within {TOLERANCE:.0%}"
        held = f"{_counts(self.before)} before; {_counts(self.most)} at most; {_counts(self.left)} after"
        good = f"{len(self.good):,} calls, {self.failed} failed; p50 {p50}, p99 {p99}, worst {worst}"
        lines = [
            f"{self.kind}: {self.requests:,} hostile requests in {self.seconds:.0f} s, {rate:.0f} a second ({came})",
            f"  memory   {_mib(self.memory_fresh)} fresh, {memory}, {_mib(self.memory_kept)} until all had its time",
            f"           {_mib(self.memory_after)} after ({self._growth}), blocks {self._more}: {within}",
            f"  held     {held}{'' if self.settled else ': NOT as before'}",
            f"  good     {good}{'' if self.prompt else ': NOT prompt'}",
            f"  turns    {turns} ms of CPU (half of them, 99 of 100, all)",
        ]
        return "\n".join(lines)

    @property
    def _growth(self) -> str:
        before, after = self.memory_before, self.memory_after
        return "?" if not before or after is None else f"{(after - before) / before:+.1%}"

    @property
    def _more(self) -> str:
        before, after = self.blocks
        return f"{(after - before) / (before or 1):+.1%}"

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        return (
            self.kind,
            f"{self.requests:,}",
            f"{self.requests / (self.seconds or 1):.0f}/s",
            _mib(self.memory_fresh),
            _mib(self.memory_before),
            _mib(self.memory_most),
            _mib(self.memory_after),
            self._growth,
            self._more,
            *(f"{_part(self.good, part) * 1000:.1f}" for part in (0.5, 0.99, 1)),
            str(self.failed),
            f"{self.turns[2] * 1000:.0f}",
            "kept" if self.kept else "NOT KEPT",
        )

    @property
    def kept(self) -> bool:
        """Whether all bounds were."""
        return self.settled and not self.remembered and self.prompt and "GUESSED" not in self.outcomes


COLUMNS: Final = (
    *(
        "kind",
        "requests",
        "rate",
        "before",
        "at most",
        "after",
        "change",
        "p50 ms",
        "p99 ms",
        "worst ms",
        "failed",
    ),
    *("turn ms", "bounds"),
)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads, each column as wide as it has to be."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _mib(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**20:.1f} MiB"


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in found.items() if count) or "nothing"


def _part(times: Sequence[float], part: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


class Server:
    """The server process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid = process.pid
        self.port = port

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, script: str, setting: Mapping[str, Any]) -> AsyncIterator[Server]:
        """Start it, and end it."""
        command = (sys.executable, str(HERE / script), json.dumps(setting))
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

    async def turns(self) -> list[float]:
        """What the turns of its loop took, since this was last asked: see `Watching.take_turns`."""
        return await self._get("/turns")

    async def tidied(self) -> tuple[int | None, int]:
        """Its memory, once it has handed back what it only keeps for later, where it can; and blocks given out."""
        blocks = await self._get("/tidy")
        return self.memory(), blocks

    async def a_week_later(self) -> dict[str, int]:
        """Wait until what it keeps for a time is gone, for it has had its time, or nothing more goes; gives what it
        holds then.
        """
        last: list[int | None] = []
        since = time.monotonic()
        while True:
            await self._get("/later")
            found = await self.held()
            kept = [found.get(name) for name in KEPT]
            if kept != last:
                last, since = kept, time.monotonic()
            if not any(kept) or time.monotonic() > since + QUIET:
                return found
            await asyncio.sleep(0.1)

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
            if not any(found.get(name) for name in PASSING) or time.monotonic() > limit:
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


@contextlib.asynccontextmanager
async def good_caller(kind: Kind, port: int, report: Report) -> AsyncIterator[None]:
    """A good caller in a process of its own, meanwhile."""
    pipe = asyncio.subprocess.PIPE
    how = json.dumps({"port": port, "way": kind.good, "headers": dict(kind.headers)})
    command = (sys.executable, str(HERE / "soak_good.py"), how)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    await process.stdout.readline()  # it is ready
    try:
        yield
    finally:
        said, _ = await process.communicate(b"")
        found = json.loads(said)
        report.good, report.failed = found["times"], found["failed"]


async def soak(
    name: str,
    requests: int = REQUESTS,
    *,
    first: int | None = None,
    width: int = WIDTH,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Attack a server of its own with one kind of requests, twice, ``first`` with so many if not as many. ``options``:
    more options of its endpoint.
    """
    kind, report = KINDS[name], Report(name, requests)
    async with contextlib.AsyncExitStack() as stack:
        setting = {
            "options": {**kind.options, **(options or {})},
            **await stack.enter_async_context(beside(kind.beside)),
        }
        server = await stack.enter_async_context(Server.running(kind.script, setting))
        await attack(kind, server.port, width, width)  # it has seen everything once
        await server.settle(SETTLING)
        await server.a_week_later()
        report.memory_fresh, _ = await server.tidied()
        await attack(kind, server.port, requests if first is None else first, width)
        await server.settle(SETTLING)
        report.before = await server.a_week_later()
        report.memory_before, before = await server.tidied()

        async def look() -> None:
            while True:
                report.most |= Counter(await server.held())
                if (memory := server.memory()) is not None:
                    report.memory_most = max(memory, report.memory_most or 0)
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        await server.turns()
        try:
            async with good_caller(kind, server.port, report):
                began = time.monotonic()
                report.outcomes = await attack(kind, server.port, requests, width)
                report.seconds = time.monotonic() - began
                report.turns = await server.turns()
        finally:
            looking.cancel()
            await asyncio.wait((looking,))
        await server.settle(SETTLING)
        report.memory_kept, _ = await server.tidied()
        report.left = await server.a_week_later()
        report.memory_after, after = await server.tidied()
        report.blocks = before, after
    return report


def main() -> int:
    """Run what the command line says. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.soak", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many ({REQUESTS:,})")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"how many at a time ({WIDTH})")
    given = parser.parse_args()
    names = list(KINDS) if given.kind == "all" else [given.kind]
    reports: list[Report] = []
    for number, name in enumerate(names, 1):
        sys.stdout.write(f"[{number}/{len(names)}] {name} ...\n")
        sys.stdout.flush()
        reports.append(asyncio.run(soak(name, given.requests, width=given.width)))
        sys.stdout.write(f"{reports[-1]}\n")
        sys.stdout.flush()
    if len(reports) > 1:
        sys.stdout.write(f"\n{table([COLUMNS, *(each.row() for each in reports)])}\n")
    return int(not all(each.kept for each in reports))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
