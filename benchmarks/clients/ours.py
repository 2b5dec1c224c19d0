"""The measured client, with Dovetail: `ours.py http|memory URL WARM RUN`; see `benchmarks.clients`."""

import asyncio
import json
import sys
import time

from dovetail import App, Client

app = App("measured", version="1")


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def calls(client: Client, seconds: float) -> dict[str, float]:
    """Call for so long, one call after the other."""
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        if result.is_error or result.text != "3":
            raise RuntimeError(f"a wrong answer: {result}")
        count += 1
    return {"count": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def main() -> None:
    """Warm up, measure, tell."""
    how, where, warm, run = sys.argv[1:5]
    async with Client(app if how == "memory" else where) as client:
        await calls(client, float(warm))
        print(json.dumps(await calls(client, float(run))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
