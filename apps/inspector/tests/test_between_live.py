"""Relays that run: found by others, steered by them, and gone without a trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail_inspector.between.faults import Delay, Drop, FaultInvalid, Status
from dovetail_inspector.between.live import (
    LiveRelay,
    LiveUnavailable,
    Steering,
    live_folder,
    live_relays,
    registered,
)
from dovetail_inspector.between.striking import FaultSet


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the relays that run, of this test alone; its path is short, as that of a home is."""
    with tempfile.TemporaryDirectory(prefix="i-") as home:
        monkeypatch.setenv("HOME", home)
        yield live_folder()
        assert list(live_folder().iterdir()) == []


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[LiveRelay]:
    """One that runs, in this process."""
    with registered(FaultSet("stdio"), target="a server", capture=tmp_path / "talk.jsonl") as found:
        yield found


def said(relay: LiveRelay, data: bytes) -> bytes:
    """What comes back for bytes at its socket."""
    with socket.socket(socket.AF_UNIX) as called:
        called.settimeout(10)
        called.connect(relay.socket)
        called.sendall(data)
        called.shutdown(socket.SHUT_WR)
        with called.makefile("rb") as answers:
            return answers.read()


def test_a_relay_is_found_while_it_runs_and_no_longer(tmp_path: Path, folder: Path) -> None:
    faults = FaultSet("http")
    with registered(
        faults, target="one", capture=tmp_path / "one.jsonl", url="http://127.0.0.1:1/mcp"
    ) as one:
        with registered(
            FaultSet("stdio"), target="two", capture=tmp_path / "two.jsonl", host="h", server="s"
        ):
            assert [each.target for each in live_relays()] == ["one", "two"]
        assert live_relays() == [one]
        assert (one.process, one.transport, one.capture) == (os.getpid(), "http", str(tmp_path / "one.jsonl"))
        modes = {each.suffix: each.stat().st_mode & 0o777 for each in folder.iterdir()}
        assert modes == {".json": 0o600, ".sock": 0o600}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert live_relays() == []


def test_what_is_raised_meanwhile_is_raised(tmp_path: Path) -> None:
    with (
        pytest.raises(BlockingIOError, match="of the block"),
        registered(FaultSet("stdio"), target="one", capture=tmp_path / "one.jsonl"),
    ):
        raise BlockingIOError("of the block")


def test_its_faults_are_steered(relay: LiveRelay) -> None:
    steering = Steering(relay)
    assert steering.faults() == []
    first, second = steering.add(Delay(seconds=1)), steering.add(Drop(method="x"))
    assert [(each.number, each.fault) for each in steering.faults()] == [
        (first, "delay seconds=1.0"),
        (second, "drop method=x"),
    ]
    assert steering.remove(first)
    assert not steering.remove(first)
    with pytest.raises(FaultInvalid, match="of HTTP"):
        steering.add(Status())
    steering.clear()
    assert steering.faults() == []


@pytest.mark.hostile
def test_nonsense_at_the_socket_is_answered_and_harms_nobody(relay: LiveRelay) -> None:
    for data in (
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"do":"fly"}\n',
        b'{"do":"add"}\n',
        b'{"do":"add","fault":{"kind":"drop","nth":"1"}}\n',
        b'{"do":"remove","number":"x"}\n',
        b'{"do":"list","more":1}\n',
        b"[" * 100_000 + b"\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        for line in said(relay, data).splitlines():
            assert json.loads(line)["problem"]
    assert said(relay, b"") == b""
    assert said(relay, b'{"do":"list"}') == b"{}\n"
    assert said(relay, b'{"do":"list"}\n{"do":"list"}\n') == b"{}\n{}\n"
    assert Steering(relay).faults() == []


@pytest.mark.hostile
def test_callers_that_say_nothing_keep_nobody_out_for_long(relay: LiveRelay) -> None:
    silent = []
    try:
        for _ in range(40):
            caller = socket.socket(socket.AF_UNIX)
            caller.connect(relay.socket)
            silent.append(caller)
        with pytest.raises(LiveUnavailable):
            Steering(relay).faults()  # there are sixteen already
    finally:
        for caller in silent:
            caller.close()
    while True:  # until it has noticed that they are gone
        try:
            assert Steering(relay).faults() == []
            break
        except LiveUnavailable:
            continue


def killed(tmp_path: Path) -> LiveRelay:
    """What is left of a relay that was killed."""
    script = (
        "import os, signal; from pathlib import Path\n"
        "from dovetail_inspector.between.live import registered\n"
        "from dovetail_inspector.between.striking import FaultSet\n"
        f"with registered(FaultSet('stdio'), target='x', capture=Path({str(tmp_path)!r}) / 'c'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = live_folder().glob("*.json")
    told = json.loads(left.read_bytes())
    left.write_bytes(json.dumps({**told, "process": os.getpid()}).encode())  # another has its number by now
    return LiveRelay(**told)


@pytest.mark.hostile
def test_what_is_left_of_one_that_was_killed_is_cleared_away(tmp_path: Path) -> None:
    left = killed(tmp_path)
    assert Path(left.socket).is_socket()
    with pytest.raises(LiveUnavailable, match="takes no orders"):
        Steering(left).faults()
    assert live_relays() == []


@pytest.mark.hostile
def test_files_of_others_in_the_folder_stay_and_mislead_nobody(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    others = {
        "a.json": b"{}",
        "b.json": b"no json",
        "c.json": json.dumps(
            {
                "name": "../precious",
                "process": 1,
                "began": "",
                "target": "",
                "transport": "",
                "capture": "",
                "socket": str(precious),
            }
        ).encode(),
    }
    for name, data in others.items():
        (folder / name).write_bytes(data)
    assert live_relays() == []
    assert precious.read_text() == "mine"
    for each in folder.iterdir():
        each.unlink()


def test_a_folder_that_others_can_look_into_is_closed(folder: Path) -> None:
    folder.chmod(0o755)
    assert live_relays() == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_home_with_a_long_path_has_its_sockets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ("x" * 90)
    home.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(home))
        with registered(FaultSet("stdio"), target="one", capture=tmp_path / "one.jsonl") as relay:
            assert not relay.socket.startswith(str(home))
            assert Path(relay.socket).parent.stat().st_mode & 0o777 == 0o700
            assert Steering(relay).faults() == []
        assert not Path(relay.socket).parent.exists()
        left = killed(tmp_path)
        assert Path(left.socket).is_socket()
        assert live_relays() == []
        assert not Path(left.socket).parent.exists()


def test_windows_is_told_what_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with (
            pytest.raises(LiveUnavailable, match="what passes is recorded"),
            registered(FaultSet("stdio"), target="one", capture=tmp_path / "one.jsonl"),
        ):
            pass
