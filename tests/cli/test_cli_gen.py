"""`dovetail gen`: where the module goes, and what its exit code says."""

import ast
import sys

import pytest

from dovetail.cli.generating import _named

SERVER = """
from dovetail import App

app = App("post")


@app.tool
async def send(to: str, grams: int) -> int:
    return grams
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a server, which is the current one."""
    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_to_standard_output_and_to_a_file(folder, run):
    """The same bytes; the file is told of on standard error."""
    code, shown, err = run("gen", "server.py")
    assert (code, err) == (0, "")
    assert "Written by: dovetail gen server.py\n" in shown
    assert run("gen", "server.py", "-o", "tools.py") == (0, "", "wrote tools.py (1 tools)\n")
    assert (folder / "tools.py").read_text() == shown
    assert run("gen", "-o", "other.py", "--", sys.executable, "-m", "dovetail", "run", "server.py")[0] == 0
    head = (folder / "other.py").read_text().splitlines()[2]
    assert head.startswith("Written by: dovetail gen ... -- ")
    assert head.endswith(" ...")
    code, dicts, _ = run("gen", "server.py", "--typed-dict")
    assert code == 0
    ast.parse(dicts)


def test_check_says_whether_it_would_change(folder, run):
    """0 where it would not, 1 where it would, or where there is none; nothing is written."""
    assert run("gen", "server.py", "-q", "-o", "tools.py") == (0, "", "")
    assert run("gen", "server.py", "--check", "tools.py") == (0, "", "")
    assert run("gen", "--check", "tools.py", "./server.py:app") == (0, "", "")
    (folder / "server.py").write_text(SERVER.replace("grams: int", "grams: float"))
    before = (folder / "tools.py").read_text()
    code, out, err = run("gen", "server.py", "--check", "tools.py")
    assert (code, out) == (1, "")
    assert err == (
        "tools.py is not what the server offers now; write it with `dovetail gen ... -o tools.py`\n"
    )
    assert (folder / "tools.py").read_text() == before
    code, _, err = run("gen", "server.py", "--check", "gone.py")
    assert code == 1
    assert "gone.py is not there" in err
    (folder / "binary.py").write_bytes(b"\xff\xfe")
    assert run("gen", "server.py", "--check", "binary.py")[0] == 1


@pytest.mark.parametrize(
    "words,said",
    [
        (("-o", "nowhere/tools.py"), "there is no folder 'nowhere'"),
        (("-o", "."), "that is a folder"),
        (("--check", "."), "that is a folder"),
        (("-o", "a.py", "--check", "a.py"), "say one of the two"),
        (("--json",), "no JSON"),
        (("-o", "x" * 300), "File name too long"),
    ],
)
def test_what_makes_no_sense(folder, run, words, said):
    """Is said before a server is started."""
    (folder / "server.py").write_text("raise SystemExit('started')\n")
    code, out, err = run("gen", "server.py", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "started" not in err


def test_a_server_that_is_not_there(folder, run):
    """Ends as any command does, and writes nothing."""
    assert run("gen", "localhost:1/mcp", "-o", "tools.py")[0] == 3
    assert not (folder / "tools.py").exists()


@pytest.mark.parametrize(
    "target,words,named",
    [
        ("https://user:word@example.com/mcp?key=1", None, "'https://example.com/mcp?...'"),
        ("https://example.com/mcp", None, "https://example.com/mcp"),
        ("npx server --key=1", None, "'npx ...'"),
        ("x", ["npx", "server", "--key=1"], "... -- npx ..."),
        ("localhost:8000/mcp?key=1", None, "'localhost:8000/mcp?...'"),
        ("user:word@localhost:8000/mcp", None, "localhost:8000/mcp"),
        ("server.py:app", None, "server.py:app"),
    ],
)
def test_no_secret_stands_in_the_head(target, words, named):
    """The target is named without what may be one."""
    assert _named(target, words) == named
