"""Captures to try things with: real ones, of our client and server; and ones that are written by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from recorded_app import app

from dovetail import Client
from dovetail.client import ElicitRequest
from dovetail.recording import Capture, CaptureWriter, Redaction
from dovetail.testing import Transport, connected

ERAS = ("2025-11-25", "2026-07-28")
TRANSPORTS: tuple[Transport, ...] = ("memory", "stdio", "http-json", "http-sse", "http")
BEGAN = "2026-01-01T00:00:00.000000Z"


async def ada(request: ElicitRequest) -> dict[str, Any]:
    """Fill in the form."""
    return {"value": "Ada"}


@asynccontextmanager
async def recorded_client(
    path: Path, transport: Transport, revision: str, *, redaction: Redaction | None = None
) -> AsyncIterator[Client]:
    """A client whose conversation is recorded."""
    writer = CaptureWriter(path, redaction=redaction or Redaction(defaults=False))
    async with connected(
        app, transport=transport, revision=revision, record=writer, elicitation=ada
    ) as client:
        yield client
    writer.close()


async def sample(path: Path, transport: Transport = "stdio", revision: str = ERAS[1]) -> Capture:
    """A conversation with something of everything in it."""
    async with recorded_client(path, transport, revision) as client:
        assert [each.name async for each in client.tools()]
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("ask")
        await client.call_tool("tell")
        await client.call_tool("fail")
        await client.read("note://a")
        await client.get_prompt("greet", {"name": "Ada"})
        await client.subscribe("note://a")
        await client.call_tool("touch")
        await client.unsubscribe("note://a")
    return Capture.read(path)


def hand(*messages: dict[str, Any] | str, transport: str = "stdio", **header: Any) -> Capture:
    """A capture of these lines, a tenth of a second apart: those of a client begin with "method" and no ``server``."""
    lines = [json.dumps({"capture": 1, "began": BEGAN, **header})]
    for number, each in enumerate(messages, 1):
        members: dict[str, Any] = {"link": 1, "transport": transport}
        members |= {"mark": each} if isinstance(each, str) else each
        at = round(number / 10, 3)
        lines.append(
            json.dumps({"n": number, "seconds": at, "time": f"2026-01-01T00:00:{at:09.6f}Z", **members})
        )
    return Capture.parse("\n".join([*lines, ""]).encode(), name="by hand")


def client(body: dict[str, Any] | list[Any], **members: Any) -> dict[str, Any]:
    """What a client said."""
    return {"sender": "client", "body": body, **members}


def server(body: dict[str, Any] | list[Any], **members: Any) -> dict[str, Any]:
    """What a server said."""
    return {"sender": "server", "body": body, **members}


def asks(id: Any, method: str, **params: Any) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def gives(id: Any, **result: Any) -> dict[str, Any]:
    """A result."""
    return {"jsonrpc": "2.0", "id": id, "result": result}


def refuses(id: Any, code: int, message: str) -> dict[str, Any]:
    """An error."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


def tells(method: str, **params: Any) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def bulk(count: int) -> Iterator[bytes]:
    """The lines of a long capture, header included: calls that run eight at a time, progress, a question each 100th."""
    yield json.dumps({"capture": 1, "began": BEGAN, "redacted": False}).encode() + b"\n"
    head = '{"n":%d,"seconds":%.6f,"time":"2026-01-01T00:00:00.000000Z","link":1,"transport":"stdio","sender":"%s","revision":"2025-11-25","era":"stateful","body":%s}\n'
    number = 0
    for call in range(count // 4 + 1):
        for sender, body in (
            ("client", '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"_meta":{"progressToken":%d},"name":"tool-%d","arguments":{"a":%d}}}' % (call, call, call % 20, call)),
            ("server", '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%d,"progress":1}}' % call),
            ("server", '{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"the result of %d"}]}}' % (call - 8, call - 8)),
            ("server", '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"at %d"}}' % call),
        ):  # fmt: skip
            number += 1
            if number > count:
                return
            yield (head % (number, number / 1000, sender, body)).encode()


def read_slowly(lines: Iterable[bytes]) -> Iterator[Any]:
    """The lines of `bulk` one by one, as a tail gives them."""
    import msgspec

    from dovetail.recording import CaptureLine

    decoder = msgspec.json.Decoder(CaptureLine)
    for number, each in enumerate(lines):
        if number:
            yield decoder.decode(each)
