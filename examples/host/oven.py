"""The oven: a server that is started as a process, and that the demo kills."""

import os

from dovetail import App, Context

app = App("oven", instructions="Ask before you light it.")


@app.tool
async def bake(loaves: int, ctx: Context) -> str:
    """Bake bread."""
    for done in range(loaves):
        await ctx.progress(done + 1, loaves)
    return f"{loaves} loaves"


@app.tool
async def process() -> int:
    """The process of the oven."""
    return os.getpid()


if __name__ == "__main__":
    app.run()
