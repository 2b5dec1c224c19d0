"""The app whose conversations are captured: something of everything that a server says."""

from __future__ import annotations

from dovetail import App, Context, ToolError

app = App("shop", version="1.2")


@app.tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


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
async def login(user: str, password: str) -> str:
    """Repeat a secret."""
    return f"{user} came with {password}"


@app.tool
async def touch() -> str:
    """Change something."""
    app.resource_updated("note://a")
    return "touched"


@app.resource("note://a")
async def note() -> str:
    """A note."""
    return "buy milk"


@app.prompt
async def greet(name: str) -> str:
    """Greet."""
    return f"Say hello to {name}."
