"""Servers that do not know ``server/discover``, in the ways in which old servers and the bridges before them say so;
and sessions that a server has lost.

Follows: basic/versioning "Backward Compatibility"; 2026-07-28 basic/transports/streamable-http "Backward
Compatibility"; 2025-11-25 basic/transports "Session Management".
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from raw_http import Answer, RawHTTP, error, result

from dovetail.client import Client
from dovetail.protocol.errors import (
    FeatureUnavailable,
    HTTPStatusError,
    LoginRequired,
    RPCError,
    SessionEnded,
    TransportError,
)

OK = {"content": [{"type": "text", "text": "ok"}]}
Refuse = Callable[[Any], Answer]


def rpc(status: int, code: int, text: str, *, id: bool = True) -> Refuse:
    """A refusal as a JSON-RPC error."""
    return lambda message: (status, {}, error({"id": message.get("id") if id else None}, code, text))


class Old:
    """A server with sessions in a table. ``unknown``: what it answers to a method that it does not know, ``lost``: to a
    session that is not in its table.
    """

    def __init__(self, unknown: Refuse, lost: Refuse | None = None) -> None:
        self.unknown = unknown
        self.lost = lost or rpc(404, -32001, "Session not found")
        self.table: set[str] = set()
        self.seen: list[str] = []
        self.deleted: list[str] = []

    def __call__(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        session = headers.get("mcp-session-id", "")
        if method == "DELETE":
            self.deleted.append(session)
            return 200, {}, None
        if method == "GET":
            return 405, {}, None
        kind = message["method"]
        self.seen.append(kind)
        if kind == "initialize":
            name = f"s{len(self.seen)}"
            self.table.add(name)
            told = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
            return (
                200,
                {"Mcp-Session-Id": name},
                result(message, serverInfo={"name": "old", "version": "1"}, **told),
            )
        if kind == "server/discover":
            return self.unknown(message)
        if session not in self.table:
            return self.lost(message)
        return (202, {}, None) if "id" not in message else (200, {}, result(message, **OK))


@pytest.mark.requirement("R2607-VERSIONING-005")
@pytest.mark.parametrize(
    "unknown",
    [
        rpc(404, -32601, "Method not found"),
        rpc(200, -32601, "Method not found"),
        rpc(400, -32601, "Method not found"),
        rpc(500, -32601, "Method not found"),
        rpc(400, -32000, "Bad Request: No valid session ID provided", id=False),
        rpc(400, -32000, "Bad Request: Unsupported protocol version", id=False),
        rpc(400, -32600, "Invalid Request"),
        rpc(200, -32603, "Internal error"),
        lambda _: (404, {}, b"<html>Cannot POST /mcp</html>"),
        lambda _: (405, {}, None),
        lambda _: (400, {}, None),
        lambda _: (400, {}, b"Invalid or missing session ID"),
        lambda _: (406, {}, b"Not Acceptable"),
        lambda _: (501, {}, None),
        lambda _: (202, {}, None),
        lambda _: (200, {}, {"detail": "unknown method"}),
    ],
)
@pytest.mark.hostile
async def test_a_server_without_discover_is_greeted_the_old_way(unknown: Refuse) -> None:
    server = Old(unknown)
    async with RawHTTP(server) as http, Client(http.url) as client:
        assert (client.era, client.revision) == ("stateful", "2025-06-18")
        assert client.server_info is not None
        assert client.server_info.name == "old"
        assert (await client.call_tool("t")).text == "ok"
    assert server.seen[:2] == ["server/discover", "initialize"]


@pytest.mark.parametrize("status", [403, 408, 429, 500, 502, 503])
async def test_a_refusal_that_says_nothing_of_the_era_is_told(status: int) -> None:
    server = Old(lambda _: (status, {}, b"not now"))
    async with RawHTTP(server) as http:
        with pytest.raises(HTTPStatusError, match="not now") as caught:
            await Client(http.url).open()
        assert caught.value.status == status
        assert not isinstance(caught.value, LoginRequired)
    assert server.seen == ["server/discover"]


async def test_a_known_era_is_not_forgotten_for_a_refusal_of_the_moment() -> None:
    server, busy = Old(rpc(404, -32601, "Method not found")), False

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        return (503, {}, None) if busy else server(method, headers, message)

    async with RawHTTP(serve) as http:
        async with Client(http.url):
            pass
        busy = True
        with pytest.raises(HTTPStatusError, match="503"):
            await Client(http.url).open()
        busy = False
        async with Client(http.url):
            pass
    assert server.seen.count("server/discover") == 1


@pytest.mark.hostile
async def test_a_server_of_the_stateless_era_that_does_not_describe_itself() -> None:
    """It has to; but what it says of ``initialize`` tells what it is."""
    seen: list[str] = []

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        seen.append(f"{method} {message['method']}")
        if message["method"] == "tools/call":
            return 200, {}, result(message, resultType="complete", **OK)
        return 404, {}, error(message, -32601, "Method not found")

    async with RawHTTP(serve) as http, Client(http.url) as client:
        assert client.era == "stateless"
        assert client.server_capabilities is None
        assert (await client.call_tool("t")).text == "ok"
    assert seen == ["POST server/discover", "POST initialize", "POST tools/call"]


# Sessions

LOST = [
    rpc(400, -32000, "Bad Request: No valid session ID provided", id=False),
    rpc(400, -32000, "Bad Request: Server not initialized", id=False),
    rpc(400, -32600, "Session not found"),
    lambda _: (400, {}, b"Invalid or missing session ID"),
    lambda _: (400, {}, {"error": "no session"}),
    rpc(404, -32001, "Session not found"),
]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.hostile
async def test_a_server_that_was_started_again_gets_a_new_session(lost: Refuse) -> None:
    server = Old(rpc(404, -32601, "Method not found"), lost)
    async with RawHTTP(server) as http, Client(http.url) as client:
        for _ in range(2):
            server.table.clear()
            results = await asyncio.gather(*(client.call_tool("t") for _ in range(5)))
            assert [found.text for found in results] == ["ok"] * 5
        assert server.seen.count("initialize") == 3


@pytest.mark.parametrize(
    "refusal",
    [
        rpc(400, -32602, "Invalid params: session_id is missing"),
        rpc(400, -32600, "what?"),
        lambda _: (400, {}, b"no such thing"),
    ],
)
@pytest.mark.hostile
async def test_any_other_400_leaves_the_session_alone(refusal: Refuse) -> None:
    server = Old(rpc(404, -32601, "Method not found"), refusal)
    async with RawHTTP(server) as http, Client(http.url) as client:
        server.table.clear()
        with pytest.raises((RPCError, HTTPStatusError)):
            await client.call_tool("t")
        assert server.seen.count("initialize") == 1


async def test_a_renewal_that_fails_is_tried_again_by_the_next_call() -> None:
    server, down = Old(rpc(404, -32601, "Method not found")), False

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        if down and method == "POST" and message["method"] == "initialize":
            return 503, {}, b"starting"
        return server(method, headers, message)

    async with RawHTTP(serve) as http, Client(http.url) as client:
        server.table.clear()
        down = True
        for _ in range(2):
            with pytest.raises(HTTPStatusError, match=r"503.*starting") as caught:
                await client.call_tool("t")
            assert caught.value.retry_safe
            assert client.state == "lost"
            assert client.revision == "2025-06-18"
        down = False
        assert (await client.call_tool("t")).text == "ok"
        assert client.state == "ready"


async def test_a_server_that_came_back_as_one_of_the_other_era_is_found_out() -> None:
    old = Old(rpc(404, -32601, "Method not found"))
    upgraded = False

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        if not upgraded or method != "POST":
            return old(method, headers, message)
        hints = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if message["method"] == "server/discover":
            told = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            return 200, {}, result(message, **told, **hints)
        if message["method"] == "tools/call" and "mcp-session-id" not in headers:
            return 200, {}, result(message, resultType="complete", **OK)
        if message["method"] == "initialize":
            supported = {"supported": ["2026-07-28"], "requested": "2025-06-18"}
            return 400, {}, error(message, -32022, "Unsupported protocol version", supported)
        return 404, {}, error(message, -32001, "Session not found")

    async with RawHTTP(serve) as http, Client(http.url) as client:
        assert client.era == "stateful"
        upgraded = True
        assert (await client.call_tool("t")).text == "ok"
        assert (client.era, client.state) == ("stateless", "ready")


async def test_a_session_that_is_lost_each_time_ends_in_an_error() -> None:
    server = Old(rpc(404, -32601, "Method not found"), rpc(400, -32000, "No valid session ID provided"))
    async with RawHTTP(server) as http, Client(http.url) as client:
        server.table = _Forgetful()
        with pytest.raises(SessionEnded, match="400"):
            await client.call_tool("t")
        assert server.seen.count("initialize") == 2


class _Forgetful(set[str]):
    """A table that nothing stays in."""

    def __contains__(self, name: object) -> bool:
        return False


# What may be spoken


@pytest.mark.requirement("R2511-VERSIONING-009", "R2511-VERSIONING-006")
@pytest.mark.parametrize("offer", ["2025-11-25", ("2025-03-26", "2025-11-25")])
async def test_a_session_in_a_revision_that_was_not_offered_is_ended(offer: Any) -> None:
    server = Old(rpc(404, -32601, "Method not found"))
    async with RawHTTP(server) as http:
        with pytest.raises(FeatureUnavailable) as caught:
            await Client(http.url, revision=offer).open()
    said = str(caught.value)
    assert "speaks 2025-06-18; this client was told to speak only" in said
    assert "2025-11-25" in said.partition("only")[2]
    assert server.seen == ["initialize"]
    assert server.deleted == ["s1"]


async def test_a_session_is_ended_when_its_opening_fails_later() -> None:
    server = Old(rpc(404, -32601, "Method not found"))

    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        if method == "POST" and message["method"] == "notifications/initialized":
            return 500, {}, b"oh"
        return server(method, headers, message)

    async with RawHTTP(serve) as http:
        with pytest.raises(TransportError, match="500"):
            await Client(http.url).open()
    assert server.deleted == ["s2"]


async def test_an_offer_is_more_than_a_pin() -> None:
    server = Old(rpc(404, -32601, "Method not found"))
    async with RawHTTP(server) as http:
        for offer in (["2025-06-18", "2025-11-25"], {"2025-06-18", "2026-07-28"}, ("2025-06-18",)):
            async with Client(http.url, revision=offer) as client:
                assert client.revision == "2025-06-18"
    assert server.seen.count("server/discover") == 1  # only where the stateless era is on offer


async def test_a_pin_to_the_other_era_is_refused_with_what_is_known() -> None:
    server = Old(rpc(404, -32601, "Method not found"))
    async with RawHTTP(server) as http:
        with pytest.raises(FeatureUnavailable, match=r"server/discover.*Method not found.*only 2026-07-28"):
            await Client(http.url, revision="2026-07-28").open()
    assert server.seen == ["server/discover"]

    def modern(method: str, headers: dict[str, str], message: Any) -> Answer:
        supported = {"supported": ["2026-07-28"], "requested": "2025-06-18"}
        return 400, {}, error(message, -32022, "Unsupported protocol version", supported)

    async with RawHTTP(modern) as http:
        with pytest.raises(FeatureUnavailable, match=r"speaks 2026-07-28; .* only 2025-06-18"):
            await Client(http.url, revision="2025-06-18").open()
