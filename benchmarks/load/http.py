"""The load over HTTP: a closed loop over sockets, one request in flight on each.

Theory of operation: one thread waits for whichever socket has something to read (see `waiting`), checks the
answer, and sends that socket's next request, made beforehand but for its id. No parser, no object per
request, no coroutine: against a server that does nothing, the load's own core must stay the idler one, and
how busy it was stands in the results. Nothing is pipelined. TCP_NODELAY is set.
"""

from __future__ import annotations

import gc
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..figures import percentile
from ..processes import Broken
from .answers import Reader, message, passes
from .waiting import TIMEOUT, Lookout
from .wire import Json, Request, encoded, http, initialize, initialized, stateful_headers

_READ = 1 << 18

# Given the answer's body, the next request of the same exchange, or None if it is over.
Follow = Callable[[bytes], bytes | None]


@dataclass
class Script:
    """What one connection does again and again: a request, and what its answer has to hold. ``follow``: further
    requests that depend on the answer.
    """

    request: Request
    expected: bytes
    follow: Follow | None = None


class Watched(Protocol):
    """What the load asks of a server, which may be several processes. ``apart``: none of its cores is the load's."""

    apart: bool

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        ...

    def check(self) -> None:
        """Raises `Broken` if it has ended."""
        ...


class Connection:
    """A connection that runs a script."""

    __slots__ = ("reader", "script", "sent", "sock")

    def __init__(self, port: int, script: Script) -> None:
        self.sock = connect(port)
        self.script = script
        self.reader = Reader()
        self.sent = 0.0

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def connect(port: int) -> socket.socket:
    """A connected socket that neither waits for more to send nor for ever."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    patience = struct.pack("ll", int(TIMEOUT), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    return sock


def exchange(sock: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """One request and its answer, waiting for it; gives head and body. Raises `Broken`."""
    sock.sendall(request)
    return received(sock)


def received(sock: socket.socket) -> tuple[bytes, bytes]:
    """The answer to what was sent before, waiting for it; gives head and body. Raises `Broken`."""
    reader = Reader()
    while True:
        data = sock.recv(_READ)
        if not data:
            raise Broken("the server closed the connection")
        body = reader.feed(data)
        if body is not None:
            return reader.head, body


def open_session(sock: socket.socket, port: int) -> str | None:
    """Open a session of 2025-11-25; gives its id, None from a server that has none. Raises `Broken`."""
    head, body = exchange(sock, http(port, encoded(initialize()), {}))
    if "result" not in message(body):
        raise Broken(f"no session: {body[:300]!r}")
    session = None
    for field in head.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.lower() == b"mcp-session-id":
            session = value.strip().decode()
    exchange(sock, http(port, encoded(initialized()), stateful_headers(session)))
    return session


def ask(sock: socket.socket, request: Request) -> Json:
    """One request; gives its result. Raises `Broken`."""
    _, body = exchange(sock, request.next())
    answer = message(body)
    if "result" not in answer or answer["result"].get("isError"):
        raise Broken(f"it failed: {body[:500]!r}")
    return answer["result"]


@dataclass
class Load:
    """What came of a run. Times in seconds; ``busy``: the share of its time that the load's core worked."""

    count: int
    seconds: float
    cpu: float
    latencies: list[float]
    busy: float

    def sample(self) -> dict[str, float]:
        """Its figures: requests per second, and of each the microseconds of the server's CPU, and the milliseconds
        that half and 99 of 100 took at most.
        """
        return {
            "rate": self.count / self.seconds,
            "cpu": self.cpu / self.count * 1e6,
            "p50": percentile(self.latencies, 50) * 1e3,
            "p99": percentile(self.latencies, 99) * 1e3,
            "busy": self.busy,
            "count": self.count,
        }


def run(server: Watched, connections: Sequence[Connection], seconds: float, *, least: int = 3) -> Load:
    """Run all scripts for so long, and until ``least`` exchanges are over. Raises `Broken` at the first wrong
    answer.
    """
    by_number = {connection.sock.fileno(): connection for connection in connections}
    lookout = Lookout(list(by_number), spins=server.apart)
    gc.collect()
    gc.disable()
    try:
        cpu, began = server.cpu(), time.perf_counter()
        latencies = _loop(server, lookout, by_number, connections, began + seconds, least)
        ended = time.perf_counter()
        spent = ended - began
        return Load(len(latencies), spent, server.cpu() - cpu, latencies, 1 - lookout.idle / spent)
    finally:
        gc.enable()
        lookout.close()


def _loop(
    server: Watched,
    lookout: Lookout,
    by_number: dict[int, Connection],
    connections: Iterable[Connection],
    until: float,
    least: int,
) -> list[float]:
    """The loop itself; gives how long each exchange took."""
    latencies: list[float] = []
    clock = time.perf_counter
    open_ = 0
    for connection in connections:
        connection.sent = clock()
        connection.sock.sendall(connection.script.request.next())
        open_ += 1
    while open_:
        ready = lookout.ready()
        if not ready:
            server.check()
            raise Broken(f"no answer within {TIMEOUT:.0f} s")
        for number, _ in ready:
            connection = by_number[number]
            data = connection.sock.recv(_READ)
            if not data:
                server.check()
                raise Broken("the server closed a connection")
            body = connection.reader.feed(data)
            if body is None:
                continue
            script = connection.script
            if script.follow is not None:
                more = script.follow(body)
                if more is not None:
                    connection.sock.sendall(more)
                    continue
            now = clock()
            if not passes(body, script.expected):
                raise Broken(f"a wrong answer: {body[:500].decode('utf-8', 'replace')}")
            latencies.append(now - connection.sent)
            if now < until or len(latencies) < least:
                connection.sent = now
                connection.sock.sendall(script.request.next())
            else:
                open_ -= 1
    return latencies
