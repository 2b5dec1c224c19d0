"""A process that works on a store file until it is done or killed; see `test_sqlite_processes`.

Theory of operation
-------------------
`python sqlite_worker.py JOB PATH ...`. Each job prints one line for each thing that the store has confirmed.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import aclosing
from itertools import count

from msgspec.structs import replace

from dovetail.stores import SQLiteStore, StoreUnavailable
from dovetail.testing.store_contract import a_task


def say(*words: object) -> None:
    """Tell the test, one line in one write and at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def race(store: SQLiteStore, rounds: int) -> None:
    """Win some of the prizes, and count together with the others."""

    async def increment() -> None:
        while True:
            before = await store.kv.get("n")
            if await store.kv.compare_and_set("n", before, b"%d" % (int(before or b"0") + 1)):
                return

    for number in range(rounds):
        if await store.kv.add(f"prize{number}", b""):
            say("won", number)
        await increment()
        say("appended", await store.events.append("s", b"%d" % number))


async def write_on(store: SQLiteStore) -> None:
    """Append and set from many tasks until killed."""

    async def one(name: str) -> None:
        while True:
            sequence = await store.events.append(name, name.encode() * 100)
            await store.kv.set(name, b"%d" % sequence)
            say(name, sequence)

    await asyncio.gather(*(one(f"t{number}") for number in range(8)))


async def fill(store: SQLiteStore) -> None:
    """Write until the system refuses to let the file grow, then go on when it does not."""
    written = 0
    await store.kv.set("first", b"x")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))
    try:
        while True:
            await store.kv.set(f"{written}", b"x" * 100_000)
            written += 1
    except StoreUnavailable:
        say("refused", written)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.kv.set("last", b"x")
    keys = {key async for key in store.kv.scan()}
    say("kept", keys == {"first", "last", *map(str, range(written))})


async def create_tasks(store: SQLiteStore) -> None:
    """Create tasks and change them, from many tasks, until killed."""

    async def one(name: str) -> None:
        for number in count():
            id = f"{name}-{number}"
            await store.tasks.create(a_task(id, owner=name, due=None), max_unended=1_000_000)
            say(id, 0)
            await store.tasks.update(a_task(id, due=0.0), expected_version=0)
            say(id, 1)

    await asyncio.gather(*(one(f"t{number}") for number in range(8)))


async def work_tasks(store: SQLiteStore, holder: str, *, forever: bool = False) -> None:
    """Claim tasks and end them until nothing waits and nothing is held, or until killed."""
    while (wait := await store.tasks.next_due(["q"])) is not None or forever:
        await asyncio.sleep(0.05 if wait is None else wait)
        for record in await store.tasks.claim(holder, {"q": 8}, limit=3, lease=2):
            say("claimed", record.id, record.attempts)
            recorded = await store.tasks.record(
                record.id, f"{record.attempts}", holder.encode(), holder=holder
            )
            done = await store.tasks.update(replace(record, ended=True), expected_version=record.version)
            if recorded and done is not None:
                say("done", record.id, record.attempts)


async def main(job: str, path: str, *rest: str) -> None:
    async with aclosing(SQLiteStore(path, busy_timeout=30)) as store:
        if job == "race":
            say("ready")
            sys.stdin.readline()
            await race(store, int(rest[0]))
        elif job == "write_on":
            await write_on(store)
        elif job == "create_tasks":
            await create_tasks(store)
        elif job == "work_tasks":
            await work_tasks(store, rest[0])
        elif job == "work_tasks_until_killed":
            await work_tasks(store, rest[0], forever=True)
        else:
            await fill(store)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
