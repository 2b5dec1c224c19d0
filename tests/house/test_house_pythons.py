"""Every Python that is here is found and tested: how `make test PYTHON=...` and `make test-pythons` choose.

Follows: no page of the specification.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

FIND = ROOT / "tools" / "find_python.sh"
TOOL = runpy.run_path(str(ROOT / "tools" / "every_python.py"))


def find(*wanted: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the search says, with nothing but what the test laid out."""
    return subprocess.run(
        ["/bin/sh", str(FIND), *wanted],
        env={"HOME": "/nowhere", "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def python_at(path: Path) -> Path:
    """A Python that can be run under another name."""
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    path.chmod(0o755)
    return path


def test_a_version_is_found_where_pyenv_keeps_it_behind_a_shim_that_refuses(tmp_path: Path) -> None:
    kept = python_at(tmp_path / "pyenv" / "versions" / "3.77.1" / "bin" / "python3.77")
    shim = tmp_path / "shims" / "python3.77"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    for wanted in ("3.77", "python3.77", str(kept)):
        found = find(wanted, PYENV_ROOT=str(tmp_path / "pyenv"), PATH=path)
        assert (found.returncode, found.stdout.strip()) == (0, str(kept)), found.stderr


def test_a_version_is_found_where_uv_keeps_it(tmp_path: Path) -> None:
    kept = python_at(tmp_path / "uv" / "python" / "cpython-3.77.0-linux-x86_64-gnu" / "bin" / "python3.77")
    assert find("3.77", XDG_DATA_HOME=str(tmp_path)).stdout.strip() == str(kept)


def test_what_is_not_there_is_said() -> None:
    missing = find("3.77")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no 3.77" in missing.stderr


def test_one_that_is_too_old_is_not_taken(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$2" = "" ]\n')
    old.chmod(0o755)
    refused = find("python3.9", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert refused.returncode == 1
    assert "too old" in refused.stderr


@pytest.mark.parametrize(
    "here,done,planned",
    [
        ([11], 11, []),
        ([11, 12, 13], 11, [(12, False), (13, True)]),
        ([11, 12, 13, 14], 13, [(11, True), (12, False), (14, True)]),
        ([12, 13], 13, [(12, True)]),
        ([], 11, []),
    ],
)
def test_the_ends_run_everything_and_those_between_the_core(
    here: list[int], done: int, planned: list[tuple[int, bool]]
) -> None:
    assert TOOL["plan"](here, done) == planned


def test_the_parts_are_the_whole_each_once() -> None:
    planned = TOOL["plan"]([11, 12, 13, 14], 13)
    assert TOOL["part"](planned, "everything") == [(11, True), (14, True)]
    assert TOOL["part"](planned, "core") == [(12, False)]
    assert TOOL["part"](planned, "") == planned
    assert TOOL["main"]("cor") == 2, "a word that is no part runs nothing"


def test_the_core_and_the_supported_versions_are_there() -> None:
    assert all((ROOT / folder).is_dir() for folder in TOOL["CORE"])
    assert min(TOOL["supported"]()) == TOOL["LOWEST"]


def test_what_only_the_first_python_runs_is_there_and_is_no_more_than_that() -> None:
    """All of it is left out by the names that pytest knows, and none of it is of the core."""
    left_out = TOOL["SAME_ON_ALL"]
    for each, reason in left_out.items():
        path, _, test = each.partition("::")
        assert (ROOT / path).exists(), each
        assert not test or f"def {test}(" in (ROOT / path).read_text(), each
        assert reason
        assert not each.startswith(TOOL["CORE"]), each
    words = TOOL["arguments"](everything=True).split()
    assert [word.partition("=")[2] for word in words[1:]] == list(left_out)
    assert TOOL["arguments"](everything=False).split() == list(TOOL["CORE"])


def test_what_only_the_first_python_runs_depends_on_none() -> None:
    """It reads text: a test that runs in an event loop belongs to every Python. Except what judges other programs, what
    a store holds when one was killed, what a browser shows, and pages and tools that stand on what all other tests run.
    """
    of_others = (
        "tests/distributions",
        "tests/docs",
        "tests/codegen",
        "tests/surface",
        "tests/doctor",
        "tests/measuring",
        "tests/interop",
        "tests/cluster",
        "tests/security/test_soak.py",
        "tests/extensions/tasks_crash",
        "apps/inspector/tests/page",
        "apps/inspector/tests/page_conversations",
    )
    for each in TOOL["SAME_ON_ALL"]:
        place = ROOT / each.partition("::")[0]
        if "::" in each or each in of_others:
            continue
        for path in [place] if place.is_file() else sorted(place.glob("test_*.py")):
            assert not re.search(r"^\s*async def test_", path.read_text(), re.MULTILINE), path.name


def test_the_lock_takes_the_wheels_of_every_supported_python_and_of_the_next() -> None:
    """One hashed list serves all of them: a Python whose wheels it leaves out could not be set up."""
    fits = runpy.run_path(str(ROOT / "tools" / "lock.py"))["fits"]
    supported = TOOL["supported"]()
    for minor in [*supported, max(supported) + 1]:
        assert fits(f"some-1.0-cp3{minor}-cp3{minor}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"), minor
        assert fits("some-1.0-cp310-abi3-manylinux_2_28_x86_64.whl")
    assert not fits("some-1.0-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
