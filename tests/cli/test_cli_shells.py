"""Shells at a terminal, a person who presses TAB, and the names that commands before it saw."""

import os
import pty
import select
import shutil
import stat
import subprocess
import time

import pytest

from dovetail.cli.commands import commands
from dovetail.cli.completion import SHELLS, script
from dovetail.cli.seen import SeenName, keep_seen, names_seen, seen_target
from dovetail.types import Prompt, PromptArgument, Resource, ResourceTemplate, Tool

PRESENT = [shell for shell in SHELLS if shutil.which(shell)]
SERVER = """
from dovetail import App

app = App("post")


@app.tool
async def send(to: str, grams: int) -> int:
    return grams


@app.tool
async def seal(to: str) -> str:
    return to


@app.resource("parcel://{number}")
async def parcel(number: int) -> str:
    return f"parcel {number}"


@app.prompt
async def complain(about: str) -> str:
    return about
"""
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; source ./script"),
    "zsh": (["zsh", "-i"], "autoload -U compinit; compinit -D; source ./script"),
    "fish": (["fish", "--no-config", "-i"], "source ./script"),
}
SAID = {
    "bash": "dovetail() { printf '<%s>' \"$@\"; echo ' end'; }",
    "zsh": "dovetail() { printf '<%s>' \"$@\"; echo ' end'; }",
    "fish": "function dovetail; printf '<%s>' $argv; echo ' end'; end",
}
PRESSED = [
    ("dovetail call server.py sen\t", "<call><server.py><send>"),
    ("dovetail call server.py send gr\t5", "<call><server.py><send><grams=5>"),
    ("dovetail call ./server.py send -a t\tx", "<call><./server.py><send><-a><to=x>"),
    ("dovetail call localhost:80\tship", "<call><localhost:8000/mcp><ship>"),
    ("dovetail call --timeout 3 localhost:8000/mcp shi\t", "<call><--timeout><3><localhost:8000/mcp><ship>"),
    ("dovetail prompt server.py com\tab\tx", "<prompt><server.py><complain><about=x>"),
    ("dovetail complete server.py complain ab\t", "<complete><server.py><complain><about>"),
    ("dovetail read server.py parc\t", "<read><server.py><parcel://{number}>"),
]


