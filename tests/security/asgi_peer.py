"""Clients of an endpoint in this process, each from whatever address a test wants: no socket could have them all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from soak_talk import STATEFUL, initialize, message, modern

from dovetail.transports.http_server.asgi import HTTPApp


class Exchange:
    """One request and its answer. Parts of the body come when the test says so; ``leave`` is the client's end."""

    def __init__(self, endpoint: HTTPApp, scope: dict[str, Any]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.said = bytearray()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._heard = asyncio.Event()
        self.task = asyncio.create_task(endpoint(scope, self._events.get, self._send))

    async def _send(self, event: Any) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            self.said += event.get("body", b"")
        self._heard.set()

    def part(self, data: bytes, *, more: bool = False) -> None:
        """Send a part of the body."""
        self._events.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        """Be gone."""
        self._events.put_nowait({"type": "http.disconnect"})

    async def hears(self, text: bytes) -> None:
        """Wait until something was said."""
        async with asyncio.timeout(10):
            while text not in self.said:
                self._heard.clear()
                await self._heard.wait()

    async def over(self) -> Exchange:
        """Wait until it has been answered."""
        async with asyncio.timeout(10):
            await self.task
        return self

    async def whole(self, body: bytes) -> Exchange:
        """Send all of the body, and wait for the answer."""
        self.part(body)
        return await self.over()

    async def gone(self) -> None:
        """Be gone, and wait until the server has noticed."""
        self.leave()
        await self.over()

    @property
    def json(self) -> Any:
        return json.loads(bytes(self.said))


class Peer:
    """A client at an address. ``token``: what it says of itself to an authenticator."""

    def __init__(self, endpoint: HTTPApp, address: str, token: str = "") -> None:
        self.endpoint = endpoint
        self.address = address
        self.token = token
        self.session: dict[str, str] = {}
        self.ids = 0

    def read(self) -> Exchange:
        """The stream of its session."""
        return self.begin(self.session, method="GET")

    def begin(self, headers: Mapping[str, str], *, method: str = "POST", path: str = "/mcp") -> Exchange:
        """A request whose body, if any, is still to come."""
        whole = {
            "host": "localhost",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **({"authorization": self.token} if self.token else {}),
            **headers,
        }
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "client": (self.address, 40_000),
            "headers": [(name.encode(), value.encode()) for name, value in whole.items()],
        }
        return Exchange(self.endpoint, scope)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """A whole POST."""
        exchange = self.begin(headers)
        exchange.part(body)
        return exchange

    def ask(self, method: str, params: Mapping[str, Any]) -> Exchange:
        """A request of the stateless era."""
        return self.post(*modern(method, params))

    def listen(self, uris: list[str]) -> Exchange:
        """A subscription."""
        return self.ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})

    def call(self, name: str, **arguments: Any) -> Exchange:
        """A call in its session."""
        self.ids += 1
        params = {"name": name, "arguments": arguments}
        return self.post(message("tools/call", params, id=self.ids), self.session)

    async def open(self, capabilities: Mapping[str, Any] | None = None) -> Exchange:
        """Open a session, and use it once."""
        opened = await self.post(initialize(capabilities or {}), {}).over()
        if "mcp-session-id" in opened.headers:
            self.session = {
                "mcp-session-id": opened.headers["mcp-session-id"],
                "mcp-protocol-version": STATEFUL,
            }
            await self.post(message("notifications/initialized"), self.session).over()
        return opened

    async def in_use(self) -> bool:
        """Whether its session is there."""
        return (await self.post(message("ping", id="p"), self.session).over()).status == 200
