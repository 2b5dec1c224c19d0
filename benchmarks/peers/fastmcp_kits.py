"""The tools of the measured server with FastMCP, but for the plainest."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import mcp_types as types
from fastmcp import Context, FastMCP
from pydantic import BaseModel


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


class ItemModel(BaseModel):
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


async def late(seconds: float) -> str:
    """Work for so long, and give the time of the end."""
    await asyncio.sleep(seconds)
    return f"{time.monotonic():.6f}"


async def report(ctx: Context) -> str:
    """Report progress a hundred times."""
    for done in range(1, 101):
        await ctx.report_progress(done, 100)
    return "done"


async def ask(ctx: Context) -> str | types.InputRequiredResult:
    """Greet whoever answers."""
    given = (ctx.input_responses or {}).get("name")
    if isinstance(given, types.ElicitResult):
        return f"Hello, {(given.content or {}).get('name')}"
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    params = types.ElicitRequestFormParams(message="What is your name?", requested_schema=form)
    state = "asked"  # what a server of rounds has to carry; the library seals it
    return types.InputRequiredResult(
        input_requests={"name": types.ElicitRequest(params=params)}, request_state=state
    )


def register(server: FastMCP, kit: str) -> None:
    """Offer the tools of a kit."""
    if kit == "tasks":
        register_tasks(server)
        return
    kits = {"nested": (nested_dataclass, nested_model), "large": (make, take), "streams": (add, report, ask)}
    for tool in kits[kit]:
        server.tool(tool)


def register_tasks(server: FastMCP) -> None:
    """Offer the tools that run as tasks, kept where BENCH_STORE says."""
    from fastmcp.utilities.tasks import TaskConfig
    from fastmcp_tasks import TasksExtension

    store = os.environ["BENCH_STORE"]
    server.add_extension(TasksExtension(url="memory://" if store == "memory" else store))
    server.tool(add, task=True)
    often = TaskConfig(mode="optional", poll_interval=timedelta(milliseconds=200))
    for tool in (late, ask):
        server.tool(tool, task=often)
