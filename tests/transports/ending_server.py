"""A server process that is hard to end; told what to be by JSON on the command line. What it notes goes to standard
error, one line each, after "note: ". Follows: no page of the specification.
"""

# ruff: noqa: ASYNC251 - what authors do wrong is what this is about

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dovetail import App, Context

GIVEN: dict[str, Any] = json.loads(sys.argv[1])


def note(text: str) -> None:
    os.write(2, f"note: {text}\n".encode())


async def never(*, swallow: bool) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            note("cancelled")
            if not swallow:
                raise


@asynccontextmanager
async def life(app: App) -> AsyncIterator[None]:
    gate.clear()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, gate.set)
    if GIVEN.get("start") == "hang":
        note("starting")
        await never(swallow=False)
    if GIVEN.get("start") == "fail":
        raise RuntimeError("as asked")
    note(f"entered {os.getpid()}")
    yield
    note("leaving")
    if "end" in GIVEN:
        await never(swallow=GIVEN["end"] == "swallow")
    note("left")


app = App("hard to end", lifespan=life)
gate = asyncio.Event()


@app.tool
def block() -> str:
    note("block")
    threading.Event().wait()
    return "never"


@app.tool
async def swallow() -> str:
    note("swallow")
    await never(swallow=True)
    return "never"


@app.tool
async def stuck() -> str:
    note("stuck")
    time.sleep(1000)
    return "never"


@app.tool
async def hang() -> str:
    note("hang")
    await never(swallow=False)
    return "never"


@app.tool
async def wait() -> str:
    note("wait")
    await gate.wait()
    return "waited"


@app.tool
def work() -> str:
    """A sync function that is done when its signal comes, cancelled or not."""
    note("work")
    while not gate.is_set():
        time.sleep(0.01)
    note("worked")
    return "worked"


@app.tool
async def ask(ctx: Context) -> str:
    return await ctx.elicit("Who?", str)


@app.tool
async def flood(times: int) -> str:
    return "x" * times


@app.tool
async def pid() -> str:
    return str(os.getpid())


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    app.run(GIVEN["transport"], **GIVEN.get("options", {}))
    note("returned")
