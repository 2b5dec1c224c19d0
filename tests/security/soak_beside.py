"""What some kinds of `soak` need beside the server that is attacked: an issuer that is asked about tokens, and a server
that gives a client more and more to keep. Each is a few lines of HTTP in the attacker's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from soak_talk import KIB, MODERN

Answer = Callable[[str, bytes], Awaitable[Any]]
RESOURCE: Final = "http://127.0.0.1/mcp"
#: Seconds that the issuer takes to answer.
_THINKING: Final = 0.02
_YEAR: Final = 365 * 86_400_000


@contextlib.asynccontextmanager
async def beside(name: str) -> AsyncIterator[Mapping[str, Any]]:
    """Have it there; gives what the server is told of it."""
    if not name:
        yield {}
        return
    answer = {"issuer": introspect, "hoarder": hoard}[name]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = {
                    line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if line
                }
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                said = await answer(first, body)
                data = b"" if said is None else json.dumps(said).encode()
                status = b"202 Accepted" if said is None else b"200 OK"
                kind = b"content-type: application/json\r\n" if data else b""
                head = b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, kind, len(data))
                writer.write(head + data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield {name: f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    finally:
        server.close()


async def introspect(_first: str, body: bytes) -> Any:
    """One token is good."""
    await asyncio.sleep(_THINKING)
    if parse_qs(body.decode()).get("token") != ["good"]:
        return {"active": False}
    return {"active": True, "sub": "ann", "client_id": "soak", "aud": RESOURCE}


async def hoard(_first: str, body: bytes) -> Any:
    """Whatever is asked for: much of it, under names that never come again, to be kept for a year."""
    message = json.loads(body)
    if "id" not in message:
        return None
    kept = {"resultType": "complete", "ttlMs": _YEAR, "cacheScope": "public"}
    method, params = message["method"], message.get("params", {})
    if method == "server/discover":
        offered: Any = {"tools": {}, "resources": {}, "prompts": {}}
        result: Any = {**kept, "supportedVersions": [MODERN], "capabilities": offered}
    elif method == "tools/list":
        result = {**kept, "ttlMs": 0, "tools": [_tool() for _ in range(20)]}
    elif method == "resources/read":
        result = {**kept, "contents": [{"uri": params["uri"], "text": "x" * (20 * KIB)}]}
    elif method == "prompts/list":
        result = {**kept, "ttlMs": 0, "prompts": [{"name": secrets.token_hex(200)} for _ in range(20)]}
    else:
        result = {"resultType": "complete", "content": [], secrets.token_hex(8): secrets.token_hex(200)}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _tool() -> dict[str, Any]:
    schema = {"type": "object", "properties": {secrets.token_hex(8): {"type": "string"} for _ in range(8)}}
    return {
        "name": secrets.token_hex(40),
        "description": "x" * KIB,
        "inputSchema": schema,
        "outputSchema": schema,
    }
