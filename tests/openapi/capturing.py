"""A server that keeps every request as the bytes it was, and answers what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Captured:
    """One request."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        """Method and target."""
        return self.head.split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")

    def header(self, name: str) -> list[str]:
        """The values of a header, as they came."""
        lines = [each.decode("latin-1").split(": ", 1) for each in self.head.split(b"\r\n")[1:] if each]
        return [value for key, value in lines if key.lower() == name]


@dataclass
class Capturing:
    """``answers``: what is answered next, first to last (empty: nothing); then `OK`. ``connections``: how many there
    were.
    """

    url: str = ""
    requests: list[Captured] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    serving: dict[asyncio.Task[Any], asyncio.StreamWriter] = field(default_factory=dict)
    connections: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self.serving[task] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                self.requests.append(Captured(head, body))
                answer = self.answers.pop(0) if self.answers else OK
                if not answer:
                    await reader.read()  # until whoever asked has gone
                    break
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in head.lower() or b"connection: close" in answer.lower():
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            del self.serving[task]
            writer.close()

    @property
    def last(self) -> Captured:
        """The latest request."""
        return self.requests[-1]


@asynccontextmanager
async def capturing() -> AsyncGenerator[Capturing]:
    """One of them, on a port of its own."""
    found = Capturing()
    server = await asyncio.start_server(found.take, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        tasks = list(found.serving)
        for writer in found.serving.values():
            writer.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer as bytes; its connection is closed after it."""
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def document(paths: dict[str, Any], *, version: str = "3.1.0", **members: Any) -> dict[str, Any]:
    """A document with these paths."""
    return {"openapi": version, "info": {"title": "Test", "version": "1"}, "paths": paths, **members}


def operation(*parameters: dict[str, Any], **members: Any) -> dict[str, Any]:
    """An operation with these parameters, that is answered somehow."""
    return {
        "operationId": "it",
        "parameters": list(parameters),
        "responses": {"200": {"description": "well"}},
        **members,
    }


def parameter(
    place: str, schema: dict[str, Any] | None = None, name: str = "color", **said: Any
) -> dict[str, Any]:
    """A parameter of any type."""
    return {
        "name": name,
        "in": place,
        "schema": schema or {},
        **({"required": True} if place == "path" else {}),
        **said,
    }
