"""Run the official conformance suites against our server, client and authorization server: ``make conformance``.

Theory of operation: `environment` installs what is needed, `plan` asks the suites what they hold, each scenario is one
process of the suite, and `verdicts` reads what it wrote. As many run at once as there are processors; the scenarios of
one server suite run one after the other against one server of their own, for they share what it offers. What measures
time runs alone: a client's at the end, a server's while all others wait. Every process has its time limit and a process
group of its own, which dies with it.

    python conformance/run.py [--only NAME ...] [--keep] [--cluster ENGINE] [--proxy REVISION]
        [--gateway REVISION]

``--only NAME`` runs the scenarios whose name is or starts with NAME. ``--keep`` keeps what the suites wrote.
``--cluster redis`` (or ``postgres``, ``sqlite``) runs the server scenarios alone, each suite against three workers that
share such a store, behind a proxy that gives each request to the next worker. ``--proxy REVISION`` runs them against
``dovetail proxy``, which speaks this revision with the server that it starts ("auto": what that speaks; "all": one
after the other what the suites know), ``--gateway REVISION`` against ``dovetail gateway``, which has that server behind
it under its own names.
Exit status 0 only if nothing unexpected happened: no failure, no warning, no stale entry among the expected failures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import between as betweens
import environment
import plan as planning
import serving
import verdicts
from between import Between
from environment import CACHE, SetUpError, say
from plan import Plan, Scenario
from serving import process_of
from verdicts import Outcome

HERE = Path(__file__).resolve().parent
CLIENT_LIMIT = 20.0  # seconds that a client may take for a scenario; the suite ends it then
SCENARIO_LIMIT = 60.0  # seconds for a whole scenario


class Runner:
    """Runs scenarios, tells of each as it ends, and collects the outcomes."""

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        expected: dict[str, set[str]],
        results: Path,
        engine: str | None = None,
        between: Between | None = None,
    ) -> None:
        self.between = between
        self.expected = expected
        self.scenarios = scenarios
        self.outcomes: list[Outcome] = []
        self._results = results
        self._engine = engine
        self._width = max((len(each.suite) for each in scenarios), default=0)
        self._many = os.cpu_count() or 1
        self._slots = asyncio.Semaphore(self._many)
        self._turn = asyncio.Lock()
        self._folders = 0

    def unexpected(self) -> list[Outcome]:
        """What is not good and was not expected to be bad."""
        return [each for each in self.outcomes if not each.good and not self._was_expected(each)]

    def _was_expected(self, outcome: Outcome) -> bool:
        return outcome.scenario.name in self.expected[outcome.scenario.role]

    async def run(self) -> None:
        """Everything, side by side; then alone what measures time."""
        clients = [self._client(each) for each in self.scenarios if each.role == "client" and not each.timed]
        suites: dict[str, list[Scenario]] = {}
        for each in self.scenarios:
            if each.role == "server":
                suites.setdefault(each.suite, []).append(each)
        authorities = [self._authority(each) for each in self.scenarios if each.role == "authorization"]
        await _all(
            [*(self._server_suite(name, each) for name, each in suites.items()), *clients, *authorities]
        )
        for each in self.scenarios:
            if each.role == "client" and each.timed:
                await self._client(each)

    async def _server_suite(self, suite: str, scenarios: Iterable[Scenario]) -> None:
        folder = self._results / f"server {suite}"
        folder.mkdir()
        async with serving.served(self._engine, folder, self.between) as server:
            for scenario in scenarios:
                await self._scenario(scenario, ["server", "--url", server.url])
                server.check()

    async def _client(self, scenario: Scenario) -> None:
        ours = shlex.join([sys.executable, str(HERE / "client.py")])
        await self._scenario(
            scenario, ["client", "--command", ours, "--timeout", str(int(CLIENT_LIMIT * 1000))]
        )

    async def _authority(self, scenario: Scenario) -> None:
        folder = self._folder(scenario)
        command = [sys.executable, str(HERE / "authserver.py"), *scenario.release.command, "authorization"]
        await self._judged(
            scenario, folder, [*command, "--spec-version", scenario.revision, "-o", str(folder)]
        )

    async def _scenario(self, scenario: Scenario, arguments: list[str]) -> None:
        folder = self._folder(scenario)
        command = [*scenario.release.command, *arguments, "--scenario", scenario.name, "-o", str(folder)]
        if scenario.revision:
            command += ["--spec-version", scenario.revision, "--force"]
        await self._judged(scenario, folder, command)

    def _folder(self, scenario: Scenario) -> Path:
        self._folders += 1
        folder = self._results / f"{self._folders:03} {scenario.name.replace('/', ' ')}"
        folder.mkdir(parents=True)
        return folder

    async def _judged(self, scenario: Scenario, folder: Path, command: list[str]) -> None:
        async with self._room(self._many if scenario.timed else 1):
            began = time.monotonic()
            status: int | None = None
            async with process_of(command, folder / "said.txt") as process:
                with suppress(TimeoutError):
                    status = await asyncio.wait_for(process.wait(), SCENARIO_LIMIT)
            seconds = time.monotonic() - began
        said = (folder / "said.txt").read_text(errors="replace")
        outcome = verdicts.judge(scenario, folder, status=status, said=said, seconds=seconds)
        self.outcomes.append(outcome)
        self._tell(outcome)

    @asynccontextmanager
    async def _room(self, many: int) -> AsyncGenerator[None]:
        """Wait for so many processors. Whoever wants several is not passed by those who want one."""
        async with AsyncExitStack() as taken:
            async with self._turn:
                for _ in range(many):
                    await taken.enter_async_context(self._slots)
            yield

    def _tell(self, outcome: Outcome) -> None:
        scenario, done = outcome.scenario, f"{len(self.outcomes):3}/{len(self.scenarios)}"
        word = "ok  " if outcome.good else "as expected, fails" if self._was_expected(outcome) else "FAIL"
        where = f"{scenario.suite:{self._width}}  {scenario.role}"
        say(
            f"{done}  {where}  {word}  {scenario.name}  {outcome.counts['SUCCESS']} checks, {outcome.seconds:.1f} s"
        )
        if word == "FAIL":
            say_problems(outcome)


def say_problems(outcome: Outcome) -> None:
    """The failing checks, indented."""
    for problem in outcome.problems:
        say("\n".join(f"        {line}" for line in problem.splitlines()))


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Wait for everything; the first error ends the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chosen(plan: Plan, only: Sequence[str]) -> list[Scenario]:
    """The scenarios to run. Raises `SetUpError` for a name that fits none."""
    for name in only:
        if not any(each.name.startswith(name) for each in plan.scenarios):
            raise SetUpError(f"no scenario is called {name} or starts with it")
    return [each for each in plan.scenarios if not only or any(each.name.startswith(name) for name in only)]


def sum_up(runners: Sequence[Runner], wrong: list[str]) -> int:
    """The tables, what went wrong once more, and the closing line."""
    for runner in runners:
        way = betweens.in_words(runner.between)
        for outcome in runner.unexpected():
            say(f"\nFAIL  {way}  {outcome.scenario.suite}  {outcome.scenario.role}  {outcome.scenario.name}")
            say_problems(outcome)
    for runner in runners:
        say("\n" + betweens.in_words(runner.between))
        say(verdicts.table(runner.outcomes, runner.expected))
    say("")
    for text in wrong:
        say(f"FAIL  {text}")
    good = sum(1 for runner in runners for each in runner.outcomes if each.good)
    bad = sum(len(runner.unexpected()) for runner in runners)
    say(f"{good} passed, {bad + len(wrong)} failed")
    return 1 if bad or wrong or not good else 0


async def main(arguments: argparse.Namespace) -> int:
    """Set up, plan, run, sum up."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    plan = planning.draw_up(*environment.releases())
    expected = verdicts.read_expected()
    wrong = verdicts.check_list(expected, plan)
    scenarios = chosen(plan, arguments.only)
    ways: list[Between | None] = [
        way for command in betweens.COMMANDS for way in betweens.ways(command, getattr(arguments, command))
    ]
    if arguments.cluster is not None or ways:
        scenarios = [each for each in scenarios if each.role == "server"]
    results = CACHE / f"results-{os.getpid()}"
    shutil.rmtree(results, ignore_errors=True)
    runners: list[Runner] = []
    try:
        for way in ways or [None]:
            folder = results / (betweens.in_words(way) or "direct")
            folder.mkdir(parents=True)
            may_fail = expected if way is None else way.expected(expected)
            runner = Runner(scenarios, may_fail, folder, arguments.cluster, way)
            runners.append(runner)
            began = time.monotonic()
            say(
                f"{betweens.in_words(way)}: {len(scenarios)} scenarios, {os.cpu_count()} at once".lstrip(": ")
            )
            await runner.run()
            say(f"\nAll run after {time.monotonic() - began:.0f} s")
            wrong += [
                f"{betweens.in_words(way)}: {text}".lstrip(": ")
                for text in verdicts.stale(may_fail, runner.outcomes)
            ]
    finally:
        if arguments.keep:
            say(f"What the suites wrote is in {results}")
        else:
            shutil.rmtree(results, ignore_errors=True)
    return sum_up(runners, wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Run the conformance suites against our server, client and authorization server."
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="scenarios named so, or starting so"
    )
    parser.add_argument("--keep", action="store_true", help="keep what the suites wrote")
    parser.add_argument(
        "--cluster",
        choices=serving.ENGINES,
        metavar="ENGINE",
        help="the server scenarios against three workers",
    )
    parser.add_argument(
        "--proxy",
        metavar="REVISION",
        help='the server scenarios through a proxy that speaks this revision; "all": each',
    )
    parser.add_argument(
        "--gateway",
        metavar="REVISION",
        help='the server scenarios through a gateway that speaks this revision; "all": each',
    )
    try:
        sys.exit(asyncio.run(main(parser.parse_args())))
    except (SetUpError, verdicts.ListError) as error:
        sys.exit(f"conformance: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("conformance: stopped")
