"""Conversations as captures, written down for tests: on a pipe or over HTTP, in any revision.

A `Said` collects lines as a capture has them. What is right is said by its methods (`hello`, `ask`, `call`, ...); what
is wrong, a test says itself.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import UNSET, Raw

from dovetail.capture.tracking import RevisionTracker, era_of
from dovetail.recording import CaptureLine, HTTPPart, Sender

OLD, THIRD, LAST_STATEFUL, MODERN = "2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28"
BATCHING = "2025-03-26"
JSON, SSE = "application/json", "text/event-stream"
EVERYTHING: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
    "completions": {},
}
CLIENT: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}}}
CACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
META = "io.modelcontextprotocol/"
SERVER = {"name": "garden", "version": "1"}
TOOL = {
    "name": "measure",
    "description": "Measure a bed.",
    "inputSchema": {"type": "object", "properties": {"bed": {"type": "string", "description": "Which."}}},
}


class Said:
    """One conversation. ``revision``: in which it is; ``http``: over HTTP, else on a pipe."""

    def __init__(self, revision: str = LAST_STATEFUL, *, http: bool = False) -> None:
        self.revision = revision
        self.http = http
        self.lines: list[CaptureLine] = []
        self.session = ""
        self.exchange = 0
        self.id = 0
        self._tracker = RevisionTracker()
        self._mark("open")

    @property
    def modern(self) -> bool:
        """Whether the conversation is of the stateless era."""
        return self.revision == MODERN

    def _mark(self, mark: Any) -> None:
        self.lines.append(
            CaptureLine(
                n=len(self.lines) + 1,
                seconds=0.0,
                time="2026-01-01T00:00:00Z",
                link=1,
                mark=mark,
                transport="http",
            )
        )

    def line(
        self, sender: Sender, body: Any = UNSET, *, http: HTTPPart | None = None, **members: Any
    ) -> None:
        """A line as it is."""
        stated = "" if http is None else http.headers.get("mcp-protocol-version", "")
        if self.http and not stated and self.modern:
            stated = self.revision
        revision = self._tracker.heard(sender, None if body is UNSET else body, stated)
        self.lines.append(
            CaptureLine(
                n=len(self.lines) + 1,
                seconds=members.pop("seconds", 0.01 * len(self.lines)),
                time="2026-01-01T00:00:00Z",
                link=1,
                transport="http" if self.http else "stdio",
                sender=sender,
                revision=revision,
                era=era_of(revision),
                http=http,
                body=UNSET if body is UNSET else Raw(json.dumps(body).encode()),
                **members,
            )
        )

    def headers(self, body: Any, **more: str | None) -> dict[str, str]:
        """The headers of a POST that are right for its body; ``more`` replaces some, or takes them away."""
        found: dict[str, str | None] = {"accept": f"{JSON}, {SSE}", "content-type": JSON}
        method = body.get("method") if isinstance(body, dict) else None
        if self.modern:
            found["mcp-protocol-version"] = self.revision
            if method is not None and "id" in body:
                found["mcp-method"] = method
                params = body.get("params", {})
                found["mcp-name"] = params.get("name") or params.get("uri") or params.get("taskId")
        elif method != "initialize":
            found["mcp-protocol-version"] = self.revision
            found["mcp-session-id"] = self.session or None
        found |= {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in found.items() if value is not None}

    def post(self, body: Any, *, target: str = "/mcp", **headers: str | None) -> None:
        """A request of HTTP."""
        self.exchange += 1
        part = HTTPPart(
            exchange=self.exchange, method="POST", target=target, headers=self.headers(body, **headers)
        )
        self.line("client", body, http=part)

    def get(self, **headers: str) -> None:
        """A stream that the client opens."""
        self.exchange += 1
        given = {"accept": SSE, "mcp-session-id": self.session} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.line("client", http=HTTPPart(exchange=self.exchange, method="GET", target="/mcp", headers=given))

    def reply(self, body: Any = UNSET, *, status: int = 200, exchange: int = 0, **headers: str) -> None:
        """A whole response of HTTP."""
        given = {"content-type": JSON} if body is not UNSET else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        part = HTTPPart(exchange=exchange or self.exchange, status=status, headers=given, end="complete")
        self.line("server", body, http=part)

    def stream(self, *bodies: Any, ids: tuple[str, ...] = (), end: bool = True, exchange: int = 0) -> None:
        """A response that is an event stream."""
        number = exchange or self.exchange
        head = {"content-type": SSE, "x-accel-buffering": "no"}
        self.line("server", http=HTTPPart(exchange=number, status=200, headers=head))
        for at, body in enumerate(bodies):
            self.event(body, id=ids[at] if at < len(ids) else "", exchange=number)
        if end:
            self.line("server", http=HTTPPart(exchange=number, end="complete"))

    def event(self, body: Any, *, id: str = "", exchange: int = 0) -> None:
        """An event of a stream."""
        self.line("server", body, http=HTTPPart(exchange=exchange or self.exchange, id=id))

    def client(self, body: Any) -> None:
        """What the client says, in whatever way."""
        if self.http:
            self.post(body)
        else:
            self.line("client", body)

    def server(self, body: Any) -> None:
        """What the server says, in whatever way."""
        if self.http:
            self.reply(body)
        else:
            self.line("server", body)

    def request(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """A request of the client's, that is right."""
        self.id += 1
        return {"jsonrpc": "2.0", "id": self.id, "method": method, "params": self.with_meta(params, **meta)}

    def with_meta(self, params: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """Parameters with the ``_meta`` that the revision wants; ``meta`` adds to that."""
        own: dict[str, Any] = {}
        if self.modern:
            own = {f"{META}protocolVersion": self.revision, f"{META}clientCapabilities": CLIENT}
            own[f"{META}clientInfo"] = {"name": "test", "version": "1"}
        own |= {name.replace("__", META): value for name, value in meta.items()}
        return dict(params or {}) | ({"_meta": own} if own else {})

    def result(self, members: dict[str, Any] | None = None, *, id: Any = None) -> dict[str, Any]:
        """The result of the last request."""
        whole = dict(members or {})
        if self.modern:
            whole = {"resultType": "complete", "_meta": {f"{META}serverInfo": SERVER}} | whole
        return {"jsonrpc": "2.0", "id": self.id if id is None else id, "result": whole}

    def error(self, code: int, message: str = "no", data: Any = None) -> dict[str, Any]:
        """The error for the last request."""
        error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        return {"jsonrpc": "2.0", "id": self.id, "error": error}

    def notice(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """A notification."""
        return {"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})

    def hello(
        self, server: dict[str, Any] | None = None, client: dict[str, Any] | None = None, *, done: bool = True
    ) -> Said:
        """The beginning: initialize and initialized, or a discovery."""
        declared = EVERYTHING if server is None else server
        if self.modern:
            self.ask(
                "server/discover",
                result={"capabilities": declared, "supportedVersions": [MODERN], **CACHED},
            )
            return self
        own = CLIENT if client is None else client
        offered = {"protocolVersion": self.revision, "capabilities": own, "clientInfo": SERVER}
        self.client(self.request("initialize", offered))
        answer = {"protocolVersion": self.revision, "capabilities": declared, "serverInfo": SERVER}
        if self.http:
            self.session = "s-1"
            self.reply(self.result(answer), mcp_session_id=self.session)
        else:
            self.server(self.result(answer))
        if done:
            self.client(self.notice("notifications/initialized"))
            if self.http:
                self.reply(status=202)
        return self

    def ask(
        self, method: str, params: dict[str, Any] | None = None, *, result: dict[str, Any], **meta: Any
    ) -> Said:
        """A request and its result."""
        self.client(self.request(method, params, **meta))
        self.server(self.result(result))
        return self

    def tools(self, *tools: dict[str, Any], **members: Any) -> Said:
        """The list of tools."""
        marks = CACHED if self.modern else {}
        return self.ask("tools/list", result={"tools": list(tools or (TOOL,)), **marks, **members})

    def call(self, result: dict[str, Any] | None = None, **params: Any) -> Said:
        """A call of a tool, and its result."""
        given = {"content": [{"type": "text", "text": "done"}]} if result is None else result
        return self.ask("tools/call", {"name": "measure", "arguments": {}} | params, result=given)
