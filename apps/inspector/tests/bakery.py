"""A server whose conversation is worth looking at: it logs, takes its time, and says what nobody should believe."""

from __future__ import annotations

import asyncio
import sys

from dovetail import App, Context, ToolError
from dovetail.extensions.tasks import tasks

__all__ = ["HOSTILE", "app"]

HOSTILE = '<img src=x onerror="window.struck=1"><script>window.struck=1</script>\u202egnp\x1b[31m'

app = App("bakery", version="1", extensions=[tasks()])


@app.tool
async def bake(ctx: Context, flour: int) -> dict[str, int]:
    """Bake a pie."""
    for step in range(3):
        await ctx.progress(step + 1, 3, f"step {step + 1}")
    await ctx.log("warning", "the oven is hot", logger="bakery.oven")
    sys.stderr.write("the bell rings\n")
    sys.stderr.flush()
    return {"grams": flour}


@app.tool
async def rest(seconds: float) -> str:
    """Wait a little."""
    await asyncio.sleep(seconds)
    return "rested"


@app.tool(task="optional")
async def ripen() -> str:
    """Take very long."""
    await asyncio.sleep(600)
    return "ripe"


@app.tool
def burn() -> str:
    """Burn it."""
    raise ToolError("it burned")


@app.tool
def shout() -> str:
    """Say what a page must not do."""
    sys.stderr.write(f"{HOSTILE}\n")
    sys.stderr.flush()
    return HOSTILE


if __name__ == "__main__":
    app.run()
