"""Run the static checks and house rules side by side, and print one table.

Each check is a command of its own; what it said is shown only if it failed. Exit status 1 if any did.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from workspace import ROOT, applications, distributions

SCRIPTS = Path(sysconfig.get_path("scripts"))
FOLDERS = [
    name
    for name in ("src", "apps", "conftest.py", "tests", "tools", "examples", "conformance", "benchmarks")
    if (ROOT / name).exists()
]
LONG = 500  # lines from which a file is asked whether it holds two nouns; tests/house refuses it at 800
LINT_IMPORTS = [str(SCRIPTS / "lint-imports"), "--no-cache", "--no-logo"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]

# The slowest first: it sets the time of the whole.
CHECKS: dict[str, list[str]] = {
    "types": [str(SCRIPTS / "basedpyright"), "--pythonpath", sys.executable],
    "house rules": [*PYTEST, "tests/house"],
    "page": [sys.executable, "tools/page.py", "--check"],
    "imports": LINT_IMPORTS,
    **{
        f"imports of {each.path}": [*LINT_IMPORTS, "--config", f"{each.path}/pyproject.toml"]
        for each in applications()
    },
    "lint": [str(SCRIPTS / "ruff"), "check", *FOLDERS],
    "format": [str(SCRIPTS / "ruff"), "format", "--check", *FOLDERS],
}


@dataclass(frozen=True)
class Outcome:
    """How one check ended: seconds it took, and all it printed."""

    name: str
    passed: bool
    seconds: float
    output: str

    @property
    def last_line(self) -> str:
        """The line that sums the check up."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def run(name: str) -> Outcome:
    """Run one check to its end."""
    began = time.monotonic()
    environment = os.environ | {"NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            CHECKS[name],
            cwd=ROOT,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        said.seek(0)
        output = said.read()
    return Outcome(name, done.returncode == 0, time.monotonic() - began, output)


def long_files() -> list[str]:
    """The files of what is shipped that are long enough to be looked at again, longest first."""
    files = (path for each in distributions() for path in each.source.rglob("*.py"))
    sizes = {path: path.read_text().count("\n") for path in files}
    found = sorted(((size, path) for path, size in sizes.items() if size > LONG), reverse=True)
    return [f"{path.relative_to(ROOT)} ({size})" for size, path in found]


def main() -> int:
    """Run them all; print failures, then the table."""
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        outcomes = list(pool.map(run, CHECKS))
    for outcome in outcomes:
        if not outcome.passed:
            print(f"---- {outcome.name}: {' '.join(Path(word).name for word in CHECKS[outcome.name])}")
            print(outcome.output.rstrip(), end="\n\n")
    width = max(map(len, CHECKS))
    for outcome in outcomes:
        verdict = "ok    " if outcome.passed else "FAILED"
        print(f"{outcome.name:<{width}}  {verdict} {outcome.seconds:6.1f} s  {outcome.last_line[:80]}")
    if long := long_files():
        print(f"over {LONG} lines, does each still hold one noun? {', '.join(long)}")
    failed = sum(not outcome.passed for outcome in outcomes)
    print(f"{'all':<{width}}  {'FAILED' if failed else 'ok    '} {time.monotonic() - began:6.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
