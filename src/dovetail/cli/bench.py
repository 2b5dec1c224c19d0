"""``dovetail bench``: how many requests a server answers in a second, and how long each takes.

Theory of operation. One client sends from several tasks at once, each its next request when the one before is answered:
what is measured is what such a client gets, and not how much a server could bear. A few requests go first and do not
count. No tool is called unless one is named. What the client itself costs is told beside it, in two ways: the processor
time of this process for each request, and what the same client reaches against an app in its own process that does
nothing. Where these come near the result, the client was measured, and not the server.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Final

from msgspec import Struct

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
from .coercion import object_of
from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError, tell

__all__ = ["bench"]

_WARM_UP: Final = 20
_MOST_TASKS: Final = 1_000
_MOST_KEPT: Final = 5_000_000
_ALONE: Final = 1.0
_FULL: Final = 0.8


class BenchResult(Struct, frozen=True, kw_only=True):
    """What came of a measurement. Times are in seconds. ``processor``: of this process, for one request."""

    requests: int
    seconds: float
    latencies: list[float]
    errors: dict[str, int]
    processor: float

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def at(self, share: float) -> float:
        """The latency that this share of the requests kept to."""
        return (
            self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]
            if self.latencies
            else 0.0
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
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Measure how fast a server answers. By default it lists the tools, or pings: no tool is called unless named.

    Ends with 1 where requests failed.
    """
    if not 1 <= concurrency <= _MOST_TASKS or not 0 < seconds <= 3600:
        raise UsageError(f"--concurrency is 1 to {_MOST_TASKS}, --seconds above zero and at most 3600")
    if args and not tool:
        raise UsageError("--args are those of a tool: name it with --tool")
    arguments = object_of(args) if args else {}
    session = CommandSession(target, words, common)
    place, options = await session.settled()
    async with Client(place, **{**options, "cache": False}) as client:
        what, send = _request(client, tool, arguments)
        try:
            await _warmed(send)
        except ToolError as problem:
            tell(problem)
            return FAILED
        session.screen.note(f"{what}, {concurrency} at once, for {seconds:g} s")
        found = await _measured(send, concurrency, seconds)
        server = client.describe()
    alone = await _alone(concurrency)
    told = _told(server, what, concurrency, found, alone)
    if common.json:
        session.screen.json(told)
    else:
        for line in _lines(found, alone):
            session.screen.line(line)
    return FAILED if found.errors else OK


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


async def _measured(send: Callable[[], Awaitable[Any]], concurrency: int, seconds: float) -> BenchResult:
    latencies, errors = array("d"), Counter[str]()
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
    took, used = clock() - began, time.process_time() - used
    count = len(latencies)
    return BenchResult(
        requests=count,
        seconds=took,
        latencies=sorted(latencies),
        errors=dict(errors.most_common(5)),
        processor=used / count if count else 0.0,
    )


async def _alone(concurrency: int) -> BenchResult:
    """The client with an app in its own process that does nothing: neither network nor work."""
    app = App("nothing")

    @app.tool
    async def nothing() -> None:
        """Do nothing."""

    async with Client(app, cache=False) as client:
        await _warmed(client.list_tools)
        return await _measured(client.list_tools, concurrency, _ALONE)


def _told(server: str, what: str, concurrency: int, found: BenchResult, alone: BenchResult) -> dict[str, Any]:
    return {
        "server": server,
        "what": what,
        "concurrency": concurrency,
        "seconds": round(found.seconds, 3),
        "requests": found.requests,
        "perSecond": round(found.rate, 1),
        "latency": {name: found.at(share) for name, share in _SHARES.items()},
        "errors": found.errors,
        "client": {
            "processorPerRequest": found.processor,
            "processorShare": found.processor * found.rate,
            "alonePerSecond": round(alone.rate, 1),
        },
    }


_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def _lines(found: BenchResult, alone: BenchResult) -> list[str]:
    share = found.processor * found.rate
    lines = [
        f"{found.rate:,.0f} requests/s; {found.requests:,} answered in {found.seconds:.1f} s",
        "latency  " + "  ".join(f"{name} {found.at(at) * 1000:.2f} ms" for name, at in _SHARES.items()),
    ]
    lines += [f"failed   {count:,} x {problem}" for problem, count in found.errors.items()]
    lines.append(
        f"client   {found.processor * 1e6:,.0f} us of processor a request, {share:.0%} of one; "
        f"alone, without network and work, {alone.rate:,.0f} requests/s"
    )
    if share > _FULL:
        lines.append(
            "         so this client is what was measured: the server can do more; start several of these"
        )
    return lines
