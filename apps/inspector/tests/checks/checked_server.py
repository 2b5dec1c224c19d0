"""The server that checks are run against."""

from __future__ import annotations

from typing import Annotated, Any

from dovetail import App, Context, Doc, ToolError

app = App("bakery", version="1.0")
ovens: dict[str, int] = {}


@app.tool
async def bake(what: str, count: int = 1) -> dict[str, Any]:
    """Bake."""
    order = f"o-{len(ovens) + 1}"
    ovens[order] = count
    return {"order": order, "what": what, "count": count, "tags": ["warm", "fresh"]}


@app.tool
async def look(order: str) -> int:
    """How many there are."""
    if order not in ovens:
        raise ToolError(f"there is no order {order}")
    return ovens[order]


@app.tool
async def ask(ctx: Context) -> str:
    """Ask for two names."""
    first = await ctx.elicit("First?", str)
    second = await ctx.elicit("Second?", str)
    return f"{first} and {second}"


@app.tool
async def think(ctx: Context) -> str:
    """Ask a model."""
    return f"it said {(await ctx.sample('What?', max_tokens=10)).text}"


@app.tool
async def whisper(secret: Annotated[str, Doc("Said again.")]) -> str:
    """Say it again."""
    return f"you said {secret}"


@app.resource("menu://today")
async def menu() -> str:
    """The menu."""
    return "bread"


@app.prompt
async def greet(name: str) -> str:
    """Greet."""
    return f"Say hello to {name}."


if __name__ == "__main__":
    app.run()
