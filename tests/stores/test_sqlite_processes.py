"""Several processes on one SQLite store, and what is left when they are killed, forked, or refused by the
disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from contextlib import aclosing, closing
from pathlib import Path
from typing import IO

import pytest

from dovetail.stores import SQLiteStore
from dovetail.testing.store_contract import a_task

WORKER = Path(__file__).with_name("sqlite_worker.py")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def test_processes_share_a_file_from_its_first_moment(tmp_path: Path) -> None:
    path, rounds = tmp_path / "store.db", 100
    workers = [start("race", path, str(rounds)) for _ in range(3)]
    for worker in workers:
        assert stream(worker.stdout).readline() == "ready\n"
    for worker in workers:
        stream(worker.stdin).write("go\n")
        stream(worker.stdin).flush()
    outputs = [(await asyncio.to_thread(worker.communicate))[0].split("\n") for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    lines = [line for output in outputs for line in output if line]
    assert sorted(int(line.split()[1]) for line in lines if line.startswith("won")) == list(range(rounds))
    assert sorted(int(line.split()[1]) for line in lines if line.startswith("appended")) == list(
        range(1, 3 * rounds + 1)
    )
    async with aclosing(SQLiteStore(path)) as store:
        assert await store.kv.get("n") == b"%d" % (3 * rounds)


@pytest.mark.parametrize("lines", [1, 60, 300])
async def test_a_killed_writer_loses_nothing_confirmed(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "store.db"
    confirmed = dict[str, int]()  # what the writers said
    stood = dict[str, int]()  # what was there at the end of each; the last of it may be an event alone
    async with aclosing(SQLiteStore(path)) as witness:
        for _ in range(2):
            with start("write_on", path) as worker:
                output = stream(worker.stdout)
                read = [await asyncio.to_thread(output.readline) for _ in range(lines)]
                worker.kill()
                read += output.readlines()
                for line in read:
                    if line.endswith("\n"):
                        name, sequence = line.split()
                        confirmed[name] = max(int(sequence), confirmed.get(name, 0))
            for name, said in confirmed.items():
                sequence = max(said, stood.get(name, 0))
                last = await witness.events.last(name)
                assert sequence <= last <= sequence + 2, "at most what was on its way when the writer died"
                events = await witness.events.read(name, max(0, last - 1000), limit=1000)
                assert [event.sequence for event in events] == list(range(max(1, last - 999), last + 1))
                assert {event.data for event in events} == {name.encode() * 100}
                assert int(await witness.kv.get(name) or b"0") >= said
                stood[name] = last
            assert await witness.events.append("witness", b"") > 0, "the lock died with its holder"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("lines", [1, 100])
async def test_a_killed_writer_loses_no_task(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "store.db"
    async with aclosing(SQLiteStore(path)) as witness:
        with start("create_tasks", path) as worker:
            output = stream(worker.stdout)
            said = [await asyncio.to_thread(output.readline) for _ in range(lines)]
            worker.kill()
            said += output.readlines()
        confirmed = dict(line.split() for line in said if line.endswith("\n"))
        assert len(confirmed) >= lines // 2
        for id, version in confirmed.items():
            record = await witness.tasks.load(id)
            assert record is not None
            assert record.version >= int(version)
            assert record.due == (0.0 if record.version else None)
        there = await witness.tasks.count()
        assert len(confirmed) <= there <= len(confirmed) + 8, "at most what was on its way"


async def test_tasks_of_a_killed_process_are_done_by_others(tmp_path: Path) -> None:
    path, tasks = tmp_path / "store.db", 150
    async with aclosing(SQLiteStore(path)) as store:
        for number in range(tasks):
            await store.tasks.create(a_task(f"{number}", owner=f"o{number % 3}"), max_unended=tasks)
        with start("work_tasks_until_killed", path, "w0") as killed:
            first = stream(killed.stdout)
            # It has claimed three, and says so of each before it goes on: nobody can have been there first.
            said = [await asyncio.to_thread(first.readline)]
            others = [start("work_tasks", path, f"w{number}") for number in (1, 2)]
            said += [await asyncio.to_thread(first.readline) for _ in range(2)]
            killed.kill()
            lines = [("w0", line) for line in said + first.readlines()]
        outputs = await asyncio.gather(*(asyncio.to_thread(worker.communicate) for worker in others))
        assert [worker.wait() for worker in (killed, *others)] == [-signal.SIGKILL, 0, 0]
        lines += [
            (f"w{at}", line)
            for at, (out, _) in enumerate(outputs, 1)
            for line in out.splitlines(keepends=True)
        ]
        told = [(who, *line.split()) for who, line in lines if line.endswith("\n")]
        claims = [(id, attempt) for _, what, id, attempt in told if what == "claimed"]
        assert len(claims) == len(set(claims)), "no attempt twice"
        ended = {id: (who, attempt) for who, what, id, attempt in told if what == "done"}
        assert len([None for _, what, _, _ in told if what == "done"]) == len(ended), "nothing is done twice"
        assert len(ended) >= tasks - 1, "but for what the killed one could not say any more"
        for number in range(tasks):
            record = await store.tasks.load(f"{number}")
            assert record is not None
            assert record.ended
            if f"{number}" in ended:
                who, attempt = ended[f"{number}"]
                assert record.attempts == int(attempt)
                assert (await store.tasks.recorded(f"{number}"))[attempt] == who.encode()


async def test_a_disk_that_refuses_harms_nothing(tmp_path: Path) -> None:
    worker = start("fill", tmp_path / "store.db")
    output, _ = await asyncio.to_thread(worker.communicate)
    refused, kept = output.splitlines()
    assert refused.startswith("refused ")
    assert int(refused.split()[1]) > 0
    assert kept == "kept True"


def test_a_forked_child_works_with_threads_of_its_own(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    asyncio.run(store.kv.set("prize", b"1"))
    assert asyncio.run(store.kv.get("prize")) == b"1"

    async def child() -> int:
        won = await store.kv.take("prize") == b"1"
        await store.aclose()
        return 7 if won else 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # a child that hangs must not outlive the test
        code = 1
        try:
            code = asyncio.run(child())
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert asyncio.run(store.kv.get("prize")) is None
    asyncio.run(store.aclose())
