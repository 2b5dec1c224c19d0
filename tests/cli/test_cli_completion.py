"""Completion: the scripts, asked in the shells that are here, offer what the commands take."""

import shutil
import subprocess
import sys

import pytest

from dovetail.cli import main
from dovetail.cli.commands import commands
from dovetail.cli.completion import SHELLS, known_commands, script

ASK_BASH = """
source ./script
compopt() { :; }  # only lets itself be called by the shell
ask() {
    COMP_LINE=$1 COMP_POINT=${#1}
    local words current=
    read -ra words <<< "$1"
    [[ $1 == *' ' ]] || current=${words[${#words[@]}-1]}
    _dovetail dovetail "$current" ''
    echo "${COMPREPLY[@]}"
}
ask "$1"
"""
ASK_FISH = 'source ./script; complete -C "$argv[1]" | string split -f 1 \\t | string join " "'
PRESENT = [shell for shell in SHELLS if shutil.which(shell)]
ASKED = [
    (
        "dovetail ",
        {
            "auth",
            "store",
            "run",
            "worker",
            "dev",
            "gen",
            "new",
            "record",
            "replay",
            "list",
            "call",
            "tasks",
            "read",
            "prompt",
            "complete",
            "completion",
            "snapshot",
            "diff",
            "doctor",
            "bench",
            "chat",
            "conformance",
            "proxy",
            "gateway",
            "remote",
            "export",
            "servers",
            "install",
            "uninstall",
        },
    ),
    ("dovetail ca", {"call"}),
    ("dovetail auth ", {"login", "status", "logout"}),
    ("dovetail auth login --pas", {"--paste"}),
    ("dovetail call ", {"server.py"}),
    ("dovetail call ser", {"server.py"}),
    ("dovetail call server.py list --lo", {"--log"}),
    ("dovetail call localhost:8000/mcp x --rev", {"--revision"}),
    ("dovetail list --log w", {"warning"}),
    ("dovetail list server.py -r 2026", {"2026-07-28"}),
    ("dovetail call server.py x -o oth", {"other.txt"}),
    ("dovetail run --transport ", {"stdio", "http", "unix"}),
    ("dovetail run --no-s", {"--no-sessions"}),
    ("dovetail dev --std", {"--stdio"}),
    ("dovetail completion z", {"zsh"}),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with a server and something else in it."""
    for name in ("server.py", "other.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("shell", [each for each in PRESENT if each != "zsh"])
@pytest.mark.parametrize("line,offered", ASKED)
def test_what_is_offered(folder, shell, line, offered):
    """Commands, options, their values, servers and files, each in its place."""
    (folder / "script").write_text(script(shell, commands))
    words = ["bash", "--norc", "-c", ASK_BASH, "bash", line]
    if shell == "fish":
        words = ["fish", "--no-config", "-c", ASK_FISH, line]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    found = done.stdout.split()
    if shell == "fish" and offered == {"server.py"}:
        found = found[:1]  # fish shows other files, too, but after those
    assert set(found) == offered


@pytest.mark.parametrize("shell", PRESENT)
def test_each_shell_can_read_its_script(folder, shell, capfd):
    """As the command prints it."""
    assert main(("completion", shell)) == 0
    (folder / "script").write_text(capfd.readouterr().out)
    subprocess.run([shell, "-n", "script"], cwd=folder, check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_no_option_is_forgotten(shell):
    """Every command and every option of every command is in each script."""
    text = script(shell, commands)
    known = known_commands(commands)
    assert {each.words[0] for each in known} >= {"run", "dev", "list", "call", "read", "prompt", "complete"}
    for command in known:
        assert command.words[-1] in text
        for option in command.options:
            assert option.about, (command.words, option.names)
            long = option.names[0].removeprefix("--")
            assert (f"-l {long} " if shell == "fish" else f"--{long}") in text, (command.words, long)


def test_an_unknown_shell(capfd):
    """Is a usage error."""
    assert main(("completion", "csh")) == 2
    assert "csh" in capfd.readouterr().err


def test_serving_does_not_pay_for_it():
    """`dovetail run` loads nothing of the packages behind the other commands."""
    probe = (
        "import sys; from dovetail.cli import main; main(['run', 'no_such_file.py']);"
        "print([name for name in ('cyclopts', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
