"""The public names are locked: a change to them is seen in ``public_api.txt``, and so in review."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import public_api
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


def test_a_stub_that_is_old_is_found(tmp_path, monkeypatch):
    """What the tool would write is compared with what is there."""
    monkeypatch.setattr(public_api, "ROOT", tmp_path)
    stub = tmp_path / "errors.pyi"
    stub.write_text("from dovetail.protocol.errors import Closed\n")
    assert public_api.stale(stub, stub.read_text()) == []
    assert "-from dovetail.protocol.errors import Closed" in public_api.stale(stub, "")
    assert public_api.stale(tmp_path / "types.pyi", "x: int\n") != []


def lazy_modules() -> list[str]:
    """The public modules that load their names when they are first used."""
    return [name for name in public_api.PUBLIC if hasattr(importlib.import_module(name), "_lazy")]


def test_names_that_load_late_are_said_once():
    """``__all__`` and what ``dir()`` shows come from the table; no name of it is written anywhere else in the file."""
    assert {"dovetail", "dovetail.errors", "dovetail.stores"} <= set(lazy_modules())
    for name in lazy_modules():
        module = importlib.import_module(name)
        assert set(module.__all__) <= set(dir(module))
        source = Path(module.__file__ or "").read_text("utf-8")
        homes = importlib.import_module(name)._lazy.homes
        twice = [each for names in homes.values() for each in names if source.count(f'"{each}"') > 1]
        assert twice == [], name


@pytest.mark.parametrize("package", lazy_modules())
def test_a_name_that_is_none_says_where_it_was_looked_for(package):
    """As Python says it of a plain module."""
    module = importlib.import_module(package)
    with pytest.raises(
        AttributeError, match=re.escape(f"module {package!r} has no attribute 'no_such_name'")
    ):
        _ = module.no_such_name


def test_importing_one_name_loads_nothing_of_another():
    """`dovetail.errors` is no reason to load a server or a client."""
    probe = "import sys; from dovetail.errors import ToolError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "dovetail.protocol.errors" in loaded
    assert not loaded & {
        "dovetail.server.app",
        "dovetail.client.client",
        "dovetail.stores.errors",
        "typing_extensions",
    }
