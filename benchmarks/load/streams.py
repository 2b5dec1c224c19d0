"""Event streams held open: opened one after the other, then waited on all together."""

from __future__ import annotations

import socket
import time

from ..processes import Broken, Process
from .http import connect
from .waiting import TIMEOUT, Lookout

_READ = 1 << 16


class Streams:
    """Open streams of a server. Each was seen to begin."""

    def __init__(self, server: Process) -> None:
        self._spins = server.apart
        self.socks: list[socket.socket] = []

    def open(self, port: int, request: bytes, begun: bytes) -> None:
        """Open one more; it has begun when ``begun`` came. Raises `Broken` if it is refused."""
        sock = connect(port)
        self.socks.append(sock)
        sock.sendall(request)
        seen = b""
        while begun not in seen:
            data = sock.recv(_READ)
            seen += data
            if not data or (b"\r\n\r\n" in seen and not seen.startswith(b"HTTP/1.1 200")):
                raise Broken(f"the stream was refused: {seen[:400].decode('utf-8', 'replace')}")

    def all_get(self, sign: bytes, count: int = 1) -> float:
        """Wait until each has got ``sign`` so often; gives the time of the last. Raises `Broken`."""
        waiting = {sock.fileno(): sock for sock in self.socks}
        seen = dict.fromkeys(waiting, 0)
        lookout = Lookout(list(waiting), spins=self._spins)
        try:
            while waiting:
                ready = lookout.ready()
                if not ready:
                    raise Broken(f"{len(waiting)} streams got nothing within {TIMEOUT:.0f} s")
                for number, _ in ready:
                    data = waiting[number].recv(_READ)
                    if not data:
                        raise Broken("the server closed a stream")
                    seen[number] += data.count(sign)
                    if seen[number] >= count:
                        lookout.forget(number)
                        del waiting[number]
            return time.perf_counter()
        finally:
            lookout.close()

    def close(self) -> None:
        """Close all."""
        for sock in self.socks:
            sock.close()
        self.socks.clear()

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
