"""A process that works off the tasks of an app in an SQLite file until its standard input ends; see
`test_task_notifications`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from dovetail import App, Client
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore


async def main(path: str) -> None:
    app = App("shop", extensions=[tasks()], store=SQLiteStore(path))

    @app.tool(task="optional")
    async def work() -> str:
        return f"worked by {os.getpid()}"

    async with Client(app):
        print('"serving"', flush=True)  # noqa: T201 - what the test waits for
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
