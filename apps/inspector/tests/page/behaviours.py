"""A server with what the configurations of the official Inspector's test servers are each there to show, all in one.

Lists in pages, structured results, arguments that may be null, templates, mirrored headers, log messages,
subscriptions, tasks, rounds of every kind, addresses to visit, and an application's view. `python behaviours.py`
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from dovetail import App, Context, Header, ToolError
from dovetail.extensions.tasks import tasks

app = App("behaviours", version="1", page_size=4, extensions=[tasks()])
state = {"note": "first"}


@app.tool
def weather(city: Annotated[str, Header("City")] = "Oslo") -> str:
    """An argument that is a header, too."""
    return f"rain in {city}"


@app.tool
def parcel(
    to: str | None = None,
    weight: float | None = None,
    size: Literal["small", "large"] | None = None,
    fragile: bool | None = None,
) -> dict[str, Any]:
    """Arguments that may be left out, and may be null."""
    return {"to": to, "weight": weight, "size": size, "fragile": fragile}


@app.tool
def shelf() -> dict[str, list[dict[str, Any]]]:
    """A result with lists of objects."""
    return {"books": [{"title": f"book {n}", "of": {"pages": n}} for n in range(2)]}


@app.tool
def nothing() -> None:
    """No content at all."""


@app.tool
def fail() -> str:
    """The tool's own error."""
    raise ToolError("out of ink")


@app.tool
async def tell(ctx: Context) -> str:
    """Log messages of all levels."""
    for level in ("debug", "info", "warning", "error"):
        await ctx.log(level, f"this is {level}")
    return "told"


@app.tool
async def confirm(ctx: Context) -> str:
    """A single round."""
    return f"said {await ctx.elicit('Really?', bool)}"


@app.tool
async def two_steps(ctx: Context) -> str:
    """Two rounds."""
    first = await ctx.elicit("First?", str)
    return f"{first}, {await ctx.elicit('Second?', str)}"


@app.tool
async def model(ctx: Context) -> str:
    """A round with a request to the model."""
    return (await ctx.sample("A word?", max_tokens=5)).text


@app.tool
async def folders(ctx: Context) -> str:
    """A round that the settings answer."""
    return ", ".join(str(each.uri) for each in await ctx.roots())


@app.tool
async def visit(ctx: Context) -> str:
    """An address to visit."""
    await ctx.elicit_url("Pay here", "https://pay.example/1")
    return "paid"


@app.tool(task="optional")
async def slowly(ctx: Context) -> str:
    """A task, with progress."""
    for step in range(3):
        await ctx.progress(step + 1, 3, f"step {step + 1}")
        await asyncio.sleep(0)
    return "done slowly"


@app.tool
def change() -> str:
    """Change what can be watched."""
    state["note"] = "second"
    app.resource_updated("note://now")
    return "changed"


@app.tool(meta={"ui": {"resourceUri": "ui://board"}})
def board() -> str:
    """A tool with a view of its own."""
    return "a board"


@app.resource("ui://board", mime_type="text/html;profile=mcp-app")
def view() -> str:
    """That view."""
    return "<!doctype html><p>a board</p>"


@app.resource("note://now")
def note() -> str:
    """It changes."""
    return state["note"]


@app.resource("file:///{+path}{?line}")
def file(path: str, line: str = "") -> str:
    """A path with slashes, and a query."""
    return f"{path} at {line}"


for number in range(12):
    app.add_tool(lambda: "here", name=f"numbered_{number}", description=f"Number {number}.")
    app.add_prompt(lambda: "here", name=f"numbered_{number}")
    app.add_resource(lambda: "here", uri=f"numbered://{number}")

if __name__ == "__main__":
    app.run()
