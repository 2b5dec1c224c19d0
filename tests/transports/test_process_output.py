"""What servers write, and how fast: noise, floods, lines without end, peers that do not read."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time

import pytest
from server_peer import (
    ECHO,
    READY,
    Peer,
)

from dovetail.protocol.errors import ServerExited, TransportError
from dovetail.transports.stdio import process
from dovetail.transports.stdio.descriptor_io import PeerGone
from dovetail.transports.stdio.output_tail import OutputTail, last_words, plain_text
from dovetail.transports.stdio.process import OutputHandlers, ServerProcess


async def test_f58_a_flood_of_stderr_is_drained_and_bounded():
    peer = Peer()
    code = """
import sys
for _ in range(800):
    sys.stderr.buffer.write(bytes(range(256)) * 256)
sys.stderr.buffer.write(b"\\nthe end\\n")
sys.stderr.flush()
print('{"done": 1}', flush=True)
sys.stdin.read()
"""
    server = await ServerProcess.start(
        [sys.executable, "-c", code],
        OutputHandlers(on_line=lambda line: peer._note(peer.lines, line)),
        stderr_bytes=10_000,
    )
    await peer.until(lambda: peer.lines)
    await server.close()
    assert server.stderr_tail(1) == "the end"
    assert len(server.stderr_tail()) <= 10_000


async def test_a_server_that_has_spoken_is_only_slow():
    peer = Peer()
    code = """
import sys
print('running', file=sys.stderr, flush=True)
sys.stdin.readline()
print('{"done": 1}', flush=True)
sys.stdin.read()
"""
    server = await ServerProcess.start(
        [sys.executable, "-c", code], OutputHandlers(on_line=lambda line: peer._note(peer.lines, line))
    )
    assert server.silence().startswith("it runs, and has sent no message: ")
    await server.send(b"{}")
    await peer.until(lambda: peer.lines)
    assert server.silence() == ""
    await server.close()


async def test_a_flood_without_line_ends_comes_in_pieces():
    peer = Peer()
    server = await peer.start("import sys; sys.stderr.write('x' * 3_000_000)")
    await asyncio.wait_for(server.exited.wait(), 10)
    assert sum(len(text) for text in peer.stderr) == 3_000_000
    assert max(len(text) for text in peer.stderr) <= 8192
    await server.close()


@pytest.mark.parametrize(
    "raw,shown",
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"a\x08b\x00c\x7f", "abc"),
        (b"10%\r20%\r\n", "10%\n20%\n"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\u202eevil\u2066".encode(), "evil"),
        ("\x9b31mred".encode(), "red"),
        (b"\x1b", ""),
        (b"\x1b[", ""),
        (b"\x1bPq...\x1b\\x", "x"),
        (b"tab\tstays\n", "tab\tstays\n"),
    ],
)
def test_what_is_shown_moves_no_cursor(raw, shown):
    assert plain_text(raw) == shown


def test_stripping_escapes_is_linear():
    began = time.perf_counter()
    for piece in (b"\x1b[", b"\x1b]", b"\x1b", b"\x1b[1;", b"\x1b]x\x1b"):
        plain_text(piece * 100_000)
    assert time.perf_counter() - began < 3


def test_a_tail_of_nothing():
    tail = OutputTail(0)
    tail.feed(b"text")
    assert tail.text() == tail.text(3) == ""
    with pytest.raises(ValueError, match="negative"):
        OutputTail(-1)


def test_lines_are_cut_as_they_come_and_given_out_in_portions():
    given: list[str] = []
    tail = OutputTail(100, given.append)
    for piece in (b"on", b"e\r", b"\ntw", b"o\n\n10%\r2", b"0%\r", b"\n30%\r40", b"%", b"\nrest"):
        tail.feed(piece)
    assert given == []
    assert tail.give(2)
    assert given == ["one", "two"]
    assert not tail.give(100)
    tail.close()
    assert given == ["one", "two", "", "10%", "20%", "30%", "40%", "rest"]


def test_a_line_that_is_too_long_is_cut_between_characters():
    given: list[str] = []
    for start in range(4):
        given.clear()
        tail = OutputTail(0, given.append)
        text = "x" * start + "\U0001f600" * 5000
        for piece in (text.encode()[:9000], text.encode()[9000:], b"\n"):
            tail.feed(piece)
        tail.close()
        assert "".join(given) == text
        assert max(len(each.encode()) for each in given) <= 8192
    tail = OutputTail(0, given.append)
    tail.feed(b"\x80" * 20_000 + b"\n")
    given.clear()
    tail.close()
    assert sum(map(len, given)) == 20_000


async def test_a_flood_of_tiny_lines_lets_others_take_their_turn():
    """Not more than so many lines between two turns of the loop, and each of them comes."""
    peer = Peer()
    turns, largest = [0], 0

    def turn() -> None:
        nonlocal largest
        largest = max(largest, len(peer.stderr) - turns[0])
        turns[0] = len(peer.stderr)
        if not server.exited.is_set():
            loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    server = await peer.start("import os\nfor _ in range(20): os.write(2, b'\\n' * 60_000)")
    turns[0] = len(peer.stderr)  # in how many turns these came, nobody counted
    turn()
    await asyncio.wait_for(server.exited.wait(), 30)
    await server.close()
    assert len(peer.stderr) == 20 * 60_000
    assert largest <= 400


async def test_a_flood_that_outlives_its_writer_is_heard_to_the_end(monkeypatch: pytest.MonkeyPatch):
    """However long it takes: what the process left in the pipe comes a part at a time, and all of it."""
    monkeypatch.setattr(process, "_DRAIN", 0.0)
    peer = Peer()
    server = await peer.start("import os; os.write(2, b'\\n' * 60_000)")
    most = seen = len(peer.stderr)
    while not server.exited.is_set():
        await asyncio.sleep(0)
        most, seen = max(most, len(peer.stderr) - seen), len(peer.stderr)
    assert len(peer.stderr) == 60_000
    assert most <= 400
    await server.close()


async def test_f59_noise_ends_nothing():
    peer = Peer()
    code = r"""
