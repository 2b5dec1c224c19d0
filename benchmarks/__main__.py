"""Runs the measurements, ours and the peer's in turn, and prints medians and ratios.

Usage: ``python -m benchmarks [--rounds N]``. The peer is installed at run time in an environment of its
own. What is printed is what was measured here and now; the machine and the versions stand above it.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .stdio_load import Peer

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".cache" / "bench"
SERVERS = Path(__file__).resolve().parent / "servers"
console = Console()

Measure = Callable[[], float]


def main() -> int:
    """Measure and print. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each pair is measured (default 5)")
    rounds: int = parser.parse_args().rounds
    theirs = peer_python()
    console.print(
        f"[dim]{platform.platform()}, Python {platform.python_version()}, {rounds} rounds, medians[/]"
    )
    table = Table("measure", "dovetail", f"mcp {version_of(theirs)}", "ratio")
    results: dict[str, dict[str, float]] = {}
    for name, unit, scale, ours_once, theirs_once in measures(theirs):
        console.print(f"[dim]measuring {name} ...[/]")
        ours, peer = interleaved(ours_once, theirs_once, rounds)
        results[name] = {"dovetail": ours, "mcp": peer}
        table.add_row(
            name, f"{ours * scale:.0f} {unit}", f"{peer * scale:.0f} {unit}", f"{peer / ours:.1f} x"
        )
    console.print(table)
    place = ROOT / "results"
    place.mkdir(exist_ok=True)
    (place / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0


def measures(theirs: Path) -> list[tuple[str, str, float, Measure, Measure]]:
    """Name, unit, factor from seconds, ours once, theirs once."""
    our_server = [sys.executable, str(SERVERS / "ours.py")]
    their_server = [str(theirs), str(SERVERS / "theirs.py")]
    return [
        (
            "import",
            "ms",
            1e3,
            lambda: importing(Path(sys.executable), "dovetail"),
            lambda: importing(theirs, "mcp"),
        ),
        (
            "import of what a server needs",
            "ms",
            1e3,
            lambda: importing(Path(sys.executable), "dovetail", "App"),
            lambda: importing(theirs, "mcp.server", "MCPServer"),
        ),
        ("first answer on stdio", "ms", 1e3, lambda: first(our_server), lambda: first(their_server)),
        (
            "tools/call on stdio, one at a time",
            "us",
            1e6,
            lambda: called(our_server, 500, 1),
            lambda: called(their_server, 500, 1),
        ),
        (
            "tools/call on stdio, 64 in flight",
            "us",
            1e6,
            lambda: called(our_server, 2000, 64),
            lambda: called(their_server, 2000, 64),
        ),
    ]


def interleaved(ours: Measure, theirs: Measure, rounds: int) -> tuple[float, float]:
    """Medians of both, measured in the order A B B A."""
    first_: list[float] = []
    second: list[float] = []
    for turn in range(rounds):
        if turn % 2 == 0:
            first_.append(ours())
            second.append(theirs())
        else:
            second.append(theirs())
            first_.append(ours())
    return statistics.median(first_), statistics.median(second)


def importing(python: Path, module: str, name: str | None = None) -> float:
    """Seconds that an import takes beyond starting the interpreter."""
    statement = f"import {module}" if name is None else f"from {module} import {name}"
    return _timed([str(python), "-c", statement]) - _timed([str(python), "-c", "pass"])


def first(command: list[str]) -> float:
    """Seconds from starting a server to its first answer."""
    peer = Peer(command)
    peer.close()
    return peer.first_answer


def called(command: list[str], count: int, in_flight: int) -> float:
    """Seconds per call, after a warm-up."""
    peer = Peer(command)
    try:
        peer.calls(100, in_flight)
        return peer.calls(count, in_flight)
    finally:
        peer.close()


def peer_python() -> Path:
    """The interpreter of the peer's environment, installed if need be."""
    home = PEERS / "mcp"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        console.print("[dim]installing the peer ...[/]")
        venv.create(home, with_pip=True, clear=True)
        pins = ROOT / "constraints" / "peers.txt"
        command = [str(python), "-m", "pip", "install", "--quiet", "-c", str(pins), "mcp"]
        subprocess.run(command, check=True)
        (home / "ready").touch()
    return python


def version_of(python: Path) -> str:
    """The peer's version."""
    code = "import importlib.metadata as m; print(m.version('mcp'))"
    return subprocess.run(
        [str(python), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
