"""A server spoken to in bytes, in any revision, for tests of what it says."""

import asyncio
import itertools
import json
from typing import Any

from dovetail import App
from dovetail.protocol import names
from dovetail.protocol.revisions import STATELESS
from dovetail.runtime.connection import ServerConnection


class Wire:
    """One connection to an app. Messages that are not the awaited answer wait in ``inbox``."""

    def __init__(self, app: App, revision: str, capabilities: dict[str, Any] | None = None) -> None:
        self.revision = revision
        self.stateless = revision in STATELESS
        self.capabilities = capabilities or {}
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.app = app
        self.connection = ServerConnection(app.service, self._take, transport="memory")
        self._ids = itertools.count(1)
        self._answers: dict[Any, asyncio.Future[dict[str, Any]]] = {}

    async def open(self) -> dict[str, Any]:
        """Do what opens the revision's era; gives its result."""
        await self.app.service.start()
        if self.stateless:
            return await self.result("server/discover")
        opened = await self.result(
            "initialize",
            {
                "protocolVersion": self.revision,
                "capabilities": self.capabilities,
                "clientInfo": {"name": "wire", "version": "1"},
            },
        )
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return opened

    async def close(self) -> None:
        await self.connection.close()

    def meta(self, **more: Any) -> dict[str, Any]:
        """What every request of the stateless era carries."""
        if not self.stateless:
            return more
        return {
            names.META_PROTOCOL_VERSION: self.revision,
            names.META_CLIENT_CAPABILITIES: self.capabilities,
            names.META_CLIENT_INFO: {"name": "wire", "version": "1"},
            **more,
        }

    async def request(
        self, method: str, params: dict[str, Any] | None = None, *, meta: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a request; gives the whole answer."""
        id = next(self._ids)
        return await asyncio.wait_for(await self.start(id, method, params, meta=meta), 10)

    async def start(
        self,
        id: Any,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        meta: dict[str, Any] | None = None,
    ) -> "asyncio.Future[dict[str, Any]]":
        """Send a request; gives the future of its answer."""
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": id, "method": method}
        whole = self.meta(**(meta or {}))
        if params or whole:
            body["params"] = {**(params or {}), **({"_meta": whole} if whole else {})}
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[id] = answer
        await self.send(body)
        return answer

    async def result(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The result of a request that must succeed."""
        answer = await self.request(method, params, **more)
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The error of a request that must fail."""
        answer = await self.request(method, params, **more)
        assert "error" in answer, answer
        return answer["error"]

    async def lacking(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that asks what this client can't be asked; gives what the client would have to declare.

        The protocol has an error for that since 2026-07-28; before, it is a result that a model can read.
        """
        answer = await self.request("tools/call", {"name": tool, "arguments": arguments})
        if self.stateless:
            assert answer["error"]["code"] == -32021, answer
            told, needed = answer["error"]["message"], answer["error"]["data"]["requiredCapabilities"]
        else:
            result = answer["result"]
            assert result["isError"] is True, answer
            told, needed = result["content"][0]["text"], result["_meta"][names.META_MISSING]
        assert all(repr(name) in told for name in needed), told
        return needed

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The result of a tool call."""
        return await self.result("tools/call", {"name": name, "arguments": arguments})

    async def send(self, message: Any) -> None:
        """Send any JSON."""
        await self.raw(json.dumps(message).encode())

    async def raw(self, data: bytes) -> None:
        """Send any bytes."""
        await self.connection.receive(data)

    async def next(self) -> dict[str, Any]:
        """The next message that is no awaited answer."""
        return await asyncio.wait_for(self.inbox.get(), 10)

    async def _take(self, data: bytes) -> None:
        message = json.loads(data)
        if isinstance(message, dict) and "method" not in message and message.get("id") in self._answers:
            self._answers.pop(message["id"]).set_result(message)
        else:
            await self.inbox.put(message)
