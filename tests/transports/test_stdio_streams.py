"""The server's side of stdio: whatever runs in the process, only messages reach standard output."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
import tty
from contextlib import contextmanager, suppress

import pytest

from dovetail.protocol import names
from dovetail.protocol.revisions import STATELESS

HEAD = """
import asyncio, os, subprocess, sys
from dovetail.transports.stdio.streams import PeerGone, claim_stdio
"""
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ECHO = """
async def main():
    streams = claim_stdio()
    async for line in streams.lines():
        await streams.write(line)
    streams.release()
asyncio.run(main())
"""


def run(code: str, given: bytes = b"", **options) -> subprocess.CompletedProcess[bytes]:
    """Run a program with pipes for its standard streams."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + code],
        input=given,
        capture_output=True,
        timeout=30,
        check=False,
        env=BUFFERED | options.pop("env", {}),
        **options,
    )


@contextmanager
def pipe():
    """A pipe's two ends, closed at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):
                os.close(end)


@pytest.mark.requirement(
    "R2607-TRANSPORT-STDIO-004", "R2511-TRANSPORT-STDIO-008", "R2411-TRANSPORT-STDIO-001"
)
def test_only_messages_reach_standard_output():
    done = run(
        """
import ctypes, logging
from sys import stdout as kept
sys.stdout.write("before the claim\\n")
async def main():
    streams = claim_stdio()
    print("python", flush=True)
    kept.write("kept\\n"); kept.flush()
    sys.__stdout__.write("original\\n"); sys.__stdout__.flush()
    os.write(1, b"descriptor\\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"library"); libc.fflush(None)
    subprocess.run(["echo", "child"], check=True)
    os.system("echo shell")
    async for line in streams.lines():
        await streams.write(line)
asyncio.run(main())
print("after the loop")
""",
        b'{"a":1}\n{"b":2}\n',
    )
    assert done.stdout == b'{"a":1}\n{"b":2}\n'
    said = done.stderr.decode().splitlines()
    for text in ("before the claim", "python", "kept", "original", "descriptor", "library", "child", "shell"):
        assert text in said
    assert "after the loop" in said
    assert done.returncode == 0


def test_nobody_else_can_eat_messages():
    done = run(
        """
async def main():
    streams = claim_stdio()
    assert subprocess.run(["cat"], capture_output=True, check=True).stdout == b""
    assert sys.stdin.read() == "" and os.read(0, 10) == b""
    try:
        input()
    except EOFError:
        pass
    private = [fd for fd in range(3, 20) if os.path.exists(f"/proc/self/fd/{fd}")]
    assert not any(os.get_inheritable(fd) for fd in private), private
    async for line in streams.lines():
        await streams.write(line)
asyncio.run(main())
""",
        b'{"a":1}\n',
    )
    assert (done.stdout, done.stderr, done.returncode) == (b'{"a":1}\n', b"", 0)


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-001", "R2511-TRANSPORT-STDIO-005")
def test_a_message_goes_out_on_one_line():
    done = run("""
async def main():
    streams = claim_stdio()
    await streams.write(b'{"a":\\r\\n1}')
    await streams.write(b'{"b":2}')
asyncio.run(main())
""")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"a": 1}, {"b": 2}]
    assert done.stdout.count(b"\n") == 2


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-002", "R2511-TRANSPORT-STDIO-006")
def test_text_is_utf8_whatever_the_locale():
    done = run(
        """
before = sys.stderr.encoding
streams = claim_stdio()
print("\\u00e4\\U0001f600")
print("\\u00f6", file=sys.stderr)
print("half \\ud800")
streams.release()
assert sys.stderr.encoding == before != "utf-8"
""",
        env={"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
    )
    assert done.stderr.decode().splitlines() == ["\u00e4\U0001f600", "\u00f6", "half \\ud800"]
    assert done.stdout == b""


@pytest.mark.requirement("R2607-TRANSPORT-STDIO-013")
def test_input_that_ends_ends_the_lines():
    done = run(ECHO, b'\n{"a":1}\r\n   \n{"last":1}')
    assert (done.stdout, done.returncode) == (b'{"a":1}\n{"last":1}\n', 0)
    assert run(ECHO).stdout == b""


def test_release_gives_everything_back():
    done = run(
        """
before = sys.stdout, os.fstat(0), os.fstat(1)
count = len(os.listdir("/proc/self/fd"))
for _ in range(20):
    streams = claim_stdio()
    print("diverted")
    streams.release()
    streams.release()
print("given back")
assert (sys.stdout, os.fstat(0), os.fstat(1)) == before
assert len(os.listdir("/proc/self/fd")) == count
assert input() == "line"
async def after():
    try:
        await streams.write(b"{}")
    except PeerGone:
        print("gone")
    async for line in streams.lines():
        raise AssertionError(line)
asyncio.run(after())
""",
        b"line\n",
    )
    assert (done.stdout, done.returncode) == (b"given back\ngone\n", 0), done.stderr
    assert done.stderr.split() == [b"diverted"] * 20


def test_two_claims_are_refused():
    done = run("""
claim_stdio()
try:
    claim_stdio()
except RuntimeError as error:
    print(error)
""")
    assert b"claimed already" in done.stderr
    assert done.stdout == b""


def test_release_ends_a_waiting_reader():
    with pipe() as (held, feed):
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HEAD
                + """
async def main():
    streams = claim_stdio()
    async def read():
        return [line async for line in streams.lines()]
    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    streams.release()
    assert await task == []
asyncio.run(main())
""",
            ],
            stdin=held,
        )
        assert child.wait(20) == 0
        os.close(feed)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_closed_streams_are_no_crash(closed, loop, tmp_path):
    """What was closed ends or refuses; nothing that was opened since is taken for a standard stream."""
    report = tmp_path / "report"
    code = (
        HEAD
        + f"""
import {loop}
kept = open({str(report)!r}, "w")
streams = claim_stdio()
async def main():
    lines = [line async for line in streams.lines()]
    try:
        await streams.write(b"{{}}")
        wrote = "wrote"
    except PeerGone:
        wrote = "gone"
    print("noise")
    print("noise", file=sys.stderr)
    streams.release()
    kept.write(f"{{len(lines)}} {{wrote}}"); kept.close()
{loop}.run(main())
"""
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code],
        input=b'{"a":1}\n',
        capture_output=True,
        timeout=30,
        check=False,
    )
    lines = 0 if "<&-" in closed else 1
    wrote = "gone" if " >&-" in f" {closed}" else "wrote"
    assert report.read_text() == f"{lines} {wrote}", done.stderr
    assert done.stdout == (b"{}\n" if wrote == "wrote" else b"")


def test_a_forked_child_does_not_keep_the_session_open():
    """It has no exec that would close the copies; the peer must see the end when the server ends."""
    with pipe() as (watch, held):
        child = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                HEAD
                + f"""
async def main():
    streams = claim_stdio()
    await streams.write(b"{{}}")
    if os.fork() == 0:
        os.read({watch}, 1)
        os._exit(0)
    await streams.write(b"[]")
    async for line in streams.lines():
        await streams.write(line)
asyncio.run(main())
""",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[watch],
        )
        out, _ = child.communicate(b'{"a":1}\n', timeout=20)
        assert out == b'{}\n[]\n{"a":1}\n'
        os.close(held)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "file", "null"])
def test_every_kind_of_stream(kind, loop, tmp_path):
    code = [sys.executable, "-c", HEAD + f"import {loop}\n" + ECHO.replace("asyncio.run", f"{loop}.run")]
    message = b'{"a":"' + b"x" * 3000 + b'"}\n'
    if kind == "pipe":
        done = subprocess.run(code, input=message * 300, capture_output=True, timeout=30, check=True)
        assert done.stdout == message * 300
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = subprocess.Popen(code, stdin=theirs.fileno(), stdout=theirs.fileno())
            theirs.close()
            feeder = threading.Thread(
                target=lambda: (ours.sendall(message * 300), ours.shutdown(socket.SHUT_WR))
            )
            feeder.start()
            with ours.makefile("rb") as file:
                assert file.read() == message * 300
            feeder.join()
            assert child.wait(20) == 0
    elif kind == "terminal":
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        child = subprocess.Popen(code, stdin=theirs, stdout=theirs, stderr=theirs)
        os.write(ours, b'{"a":1}\n')
        assert os.read(ours, 100) == b'{"a":1}\n'
        # Sharing the open file with us, the server must not have made it non-blocking.
        assert os.get_blocking(theirs)
        os.close(theirs)
        os.close(ours)
        assert child.wait(20) == 0
    elif kind == "file":
        (tmp_path / "in").write_bytes(message * 300)
        with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
            subprocess.run(code, stdin=source, stdout=sink, timeout=30, check=True)
        assert (tmp_path / "out").read_bytes() == message * 300
    else:
        subprocess.run(code, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=30, check=True)


def test_flags_of_shared_open_files_stay():
    """``2>&1``: were the open file made non-blocking, printing a lot would fail with EAGAIN."""
    with pipe() as (read, write):
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HEAD
                + """
async def main():
    streams = claim_stdio()
    for _ in range(20):
        await streams.write(b'{"a":"' + b"x" * 50_000 + b'"}')
        print("y" * 50_000)
asyncio.run(main())
""",
            ],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
        )
        assert os.get_blocking(write)
        os.close(write)
        with os.fdopen(os.dup(read), "rb") as file:
            lines = file.read().splitlines()
        assert child.wait(20) == 0
        assert len(lines) == 40
        assert {len(line) for line in lines} == {50_000, 50_008}


def test_a_peer_that_is_gone_is_a_typed_error():
    done = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HEAD
            + """
async def main():
    streams = claim_stdio()
    async for _ in streams.lines():
        break
    for _ in range(3):
        try:
            await streams.write(b"x" * 100_000)
        except PeerGone as error:
            print(type(error).__name__, file=sys.stderr)
asyncio.run(main())
""",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert done.stdout is not None
    done.stdout.close()
    done.stdout = None
    _, said = done.communicate(b"{}\n", timeout=20)
    assert said.split() == [b"PeerGone"] * 3
    assert done.returncode == 0


SERVER = """
from dovetail import App

app = App("slow reader")

@app.tool
async def echo(text: str) -> str:
    return text

app.run("stdio")
"""


def test_a_slow_reader_gets_every_answer_though_the_input_has_ended():
    """More answers than a pipe holds were given; some of them have no task of theirs any more that waits."""
    meta = {names.META_PROTOCOL_VERSION: STATELESS[-1], names.META_CLIENT_CAPABILITIES: {}}
    calls = [
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": names.TOOLS_CALL,
            "params": {"name": "echo", "arguments": {"text": "x" * 3500}, "_meta": meta},
        }
        for number in range(25)
    ]
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    )
    with child:
        assert child.stdin is not None
        child.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in calls))
        child.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.5)
        assert child.stdout is not None
        answers = [json.loads(line) for line in child.stdout.read().splitlines()]
    assert sorted(each["id"] for each in answers) == list(range(25))
    assert child.returncode == 0
