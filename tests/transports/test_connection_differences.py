"""Our HTTP connection against the one that uvicorn brings: the same bytes, cut anywhere, are the same requests.

Where the two differ, ours is the stricter one, or reads what the other one gets wrong; `STRICTER` and `WRONG` are the
whole list of that. A fixed seed: a failure can be repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from connection_serving import read, reply
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from dovetail.transports.http1.server.connection import HTTPServerConnections
from dovetail.transports.http1.server.heads import RepeatedHead

pytestmark = pytest.mark.hostile

STREAMS = 4000
#: What ours refuses and the other one takes, as it stands in the bytes.
STRICTER = {
    "a version that is not HTTP/1.0 or 1.1": rb"HTTP/(0\.9|2\.0)|\w+ \S+\r\n",
    "chunks in HTTP/1.0": rb"(?i)(HTTP|RTSP|ICE)/1\.0\r\n(.*\r\n)*transfer-encoding:",
    "a target with a fragment": rb" \S*#\S* ",
    "an absolute target with a user, without a host, or of another scheme": rb" \S+://",
    "a tunnel": rb"CONNECT ",
    "more than one host beside an absolute target": rb"(?i)://(.*\r\n)*host:",
}
#: What the other one reads wrongly: it takes a body for what follows an upgrade.
WRONG = rb"(?i)upgrade:"


class Wire(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 1)})
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.written += b"<eof>"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Found:
    requests: list[tuple[Any, ...]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


async def feed(make: Any, pieces: list[bytes]) -> Found:
    """What an application sees of bytes that come in pieces."""
    found = Found()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = list(scope["headers"])
        body = await read(receive)
        if body is not None:
            target = (scope["method"], scope["path"], scope["raw_path"], scope["query_string"])
            found.requests.append((*target, scope["http_version"], headers, body))
        await reply(send)

    config = uvicorn.Config(app, http=make, log_config=None, lifespan="off", ws="none", proxy_headers=False)
    config.load()
    state = ServerState()
    protocol: Any = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg] - as uvicorn calls it
    wire = Wire()
    protocol.connection_made(wire)
    for piece in pieces:
        if wire.closed:
            break
        protocol.data_received(piece)
        await calm(state, wire)
    await calm(state, wire)
    protocol.connection_lost(None)
    await calm(state, wire)
    assert not state.tasks
    found.statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", wire.written)]
    return found


async def calm(state: ServerState, wire: Wire) -> None:
    """Let everything happen that does not wait for more bytes."""
    for _ in range(3):
        await asyncio.sleep(0)
    while not wire.reading and not wire.closed and state.tasks:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)


METHODS = (b"GET", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"PUT", b"CONNECT")
TARGETS = (
    b"/",
    b"/a%20b?c=d",
    b"*",
    b"//x/y",
    b"http://h:1/p?q",
    b"http://h",
    b"http://u@h/",
    b"/a#b",
    b"ftp://h/",
    b"/%zz",
)
VERSIONS = (b"HTTP/1.1",) * 9 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9")
HEADERS = (
    b"connection: keep-alive",
    b"connection: close",
    b"x: y",
    b"X-Space:   a b \t",
    b"x-empty:",
    b"expect: 100-continue",
    b"upgrade: h2c\r\nconnection: Upgrade",
    b"host: second",
    b"content-length: 3",
    b"transfer-encoding: gzip",
    b"accept: a,\xff",
)
NOISE = (
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\0",
    b"\t",
    b":",
    b"0\r\n\r\n",
    b"\xff",
    b"transfer-encoding: chunked\r\n",
    b"GET / HTTP/1.1\r\n",
)


def request(chance: random.Random) -> bytes:
    lines = [
        b" ".join(
            [
                chance.choice(METHODS[: chance.choice([2, 7])]),
                chance.choice(TARGETS[: chance.choice([2, 10])]),
                chance.choice(VERSIONS),
            ]
        )
    ]
    lines.append(b"Host: a")
    lines += [chance.choice(HEADERS) for _ in range(chance.choice([0, 0, 1, 2]))]
    body = b""
    kind = chance.randrange(4)
    if kind == 1:
        body = chance.randbytes(chance.choice([0, 1, 30, 3000]))
        lines.append(b"Content-Length: %d" % len(body))
    elif kind == 2:
        lines.append(b"Transfer-Encoding: chunked")
        parts = [chance.randbytes(chance.randint(1, 40)) for _ in range(chance.randrange(4))]
        extension = chance.choice([b"", b";a=b"])
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        body += b"0\r\n" + chance.choice([b"", b"", b"x-trailer: t\r\n"]) + b"\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def stream(chance: random.Random) -> bytes:
    data = bytearray(b"".join(request(chance) for _ in range(chance.randint(1, 4))))
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        at = chance.randrange(len(data))
        what = chance.randrange(3)
        if what == 0:
            data[at] = chance.randrange(256)
        elif what == 1:
            data[at:at] = chance.choice(NOISE)
        else:
            del data[at : at + chance.randint(1, 4)]
    return bytes(data)


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    places = sorted(
        {0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.choice([0, 1, 3, 12])))}
    )
    return [data[first:last] for first, last in itertools.pairwise(places)]


def same(ours: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two requests are one, but for what ours takes away: white space at the end of values, trailers, a host
    that is not the target's, an upgrade.
    """
    if ours[:5] != other[:5] or ours[6] != other[6]:
        return False
    mine = [pair for pair in ours[5] if pair[0] not in (b"host", b"upgrade")]
    theirs = [(n, v.rstrip(b" \t")) for n, v in other[5] if n not in (b"host", b"upgrade")]
    return mine == theirs or (mine == theirs[: len(mine)] and (b"transfer-encoding", b"chunked") in mine)


