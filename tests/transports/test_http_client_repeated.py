"""Answers that the HTTP client does not parse, since their heads came before: they are what the parser makes of them.

A fixed seed: a failure can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from dovetail.protocol.errors import ConnectionLost
from dovetail.transports.http1.client.connection import HTTPClientConnection
from dovetail.transports.http1.client.repeated_heads import RepeatedAnswerHead

pytestmark = pytest.mark.hostile

TALKS = 3000
STATUSES = [b"200 OK"] * 6 + [
    b"202 Accepted",
    b"204 No Content",
    b"304 Not Modified",
    b"404 Not Found",
    b"500 ",
]
LINES = [
    b"content-type: application/json",
    b"Date: Mon, 23 Nov 2026 14:00:00 GMT",
    b"Keep-Alive: timeout=5, max=100",
    b"Connection: keep-alive",
    b"Mcp-Session-Id: one",
    b"Vary: a",
    b"Vary: b",
]
ODD = [
    b"Connection: close",
    b"Content-Encoding: gzip",
    b"Content-Encoding: identity",
    b"Transfer-Encoding: chunked",
    b"Upgrade: h2c",
    b"Trailer: x",
    b"X-Folded: a\r\n b",
    b"X-Bare: a\nX-Second: b",
    b"content-length: 2",
    b"X-Long: " + b"x" * 5000,
    b"X-\x80: \xff",
    b"X-Ctl: a\x01",
]
LENGTHS = [b"Content-Length: %d"] * 6 + [b"content-length:%d", b"CONTENT-LENGTH: \t%d"]
ODD_LENGTHS = [
    b"Content-Length: %d ",
    b"Content-Length: 0%d",
    b"Content-Length: %d\r\n ",
    b"X-Length: %d",
    b"Content-Length: +%d",
]


class Counted(asyncio.Transport):
    """A connection that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def head(chance: random.Random) -> list[bytes]:
    """The lines of a head, with a place for the length of the body."""
    lines = chance.sample(LINES, chance.randrange(4))
    lengths = LENGTHS if chance.random() < 0.9 else ODD_LENGTHS
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lengths))
    if chance.random() < 0.15:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(ODD))
    return [b"HTTP/1.%d %b" % (chance.random() < 0.97, chance.choice(STATUSES)), *lines]


