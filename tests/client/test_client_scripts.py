"""Whether a file runs its server or has an app in it to be run; and command lines as text."""

import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.client import Client
from dovetail.client.command_lines import split
from dovetail.client.scripts import runs_itself
from dovetail.protocol.errors import LocalProtocolError, ServerExited

APP = "from dovetail import App\napp = App('garden')\n"
GUARD = "if __name__ == '__main__':\n"

RUNS = {
    "the app": "app.run()",
    "the app, guarded": f"{GUARD}    app.run(grace=1)",
    "the app, guarded the other way round": "if '__main__' == __name__:\n    app.run()",
    "the app, after an early end": "import sys\nif __name__ != '__main__':\n    pass\nelse:\n    sys.exit(app.run())",
    "in a try": "try:\n    app.run()\nexcept KeyboardInterrupt:\n    pass",
    "over what it says is this": f"{GUARD}    app.run('stdio')",
    "over what is not known": f"import sys\n{GUARD}    app.run(sys.argv[1])",
    "in main": f"def main():\n    app.run()\n{GUARD}    main()",
    "in main of main": f"def start():\n    app.run()\ndef main():\n    start()\n{GUARD}    raise SystemExit(main())",
    "in a coroutine": f"import asyncio\nasync def main():\n    await app.serve()\n{GUARD}    asyncio.run(main())",
    "on a loop": (
        f"import asyncio\nasync def main():\n    await app.serve()\n{GUARD}"
        "    asyncio.new_event_loop().run_until_complete(main())"
    ),
    "under another name": f"from asyncio import run as go\nasync def m():\n    await app.serve()\n{GUARD}    go(m())",
    "handed on by name": f"import anyio\nasync def main():\n    await app.serve()\n{GUARD}    anyio.run(main)",
    "a method handed on": f"import trio\n{GUARD}    trio.run(app.serve)",
    "a coroutine of its own": f"import asyncio\n{GUARD}    asyncio.run(app.serve())",
    "by an ASGI server": f"import uvicorn\n{GUARD}    uvicorn.run(app.asgi(), port=8000)",
    "by an ASGI server, imported": f"from granian.server import Server\n{GUARD}    Server('x:y').serve()",
    "by a command line": (
        f"import typer\ncli = typer.Typer()\n@cli.command()\ndef serve():\n    app.run()\n{GUARD}    cli()"
    ),
    "by a function from elsewhere": f"from garden.cli import main\n{GUARD}    main()",
    "in a with": "import contextlib\nwith contextlib.suppress(KeyboardInterrupt):\n    App('other').run()",
    "by somebody else's library": "from fastmcp import FastMCP\nmcp = FastMCP('x')\nmcp.run()",
    "in a class body": "class Now:\n    app.run()",
    "in a decorator": "def started(fn):\n    app.run()\n    return fn\n@started(app.run())\ndef f(): ...",
}
HAS_AN_APP = {
    "over HTTP": f"{GUARD}    app.run('http', port=8000)",
    "over HTTP, by its name": f"def main():\n    app.run(transport='http')\n{GUARD}    main()",
    "on a socket": f"import asyncio\n{GUARD}    asyncio.run(app.serve('unix', uds='/tmp/x'))",
    "nothing more": "",
    "a docstring that speaks of it": "def f():\n    'Call app.run() to serve.'",
    "a comment that speaks of it": "# then app.run()",
    "a text that speaks of it": "HELP = 'app.run()'",
    "a function that nobody calls": "def main():\n    app.run()",
    "a tool that runs a program": (
        "import subprocess\n@app.tool\ndef log() -> str:\n    return subprocess.run(['git', 'log'])"
    ),
    "a program that it starts first": "import subprocess\nsubprocess.run(['true'])",
    "the same, imported": "from subprocess import run\nrun(['true'])",
    "a demonstration": (
        "import asyncio\nfrom dovetail import Client\nasync def demo():\n    async with Client(app) as c:\n"
        f"        await c.call_tool('x')\n{GUARD}    asyncio.run(demo())"
    ),
    "preparations": "import asyncio, logging\nasync def prepare(): ...\nlogging.basicConfig()\nasyncio.run(prepare())",
    "a branch that is not taken": "if False:\n    app.run()",
    "a branch for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    app.run()",
    "a branch for importers": "if __name__ != '__main__':\n    app.run()",
    "a lambda": "go = lambda: app.run()",
    "functions in a circle": "def a():\n    b()\ndef b():\n    a()\na()",
}


@pytest.mark.parametrize("name", RUNS)
def test_a_file_that_runs_itself(name: str) -> None:
    assert runs_itself((APP + RUNS[name]).encode())


@pytest.mark.parametrize("name", HAS_AN_APP)
def test_a_file_with_an_app_to_be_run(name: str) -> None:
    assert not runs_itself((APP + HAS_AN_APP[name]).encode())


@pytest.mark.parametrize(
    "source",
    [
        b"print('hello')",
        b"from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')",
        b"# dovetail\nfrom garden import app\napp.run()",
        b"from dovetail import App\nthis is no python",
        b"from dovetail import App\n\0",
        b"from dovetail import App\nx = " + b" + ".join([b"1"] * 20_000),
        b"",
    ],
)
def test_what_has_no_app_of_ours_is_run_as_it_is(source: bytes) -> None:
    assert runs_itself(source)


