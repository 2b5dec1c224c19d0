"""`dovetail new`: what it makes passes its own tests, and it overwrites nothing."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

SITE = sysconfig.get_path("purelib")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def environment(folder):
    """An environment that sees the packages of this one: its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    words = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    # addsitedir: what is installed here as a link is seen, too
    Path(site, "outer.pth").write_text(f"import site; site.addsitedir({SITE!r})\n")
    return python


def done(*words, folder):
    """Run a program; its output."""
    found = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PIP_NO_INDEX": "1", "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.timeout(240)  # an environment, an installation and a test run of its own
@pytest.mark.parametrize("kind", ["--stdio", "--http"])
def test_it_can_be_installed_and_passes_its_own_tests(folder, run, kind):
    """From nothing but what it wrote, without a network."""
    code, out, err = run("new", "dice-table", kind)
    assert (code, out) == (0, "")
    assert "cd dice-table" in err
    project = folder / "dice-table"
    python = environment(folder / "env")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    done(*pip, "--no-build-isolation", "--no-deps", "-e", ".", folder=project)
    said = done(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=project)
    assert "40 passed" in said
    command = folder / "env" / "bin" / "dice-table"
    assert command.is_file()
    if kind == "--stdio":
        code, out, err = run("call", f"{command}", "add_up", "numbers:=[1, 6]", "bonus=2")
        assert (code, out) == (0, "9\n"), err


@pytest.mark.parametrize("kind", [(), ("--http",)])
def test_its_files_are_in_good_order(folder, run, kind):
    """The formatter leaves them as they are, the linter finds nothing, the type checker neither."""
    assert run("new", "dice", "-q", *kind) == (0, "", "")
    ruff, pyright = (str(Path(sys.executable).with_name(each)) for each in ("ruff", "basedpyright"))
    done(ruff, "format", "--isolated", "--check", "--line-length", "110", ".", folder=folder / "dice")
    done(
        ruff,
        "check",
        "--isolated",
        "--select",
        "E,F,I,UP,B",
        "--line-length",
        "110",
        ".",
        folder=folder / "dice",
    )
    done(pyright, "--pythonpath", sys.executable, "src", folder=folder / "dice")
    project = tomllib.loads((folder / "dice" / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"dice": "dice.server:main"}
    texts = [
        each.read_text() for each in (folder / "dice").rglob("*") if each.suffix in (".py", ".toml", ".md")
    ]
    assert len(texts) == 6
    assert not [each for each in texts if "@NAME@" in each or "@PACKAGE@" in each]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x",
            "a/b",
            "/tmp/x",
            "a\\b",
            "..",
            ".",
            "",
            "-x",
            "x-",
            "1x",
            "x--y",
            "x y",
            "x\n",
            "x\x00",
            "größe",
        ),
        *(
            "class",
            "Class",
            "match",
            "json",
            "typing",
            "dovetail",
            "tests",
            "server",
            "x" * 65,
            "$(id)",
            "a;b",
            "~",
            "CON:",
        ),
    ],
)
def test_names_that_can_not_be(folder, run, name):
    """Are refused, with what to write instead; nothing is made."""
    code, out, err = run("new", "--", name) if name.startswith("-") else run("new", name)
    assert (code, out) == (2, "")
    assert err.startswith("dovetail: ")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_is_never_touched(folder, run, there):
    """Not even an empty folder, or a link that leads nowhere."""
    place = folder / "dice"
    {
        "folder": place.mkdir,
        "file": lambda: place.write_text("mine"),
        "link": lambda: place.symlink_to(folder / "elsewhere"),
    }[there]()
    code, _, err = run("new", "dice")
    assert code == 2
    assert "'dice' is there already" in err
    assert not (folder / "elsewhere").exists()
    assert [each.name for each in folder.rglob("*")] == ["dice"]


def test_one_transport_at_a_time(run, folder):
    """Both together are a mistake."""
    assert run("new", "dice", "--http", "--stdio")[0] == 2
    assert list(folder.iterdir()) == []
