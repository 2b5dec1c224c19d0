"""What a measured client does for the user's rows, whatever library it is of: it calls the ways that it has opened as
it is told, on standard input, and tells what came of it. See `benchmarks.measures.users`.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

__all__ = ["serve"]


async def serve(ways: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Obey lines of way, number of calls at once, and seconds, until there are no more. Each of ``ways`` makes a call,
    and raises if its answer is wrong.
    """
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        way, many, seconds = line.split()
        print(json.dumps(await _calls(ways[int(way)], int(many), float(seconds))), flush=True)


async def _calls(call: Callable[[], Awaitable[None]], many: int, seconds: float) -> dict[str, float]:
    took: list[float] = []
    began = time.perf_counter()

    async def one_after_another() -> None:
        now = time.perf_counter()
        while now - began < seconds:
            before = now
            await call()
            now = time.perf_counter()
            took.append(now - before)

    await asyncio.gather(*(one_after_another() for _ in range(many)))
    return {
        "count": len(took),
        "seconds": time.perf_counter() - began,
        "p50": statistics.median(took) * 1e6,
    }
