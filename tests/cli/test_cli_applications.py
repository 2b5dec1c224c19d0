"""Commands of applications: found by entry point, imported only to be run, and none of their faults costs another.

The distributions are real ones, as installed: a folder of metadata and a module each, on the path of a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.cli.applications import CORE
from dovetail.cli.commands import commands
from dovetail.cli.completion import SHELLS

MARK = "import pathlib, sys\npathlib.Path(__file__).with_suffix('.imported').touch()\n"
ECHO = f"{MARK}def main(words):\n    print(*words, sep='|')\n    return 7\n"


class Place:
    """A folder on the path, with distributions in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        entry_points: str | bytes,
        source: str = ECHO,
        summary: str = "Echo words.",
        version: str = "1.2",
    ) -> None:
        """A distribution with a module of its name, and what its file of entry points holds."""
        about = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
        (about / "METADATA").write_text(text)
        raw = entry_points.encode() if isinstance(entry_points, str) else entry_points
        (about / "entry_points.txt").write_bytes(raw)
        (self.folder / f"{name.replace('-', '_')}.py").write_text(source)

    def command(self, distribution: str, name: str, source: str = ECHO, **about: str) -> None:
        """A distribution with one command."""
        module = distribution.replace("-", "_")
        self.add(distribution, f"[dovetail.commands]\n{name} = {module}:main\n", source, **about)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `dovetail` where these are installed."""
        return subprocess.run(
            [sys.executable, "-m", "dovetail", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder), "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

    @property
    def imported(self) -> list[str]:
        """The modules that a process has imported."""
        return sorted(each.stem for each in self.folder.glob("*.imported"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty one."""
    return Place(tmp_path)


def test_the_names_of_our_own_commands_are_known():
    """Those that no application can have, and that are never looked for among applications."""
    assert set(CORE) == {name for name in commands if not name.startswith("-")}


def test_a_command_gets_its_words_and_gives_the_exit_code(place):
    place.command("dovetail-echo", "echo")
    done = place.run("echo", "--a", "b c", "--", "-v", "--help")
    assert (done.returncode, done.stdout, done.stderr) == (7, "--a|b c|--|-v|--help\n", "")


@pytest.mark.parametrize(
    "ending,code,said",
    [
        ("return None", 0, ""),
        ("return True", 1, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(2)", 2, ""),
        ("raise SystemExit('no\\nroom')", 1, "dovetail: no room\n"),
        ("raise KeyboardInterrupt", 130, ""),
        (
            "raise ValueError('a\\x1b[2Jb')",
            70,
            "dovetail: a\\x1b[2Jb; this is a fault of dovetail-echo 1.2; -v shows where\n",
        ),
    ],
)
def test_however_it_ends(place, ending, code, said):
    """Each way has its exit code, and what it says is safe to show."""
    place.command("dovetail-echo", "echo", f"def main(words):\n    {ending}\n")
    done = place.run("echo")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_a_fault_shows_where_if_it_is_asked(place):
    place.command("dovetail-echo", "echo", "def main(words):\n    raise ValueError('here')\n")
    done = place.run("echo", "-v")
    assert done.returncode == 70
    assert "dovetail_echo.py" in done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], [], ["completion", "bash"], ["echoo"], ["list", "--help"]]
)
def test_nothing_is_imported_before_it_is_called(place, words):
    """Neither to list commands, nor to complete them, nor for a word that is nearly its name."""
    place.command("dovetail-echo", "echo")
    place.run(*words)
    assert place.imported == []
    place.run("echo")
    assert place.imported == ["dovetail_echo"]


