"""What errors say of a request that was given up: taken back where the server was told; else that it was not sent."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from raw_http import RawHTTP, result

from dovetail import Client
from dovetail.protocol.errors import RequestTimeout

Command = Callable[..., list[str]]
#: A server that reads no more once it was opened, and says whether it was ever told of a cancellation.
DEAF = """
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        told = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
        told["serverInfo"] = {"name": "deaf", "version": "1"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": told}), flush=True)
    elif message.get("method") == "notifications/initialized":
        break
time.sleep(60)
"""


async def test_a_request_that_the_server_got_is_taken_back(stateful: Command) -> None:
    async with Client(stateful()) as client:
        with pytest.raises(RequestTimeout, match=r"; it was taken back$") as caught:
            await client.call_tool("hang", timeout=0.2)
        assert not caught.value.retry_safe


async def test_a_request_that_waited_for_room_in_the_pipe_was_not_sent() -> None:
    async with Client([sys.executable, "-c", DEAF], revision="2025-11-25") as client:
        first = asyncio.create_task(client.call_tool("any", {"text": "x" * 5_000_000}, timeout=30))
        await asyncio.sleep(0)
        sent: list[Any] = []
        link = client._connection.link
        quietly = link._send_quietly
        link._send_quietly = lambda out: sent.append(json.loads(out.data)) or quietly(out)
        with pytest.raises(RequestTimeout, match="it had not been sent yet") as caught:
            await client.call_tool("any", timeout=0.2)
        assert caught.value.retry_safe
        giving_up = asyncio.create_task(client.call_tool("any", timeout=30))
        await asyncio.sleep(0.1)
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
        assert sent == []  # nothing is taken back that was never sent
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [message["method"] for message in sent] == ["notifications/cancelled"]


async def test_a_handshake_is_not_said_to_be_taken_back() -> None:
    """There is no way to do so (basic/utilities/cancellation)."""
    client = Client(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], revision="2025-11-25", timeout=0.3
    )
    with pytest.raises(RequestTimeout) as caught:
        await client.open()
    assert "taken back" not in str(caught.value)
    assert "not been sent" not in str(caught.value)


async def test_over_http_what_found_no_connection_was_not_sent() -> None:
    """While a connection is being made, nothing has left."""

    def answer(_: str, __: dict[str, str], message: Any) -> Any:
        if message["method"] == "server/discover":
            kept = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
            told = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **kept}
            return 200, {}, result(message, **told)
        return asyncio.sleep(60, (200, {}, None))

    async with RawHTTP(answer) as server, Client(server.url, revision="2026-07-28") as client:
        backend = client._connection.link.transport.endpoint._backend  # type: ignore[attr-defined]  # it is HTTP

        async def never(_: object) -> None:
            await asyncio.Event().wait()

        with pytest.raises(RequestTimeout, match="it was taken back"):
            await client.call_tool("any", timeout=0.2)
        backend._connected = never
        with pytest.raises(RequestTimeout, match="it had not been sent yet") as caught:
            await client.call_tool("any", timeout=0.2)
        assert caught.value.retry_safe
