"""Break the line that keeps a rule of the specification, and see its own tests fail.

Theory of operation. ``tests/must/mutations.toml`` names, for rows of ``tests/requirements.csv``, the line of the
package that keeps them, and how to break it. For each entry the package is copied, the line broken in the copy, and
the tests tagged with these rows are run against it: at least one has to fail. What survives is a rule that nothing
holds. Nothing in the tree is touched; copies are made per worker, and only the broken file is written anew.

    python tools/mutations.py                  all of them
    python tools/mutations.py R2607-MRTR-001   those of some rows (the start of an id will do)
    python tools/mutations.py --check          only see that every entry still fits the source

Exit status 1 if one survives, or does not fit.
"""

from __future__ import annotations

import ast
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PACKAGE = ROOT / "src" / "dovetail"
TABLE = TESTS / "must" / "mutations.toml"
SECONDS = 180.0  # for the tests of one entry: a broken line may well make them wait
Fate = Literal["killed", "SURVIVED", "UNTESTED"]


@dataclass(frozen=True)
class Mutation:
    """One entry: ``rows``, the ``file`` in the package, the ``line`` (or lines) in it, and what it becomes."""

    rows: tuple[str, ...]
    file: str
    line: str
    broken: str

    def apply(self, text: str) -> str:
        """The text of the file with the line broken. Raises ValueError where the line is not there just once."""
        if (found := text.count(self.line)) != 1:
            raise ValueError(f"{self.file}: this stands there {found} times, not once: {self.line.strip()}")
        return text.replace(self.line, self.broken)


def table() -> list[Mutation]:
    """All entries."""
    with TABLE.open("rb") as file:
        entries = tomllib.load(file)["mutation"]
    return [Mutation(tuple(each["rows"]), each["file"], each["line"], each["broken"]) for each in entries]


@cache
def must_rows() -> dict[str, str]:
    """The area of every MUST row, by id."""
    with (TESTS / "requirements.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["area"] for row in csv.DictReader(file) if row["level"].startswith("MUST")}


@cache
def tagged() -> dict[str, set[Path]]:
    """The test modules in which a row is named."""
    found: dict[str, set[Path]] = {}
    for path in TESTS.rglob("test_*.py"):
        if "interop" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.requirement"):
                for each in node.args:
                    if isinstance(each, ast.Constant):
                        found.setdefault(str(each.value), set()).add(path)
    return found


def misfits(mutations: list[Mutation]) -> list[str]:
    """What is wrong with the table itself."""
    wrong: list[str] = []
    for each in mutations:
        path = PACKAGE / each.file
        wrong += [f"{row} is no MUST row" for row in each.rows if row not in must_rows()]
        wrong += [f"{row} has no tagged test" for row in each.rows if row not in tagged()]
        try:
            compile(each.apply(path.read_text("utf-8")), each.file, "exec")
        except (OSError, ValueError, SyntaxError) as problem:
            wrong.append(f"{', '.join(each.rows)}: {problem}")
    return wrong


def run_tests(
    rows: tuple[str, ...], source: Path, *, workers: int = 1, seconds: float | None = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run the tests of some rows against a copy of the package."""
    files = sorted({str(path.relative_to(ROOT)) for row in rows for path in tagged()[row]})
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-n", str(workers)] if workers > 1 else ["-p", "no:xdist"]
    command += ["--timeout=60", f"--requirements={','.join(rows)}", *files]
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def fate(mutation: Mutation, source: Path) -> Fate:
    """Break the line in a copy of the package, and see."""
    path = source / "dovetail" / mutation.file
    whole = path.read_text("utf-8")
    path.write_text(mutation.apply(whole), "utf-8")
    try:
        survivors = [row for row in mutation.rows if not killed(row, source)]
    except LookupError:
        return "UNTESTED"
    finally:
        path.write_text(whole, "utf-8")
    return "SURVIVED" if survivors else "killed"


def killed(row: str, source: Path) -> bool:
    """Whether the tests of a row fail. Raises LookupError where it has none that run."""
    try:
        status = run_tests((row,), source).returncode
    except subprocess.TimeoutExpired:
        return True  # tests that wait for ever do not pass
    if status == 5:
        raise LookupError(row)
    return status != 0


def main(arguments: list[str]) -> int:
    """Check the table, break each line, print what survives and how many do not, area by area."""
    mutations = table()
    if wrong := misfits(mutations):
        print(*wrong, sep="\n")
        print(f"mutations: {len(wrong)} entries of {TABLE.name} do not fit; mend the table")
        return 1
    if arguments == ["--check"]:
        print(
            f"mutations: {len(mutations)} entries fit, {len({row for m in mutations for row in m.rows})} rows"
        )
        return 0
    chosen = [each for each in mutations if any(r.startswith(tuple(arguments or [""])) for r in each.rows)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        sources: SimpleQueue[Path] = SimpleQueue()
        for number in range(os.cpu_count() or 2):
            copy = Path(scratch) / str(number)
            shutil.copytree(PACKAGE, copy / "dovetail", ignore=shutil.ignore_patterns("__pycache__"))
            sources.put(copy)
        every = tuple(sorted({row for each in chosen for row in each.rows}))
        print(
            f"mutations: {len(chosen)} lines, {len(every)} rows; first the tests as they are ...", flush=True
        )
        whole = run_tests(every, PACKAGE.parent, workers=os.cpu_count() or 2, seconds=None)
        if whole.returncode:
            print(whole.stdout[-3000:], "mutations: these fail already", sep="\n")
            return 1
        return report(chosen, sources, began)


def report(chosen: list[Mutation], sources: SimpleQueue[Path], began: float) -> int:
    """Break each, printing as it goes."""

    def one(mutation: Mutation) -> Fate:
        source = sources.get()
        try:
            return fate(mutation, source)
        finally:
            sources.put(source)

    areas: dict[str, Counter[Fate]] = {}
    alive = 0
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for number, (mutation, end) in enumerate(zip(chosen, pool.map(one, chosen), strict=True), 1):
            areas.setdefault(must_rows()[mutation.rows[0]], Counter())[end] += len(mutation.rows)
            if end != "killed":
                alive += 1
                print(
                    f"{end}: {', '.join(mutation.rows)} at {mutation.file}: {mutation.line.strip()}",
                    flush=True,
                )
            elif number % 10 == 0:
                print(f"  {number}/{len(chosen)} after {time.monotonic() - began:.0f} s", flush=True)
    total = Counter[Fate]()
    for area, ends in sorted(areas.items()):
        total += ends
        print(f"{area:<16} {ends['killed']:>4} of {ends.total():>4}")
    print(
        f"mutations: {total['killed']} of {total.total()} rows notice their broken line"
        f" ({100 * total['killed'] / max(1, total.total()):.0f} %), {time.monotonic() - began:.0f} s"
    )
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
