"""A server whose every string acts on terminals and logs, in raw JSON; nothing of ours imported.

Arguments: ``stdio`` or ``http`` (prints its port), and the revision. Each word of `ACTS` does something to a terminal,
hides something from a reader, or ends a line and forges the next one.
"""

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

FORGED = "dovetail: FORGED"
ACTS = f"\x1b[31mred\x1b]0;title\x07\x9b2J\x00\x08\u202eleft\u2066\u200f\u061c\U000e0041\u2028\u0085\r\n{FORGED}\r"
PREFIX = "io.modelcontextprotocol/"
OVER_HTTP = sys.argv[1:2] == ["http"]
#: Results that wait for a question to be answered.
HELD: list[dict[str, Any]] = []
SCHEMA = {"type": "object", "properties": {f"p{ACTS}": {"type": f"t{ACTS}", "description": ACTS}}}
TOOLS = [
    {"name": f"plain{ACTS}", "title": ACTS, "description": ACTS, "inputSchema": SCHEMA},
    {"name": "fails", "description": ACTS, "inputSchema": {"type": "object"}},
    {"name": "refuses", "inputSchema": {"type": "object"}},
    {"name": "asks", "inputSchema": {"type": "object"}},
    {"name": "talks", "inputSchema": {"type": "object"}},
    {"name": "long", "inputSchema": {"type": "object"}},
    {
        "name": "promises",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {ACTS: {"pattern": f"({ACTS}"}}},
    },
    {
        "name": f"mirrors{ACTS}",
        "inputSchema": {
            "type": "object",
            "properties": {f"path{ACTS}": {"type": "string", "x-mcp-header": f"h{ACTS}"}},
        },
    },
    {"name": f"broken{ACTS}", "inputSchema": ACTS, "annotations": ACTS},
]
FORM = {
    "mode": "form",
    "message": f"who?{ACTS}",
    "requestedSchema": {
        "type": "object",
        "properties": {
            f"name{ACTS}": {"type": "string", "title": ACTS, "description": ACTS},
            "colour": {"type": "string", "enum": [f"red{ACTS}"], "enumNames": [f"Red{ACTS}"]},
        },
        "required": [f"name{ACTS}"],
    },
}
LISTS: dict[str, tuple[str, list[Any]]] = {
    "tools/list": ("tools", TOOLS),
    "resources/list": (
        "resources",
        [{"uri": f"x://{ACTS}", "name": ACTS, "title": ACTS, "description": ACTS, "mimeType": ACTS}],
    ),
    "resources/templates/list": (
        "resourceTemplates",
        [{"uriTemplate": f"x://{{a}}{ACTS}", "name": ACTS, "description": ACTS, "mimeType": ACTS}],
    ),
    "prompts/list": (
        "prompts",
        [{"name": f"say{ACTS}", "title": ACTS, "description": ACTS, "arguments": [{"name": ACTS}]}],
    ),
}


def call(id: Any, params: dict[str, Any], *, modern: bool) -> Iterator[dict[str, Any]]:
    """Run a tool."""
    name, token = params["name"], params.get("_meta", {}).get("progressToken")
    text = {"content": [{"type": "text", "text": f"said{ACTS}"}], "resultType": "complete"}
    if name == "refuses":
        yield {"id": id, "error": {"code": -32000, "message": f"no{ACTS}", "data": {ACTS: [ACTS]}}}
    elif name == "long":
        yield {"id": id, "error": {"code": -32000, "message": "x" * 3_000_000, "data": "y" * 3_000_000}}
    elif name == "asks" and modern and "inputResponses" not in params:
        asked = {f"k{ACTS}": {"method": "elicitation/create", "params": FORM}}
        yield {"id": id, "result": {"resultType": "input_required", "inputRequests": asked}}
    elif name == "asks" and not modern:
        yield {"id": f"q{ACTS}", "method": "elicitation/create", "params": FORM}
        if OVER_HTTP:
            yield {"id": id, "result": text}
        else:
            HELD.append({"id": id, "result": text})
    elif name == "talks":
        yield {"method": "notifications/message", "params": {"level": "error", "logger": ACTS, "data": ACTS}}
        yield {"method": "notifications/message", "params": {"level": "error", "data": {ACTS: [ACTS]}}}
        told = {"progressToken": token, "progress": 1, "total": 2, "message": ACTS}
        yield {"method": "notifications/progress", "params": told}
        yield {"method": f"acme/{ACTS}", "params": {ACTS: ACTS}}
        yield {"method": "notifications/message", "params": {"level": ACTS, "data": 1}}
        yield {"method": "notifications/cancelled", "params": {"requestId": ACTS, "reason": ACTS}}
        yield {"id": f"q{ACTS}", "method": f"acme/{ACTS}"}
        yield {"id": f"nobody{ACTS}", "result": {}}
        yield {"id": id, "result": text}
    elif name == "promises":
        yield {"id": id, "result": {**text, "structuredContent": {ACTS: ACTS}}}
    else:
        yield {"id": id, "result": {**text, "isError": name == "fails"}}


