"""The floor on stdio: a bare asyncio loop over the pipes, typed messages in and out, no more.

A protocol reads what is there and answers each line at once; the answers to what came in one piece go out in
one write. No limit, no check, no task. For the words see `benchmarks.contestants`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import msgspec
from floor_messages import Request, answer_to

decode = msgspec.json.Decoder(Request).decode


class Lines(asyncio.Protocol):
    """Lines in, lines out."""

    def __init__(self, out: asyncio.WriteTransport, ended: asyncio.Event) -> None:
        self._out = out
        self._ended = ended
        self._rest: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        if b"\n" not in data:
            self._rest.append(data)
            return
        *lines, rest = (b"".join(self._rest) + data).split(b"\n")
        self._rest = [rest] if rest else []
        answers = [answer_to(request) for request in map(decode, lines) if request.id is not None]
        if answers:
            self._out.write(b"\n".join((*answers, b"")))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._ended.set()


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)
    out = cast("asyncio.WriteTransport", transport)
    await loop.connect_read_pipe(lambda: Lines(out, ended), sys.stdin)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
