"""Between a host and a server on stdio: byte for byte without a fault, and each fault as both sides see it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from between_running import SERVER, around

from dovetail import Client
from dovetail.errors import ConnectionLost, DovetailError, RemoteProtocolError, RequestTimeout, RPCError
from dovetail.recording import Capture, CaptureTail, CaptureWriter, Redaction
from dovetail_inspector.between.faults import Drop, FaultInvalid, Status
from dovetail_inspector.between.live import LiveRelay, Steering, live_folder, live_relays

ERAS = ["2026-07-28", "2025-11-25"]
CALLS = "method=tools/call"
ECHO = "import sys\nwhile data := sys.stdin.buffer.read1(): sys.stdout.buffer.write(data); sys.stdout.flush()"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, with nothing left in it that misleads."""
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    live = live_folder()
    assert live_relays() == []
    assert list(live.iterdir()) == []


async def ada(_: Any) -> dict[str, str]:
    """Answer a question."""
    return {"value": "Ada"}


def only() -> LiveRelay:
    """The one relay that runs."""
    (found,) = live_relays()
    return found


def of_capture(path: Path, mark: str) -> list[str]:
    """The targets or texts of marks."""
    return [
        each.text if mark == "stderr" else each.target for each in Capture.read(path) if each.mark == mark
    ]


@pytest.mark.parametrize("revision", ERAS)
async def test_without_a_fault_both_sides_say_and_hear_the_same(revision: str, tmp_path: Path) -> None:
    path, told = tmp_path / "talk.jsonl", tmp_path / "client.jsonl"
    record = CaptureWriter(told, redaction=Redaction(defaults=False))
    async with Client(around(path), revision=revision, elicitation=ada, record=record) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        assert (await client.call_tool("tell", progress=lambda _: None)).text == "3"
        assert (await client.call_tool("ask")).text == "Hello, Ada"
        relay = only()
        assert (relay.transport, relay.capture) == ("stdio", str(path))
        assert str(SERVER) in relay.target

    record.close()

    def said(at: Path, sender: str) -> list[Any]:
        return [each.value for each in Capture.read(at) if each.sender == sender]

    for sender in ("client", "server"):
        assert said(path, sender) == said(told, sender)
    assert of_capture(path, "fault") == []


def test_every_byte_passes_with_faults_in_force_that_strike_nothing(tmp_path: Path) -> None:
    given = b'{"a":1}\r\n\n\x00\xff{\n' + b"x" * 200_000 + b"\n" + bytes(range(256)) * 999 + b"\nno end"
    for faults in ((), ("drop method=never", "delay seconds=9 method=never sender=client")):
        path = tmp_path / "talk.jsonl"
        command = around(path, *faults, command=(sys.executable, "-c", ECHO))
        done = subprocess.run(command, input=given, capture_output=True, check=True)
        assert done.stdout == given
        assert done.stderr == b""


async def test_standard_error_passes_and_is_recorded(tmp_path: Path) -> None:
    path, lines = tmp_path / "talk.jsonl", []
    async with Client(around(path), on_stderr=lines.append) as client:
        assert (await client.call_tool("complain")).text == "done"
    assert lines == ["this went wrong"]
    assert of_capture(path, "stderr") == ["this went wrong"]


FATAL: list[tuple[str, type[Exception]]] = [
    ("error code=-32000", RPCError),
    ("disconnect", ConnectionLost),
    ("disconnect sender=client", ConnectionLost),
    ("cut", ConnectionLost),
    ("cut bytes=5 sender=client", ConnectionLost),
    ("drop", RequestTimeout),
    ("drop sender=client", RequestTimeout),
    ("wrong-id", RequestTimeout),
    ("wrong-id sender=client", RequestTimeout),
    ("truncate", RequestTimeout),
    ("invalid-utf8", RemoteProtocolError),
]


