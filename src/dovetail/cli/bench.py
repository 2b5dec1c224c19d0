"""``dovetail bench``: how many requests a server answers in a second, and how long each takes.

Theory of operation. One client sends from several tasks at once, each its next request when the one before is answered:
what is measured is what such a client gets, and not how much a server could bear. A few requests go first and do not
count. No tool is called unless one is named. What the client itself costs is told beside it, in two ways: the processor
time of this process for each request, and what the same client reaches against an app in its own process that does
nothing. Where these come near the result, the client was measured, and not the server.

Two servers are measured in turns, a part of the time each: what else happens on the machine meanwhile is then nearly
the same for both.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Annotated, Any, Final

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..client import Client
from ..protocol.errors import DovetailError, ToolError
from ..protocol.revisions import PROFILES
from ..protocol.types import DiscoverParams, PingParams
from ..server.app import App
from .bench_runs import (
    SHARES,
    BenchRun,
    ClientCost,
    as_plain,
    compared,
    lines_of,
    ratios,
    read_run,
    write_run,
)
from .coercion import object_of
from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError, tell

__all__ = ["bench"]

_WARM_UP: Final = 20
_MOST_TASKS: Final = 1_000
_MOST_KEPT: Final = 5_000_000
_ALONE: Final = 1.0
_TURNS: Final = 5
_KINDS: Final = 5


class Measured:
    """What came of some time. Times are in seconds. ``processor``: of this process."""

    def __init__(self) -> None:
        self.latencies: array[float] = array("d")
        self.errors: Counter[str] = Counter()
        self.seconds = self.processor = 0.0

    def run(self, server: str, what: str, concurrency: int, alone: float) -> BenchRun:
        """All of it, as it is told. ``alone``: what the client reaches alone, in a second."""
        ordered, count = sorted(self.latencies), len(self.latencies)
        rate = count / self.seconds if self.seconds else 0.0
        each = self.processor / count if count else 0.0
        return BenchRun(
            server=server,
            what=what,
            concurrency=concurrency,
            seconds=round(self.seconds, 3),
            requests=count,
            per_second=round(rate, 1),
            latency={
                name: ordered[min(count - 1, int(count * share))] if count else 0.0
                for name, share in SHARES.items()
            },
            errors=dict(self.errors.most_common(_KINDS)),
            client=ClientCost(
                processor_per_request=each, processor_share=each * rate, alone_per_second=round(alone, 1)
            ),
        )


async def bench(
    target: str,
    /,
    *,
    tool: Annotated[
        str, Parameter(help="Call this tool, instead of listing; it does its work each time.")
    ] = "",
    args: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="The arguments of the tool, as a JSON object.")
    ] = "",
    concurrency: Annotated[int, Parameter(help="Requests at once.")] = 10,
    seconds: Annotated[float, Parameter(help="How long to measure.")] = 5.0,
    against: Annotated[
        str, Parameter(help="Another target, measured in turns with the first, as long, and shown beside it.")
    ] = "",
    save: Annotated[str, Parameter(help="Keep the result in this file, for --compare.")] = "",
    compare: Annotated[str, Parameter(help="Show the result beside the one that is kept in this file.")] = "",
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Measure how fast a server answers. By default it lists the tools, or pings: no tool is called unless named.

    With --against or --compare the result is shown beside another one. Ends with 1 where requests failed.
    """
    if not 1 <= concurrency <= _MOST_TASKS or not 0 < seconds <= 3600:
        raise UsageError(f"--concurrency is 1 to {_MOST_TASKS}, --seconds above zero and at most 3600")
    if args and not tool:
        raise UsageError("--args are those of a tool: name it with --tool")
    if against and compare:
        raise UsageError("--against and --compare exclude each other: one result is shown beside one other")
    if common.store or (against and common.record):
        raise UsageError(
            f"{'--store' if common.store else '--record'} has no effect on what is measured here"
        )
    arguments = object_of(args) if args else {}
    before = read_run(compare) if compare else None
    sessions = [CommandSession(target, words, common)]
    sessions += [CommandSession(against, None, common)] if against else []
    screen = sessions[0].screen
    try:
        runs = await _runs(sessions, tool, arguments, concurrency, seconds)
    except ToolError as problem:
        tell(problem)
        return FAILED
    if save:
        write_run(runs[0], save)
    other = runs[1] if against else before
    heads = (sessions[0].shown, sessions[1].shown if against else Path(compare).name)
    if common.json:
        told = as_plain(runs[0])
        if other is not None:
            told |= {"other": as_plain(other), "ratios": ratios(runs[0], other)}
        screen.json(told)
        return FAILED if any(each.errors for each in runs) else OK
    for run, head in zip(runs, heads, strict=False):
        if against:
            screen.line(head, "bold")
        for line in lines_of(run):
            screen.line(line)
    if other is not None:
        screen.line()
        for line in compared(runs[0], other, heads):
            screen.line(line)
    return FAILED if any(each.errors for each in runs) else OK


