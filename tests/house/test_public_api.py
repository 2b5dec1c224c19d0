"""The public names are locked: a change to them is seen in ``public_api.txt``, and so in review."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest
from source_tree import ROOT

SNAPSHOT = ROOT / "tests" / "house" / "public_api.txt"


def locked() -> list[tuple[str, str]]:
    """The (package, name) pairs of the snapshot."""
    lines = SNAPSHOT.read_text("utf-8").splitlines()
    return [(line.partition(":")[0], line.partition(": ")[2]) for line in lines if line and line[0] != "#"]


def test_snapshot_is_current():
    """Every public package has ``__all__``, and the snapshot holds exactly those names."""
    tool = [sys.executable, str(ROOT / "tools" / "public_api.py"), "--check"]
    done = subprocess.run(tool, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", sorted({package for package, _ in locked()}))
def test_every_public_name_is_there(package):
    """Lazy exports as well; one that needs an extra says which."""
    module = importlib.import_module(package)
    for name in (name for home, name in locked() if home == package):
        try:
            found = hasattr(module, name)
        except ImportError as missing:
            found = re.search(r"dovetail\[\w+\]", str(missing))
        assert found, f"{package}.{name}"
