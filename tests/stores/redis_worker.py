"""A process that works on a store in Redis until it is done or killed; see `test_redis_processes`.

Theory of operation
-------------------
`python redis_worker.py JOB URL ...`. Each job prints one line for each thing that the store has confirmed.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

from dovetail.stores import RedisStore, StoreFull
from dovetail.testing.store_contract import CONTRACT_BOUNDS, a_session


def say(*words: object) -> None:
    """Tell the test, one line in one write and at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def race(store: RedisStore, name: str, rounds: int) -> None:
    """Win some of the prizes, count together with the others, and tell everybody of each round."""
    for number in range(rounds):
        if await store.kv.add(f"prize{number}", b""):
            say("added", number)
        if await store.kv.take(f"gift{number}") is not None:
            say("took", number)
        while True:
            before = await store.kv.get("n")
            if await store.kv.compare_and_set("n", before, b"%d" % (int(before or b"0") + 1)):
                break
        say("appended", await store.events.append("s", b"%d" % number))
        try:
            await store.sessions.create(a_session(f"{name}/{number}"))
            say("opened", number)
        except StoreFull:
            pass
        record = await store.sessions.load("shared")
        if record is not None and await store.sessions.save(
            a_session("shared", version=record.version + 1), expected_version=record.version
        ):
            say("saved", record.version + 1)
        await store.bus.publish("news", f"{name}:{number}".encode())


async def race_in_loops(url: str, name: str, rounds: int) -> None:
    """Race in two event loops that share one store."""
    async with aclosing(RedisStore(url, bounds=CONTRACT_BOUNDS)) as store:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(
            race(store, f"{name}a", rounds),
            asyncio.to_thread(asyncio.run, race(store, f"{name}b", rounds)),
        )


async def write_on(url: str) -> None:
    """Append, set and hold connections in many tasks until killed."""
    async with aclosing(RedisStore(url)) as store:
        await store.bus.listen("news", lambda data: None)

        async def one(name: str) -> None:
            while True:
                sequence = await store.events.append(name, name.encode() * 100)
                await store.kv.set(name, b"%d" % sequence)
                say(name, sequence)

        await asyncio.gather(*(one(f"t{number}") for number in range(8)))


if __name__ == "__main__":
    job, url, *rest = sys.argv[1:]
    asyncio.run(race_in_loops(url, rest[0], int(rest[1])) if job == "race" else write_on(url))
