"""Processes, each with several event loops, that share a store in Redis: one winner of each move, and nobody who dies
takes anything along.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO

import pytest
from redis_server import RedisServer, running_server

from dovetail.stores import RedisStore
from dovetail.testing.bus_contract import Hearing, check_order
from dovetail.testing.store_contract import CONTRACT_BOUNDS, a_session

WORKER = Path(__file__).with_name("redis_worker.py")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def test_processes_and_loops_have_one_winner(server: RedisServer) -> None:
    rounds, names = 25, "xyz"
    async with aclosing(RedisStore(server.url, bounds=CONTRACT_BOUNDS)) as store:
        for number in range(rounds):
            await store.kv.set(f"gift{number}", b"")
        await store.sessions.create(a_session("shared", principal="nobody in particular"))
        hearing = Hearing()
        await store.bus.listen("news", hearing)
        workers = [start("race", server.url, name, str(rounds)) for name in names]
        for worker in workers:
            assert stream(worker.stdout).readline() == "ready\n"
        for worker in workers:
            stream(worker.stdin).write("go\n")
            stream(worker.stdin).flush()
        outputs = [(await asyncio.to_thread(worker.communicate))[0].split("\n") for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0, 0]
        said = [line.split() for output in outputs for line in output if line]
        racers = 2 * len(workers)
        for what in ("added", "took"):
            assert sorted(int(words[1]) for words in said if words[0] == what) == list(range(rounds))
        appended = sorted(int(words[1]) for words in said if words[0] == "appended")
        assert appended == list(range(1, racers * rounds + 1))
        assert await store.kv.get("n") == b"%d" % (racers * rounds)
        assert sum(words[0] == "opened" for words in said) == CONTRACT_BOUNDS.sessions.max_per_principal
        saves = Counter(words[1] for words in said if words[0] == "saved")
        assert set(saves.values()) == {1}
        record = await store.sessions.load("shared")
        assert record is not None
        assert record.version == 1 + len(saves)
        await store.bus.publish("news", b"the last word")
        await hearing.until(lambda said: b"the last word" in said)
        for name in (f"{name}{loop}:" for name in names for loop in "ab"):
            check_order(hearing.said, name.encode())
        assert len(hearing.said) > rounds


@pytest.mark.parametrize("lines", [1, 60, 300])
async def test_a_killed_process_loses_nothing_confirmed(server: RedisServer, lines: int) -> None:
    confirmed = dict[str, int]()
    async with aclosing(RedisStore(server.url)) as witness:
        for _ in range(2):
            with start("write_on", server.url) as worker:
                output = stream(worker.stdout)
                read = [await asyncio.to_thread(output.readline) for _ in range(lines)]
                worker.kill()
                read += output.readlines()
            for line in read:
                if line.endswith("\n"):
                    name, sequence = line.split()
                    confirmed[name] = max(int(sequence), confirmed.get(name, 0))
            for name, sequence in confirmed.items():
                last = await witness.events.last(name)
                assert last >= sequence
                events = await witness.events.read(name, max(0, last - 1000), limit=1000)
                assert [event.sequence for event in events] == list(range(max(1, last - 999), last + 1))
                assert {event.data for event in events} == {name.encode() * 100}
                assert int(await witness.kv.get(name) or b"0") >= sequence
        assert await witness.events.append("witness", b"") > 0


async def test_a_forked_child_has_connections_of_its_own(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store.kv.set("prize", b"1")

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
            asyncio._set_running_loop(None)
            code = asyncio.run(child())
        finally:
            os._exit(code)
    status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status[1]) == 7
    assert await store.kv.get("prize") is None, "and the parent's still answer"
    await store.aclose()