def answer(chance: random.Random, lines: list[bytes]) -> bytes:
    """An answer with such a head, most often a right one."""
    body = b"x" * chance.choice([0, 2, 2, 9, 10, 99, 100, 5000])
    if chance.random() < 0.05:
        body += b"\r\n\r\n"
    told = len(body) + (chance.choice([-1, 1]) if chance.random() < 0.04 and body else 0)
    ends = b"\n" if chance.random() < 0.03 else b"\r\n"
    whole = ends.join([*lines, b"", b""]).replace(b"%d", b"%d" % told) + body
    if chance.random() < 0.05:
        whole = (
            chance.choice(
                [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 \r\nContent-Length: 2\r\n\r\n", b"\r\n"]
            )
            + whole
        )
    if chance.random() < 0.05:
        at = chance.randrange(len(whole))
        whole = whole[:at] + bytes([chance.randrange(256)]) + whole[at + chance.randrange(2) :]
    return whole


def talk(chance: random.Random) -> list[tuple[bool, list[bytes]]]:
    """Answers of one server, each in its pieces, and whether it answers HEAD."""
    lines, found = head(chance), list[tuple[bool, list[bytes]]]()
    for _ in range(chance.randrange(2, 6)):
        if chance.random() < 0.2:
            lines = head(chance)
        data = answer(chance, lines)
        cut = chance.randrange(len(data)) if chance.random() < 0.15 else 0
        found.append((chance.random() < 0.03, [each for each in (data[:cut], data[cut:]) if each]))
    return found


async def heard(answers: list[tuple[bool, list[bytes]]]) -> list[object]:
    """What a client makes of them, one connection for all of them that it takes."""
    freed, said = 0, list[object]()

    def free(_: HTTPClientConnection) -> None:
        nonlocal freed
        freed += 1

    transport = Counted()
    connection = HTTPClientConnection(asyncio.get_running_loop(), "there", [], free=free, gone=lambda _: None)
    connection.connection_made(transport)
    for number, (bodiless, pieces) in enumerate(answers, 1):
        found = connection.send(b"", b"", bodiless=bodiless)
        for piece in pieces:
            if not transport.aborted:
                connection.data_received(piece)
        again = freed == number and not transport.aborted
        if not again:
            connection.eof_received()
        said.append((again, connection.kept, found.heard, found.status, list(found.headers.items())))
        if found.failure is not None:
            said.append(str(found.failure))
        else:
            said.append(await body_of(found))
        if not again:
            break
    connection.connection_lost(None)
    return said


async def body_of(found: Any) -> object:
    """The body, in one piece, and what is said of its end."""
    body = b""
    try:
        while piece := await found.read():
            body += piece
    except ConnectionLost as problem:
        return body, str(problem)
    return body, found.ended


async def test_repeated_heads_are_read_as_the_parser_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(9112)
    hits = 0
    read_again = RepeatedAnswerHead.read

    def counted(head: RepeatedAnswerHead, data: bytes) -> Any:
        nonlocal hits
        found = read_again(head, data)
        hits += found is not None
        return found

    for number in range(TALKS):
        answers = talk(chance)
        with monkeypatch.context() as patch:
            patch.setattr(RepeatedAnswerHead, "read", counted)
            ours = await heard(answers)
        with monkeypatch.context() as patch:
            patch.setattr(RepeatedAnswerHead, "of", lambda *_: None)
            parsed = await heard(answers)
        assert ours == parsed, (number, answers)
    assert hits > TALKS // 2, hits


OK = b"HTTP/1.1 200 OK\r\n"
EARLY = b"HTTP/1.1 103 \r\nContent-Length: %d\r\n\r\n%b"


def final(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


MADE = {
    "another end": [
        OK + b"Content-Length: 6\r\nX: y\n\nab\r\n\r\n\r\n\r\n\r\n",
        OK + b"Content-Length: 9\r\nX: y\n\nab\r\n\r\nabc------",
    ],
    "an odd nothing": [final(b""), OK + b"Content-Length: 00\r\n\r\n"],
    "an odd length": [final(b"{}"), OK + b"Content-Length: 0000000002\r\n\r\n{}"],
    "a length of an interim answer": [
        EARLY % (len(final(b"{}")), final(b"{}")),
        EARLY % (len(final(b"{   }")), final(b"{   }")),
    ],
    "an interim answer alone": [EARLY % (2, final(b"{}")), EARLY % (2, b"{}")],
}


@pytest.mark.parametrize("made", MADE)
async def test_heads_that_were_made_for_it(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the parser finds another end than we would, and lengths that are written oddly."""
    first, last = MADE[made]
    answers = [(False, [each]) for each in (first, first, last)]
    ours = await heard(answers)
    monkeypatch.setattr(RepeatedAnswerHead, "of", lambda *_: None)
    assert await heard(answers) == ours


async def test_what_came_whole_is_there_without_any_wait() -> None:
    """All of it, once, and only within the bound."""
    transport, loop = Counted(), asyncio.get_running_loop()
    connection = HTTPClientConnection(loop, "there", [], free=lambda _: None, gone=lambda _: None)
    connection.connection_made(transport)
    for _ in range(2):
        found = connection.send(b"", b"", bodiless=False)
        assert found.whole(10) is None
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345")
        assert found.whole(4) is None
        assert not found.ended
        assert found.whole(5) == b"12345"
        assert found.whole(5) is None
        assert found.ended
        assert await found.read() == b""
    found = connection.send(b"", b"", bodiless=False)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123")
    assert found.whole(10) is None
    assert await found.read() == b"123"
    connection.data_received(b"45")
    assert found.whole(10) == b"45"
    connection.connection_lost(None)
