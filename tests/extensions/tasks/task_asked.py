"""A process whose client waits for a task in an SQLite file, and says so when it is asked; see `test_task_asking`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from dovetail import App, Client
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore


async def main(path: str, task: str) -> None:
    app = App("shop", extensions=[tasks(room=0)], store=SQLiteStore(path))

    async def ask(_: Any) -> None:
        print('"asked"', flush=True)  # noqa: T201 - what the test waits for
        await asyncio.Event().wait()

    async with Client(app, revision="2025-11-25", elicitation=ask) as client:
        waiting = asyncio.create_task(client.request("tasks/result", {"taskId": task}))
        leaving = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.wait((waiting,))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