def test_the_help_lists_them(place):
    """By name, with the summary of their distribution; what that holds is safe to show and of bounded length."""
    place.command("dovetail-echo", "echo", summary="Echo \x1b[2Jwords. " + "x" * 500)
    place.command("another", "zz-top", summary="Play.")
    done = place.run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  echo        Echo \\x1b[2Jwords. xxx" in done.stdout
    assert "  zz-top      Play.\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert "x" * 200 not in done.stdout.replace("\n", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_offers_them(place, shell):
    """With what they do, in the shells that show it; a quote in that ends nothing."""
    place.command("dovetail-echo", "echo", summary="Say it's so $(touch hacked)")
    done = place.run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "echo" in done.stdout
    if shell == "bash":
        (place.folder / "script").write_text(done.stdout)
        ask = "source ./script; COMP_LINE='dovetail ec' COMP_POINT=11; _dovetail dovetail ec ''; echo ${COMPREPLY[@]}"
        asked = subprocess.run(
            ["bash", "--norc", "-c", ask], cwd=place.folder, capture_output=True, text=True, check=True
        )
        assert asked.stdout == "echo\n"
        assert not (place.folder / "hacked").exists()
    else:
        assert "'\\''" in done.stdout, "the quote is quoted"


def test_a_name_of_our_own_is_refused_with_both_names(place):
    """Whoever takes it: ours goes on."""
    place.command("dovetail-evil", "call")
    done = place.run("--help")
    assert done.returncode == 0
    assert (
        done.stderr
        == "dovetail: the command 'call' of dovetail-evil 1.2 is refused: dovetail itself has one of this name\n"
    )
    assert "Commands of applications" in done.stdout, "the others are still listed"
    called = place.run("call")
    assert called.returncode == 2
    assert "TARGET" in called.stderr, "ours says what it lacks"
    assert place.imported == []


def test_a_name_that_two_have_belongs_to_neither(place):
    place.command("dovetail-one", "echo")
    place.command("dovetail-two", "echo")
    place.command("dovetail-three", "echo", version="3.0")
    place.command("dovetail-good", "good")
    done = place.run("echo", "x")
    assert done.returncode == 2
    for name in ("dovetail-one 1.2", "dovetail-two 1.2", "dovetail-three 3.0"):
        assert name in done.stderr
    assert done.stderr.count("\n") == 1
    assert place.imported == []
    assert place.run("good", "x").stdout == "x\n"


@pytest.mark.parametrize(
    "source,said",
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def other(): pass\n", "AttributeError: "),
        ("def main(:\n", "SyntaxError: "),
        ("raise SystemExit('bye')\n", "SystemExit: bye"),
        ("raise RuntimeError('\\x1b[2J\\nforged')\n", "RuntimeError: \\x1b[2J forged"),
        ("main = 5\n", "TypeError: it is no function but int"),
    ],
)
def test_one_that_is_broken_is_named_and_costs_no_other(place, source, said):
    place.command("dovetail-broken", "broken", source)
    place.command("dovetail-echo", "echo")
    done = place.run("broken", "x")
    assert done.returncode == 3
    start = (
        "dovetail: the command 'broken' of dovetail-broken 1.2 can't be loaded from 'dovetail_broken:main': "
    )
    assert done.stderr.startswith(start + said)
    assert done.stderr.count("\n") == 1
    assert place.run("echo", "x").stdout == "x\n"
    listed = place.run("--help")
    assert "  broken" in listed.stdout
    assert "  echo" in listed.stdout


@pytest.mark.parametrize(
    "entry_points",
    [
        "[dovetail.commands]\nthis is no line of it\n",
        b"[dovetail.commands]\n\xff\xfe = x:main\n",
        "[dovetail.commands]\n\x1b[2J = dovetail_hostile:main\n",
        "[dovetail.commands]\n--help = dovetail_hostile:main\n",
        "[dovetail.commands]\n../../x = dovetail_hostile:main\n",
        "[dovetail.commands]\n" + "x" * 10_000 + " = dovetail_hostile:main\n",
    ],
)
def test_a_hostile_file_of_entry_points_costs_nobody(place, entry_points):
    """It is told, where it says anything that could be for us, by the name of its distribution."""
    place.add("dovetail-hostile", entry_points)
    place.command("dovetail-echo", "echo")
    listed = place.run("--help")
    assert listed.returncode == 0
    assert "  echo " in listed.stdout
    assert isinstance(entry_points, bytes) or "dovetail-hostile 1.2" in listed.stderr
    assert "\x1b" not in listed.stderr
    assert len(listed.stderr) < 400
    assert "Traceback" not in listed.stderr
    assert place.run("echo", "x").stdout == "x\n"
    assert place.imported == ["dovetail_echo"]


def test_what_its_place_says_may_be_nonsense(place):
    place.add("dovetail-hostile", "[dovetail.commands]\nodd = no module at all!\n")
    done = place.run("odd")
    assert done.returncode in (2, 3), (
        "a Python may look at the place when it reads the file, and know no such command"
    )
    assert "dovetail-hostile 1.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_metadata_that_is_missing_names_the_folder(place):
    place.command("dovetail-echo", "echo", "import nothing_of_this_name\n")
    (place.folder / "dovetail_echo-1.2.dist-info" / "METADATA").unlink()
    done = place.run("echo")
    assert done.returncode == 3
    assert "dovetail_echo-1.2.dist-info" in done.stderr


def test_an_unknown_command_is_a_usage_error_that_names_what_was_refused(place):
    place.add("dovetail-hostile", "[dovetail.commands]\nBad_Name = dovetail_hostile:main\n")
    done = place.run("bad-name")
    assert done.returncode == 2
    assert "'Bad_Name' of dovetail-hostile 1.2 is refused" in done.stderr


def test_serving_never_looks_for_them(place):
    """`dovetail run` and the client's commands pay nothing for what is installed."""
    place.command("dovetail-echo", "echo")
    probe = (
        "import sys; from dovetail.cli import main; main(['run', 'no_such_file.py']);"
        "print([name for name in ('dovetail.cli.applications', 'importlib.metadata') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=os.environ | {"PYTHONPATH": str(place.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
