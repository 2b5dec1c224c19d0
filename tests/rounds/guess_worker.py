"""A server with a tool that is guessed at, for the tests of what may be redeemed how often.

``python guess_worker.py STORE KEY [HOLD]``: serves stdio. With HOLD, a file, the step of `pay` makes that file and is
killed before the next one, the first time.
"""

import os
import signal
import sys
from pathlib import Path

from dovetail import App, Context
from dovetail.stores import SQLiteStore

store, key, *rest = sys.argv[1:]
app = App("guessed", keys=[key], store=SQLiteStore(Path(store)))


@app.tool(single_use=True)
async def unlock(ctx: Context) -> str:
    """Three tries at a number."""
    for left in (2, 1, 0):
        if await ctx.elicit(f"Number? {left} left", int, key=f"try-{left}") == 7:
            return "open"
    return "locked"


def once(name: str) -> str:
    """Do what must be done once, and note it; the process ends after the first step, the first time."""
    held = Path(rest[0])
    done = held.read_text() if held.exists() else ""
    held.write_text(done + name + "\n")
    return name


def die() -> None:
    """End here, the first time."""
    died = Path(rest[0] + ".died")
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@app.tool(once=True)
async def pay(ctx: Context) -> str:
    """Two steps, and a death between them."""
    await ctx.elicit("Pay?", bool, key="pay")
    first = await ctx.step("reserve", once, "reserve")
    die()
    return first + " " + await ctx.step("charge", once, "charge")


app.run()
