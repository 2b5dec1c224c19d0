"""The distributions of this repository: the library, and the applications on top of it.

An application is a folder of ``apps/`` with a ``pyproject.toml``: its package stands in ``src/``, its tests in
``tests/``. Whatever sets up, checks, tests or builds asks here what there is, so a new application needs no entry
anywhere. Only the standard library is used: `tools/setup.py` runs before anything is installed.

    python tools/workspace.py        list them
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Distribution", "applications", "distributions", "library"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Distribution:
    """One of them, by its folder."""

    folder: Path

    @cached_property
    def declared(self) -> dict[str, Any]:
        """Its ``pyproject.toml``."""
        return tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))

    @property
    def name(self) -> str:
        """As it is installed."""
        return self.declared["project"]["name"]

    @property
    def source(self) -> Path:
        """The folder that its package stands in."""
        return self.folder / "src"

    @property
    def package(self) -> Path:
        """The folder of its one package. Raises SystemExit if there is not just one."""
        found = sorted(each.parent for each in self.source.glob("*/__init__.py"))
        if len(found) != 1:
            raise SystemExit(f"{self.source}: a distribution has one package, not {len(found)}")
        return found[0]

    @property
    def tests(self) -> Path:
        """The folder of its tests."""
        return self.folder / "tests"

    @property
    def path(self) -> str:
        """Its folder from the root of the repository, with forward slashes; "." is the library's."""
        return self.folder.relative_to(ROOT).as_posix()


def library() -> Distribution:
    """The library itself."""
    return Distribution(ROOT)


def applications(root: Path = ROOT) -> list[Distribution]:
    """The applications, by name of their folder."""
    return [Distribution(found.parent) for found in sorted(root.glob("apps/*/pyproject.toml"))]


def distributions() -> list[Distribution]:
    """All of them, the library first: everything else needs it."""
    return [library(), *applications()]


if __name__ == "__main__":
    sys.stdout.writelines(f"{each.path:<16} {each.name} ({each.package.name})\n" for each in distributions())
