"""Run the tests on the other Pythons that are installed: ``make test-pythons``, or some of them: ``ARGS=core``.

`make test` runs them on one Python, the first on the path. What differs between Pythons (how annotations are read, when
tasks begin, what a cancelled timeout leaves behind) shows at the two ends first: so the lowest and the newest that are
here run everything, and those between run the core, which is all that a call passes through. "Everything" is without
`SAME_ON_ALL` here: what `make test` has run, and what no Python can change; each is listed with the reason. Each has an
environment of its own, `.venvs/<version>`, from the same hashed list. One that is not installed is named, and is no
failure. Only the standard library is used.

    python tools/every_python.py                both ends and those between
    python tools/every_python.py everything     the ends alone
    python tools/every_python.py core           those between alone
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIND = ROOT / "tools" / "find_python.sh"
LOWEST = 11
#: As far as it is looked for; beyond what exists, so that a new one is found the day it is installed.
BEYOND = 20
#: What is between the two ends of a wire, without the tests of tools, pages, logins and costs.
CORE = (
    "tests/protocol",
    "tests/runtime",
    "tests/server",
    "tests/client",
    "tests/rounds",
    "tests/everywhere",
)
#: What `make test` has run on its Python and no other could see differently, and why that is so.
SAME_ON_ALL = {
    "tests/house": "rules for the text of the sources and the names in them, which are one text on every Python",
    "tests/distributions": "what is in a wheel: the wheels are of pure Python, and one serves every version",
    "tests/docs": "pages are made of what all other tests run on each Python; the type checker and the site are one",
    "tests/measuring": "the measures of `make bench`, which takes one Python",
    "tests/cost/test_cost_of_a_call.py::test_instructions_of_a_call": "the bound is a count of one interpreter's",
    "tests/cluster": "what a killed process leaves is bytes in a store, which no Python changes",
    "tests/security/test_soak.py": "what is held is counted by the server, the same on each Python",
    "tests/extensions/tasks_crash": "as of the cluster, of tasks",
    "apps/inspector/tests/page": "a browser shows the page, which no Python changes",
    "apps/inspector/tests/page_conversations": "as of the other half of the page",
    "tests/interop": "what peers say and take is bytes, which all other tests hold to the schemas on each Python",
}


def installed() -> list[int]:
    """The minor versions of the Pythons that can be taken, lowest first."""
    found: list[int] = []
    for minor in range(LOWEST, BEYOND):
        tried = subprocess.run([str(FIND), f"3.{minor}"], capture_output=True, check=False)
        if tried.returncode == 0:
            found.append(minor)
    return found


def supported() -> list[int]:
    """The minor versions that pyproject.toml says are supported."""
    text = (ROOT / "pyproject.toml").read_text()
    return sorted(int(minor) for minor in re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', text))


def plan(here: list[int], done: int) -> list[tuple[int, bool]]:
    """The versions to run, each with whether it runs everything; ``done`` is the one that `make test` takes."""
    ends = {min(here), max(here)} if here else set()
    return [(minor, minor in ends) for minor in here if minor != done]


def part(planned: list[tuple[int, bool]], name: str) -> list[tuple[int, bool]]:
    """Those of a plan that run everything, or the core; all of them where ``name`` is empty."""
    return [each for each in planned if not name or each[1] is (name == "everything")]


def arguments(*, everything: bool) -> str:
    """What `make test` is given for a Python: the core, or all but `SAME_ON_ALL`."""
    if not everything:
        return " ".join(CORE)
    left_out = (f"--deselect={each}" if "::" in each else f"--ignore={each}" for each in SAME_ON_ALL)
    return " ".join(["--oracle-complete", *left_out])


def main(name: str = "", *more: str) -> int:
    """Run them, or a `part` of them, one after the other; exit status 1 if any failed."""
    if more or name not in ("", "everything", "core"):
        print(__doc__)
        return 2
    here = installed()
    told = [f"3.{minor}" for minor in supported() if minor not in here and minor != sys.version_info.minor]
    failed: list[str] = []
    for minor, everything in part(plan(here, sys.version_info.minor), name):
        version = f"3.{minor}"
        began = time.monotonic()
        print(f"---- Python {version}: {'everything' if everything else 'core'}", flush=True)
        command = ["make", "--no-print-directory", "test", f"PYTHON={version}"]
        command.append(f"ARGS={arguments(everything=everything)}")
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(version)
        print(f"---- Python {version} took {time.monotonic() - began:.0f} s", flush=True)
    if told:
        print(f"not installed, so not tried: Python {', '.join(told)}")
    if failed:
        print(f"FAILED on Python {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
