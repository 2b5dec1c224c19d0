"""The app that is recorded: something of everything that a server says."""

from __future__ import annotations

import asyncio
from typing import Annotated

from dovetail import App, Context, Secret, ToolError

app = App("shop", version="1.2", instructions="Buy something.")
counted = {"n": 0}


@app.tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@app.tool
async def count() -> int:
    """Count on."""
    counted["n"] += 1
    return counted["n"]


@app.tool
async def fail() -> str:
    """Fail."""
    raise ToolError("out of stock")


@app.tool
async def tell(ctx: Context) -> str:
    """Tell of progress, and log."""
    await ctx.progress(1, 2)
    await ctx.log("warning", "halfway")
    await ctx.progress(2, 2)
    return "told"


@app.tool
async def ask(ctx: Context) -> str:
    """Ask."""
    return f"Hello, {await ctx.elicit('Name?', str)}"


@app.tool
async def login(user: str, password: str, api_key: Annotated[str, Secret] = "") -> str:
    """Repeat secrets."""
    return f"{user} came with {password} and Bearer {api_key}"


@app.tool
async def touch(ctx: Context) -> str:
    """Change something."""
    app.resource_updated("note://a")
    return "touched"


@app.tool
async def wait(ctx: Context) -> str:
    """Wait until it is cancelled."""
    await ctx.progress(1)
    await asyncio.Event().wait()
    return "never"


@app.resource("note://a")
async def note() -> str:
    """A note."""
    return "buy milk"


@app.prompt
async def greet(name: str) -> str:
    """Greet."""
    return f"Say hello to {name}."
