"""Our server over HTTP, on a real socket, spoken to in bytes: names of headers, and what a stream is about."""

import asyncio
import json
from typing import Any

import pytest
from must_peer import PREFIX, full_app

from dovetail.protocol.revisions import STATELESS
from transports.connection_serving import serving

MODERN = STATELESS[-1]


async def asked(at: Any, head: list[tuple[str, str]], message: dict[str, Any]) -> tuple[int, str, bytes]:
    """POST a message, its headers written as they are: status, media type and body."""
    body = json.dumps(message).encode()
    lines = ["POST /mcp HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in head]
    reader, writer = await asyncio.open_connection(*at)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    whole = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    told, _, rest = whole.partition(b"\r\n\r\n")
    first, *fields = told.decode().split("\r\n")
    kinds = [each.partition(":")[2].strip() for each in fields if each.lower().startswith("content-type:")]
    return int(first.split()[1]), kinds[0] if kinds else "", rest


def call(tool: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
    known = {PREFIX + "protocolVersion": MODERN, PREFIX + "clientCapabilities": {}, **meta}
    params = {"name": tool, "arguments": arguments, "_meta": known}
    return {"jsonrpc": "2.0", "id": f"id of {tool}", "method": "tools/call", "params": params}


def headers(tool: str) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
    ]


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-058")
@pytest.mark.parametrize(
    "written", [str.upper, str.lower, str.title, str.swapcase], ids=lambda each: each.__name__
)
async def test_names_of_headers_are_the_same_in_any_case(written: Any) -> None:
    app = full_app()
    async with serving(app.asgi()) as server:
        head = [(written(name), value) for name, value in headers("add")]
        status, kind, body = await asked(server.address, head, call("add", {"a": 1, "b": 2}))
        assert (status, kind) == (200, "application/json")
        assert json.loads(body)["result"]["structuredContent"]
        lying = [(name, "talk" if name.lower() == "mcp-name" else value) for name, value in head]
        status, _, body = await asked(server.address, lying, call("add", {"a": 1, "b": 2}))
        assert (status, json.loads(body)["error"]["code"]) == (400, -32020)


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-013", "R2607-TRANSPORT-HTTP-014", "R2607-PROGRESS-008")
async def test_a_stream_tells_of_its_own_request_alone_and_asks_nothing() -> None:
    app = full_app()
    async with serving(app.asgi()) as server:
        calls = [
            asked(server.address, headers("talk"), call("talk", {}, progressToken=token))
            for token in ("mine", 7, "7")
        ]
        for token, (status, kind, body) in zip(("mine", 7, "7"), await asyncio.gather(*calls), strict=True):
            assert (status, kind) == (200, "text/event-stream")
            data = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
            *notices, answer = [json.loads(each.strip()) for each in data]
            assert [notice["params"]["progressToken"] for notice in notices] == [token] * 3
            assert not [notice for notice in notices if "id" in notice]
            assert answer["id"] == "id of talk"
            assert answer["result"]["content"][0]["text"] == "done"
