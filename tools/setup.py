"""Prepare an environment for one dependency group: ``python tools/setup.py demo`` or ``dev``.

It is ``.venv``, or the folder that is named behind the group: ``python3.13 tools/setup.py dev .venvs/3.13``.

Theory of operation: the environment is made once and filled from the hashed lists under ``constraints/``;
the library and each application (`tools/workspace.py`) are installed from the tree, editable and without asking
for anything else. A stamp holds the digest of what was installed; while it matches, nothing is done. ``dev`` holds
everything ``demo`` does, at the same versions, so its stamp serves for both. Only the standard library is used: this
runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from workspace import ROOT, distributions

VENV = ROOT / (sys.argv[2] if len(sys.argv) > 2 else ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
INCLUDES = {"demo": ("demo", "dev"), "dev": ("dev",)}
EVERY = 10  # packages between two lines of progress where the output is no terminal


def stamp(group: str) -> Path:
    """The file that says which list is installed."""
    return VENV / f".{group}-stamp"


def digest(group: str) -> str:
    """What the stamp has to hold: the group's list, what each distribution declares, and where the tree is."""
    content = hashlib.sha256(str(ROOT).encode())
    content.update((ROOT / "constraints" / f"{group}.txt").read_bytes())
    for each in distributions():
        content.update(each.path.encode())
        content.update((each.folder / "pyproject.toml").read_bytes())
    return content.hexdigest()


def ready(group: str) -> bool:
    """Whether nothing is left to do."""
    return PYTHON.exists() and any(
        stamp(each).exists() and stamp(each).read_text() == digest(each) for each in INCLUDES[group]
    )


def show(text: str, *, over: bool = False) -> None:
    """Print a line; ``over`` replaces the one before it on a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{text}" + ("" if over else "\n"))
    else:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def pip(arguments: list[str], total: int, what: str) -> None:
    """Run pip to install so many packages, showing how far it is; everything it said only if it fails."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
        *arguments,
    ]
    said: list[str] = []
    seen = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if line.startswith("Collecting "):
                seen += 1
                if sys.stdout.isatty() or seen % EVERY == 0:
                    show(f"  {seen}/{total} {line.split()[1]}", over=True)
            elif line.startswith("Installing collected"):
                show(f"  installing {what}", over=True)
    if process.returncode:
        sys.stdout.writelines(["\n", *said[-40:]])
        show(f"set-up: pip failed (exit {process.returncode}); nothing was stamped, run it again")
        raise SystemExit(1)


def main(group: str) -> int:
    """Make the environment match the group's list."""
    if ready(group):
        return 0
    began = time.monotonic()
    packages = len(
        re.findall(r"^[\w.-]+==", (ROOT / "constraints" / f"{group}.txt").read_text(), re.MULTILINE)
    )
    show(
        f"Setting up {VENV.relative_to(ROOT)} for {group}: Python {sys.version.split()[0]}, {packages} packages"
    )
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    pip(["--require-hashes", "-r", f"constraints/{group}.txt"], packages, "all")
    ours = distributions()
    editable = [word for each in ours for word in ("-e", f"./{each.path}")]
    names = ", ".join(each.name for each in ours)
    pip(["--no-deps", "--no-build-isolation", *editable], len(ours), f"{names} from the tree")
    stamp(group).write_text(digest(group))
    show(f"  ready after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in INCLUDES:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1]))
