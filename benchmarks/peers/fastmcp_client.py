"""The measured client, with FastMCP: `fastmcp_client.py http|memory|ways WHERE WARM RUN`; see `benchmarks.clients`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
from ways import serve

server = FastMCP("measured", version="1")


@server.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def one(client, tool="add"):
    """A call. Raises RuntimeError for a wrong answer."""
    result = await client.call_tool(tool, {"a": 1, "b": 2})
    if result.is_error or result.content[0].text != "3":
        raise RuntimeError(f"a wrong answer: {result}")


async def calls(client, seconds):
    """Call for so long, one call after the other."""
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        await one(client)
        count += 1
    return {"count": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def ways(targets):
    """Open all targets, and call their tools as it is told."""
    async with AsyncExitStack() as stack:
        clients = []
        for target, tool in targets:
            transport = target if isinstance(target, str) else StdioTransport(target[0], target[1:])
            clients.append((await stack.enter_async_context(Client(transport)), tool))
        await serve([partial(one, client, tool) for client, tool in clients])


async def main():
    """Warm up, measure, tell."""
    how, where, warm, run = sys.argv[1:5]
    if how == "ways":
        await ways(json.loads(where))
        return
    async with Client(server if how == "memory" else where) as client:
        await calls(client, float(warm))
        print(json.dumps(await calls(client, float(run))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
