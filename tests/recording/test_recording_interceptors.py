"""Interceptors in relays: what they are handed, what becomes of what they send, and that nothing else changes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from recorded_app import app
from test_recording_clients import ERAS, answer, conversation

from dovetail import Client
from dovetail.errors import ConnectionLost, DovetailError
from dovetail.recording import (
    Capture,
    CaptureWriter,
    Forward,
    HTTPRelay,
    Redaction,
    RelayedRequest,
    RelayedResponse,
    redacted_lines,
)
from dovetail.testing import served

PROGRAM = """
import os, sys, threading
from dovetail.recording import CaptureWriter, PipeRelay
class Interceptor:
    def message(self, sender, line, pipe):
        to = "server" if sender == "client" else "client"
        {body}
        pipe.send(to, line)
    def ended(self, sender, pipe):
        if sender == "server":
            pipe.send("client", b"ended")
writer = CaptureWriter({path!r}, place="pipe", max_message={most})
relay = PipeRelay(sys.argv[1:], writer{given})
{before}
sys.exit(relay.run())
"""
CAT = "import sys\nwhile data := sys.stdin.buffer.read1(): sys.stdout.buffer.write(data); sys.stdout.flush()"


def program(
    path: Path,
    *,
    body: str = "pass",
    given: str = ", interceptor=Interceptor()",
    before: str = "",
    most: int = 1 << 24,
) -> list[str]:
    """A relay with an interceptor, before a server that says what it hears."""
    text = PROGRAM.format(path=str(path), body=body, given=given, before=before, most=most)
    return [sys.executable, "-c", text, sys.executable, "-c", CAT]


def passed(command: list[str], given: bytes) -> bytes:
    """What comes back for what is said."""
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout


def messages(path: Path) -> list[bytes]:
    """What a capture has of each message."""
    return [each.data for each in Capture.read(path) if not each.mark]


def test_an_interceptor_that_passes_everything_changes_no_byte(tmp_path: Path) -> None:
    given = b'{"a":1}\r\n\n  \n\x00\xff{\n' + b"x" * 200_000 + b"\n" + bytes(range(256)) * 99 + b"\nno end"
    bare, looked = tmp_path / "bare.jsonl", tmp_path / "looked.jsonl"
    assert passed(program(bare, given=""), given) == given
    assert passed(program(looked), given) == given + b"ended"
    assert sorted(messages(bare)) == sorted(messages(looked))


def test_what_it_sends_goes_on_in_place_of_a_line(tmp_path: Path) -> None:
    body = (
        "if sender == 'client' and line == b'drop\\n': pipe.link.fault('dropped'); return\n"
        "        if sender == 'client' and line == b'two\\n': pipe.send(to, line)\n"
        "        if sender == 'client' and line == b'me\\n': pipe.send('client', b'answered\\n'); return\n"
        "        if line == b'fail\\n': raise ValueError('a fault of its own')"
    )
    path = tmp_path / "talk.jsonl"
    came = passed(program(path, body=body), b"drop\ntwo\nme\nfail\nlast\n")
    assert sorted(came.splitlines()) == [b"answered", b"ended", b"fail", b"last", b"two", b"two"]
    assert [each.target for each in Capture.read(path) if each.mark == "fault"] == ["dropped"]


def test_a_line_that_is_too_long_to_look_at_passes(tmp_path: Path) -> None:
    given = b"a\n" + b"y" * 300_000 + b"\nb\n"
    body = "assert len(line) < 200_000"
    assert passed(program(tmp_path / "talk.jsonl", body=body, most=100_000), given) == given + b"ended"


def test_each_end_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    body = "if line == b'close\\n': pipe.close('server'); pipe.close('server'); return"
    with subprocess.Popen(program(path, body=body), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"close\n")
        process.stdin.flush()
        assert (
            process.stdout.read() == b"ended"
        )  # the server read the end of its input, and this one stays open
    body = "if sender == 'server': pipe.close('client'); return"
    with subprocess.Popen(program(path, body=body), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.read() == b""  # while the server lives, and its input is open
        assert process.poll() is None


def test_it_comes_and_goes_between_two_lines(tmp_path: Path) -> None:
    """A line that has begun to pass goes on as it began, and one that is held is let go."""
    path, orders = tmp_path / "talk.jsonl", tmp_path / "orders"
    os.mkfifo(orders)
    before = (
        "def obey():\n"
        f"    for order in open({str(orders)!r}):\n"
        "        relay.interceptor = Interceptor() if order == 'on\\n' else None\n"
        "        os.write(2, b'done\\n')\n"
        "threading.Thread(target=obey, daemon=True).start()"
    )
    body = "if sender == 'client': line = b'<' + line"
    with subprocess.Popen(
        program(path, body=body, given="", before=before),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        def say(text: bytes) -> None:
            assert process.stdin is not None
            process.stdin.write(text)
            process.stdin.flush()

        with orders.open("w", buffering=1) as told:

            def order(word: str) -> None:
                told.write(f"{word}\n")
                assert process.stderr is not None
                assert process.stderr.readline() == b"done\n"

            say(b"one\ntw")
            assert process.stdout.read(6) == b"one\ntw"
            order("on")
            say(b"o\nthree\nfo")
            assert process.stdout.read(9) == b"o\n<three\n"
            order("off")
            say(b"ur\nfive\n")
            assert process.stdout.read(10) == b"four\nfive\n"
        process.stdin.close()
        assert process.stdout.read() == b""
    assert [each for each in messages(path) if each in (b"two", b"three", b"four")]


async def through(request: RelayedRequest, forward: Forward) -> RelayedResponse:
    """Change nothing."""
    return await forward(request)


@pytest.mark.parametrize("revision", ERAS)
async def test_a_relay_with_one_that_passes_everything_is_a_relay(revision: str, tmp_path: Path) -> None:
    heard: dict[str, list[tuple[str, str]]] = {}
    for name, interceptor in (("bare", None), ("looked", through)):
        path = tmp_path / f"{name}.jsonl"
        writer = CaptureWriter(path, place="relay")
        async with served(app.asgi()) as url:
            relay = HTTPRelay(url, writer, interceptor=interceptor)
            async with (
                served(relay) as between,
                Client(between, revision=revision, elicitation=answer) as client,
            ):
                came = await conversation(client)
        writer.close()
        heard[name] = sorted(
            (str(each.sender), str((each.value or {}).get("method", "")))
            for each in Capture.read(path)
            if each.value
        )
        assert came
    assert heard["bare"] == heard["looked"]


async def test_it_may_pass_a_request_on_twice_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, place="relay")

    async def twice(request: RelayedRequest, forward: Forward) -> RelayedResponse:
        if b"tools/call" not in request.body:
            return await forward(request)
        first = await forward(request)
        async for _ in first.body:
            pass
        return await forward(request)

    async def never(request: RelayedRequest, forward: Forward) -> RelayedResponse:
        async def body() -> AsyncGenerator[bytes]:
            yield b"busy"

        request.link.fault("503", b"busy", request.exchange)
        return RelayedResponse(status=503, headers=[("content-type", "text/plain")], body=body())

    async with served(app.asgi()) as url:
        relay = HTTPRelay(url, writer, interceptor=twice)
        async with served(relay) as between, Client(between) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
            relay.interceptor = never
            with pytest.raises(DovetailError, match="503"):
                await client.call_tool("add", {"a": 1, "b": 2})
    writer.close()
    capture = Capture.read(path)
    calls = [each for each in capture if each.value and each.value.get("method") == "tools/call"]
    assert len(calls) == 3
    assert len({each.http.exchange for each in calls if each.http}) == 3
    (fault,) = [each for each in capture if each.mark == "fault"]
    assert (fault.target, fault.text, fault.http and fault.http.exchange) == (
        "503",
        "busy",
        calls[2].http and calls[2].http.exchange,
    )


BREAKING = """
import sys
from dovetail.recording import CaptureWriter, HTTPRelay, RelayedResponse
async def interceptor(request, forward):
    if b"tools/call" not in request.body:
        return await forward(request)
    if b'"a":1' in request.body:
        raise ConnectionResetError
    response = await forward(request)
    async def body():
        async for chunk in response.body:
            yield chunk[:5]
            raise ConnectionResetError
    return RelayedResponse(status=200, headers=response.headers, body=body())
