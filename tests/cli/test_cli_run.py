"""``dovetail run``: finding the app in a file, serving it on each transport, and paying for nothing else."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dovetail import Client
from dovetail.cli.run import main
from dovetail.loading import CannotLoad, load_app, split_place
from dovetail.protocol.revisions import STATEFUL, STATELESS

HERE = Path(__file__).parent
TARGET = HERE / "target_server.py"
HEAVY = (
    "aiohttp",
    "cyclopts",
    "httptools",
    "pydantic",
    "rich",
    "uvicorn",
    "dovetail.client",
    "dovetail.cli.commands",
)
OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for files with apps; what they do to the process's imports is undone."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def written(folder, text, name="mine.py"):
    """A file with this text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("command", [["dovetail", "run"], ["dovetail.cli.run"]])
async def test_a_stdio_server_imports_no_more_than_it_needs(command):
    """The command line's own packages, the client and HTTP stay out of the process."""
    async with Client([sys.executable, "-m", *command, str(TARGET)]) as client:
        loaded = (await client.call_tool("modules")).value
        loaded = loaded["result"] if isinstance(loaded, dict) else loaded
    heavy = [name for name in loaded if any(name == each or name.startswith(f"{each}.") for each in HEAVY)]
    assert heavy == []
    assert "dovetail.server.app" in loaded


async def test_the_client_runs_a_file(folder):
    """A file without a ``run`` of its own is run by the client through this module."""
    async with Client(TARGET) as client:
        assert (await client.call_tool("add", {"a": 1})).text == "1.5"


