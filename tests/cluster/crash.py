"""Workers and engines that are killed, paused and started again while clients go on: is anything lost, doubled, wrong?

``python -m tests.cluster.crash --operations 10000 --seed 1 [--engine redis] [--keep FILE]`` starts three workers behind
a plain proxy, lets clients do that many operations (`driving`), does to the cluster what happens to machines, and gives
the whole history to `checker`. It prints what came of the operations, and everything that is wrong; it ends with 1 if
anything is. The seed decides what is done to what in which order, and what clients do; when, the machine decides.

Specification: none.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from checker import TOLD, Violation, check  # noqa: E402 - found where this file is
from driving import Driver, Recorder  # noqa: E402 - as above
from history import Effect, Fault, Outcome, Record, save  # noqa: E402 - as above
from machines import ENGINES, Cluster, MissingEngine, cluster  # noqa: E402 - as above

CLIENTS: Final = 12
LISTENERS: Final = 3
NAMES: Final = ("a", "b", "c", "d")
#: What clients do, and how often.
SHARES: Final = {"work": 60, "ask": 25, "cancel": 7, "change": 8}
#: Seconds between two faults.
BETWEEN: Final = (0.3, 2.0)


class Faults:
    """What is done to a cluster, one thing after the other."""

    def __init__(self, machines: Cluster, recorder: Recorder, seed: int) -> None:
        self.machines = machines
        self.recorder = recorder
        self.random = random.Random(seed)
        self.engines = hasattr(machines.engine, "process")

    async def go_on(self) -> None:
        """Do one thing after the other until cancelled; what was begun is mended all the same."""
        while True:
            await asyncio.sleep(self.random.uniform(*BETWEEN))
            await asyncio.shield(asyncio.ensure_future(self.one()))

    async def one(self) -> None:
        """Do something, and mend it."""
        worker = self.random.choice(self.machines.workers)
        chosen = self.random.choices(
            (self.kill_worker, self.pause_worker, self.stop_worker, self.pause_engine, self.kill_engine),
            (5, 4, 2, 2 * self.engines, 2 * self.engines),
        )[0]
        await chosen(worker.number)

    async def kill_worker(self, number: int) -> None:
        """Kill one, and start it again."""
        worker = self.machines.workers[number]
        await self._during("kill", f"worker {number}", worker.kill, worker.start)

    async def stop_worker(self, number: int) -> None:
        """Let one end in order, and start it again."""
        worker = self.machines.workers[number]
        await self._during("stop", f"worker {number}", worker.stop, worker.start)

    async def pause_worker(self, number: int) -> None:
        """Stop one where it stands; now and then for so long that others think that it is dead."""
        worker = self.machines.workers[number]
        seconds = self.random.choice((0.2, 0.5, 1.0, 8.0))

        async def pause() -> None:
            worker.pause()
            await asyncio.sleep(seconds)

        async def resume() -> None:
            worker.resume()

        await self._during("pause", f"worker {number}", pause, resume)

    async def pause_engine(self, _: int) -> None:
        """Stop the engine where it stands."""
        seconds = self.random.choice((0.1, 0.5, 2.0))

        async def pause() -> None:
            self.machines.engine.pause()
            await asyncio.sleep(seconds)

        async def resume() -> None:
            self.machines.engine.resume()

        await self._during("pause", "engine", pause, resume)

    async def kill_engine(self, _: int) -> None:
        """Kill it, and start it again with what it had confirmed."""
        engine = self.machines.engine

        async def kill() -> None:
            engine.kill()
            await asyncio.sleep(self.random.choice((0.0, 0.5)))

        async def start() -> None:
            await asyncio.to_thread(engine.start)

        await self._during("kill", "engine", kill, start)

    async def empty_engine(self) -> None:
        """Kill it, and start it again with nothing in it."""
        engine = self.machines.engine

        async def kill() -> None:
            engine.kill()
            engine.empty()

        async def start() -> None:
            await asyncio.to_thread(engine.start)

        await self._during("empty", "engine", kill, start)

    async def _during(
        self, what: str, part: str, do: Callable[[], Awaitable[object]], undo: Callable[[], Awaitable[object]]
    ) -> None:
        began = self.recorder.now()
        try:
            await do()
        finally:
            await undo()
            self.recorder.records.append(Fault(began, self.recorder.now(), what, part))  # type: ignore[arg-type] - one of its words


async def drive(
    machines: Cluster, *, operations: int, seed: int, faults: bool = True, clients: int = CLIENTS
) -> list[Record]:
    """Let clients do so many operations together; gives the whole history."""
    recorder = Recorder()
    left = iter(range(operations))
    over = asyncio.Event()

    async def client(number: int) -> None:
        driver = Driver(recorder, machines.port, number, seed)
        await driver.open()
        for _ in left:
            what = driver.random.choices(tuple(SHARES), tuple(SHARES.values()))[0]
            if what == "work":
                await driver.work(driver.random.randint(1, 6), driver.random.choice((0.0, 0.002, 0.05)))
            elif what == "change":
                await driver.change(driver.random.choice(NAMES))
            else:
                await (driver.ask() if what == "ask" else driver.cancel())

    async def listener(number: int) -> None:
        driver = Driver(recorder, machines.port, number, seed)
        await driver.open()
        await driver.listen(driver.random.sample(NAMES, 2), over)

    listening = [asyncio.create_task(listener(1000 + each)) for each in range(LISTENERS)]
    failing = asyncio.create_task(Faults(machines, recorder, seed).go_on()) if faults else None
    try:
        await asyncio.gather(*(client(each) for each in range(clients)))
        if failing is not None:
            failing.cancel()
            await asyncio.gather(failing, return_exceptions=True)
        await asyncio.sleep(TOLD)  # what changed last is told within this time, or never
    finally:
        over.set()
        await asyncio.gather(*listening)
    recorder.records += [Effect(what, key) for what, key in machines.effects()]
    return sorted(recorder.records, key=lambda each: getattr(each, "at", float("inf")))


def summary(history: Sequence[Record]) -> str:
    """What came of the operations, and what was done to the cluster."""
    ended = Counter(each.how for each in history if isinstance(each, Outcome))
    done = Counter(f"{each.what} {each.part}" for each in history if isinstance(each, Fault))
    lines = [
        "outcomes: " + ", ".join(f"{count} {how}" for how, count in ended.most_common()),
        "faults: " + (", ".join(f"{count} {what}" for what, count in done.most_common()) or "none"),
    ]
    return "\n".join(lines)


async def main(arguments: argparse.Namespace) -> int:
    """Run, check, and say what was found."""
    with tempfile.TemporaryDirectory(prefix="dovetail-crash-") as folder:
        async with cluster(arguments.engine, Path(folder)) as machines:
            history = await drive(
                machines, operations=arguments.operations, seed=arguments.seed, faults=not arguments.no_faults
            )
            for worker in machines.workers:
                for line in worker.log:
                    if "Traceback" in line:
                        print(f"worker {worker.number} has a traceback in its log", flush=True)  # noqa: T201 - what a command says
    if arguments.keep is not None:
        save(history, arguments.keep)
    found: list[Violation] = check(history)
    print(f"{arguments.engine}, seed {arguments.seed}: {len(history)} records\n{summary(history)}")  # noqa: T201 - as above
    for each in found[:50]:
        print(f"{each.rule}: operation {each.operation}: {each.text}")  # noqa: T201 - as above
    print(f"{len(found)} violations")  # noqa: T201 - what a command says
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Break a cluster while clients go on, and check what they saw."
    )
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default="redis")
    parser.add_argument("--no-faults", action="store_true", help="break nothing")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the history there")
    try:
        sys.exit(asyncio.run(main(parser.parse_args())))
    except MissingEngine as missing:
        sys.exit(str(missing))
