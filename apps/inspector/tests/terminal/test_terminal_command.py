"""The terminal face as people start it: in a terminal of its own, or where there is none."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from test_terminal_hostile import EVIL, SERVER

INSPECT = [sys.executable, "-m", "dovetail", "inspect", "--tui"]
SIZE = ("COLUMNS", "LINES")


def environment(**more: str) -> dict[str, str]:
    """That of this process, with a terminal of this kind."""
    plain = {name: value for name, value in os.environ.items() if name not in SIZE}
    return {**plain, "TERM": "xterm-256color", **more}


@pytest.mark.parametrize("missing", ["stdin", "stderr"])
def test_without_a_terminal_it_says_so(missing: str) -> None:
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stderr": theirs, "stdout": subprocess.PIPE, missing: subprocess.PIPE}
    with subprocess.Popen([*INSPECT, "server.py"], env=environment(), **streams) as process:  # type: ignore[call-overload] - several kinds
        os.close(theirs)
        if missing == "stdin":
            said = b""
            while b"\n" not in said:
                said += os.read(ours, 4096)
        else:
            assert process.stderr is not None
            said = process.stderr.read()
        assert process.wait() == 3
    os.close(ours)
    assert (
        f"standard {missing.removeprefix('std').replace('err', 'error').replace('in', 'input')} is no".encode()
        in said
    )
    assert b"\x1b" not in said


def test_a_terminal_of_lines_is_refused() -> None:
    code, said = in_terminal(["server.py"], b"", env={"TERM": "dumb"})
    assert code == 3
    assert b"TERM=dumb" in said
    assert b"\x1b" not in said


@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}, {"TERM": "linux"}, {"TERM": "vt100"}])
def test_it_begins_and_ends_in_a_terminal(more: dict[str, str]) -> None:
    code, said = in_terminal([], b"q", env=more)
    assert code == 0
    assert b"No servers yet" in said
    assert said.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in said[-400:]
    if "NO_COLOR" in more:
        assert b"\x1b[31m" not in said


@pytest.mark.hostile
def test_no_byte_of_a_server_acts(tmp_path: Path) -> None:
    acting = EVIL + "\x1b]52;c;ZXZpbA==\x07 \x1bPq#0\x1b\\ \x9b31m \x9d0;evil\x9c \x85 \u2028"
    place = tmp_path / "evil.py"
    place.write_text(SERVER.replace("@EVIL@", repr(acting)).replace("range(10_000)", "range(10)"))
    code, said = in_terminal(
        ["--", sys.executable, str(place)], b"1", b"2", b"3", b"\r", b"\x1b[15~", b"\x1b", b"\x1b", b"7", b"-", b"q",
        until=b"ready",
    )  # fmt: skip
    assert code == 0
    text = said.decode("utf-8", "replace")
    assert "ready" in text
    for each in (
        "\x1b]52",
        "\x1b]8",
        "\x1bPq",
        "\u202e",
        "\x9b",
        "\x9d",
        "\x85",
        "\u2028",
        "\u200d",
        "\x1b]0",
    ):
        assert each not in text, repr(each)


def test_it_ends_when_its_terminal_goes_without_a_word() -> None:
    """No signal comes where the terminal is not its own: what reads keys would go round for ever."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        INSPECT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        said = b""
        while b"No servers yet" not in said:
            said += os.read(ours, 65536)
        os.close(ours)
        assert process.wait(60) == 0


def unread(terminal: str) -> int:
    """How many bytes of what was pressed wait to be read: Escape, read together with the next key, is another key."""
    theirs = os.open(terminal, os.O_RDONLY | os.O_NOCTTY)
    try:
        return int.from_bytes(fcntl.ioctl(theirs, termios.FIONREAD, bytes(4)), sys.byteorder)
    finally:
        os.close(theirs)


def in_terminal(
    words: list[str], *keys: bytes, until: bytes = b"Servers", env: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Run it in a terminal; press keys, each when what came before has been read and drawn; gives its exit code and all
    that it wrote.
    """
    ours, theirs = pty.openpty()
    terminal = os.ttyname(theirs)
    with subprocess.Popen(
        [*INSPECT, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**env or {}),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        said = b""
        waiting = list(keys)
        quiet = 0.0
        while True:
            ready, _, _ = select.select([ours], [], [], 0.3)
            if not ready:
                # Nothing more is drawn: it waits for a key.
                quiet += 0.3
                if until in said and waiting and not unread(terminal):
                    os.write(ours, waiting.pop(0))
                    quiet = 0.0
                if quiet > 60:
                    process.send_signal(signal.SIGKILL)
                    raise AssertionError(f"it neither draws nor ends: {said[-2000:]!r}")
                continue
            try:
                more_said = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not more_said:
                break
            said += more_said
        code = process.wait()
    os.close(ours)
    return code, said
