"""One file of decisions and several hosts: what each was told stays, whoever writes, waits or is killed meanwhile."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail import App
from dovetail.host import Approve, ConsentRefused, Decisions, Host, RememberedDecision
from dovetail.security import file_lock
from dovetail.security.file_lock import locked
from dovetail.types import Tool

WRITER = """
import sys
from dovetail.host import Decisions, RememberedDecision
from dovetail.types import Tool

path, name, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
decisions = Decisions(path)
print("ready", flush=True)
sys.stdin.readline()
for each in range(many):
    tool = f"{name}-{each}"
    decisions.remember(RememberedDecision(
        server=name, identity="i", kind="tool", allowed=True, tool=tool, kept=True
    ))
    decisions.show(name, "i", Tool(name=tool, input_schema={"type": "object"}))
    print(each, flush=True)
"""
HOLDER = """
import sys
from pathlib import Path
from dovetail.security.file_lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
#: Decisions that no process has the time to make.
ENDLESS = 1_000_000


def started(script: str, *words: object) -> subprocess.Popen[str]:
    """A process that has said its first line, and goes on once it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("ready", "held")
    return process


def go_on(process: subprocess.Popen[str]) -> None:
    """Tell a process to go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where decisions are kept."""
    return tmp_path / "decisions.json"


def tools_of(decisions: Decisions, server: str) -> list[str]:
    """The tools that were decided on, in order."""
    return [each.tool for each in decisions if each.server == server]


def decision(tool: str, *, kept: bool = True) -> RememberedDecision:
    return RememberedDecision(server="here", identity="i", kind="tool", allowed=True, tool=tool, kept=kept)


def test_what_several_processes_decide_at_once_is_all_kept(path: Path) -> None:
    many, names = 12, ["a", "b", "c"]
    ours = Decisions(path)
    writers = [started(WRITER, path, name, many) for name in names]
    for writer in writers:
        go_on(writer)
    for each in range(many):
        ours.remember(decision(f"here-{each}"))
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    for name in names:
        expected = [f"{name}-{each}" for each in range(many)]
        for decisions in (ours, Decisions(path)):
            assert tools_of(decisions, name) == expected
            assert all(decisions.shown(name, "i", tool) for tool in expected)
    assert tools_of(ours, "here") == [f"here-{each}" for each in range(many)]
    ours.forget("b")
    assert tools_of(Decisions(path), "b") == []
    assert len(tools_of(Decisions(path), "a")) == many


def test_a_writer_that_is_killed_loses_nothing_and_holds_nobody_up(path: Path) -> None:
    acknowledged: dict[str, int] = {}
    for round_ in range(6):
        name = f"round{round_}"
        writer = started(WRITER, path, name, ENDLESS)
        assert writer.stdout is not None
        go_on(writer)
        for _ in range(3 + round_):
            acknowledged[name] = int(writer.stdout.readline())
        writer.kill()  # wherever it is by now
        for line in writer.communicate(timeout=60)[0].splitlines():
            acknowledged[name] = int(line)
        decisions = Decisions(path)
        decisions.remember(decision(name))
        for each, last in acknowledged.items():
            expected = [f"{each}-{number}" for number in range(last + 1)]
            assert tools_of(decisions, each)[: last + 1] == expected
            assert all(decisions.shown(each, "i", tool) for tool in expected)
    assert sorted(each.name for each in path.parent.iterdir()) == ["decisions.json", "decisions.json.lock"]


def test_what_a_dead_writer_left_is_taken_away_and_nothing_else(path: Path) -> None:
    left = path.with_name(".decisions.json.abcdefgh.part")
    others = [path.with_name(".decisions.json.backup"), path.with_name(".other.json.abcdefgh.part")]
    for each in (left, *others):
        each.write_text("half")
    Decisions(path).remember(decision("a"))
    assert not left.exists()
    assert all(each.exists() for each in others)


@pytest.fixture
def holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock, and is not waited for for long."""
    monkeypatch.setattr(file_lock, "LOCK_SECONDS", 0.1)
    process = started(HOLDER, path)
    yield process
    process.kill()
    process.communicate()


async def test_what_can_not_be_kept_is_not_done_and_the_loop_goes_on(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, done = App("shop"), list[str]()

    @app.tool
    async def buy(thing: str) -> str:
        done.append(thing)
        return thing

    def always(_: object) -> Approve:
        return Approve(remember="always")

    async with Host({"shop": app}, consent=always, decisions=Decisions(path)) as host:
        with pytest.raises(ConsentRefused, match="could not be recorded") as caught:
            await host.call("shop__buy", {"thing": "hat"})
        assert caught.value.by == "audit"
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert done == []
        monkeypatch.setattr(file_lock, "LOCK_SECONDS", 60.0)
        waiting = asyncio.create_task(host.call("shop__buy", {"thing": "hat"}))
        assert [each.name for each in await host.tools()] == ["shop__buy"]
        assert done == []
        go_on(holder)
        await waiting
    assert done == ["hat"]
    assert [each.tool for each in Decisions(path)] == ["buy"]


def test_a_lock_goes_with_its_process(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError, match=r"decisions\.json\.lock"):
        Decisions(path).remember(decision("a"))
    assert not path.exists()
    holder.kill()
    holder.wait()
    Decisions(path).remember(decision("a"))
    assert tools_of(Decisions(path), "here") == ["a"]


def test_threads_of_one_process_take_turns(path: Path) -> None:
    inside, most = 0, 0

    def turn(number: int) -> None:
        nonlocal inside, most
        with locked(path):
            inside += 1
            most = max(most, inside)
            Path(f"{path}.{number}").write_text("x")
            inside -= 1
        shared.remember(decision(str(number)))

    shared = Decisions(path)
    threads = [threading.Thread(target=turn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert sorted(tools_of(shared, "here")) == [str(number) for number in range(8)]


def test_the_same_again_is_noted_once_and_a_session_writes_nothing(path: Path) -> None:
    decisions = Decisions(path)
    for _ in range(3):
        decisions.remember(decision("a"))
        decisions.show("here", "i", Tool(name="a", input_schema={"type": "object"}))
    assert tools_of(Decisions(path), "here") == ["a"]
    written = path.stat().st_mtime_ns
    decisions.remember(decision("b", kept=False))
    assert path.stat().st_mtime_ns == written
    assert tools_of(Decisions(path), "here") == ["a"]
