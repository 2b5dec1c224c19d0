"""The floor of a client over HTTP: one socket, an asyncio protocol, typed messages out and in, no more."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec


class Text(msgspec.Struct):
    """A block of content."""

    text: str


class CallResult(msgspec.Struct, rename={"is_error": "isError"}):
    """The result of tools/call."""

    content: list[Text]
    is_error: bool = False


class Answer(msgspec.Struct):
    """An answer."""

    id: int
    result: CallResult


class Request(msgspec.Struct):
    """A request."""

    id: int
    params: dict[str, Any]
    method: str = "tools/call"
    jsonrpc: str = "2.0"


HEAD = (
    "POST /mcp HTTP/1.1\r\nHost: {0}\r\nContent-Type: application/json\r\n"
    "Accept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2026-07-28\r\n"
    "Mcp-Method: tools/call\r\nMcp-Name: add\r\nContent-Length: "
)
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "floor", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
decode = msgspec.json.Decoder(Answer).decode
encode = msgspec.json.encode


class Caller(asyncio.Protocol):
    """One call at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect one answer. Its length is always told here."""
        assert self.answer is not None
        data = self._rest + data
        self._rest = b""
        head, found, body = data.partition(b"\r\n\r\n")
        if not data.startswith(b"HTTP/1.1 200"):
            self.answer.set_exception(RuntimeError(repr(data[:300])))
        elif found and len(body) == int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0]):
            self.answer.set_result(decode(body))
        else:
            self._rest = data

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer will come any more."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(exc or RuntimeError("the server closed the connection"))


async def calls(caller: Caller, head: bytes, seconds: float) -> dict[str, float]:
    """Call for so long, one call after the other."""
    loop = asyncio.get_running_loop()
    assert caller.transport is not None
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += 1
        body = encode(Request(count, {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": META}))
        caller.answer = loop.create_future()
        caller.transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        result = (await caller.answer).result
        if result.is_error or result.content[0].text != "3":
            raise RuntimeError(f"a wrong answer: {result}")
    return {"count": count, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def main() -> None:
    """Warm up, measure, tell."""
    _, where, warm, run = sys.argv[1:5]
    address = urlsplit(where)
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(Caller, address.hostname or "", address.port or 80)
    head = HEAD.format(address.netloc).encode()
    await calls(caller, head, float(warm))
    print(json.dumps(await calls(caller, head, float(run))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