async def _runs(
    sessions: Sequence[CommandSession], tool: str, arguments: dict[str, Any], concurrency: int, seconds: float
) -> list[BenchRun]:
    """What comes of each, in turns. Raises `ToolError` where the first call of the tool fails."""
    async with AsyncExitStack() as stack:
        asked: list[tuple[Client, str, Callable[[], Awaitable[Any]]]] = []
        for session in sessions:
            place, options = await session.settled()
            client = await stack.enter_async_context(Client(place, **{**options, "cache": False}))
            what, send = _request(client, tool, arguments)
            await _warmed(send)
            asked.append((client, what, send))
        sessions[0].screen.note(f"{asked[0][1]}, {concurrency} at once, for {seconds:g} s")
        found = [Measured() for _ in asked]
        turns = _TURNS if len(asked) > 1 else 1
        for _ in range(turns):
            for measured, (_, _, send) in zip(found, asked, strict=True):
                await _measure(send, concurrency, seconds / turns, measured)
        alone = await _alone(concurrency)
        return [
            measured.run(client.describe(), what, concurrency, alone)
            for measured, (client, what, _) in zip(found, asked, strict=True)
        ]


def _request(
    client: Client, tool: str, arguments: dict[str, Any]
) -> tuple[str, Callable[[], Awaitable[Any]]]:
    """What is sent each time, and in words."""
    if tool:

        async def call() -> None:
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise ToolError(result.text[:200])

        return f"calls of the tool {tool}", call
    offered = client.server_capabilities
    if offered is not None and offered.tools is not None:
        return "lists of the tools", client.list_tools
    profile = PROFILES[client.revision]
    kind = DiscoverParams if profile.stateless else PingParams
    method = next(each.name for each in profile.client_requests.values() if each.params is kind)
    return f"{method}", lambda: client.request(method)


async def _warmed(send: Callable[[], Awaitable[Any]]) -> None:
    """A few requests that do not count. The first has to succeed: there is nothing to measure otherwise."""
    await send()
    for _ in range(_WARM_UP - 1):
        with suppress(DovetailError):
            await send()


async def _measure(
    send: Callable[[], Awaitable[Any]], concurrency: int, seconds: float, found: Measured
) -> None:
    """Send for a while, and add what came of it."""
    latencies, errors = found.latencies, found.errors
    clock = time.perf_counter
    began, used = clock(), time.process_time()
    ends = began + seconds

    async def one_after_another() -> None:
        while (sent := clock()) < ends and len(latencies) < _MOST_KEPT:
            try:
                await send()
            except DovetailError as problem:
                errors[f"{type(problem).__name__}: {str(problem)[:200]}"] += 1
                await asyncio.sleep(0)  # one that fails without waiting lets the others have their turn
            else:
                latencies.append(clock() - sent)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(one_after_another())
    found.seconds += clock() - began
    found.processor += time.process_time() - used


async def _alone(concurrency: int) -> float:
    """Requests in a second of the client with an app in its own process that does nothing: neither network nor work."""
    app = App("nothing")

    @app.tool
    async def nothing() -> None:
        """Do nothing."""

    found = Measured()
    async with Client(app, cache=False) as client:
        await _warmed(client.list_tools)
        await _measure(client.list_tools, concurrency, _ALONE, found)
    return len(found.latencies) / found.seconds
