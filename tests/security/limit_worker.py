"""A process that calls a shared rate limiter as it is told on standard input, and says how many calls it admitted.

Command line: the URL of the store, rate, burst, seconds by which its clock is ahead. Each line of input is JSON:
``{"key": "k", "calls": 500}`` for calls at once, ``{"key": "k", "seconds": 1.0}`` for as many as fit into that time. A
line of output answers each: how many were admitted, and how many waits of the limiter there were.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from typing import Any, Protocol


class Limiter(Protocol):
    def take(self, key: str) -> float | Awaitable[float]: ...


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def take(limiter: Limiter, key: str) -> bool:
    wait = limiter.take(key)
    return (wait if isinstance(wait, (int, float)) else await wait) == 0.0


async def during(limiter: Limiter, key: str, seconds: float) -> int:
    until, admitted = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        admitted += await take(limiter, key)
        await asyncio.sleep(0.002)
    return admitted


async def main() -> None:
    url, rate, burst, ahead = sys.argv[1], *map(float, sys.argv[2:])
    right = time.time
    time.time = lambda: right() + ahead  # before anything has taken it for its clock
    from dovetail.security.shared_limits import SharedRateLimiter
    from dovetail.stores import open_store

    store = open_store(url)
    limiter = SharedRateLimiter(rate, int(burst), kv=store.kv, name="test")
    loop = asyncio.get_running_loop()
    say("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told: dict[str, Any] = json.loads(line)
        if "calls" in told:
            admitted = sum(await asyncio.gather(*(take(limiter, told["key"]) for _ in range(told["calls"]))))
        else:
            admitted = await during(limiter, told["key"], told["seconds"])
        say(json.dumps(admitted))
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main())
