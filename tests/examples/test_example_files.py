"""The examples are run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = sorted(path.name for path in EXAMPLES.glob("*.py"))


def test_there_are_examples():
    """The folder is where it should be."""
    assert {"calculator.py", "notes.py", "weather.py"} <= set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_example_checks_itself(name):
    """`--check` ends with 0, says so, and says nothing else."""
    words = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    # That the machine was slow is no fault of an example; asyncio says so when it looks for faults.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])
    assert done.stdout == f"{name.removesuffix('.py')}: all checks passed\n"


@pytest.mark.parametrize("name", SMALL)
def test_a_small_example_serves(name):
    """The command line lists its tools."""
    words = [sys.executable, "-m", "dovetail", "list", str(EXAMPLES / name), "--tools"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=True)
    assert "Tools (" in done.stdout


def test_the_demo():
    """All four acts, plainly, since there is no terminal here."""
    words = [sys.executable, str(EXAMPLES / "library" / "demo.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for text in ("Act 1: stdio", "Act 4: HTTP", "What was checked", "All 52 scenes went well"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout


def test_the_report():
    """A task, over a kill."""
    words = [sys.executable, str(EXAMPLES / "report" / "demo.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for text in ("killed: when 2 of 4", "asked: 16 sacks", "the report: 1907: 16 sacks", "All went well"):
        assert text in done.stdout


def test_the_host():
    """Five servers, of which two are no use, and a person; the demo compares the transcript itself."""
    words = [sys.executable, str(EXAMPLES / "host" / "demo.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=55, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "another process: True" in done.stdout


def test_the_demo_with_plain_ascii(tmp_path):
    """An output that knows no more than ASCII is no reason to fail."""
    code = (
        "import asyncio, sys; sys.argv[0] = 'demo'; import demo; demo.ACTS = demo.ACTS[:1]; "
        "sys.exit(asyncio.run(demo.main()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLES / "library",
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    "change,said",
    [
        (
            "scenes.SCENES['search'] = scenes.read; scenes.DOCUMENT = 'nowhere.md'",
            "read a resource: ResourceNotFound",
        ),
        ("demo.HERE = demo.HERE / 'nowhere'", "start and connect: ServerExited"),
    ],
)
def test_the_demo_fails_when_something_is_wrong(change, said):
    """A scene that goes wrong, or a server that does not start, is told and ends in 1."""
    code = (
        "import asyncio, sys, demo, scenes; demo.ACTS = demo.ACTS[:1]; "
        f"{change}; sys.exit(asyncio.run(demo.main()))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, cwd=EXAMPLES / "library", capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
