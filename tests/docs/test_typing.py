"""The page on types: a type checker takes it with all its strictness, and finds a wrong option.

pyright is run as a user's would be, on files outside of this project, so what it reads is what a wheel holds: the
package with its stubs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from page_blocks import ROOT, blocks_of

#: What is right, and beside it what is not: a wrong name, or a wrong type.
PAIRS = (
    ('App("x").run("http", port=8000)', 'App("x").run("http", prot=8000)'),
    ('App("x").run("http", forwarded_allow_ips=["::1"])', 'App("x").run("http", forwarded_allow_ips=[1])'),
    ('App("x").run(drain=1.0)', 'App("x").run("stdio", port=8000)'),
    ('App("x").run("unix", path="x.sock")', 'App("x").run("unix")'),
    ('App("x").asgi(health="/health")', 'App("x").asgi(health=1)'),
    ('App("x").asgi(path="/")', 'App("x").asgi(host="::1")'),
    ('Client("x", auth=OAuth())', 'Client("x", auth="sesame")'),
    ('Client("x", timeout=3)', 'Client("x", timout=3)'),
    ('App("x").tool(title="a")', 'App("x").tool(titel="a")'),
    ('App("x").resource("x://y", title="a")', 'App("x").resource("x://y", titel="a")'),
    ("print(dovetail.SessionEnded)", "print(dovetail.NoSuchName)"),
    ("print(dovetail.security.Sealer)", "print(dovetail.security.NoSuchName)"),
)


def checked(folder: Path) -> list[tuple[str, int, str]]:
    """What pyright says of the files of a folder: file, line from 1, text."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    pyright = [
        str(Path(sys.executable).with_name("basedpyright")),
        "--pythonpath",
        sys.executable,
        "--outputjson",
    ]
    done = subprocess.run(
        [*pyright, "-p", str(folder)], capture_output=True, check=False, text=True, cwd=folder
    )
    said = json.loads(done.stdout)
    assert said["summary"]["filesAnalyzed"] > 0
    return [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in said["generalDiagnostics"]
    ]


@pytest.mark.timeout(180)
def test_the_page_is_taken_with_all_strictness(tmp_path: Path) -> None:
    for block in blocks_of(ROOT / "docs" / "typing.md"):
        if block.verb == "file":
            (tmp_path / block.object).write_text(block.text)
    assert checked(tmp_path) == []


@pytest.mark.timeout(180)
def test_a_wrong_option_is_found_while_it_is_written(tmp_path: Path) -> None:
    lines = [line for pair in PAIRS for line in pair]
    head = [
        "import dovetail",
        "import dovetail.security",
        "from dovetail import App, Client",
        "from dovetail.auth import OAuth",
    ]
    (tmp_path / "wrong.py").write_text("\n".join([*head, *lines]) + "\n")
    found = {line for _, line, _ in checked(tmp_path)}
    assert [line for at, line in enumerate(lines, len(head) + 1) if at in found] == [
        wrong for _, wrong in PAIRS
    ]
