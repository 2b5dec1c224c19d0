"""Build the wheels of the library and of each application, and try them beside each other: ``make build``.

Theory of operation. Each distribution (`tools/workspace.py`) is built from its folder, with what is installed and
without asking an index for anything, into ``dist/``; what is made from other sources, as the Inspector's page
(`tools/page.py`), is made before. A wheel has to hold its own package, whole, and nothing else: the library's no
application, an application's no library. Then all of them are unpacked into one empty folder, which is put
before everything else on the path, and the applications' tests run against that: what works there works where somebody
installs the wheels, for nothing of the tree is left to be found.

    python tools/build.py               build, and run the applications' tests with what was built
    python tools/build.py --only        build alone

"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from page import PageFailed
from page import build as build_page
from workspace import ROOT, Distribution, applications, distributions

__all__ = ["build", "contents", "misplaced", "unpack"]

DIST = ROOT / "dist"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def build(each: Distribution, into: Path) -> Path:
    """The wheel of a distribution, built into a folder. An older one there is replaced."""
    spelled = each.name.replace("-", "_")
    for old in into.glob(f"{spelled}-*.whl"):
        old.unlink()
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(into)]
    subprocess.run([*PIP, "wheel", *options, str(each.folder)], check=True)
    (built,) = into.glob(f"{spelled}-*.whl")
    return built


def contents(wheel: Path) -> list[str]:
    """The paths in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def misplaced(each: Distribution, wheel: Path) -> list[str]:
    """The paths in its wheel that are neither of its package nor about the wheel itself; and files that it lacks."""
    there = contents(wheel)
    package = f"{each.package.name}/"
    about = f"{each.name.replace('-', '_')}-{each.declared['project']['version']}.dist-info/"
    files = (path for path in each.package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    lacking = {path.relative_to(each.source).as_posix() for path in files} - set(there)
    strange = [path for path in there if not path.startswith((package, about))]
    return [*strange, *(f"no {path}" for path in sorted(lacking))]


def unpack(wheels: list[Path], target: Path) -> dict[str, str]:
    """Install wheels into an empty folder; gives the environment of a process that finds them there first."""
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", str(target), *map(str, wheels)], check=True
    )
    return os.environ | {"PYTHONPATH": str(target)}


def main(arguments: list[str]) -> int:
    """Build all; then run the tests of the applications with what was built. Exit status 1 if anything is wrong."""
    if arguments not in ([], ["--only"]):
        print(__doc__)
        return 2
    try:
        build_page()
    except PageFailed as problem:
        print(problem)
        return 1
    DIST.mkdir(exist_ok=True)
    wheels = {each.name: build(each, DIST) for each in distributions()}
    wrong = [
        f"{each.name}: {path}" for each in distributions() for path in misplaced(each, wheels[each.name])
    ]
    for name, wheel in wheels.items():
        print(f"{name}: {wheel.relative_to(ROOT)}, {len(contents(wheel))} files", flush=True)
    if wrong:
        print(*wrong, "build: a wheel holds its own package, whole, and nothing else", sep="\n")
        return 1
    if arguments:
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        environment = unpack(list(wheels.values()), Path(scratch) / "installed")
        tests = [str(each.tests.relative_to(ROOT)) for each in applications()]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *tests]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
