"""The wheels, as somebody installs them: the library's holds no application, and an application's works beside it.

They are built with what is installed, from the tree, and unpacked into an empty folder that comes first on the path.
`make build` does the same and runs all tests of the applications with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import NamedTuple

import build
import pytest
import workspace

from dovetail.security import Fetcher

pytestmark = pytest.mark.timeout(120)
RESOURCE = "http://127.0.0.1:9/mcp"


class Beside(NamedTuple):
    """The wheels by name of their distribution, the folder they are unpacked in, and the environment to use them."""

    wheels: dict[str, Path]
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with what is there, from a folder that is not the tree."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """All of them, built and unpacked once."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    wheels = {each.name: build.build(each, built) for each in workspace.distributions()}
    return Beside(wheels, folder, build.unpack(list(wheels.values()), folder))


def test_each_wheel_holds_its_own_package_and_nothing_else(beside: Beside) -> None:
    for each in workspace.distributions():
        assert build.misplaced(each, beside.wheels[each.name]) == []
    assert [path for path in build.contents(beside.wheels["dovetail"]) if "authserver" in path] == []


def test_what_is_misplaced_is_told(tmp_path: Path) -> None:
    """The rule can fail: a file of somebody else's, and a package that is not whole."""
    wheel = tmp_path / "dovetail-0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("dovetail/__init__.py", "")
        archive.writestr("dovetail_authserver/__init__.py", "")
    found = build.misplaced(workspace.library(), wheel)
    assert "dovetail_authserver/__init__.py" in found
    assert "no dovetail/py.typed" in found
    assert "dovetail/__init__.py" not in found


def test_an_application_needs_the_library_of_its_version(beside: Beside) -> None:
    for each in workspace.applications():
        with zipfile.ZipFile(beside.wheels[each.name]) as archive:
            (name,) = (path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
            about = message_from_bytes(archive.read(name))
        version = workspace.library().declared["project"]["version"]
        assert about["Version"] == version
        assert any(
            need.startswith("dovetail") and need.endswith(f"=={version}")
            for need in about.get_all("Requires-Dist", [])
        )


def test_they_are_what_is_imported(beside: Beside) -> None:
    """Nothing of the tree is found where they are unpacked."""
    names = [each.package.name for each in workspace.distributions()]
    done = beside.run(
        "-c", f"import {', '.join(names)}; print(*({'.__file__, '.join(names)}.__file__,), sep='\\n')"
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(beside.folder) for line in done.stdout.splitlines()), done.stdout


def test_the_command_line_lists_their_commands(beside: Beside) -> None:
    done = beside.run(str(beside.folder / "bin" / "dovetail"), "--help")
    assert done.returncode == 0, done.stderr
    for each in workspace.applications():
        for name in each.declared["project"]["entry-points"]["dovetail.commands"]:
            assert f"  {name}  " in done.stdout
    assert done.stderr == ""


@contextlib.asynccontextmanager
async def running(beside: Beside) -> AsyncIterator[str]:
    """`dovetail authserver` in a process of its own; its issuer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(beside.folder / "bin" / "dovetail"),
        *("authserver", RESOURCE, "--port", "0"),
        cwd=beside.folder,
        env=beside.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def test_the_command_runs_from_there(beside: Beside) -> None:
    async with running(beside) as issuer, Fetcher(allow_loopback=True) as fetcher:
        about = await fetcher.get_json(f"{issuer}/.well-known/oauth-authorization-server")
    assert about["issuer"] == issuer
    assert about["protected_resources"] == [RESOURCE]


def test_its_tests_pass_from_there(beside: Beside) -> None:
    """Those of a whole login here; `make build` runs all of them."""
    module = workspace.ROOT / "apps" / "authserver" / "tests" / "test_authserver_flow.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(module)],
        cwd=workspace.ROOT,
        env=beside.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