def test_the_encoding_of_a_file_is_its_own() -> None:
    assert not runs_itself(
        "# -*- coding: latin-1 -*-\nfrom dovetail import App\nname = 'gr\u00fcn'\n".encode("latin-1")
    )


async def test_both_are_started_as_they_want(tmp_path: Path) -> None:
    """What used to be told apart by the text ``.run(`` in them."""
    app = tmp_path / "app.py"
    app.write_text(
        '"""Call app.run() to serve."""\nimport subprocess, sys\nfrom dovetail import App\n'
        "app = App('has an app')\n@app.tool\ndef python() -> str:\n"
        "    return subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout.decode()\n"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "from dovetail import App\ndef main():\n    run = App('a program').run\n    App('a program').run()\n"
        f"{GUARD}    main()\n"
    )
    for path, name in ((app, "has an app"), (program, "a program")):
        async with Client(path) as client:
            assert client.server_info is not None
            assert client.server_info.name == name


NEVER_RUN = {
    "an app from elsewhere": (
        "from garden import app\n",
        [],
        "if server.py only makes its app, end it with app.run()",
    ),
    "named as a command": (APP, [sys.executable, "-u"], "or start it with: dovetail run server.py"),
    "what it wrote": (
        "print('ready')\nimport sys\nsys.stderr.write('bye')\n",
        [],
        "it last wrote: bye; if server.py",
    ),
    "no file": (
        APP,
        [sys.executable, "-c", "import server"],
        "goes on until its input ends: look for what starts it",
    ),
}


@pytest.mark.parametrize("text, command, told", NEVER_RUN.values(), ids=NEVER_RUN)
async def test_what_only_makes_its_app_is_told_to_run_it(
    text: str, command: list[str], told: str, tmp_path: Path
) -> None:
    """It ends at once, as if all were well."""
    (tmp_path / "garden.py").write_text(APP)
    (tmp_path / "server.py").write_text(text)
    target = [*command, str(tmp_path / "server.py")] if command else tmp_path / "server.py"
    with pytest.raises(ServerExited, match=r"exited with status 0 without a message; it ") as caught:
        async with Client(target, env={"PYTHONPATH": str(tmp_path)}):
            pass
    assert told in str(caught.value)


# Command lines


@pytest.mark.parametrize(
    "line,words",
    [
        (r"C:\tools\server.exe --root C:\data\x", [r"C:\tools\server.exe", "--root", r"C:\data\x"]),
        (r'"C:\Program Files\node\npx.cmd" -y pkg', [r"C:\Program Files\node\npx.cmd", "-y", "pkg"]),
        (r'"C:\Program Files\\" "a b"', ["C:\\Program Files\\\\", "a b"]),
        (r'x "a\\b" c', ["x", r"a\\b", "c"]),
        (r'x "a\"b" c\"d', ["x", 'a"b', 'c"d']),
        (r'x "ends in a backslash\\" y', ["x", "ends in a backslash\\", "y"]),
        (r"x a\\\"b", ["x", r"a\"b"]),
        ('x "two "" quotes" y', ["x", 'two " quotes', "y"]),
        ('x "" y', ["x", "", "y"]),
        ('x --json={\\"a\\":1}', ["x", '--json={"a":1}']),
        ("x 'single quotes' are letters", ["x", "'single", "quotes'", "are", "letters"]),
        ('x a"b c"d', ["x", "ab cd"]),
        ('x "no end', ["x", "no end"]),
        ("  x \t y\n", ["x", "y"]),
        ("", []),
        ("   ", []),
        ("x \\", ["x", "\\"]),
    ],
)
def test_a_command_line_of_windows(line: str, words: list[str]) -> None:
    assert split(line, windows=True) == words


@pytest.mark.parametrize(
    "words",
    [
        ["p", "plain", "with space", "", 'with "quotes"', "back\\slash", "ends\\", "ends with space\\"],
        ["p", '\\"', '\\\\"', "\\\\", 'a"b"c', "\ttab", '"', '""', "tab\tin"],
        ["C:\\Program Files\\x.exe", "C:\\Users\\Ada Byron\\"],
    ],
)
def test_what_python_joins_on_windows_is_split_into_the_same(words: list[str]) -> None:
    assert split(subprocess.list2cmdline(words), windows=True) == words


def test_a_command_line_of_posix() -> None:
    assert split("x 'a b' \"c d\" e\\ f", windows=False) == ["x", "a b", "c d", "e f"]
    with pytest.raises(LocalProtocolError, match="no closing quotation; or give it as a list of words"):
        split("x 'a", windows=False)


async def test_a_command_line_with_quotes_is_run(tmp_path: Path) -> None:
    script = tmp_path / "a server.py"
    script.write_text(f"{APP}app.run()\n")
    async with Client(subprocess.list2cmdline([sys.executable, str(script)])) as client:
        assert client.server_info is not None
        assert client.server_info.name == "garden"
