"""Calls over stdio, in bytes: the same load for every server, so that only the server differs."""

import itertools
import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any

OPENING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "load", "version": "1"},
}


class Peer:
    """A server process, opened in revision 2025-11-25."""

    def __init__(self, command: Sequence[str]) -> None:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin
        self._out = self._process.stdout
        self._ids = itertools.count(1)
        self._send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING})
        self._out.readline()
        self.first_answer = time.perf_counter() - started
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        self._in.write(json.dumps(message).encode() + b"\n")
        self._in.flush()

    def _call(self) -> None:
        arguments = {"name": "add", "arguments": {"a": 1, "b": 2}}
        self._send({"jsonrpc": "2.0", "id": next(self._ids), "method": "tools/call", "params": arguments})

    def calls(self, count: int, in_flight: int) -> float:
        """Make so many calls with so many open at a time; gives seconds per call."""
        started = time.perf_counter()
        for _ in range(in_flight):
            self._call()
        for done in range(count):
            answer = self._out.readline()
            if b'"result"' not in answer or b'"isError":true' in answer:
                raise RuntimeError(f"the server failed: {answer[:300]!r}")
            if done + in_flight < count:
                self._call()
        return (time.perf_counter() - started) / count

    def close(self) -> None:
        """End the server."""
        self._in.close()
        self._process.wait(10)
