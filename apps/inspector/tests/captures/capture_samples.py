"""Captures to try things with: real ones, of our client and server; and ones that are written by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from recorded_app import app

from dovetail import Client
from dovetail.client import ElicitRequest
from dovetail.recording import Capture, CaptureLine, CaptureWriter, Redaction
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
    """The lines of a long capture, header included: calls of which eight run at once, with progress and logs."""
    yield json.dumps({"capture": 1, "began": BEGAN, "redacted": False}).encode() + b"\n"
    for number in range(1, count + 1):
        call, part = divmod(number - 1, 4)
        said = (
            client(asks(call, "tools/call", _meta={"progressToken": call}, name=f"tool-{call % 20}")),
            server(tells("notifications/progress", progressToken=call, progress=1)),
            server(gives(call - 8, content=[{"type": "text", "text": f"the result of {call - 8}"}])),
            server(tells("notifications/message", level="info", data=f"at {call}")),
        )[part]
        place = {"link": 1, "transport": "stdio", "revision": "2025-11-25", "era": "stateful"}
        yield (
            msgspec.json.encode({"n": number, "seconds": number / 1_000, "time": BEGAN, **place, **said})
            + b"\n"
        )


def read_slowly(lines: Iterable[bytes]) -> Iterator[CaptureLine]:
    """The lines of `bulk` one by one, as a tail gives them."""
    decoder = msgspec.json.Decoder(CaptureLine)
    for number, each in enumerate(lines):
        if number:
            yield decoder.decode(each)
