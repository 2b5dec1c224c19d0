"""The server of the matrix: the same bodies in every cell. Run as a script it serves stdio."""

import asyncio
from enum import Enum

from dovetail import App, Context, Declined, Dismissed, Elicit, Form, MissingCapability, Roots, Sample

app = App("matrix")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@app.tool
async def elicit(ctx: Context) -> str:
    """One form."""
    return (await ctx.elicit("Which colour?", Colour)).name


@app.tool
async def url(ctx: Context) -> str:
    """One address."""
    await ctx.elicit_url("Log in", "https://example.com/login")
    return "visited"


@app.tool
async def sample(ctx: Context) -> str:
    """One message of the model."""
    return (await ctx.sample("Say something", max_tokens=10)).model


@app.tool
async def roots(ctx: Context) -> str:
    """The client's folders."""
    return " ".join(root.uri for root in await ctx.roots())


@app.tool
async def steps(ctx: Context) -> str:
    """Two steps around a question that every revision has."""
    first = await ctx.step("first", lambda: [1])
    found = await ctx.roots()
    second = await ctx.step("second", len, found)
    return f"{first} {second}"


@app.tool
async def several(ctx: Context) -> str:
    """Questions of three kinds, batched."""
    found = await ctx.ask(
        name=Elicit("Name?", Form.of(str)), thought=Sample("Hm?", max_tokens=5), folders=Roots()
    )
    return f"{found['name']} {found['thought'].model} {len(found['folders'])}"


@app.tool
async def concurrent(ctx: Context) -> str:
    """Questions asked at the same time."""
    async with asyncio.TaskGroup() as group:
        thought = group.create_task(ctx.sample("Hm?", max_tokens=5, key="thought"))
        found = group.create_task(ctx.roots(key="folders"))
    return f"{thought.result().model} {len(found.result())}"


@app.tool
async def decline(ctx: Context) -> str:
    """A form that the person declines."""
    try:
        return (await ctx.elicit("Decline?", Colour)).name
    except Declined:
        return "declined"


@app.tool
async def declined(ctx: Context) -> str:
    """The same, and nobody catches it."""
    return (await ctx.elicit("Decline?", Colour)).name


@app.tool
async def dismiss(ctx: Context) -> str:
    """A form that the person closes."""
    try:
        return (await ctx.elicit("Dismiss?", Colour)).name
    except Dismissed:
        return "dismissed"


@app.tool(timeout=0.1)
async def timeout(ctx: Context) -> str:
    """Too slow once it has its answer."""
    await ctx.roots()
    await asyncio.Event().wait()
    return "never"


@app.tool
async def undeclared(ctx: Context) -> str:
    """What this client never declares."""
    try:
        await ctx.sample("?", max_tokens=5, tools=[])
    except MissingCapability as problem:
        return f"missing {','.join(problem.data['requiredCapabilities'])}"
    return "never"


if __name__ == "__main__":
    app.run()
