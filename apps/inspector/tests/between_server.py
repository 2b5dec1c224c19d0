"""The server that the tests of standing between speak to."""

from __future__ import annotations

import sys

from dovetail import App, Context

app = App("between", version="1")


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@app.tool
async def tell(ctx: Context, times: int = 3) -> str:
    """Say how far it is, so often, and then how often that was."""
    for number in range(times):
        await ctx.progress(number, times)
    return str(times)


@app.tool
async def ask(ctx: Context) -> str:
    """Ask for a name."""
    return f"Hello, {await ctx.elicit('Who are you?', str)}"


@app.tool
async def complain() -> str:
    """Write to standard error."""
    sys.stderr.write("this went wrong\n")
    sys.stderr.flush()
    return "done"


if __name__ == "__main__":
    app.run()
