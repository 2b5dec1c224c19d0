"""Our client over HTTP: one message a POST, mirrored headers, no answers to servers of the stateless era."""

import asyncio
import base64
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from client.raw_http import RawHTTP, result
from dovetail import Client
from dovetail.protocol.errors import DovetailError
from dovetail.protocol.revisions import STATELESS

MODERN = STATELESS[-1]
NAMES = ["plain", "t\u00f6\u00f6l", "two words ", " ", "=?base64?YQ==?=", "a\tb", "\u2028", "%20"]


class Stateless:
    """A server of the stateless era that puts questions into its streams, which it must not."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], Any]] = []

    def __call__(self, method: str, headers: dict[str, str], message: Any) -> Any:
        self.seen.append((headers, message))
        if message["method"] == "server/discover":
            offered = {"tools": {}, "prompts": {}, "resources": {}}
            hints = {"ttlMs": 0, "cacheScope": "private"}
            found = result(
                message, resultType="complete", supportedVersions=[MODERN], capabilities=offered, **hints
            )
            return 200, {}, found
        question = {"jsonrpc": "2.0", "id": "q", "method": "roots/list", "params": {}}
        members = {"content": [], "messages": [], "contents": []}
        events = [question, result(message, resultType="complete", ttlMs=0, cacheScope="private", **members)]
        body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        return 200, {"content-type": "text/event-stream"}, body


def decoded(value: str) -> str:
    if value.startswith("=?base64?"):
        return base64.b64decode(value[9:-2]).decode()
    return value


@pytest.mark.hostile
@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-005",
    "R2607-TRANSPORT-HTTP-007",
    "R2607-TRANSPORT-HTTP-017",
    "R2607-TRANSPORT-HTTP-018",
    "R2607-TRANSPORT-HTTP-024",
    "R2607-TRANSPORT-HTTP-025",
    "R2607-LIFECYCLE-028",
    "R2607-CANCELLATION-011",
)
async def test_every_post_is_a_request_with_its_method_and_name_in_headers() -> None:
    server = Stateless()
    async with RawHTTP(server) as http, Client(http.url, roots=["file:///a"]) as client:
        for name in NAMES:
            await client.call_tool(name)
            await client.get_prompt(name)
            await client.read(f"note://{quote(name)}")
    assert len(server.seen) == 1 + 3 * len(NAMES)
    for headers, message in server.seen:
        assert isinstance(message, dict)
        assert headers["mcp-method"] == message["method"]
        params = message["params"]
        assert headers["mcp-protocol-version"] == params["_meta"]["io.modelcontextprotocol/protocolVersion"]
        named = {
            "tools/call": params.get("name"),
            "prompts/get": params.get("name"),
            "resources/read": params.get("uri"),
        }.get(message["method"])
        if named is None:
            assert "mcp-name" not in headers
        else:
            assert headers["mcp-name"].isascii()
            assert decoded(headers["mcp-name"]) == named


@pytest.mark.requirement("R2503-TRANSPORT-HTTP-001", "R2511-TRANSPORT-HTTP-043")
@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_client_posts_one_message_at_a_time_and_keeps_its_session_to_itself(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "5e55104-verysecret"
    seen: list[tuple[str, dict[str, str], Any]] = []
    broken = False

    def serve(method: str, headers: dict[str, str], message: Any) -> Any:
        seen.append((method, headers, message))
        if method != "POST":
            return 405, {}, None
        if broken:
            return 500, {}, {"oops": secret}
        if message["method"] == "initialize":
            info = {"name": "raw", "version": "1"}
            found = result(message, protocolVersion=revision, capabilities={"tools": {}}, serverInfo=info)
            return 200, {"Mcp-Session-Id": secret}, found
        if "id" not in message:
            return 202, {}, None
        return 200, {}, result(message, content=[])

    with caplog.at_level(logging.DEBUG):
        async with RawHTTP(serve) as http, Client(http.url, revision=revision) as client:
            await asyncio.gather(*(client.call_tool("t") for _ in range(5)))
            broken = True
            with pytest.raises(DovetailError) as caught:
                await client.call_tool("t")
            assert secret not in repr(client)
    assert secret not in f"{caught.value!s} {caught.value!r} {vars(caught.value)}"
    assert secret not in caplog.text
    assert all(isinstance(message, dict) for method, _, message in seen if method == "POST")
    assert [headers["mcp-session-id"] for _, headers, _ in seen[1:]] == [secret] * (len(seen) - 1)
    assert all(secret not in json.dumps(message) for _, _, message in seen)
