"""Attack: calls that say themselves where they come from, to be counted as somebody else, or as nobody.

Behind a proxy all callers have its address, so whoever is served there has to believe what the proxy says; and nobody
else, for a header is written by whoever likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dovetail import App

SERVER = """
import sys
from dovetail import App, Request

app = App("counting", rate_limit=0.001, burst=2)

@app.tool
async def count() -> int:
    return 1

@app.custom_route("/here")
async def here(request: Request) -> str:
    return f"{request.client} {request.scope['scheme']}"

if __name__ == "__main__":
    app.run("http", port=0, announce=lambda line: print(line, flush=True), forwarded_allow_ips=sys.argv[1:])
"""


@contextlib.asynccontextmanager
async def running(*proxies: str) -> AsyncIterator[int]:
    """The app in a process of its own, as `App.run` serves it; its port."""
    env = {**os.environ, "FORWARDED_ALLOW_IPS": "*"}  # what the environment says names nobody
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, *proxies, env=env, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield int(line.rpartition(":")[2].partition("/")[0])
    finally:
        process.terminate()
        await process.wait()


async def exchange(
    port: int, address: str, head: str, forwarded: str, body: bytes = b""
) -> tuple[int, bytes]:
    """One request from an address of this machine; status and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    lines = [head, f"host: 127.0.0.1:{port}", f"content-length: {len(body)}", "connection: close"]
    if forwarded:
        lines += [f"x-forwarded-for: {forwarded}", "x-forwarded-proto: https"]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split(b" ", 2)[1]), rest


async def place_of(port: int, address: str, forwarded: str) -> str:
    """Where the server takes a request to come from."""
    status, body = await exchange(port, address, "GET /here HTTP/1.1", forwarded)
    assert status == 200
    return body.decode()


CALL = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "count", "arguments": {}}}
)
ASKED = "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream"


async def call(port: int, address: str, forwarded: str) -> bool:
    """Call the tool; whether the server did not find that it was called too often."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message: dict[str, Any] = json.loads(CALL)
    message["params"]["_meta"] = meta
    head = f"{ASKED}\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: count"
    _, body = await exchange(port, address, head, forwarded, json.dumps(message).encode())
    answer = json.loads(body)
    assert "result" in answer or answer["error"]["code"] == -31429, answer
    return "result" in answer


@pytest.mark.hostile
async def test_a_proxy_is_believed_by_its_name_and_nobody_else() -> None:
    async with running("127.0.0.2", "127.1.0.0/16") as port:
        assert await place_of(port, "127.0.0.2", "203.0.113.9") == "203.0.113.9 https"
        assert await place_of(port, "127.1.2.3", "203.0.113.9") == "203.0.113.9 https"
        assert await place_of(port, "127.0.0.2", "198.51.100.1, 203.0.113.9") == "203.0.113.9 https", (
            "the proxy's own word counts, the last one"
        )
        assert await place_of(port, "127.0.0.3", "203.0.113.9") == "127.0.0.3 http"
        assert await place_of(port, "127.0.0.2", "") == "127.0.0.2 http"


@pytest.mark.hostile
async def test_nobody_is_believed_by_default() -> None:
    async with running() as port:
        assert await place_of(port, "127.0.0.1", "203.0.113.9") == "127.0.0.1 http"


@pytest.mark.hostile
async def test_callers_behind_a_proxy_are_counted_each_for_themselves() -> None:
    async with running("127.0.0.2") as port:
        assert [await call(port, "127.0.0.2", "203.0.113.9") for _ in range(3)] == [True, True, False]
        assert [await call(port, "127.0.0.2", f"198.51.100.{n}, 203.0.113.9") for n in range(2)] == [
            False
        ] * 2
        assert await call(port, "127.0.0.2", "203.0.113.10")


async def test_an_app_that_is_served_in_a_loop_believes_the_same() -> None:
    app = App("counting")
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @app.custom_route("/here")
    async def here(request: Any) -> str:
        return f"{request.client} {request.scope['scheme']}"

    serving = asyncio.create_task(
        app.serve("http", port=0, announce=told.set_result, forwarded_allow_ips=["127.0.0.2"])
    )
    try:
        port = int((await told).rpartition(":")[2].partition("/")[0])
        assert await place_of(port, "127.0.0.2", "203.0.113.9") == "203.0.113.9 https"
        assert await place_of(port, "127.0.0.3", "203.0.113.9") == "127.0.0.3 http"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize(
    "proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["proxy.example"], ["127.0.0.1:80"], "10.0.0.1"]
)
def test_everybody_is_no_name(proxies: Any) -> None:
    with pytest.raises(ValueError, match=r"forwarded_allow_ips|proxy|every caller"):
        App("x").run("http", port=0, forwarded_allow_ips=proxies)