import sys
out = sys.stdout.buffer
out.write(b"\xef\xbb\xbf" b'{"bom":1}' b"\r\n")
for line in (b"Welcome!", b"[INFO] ready", b"\x1b[32m[####  ] 50%", b"{'python': 1}", b"\xff\xfe", b"{", b"null",
             b"[1, 2", b"x" * 100_000):
    out.write(line + b"\n")
out.write(b'[{"batch":1}]\n  {"last":1}\n')
out.flush()
"""
    server = await peer.start(code)
    await asyncio.wait_for(server.exited.wait(), 10)
    assert peer.lines == [b'{"bom":1}', b'[{"batch":1}]', b'  {"last":1}']
    assert peer.noise[:4] == ["Welcome!", "[INFO] ready", "[####  ] 50%", "{'python': 1}"]
    assert len(peer.noise) == 9
    assert len(peer.noise[-1]) == 2000
    await server.close()


async def test_a_line_without_end_meets_the_cap():
    peer = Peer()
    code = """
import os
block = b"x" * 65536
os.write(1, b'{"first":1}\\n')
for _ in range(2048):
    os.write(1, block)
os.write(1, b'\\n{"last":1}\\n')
"""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server = await peer.start(code, max_line=1 << 20)
    await asyncio.wait_for(server.exited.wait(), 30)
    assert peer.lines == [b'{"first":1}', b'{"last":1}']
    assert [error.limit for error in peer.oversize] == [1 << 20]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    await server.close()


async def test_a_callback_that_fails_ends_nothing():
    errors, seen, done = [], [], asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def fail(line: bytes) -> None:
        seen.append(line)
        if len(seen) == 2:
            done.set()
        raise ValueError("broken")

    server = await ServerProcess.start([sys.executable, "-c", ECHO], OutputHandlers(on_line=fail))
    await server.send(b'{"a":1}')
    await server.send(b'{"a":2}')
    await asyncio.wait_for(done.wait(), 10)
    await server.close()
    assert [str(error) for error in errors] == ["broken", "broken"]


async def test_a_paused_consumer_holds_the_server_up():
    lines: list[bytes] = []
    most = 0
    wake = asyncio.Event()

    def take(line: bytes) -> None:
        lines.append(line)
        if len(lines) % 1000 == 0:
            server.pause()
            wake.set()

    code = """
import sys
sys.stdin.readline()
for n in range(20000):
    sys.stdout.write('{"n":%d,"fill":"%s"}\\n' % (n, "x" * 100))
"""
    server = await ServerProcess.start([sys.executable, "-c", code], OutputHandlers(on_line=take))
    await server.send(b"{}")
    for turn in range(1, 21):
        await asyncio.wait_for(wake.wait(), 10)
        assert len(lines) == turn * 1000
        most = max(most, len(server._held))
        wake.clear()
        assert not server.exited.is_set()
        server.resume()
    await asyncio.wait_for(server.exited.wait(), 10)
    assert [json.loads(line)["n"] for line in lines] == list(range(20000))
    assert most < 6000
    await server.close()


async def flood(server: ServerProcess, message: bytes = b'{"a":"' + b"x" * 100_000 + b'"}') -> None:
    """Send until it fails."""
    while True:
        await server.send(message)
        await asyncio.sleep(0)


async def test_a_server_that_does_not_read_fails_the_send_in_time():
    peer = Peer()
    server = await peer.start("import time; time.sleep(600)", send_timeout=0.2)
    with pytest.raises(TransportError, match="not read its input") as caught:
        await flood(server)
    assert "nothing was sent" in str(caught.value)
    await server.close(0.1)


async def test_a_waiting_send_ends_with_the_server():
    peer = Peer()
    server = await peer.start("import time; time.sleep(600)")
    tasks = [asyncio.create_task(flood(server)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not server._room.is_set()
    os.kill(server.pid, signal.SIGKILL)
    for outcome in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10):
        assert isinstance(outcome, ServerExited | PeerGone)
    await server.close()


async def test_f61_a_server_that_closed_its_input():
    peer = Peer()
    server = await peer.start("import os, time; os.close(0);" + READY + "time.sleep(600)")
    await peer.until(lambda: peer.lines)
    with pytest.raises(PeerGone, match="closed its input"):
        await flood(server, b"{}")
    await server.close(0.1)


async def test_of_a_traceback_the_error_and_its_place_are_told(tmp_path):
    (tmp_path / "broken.py").write_text("def look():\n    raise LookupError('no such\\ntable')\n\n\nlook()\n")
    (tmp_path / "unread.py").write_text("x = (\n")
    for name, told in (
        ("broken.py", "it last wrote: LookupError: no such\ntable (File "),
        ("unread.py", "it last wrote: SyntaxError: '(' was never closed (File "),
    ):
        peer = Peer()
        server = await peer.start([sys.executable, str(tmp_path / name)])
        await asyncio.wait_for(server.exited.wait(), 10)
        error = server.exit_error()
        assert told in str(error)
        assert f'{tmp_path / name}", line ' in str(error)
        assert "^" not in str(error)
        assert error.stderr.count("File ") >= 1, "what was written is kept as it was"
        await server.close()


def test_last_words_that_are_no_traceback_are_told_whole():
    for text in ("", "one\ntwo", '  File "x.py", line 3', "Traceback (most recent call last):\nnothing"):
        assert last_words(text) == text