async def test_f15_f18_the_same_bytes_are_the_same_requests() -> None:
    chance = random.Random(9112)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    compared = stricter = 0
    for number in range(STREAMS):
        data = stream(chance)
        connections = HTTPServerConnections(10.0)
        ours = await feed(connections, [data])
        again = await feed(HTTPServerConnections(10.0), cut(chance, data))
        assert again.requests == ours.requests, (number, data)
        assert _final(again.statuses) == _final(ours.statuses), (number, data)
        if re.search(WRONG, data):
            continue
        other = await feed(HttpToolsProtocol, [data])
        for mine, theirs in zip(ours.requests, other.requests, strict=False):
            assert same(mine, theirs), (number, data, mine, theirs)
            compared += 1
        if len(ours.requests) < len(other.requests):
            stricter += 1
            assert ours.statuses[-1] >= 400, (number, data)
            assert any(re.search(pattern, data, re.MULTILINE) for pattern in STRICTER.values()), (
                number,
                data,
            )
        elif len(ours.requests) > len(other.requests):
            assert 400 in other.statuses, (number, data)  # it refuses what follows before what came first
    assert compared > STREAMS // 2
    assert stricter > 20


def repeating(chance: random.Random) -> list[bytes]:
    """Requests that come one by one, most of them with the head of the one before, or nearly."""
    lines = (b"", b"x: y\r\n", b"connection: close\r\n", b"expect: 100-continue\r\n", b"x: 1\n y\r\n")
    ends = (b"", b"\r\nAccept: b", b"\r\ncontent-length: 3", b"\r\ntransfer-encoding: chunked")
    target = chance.choice([b"/", b"/a?b"])
    first = b"POST %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: " % (
        target,
        chance.choice(lines[: chance.choice([2, 5])]),
    )
    last = chance.choice(ends[: chance.choice([2, 2, 4])])
    pieces: list[bytes] = []
    for _ in range(chance.randint(2, 8)):
        body = chance.randbytes(chance.choice([0, 3, 3, 3, 40, 2000, 70_000]))
        length = chance.choice([b"%d"] * 20 + [b"%03d", b"%d ", b"+%d", b"%d, 3"]) % len(body)
        data = bytearray(first + length + last + b"\r\n\r\n" + body)
        odd = chance.randrange(40)
        if odd == 0:
            data += chance.choice([*NOISE, request(chance)])
        elif odd == 1:
            del data[-chance.randint(1, len(data)) :]
        elif odd == 2:
            data[chance.randrange(len(data))] = chance.randrange(256)
        elif odd == 3:
            at = chance.randrange(len(data))
            data[at:at] = chance.choice(NOISE)
        pieces += cut(chance, bytes(data)) if odd == 4 else [bytes(data)]
    return pieces


async def test_f15_f18_a_head_that_comes_again_is_read_as_if_it_came_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(9110)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    hits = 0
    read_again = RepeatedHead.read

    def counted(head: RepeatedHead, data: bytes) -> Any:
        nonlocal hits
        found = read_again(head, data)
        hits += found is not None
        return found

    for number in range(STREAMS):
        pieces = repeating(chance)
        with monkeypatch.context() as patch:
            patch.setattr(RepeatedHead, "read", counted)
            ours = await feed(HTTPServerConnections(10.0), pieces)
        with monkeypatch.context() as patch:
            patch.setattr(RepeatedHead, "of", lambda *_: None)
            parsed = await feed(HTTPServerConnections(10.0), pieces)
        assert ours == parsed, (number, pieces)
    assert hits > STREAMS


def _final(statuses: list[int]) -> list[int]:
    return [status for status in statuses if status != 100]
