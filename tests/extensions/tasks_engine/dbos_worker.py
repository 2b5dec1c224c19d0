"""A process that runs tasks by DBOS, and begins the one task if there is none: see `test_dbos_engine`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from dbos import DBOS

from dovetail import App, Client, Context
from dovetail.extensions.tasks import tasks
from dovetail.extensions.tasks.dbos import DBOSEngine
from dovetail.stores.urls import open_store

EFFECTS = Path(os.environ["CLUSTER_EFFECTS"])
SAVED = EFFECTS.with_name("saved")


async def may_go() -> None:
    """Wait for the test to say so, in whatever process."""
    while not await asyncio.to_thread(EFFECTS.with_name("go").exists):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)


def say(line: str) -> None:
    """Write a line of what happened, at once: it outlives the process."""
    file = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def tell(word: str) -> None:
    """Tell the test."""
    print(json.dumps(word), flush=True)  # noqa: T201 - what the test waits for


async def main(saved: str) -> None:
    DBOS(config={"name": "shop", "system_database_url": os.environ["DBOS_URL"], "log_level": "ERROR"})
    store = open_store(os.environ["CLUSTER_STORE"])
    engine = DBOSEngine(launch=True, poll=0.05)
    lease = float(os.environ["WORKER_LEASE"])
    app = App("shop", store=store, extensions=[tasks(engine=engine, lease=lease)])

    @app.tool(task="required")
    async def travel(ctx: Context) -> str:
        await ctx.step("pack", lambda: say("pack"))
        say("waits")
        await may_go()
        await ctx.step("go", lambda: say("go"))
        return "there"

    async with Client(app, extensions=[tasks()]) as client:
        call = client.reopen(saved) if saved else await client.start_tool("travel")
        if not saved:
            SAVED.write_text(call.save())
        tell(call.id)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(SAVED.read_text() if SAVED.exists() else ""))
