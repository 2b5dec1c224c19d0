"""The workspace: an application is found by its folder, and needs no entry anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import lock
import pytest
import workspace
from workspace import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
#: What everybody shares. None of it may name an application, or the next one would need an entry there.
SHARED = [
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
    ROOT / ".ci" / "run",
    *sorted((ROOT / "tools").glob("*.*")),
]


def application(root: Path, name: str, dependencies: str = "[]") -> Path:
    """A new application in a tree."""
    folder = root / "apps" / name
    package = folder / "src" / f"dovetail_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""New."""\n\n__all__: list[str] = ["X"]\n')
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "dovetail-{name}"\nversion = "0.1.0"\ndependencies = {dependencies}\n'
    )
    return folder


def test_an_application_is_found_by_its_folder(tmp_path: Path) -> None:
    application(tmp_path, "registry")
    application(tmp_path, "inspector")
    (tmp_path / "apps" / "notes").mkdir()
    found = workspace.applications(tmp_path)
    assert [each.name for each in found] == ["dovetail-inspector", "dovetail-registry"]
    assert [each.package.name for each in found] == ["dovetail_inspector", "dovetail_registry"]
    assert [each.tests for each in found] == [each.folder / "tests" for each in found]


def test_one_with_two_packages_is_told(tmp_path: Path) -> None:
    folder = application(tmp_path, "inspector")
    (folder / "src" / "another").mkdir()
    (folder / "src" / "another" / "__init__.py").touch()
    (found,) = workspace.applications(tmp_path)
    with pytest.raises(SystemExit, match="one package, not 2"):
        _ = found.package


#: What builds one application's page, and what leaves its browser's tests to one Python.
NAMED = {("page.py", "inspector"), ("every_python.py", "inspector")}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_what_is_shared_names_no_application(path: Path) -> None:
    text = path.read_text("utf-8")
    for each in workspace.applications():
        for name in (each.name, each.package.name, each.path):
            assert name not in text or (path.name, each.folder.name) in NAMED


def test_a_new_application_is_set_up_and_locked_anew(tmp_path: Path) -> None:
    """The stamp of an environment no longer fits once there is one more, or one asks for something else."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "tools", tree / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "constraints", tree / "constraints")
    shutil.copy(ROOT / "pyproject.toml", tree)
    (tree / "src" / "dovetail").mkdir(parents=True)
    (tree / "src" / "dovetail" / "__init__.py").touch()
    ask = "import setup; print(setup.digest('dev'), [each.name for each in setup.distributions()])"

    def said() -> str:
        return subprocess.run(
            [sys.executable, "-c", ask],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree / "tools")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    before = said()
    folder = application(tree, "inspector")
    after = said()
    assert "dovetail-inspector" in after
    assert after.split()[0] != before.split()[0]
    (folder / "pyproject.toml").write_text(
        (folder / "pyproject.toml").read_text().replace("[]", '["starlette"]')
    )
    assert said().split()[0] not in (after.split()[0], before.split()[0])


@pytest.mark.parametrize(
    "requirement,opened",
    [
        ("starlette>=1", ["starlette>=1"]),
        ("dovetail", PROJECT["project"]["dependencies"]),
        ("dovetail==0.1.0", PROJECT["project"]["dependencies"]),
        (
            "dovetail[otel, client]==0.1.0",
            [
                *PROJECT["project"]["dependencies"],
                *PROJECT["project"]["optional-dependencies"]["otel"],
                *PROJECT["project"]["optional-dependencies"]["client"],
            ],
        ),
        ("dovetail-other[x]==1", ["dovetail-other[x]==1"]),
    ],
)
def test_the_lock_opens_what_is_ours(requirement: str, opened: list[str]) -> None:
    """In place of the library stands what it asks for; it is itself installed from the tree."""
    assert lock.opened(PROJECT, requirement) == opened


@pytest.mark.parametrize("group", lock.GROUPS)
def test_the_lock_holds_what_applications_need(group: str) -> None:
    """In every group: each environment has them all."""
    text = (ROOT / "constraints" / f"{group}.txt").read_text("utf-8")
    locked = {line.partition("==")[0] for line in text.splitlines() if "==" in line and line[0] != "#"}
    needed = [*lock.group_requirements(PROJECT, group), *lock.requirements_of_applications(PROJECT)]
    names = {
        lock.normal(each.replace("[", " ").replace(">", " ").replace("<", " ").replace(";", " ").split()[0])
        for each in needed
    }
    assert names <= locked
    assert "joserfc" in names


def test_applications_may_need_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another asks for is in the tree, and in no index."""
    application(tmp_path, "registry", '["dovetail[otel]==0.1.0", "dovetail-inspector==0.1.0"]')
    application(tmp_path, "inspector", '["starlette>=1"]')
    monkeypatch.setattr(lock, "applications", lambda: workspace.applications(tmp_path))
    extras = PROJECT["project"]["optional-dependencies"]["otel"]
    found = lock.requirements_of_applications(PROJECT)
    assert found == ["starlette>=1", *PROJECT["project"]["dependencies"], *extras]
