"""Break the line that keeps a rule of the specification, and see its own tests fail.

Theory of operation. ``tests/must/mutations.toml`` names, for rows of ``tests/requirements.csv``, the line of the
library or an application that keeps them, and how to break it. For each entry the line is broken in a copy, and the
tests tagged with these rows are run against it, those of a row until one fails: one of each row has to. What is
promised and stands in no row has its words in ``promise``, and in ``tests`` where it is tried: one of those has to
fail. What survives is a rule that nothing holds. Nothing in the tree is touched, whenever this ends: each worker has a
copy in a folder for temporary files, in which only the broken file is written anew.

    python tools/mutations.py                     all of them
    python tools/mutations.py R2607-MRTR-001 ...  those of some rows (the start of an id will do), areas or files
    python tools/mutations.py --broken ...        without running the tests as they are before, to see that they pass
    python tools/mutations.py --check             only see that every entry still fits the source; takes a second
    python tools/mutations.py --left [AREA ...]   the MUST rows with tests of their own for which no line is named

Exit status 1 if one survives, or does not fit.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import csv
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from requirements_report import named_rows
from workspace import ROOT, applications, distributions, library

TESTS = ROOT / "tests"
PACKAGES = {each.package.name: each.package for each in distributions()}
TABLE = TESTS / "must" / "mutations.toml"
SECONDS = 180.0  # for the tests of one entry: a broken line may well make them wait
SLOW = 20.0  # an entry that takes longer is told of: its line can perhaps be broken so that nothing waits
_HELD = "rows without a failing test:"
_RAN = (0, 1)  # what pytest ends with when it ran tests and nothing else went wrong


@dataclass(frozen=True)
class Change:
    """A ``line`` (or lines) of a ``file``, and what it becomes. The file is one of the library's package, unless its
    path begins with the package of an application.
    """

    file: str
    line: str
    broken: str

    def within(self, packages: Mapping[str, Path]) -> Path:
        """The file, where the packages are in these folders."""
        first, _, rest = self.file.partition("/")
        return packages[first] / rest if first in packages else packages[library().package.name] / self.file

    def apply(self, text: str) -> str:
        """The text of the file with the line broken. Raises ValueError where the line is not there just once."""
        if (found := text.count(self.line)) != 1:
            raise ValueError(f"{self.file}: this stands there {found} times, not once: {self.line.strip()}")
        return text.replace(self.line, self.broken)

    def __str__(self) -> str:
        return f"{self.file}: {self.line.strip().splitlines()[0]}"


@dataclass(frozen=True)
class Mutation:
    """One entry: ``rows``, and the ``changes`` that break them together: one, unless two lines keep the rule. In the
    place of rows, a ``promise`` that no row has, and the ``tests`` (files or tests in them) that try it.
    """

    rows: tuple[str, ...]
    changes: tuple[Change, ...]
    promise: str = ""
    tests: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """What its line keeps: the rows, or the promise."""
        return self.rows or (self.promise,)

    def __str__(self) -> str:
        return f"{', '.join(self.kept)} at {self.changes[0]}"


@dataclass(frozen=True)
class Fate:
    """What came of an entry in so many ``seconds``: the rows of which no test noticed (``held``), or the ``problem``
    that kept tests from running.
    """

    held: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0


def table() -> list[Mutation]:
    """All entries."""
    with TABLE.open("rb") as file:
        entries = tomllib.load(file)["mutation"]
    return [
        Mutation(
            tuple(each.get("rows", ())),
            tuple(Change(one["file"], one["line"], one["broken"]) for one in (each, *each.get("also", ()))),
            each.get("promise", ""),
            tuple(each.get("tests", ())),
        )
        for each in entries
    ]


@cache
def must_rows() -> dict[str, str]:
    """The area of every MUST row, by id."""
    with (TESTS / "requirements.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["area"] for row in csv.DictReader(file) if row["level"].startswith("MUST")}


@cache
def tagged() -> dict[str, set[Path]]:
    """The test modules in which a row is named."""
    found: dict[str, set[Path]] = {}
    folders = [TESTS, *(each.tests for each in applications())]
    for path in (found for folder in folders for found in folder.rglob("test_*.py")):
        if "interop" in path.parts:
            continue
        for row in named_rows(path.read_text("utf-8")):
            found.setdefault(row, set()).add(path)
    return found


def misfits(mutations: Sequence[Mutation]) -> list[str]:
    """What is wrong with the table itself."""
    wrong: list[str] = []
    for each in mutations:
        wrong += [f"{row} is no MUST row" for row in each.rows if row not in must_rows()]
        wrong += [f"{row} has no tagged test" for row in each.rows if row not in tagged()]
        wrong += [f"{each}: rows, or a promise and its tests"] if bool(each.rows) == bool(each.tests) else []
        wrong += [f"{each}: there is no {test}" for test in each.tests if not is_there(test)]
        for change in each.changes:
            try:
                compile(change.apply(change.within(PACKAGES).read_text("utf-8")), change.file, "exec")
            except (OSError, ValueError, SyntaxError) as problem:
                wrong.append(f"{', '.join(each.rows)}: {problem}")
    return wrong


def is_there(test: str) -> bool:
    """Whether there is a file of tests, or a function in it (``tests/x/test_y.py::test_z``)."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return False
    found = ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if name else ()
    return not name or any(getattr(node, "name", "") == name for node in found)