def test_standard_output_is_the_wire():
    """What the file prints while it is imported goes to standard error."""
    words = [sys.executable, "-m", "dovetail", "run", str(TARGET)]
    done = subprocess.run(
        words, input=json.dumps(OPENING) + "\n", capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "target"
    assert "printed while it was imported" in done.stderr


async def test_words_of_the_file():
    """What stands after two dashes is the file's ``sys.argv``."""
    async with Client([sys.executable, "-m", "dovetail", "run", str(TARGET), "--", "a", "-v"]) as client:
        assert (await client.call_tool("arguments")).text == '["a","-v"]'


@contextlib.contextmanager
def running(*words):
    """A server that runs meanwhile, and ends with 0 when it is told to."""
    command = [sys.executable, "-m", "dovetail", "run", str(TARGET), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["--http", "--uds"])
def test_http(how):
    """On a port or a unix socket."""
    with tempfile.TemporaryDirectory() as place:
        address = "0" if how == "--http" else os.path.join(place, "s")
        with running(how, address, "--path", "/here") as process:
            for line in process.stderr or ():
                if found := re.search(r"(http://|unix:)\S+", line):
                    break
            else:
                pytest.fail("it did not say where it serves")
            target = found[0] if how == "--http" else f"http+unix://{address}:/here"
            with Client.sync(target) as client:
                assert client.call_tool("add", {"a": 1}).text == "1.5"


@pytest.mark.parametrize("keeping", ["--store", "--no-sessions"])
def test_workers(tmp_path, keeping):
    """Two processes: either may get the rest of a session, or the answer to a question of the other."""
    words = [keeping, str(tmp_path / "sessions.sqlite")] if keeping == "--store" else [keeping]
    with running("--http", "0", "--workers", "2", *words) as process:
        assert process.stderr is not None
        target = process.stderr.readline().rpartition(" ")[2].strip()
        for _ in range(4):
            with Client.sync(target, revision=STATELESS[-1], elicitation=lambda _: True) as client:
                assert client.call_tool("confirm").text == "yes"
            with Client.sync(target, revision=STATEFUL[-1]) as client:
                assert client.call_tool("add", {"a": 1}).text == "1.5"


def connectable(path: str) -> bool:
    """Whether somebody listens there; the file is there before that."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(path) == 0


def test_unix_lines():
    """Lines on a unix socket."""
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "s")
        with running("--transport", "unix", "--uds", path) as process:
            while not connectable(path):
                assert process.poll() is None
                time.sleep(0.01)  # nothing tells that the socket is there but the socket
            with Client.sync(f"unix:{path}") as client:
                assert client.call_tool("add", {"a": 1}).text == "1.5"


@pytest.mark.parametrize("name", ["app", "server", "mcp", "anything"])
def test_the_app_is_found(folder, name):
    """By one of its usual names, or because it is the only one."""
    assert load_app(written(folder, f"from dovetail import App\n{name} = App('found')")).name == "found"


def test_the_usual_name_goes_first(folder):
    """Also where there are several apps; a name given goes before that."""
    path = written(
        folder, "from dovetail import App\nother = App('b')\napp = App('a')\nclass C: x = App('c')"
    )
    assert load_app(path).name == "a"
    assert load_app(f"{path}:other").name == "b"
    assert load_app(f"{path}:C.x").name == "c"


def test_neighbours_can_be_imported(folder):
    """The file's folder is on the path, and in a package relative imports work."""
    written(folder, "NAME = 'neighbour'", "beside.py")
    path = written(folder, "from dovetail import App\nfrom beside import NAME\napp = App(NAME)")
    assert load_app(path).name == "neighbour"
    written(folder, "", "pack/__init__.py")
    written(folder, "NAME = 'relative'", "pack/inner.py")
    path = written(
        folder, "from dovetail import App\nfrom .inner import NAME\napp = App(NAME)", "pack/main.py"
    )
    assert load_app(path).name == "relative"


def test_a_name_that_is_taken(folder):
    """A file called as a module that exists is still itself, and leaves the other alone."""
    path = written(folder, "from dovetail import App\napp = App('mine')", "json.py")
    assert load_app(path).name == "mine"
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    "text,said",
    [
        ("x = 1", "has no App in it"),
        ("from dovetail import App\na = App('a')\nb = App('b')", "several apps; say which: FILE:a, FILE:b"),
        ("x = (", "mine.py:1: SyntaxError"),
        ("\nraise ValueError('bad\\nnews')", "mine.py:2: ValueError: bad\nnews"),
        (
            "import no_such_module_here",
            "mine.py:1: ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("import sys; sys.exit(3)", "ended the process (exit 3)"),
        (
            "from dovetail import App\napp = App('a')\n@app.tool\ndef t(x: object()): ...",
            "mine.py:",
        ),
    ],
)
def test_a_file_without_a_usable_app(folder, text, said):
    """The error names the file, the line and what to do."""
    with pytest.raises(CannotLoad) as problem:
        load_app(written(folder, text))
    assert said in str(problem.value)


def test_names_that_lead_nowhere(folder):
    """No such file, a folder, a name that is not there, a name of something else."""
    path = written(folder, "from dovetail import App\napp = App('a')\nother = 1")
    for place, said in (
        (f"{path}x", "does not exist"),
        (str(folder), "is a folder"),
        (f"{path}:nothing", "has nothing named 'nothing'; say which: FILE:app"),
        (f"{path}:other", "is a int, not an App"),
    ):
        with pytest.raises(CannotLoad) as problem:
            load_app(place)
        assert said in str(problem.value)


def test_places():
    """A colon in a path is not taken for a name."""
    assert split_place("a/b.py:app") == (Path("a/b.py"), "app")
    assert split_place("a/b.py") == (Path("a/b.py"), "")
    assert split_place("C:\\x\\b.py") == (Path("C:\\x\\b.py"), "")
    assert split_place("C:b.py") == (Path("C:b.py"), "")


@pytest.mark.parametrize(
    "words,said",
    [
        ([], "FILE[:app]"),
        (["x.py", "--http", "nonsense"], "'nonsense' is no address"),
        (["x.py", "--http", "1:2:3"], "is no address"),
        (["x.py", "--http", "99999"], "is no address"),
        (["x.py", "--http", "1", "--transport", "stdio"], "--transport stdio exclude"),
        (["x.py", "--http", "1", "--uds", "s"], "--uds exclude"),
        (["x.py", "--transport", "unix"], "needs --uds"),
        (["x.py", "--transport", "stdio", "--uds", "s"], "exclude"),
        (["x.py", "--workers", "2"], "--workers is for HTTP"),
        (["x.py", "--http", "0", "--workers", "2", "--store", "oracle://h"], "no store has URLs"),
        (["x.py", "--no-sessions"], "--no-sessions is for HTTP"),
        (["x.py", "--transport", "smoke"], "invalid choice"),
        (["x.py", "--unheard-of"], "--unheard-of"),
    ],
)
def test_usage(capsys, words, said):
    """Exit code 2 and one line."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_cannot_start(folder, capsys):
    """Exit code 3 and one line; with -v the traceback. A failing lifespan is no different."""
    path = written(folder, "raise ValueError('no\\nway')")
    assert main([path]) == 3
    assert capsys.readouterr().err == "dovetail: mine.py:1: ValueError: no way\n"
    assert main([path, "-v"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_port_in_use_and_an_address_for_everybody(capsys):
    """Both are refused before anything is served."""
    assert main([str(TARGET), "--http", "0.0.0.0:0"]) == 3
    assert "--allow-remote" in capsys.readouterr().err.replace("allow_remote", "--allow-remote")


def test_help(capsys):
    """Ends well."""
    assert main(["--help"]) == 0
    assert "FILE[:app]" in capsys.readouterr().out
