"""What only HTTP brings: sessions that end, mirrored headers, refusals by status, cancelling by closing the stream."""

import asyncio
import logging
from typing import Any

import pytest
from raw_http import Answer, RawHTTP, error, result
from waiting import until

from dovetail.client import Client, OutputInvalid, eras
from dovetail.protocol.errors import (
    HeaderMismatch,
    HTTPStatusError,
    LoginRequired,
    RequestTimeout,
    RPCError,
    SessionEnded,
    UnsupportedVersion,
)

OK = {"content": [{"type": "text", "text": "ok"}]}
JSON: dict[str, str] = {}


class Stateful:
    """A server with sessions; it refuses modern requests the way old servers do."""

    def __init__(self) -> None:
        self.sessions = 0
        self.live: set[str] = set()
        self.seen: list[tuple[str, str, str]] = []
        self.refuse_all = False
        self.newest = "2025-06-18"
        self.offered: list[str] = []

    def __call__(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        session = headers.get("mcp-session-id", "")
        kind = message.get("method", "") if message else ""
        self.seen.append((method, kind, headers.get("mcp-protocol-version", "")))
        if method == "GET":
            return 405, {}, None
        if method == "DELETE":
            self.live.discard(session)
            return 200, {}, None
        if kind == "initialize":
            self.sessions += 1
            self.offered.append(message["params"]["protocolVersion"])
            name = f"session-{self.sessions}"
            self.live.add(name)
            members = {
                "protocolVersion": min(self.newest, self.offered[-1]),
                "capabilities": {"tools": {}, "resources": {"subscribe": True}},
                "serverInfo": {"name": "raw", "version": "1"},
            }
            return 200, {"Mcp-Session-Id": name}, result(message, **members)
        if self.refuse_all or session not in self.live:
            return (404 if session else 400), {}, {"error": "no session"}
        if "id" not in message:
            return 202, {}, None
        return 200, {}, result(message, **(OK if kind == "tools/call" else {}))


@pytest.mark.requirement("R2511-VERSIONING-007", "R2511-TRANSPORT-HTTP-051")
async def test_a_session_from_start_to_end() -> None:
    server = Stateful()
    async with RawHTTP(server) as http:
        async with Client(http.url) as client:
            assert client.revision == "2025-06-18"
            assert (await client.call_tool("t")).text == "ok"
            assert server.live
        assert not server.live
        after = [
            version for method, kind, version in server.seen if kind not in ("initialize", "server/discover")
        ]
        assert set(after) == {"2025-06-18"}
        async with Client(http.url):  # known to be stateful: no probe
            pass
        assert [kind for _, kind, _ in server.seen].count("server/discover") == 1


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-047")
async def test_a_lost_session_is_renewed_once_for_all() -> None:
    server = Stateful()
    async with RawHTTP(server) as http, Client(http.url) as client:
        await client.subscribe("raw://a")
        server.live.clear()
        results = await asyncio.gather(*(client.call_tool("t") for _ in range(10)))
        assert [found.text for found in results] == ["ok"] * 10
        assert server.sessions == 2
        assert [kind for _, kind, _ in server.seen].count("resources/subscribe") == 2
        server.refuse_all = True
        with pytest.raises(SessionEnded):
            await client.call_tool("t")
        assert server.sessions <= 4


@pytest.mark.parametrize("pinned", ["auto", "2025-06-18"])
@pytest.mark.requirement("R2511-VERSIONING-002")
async def test_a_renewed_session_offers_the_newest_revision_again(pinned: str) -> None:
    server = Stateful()
    async with RawHTTP(server) as http, Client(http.url, revision=pinned) as client:
        assert client.revision == "2025-06-18"
        server.live.clear()
        server.newest = "2025-11-25"
        assert (await client.call_tool("t")).text == "ok"
        assert client.revision == ("2025-11-25" if pinned == "auto" else pinned)
        assert server.offered == ["2025-11-25" if pinned == "auto" else pinned] * 2
        assert server.seen[-1][2] == client.revision


class Promising(Stateful):
    """A server whose tool promises a number under this name, and gives one under that."""

    def __init__(self) -> None:
        super().__init__()
        self.promised = self.given = "n"
        self.listings = 0

    def __call__(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        answer = super().__call__(method, headers, message)
        if answer[0] != 200 or not message or message["method"] not in ("tools/list", "tools/call"):
            return answer
        if message["method"] == "tools/call":
            return 200, JSON, result(message, content=[], structuredContent={self.given: 1})
        self.listings += 1
        schema = {"type": "object", "required": [self.promised]}
        tool = {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": schema}
        return 200, JSON, result(message, tools=[tool])


@pytest.mark.requirement("R2511-TOOLS-017", "R2607-TOOLS-039")
async def test_outputs_are_checked_in_a_renewed_session() -> None:
    server = Promising()
    async with RawHTTP(server) as http, Client(http.url) as client:
        assert [tool.name async for tool in client.tools()] == ["t"]
        server.live.clear()
        assert (await client.call_tool("t")).checked
        assert server.listings == 1
        server.given = "m"
        with pytest.raises(OutputInvalid):
            await client.call_tool("t")
        assert server.listings == 2, "it may have been another server's promise"


@pytest.mark.requirement("R2511-TOOLS-017")
async def test_outputs_are_held_against_the_listing_of_the_server_that_came_instead() -> None:
    server = Promising()
    async with RawHTTP(server) as http, Client(http.url) as client:
        assert [tool.name async for tool in client.tools()] == ["t"]
        server.live.clear()
        server.promised = server.given = "m"
        for _ in range(2):
            assert (await client.call_tool("t")).checked
        assert server.listings == 2


class Stateless:
    """A server of the stateless era whose tools want headers."""

    def __init__(self) -> None:
        self.revisions = ["2026-07-28"]
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.tools: list[dict[str, Any]] = []
        self.want: dict[str, str] = {}
        self.gone = asyncio.Event()
        self.arrived = asyncio.Event()

    async def __call__(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        kind, params = message["method"], message["params"]
        self.seen.append((kind, headers))
        if params["_meta"]["io.modelcontextprotocol/protocolVersion"] not in self.revisions:
            told = error(message, -32022, "unsupported", {"supported": self.revisions, "requested": "x"})
            return 400, JSON, told
        hints = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if kind == "server/discover":
            capabilities = {"tools": {}, "resources": {}}
            return (
                200,
                JSON,
                result(message, supportedVersions=self.revisions, capabilities=capabilities, **hints),
            )
        if kind == "tools/list":
            return 200, JSON, result(message, tools=self.tools, **hints)
        if params.get("name") == "hang":
            self.arrived.set()
            try:
                await asyncio.sleep(30)
            finally:
                self.gone.set()
        if any(headers.get(name) != value for name, value in self.want.items()):
            return 400, JSON, error(message, -32020, "Header mismatch: region")
        return 200, JSON, result(message, resultType="complete", **OK)


def regional(header: Any) -> dict[str, Any]:
    target = {"type": "string", "x-mcp-header": header}
    return {"name": "t", "inputSchema": {"type": "object", "properties": {"place": target}}}


@pytest.mark.requirement("R2607-TOOLS-029", "R2607-TOOLS-030", "R2607-TRANSPORT-HTTP-049")
@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-027",
    "R2607-TRANSPORT-HTTP-028",
    "R2607-TRANSPORT-HTTP-037",
    "R2607-TRANSPORT-HTTP-038",
)
async def test_headers_repeat_the_body_and_stale_ones_are_learned(caplog: pytest.LogCaptureFixture) -> None:
    server = Stateless()
    server.tools = [regional("Region"), {**regional("bad header"), "name": "broken"}]
    server.want = {"mcp-param-region": "=?base64?w6l0w6k=?=", "mcp-name": "t", "mcp-method": "tools/call"}
    async with RawHTTP(server) as http, Client(http.url) as client:
        assert (await client.call_tool("t", {"place": "\u00e9t\u00e9"})).text == "ok"
        assert [kind for kind, _ in server.seen] == [
            "server/discover",
            "tools/call",
            "tools/list",
            "tools/call",
        ]
        with caplog.at_level(logging.WARNING, "dovetail.client"):
            assert [tool.name async for tool in client.tools()] == ["t"]
        assert "broken" in caplog.text
        server.want = {"mcp-param-region": "never"}
        with pytest.raises(HeaderMismatch):
            await client.call_tool("t", {"place": "x"})
        assert all(headers["mcp-protocol-version"] == "2026-07-28" for _, headers in server.seen)


@pytest.mark.requirement("R2607-VERSIONING-009")
async def test_a_revision_that_is_dropped_leads_to_an_error_not_a_loop() -> None:
    server = Stateless()
    async with RawHTTP(server) as http, Client(http.url) as client:
        server.revisions = ["2031-01-01"]
        with pytest.raises(UnsupportedVersion):
            await client.call_tool("t")
        assert eras.recall(client._connection.target.key()) is None


async def test_closing_the_stream_is_the_cancellation() -> None:
    server = Stateless()
    async with RawHTTP(server) as http, Client(http.url) as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("hang", timeout=0.2)
        task = asyncio.create_task(client.call_tool("hang"))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.call_tool("t")).text == "ok"
        assert "notifications/cancelled" not in [kind for kind, _ in server.seen]


@pytest.mark.parametrize(
    "status, body, kind",
    [
        (401, None, LoginRequired),
        (403, None, HTTPStatusError),
        (500, b"<html>oops</html>", HTTPStatusError),
        (503, None, HTTPStatusError),
        (404, b"<html>nothing here</html>", HTTPStatusError),
        (400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no"}}, RPCError),
    ],
)
@pytest.mark.hostile
async def test_refusals_by_status(status: int, body: Any, kind: type[Exception]) -> None:
    async with RawHTTP(lambda *_: (status, {}, body)) as http:
        with pytest.raises(kind):
            await Client(http.url).open()


@pytest.mark.requirement("R2607-VERSIONING-009")
async def test_a_server_that_goes_back_to_the_stateful_era_is_found_again() -> None:
    modern, old = Stateless(), Stateful()

    def serve(method: str, headers: dict[str, str], message: Any) -> Any:
        meta = {} if message is None else message.get("params", {}).get("_meta", {})
        stateless = "io.modelcontextprotocol/protocolVersion" in meta
        return modern(method, headers, message) if stateless else old(method, headers, message)

    async with RawHTTP(serve) as http, Client(http.url) as client:
        assert client.era == "stateless"
        modern.revisions = ["2025-06-18"]
        results = await asyncio.gather(*(client.call_tool("t") for _ in range(5)), return_exceptions=True)
        assert client.revision == "2025-06-18"
        assert old.sessions == 1
        assert [found.text for found in results if not isinstance(found, BaseException)] == ["ok"] * 5


async def test_a_late_word_of_the_old_session_does_not_end_the_new_one() -> None:
    server, renewed = Stateful(), asyncio.Event()

    async def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        answer = server(method, headers, message)
        if answer[0] == 404 and message["params"]["name"] == "late":
            await renewed.wait()
        return answer

    async with RawHTTP(serve) as http, Client(http.url) as client:
        server.live.clear()
        late = asyncio.create_task(client.call_tool("late"))
        await until(lambda: [kind for _, kind, _ in server.seen].count("tools/call"))
        assert (await client.call_tool("t")).text == "ok"
        renewed.set()
        assert (await late).text == "ok"
        assert server.sessions == 2
