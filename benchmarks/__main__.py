"""Measures Dovetail next to its peers and the floor, and prints the table of goals.

Usage: ``python -m benchmarks [--quick] [--rounds N] [--only MEASURE,...] [--who NAME,...]``, and ``python -m
benchmarks --page results/FILE.json`` to write ``docs/performance.md`` from what was measured before.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from . import machine, report
from .contestants import EVERYONE, FLOOR, MCP, MCP_FAST, OURS, Pace, contestants
from .installing import ROOT, SetUpFailed, install
from .measures import Group, groups, growth
from .page import write
from .processes import end_all
from .suite import Progress, Results, bind_to, failures, run

FULL = Pace()
QUICK = Pace(
    warm=0.3,
    run=0.4,
    spawns=1,
    streams=200,
    sessions=300,
    listeners=150,
    crowd_sessions=500,
    crowd_streams=100,
    told=32,
    waiting=2000,
)
QUICK_WHO = (OURS, MCP, MCP_FAST, FLOOR)
console = Console(width=None if sys.stdout.isatty() else 200)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, or write the page. Gives the exit status: 1 if one of our own measures failed."""
    given = options().parse_args(arguments)
    if given.page:
        for path in write(report.load(given.page), ROOT / "docs"):
            console.print(f"wrote {path.relative_to(ROOT)}")
        return 0
    if sys.platform != "linux":
        console.print("The benchmarks bind processes to cores and read /proc: they need Linux.")
        return 2
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return measure(given)
    except KeyboardInterrupt:
        console.print("stopped; every process that was started is ended")
        return 130
    except SetUpFailed as problem:
        console.print(f"a peer could not be installed: {problem}", markup=False)
        return 2
    finally:
        end_all()


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and peers, shorter runs, no plots")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 5; quick: 2)")
    parser.add_argument(
        "--only",
        default="",
        help="these measures alone, by the start of their names; growth: the points of the plots",
    )
    parser.add_argument("--who", default="", help=f"these alone, of {', '.join(EVERYONE)}")
    parser.add_argument("--no-growth", action="store_true", help="leave the points of the plots out")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write docs/performance.md from these results"
    )
    return parser


def measure(given: argparse.Namespace) -> int:
    """The run."""
    cores = machine.choose_cores()
    about = machine.describe()
    environments = install(_say)
    everyone = contestants(environments, cores)
    who = tuple(given.who.split(",")) if given.who else QUICK_WHO if given.quick else EVERYONE
    if unknown := set(who) - set(EVERYONE):
        console.print(f"nobody is called {', '.join(unknown)}; there are {', '.join(EVERYONE)}")
        return 2
    wanted = chosen(groups(), given.only)
    rounds: int = given.rounds or (2 if given.quick else 5)
    pace = QUICK if given.quick else FULL
    with_growth = "growth" in given.only if given.only else not (given.quick or given.no_growth)
    turns = rounds * sum(name in who for group in wanted for name in group.who)
    results = Results(
        about={
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "command": " ".join(("python -m benchmarks", *sys.argv[1:])),
            "commit": machine.commit(ROOT),
            "machine": about,
            "rounds": rounds,
            "pinned": cores.server is not None,
            "versions": environments.versions(),
        }
    )
    bind_to(cores.load)
    progress = Progress(turns + (growth.steps(who) if with_growth else 0), _say)
    whole = not (given.only or given.who or given.no_growth)
    path = (
        ROOT
        / "results"
        / ("bench-quick.json" if given.quick else "bench.json" if whole else "bench-part.json")
    )
    try:
        run(wanted, everyone, who=who, rounds=rounds, pace=pace, results=results, progress=progress)
        if with_growth:
            growth.grow(everyone, who, pace, results.growth, progress.tell, _say)
    except BaseException:
        path = ROOT / "results" / "bench-part.json"
        raise
    finally:
        report.save(results, path)
    report.show(results, console)
    took = datetime.timedelta(seconds=round(progress.elapsed()))
    console.print(
        f"took {took}; results in {path.relative_to(ROOT)}; goals missed: {report.goals_missed(results)}"
    )
    for line in failures(results, OURS):
        console.print(f"[red]dovetail failed[/] {line}")
    return 1 if failures(results, OURS) else 0


def chosen(every: Sequence[Group], only: str) -> list[Group]:
    """The groups with a measure whose name begins like one of these."""
    starts = tuple(part.strip() for part in only.split(",") if part.strip())
    if not starts:
        return list(every)
    return [group for group in every if any(name.startswith(starts) for name in group.measures)]


def _say(text: str) -> None:
    console.print(text, style="dim", markup=False, highlight=False)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
