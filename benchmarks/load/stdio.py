"""The load on stdio: lines into a pipe and lines out of it, so many requests in flight.

Theory of operation: one thread reads what is there and writes as many new requests as answers came, in one
write, as a client would that has callers waiting. Ids do not matter to the load: it counts lines, and each
has to hold what is expected.
"""

from __future__ import annotations

import gc
import json
import os
import time

from ..figures import percentile
from ..processes import Broken, Process
from .waiting import TIMEOUT, Lookout
from .wire import Json, Request, encoded, initialize, initialized

_READ = 1 << 18


class Pipe:
    """The two pipes of a server. Opens revision 2025-11-25."""

    def __init__(self, server: Process) -> None:
        self._server = server
        self._in = server.stdin.fileno()
        self._out = server.stdout.fileno()
        self._rest = b""
        self._lookout = Lookout([self._out], spins=server.apart)
        answer = self.ask(encoded(initialize()) + b"\n")
        if "result" not in answer:
            raise Broken(f"no opening: {answer}")
        self.first_answer = time.perf_counter() - server.started
        self._write(encoded(initialized()) + b"\n")

    def ask(self, request: bytes) -> Json:
        """Send a line and give the next line that is an answer."""
        self._write(request)
        while True:
            message: Json = json.loads(self.read_line())
            if "id" in message and "method" not in message:
                return message

    def ask_bytes(self, request: bytes) -> bytes:
        """Send a line and give the next, whatever it is."""
        self._write(request)
        return self.read_line()

    def read_line(self) -> bytes:
        """The next line."""
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            parts.append(self._read())
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def run(self, request: Request, expected: bytes, seconds: float, in_flight: int) -> dict[str, float]:
        """Keep so many in flight for so long. Gives the figures. Raises `Broken` at the first wrong answer.

        How long each call took is told only where one is in flight at a time.
        """
        gc.collect()
        gc.disable()
        try:
            return self._run(request, expected, seconds, in_flight)
        finally:
            gc.enable()

    def _run(self, request: Request, expected: bytes, seconds: float, in_flight: int) -> dict[str, float]:
        idle, cpu, began = self._lookout.idle, self._server.cpu(), time.perf_counter()
        until = began + seconds
        latencies: list[float] = []
        count, rest, open_ = 0, b"", in_flight
        sent = time.perf_counter()
        self._write(b"".join(request.next() for _ in range(in_flight)))
        while open_:
            data = rest + self._read()
            whole, mark, rest = data.rpartition(b"\n")
            if not mark:
                continue
            lines = whole.count(b"\n") + 1
            if whole.count(expected) != lines or b'"isError":true' in whole:
                raise Broken(f"a wrong answer: {whole[:500].decode('utf-8', 'replace')}")
            now = time.perf_counter()
            if in_flight == 1:
                latencies.append(now - sent)
            sent = now
            count += lines
            if now < until:
                self._write(b"".join(request.next() for _ in range(lines)))
            else:
                open_ -= lines
        ended = time.perf_counter()
        sample = {
            "rate": count / (ended - began),
            "cpu": (self._server.cpu() - cpu) / count * 1e6,
            "busy": 1 - (self._lookout.idle - idle) / (ended - began),
            "count": count,
        }
        if latencies:
            sample |= {"p50": percentile(latencies, 50) * 1e3, "p99": percentile(latencies, 99) * 1e3}
        return sample

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._in, view) :]

    def _read(self) -> bytes:
        if not self._lookout.ready():
            self._server.check()
            raise Broken(f"no answer within {TIMEOUT:.0f} s")
        data = os.read(self._out, _READ)
        if not data:
            self._server.wait(5)
            self._server.check()
        return data
