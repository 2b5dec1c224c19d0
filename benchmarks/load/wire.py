"""The bytes that the load sends: requests of both eras, over HTTP and as lines.

A request is cut in two around its id, whose digits never change in number; so each request of a connection
has an id of its own and the same length.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

STATELESS = "2026-07-28"
STATEFUL = "2025-11-25"
CLIENT = {"name": "load", "version": "1"}
FIRST_ID = 1_000_000
MARK = 7_654_321_012_345
PREFIX = "io.modelcontextprotocol/"

Json = dict[str, Any]


class Request:
    """Bytes around an id. Each time it is asked for `bytes`, the id is the next."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._ids: Iterator[int] = itertools.count(FIRST_ID)

    def next(self) -> bytes:
        """The request, with the next id."""
        return b"%b%d%b" % (self._before, next(self._ids), self._after)


def _cut(method: str, params: Json) -> tuple[bytes, bytes]:
    text = encoded({"jsonrpc": "2.0", "id": MARK, "method": method, "params": params})
    before, _, after = text.partition(str(MARK).encode())
    return before, after


def encoded(message: Json) -> bytes:
    """A message as bytes, with nothing between its parts."""
    return json.dumps(message, separators=(",", ":")).encode()


def stateless_meta(*, elicitation: bool = False, progress: int | None = None) -> Json:
    """What a request of 2026-07-28 says about itself."""
    capabilities: Json = {"elicitation": {"form": {}}} if elicitation else {}
    meta = {
        PREFIX + "protocolVersion": STATELESS,
        PREFIX + "clientInfo": CLIENT,
        PREFIX + "clientCapabilities": capabilities,
    }
    return meta | ({"progressToken": progress} if progress is not None else {})


def http(port: int, body: bytes, headers: Mapping[str, str], *, length: int | None = None) -> bytes:
    """A POST to the endpoint. ``length``: of the body, where ``body`` is only its beginning."""
    fields = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body) if length is None else length),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


def http_get(port: int, headers: Mapping[str, str]) -> bytes:
    """The GET that opens a standalone stream."""
    fields = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET /mcp HTTP/1.1\r\n{head}\r\n".encode()


def stateless_headers(method: str, name: str | None) -> dict[str, str]:
    """The headers of a request of 2026-07-28."""
    headers = {"Mcp-Protocol-Version": STATELESS, "Mcp-Method": method}
    return headers | ({"Mcp-Name": name} if name else {})


def stateless(port: int, method: str, params: Json, *, meta: Json | None = None) -> Request:
    """A request of 2026-07-28 over HTTP."""
    params = {**params, "_meta": stateless_meta() if meta is None else meta}
    before, after = _cut(method, params)
    length = len(before) + len(str(FIRST_ID)) + len(after)
    return Request(http(port, before, stateless_headers(method, params.get("name")), length=length), after)


def stateful(port: int, method: str, params: Json, *, session: str | None) -> Request:
    """A request of 2025-11-25 over HTTP."""
    before, after = _cut(method, params)
    length = len(before) + len(str(FIRST_ID)) + len(after)
    return Request(http(port, before, stateful_headers(session), length=length), after)


def stateful_headers(session: str | None) -> dict[str, str]:
    """The headers of a request of 2025-11-25."""
    headers = {"Mcp-Protocol-Version": STATEFUL}
    return headers | ({"Mcp-Session-Id": session} if session else {})


def line(method: str, params: Json) -> Request:
    """A request of 2025-11-25 as a line."""
    before, after = _cut(method, params)
    return Request(before, after + b"\n")


def initialize() -> Json:
    """The opening of 2025-11-25."""
    params = {"protocolVersion": STATEFUL, "capabilities": {}, "clientInfo": CLIENT}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def initialized() -> Json:
    """The end of the opening."""
    return {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(name: str, **arguments: Any) -> Json:
    """The params of tools/call."""
    return {"name": name, "arguments": arguments}


def items(count: int = 100) -> list[Json]:
    """Items of ten fields."""
    return [
        {
            "id": number,
            "name": f"item number {number}",
            "price": 9.75 + number,
            "quantity": 3,
            "active": number % 2 == 0,
            "kind": "small",
            "tags": ["red", "round"],
            "ratio": 0.5,
            "note": None,
            "code": f"A-{number:05}",
        }
        for number in range(count)
    ]
