"""The measured client, with the official SDK: `mcp_client.py http|memory URL WARM RUN`; see `benchmarks.clients`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from mcp import Client
from mcp.server import MCPServer

server = MCPServer("measured", version="1", log_level="WARNING")


@server.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def calls(client, seconds):
    """Call for so long, one call after the other."""
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        if result.is_error or result.content[0].text != "3":
            raise RuntimeError(f"a wrong answer: {result}")
        count += 1
    return {"count": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def main():
    """Warm up, measure, tell."""
    how, where, warm, run = sys.argv[1:5]
    async with Client(server if how == "memory" else where) as client:
        await calls(client, float(warm))
        print(json.dumps(await calls(client, float(run))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
