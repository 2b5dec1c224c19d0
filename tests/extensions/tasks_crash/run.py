"""Many tasks over three workers that are killed, as engines are: is any lost, doubled, or wrong?

``python -m tests.extensions.tasks_crash.run --tasks 10000 --seed 1 --engine redis`` starts three ``dovetail worker``s,
lets clients have that many tasks done at an app that runs none itself, does to the workers and the engine what happens
to machines, and gives all that was seen to `task_checker`. It ends with 1 if anything is wrong. The seed decides what
is done in which order; when, the machine decides.

Specification: none.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "cluster"), str(HERE.parent.parent)]

from crash_app import DECLARED, REVISION, answer, app_of  # noqa: E402 - found where this file is
from machines import ENGINES, Engine, MissingEngine, environment_of, start_engine  # noqa: E402 - as above
from task_checker import KeptTask, TaskHistory, check  # noqa: E402 - as above

from dovetail.extensions.tasks.records import TaskData  # noqa: E402 - as above
from dovetail.security.principal import ANONYMOUS  # noqa: E402 - as above
from dovetail.stores import Store  # noqa: E402 - as above
from dovetail.stores.urls import open_store  # noqa: E402 - as above
from wire_of_server import Wire  # noqa: E402 - as above

WORKERS: Final = 3
CLIENTS: Final = 40
LOOK: Final = 0.1
BETWEEN: Final = (0.5, 2.5)
"""Seconds between two faults."""
WORK: Final = (sys.executable, "-m", "dovetail", "worker", str(HERE / "worker_app.py"), "--at-once", "20")


class TaskWorkerProcess:
    """One of ``dovetail worker``. ``log``: where it writes to."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment, self.log = environment, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it says that it works."""
        with self.log.open("ab") as log:
            said = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *WORK,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

        give_up = time.monotonic() + 60
        while b"working on" not in self.log.read_bytes()[said:]:
            assert self._process.returncode is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            await asyncio.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, number: int) -> int:
        """Send it a signal, and wait for its end; gives its exit status."""
        assert self._process is not None
        self.signal(number)
        return await self._process.wait()


class TaskCluster:
    """An engine, workers, and an app that serves and runs nothing. ``faults``: what was done to them."""

    def __init__(self, engine: Engine, folder: Path, *, lease: float) -> None:
        self.engine = engine
        self.effects = folder / "effects"
        self.effects.touch()
        self.store: Store = open_store(engine.url)
        self.app = app_of("crash", self.store, lambda _: None, room=0, lease=lease)
        environment = environment_of(engine, folder)
        self.workers = [TaskWorkerProcess(environment, folder / f"log-{each}") for each in range(WORKERS)]
        self.faults: Counter[str] = Counter()

    async def break_things(self, seed: int) -> None:
        """Do one thing after the other until cancelled; what was begun is mended all the same."""
        chance = random.Random(seed)
        engines = hasattr(self.engine, "process")
        while True:
            await asyncio.sleep(chance.uniform(*BETWEEN))
            what = chance.choices(
                ("kill", "stop", "pause", "pause engine", "kill engine"), (6, 2, 2, engines, engines)
            )[0]
            self.faults[what] += 1
            await asyncio.shield(asyncio.ensure_future(self._break(what, chance)))

    async def _break(self, what: str, chance: random.Random) -> None:
        worker, engine = chance.choice(self.workers), self.engine
        if what == "kill":
            await worker.end(signal.SIGKILL)
            await worker.start()
        elif what == "stop":
            assert await worker.end(signal.SIGTERM) == 0, worker.log.read_text()
            await worker.start()
        elif what == "pause":
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(chance.choice((0.3, 5.0)))  # the second is longer than a lease
            worker.signal(signal.SIGCONT)
        elif what == "pause engine":
            engine.pause()
            await asyncio.sleep(chance.choice((0.3, 2.0)))
            engine.resume()
        else:
            engine.kill()
            await asyncio.to_thread(engine.start)

    async def kept(self) -> list[KeptTask]:
        """All tasks, as the store has them."""
        found: list[KeptTask] = []
        after = None
        while page := await self.store.tasks.list(ANONYMOUS.key, after=after, limit=500):
            for record in page:
                data = TaskData.of(record)
                cut = max(0, record.attempts - len(data.used) - 1)  # one for each question, one for the end
                found.append(KeptTask(record.id, record.status, cut, frozenset(data.used)))
            after = (page[-1].created, page[-1].id)
        return found


