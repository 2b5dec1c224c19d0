"""Work on the tasks of a store that goes on while its engine comes and goes; for the tests of what that costs.

Theory of operation
-------------------
`TaskTraffic` has some who create tasks and some who claim them, record a step and end them, in tasks of the event loop.
It notes what each was told, and `check` compares that with what is there. ``python task_traffic.py KIND URL NAME`` is a
process that works in two event loops until nothing is left, and prints a line for each thing that it was told.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, suppress

from msgspec.structs import replace

from dovetail.stores import PostgresStore, RedisStore, Store, StoreUnavailable, TaskExists, TaskRecord
from dovetail.testing.store_contract import a_task

LEASE = 1.0
LIMIT = 5
"""How many tasks of the queue all workers together may hold."""


class TaskTraffic:
    """Three who create and four who work."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: set[str] = set()
        self.created: set[str] = set()
        self.refused_ids: set[str] = set()
        self.attempts: Counter[tuple[str, int]] = Counter()
        self.ended: set[str] = set()
        self.refused = 0
        self.uncertain = 0
        self.said: set[str] = set()
        self._tasks = [asyncio.ensure_future(self._create(f"c{number}")) for number in range(3)]
        self._tasks += [asyncio.ensure_future(self._work(f"w{number}")) for number in range(4)]

    async def _create(self, name: str) -> None:
        number = 0
        while True:
            number += 1
            id = f"{name}-{number}"
            self.asked.add(id)
            try:
                await self.store.tasks.create(a_task(id, owner=name), max_unended=1_000_000)
                self.created.add(id)
            except StoreUnavailable as error:
                await self._note(error)
                if not error.uncertain:
                    self.refused_ids.add(id)

    async def _work(self, name: str) -> None:
        while True:
            try:
                for record in await self.store.tasks.claim(name, {"q": None}, limit=3, lease=LEASE):
                    await self._finish(name, record)
                await asyncio.sleep(0)
            except StoreUnavailable as error:
                await self._note(error)

    async def _finish(self, name: str, record: TaskRecord) -> None:
        self.attempts[(record.id, record.attempts)] += 1
        if not await self.store.tasks.record(record.id, "step", name.encode(), holder=name):
            return  # somebody else has it by now
        done = await self.store.tasks.update(replace(record, ended=True), expected_version=record.version)
        if done is not None:
            self.ended.add(record.id)

    async def _note(self, error: StoreUnavailable) -> None:
        self.refused += 1
        self.uncertain += error.uncertain
        self.said.add(str(error))
        await asyncio.sleep(0.01)

    async def more(self, count: int) -> None:
        """Let so many more tasks be ended."""
        wanted = len(self.ended) + count
        async with asyncio.timeout(30):
            while len(self.ended) < wanted:  # noqa: ASYNC110 - of others
                await asyncio.sleep(0.01)

    async def refusals(self, count: int, *, new: bool = False) -> None:
        """Wait until so many more operations were refused; ``new``: and at least one new task was, for certain."""
        wanted, ids = self.refused + count, len(self.refused_ids)
        async with asyncio.timeout(30):
            while self.refused < wanted or (new and len(self.refused_ids) == ids):  # noqa: ASYNC110 - of others
                await asyncio.sleep(0.01)

    async def check(self) -> None:
        """What was acknowledged is there, there is nothing that nobody asked for, and what is left can be done."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        async with asyncio.timeout(60):
            while await self.store.tasks.count(ended=False):
                for record in await self.store.tasks.claim("last", {"q": None}, limit=100, lease=LEASE):
                    await self._finish("last", record)
                await asyncio.sleep(min(await self.store.tasks.next_due(["q"]) or 0.0, LEASE))
        assert set(self.attempts.values()) == {1}, "no attempt was given twice"
        there = {id for number in range(3) for id in await self._listed(f"c{number}")}
        assert self.created <= there <= self.asked - self.refused_ids
        assert await self.store.tasks.count() == await self.store.tasks.count(ended=True) == len(there)
        for id in there:
            assert set(await self.store.tasks.recorded(id)) == {"step"}
        assert not any(id in said for said in self.said for id in ("c0-", "c1-", "step")), (
            "errors quote no id"
        )

    async def _listed(self, owner: str) -> Sequence[str]:
        found: list[TaskRecord] = []
        while page := await self.store.tasks.list(
            owner, after=(found[-1].created, found[-1].id) if found else None, limit=37
        ):
            found += page
        return [record.id for record in found]


async def share_out(kind: str, url: str, store: Store) -> None:
    """Nine workers in six event loops of three processes: each attempt is one worker's, and limits hold."""
    for number in range(150):
        await store.tasks.create(a_task(f"t{number}", owner=f"o{number % 7}"), max_unended=1_000)
    workers = [_start(kind, url, name) for name in "xyz"]
    for worker in workers:
        assert worker.stdout is not None
        assert await asyncio.to_thread(worker.stdout.readline) == "ready\n"
    outputs = await asyncio.gather(*(asyncio.to_thread(worker.communicate, "go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    attempts, spans = _spans_of([line for output, _ in outputs for line in output.splitlines()])
    assert len(attempts) == len({id for id, _ in attempts}) == await store.tasks.count(ended=True) == 165
    assert {number for _, number in attempts} == {1}
    assert 1 < _most_at_once(spans) <= LIMIT


def _start(kind: str, url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, kind, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """How many of them there are at most at one time."""
    moves = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in moves:
        now += step
        most = max(most, now)
    return most


def _spans_of(lines: Sequence[str]) -> tuple[list[tuple[str, int]], list[tuple[float, float]]]:
    """Of what the processes said: which attempts they were given, and from when to when they held them."""
    words = [line.split() for line in lines]
    return [(word[1], int(word[2])) for word in words], [(float(word[3]), float(word[4])) for word in words]


def _open_engine(kind: str, url: str) -> Store:
    """The store of an engine of the tests."""
    return RedisStore(url) if kind == "redis" else PostgresStore(url, timeout=30)


async def _work_off(store: Store, name: str) -> None:
    """Claim, record and end until nothing is left, and say of each task from when to when it was held."""
    while await store.tasks.count(ended=False):
        for record in await store.tasks.claim(name, {"q": LIMIT}, limit=2, lease=30):
            begin = time.monotonic()
            await asyncio.sleep(0.002)
            assert await store.tasks.record(record.id, "by", name.encode(), holder=name)
            end = time.monotonic()
            done = await store.tasks.update(replace(record, ended=True), expected_version=record.version)
            assert done is not None
            sys.stdout.write(f"held {record.id} {record.attempts} {begin!r} {end!r}\n")
            with suppress(TaskExists):  # one more for each ten: the table grows while it is worked on
                if record.id.endswith("0"):
                    await store.tasks.create(a_task(f"{record.id}+", owner=record.owner), max_unended=10_000)


async def _main(kind: str, url: str, name: str) -> None:
    async with aclosing(_open_engine(kind, url)) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(
            _work_off(store, f"{name}a"),
            _work_off(store, f"{name}b"),
            asyncio.to_thread(asyncio.run, _work_off(store, f"{name}c")),  # another event loop
        )


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