def answers(message: dict[str, Any], revision: str) -> Iterator[dict[str, Any]]:
    """All that is sent because of a message."""
    id, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if method is None and HELD:  # the question was answered
        yield HELD.pop()
    if id is None or method is None:
        return
    modern = PREFIX + "protocolVersion" in params.get("_meta", {})
    info = {"name": f"shouts{ACTS}", "version": f"1{ACTS}", "title": ACTS}
    offered = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "logging": {}}
    kept = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    if revision == "odd":
        yield {"id": id, "error": {"code": -32022, "message": ACTS, "data": {"supported": [ACTS]}}}
    elif method == "initialize" and not modern:
        settled = {"protocolVersion": revision, "capabilities": offered, "serverInfo": info}
        yield {"id": id, "result": {**settled, "instructions": ACTS}}
    elif revision < "2026" and modern:
        yield {"id": id, "error": {"code": -32601, "message": f"no such method{ACTS}"}}
    elif method == "server/discover":
        known = {"supportedVersions": [revision, ACTS], "capabilities": offered, "instructions": ACTS}
        yield {"id": id, "result": {**kept, **known, "_meta": {PREFIX + "serverInfo": info}}}
    elif method == "tools/call":
        yield from call(id, params, modern=modern)
    elif method in LISTS:
        member, items = LISTS[method]
        yield {"id": id, "result": {**kept, member: items}}
    elif method == "prompts/get":
        said = [{"role": "user", "content": {"type": "text", "text": ACTS}}]
        yield {"id": id, "result": {**kept, "description": ACTS, "messages": said}}
    elif method == "resources/read":
        blob = {"uri": f"x://{ACTS}", "mimeType": ACTS, "blob": "AAAA"}
        yield {"id": id, "result": {**kept, "contents": [{"uri": f"x://{ACTS}", "text": ACTS}, blob]}}
    elif method == "completion/complete":
        yield {"id": id, "result": {**kept, "completion": {"values": [ACTS], "total": 2, "hasMore": True}}}
    elif method == "logging/setLevel":
        yield {"id": id, "result": {}}
    else:
        yield {"id": id, "error": {"code": -32601, "message": f"unknown{ACTS}"}}


def over_stdio(revision: str) -> None:
    """Serve on standard input and output; standard error is shouted at, too."""
    while line := sys.stdin.buffer.readline():
        shouted = ACTS.replace("\r\n", "").replace(FORGED, "")
        sys.stderr.write(f"stderr {shouted}\n")
        sys.stderr.flush()
        for each in answers(json.loads(line), revision):
            sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **each}).encode() + b"\n")
        sys.stdout.buffer.write(f"no message {shouted}\n".encode())
        sys.stdout.buffer.flush()


def over_http(revision: str) -> None:
    """Serve over HTTP on a port that is printed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            events = list(answers(message, revision))
            shout = revision == "odd" or message.get("params", {}).get("name") == "status"
            body = "".join(f"data: {json.dumps({'jsonrpc': '2.0', **each})}\n\n" for each in events).encode()
            if shout:
                body = ACTS.encode()
            kind = "text/plain" if shout else "text/event-stream"
            self.send_response(500 if shout else 200 if events else 202)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body) if events or shout else 0))
            self.end_headers()
            if events or shout:
                self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_response(405)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    {"stdio": over_stdio, "http": over_http}[sys.argv[1]](sys.argv[2])
