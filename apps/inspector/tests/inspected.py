"""Servers that the Inspector looks at in tests, and waiting for what comes of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import CallView, ConnectionSettings, QuestionView, ServerTarget

__all__ = ["KITCHEN", "ended", "kitchen", "question", "until"]

KITCHEN = """
import asyncio
import sys
from dataclasses import dataclass

from dovetail import App, Context, ToolError
from dovetail.extensions.tasks import tasks

app = App("kitchen", version="1", instructions="Cook.", extensions=[tasks()])


@dataclass
class Filling:
    \"\"\"What goes in.\"\"\"

    name: str
    grams: int = 100


@app.tool
async def bake(ctx: Context, flour: int, fillings: list[Filling] = []) -> dict[str, int]:
    \"\"\"Bake a pie.\"\"\"
    for step in range(3):
        await ctx.progress(step + 1, 3, f"step {step + 1}")
    print("the oven is hot", file=sys.stderr, flush=True)
    return {"grams": flour + sum(each.grams for each in fillings)}


@app.tool
async def serve(ctx: Context) -> str:
    \"\"\"Ask who eats.\"\"\"
    return f"for {await ctx.elicit('Who eats?', str)}"


@app.tool
async def wait() -> str:
    \"\"\"Take for ever.\"\"\"
    await asyncio.sleep(600)
    return "never"


@app.tool
def fail() -> str:
    \"\"\"Burn it.\"\"\"
    raise ToolError("it burned")


@app.tool(task="optional")
async def slow() -> str:
    \"\"\"Take a while.\"\"\"
    await asyncio.sleep(0.05)
    return "done"


@app.resource("menu://today")
def menu() -> str:
    \"\"\"What there is.\"\"\"
    return "pie"


@app.prompt
def order(dish: str) -> str:
    \"\"\"Order something.\"\"\"
    return f"One {dish}, please."


@app.completion("order", "dish")
def dishes(value: str) -> list[str]:
    return [each for each in ("pie", "pizza") if each.startswith(value)]


if __name__ == "__main__":
    app.run()
"""

T = TypeVar("T")


async def kitchen(
    inspection: Inspection, folder: Path, settings: ConnectionSettings | None = None
) -> InspectedServer:
    """A server of ours, connected."""
    place = folder / "kitchen.py"
    place.write_text(KITCHEN)
    server = inspection.add("kitchen", ServerTarget(command=sys.executable, args=[str(place)]), settings)
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


async def until(find: Callable[[], T | None]) -> T:
    """What a function finds, as soon as it does."""
    while True:
        found = find()
        if found:
            return found
        await asyncio.sleep(0.005)


async def ended(inspection: Inspection, call: CallView) -> CallView:
    """A call that has come to its end."""
    await until(lambda: inspection.calls.view(call.id).state != "running")
    inspection.catch_up()
    return inspection.calls.view(call.id)


async def question(inspection: Inspection) -> QuestionView:
    """The next question."""
    return (await until(lambda: inspection.questions.views))[0]
