"""One open event stream of a protected server, read from its socket as it comes."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from guarded import LEGACY, MODERN, READS_BOTH, Wire

META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class OpenStream:
    """A request whose answer is a stream. ``last_id``: of the newest event; ``comments``: how many came so far."""

    def __init__(
        self,
        wire: Wire,
        token: str | None,
        *,
        session: str = "",
        last: str = "",
        message: dict[str, Any] | None = None,
        path: str = "/mcp",
        headers: tuple[tuple[str, str], ...] = (),
        scheme: str = "Bearer",
    ) -> None:
        self.last_id = last
        self.comments = 0
        self.status = 0
        self._wire = wire
        body = b"" if message is None else json.dumps({"jsonrpc": "2.0", **message}).encode()
        sent = [("host", "localhost"), ("connection", "close"), *READS_BOTH, *headers]
        if token is not None:
            sent.append(("authorization", f"{scheme} {token}"))
        if session:
            sent += [("mcp-session-id", session), ("mcp-protocol-version", LEGACY)]
        if last:
            sent.append(("last-event-id", last))
        if message is not None:
            sent.append(("content-length", str(len(body))))
        lines = [f"{'GET' if message is None else 'POST'} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in sent)]
        self._sent = "\r\n".join([*lines, "", ""]).encode() + body

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._wire.port)
        self._writer.write(self._sent)
        self.status = int((await self._reader.readline()).split()[1])
        while (await self._reader.readline()).strip():
            pass
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def next(self) -> dict[str, Any] | None:
        """The next message; None at the end of the stream, which has to be a proper one."""
        async with asyncio.timeout(20):
            line = b""
            while before := await self._reader.readline():
                line = before.strip()
                if line.startswith(b"id: "):
                    self.last_id = line[4:].decode()
                elif line.startswith(b":"):
                    self.comments += 1
                elif line.startswith(b"data: {"):
                    return json.loads(line[6:])
                elif line == b"0":
                    return None
        raise EOFError(f"the stream was cut off after {line!r}")

    async def primed(self) -> str:
        """The id of the first event."""
        async with asyncio.timeout(20):
            while not self.last_id:
                line = (await self._reader.readline()).strip()
                if line.startswith(b"id: "):
                    self.last_id = line[4:].decode()
        return self.last_id

    async def quiet(self, comments: int = 3) -> None:
        """So many comments, and no message; the token was judged before each but the first."""
        async with asyncio.timeout(20):
            wanted = self.comments + comments
            while self.comments < wanted:
                line = await self._reader.readline()
                assert line, "the stream ended"
                assert not line.startswith(b"data: {"), line
                self.comments += line.startswith(b":")


def modern(method: str, **params: Any) -> dict[str, Any]:
    """A request of the stateless era, as an option of `OpenStream`: with its headers."""
    name = (("mcp-name", params["name"]),) if "name" in params else ()
    headers = (("mcp-method", method), ("mcp-protocol-version", MODERN), *name)
    meta = {**META, **params.pop("_meta", {})}
    return {"headers": headers, "message": {"id": 1, "method": method, "params": {**params, "_meta": meta}}}
