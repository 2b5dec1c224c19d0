"""What `soak` can do to a server: a table of attacks, one function each, and what they are made with.

To add one, write a function that makes one hostile request, under ``@kind`` with a name. What the server needs to be
attacked so goes into `soak_server`; the options of its endpoint are keyword arguments of ``@kind``.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
MODERN: Final = "2026-07-28"
STATEFUL: Final = "2025-11-25"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
#: Seconds after which an attacker no longer waits for an answer.
PATIENCE: Final = 10.0


class Talk:
    """One connection to the server, in plain bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(
        self, body: bytes, headers: Mapping[str, str], *, method: str = "POST", declared: int | None = None
    ) -> None:
        """Send one request. ``declared``: the length that its head says, if that is not the body's."""
        lines = [
            f"{method} /mcp HTTP/1.1",
            "host: 127.0.0.1",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            f"content-length: {len(body) if declared is None else declared}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
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
    ``kept``: connections that it leaves open.
    """

    port: int
    number: int
    outcomes: Counter[str]
    turn: int = 0
    session: str = ""
    kept: deque[Talk] = field(default_factory=deque[Talk])

    def keep(self, talk: Talk, most: int) -> None:
        """Leave a connection open, but at most so many: the oldest goes."""
        self.kept.append(talk)
        while len(self.kept) > most:
            self.kept.popleft().drop()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own, and its answer."""
        talk = await Talk.open(self.port)
        try:
            await talk.send(body, {**headers, "connection": "close"})
            return await talk.answer()
        finally:
            talk.drop()

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


Attack = Callable[[Attacker], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of attack: one of its requests, and the options of the endpoint that it is made on."""

    attack: Attack
    options: Mapping[str, Any]


KINDS: Final[dict[str, Kind]] = {}


def kind(name: str, **options: Any) -> Callable[[Attack], Attack]:
    """Put an attack into the table. ``options``: of the endpoint."""

    def add(attack: Attack) -> Attack:
        KINDS[name] = Kind(attack, options)
        return attack

    return add


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


@kind("subscriptions")
async def subscribe(attacker: Attacker) -> None:
    """10,000 long URIs in one subscription, whose stream stays open."""
    uris = [f"soak://{attacker.number}/{attacker.turn}/{'x' * 40}/{n}" for n in range(10_000)]
    body, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    talk = await Talk.open(attacker.port)
    attacker.keep(talk, 40)
    await talk.send(body, headers)
    status, _ = await talk.head()
    if status == 200:
        await talk.part()
    attacker.outcomes[str(status)] += 1


@kind("questions", linger=1.0)
async def leave_question(attacker: Attacker) -> None:
    """A tool asks, its arguments are large, and the client is gone."""
    if attacker.turn % 20 == 0 or not attacker.session:
        await attacker.open_session({"elicitation": {}})
    params = {
        "name": "ask",
        "arguments": {"text": "x" * (15 * MIB if attacker.turn % 20 == attacker.number else MIB)},
    }
    talk = await Talk.open(attacker.port)
    try:
        await talk.send(message("tools/call", params, id=attacker.turn + 1), attacker.in_session())
        status, _ = await talk.head()
        if status == 200:
            await talk.part()
            attacker.outcomes["asked"] += 1
        else:
            attacker.outcomes[str(status)] += 1
    finally:
        talk.drop()


@kind("bodies", body_timeout=5.0)
async def leave_body(attacker: Attacker) -> None:
    """16 MiB are announced; the last byte, or most of it, never comes."""
    talk = await Talk.open(attacker.port)
    attacker.keep(talk, 50)
    _, headers = modern("tools/call", {"name": "echo"})
    size = (16 * MIB if attacker.turn % 50 == attacker.number else MIB) - 1
    await talk.send(b" " * size, headers, declared=16 * MIB)
    attacker.outcomes["left"] += 1


@kind("sessions")
async def open_session(attacker: Attacker) -> None:
    """Sessions that nobody uses, of nobody in particular."""
    status, _, _ = await attacker.post(initialize({}), {})
    attacker.outcomes[str(status)] += 1
