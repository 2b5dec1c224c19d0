"""What `soak` attacks with, and what its good callers call with: connections in plain bytes, and messages."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
MODERN: Final = "2026-07-28"
STATEFUL: Final = "2025-11-25"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
#: Seconds after which an attacker no longer waits for an answer.
PATIENCE: Final = 10.0


class Talk:
    """One connection to the server, in plain bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, *, narrow: bool = False) -> Talk:
        """Connect. ``narrow``: the system takes little of what is sent to this client, until it reads."""
        if not narrow:
            return cls(*await asyncio.open_connection("127.0.0.1", port))
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=1024))

    async def send(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        path: str = "/mcp",
        declared: int | None = None,
    ) -> None:
        """Send one request. ``declared``: the length that its head says, if that is not the body's."""
        given = {
            "host": "127.0.0.1",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "content-length": len(body) if declared is None else declared,
            **headers,
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the next answer."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer, which has a length."""
        status, headers = await self.head()
        return status, headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def part(self) -> bytes:
        """The next piece of a body that comes in chunks."""
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    def drop(self) -> None:
        """Be gone."""
        self.writer.transport.abort()


@dataclass
class Attacker:
    """One of those who attack, again and again. ``turn`` counts its attacks; ``outcomes``: what came of those of all;
    ``kept``: connections that it leaves open; ``noted``: what it needs to know the next time.
    """

    port: int
    number: int
    outcomes: Counter[str]
    turn: int = 0
    session: str = ""
    kept: deque[Talk] = field(default_factory=deque[Talk])
    noted: dict[str, Any] = field(default_factory=dict[str, Any])

    def keep(self, talk: Talk, most: int) -> None:
        """Leave a connection open, but at most so many: the oldest goes."""
        self.kept.append(talk)
        while len(self.kept) > most:
            self.kept.popleft().drop()

    async def post(
        self, body: bytes, headers: Mapping[str, str], *, method: str = "POST", path: str = "/mcp"
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own, and its answer."""
        talk = await Talk.open(self.port)
        try:
            await talk.send(body, {**headers, "connection": "close"}, method=method, path=path)
            return await talk.answer()
        finally:
            talk.drop()

    async def ask(self, method: str, params: Mapping[str, Any], **headers: str) -> tuple[str, Any]:
        """A request of the stateless era: what came of it (the status, and the error's code if there is one), and its
        result.
        """
        body, named = modern(method, params)
        status, _, data = await self.post(body, {**named, **headers})
        answer = json.loads(data) if data else {}
        code = answer.get("error", {}).get("code")
        return f"{status}{f' {code}' if code else ''}", answer.get("result", {})

    async def open_session(self, capabilities: Mapping[str, Any]) -> None:
        """Have a session of the stateful era. Nothing happens where the server gives none."""
        status, headers, _ = await self.post(initialize(capabilities), {})
        self.session = headers.get("mcp-session-id", "") if status == 200 else ""
        if self.session:
            await self.post(message("notifications/initialized"), self.in_session())

    def in_session(self) -> dict[str, str]:
        """The headers of a request of its session."""
        return {"mcp-session-id": self.session, "mcp-protocol-version": STATEFUL}

    def leave(self) -> None:
        """Be gone for good."""
        while self.kept:
            self.kept.popleft().drop()


def message(method: str, params: Any = None, *, id: Any = None) -> bytes:
    """One message; without an id a notification."""
    whole = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def initialize(capabilities: Mapping[str, Any], revision: str = STATEFUL) -> bytes:
    """What opens a session."""
    client = {"name": "soak", "version": "1"}
    params = {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": client}
    return message("initialize", params, id=0)


def modern(method: str, params: Mapping[str, Any], *, id: Any = 1) -> tuple[bytes, dict[str, str]]:
    """A request of the stateless era, and its headers."""
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    return message(method, {**params, "_meta": META}, id=id), headers
