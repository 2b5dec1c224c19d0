"""Have ready what later stages of ``.ci/run`` need, while others go on: environments, peers, compiled tests.

Theory of operation. Whatever needs something still sees to it by itself, and finds it done. Making an environment, or a
peer of tests/interop, waits for the network most of the time. pytest compiles each file of tests once and keeps that;
but workers that begin together on a new tree would each compile all of them, so it is done here once for each Python.

    python tools/prepare.py

Exit status 1 if something could not be made; what it said is shown.
"""

from __future__ import annotations

import subprocess
import sys
import time

from every_python import arguments, installed, plan
from workspace import ROOT

PEERS = (
    "import sys; sys.path[:0] = ['tests', 'tools']; from interop.installing import install; install(print)"
)
COLLECT = ["-m", "pytest", "--collect-only", "-qq", "-p", "no:xdist", "-p", "no:cacheprovider"]


def steps() -> dict[str, list[str]]:
    """What is to be done, in this order, which is that of need: commands by what they are for."""
    found = {"tests": [sys.executable, *COLLECT, "--ignore=tests/interop"]}
    for minor, everything in plan(installed(), sys.version_info.minor):
        version, chosen = f"3.{minor}", arguments(everything=everything).split()
        found[f"Python {version}"] = ["make", "--no-print-directory", "setup-dev", f"PYTHON={version}"]
        found[f"tests on Python {version}"] = [f".venvs/{version}/bin/python", *COLLECT, *chosen]
    return {**found, "peers": [sys.executable, "-c", PEERS]}


def main() -> int:
    """Do it, up to the first that fails."""
    for name, command in steps().items():
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], f"prepare: {name} could not be made ready", sep="\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
