"""A capture that is read while it is written, and what a started server writes besides messages."""

import os
import sys
from threading import Thread

import pytest

from dovetail import Client
from dovetail.recording import Capture, CaptureInvalid, CaptureTail, CaptureWriter, Redaction

NOISY = """
import os
import sys
from dovetail import App

WIRE = os.dup(1)
app = App("noisy")

@app.tool
def shout(secret: str = "") -> str:
    os.write(WIRE, b"a line on standard output\\n")
    print(f"heard password: {secret}", file=sys.stderr, flush=True)
    return "done"

app.run()
"""
PLAIN = Redaction(defaults=False)


def test_what_is_new_is_given_once_in_order_and_again_by_its_place(tmp_path):
    path = tmp_path / "talk.jsonl"
    told = []
    writer = CaptureWriter(path, on_write=lambda: told.append(1))
    link = writer.link("memory", "x")
    with CaptureTail(path) as tail:
        assert [each.line.mark for each in tail.new()] == ["open"]
        assert tail.header is not None
        assert tail.header.capture == 1
        assert list(tail.new()) == []
        link.message("client", b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
        link.message("server", b"x" * 3_000_000)  # longer than what is read at once
        seen = list(tail.new())
        assert [each.line.n for each in seen] == [2, 3]
        assert [tail.at(each.offset, each.size) for each in seen] == [each.line for each in seen]
        assert len(tail.bytes_at(seen[1].offset, seen[1].size)) == seen[1].size
        assert list(tail.new()) == []
    assert len(told) == 4
    with pytest.raises(CaptureInvalid):
        next(tail.new())
    tail.close()
    writer.close()


def test_a_line_that_is_half_written_is_given_when_it_is_whole(tmp_path):
    path = tmp_path / "made.capture"
    path.write_bytes(b'{"capture":1,"began":"x"}\n{"n":1,"seconds":0,')
    with CaptureTail(path) as tail:
        assert list(tail.new()) == []
        assert tail.header is not None
        with path.open("ab") as file:
            file.write(b'"time":"","mark":"open"}\n')
        assert [each.line.n for each in tail.new()] == [1]


def test_a_line_that_is_none_is_told_and_passed_over(tmp_path):
    path = tmp_path / "made.capture"
    good = b'{"n":2,"seconds":0,"time":"","mark":"close"}\n'
    path.write_bytes(b'{"capture":1,"began":"x"}\n{"n":\n' + good)
    with CaptureTail(path) as tail:
        with pytest.raises(CaptureInvalid, match="line 2"):
            list(tail.new())
        assert [each.line.n for each in tail.new()] == [2]


def test_a_capture_is_followed_while_threads_write(tmp_path):
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, redaction=PLAIN)
    links = [writer.link("memory", str(at)) for at in range(4)]

    def write(link):
        for at in range(500):
            link.message("client", b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % at)

    threads = [Thread(target=write, args=(each,)) for each in links]
    with CaptureTail(path) as tail:
        for each in threads:
            each.start()
        numbers = []
        while any(each.is_alive() for each in threads):
            numbers += [each.line.n for each in tail.new()]
        numbers += [each.line.n for each in tail.new()]
    assert numbers == list(range(1, 4 + 2000 + 1))
    writer.close()


def test_what_fails_when_it_is_told_costs_the_recording_nothing(tmp_path, caplog):
    def fail():
        raise RuntimeError("no")

    writer = CaptureWriter(tmp_path / "talk.jsonl", on_write=fail)
    writer.link("memory", "x").mark("close")
    writer.close()
    assert [each.mark for each in Capture.read(tmp_path / "talk.jsonl")] == ["open", "close"]
    assert "on_write= of the recording" in caplog.text


@pytest.mark.parametrize("data", [b'{ "jsonrpc" : "2.0","id":1.0, "method":"ping" }', b'{"a":1,"a":2}'])
def test_without_redaction_a_message_stands_there_byte_for_byte(tmp_path, data):
    writer = CaptureWriter(tmp_path / "talk.jsonl", redaction=PLAIN)
    writer.link("memory", "x").message("client", data)
    writer.close()
    assert Capture.read(tmp_path / "talk.jsonl").lines[1].data == data
    assert data in (tmp_path / "talk.jsonl").read_bytes()


async def test_what_a_started_server_writes_besides_messages_is_recorded(tmp_path):
    server = tmp_path / "noisy.py"
    server.write_text(NOISY)
    heard = []
    path = tmp_path / "talk.jsonl"
    async with Client([sys.executable, str(server)], record=path, on_stderr=heard.append) as client:
        await client.call_tool("shout", {"secret": "swordfish-swordfish"})
    lines = Capture.read(path).lines
    assert "a line on standard output" in [each.text for each in lines if each.sender == "server"]
    (told,) = [each for each in lines if each.mark == "stderr" and each.text.startswith("heard")]
    assert told.link == lines[0].link
    assert "swordfish" not in path.read_text()
    assert "heard password: swordfish-swordfish" in heard
    assert os.stat(path).st_mode & 0o077 == 0
