"""A process that works off the tasks of an app in an SQLite file until it is told to end; see `test_task_ending`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dovetail import App, Context
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore


def app_of(path: str) -> App:
    """The app, over a file."""

    @asynccontextmanager
    async def open_for_business(_: App) -> AsyncGenerator[list[str]]:
        open_until_now = ["open"]
        yield open_until_now
        open_until_now.clear()

    app = App("shop", extensions=[tasks(lease=60)], store=SQLiteStore(path), lifespan=open_for_business)

    @app.tool(task="required", once=True)
    async def pay(ctx: Context, seconds: float) -> str:
        """Pay, and send what was paid for."""

        async def charge() -> str:
            print("charging", flush=True)  # noqa: T201 - what the test waits for
            await asyncio.sleep(seconds)
            return f"charged while {ctx.state[0]}"

        async def send() -> str:
            print("sending", flush=True)  # noqa: T201 - as above
            return "sent"

        return f"{await ctx.step('charge', charge)}, {await ctx.step('send', send)}"

    return app


if __name__ == "__main__":
    app_of(sys.argv[1]).work(drain=float(sys.argv[2]))
