"""The measured client, with Dovetail: `ours.py http|memory|ways WHERE WARM RUN`; see `benchmarks.clients`."""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from ways import serve

from dovetail import App, Client

app = App("measured", version="1")


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def one(client: Client, tool: str = "add") -> None:
    """A call. Raises RuntimeError for a wrong answer."""
    result = await client.call_tool(tool, {"a": 1, "b": 2})
    if result.is_error or result.text != "3":
        raise RuntimeError(f"a wrong answer: {result}")


async def calls(client: Client, seconds: float) -> dict[str, float]:
    """Call for so long, one call after the other."""
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        await one(client)
        count += 1
    return {"count": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def ways(targets: list[tuple[Any, str]]) -> None:
    """Open all targets, and call their tools as it is told."""
    async with AsyncExitStack() as stack:
        clients = [(await stack.enter_async_context(Client(target)), tool) for target, tool in targets]
        await serve([partial(one, client, tool) for client, tool in clients])


async def main() -> None:
    """Warm up, measure, tell."""
    how, where, warm, run = sys.argv[1:5]
    if how == "ways":
        await ways(json.loads(where))
        return
    async with Client(app if how == "memory" else where) as client:
        await calls(client, float(warm))
        print(json.dumps(await calls(client, float(run))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
