"""Workers and engines die at every step of a stream, and of a question that is answered at another worker.

What clients saw is given to the `checker`, whose rules hold everywhere; here stands what has to come of each step. A
short run with faults at random is here as well; the long one is ``python -m tests.cluster.crash``.

Follows: 2025-11-25 basic/transports "Resumability and Redelivery", client/elicitation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from checker import check
from crash import Faults, drive, summary
from driving import Driver, Recorder
from history import Effect, Fault, Opened, Outcome, Read, Reply, Resume
from machines import ENGINES, Cluster, MissingEngine, cluster

STEPS = 4
ENGINES_THAT_RUN = ("redis", "postgres")

pytestmark = pytest.mark.timeout(120)  # each starts three workers, and some of them again and again


@pytest.fixture(params=ENGINES)
async def machines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    try:
        async with cluster(request.param, tmp_path) as found:
            yield found
    except MissingEngine as missing:
        pytest.skip(str(missing))


class Scene:
    """One client, and what is done to the cluster at a step of its operation."""

    def __init__(self, machines: Cluster) -> None:
        self.machines = machines
        self.recorder = Recorder()
        self.faults = Faults(machines, self.recorder, 0)
        self.driver = Driver(self.recorder, machines.port, 0)

    def runs(self) -> int:
        """The worker that runs the operation."""
        return next(each.worker for each in reversed(self.recorder.records) if isinstance(each, Opened))

    def reads(self) -> int:
        """The worker that the client hears from."""
        found = [
            each for each in self.recorder.records if isinstance(each, Opened | Resume) and each.status == 200
        ]
        return found[-1].worker

    def outcome(self) -> Outcome:
        return [each for each in self.recorder.records if isinstance(each, Outcome)][-1]

    def verdict(self) -> list[str]:
        """What is wrong with all of it."""
        effects = [Effect(what, key) for what, key in self.machines.effects()]
        return [f"{each.rule}: {each.text}" for each in check([*self.recorder.records, *effects])]

    def at(self, what: str, value: str, do: object) -> None:
        """Do that once this was read."""
        done: list[bool] = []

        async def step(read: Read) -> None:
            if (read.what, read.value) == (what, value) and not done:
                done.append(True)
                await do()  # type: ignore[operator] - given as a function

        self.driver.on_read = step


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-039")
async def test_the_worker_that_runs_a_call_is_killed_at_each_step_of_its_stream(machines: Cluster) -> None:
    scene = Scene(machines)
    await scene.driver.open()
    for step in range(STEPS + 1):
        what, value = ("progress", str(step)) if step else ("primer", "")
        scene.at(what, value, lambda: scene.faults.kill_worker(scene.runs()))
        assert await scene.driver.work(STEPS, 0.05) == "error", (step, scene.outcome())
        assert "has died" in scene.outcome().value
        assert scene.verdict() == []


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-039")
async def test_a_worker_that_only_passes_a_stream_on_may_be_killed_at_each_step(machines: Cluster) -> None:
    """The first connection is cut, so that another worker passes the stream on; it is killed then."""
    scene = Scene(machines)
    await scene.driver.open()
    for step in range(2, STEPS + 1):
        cut: list[int] = []

        async def fault(read: Read, step: int = step, cut: list[int] = cut) -> None:
            if read.what != "progress":
                return
            if read.value == "1" and not cut:
                scene.driver.forget()  # the client loses its connection
            elif read.value == str(step) and not cut and scene.reads() != scene.runs():
                cut.append(step)
                await scene.faults.kill_worker(scene.reads())

        scene.driver.on_read = fault
        assert await scene.driver.work(6, 0.35) == "answer", (step, scene.outcome())
        assert scene.verdict() == []
    came_back = [each for each in scene.recorder.records if isinstance(each, Resume) and each.status == 200]
    assert len(came_back) >= STEPS, "once where a connection was cut, and again where a worker was killed"


async def test_a_question_is_answered_at_another_worker(machines: Cluster) -> None:
    scene = Scene(machines)
    await scene.driver.open()
    elsewhere = 0
    for _ in range(6):
        assert await scene.driver.ask() == "answer", scene.outcome()
        reply = [each for each in scene.recorder.records if isinstance(each, Reply)][-1]
        elsewhere += reply.worker != scene.runs()
    assert elsewhere, "the proxy gave each request to the next worker"
    assert scene.verdict() == []


@pytest.mark.parametrize(
    "machines,who",
    [
        *((engine, who) for engine in ENGINES for who in ("asker", "another")),
        *(
            (engine, "engine") for engine in ENGINES_THAT_RUN
        ),  # a file of SQLite is no process that could be killed
    ],
    indirect=["machines"],
)
async def test_somebody_is_killed_while_a_question_waits(machines: Cluster, who: str) -> None:
    """Before it is answered: of a death of the asker the client is told, any other changes nothing."""
    scene = Scene(machines)
    await scene.driver.open()
    done: list[bool] = []

    async def kill(read: Read) -> None:
        if read.what != "question" or done:
            return
        done.append(True)
        if who == "engine":
            await scene.faults.kill_engine(0)
        else:
            await scene.faults.kill_worker(scene.runs() if who == "asker" else (scene.runs() + 1) % 3)

    scene.driver.on_read = kill
    how = await scene.driver.ask()
    assert done
    assert how == ("error" if who == "asker" else "answer"), scene.outcome()
    assert scene.verdict() == []


async def test_whoever_took_the_answer_is_killed_at_once(machines: Cluster) -> None:
    """What was taken with 202 is not lost, though the worker that took it is."""
    scene = Scene(machines)
    await scene.driver.open()
    for _ in range(3):
        note = scene.driver._note
        killing: list[asyncio.Task[None]] = []

        def noted(record: object, note=note, killing=killing) -> None:
            note(record)
            if isinstance(record, Reply) and record.worker != scene.runs():
                scene.machines.workers[record.worker].signal(9)
                killing.append(asyncio.create_task(scene.faults.kill_worker(record.worker)))

        scene.driver._note = noted
        how = await scene.driver.ask()
        await asyncio.gather(*killing)
        scene.driver._note = note
        assert how == "answer", scene.outcome()
    assert scene.verdict() == []


async def test_a_call_is_cancelled_wherever_it_runs(machines: Cluster) -> None:
    scene = Scene(machines)
    await scene.driver.open()
    for _ in range(4):
        assert await scene.driver.cancel() == "cancelled"
    await machines.settled(lambda effects: sum(what == "cancelled" for what, _ in effects) == 4)
    assert scene.verdict() == []


@pytest.mark.parametrize("engine", ENGINES_THAT_RUN)
async def test_a_worker_that_stood_still_for_long_changes_nothing_that_was_told(
    engine: str, tmp_path: Path
) -> None:
    """Others think that it is dead and say so; when it goes on, its call is not answered a second time."""
    try:
        async with cluster(engine, tmp_path) as machines:
            scene = Scene(machines)
            await scene.driver.open()

            async def pause() -> None:
                worker = machines.workers[scene.runs()]
                worker.pause()
                scene.driver.forget()
                asyncio.get_running_loop().call_later(9, worker.resume)

            scene.at("progress", "2", pause)
            began = scene.recorder.now()
            how = await scene.driver.work(STEPS, 0.05)
            scene.recorder.records.append(
                Fault(began, scene.recorder.now(), "pause", f"worker {scene.runs()}")
            )
            assert how in ("answer", "error"), scene.outcome()
            assert scene.verdict() == []
    except MissingEngine as missing:
        pytest.skip(str(missing))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", ENGINES_THAT_RUN)
async def test_nothing_is_lost_or_doubled_in_a_short_run_with_faults(engine: str, tmp_path: Path) -> None:
    try:
        async with cluster(engine, tmp_path) as machines:
            history = await drive(machines, operations=300, seed=7)
    except MissingEngine as missing:
        pytest.skip(str(missing))
    assert check(history) == [], summary(history)
