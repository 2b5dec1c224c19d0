"""An app whose tasks say in a file what they do, one line for each, written at once: it outlives whoever wrote it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from dovetail import App, Context
from dovetail.extensions import TaskOptions
from dovetail.extensions.tasks import tasks
from dovetail.stores import Store

TASKS = "io.modelcontextprotocol/tasks"
DECLARED = {"extensions": {TASKS: {}}, "elicitation": {"form": {}}}
REVISION = "2026-07-28"


def answer(word: str) -> dict[str, object]:
    """The answer to its question."""
    return {"action": "accept", "content": {"value": word}}


def writer(path: Path | str) -> Callable[[str], None]:
    """What appends lines to a file."""

    def write(line: str) -> None:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)

    return write


def app_of(
    name: str, store: Store, say: Callable[[str], None], *, room: int, lease: float, pause: float = 0
) -> App:
    """The app: two steps, and a question between them. ``pause``: seconds that a step takes."""
    app = App(
        name,
        store=store,
        keys=["k" * 40],
        extensions=[tasks(room=room, lease=lease, max_unended=100_000, max_polls=None)],
    )
    task = TaskOptions(support="required", poll=0.05)

    async def act(what: str, key: str) -> str:
        say(f"begun {what} {key}")
        await asyncio.sleep(pause)
        return what

    async def travel(key: str, ctx: Context) -> str:
        """Pack, ask where to, and go."""
        first = await ctx.step("pack", act, "pack", key)
        word = await ctx.elicit("Where to?", str, key="where")
        second = await ctx.step("go", act, "go", key)
        return f"{first} {second} {word}"

    app.tool(task=task)(travel)
    app.add_tool(travel, name="travel_once", task=task, once=True)
    return app