def without_a_line(mutations: Sequence[Mutation]) -> dict[str, str]:
    """The area of each MUST row that has tests of its own, and no line that the table breaks, by id."""
    named = {row for each in mutations for row in each.rows}
    return {row: area for row, area in must_rows().items() if row in tagged() and row not in named}


def run_tests(
    rows: tuple[str, ...], source: Path, *options: str, seconds: float | None = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run the tests of some rows against a copy of the package."""
    files = sorted({str(path.relative_to(ROOT)) for row in rows for path in tagged()[row]})
    return run_pytest(source, *options, f"--requirements={','.join(rows)}", *files, seconds=seconds)


def run_pytest(source: Path, *words: str, seconds: float | None) -> subprocess.CompletedProcess[str]:
    """Run some tests against a copy of the package."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source), "CI": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def copied(place: Path) -> Path:
    """A copy of the packages, compiled so that what is written anew in it is seen whatever the clock says."""
    for name, package in PACKAGES.items():
        shutil.copytree(package, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(place, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return place


def fate(mutation: Mutation, source: Path) -> Fate:
    """Break the line in a copy of the package, and see."""
    began = time.monotonic()
    whole: dict[Path, str] = {}
    for change in mutation.changes:
        path = change.within({name: source / name for name in PACKAGES})
        text = path.read_text("utf-8")
        whole.setdefault(path, text)
        path.write_text(change.apply(text), "utf-8")
    try:
        if mutation.tests:
            ran = run_pytest(source, "-x", "-p", "no:xdist", *mutation.tests, seconds=SECONDS)
        else:
            ran = run_tests(mutation.rows, source, "--until-each-fails", "-p", "no:xdist")
    except subprocess.TimeoutExpired:
        return Fate(problem=f"its tests took more than {SECONDS:g} s: break it so that nothing waits")
    finally:
        for path, text in whole.items():
            path.write_text(text, "utf-8")
    said = [line for line in ran.stdout.splitlines() if line.startswith(_HELD)]
    if ran.returncode not in _RAN or not (said or mutation.tests):
        return Fate(problem=f"its tests could not be run:\n{(ran.stdout + ran.stderr)[-2000:]}")
    seconds = time.monotonic() - began
    if mutation.tests:
        return Fate(() if ran.returncode else mutation.kept, seconds=seconds)
    return Fate(tuple(said[-1].removeprefix(_HELD).split()), seconds=seconds)


def chosen(mutations: Sequence[Mutation], words: Sequence[str]) -> list[Mutation]:
    """Those whose rows, promises, areas or files begin with one of the words; all without any."""

    def meant(each: Mutation) -> bool:
        names = (*each.kept, *(one.file for one in each.changes), *(must_rows()[row] for row in each.rows))
        return any(name.startswith(tuple(words)) for name in names)

    return [each for each in mutations if not words or meant(each)]


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; a mistake, or ``--help``, ends the process."""
    parser = argparse.ArgumentParser(
        prog="tools/mutations.py",
        description="Break the line that keeps a rule of the specification, and see its own tests fail.",
        epilog="Exit status 1 if one survives, or does not fit.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="a row or a promise (its start will do), an area or a file"
    )
    parser.add_argument(
        "--broken", action="store_true", help="do not run the tests as they are first, to see that they pass"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--check", action="store_true", help="only see that every entry still fits the source"
    )
    instead.add_argument(
        "--left", action="store_true", help="the MUST rows with tests of their own for which no line is named"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Check the table, break each line, print what survives and how many do not, area by area."""
    options = read_options(arguments)
    words: list[str] = options.words
    mutations = table()
    if wrong := misfits(mutations):
        print(*wrong, sep="\n")
        print(f"mutations: {len(wrong)} entries of {TABLE.name} do not fit; mend the table")
        return 1
    if options.check:
        rows = {row for each in mutations for row in each.rows}
        promises = sum(not each.rows for each in mutations)
        print(f"mutations: {len(mutations)} entries fit, {len(rows)} rows, {promises} promises")
        return 0
    if options.left:
        left = without_a_line(mutations)
        print(*(row for row, area in left.items() if not words or area in words), sep="\n")
        return 0
    some = chosen(mutations, words)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        sources: SimpleQueue[Path] = SimpleQueue()
        for number in range(os.cpu_count() or 2):
            sources.put(copied(Path(scratch) / str(number)))
        if some and not options.broken:
            print(f"mutations: {len(some)} lines; first the tests as they are ...", flush=True)
            if told := failing(some, copied(Path(scratch) / "whole")):
                print(told, "mutations: these fail already", sep="\n")
                return 1
        return report(some, sources, began)


def failing(mutations: Sequence[Mutation], source: Path) -> str:
    """What the tests of some entries say that fail as the source is; "" where none does."""
    side_by_side = ("-x", "-n", str(os.cpu_count() or 2))
    ran: list[subprocess.CompletedProcess[str]] = []
    if rows := tuple(sorted({row for each in mutations for row in each.rows})):
        ran.append(run_tests(rows, source, *side_by_side, seconds=None))
    if tests := sorted({test for each in mutations for test in each.tests}):
        ran.append(run_pytest(source, *side_by_side, *tests, seconds=None))
    return "\n".join(each.stdout[-3000:] for each in ran if each.returncode)


def report(mutations: Sequence[Mutation], sources: SimpleQueue[Path], began: float) -> int:
    """Break each, printing as it goes."""

    def one(mutation: Mutation) -> Fate:
        source = sources.get()
        try:
            return fate(mutation, source)
        finally:
            sources.put(source)

    areas = {name: must_rows().get(name, "(promises)") for each in mutations for name in each.kept}
    alive: set[str] = set()
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for number, (mutation, end) in enumerate(zip(mutations, pool.map(one, mutations), strict=True), 1):
            alive.update(mutation.kept if end.problem else end.held)
            if end.problem:
                print(f"UNTESTED: {mutation}: {end.problem}", flush=True)
            elif end.held:
                print(f"SURVIVED: {', '.join(end.held)} at {mutation.changes[0]}", flush=True)
            elif end.seconds > SLOW:
                print(f"slow: {end.seconds:.0f} s for {mutation}", flush=True)
            if number % 10 == 0:
                print(f"  {number}/{len(mutations)} after {time.monotonic() - began:.0f} s", flush=True)
    all_of = Counter(areas.values())
    noticed = Counter(area for name, area in areas.items() if name not in alive)
    for area, count in sorted(all_of.items()):
        print(f"{area:<16} {noticed[area]:>4} of {count:>4}")
    print(
        f"mutations: {noticed.total()} of {all_of.total()} rows and promises notice their broken line"
        f" ({100 * noticed.total() / max(1, all_of.total()):.0f} %; {len(mutations)} lines),"
        f" {time.monotonic() - began:.0f} s"
    )
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
