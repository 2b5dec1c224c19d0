"""A process that publishes or listens on the bus of a SQLite store; see `test_sqlite_bus`.

Theory of operation
-------------------
`python sqlite_bus_worker.py listen PATH` says "ready", then each message until one is `end`. `publish PATH NAME
COUNT` says NAME and a number, so often.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

from dovetail.stores import SQLiteStore


async def listen(store: SQLiteStore) -> None:
    """Hear until the end."""
    end = asyncio.Event()

    def heard(data: bytes | None) -> None:
        if data == b"end":
            end.set()
        else:
            sys.stdout.write(("None" if data is None else data.decode()) + "\n")

    await store.bus.listen("news", heard)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await end.wait()


async def main(job: str, path: str, *rest: str) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        if job == "listen":
            await listen(store)
        else:
            for number in range(int(rest[1])):
                await store.bus.publish("news", f"{rest[0]}{number}".encode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
