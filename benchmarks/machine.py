"""The machine: what it is, and which core does what.

Theory of operation: the load and its process run on one core, the server on another, so that neither takes
time from the other; with more cores than two, the last two are used, for the system prefers the first. On a
single core nothing is bound, and the results say so.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """The cores in use: None where there is no choice."""

    server: frozenset[int] | None
    load: frozenset[int] | None
    every: frozenset[int]


def choose_cores() -> Cores:
    """One core for the server, one for the load."""
    every = frozenset(os.sched_getaffinity(0))
    if len(every) < 2:
        return Cores(None, None, every)
    first, second = sorted(every)[-2:]
    return Cores(frozenset({first}), frozenset({second}), every)


def describe() -> dict[str, str]:
    """The machine in a few words: processor, cores, memory, system, Python, governor where it can be read."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.libc_ver()[0]} "
        f"{platform.libc_ver()[1]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def commit(root: Path) -> str:
    """The commit that is measured, with a plus if the tree differs from it; empty outside of git."""
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        return f"{head}+" if _git(root, "status", "--porcelain", "src") else head
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()
