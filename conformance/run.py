"""Run the official conformance suites against our server, client and authorization server: ``make conformance``.

Theory of operation: `environment` installs what is needed, `plan` asks the suites what they hold, each scenario is one
process of the suite, and `verdicts` reads what it wrote. As many run at once as there are processors; the scenarios of
one server suite run one after the other against one server of their own, for they share what it offers. What measures
time runs alone at the end. Every process has its time limit and a process group of its own, which dies with it.

    python conformance/run.py [--only NAME ...] [--keep] [--cluster ENGINE] [--proxy REVISION]
        [--gateway REVISION]

``--only NAME`` runs the scenarios whose name is or starts with NAME. ``--keep`` keeps what the suites wrote.
``--cluster redis`` (or ``postgres``, ``sqlite``) runs the server scenarios alone, each suite against three workers that
share such a store, behind a proxy that gives each request to the next worker. ``--proxy REVISION`` runs them against
``dovetail proxy``, which speaks this revision with the server that it starts ("auto": what that speaks), ``--gateway
REVISION`` against ``dovetail gateway``, which has that server behind it under its own names.
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
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import environment
import plan as planning
import serving
import verdicts
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
        between: serving.Between | None = None,
    ) -> None:
        self.scenarios = scenarios
        self.outcomes: list[Outcome] = []
        self._expected = expected
        self._results = results
        self._engine = engine
        self._between = between
        self._width = max((len(each.suite) for each in scenarios), default=0)
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)
        self._folders = 0

    def unexpected(self) -> list[Outcome]:
        """What is not good and was not expected to be bad."""
        return [each for each in self.outcomes if not each.good and not self._was_expected(each)]

    def _was_expected(self, outcome: Outcome) -> bool:
        return outcome.scenario.name in self._expected[outcome.scenario.role]

    async def run(self) -> None:
        """Everything, side by side; then alone what measures time."""
        untimed = [each for each in self.scenarios if not each.timed]
        clients = [self._client(each) for each in untimed if each.role == "client"]
        suites: dict[str, list[Scenario]] = {}
        for each in untimed:
            if each.role == "server":
                suites.setdefault(each.suite, []).append(each)
        authorities = [self._authority(each) for each in untimed if each.role == "authorization"]
        await _all(
            [*(self._server_suite(name, each) for name, each in suites.items()), *clients, *authorities]
        )
        for each in self.scenarios:
            if each.timed:
                await self._client(each)

    async def _server_suite(self, suite: str, scenarios: Iterable[Scenario]) -> None:
        folder = self._results / f"server {suite}"
        folder.mkdir()
        async with serving.served(self._engine, folder, self._between) as server:
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
        async with self._slots:
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


def sum_up(runner: Runner, expected: dict[str, set[str]], wrong: list[str]) -> int:
    """The table, what went wrong once more, and the closing line."""
    bad = runner.unexpected()
    for outcome in bad:
        say(f"\nFAIL  {outcome.scenario.suite}  {outcome.scenario.role}  {outcome.scenario.name}")
        say_problems(outcome)
    say("\n" + verdicts.table(runner.outcomes, expected) + "\n")
    for text in wrong:
        say(f"FAIL  {text}")
    good = sum(1 for each in runner.outcomes if each.good)
    say(f"{good} passed, {len(bad) + len(wrong)} failed")
    return 1 if bad or wrong or not runner.outcomes else 0


async def main(arguments: argparse.Namespace) -> int:
    """Set up, plan, run, sum up."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    plan = planning.draw_up(*environment.releases())
    expected = verdicts.read_expected()
    wrong = verdicts.check_list(expected, plan)
    scenarios = chosen(plan, arguments.only)
    between = None
    for command, revision in (("proxy", arguments.proxy), ("gateway", arguments.gateway)):
        if revision is not None:
            between = serving.Between(command, revision)
    if arguments.cluster is not None or between is not None:
        scenarios = [each for each in scenarios if each.role == "server"]
    results = CACHE / f"results-{os.getpid()}"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    if between is not None:
        expected = verdicts.behind_proxy(expected, stateful=between.revision.startswith(("2024", "2025")))
    runner = Runner(scenarios, expected, results, arguments.cluster, between)
    began = time.monotonic()
    say(f"{len(scenarios)} scenarios, {os.cpu_count()} at once")
    try:
        await runner.run()
    finally:
        if arguments.keep:
            say(f"What the suites wrote is in {results}")
        else:
            shutil.rmtree(results, ignore_errors=True)
    say(f"\nAll run after {time.monotonic() - began:.0f} s")
    return sum_up(runner, expected, wrong + verdicts.stale(expected, runner.outcomes))


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
        "--proxy", metavar="REVISION", help="the server scenarios through a proxy that speaks this revision"
    )
    parser.add_argument(
        "--gateway",
        metavar="REVISION",
        help="the server scenarios through a gateway that speaks this revision",
    )
    try:
        sys.exit(asyncio.run(main(parser.parse_args())))
    except (SetUpError, verdicts.ListError) as error:
        sys.exit(f"conformance: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("conformance: stopped")