@asynccontextmanager
async def cluster(kind: str, folder: Path, *, lease: float) -> AsyncIterator[TaskCluster]:
    """A cluster for as long as this lasts. Raises `MissingEngine`."""
    engine = await start_engine(kind, folder)
    try:
        found = TaskCluster(engine, folder, lease=lease)
        await asyncio.gather(*(each.start() for each in found.workers))
        await found.app.service.start()
        try:
            yield found
        finally:
            await asyncio.gather(*(each.end(signal.SIGKILL) for each in found.workers))
            await found.app.service.stop()
            await found.store.aclose()
    finally:
        engine.resume()
        await asyncio.to_thread(engine.remove)


class TaskClient:
    """Has one task after the other done, whatever fails meanwhile."""

    def __init__(self, app: Any, seed: str) -> None:
        self._wire = Wire(app, REVISION, DECLARED)
        self._random = random.Random(seed)
        self._ids = itertools.count(1)

    async def _sent(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The result; None for an error of the server's, which is one that its callers can do something with."""
        answered = await asyncio.wait_for(await self._wire.start(next(self._ids), method, params), 60)
        problem = answered.get("error")
        if problem is not None and (problem["code"] != -32603 or "try again" not in problem["message"]):
            raise AssertionError(f"{method}: {problem}")
        return answered.get("result")

    async def do(self, key: str) -> TaskHistory:
        """Have one done."""
        once = self._random.random() < 0.25
        history = TaskHistory(key, once)
        cancel_after = self._random.uniform(0, 0.5) if self._random.random() < 0.1 else None
        call = {"name": "travel_once" if once else "travel", "arguments": {"key": key}}
        while not (made := await self._sent("tools/call", call)):
            history.refused += 1
            await asyncio.sleep(LOOK)
            call["arguments"] = {"key": key}
        history.id = made["taskId"]
        began = time.monotonic()
        while not history.ended:
            await asyncio.sleep(LOOK)
            if cancel_after is not None and time.monotonic() > began + cancel_after:
                await self._sent("tasks/cancel", {"taskId": history.id})
            await self._look(history)
        await self._look(history)
        return history

    async def _look(self, history: TaskHistory) -> None:
        """Ask how far it is, and answer what it asks."""
        task = await self._sent("tasks/get", {"taskId": history.id})
        if task is None:
            return
        if task["status"] == "input_required":
            history.asked |= task["inputRequests"].keys()
            answers = {key: answer(history.key) for key in task["inputRequests"]}
            await self._sent("tasks/update", {"taskId": history.id, "inputResponses": answers})
        elif task["status"] != "working":
            history.cancelled = task["status"] == "cancelled"
            content = task.get("result", {}).get("content", [{"text": json.dumps(task.get("error"))}])
            history.ended.append((task["status"], content[0]["text"]))


async def drive(machines: TaskCluster, *, tasks: int, seed: int, faults: bool = True) -> list[str]:
    """Have so many tasks done; gives what is wrong."""
    left = iter(range(tasks))
    histories: list[TaskHistory] = []

    async def client(number: int) -> None:
        one = TaskClient(machines.app, f"{seed}/{number}")
        histories.extend([await one.do(f"k{each}") for each in left])

    failing = asyncio.create_task(machines.break_things(seed)) if faults else None
    try:
        await asyncio.gather(*(client(each) for each in range(min(CLIENTS, tasks))))
    finally:
        if failing is not None:
            failing.cancel()
            with suppress(asyncio.CancelledError):
                await failing
    return check(histories, await machines.kept(), machines.effects.read_text().splitlines())


async def main(arguments: argparse.Namespace) -> int:
    """Run, check, and say what was found."""
    with tempfile.TemporaryDirectory(prefix="dovetail-tasks-") as folder:
        async with cluster(arguments.engine, Path(folder), lease=3.0) as machines:
            began = time.monotonic()
            found = await drive(
                machines, tasks=arguments.tasks, seed=arguments.seed, faults=not arguments.no_faults
            )
            took = time.monotonic() - began
            for each in machines.workers:
                if "Traceback" in (text := each.log.read_text()):
                    found.append(
                        f"a worker's log has a traceback: ...{text[text.index('Traceback') :][:2000]}"
                    )
    done = ", ".join(f"{count} {what}" for what, count in machines.faults.most_common()) or "none"
    text = (
        f"{arguments.engine}, seed {arguments.seed}: {arguments.tasks} tasks in {took:.0f} s; faults: {done}"
    )
    print(text)  # noqa: T201 - what a command says
    for line in found[:50]:
        print(line)  # noqa: T201 - as above
    print(f"{len(found)} violations")  # noqa: T201 - as above
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Kill workers while they work off tasks, and check what became of them."
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default="redis")
    parser.add_argument("--no-faults", action="store_true", help="kill nothing")
    try:
        sys.exit(asyncio.run(main(parser.parse_args())))
    except MissingEngine as missing:
        sys.exit(str(missing))