class Shell:
    """A shell at a terminal."""

    def __init__(self, shell, folder):
        words, setting = START[shell]
        self.shell = shell
        self.master, slave = pty.openpty()
        places = {"DOVETAIL_COMPLETION": str(folder / "seen"), "HOME": str(folder)}
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, start_new_session=True,
            env={**os.environ, "TERM": "dumb", "PS1": "", **places},
        )  # fmt: skip
        os.close(slave)
        self.ask(f"{setting}; {SAID[shell]}; echo re''ady\n", "ready")

    def ask(self, typed, until):
        """Type something, and give what is shown up to a text."""
        os.write(self.master, typed.encode())
        shown = ""
        ends = time.monotonic() + 20
        while until not in shown:
            ready, _, _ = select.select([self.master], [], [], max(0, ends - time.monotonic()))
            assert ready, f"{until!r} was not shown: {shown!r}"
            shown += os.read(self.master, 65536).decode("utf-8", "replace")
        return shown

    def close(self):
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a server, which is the current one, and a place for what is seen."""
    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVETAIL_COMPLETION", str(tmp_path / "seen"))
    return tmp_path


@pytest.mark.parametrize("shell", PRESENT)
def test_a_person_presses_tab(folder, shell, run):
    """In the shell itself: targets, names and arguments become what was meant, without a server being started."""
    assert run("list", "server.py", "-q")[0] == 0
    (folder / "server.py").write_text("raise SystemExit('a TAB started it')\n")
    keep_seen("localhost:8000/mcp", [SeenName("tool", "ship", ("where",))])
    (folder / "script").write_text(script(shell, commands))
    asked = Shell(shell, folder)
    try:
        for typed, meant in PRESSED:
            shown = asked.ask(f"{typed}\n", " end")
            assert f"{meant} end" in shown.replace("\r", ""), (typed, shown)
    finally:
        asked.close()


@pytest.mark.parametrize("shell", PRESENT)
def test_no_name_is_ever_run(folder, shell):
    """Not even one that somebody wrote into the file by another way."""
    bad = [
        "$(touch${IFS}ran)",
        "`touch ran`",
        "a;touch ran",
        "a$(touch ran)b",
        "<(touch ran)",
        "${x:-$(touch ran)}",
        "*",
    ]
    (folder / "seen").write_text(
        "".join(f"{folder}/server.py\ttool\t{each}\t{each}\n" for each in bad) + f"{bad[0]}\ttarget\t-\t\n"
    )
    (folder / "script").write_text(script(shell, commands))
    asked = Shell(shell, folder)
    try:
        for typed in (
            "dovetail call \t\t",
            "dovetail call server.py \t\t",
            "dovetail call server.py '*' \t\t",
        ):
            asked.ask(f"{typed}\x15", "")
            asked.ask("echo again''st\n", "against")
    finally:
        asked.close()
    assert not (folder / "ran").exists()


def test_a_tab_is_quick(folder):
    """A file that is as large as it gets, in bash, which reads slowest: by the shell's own count."""
    for number in range(100):
        names = [SeenName("tool", f"tool_{number}_{each}", ("to", "grams", "speed")) for each in range(20)]
        keep_seen(f"localhost:8000/{number}", names)
    assert len((folder / "seen").read_text().splitlines()) == 2000
    (folder / "script").write_text(script("bash", commands))
    probe = """
    source ./script
    compopt() { :; }
    COMP_LINE='dovetail call localhost:8000/99 tool' COMP_POINT=${#COMP_LINE}
    _dovetail dovetail tool ''
    echo "${#COMPREPLY[@]}"
    times | head -1
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", probe], cwd=folder, capture_output=True, text=True, check=True
    )
    count, spent = done.stdout.split("\n")[:2]
    assert count == "20"
    minutes, seconds = spent.split()[0].rstrip("s").split("m")
    assert int(minutes) == 0
    assert float(seconds) < 0.5  # on a machine that does other things; 0.05 on one that does not


def test_what_a_shell_could_mistake_is_not_kept(folder):
    """Names with anything in them but what a word is made of, options, and very long ones."""
    bad = [
        "a b",
        "a;b",
        "$(id)",
        "`id`",
        "a\tb",
        "a\nb",
        "-rf",
        "=ls",
        "~root",
        "*",
        "a*",
        "ü",
        "x" * 201,
        "",
        "a&b",
        "a'b",
        '"',
    ]
    tools = [
        Tool(name=each, input_schema={"type": "object", "properties": {each: {}, "ok": {}}})
        for each in (*bad, "fine")
    ]
    keep_seen("localhost:8000/mcp", names_seen(tools))
    assert (folder / "seen").read_text() == (
        "localhost:8000/mcp\ttarget\t-\t\nlocalhost:8000/mcp\ttool\tfine\tfine ok\n"
    )
    assert stat.S_IMODE((folder / "seen").stat().st_mode) == 0o600
    assert sorted(each.name for each in folder.iterdir()) == ["seen", "server.py"]


def test_targets_that_may_hold_a_secret_are_not_kept(folder):
    """Nor those that are commands."""
    assert seen_target("https://example.com/mcp", "http") == "https://example.com/mcp"
    assert seen_target("https://user:word@example.com/mcp", "http") == ""
    assert seen_target("https://example.com/mcp?key=1", "http") == ""
    assert seen_target("npx server --key=1", "process") == ""
    assert seen_target("unix:/run/x.sock", "socket") == "unix:/run/x.sock"
    assert seen_target("server.py", "process") == f"{folder}/server.py"
    assert seen_target("./server.py:app", "process") == f"{folder}/server.py:app"
    assert seen_target("gone.py", "process") == ""


def test_the_last_word_on_a_kind_counts_and_the_last_server_is_first(folder):
    """A tool that is gone is not offered; what was not asked for stays."""
    one, two = "localhost:1/mcp", "localhost:2/mcp"
    keep_seen(
        one,
        names_seen([Tool(name="a", input_schema={}), Prompt(name="p", arguments=[PromptArgument(name="x")])]),
    )
    keep_seen(
        two, names_seen([Resource(uri="x://y", name="y"), ResourceTemplate(uri_template="x://{z}", name="z")])
    )
    keep_seen(one, names_seen([Tool(name="b", input_schema={})]))
    assert (folder / "seen").read_text().splitlines() == [
        *(f"{one}\ttarget\t-\t", f"{one}\ttool\tb\t", f"{one}\tprompt\tp\tx"),
        *(f"{two}\ttarget\t-\t", f"{two}\tresource\tx://y\t", f"{two}\ttemplate\tx://{{z}}\tz"),
    ]


def test_programs_leave_no_trace(folder, monkeypatch, run, terminal):
    """Without a terminal nothing is kept, nor where the variable is empty; at a terminal it is, for its owner alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("DOVETAIL_COMPLETION", "")
    assert run("list", "server.py", "-q")[0] == 0
    monkeypatch.delenv("DOVETAIL_COMPLETION")
    assert run("list", "server.py", "-q")[0] == 0
    assert not (folder / "state").exists()
    asked = terminal("list", "server.py", "-q")
    asked.process.wait(30)
    kept = folder / "state" / "dovetail" / "completion"
    assert "\ttool\tsend\tto grams\n" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_place_that_can_not_be_written_costs_nothing(folder, monkeypatch, run):
    """The command does its work; with -v it says so."""
    (folder / "file").write_text("")
    monkeypatch.setenv("DOVETAIL_COMPLETION", str(folder / "file" / "seen"))
    code, out, err = run("call", "server.py", "send", "to=x", "grams=3", "-v")
    assert (code, out) == (0, "3\n")
    assert "not kept for completion" in err
    (folder / "broken").write_bytes(b"\xff\xfe\x00 no text")
    monkeypatch.setenv("DOVETAIL_COMPLETION", str(folder / "broken"))
    assert run("call", "server.py", "send", "to=x", "grams=3")[0] == 0
    assert "\ttool\tsend\tto grams\n" in (folder / "broken").read_text()
