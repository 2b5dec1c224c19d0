"""The tools of the measured server with Dovetail, but for the plainest: see `benchmarks.contestants`."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

import msgspec
import pydantic

from dovetail import App, Context
from dovetail.types import TextContent


class ItemStruct(msgspec.Struct):
    """An item of ten fields."""

    id: int
    name: str
    price: float
    quantity: int
    active: bool
    kind: Literal["small", "large"]
    tags: list[str]
    ratio: float
    note: str | None = None
    code: str = ""


@dataclass
class ItemDataclass:
    """An item of ten fields."""

    id: int
    name: str
    price: float
    quantity: int
    active: bool
    kind: Literal["small", "large"]
    tags: list[str]
    ratio: float
    note: str | None = None
    code: str = ""


class ItemModel(pydantic.BaseModel):
    """An item of ten fields."""

    id: int
    name: str
    price: float
    quantity: int
    active: bool
    kind: Literal["small", "large"]
    tags: list[str]
    ratio: float
    note: str | None = None
    code: str = ""


async def nested_struct(items: list[ItemStruct]) -> int:
    """Sum the quantities."""
    return sum(item.quantity for item in items)


async def nested_dataclass(items: list[ItemDataclass]) -> int:
    """Sum the quantities."""
    return sum(item.quantity for item in items)


async def nested_model(items: list[ItemModel]) -> int:
    """Sum the quantities."""
    return sum(item.quantity for item in items)


async def make(size: int) -> str:
    """Make a text of so many letters."""
    return "x" * size


async def take(text: str) -> int:
    """Count the letters of a text."""
    return len(text)


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def add_as_text(a: int, b: int) -> TextContent:
    """Add two numbers, and give the sum as text alone."""
    return TextContent(text=str(a + b))


async def late(seconds: float) -> str:
    """Work for so long, and give the time of the end."""
    await asyncio.sleep(seconds)
    return f"{time.monotonic():.6f}"


async def last(ctx: Context) -> str:
    """Wait for an answer, and give the time of the end."""
    await ctx.elicit("Go on?", str)
    return f"{time.monotonic():.6f}"


async def report(ctx: Context) -> str:
    """Report progress a hundred times."""
    for done in range(1, 101):
        await ctx.progress(done, 100)
    return "done"


async def ask(ctx: Context) -> str:
    """Greet whoever answers."""
    return f"Hello, {await ctx.elicit('What is your name?', str)}"


def register(app: App, kit: str) -> None:
    """Offer the tools of a kit."""

    async def touch() -> str:
        """Say that the note was updated."""
        app.resource_updated("note://a")
        return "touched"

    if kit == "streams":
        app.add_resource(note, "note://a")
    if kit == "tasks":
        register_tasks(app)
        return
    if kit == "text":
        app.add_tool(add_as_text, name="add")
        return
    kits = {
        "nested": (nested_struct, nested_dataclass, nested_model),
        "large": (make, take),
        "streams": (add, report, ask, touch),
    }
    for tool in kits[kit]:
        app.add_tool(tool)


def register_tasks(app: App) -> None:
    """Offer the tools that run as tasks."""
    from dovetail.extensions.tasks import TaskOptions

    app.add_tool(add, task="optional")
    for tool in (late, last, ask):
        app.add_tool(tool, task=TaskOptions(poll=0.2))


def note() -> str:
    """A note."""
    return "first note"
