"""Peers at the end: half-closed, gone, deaf, many; streams that break; signals given back.

Nothing here waits for time to pass. Follows: basic/transports "stdio", "Streamable HTTP".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from ending_peers import Lines, peer
from http_serving import META

from dovetail import App
from dovetail.runtime.shutdown import SIGNALS
from dovetail.transports.unix.server import serve_unix

OPENING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "c", "version": "1"},
}


async def connect(path: Path) -> Lines:
    return Lines(*await asyncio.open_unix_connection(path))


async def test_a_client_that_only_shut_its_sending_side_is_answered(tmp_path: Path) -> None:
    async with peer("unix", tmp_path) as one:
        lines = await connect(tmp_path / "s")
        lines.call("wait")
        lines.call("work")
        body = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "pid", "_meta": META}}
        lines.writer.write(json.dumps(body).encode())  # the last line has no end of its own
        lines.writer.write_eof()
        await one.server.until("note: wait")
        await one.server.until("note: work")
        one.server.signal(signal.SIGUSR1)
        answers = [await lines.next() for _ in range(3)]
        assert sorted(answer["id"] for answer in answers if answer and "result" in answer) == [1, 2, 9]
        assert await lines.next() is None
        lines.writer.close()


@pytest.mark.parametrize("half", [False, True])
async def test_the_calls_of_a_client_that_is_gone_are_cancelled_at_once(half: bool, tmp_path: Path) -> None:
    async with peer("unix", tmp_path) as one:
        lines = await connect(tmp_path / "s")
        lines.call("hang")
        await one.server.until("note: hang")
        if half:
            lines.writer.write_eof()
            assert one.lines is not None
            one.lines.call("pid")
            await one.lines.text()
            assert "cancelled" not in one.server.notes
        lines.writer.transport.abort()
        await one.server.until("note: cancelled")


async def test_a_question_to_a_client_that_says_nothing_more_is_no_wait(tmp_path: Path) -> None:
    async with peer("unix", tmp_path) as one:
        lines = await connect(tmp_path / "s")
        lines.send("initialize", OPENING, stateful=True)
        await lines.next()
        lines.say(method="notifications/initialized")
        id = lines.send("tools/call", {"name": "ask", "arguments": {}}, stateful=True)
        question = await lines.next()
        assert question is not None
        assert question["method"] == "elicitation/create"
        lines.writer.write_eof()
        answer = await lines.next()
        assert answer is not None
        assert answer["id"] == id
        lines.writer.close()
        assert one.server.process.returncode is None


async def test_an_answer_to_a_question_still_counts_while_a_server_drains(tmp_path: Path) -> None:
    async with peer("stdio", tmp_path, options={"drain": 60.0}) as one:
        lines = one.lines
        assert lines is not None
        lines.send("initialize", OPENING, stateful=True)
        await lines.next()
        lines.say(method="notifications/initialized")
        id = lines.send("tools/call", {"name": "ask", "arguments": {}}, stateful=True)
        question = await lines.next()
        assert question is not None
        one.server.signal(signal.SIGTERM)
        while True:
            lines.send("tools/list", {}, stateful=True)
            if "error" in (await lines.next() or {}):
                break
        lines.say(id=question["id"], result={"action": "accept", "content": {"value": "Ada"}})
        answer = await lines.next()
        assert answer is not None
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (id, "Ada")
        assert await one.server.ended() == 0


@pytest.mark.parametrize("transport", ["unix", "stdio"])
async def test_a_client_that_never_reads_keeps_no_line_server(transport: str, tmp_path: Path) -> None:
    async with peer(transport, tmp_path, options={"drain": 1.0}) as one:
        assert one.lines is not None
        raw = None
        if transport == "unix":
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(str(tmp_path / "s"))
            params = {"name": "flood", "arguments": {"times": 4_000_000}, "_meta": META}
            for n in range(3):
                body = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params}
                raw.sendall(json.dumps(body).encode() + b"\n")
        else:
            for _ in range(3):
                one.lines.call("flood", times=4_000_000)
            one.lines.call("hang")
            await one.server.until("note: hang")
        one.server.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await one.server.reading  # its standard error has ended, and so has it
        if raw is not None:
            raw.close()
        await one.lines.reader.read()
        assert await one.server.ended() == 0


@pytest.mark.parametrize("closed", [True, False], ids=["input closed", "input open"])
async def test_answers_that_nobody_reads_keep_no_server_after_a_signal(closed: bool, tmp_path: Path) -> None:
    """A client waits two seconds after SIGTERM and then kills: the limit of the calls must not matter here."""
    async with peer("stdio", tmp_path, options={"drain": 1000.0, "grace": 1000.0}) as one:
        assert one.lines is not None
        for _ in range(10):
            one.lines.call("flood", times=1_000_000)
        one.lines.call("work")
        await one.server.until("note: work")
        if closed:
            one.lines.writer.close()
        one.server.signal(signal.SIGTERM)
        await one.server.until("the client reads no more answers")
        one.server.signal(signal.SIGUSR1)
        await one.server.until("note: worked")  # what it began it may finish
        async with asyncio.timeout(30):
            await one.server.reading
        await one.lines.reader.read()
        assert await one.server.ended() == 0
        assert one.server.notes[-3:] == ["leaving", "left", "returned"]


async def test_a_client_that_closed_its_side_and_does_not_read_keeps_no_server(tmp_path: Path) -> None:
    """The answers stand in the way of what it sent last, so the end of the input is not reached by reading."""
    async with peer("stdio", tmp_path, options={"drain": 1000.0, "grace": 0.1}) as one:
        assert one.lines is not None
        one.lines.send("initialize", OPENING, stateful=True)
        for _ in range(5000):
            one.lines.send("ping", {}, stateful=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):  # until the server reads no more, which nothing tells
                await one.lines.writer.drain()
        one.lines.writer.transport.abort()
        async with asyncio.timeout(30):
            await one.server.reading
        await one.lines.reader.read()
        assert await one.server.ended() == 0


async def test_a_client_that_never_reads_keeps_no_http_server(tmp_path: Path) -> None:
    async with peer("http", tmp_path, options={"drain": 1.0}) as one:
        assert one.prober is not None
        body, headers = one.prober.modern("tools/call", {"name": "flood", "arguments": {"times": 20_000_000}})
        connection = await one.prober.start("POST", body, headers)
        await connection.head()
        one.server.signal(signal.SIGTERM)
        assert await one.server.ended() == 0


async def test_a_thousand_streams_end_in_order(tmp_path: Path) -> None:
    async with peer("http", tmp_path, options={"drain": 20.0}) as one:
        assert one.prober is not None
        body, headers = one.prober.modern("subscriptions/listen", {"notifications": {}}, id=3)
        streams = []
        for _ in range(10):
            some = [one.prober.stream("POST", body, headers) for _ in range(100)]
            streams += await asyncio.gather(*some)
        await asyncio.gather(*(stream.next() for stream in streams))
        one.server.signal(signal.SIGTERM)
        rest = await asyncio.gather(*(stream.rest() for stream in streams))
        assert [[json.loads(event.data)["id"] for event in events] for events in rest] == [[3]] * 1000
        assert await one.server.ended() == 0
        assert not one.server.said("ERROR"), one.server.log


async def test_an_output_that_nobody_reads_any_more_ends_the_server(tmp_path: Path) -> None:
    """What would it be there for? It has no one to answer."""
    async with peer("stdio", tmp_path) as one:
        assert one.lines is not None
        transport = one.server.process._transport  # pyright: ignore[reportAttributeAccessIssue] - there is no public way
        transport.get_pipe_transport(1).close()
        one.lines.call("pid")
        one.lines.call("pid")
        one.lines.call("pid")
        one.lines.writer.close()
        assert await one.server.ended() == 0
        assert not one.server.said("Traceback"), one.server.log


async def test_an_input_that_ends_within_a_line_ends_the_server(tmp_path: Path) -> None:
    async with peer("stdio", tmp_path) as one:
        lines = one.lines
        assert lines is not None
        lines.call("pid")
        lines.writer.write(b'{"jsonrpc":"2.0","id":2,"method":"to')
        lines.writer.close()
        said: list[Any] = [await lines.next(), await lines.next(), await lines.next()]
        assert said[2] is None
        assert sorted((message.get("id") or 0, "error" in message) for message in said[:2]) == [
            (0, True),
            (1, False),
        ]
        assert await one.server.ended() == 0


def nothing(number: int, frame: object) -> None:
    """A handler of whoever serves for a while."""


async def test_signal_handlers_are_given_back(tmp_path: Path) -> None:
    before = {number: signal.signal(number, nothing) for number in SIGNALS}
    try:
        app, ready = App("guest"), asyncio.Event()
        serving = asyncio.create_task(serve_unix(app.service, path=tmp_path / "s", ready=ready))
        await ready.wait()
        assert all(signal.getsignal(number) is not nothing for number in SIGNALS)
        signal.raise_signal(signal.SIGTERM)
        await serving
        assert all(signal.getsignal(number) is nothing for number in SIGNALS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
