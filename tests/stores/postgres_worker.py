"""A process that works on a PostgreSQL store until it is done or killed; see `test_postgres_faults`.

Theory of operation
-------------------
`python postgres_worker.py JOB URL SCHEMA ...`. Each job prints one line for each thing that the store has confirmed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from threading import get_ident

from dovetail.stores import PostgresStore, StoreFull
from dovetail.testing.store_contract import CONTRACT_BOUNDS, a_session


def say(*words: object) -> None:
    """Tell the test, one line in one write and at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def race(store: PostgresStore, rounds: int) -> None:
    """Win some of the prizes, create some of the sessions, and count together with the others."""

    async def increment() -> None:
        while True:
            before = await store.kv.get("n")
            if await store.kv.compare_and_set("n", before, b"%d" % (int(before or b"0") + 1)):
                return

    async def compete(number: int) -> None:
        if await store.kv.add(f"prize{number}", b"%d" % number):
            say("won", number)
        if await store.kv.take(f"given{number}") is not None:
            say("took", number)
        await increment()
        say("appended", await store.events.append("s", b"%d" % number))
        try:
            await store.sessions.create(
                a_session(f"s{number}-{os.getpid()}-{get_ident()}", principal=f"p{number}")
            )
            say("created", number)
        except StoreFull:
            pass

    for start in range(0, rounds, 10):
        await asyncio.gather(*(compete(number) for number in range(start, start + 10)))


async def main(job: str, url: str, schema: str, *rest: str) -> None:
    async with aclosing(PostgresStore(url, schema=schema, bounds=CONTRACT_BOUNDS, timeout=30)) as store:
        assert job == "race"
        say("ready")
        sys.stdin.readline()
        await asyncio.gather(
            race(store, int(rest[0])),
            # Another event loop of the same store.
            asyncio.to_thread(asyncio.run, race(store, int(rest[0]))),
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