HTTPRelay(sys.argv[1], CaptureWriter(sys.argv[2]), interceptor=interceptor).run(port=0)
"""


async def test_it_may_break_the_connection_off_before_and_within_the_answer(tmp_path: Path) -> None:
    async with served(app.asgi()) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", BREAKING, url, str(tmp_path / "talk.jsonl")),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        told = (await process.stderr.readline()).decode()
        at = next(word.rstrip(".") for word in told.split() if word.startswith("http://"))
        async with Client(at) as client:
            for a in (1, 2):
                with pytest.raises(ConnectionLost):
                    await client.call_tool("add", {"a": a, "b": 2})
        process.terminate()
        await process.stderr.read()
        assert await process.wait() == 0


def test_what_was_passed_on_in_place_of_a_message_keeps_no_secret(tmp_path: Path) -> None:
    """Neither when it is written nor when a capture that has it all is gone over later."""
    message = b'{"jsonrpc":"2.0","id":1,"result":{"api_key":"k-123456789"}}'
    for defaults in (True, False):
        path = tmp_path / f"{defaults}.jsonl"
        writer = CaptureWriter(path, redaction=Redaction(defaults=defaults))
        link = writer.link("stdio")
        link.fault("1: change token=k-123456789", message)
        link.fault("2: truncate", message[:-1], 7)
        writer.close()
        assert ("k-123456789" in path.read_text()) == (not defaults)
        shown = list(redacted_lines(Capture.read(path), twice=True))
        assert [each.mark for each in shown] == ["open", "fault", "fault"]
        assert "k-123456789" not in str(shown)
        assert shown[1].value["result"]
        assert shown[2].http is not None
        assert shown[2].http.exchange == 7