@pytest.mark.hostile
@pytest.mark.parametrize("fault,error", FATAL)
async def test_a_client_sees_each_fault_as_its_typed_error(
    fault: str, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    with pytest.raises(error):
        async with Client(around(path, f"{fault} {CALLS}"), timeout=1.0) as client:
            await client.call_tool("add", {"a": 1, "b": 2})
    (struck,) = of_capture(path, "fault")
    assert struck == f"1: {fault} {CALLS}" or sorted(struck[3:].split()) == sorted([*fault.split(), CALLS])


@pytest.mark.hostile
@pytest.mark.parametrize("sender", ["client", "server"])
async def test_a_direction_that_is_closed_ends_the_conversation(sender: str, tmp_path: Path) -> None:
    """After the message: so the call in it is still answered where the server's direction stays open."""
    path = tmp_path / "talk.jsonl"
    async with Client(around(path, f"half-close sender={sender} {CALLS}"), timeout=5) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        with pytest.raises(DovetailError):
            await client.call_tool("add", {"a": 1, "b": 2})


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
async def test_faults_that_a_client_gets_over(revision: str, tmp_path: Path) -> None:
    faults = (
        f"drip bytes=40 seconds=0.001 nth=1 {CALLS}",
        f"duplicate {CALLS} nth=2",
        f"delay seconds=0.2 nth=3 {CALLS}",
        f"oversize bytes=3000000 nth=4 {CALLS}",
        "reorder nth=1 method=notifications/progress",
        "drop nth=3 method=notifications/progress",
    )
    path, seen = tmp_path / "talk.jsonl", []
    async with Client(around(path, *faults), revision=revision, timeout=20) as client:
        for _ in range(4):
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        text = (await client.call_tool("tell", progress=lambda told: seen.append(told.progress))).text
        assert text == "3"
        assert seen == [1.0, 0.0]
        assert [each.struck for each in Steering(only()).faults()] == [1] * 6
    assert len(of_capture(path, "fault")) == 6


async def test_what_is_delayed_holds_up_the_rest_or_is_overtaken(tmp_path: Path) -> None:
    async def order(fault: str) -> list[str]:
        done: list[str] = []

        async def call(client: Client, a: int) -> None:
            done.append((await client.call_tool("add", {"a": a, "b": 0})).text)

        async with Client(around(tmp_path / "talk.jsonl", fault)) as client:
            first = asyncio.create_task(call(client, 1))
            await asyncio.sleep(0)  # it has been sent, or is the first to be
            await asyncio.gather(first, call(client, 2))
        return done

    assert await order(f"delay seconds=0.3 nth=1 {CALLS}") == ["1", "2"]
    assert await order(f"delay seconds=0.3 nth=1 overtaken=true {CALLS}") == ["2", "1"]
    assert await order(f"reorder nth=1 {CALLS}") == ["2", "1"]


async def test_faults_are_added_and_taken_away_while_it_runs(tmp_path: Path) -> None:
    async with Client(around(tmp_path / "talk.jsonl"), timeout=10) as client:
        steering = Steering(only())
        assert steering.faults() == []
        number = steering.add(Drop(method="tools/call", times=1))
        with pytest.raises(RequestTimeout):
            await client.call_tool("add", {"a": 1, "b": 2}, timeout=0.3)
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        (state,) = steering.faults()
        assert (state.number, state.matched, state.struck) == (number, 2, 1)
        assert steering.remove(number)
        assert not steering.remove(number)
        with pytest.raises(FaultInvalid, match="statuses are of HTTP"):
            steering.add(Status())


@pytest.mark.hostile
async def test_what_is_held_back_comes_when_no_fault_is_left(tmp_path: Path) -> None:
    async with Client(around(tmp_path / "talk.jsonl", f"delay seconds=3600 {CALLS}")) as client:
        call = asyncio.create_task(client.call_tool("add", {"a": 1, "b": 2}))
        with CaptureTail(tmp_path / "talk.jsonl") as tail:
            struck = False
            while not struck:
                struck = any(each.line.mark == "fault" for each in tail.new())
                await asyncio.sleep(0)
        Steering(only()).clear()
        assert (await asyncio.wait_for(call, 10)).text == "3"


# The end of it


def speaking(tmp_path: Path, script: str, *faults: str) -> subprocess.Popen[bytes]:
    """A relay around a Python program."""
    return subprocess.Popen(
        around(tmp_path / "talk.jsonl", *faults, command=(sys.executable, "-c", script)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("faults", [(), ("drop method=never",)])
def test_a_host_that_closes_its_end_ends_all(faults: tuple[str, ...], tmp_path: Path) -> None:
    with speaking(
        tmp_path, "import sys; sys.stdin.read(); print('{\"ended\":1}'); sys.exit(7)", *faults
    ) as process:
        out, _ = process.communicate(b"{}\n", timeout=60)
        assert out == b'{"ended":1}\n'
        assert process.returncode == 7
    assert of_capture(tmp_path / "talk.jsonl", "close") == [""]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_it_ends_the_server(number: int, tmp_path: Path) -> None:
    script = f"import signal, sys; signal.signal({int(number)}, signal.SIG_DFL); print('{{}}', flush=True)"
    script += "; sys.stdin.read()"
    with speaking(tmp_path, script, "drop method=never") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"{}\n"
        assert len(live_relays()) == 1
        process.send_signal(number)
        assert process.wait(60) == -number


@pytest.mark.hostile
def test_a_relay_that_is_killed_leaves_a_capture_and_nothing_that_misleads(
    state: Path, tmp_path: Path
) -> None:
    told = tmp_path / "ended"
    os.mkfifo(told)
    script = f"import sys; print('{{}}', flush=True); sys.stdin.read(); open({str(told)!r}, 'w').write('x')"
    with speaking(tmp_path, script, "drop method=never") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"{}\n"
        relay = only()
        assert Path(relay.socket).stat().st_mode & 0o777 == 0o600
        process.kill()
        process.wait(60)
        assert told.read_text() == "x"  # the server has read the end of its input, and ends
    assert Path(relay.socket).exists()
    with pytest.raises(Exception, match="takes no orders"):
        Steering(relay).faults()
    assert live_relays() == []
    assert not Path(relay.socket).exists()
    assert [each.value for each in Capture.read(tmp_path / "talk.jsonl") if each.sender == "server"] == [{}]


@pytest.mark.hostile
def test_lines_without_an_end_pass_and_cost_no_more_than_their_bound(tmp_path: Path) -> None:
    given = b"z" * (40 * 1024 * 1024) + b"\n{}\n"
    command = around(tmp_path / "talk.jsonl", "drop method=never", command=(sys.executable, "-c", ECHO))
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True)
    assert done.stdout == given
    lines = [each for each in Capture.read(tmp_path / "talk.jsonl") if not each.mark]
    assert sorted(each.omitted or len(each.data) for each in lines) == [
        2,
        2,
        16 * 1024 * 1024,
        16 * 1024 * 1024,
    ]


@pytest.mark.hostile
@pytest.mark.parametrize("faults", [(), ("duplicate method=never", "delay seconds=0.001 share=0.01 seed=1")])
def test_ten_thousand_messages_at_once(faults: tuple[str, ...], tmp_path: Path) -> None:
    """None is lost, and none is torn, whatever is held back."""
    many = 10_000
    given = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % each for each in range(many))
    command = around(tmp_path / "talk.jsonl", *faults, command=(sys.executable, "-c", ECHO))
    began = time.perf_counter()
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True)
    assert done.stdout == given
    assert time.perf_counter() - began < 60
    assert len([each for each in Capture.read(tmp_path / "talk.jsonl") if each.sender]) == 2 * many


@pytest.mark.hostile
def test_lines_that_overtake_each_other_stay_whole(tmp_path: Path) -> None:
    many = 2000
    given = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % each for each in range(many))
    faults = (
        "delay seconds=0 up_to=0.05 overtaken=true share=0.3 seed=7",
        "reorder behind=3 share=0.2 seed=8 seconds=1",
        "duplicate share=0.1 seed=9",
    )
    command = around(tmp_path / "talk.jsonl", *faults, command=(sys.executable, "-c", ECHO))
    lines = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert set(lines) == set(given.splitlines())
    assert lines != given.splitlines()
    assert len(lines) > many


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        around(tmp_path / "talk.jsonl", command=("no-such-command-anywhere",)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert b"cannot start 'no-such-command-anywhere'" in done.stderr
    assert done.stdout == b""


def test_words_that_make_no_sense(tmp_path: Path) -> None:
    for faults in (("nonsense",), ("delay",), ("status",)):
        done = subprocess.run(around(tmp_path / "t.jsonl", *faults), capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(b"dovetail inspect: ")
        assert done.stdout == b""
