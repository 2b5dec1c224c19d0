"""A server on a pipe whose every word attacks whoever shows it. `python hostile_server.py [TOOLS]`: so many more
tools that are harmless.
"""

import json
import sys
from typing import Any

SCRIPT = "<script>window.ran=1</script><img src=x onerror=window.ran=2><svg/onload=window.ran=3>"
MARKUP = f"{SCRIPT}\u202e\u0000\x1b[2J\x1b]8;;http://192.0.2.1/\x07](javascript:window.ran=4) {{{{7*7}}}}"
ADDRESSES = [
    *(
        "javascript:window.ran=5",
        "JaVaScRiPt:window.ran=5",
        "java\tscript:window.ran=5",
        "\x01javascript:window.ran=5",
    ),
    *(
        "data:text/html,<script>window.ran=6</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:x",
        "//192.0.2.1/x",
    ),
    *(
        "http://user:pass@192.0.2.1/",
        "http://192.0.2.1/\u202egnp.exe",
        "https://xn--80ak6aa92e.example/",
        "",
        "\u0000",
    ),
]
POLLUTION: dict[str, Any] = {
    "__proto__": {"ran": 1},
    "constructor": {"prototype": {"ran": 1}},
    "toString": 1,
    "length": -1,
}
PICTURE = "PHN2ZyBvbmxvYWQ9IndpbmRvdy5yYW49NyIgeG1sbnM9Imh0dHA6Ly93d3cudzMub3JnLzIwMDAvc3ZnIi8+"
SCHEMAS: dict[str, Any] = {
    "polluting": {
        "type": "object",
        "required": ["__proto__", "constructor", 5],
        "properties": {
            "__proto__": {"type": "object", "properties": {"ran": {"default": 1}}},
            "constructor": {"type": "string", "default": SCRIPT},
            "hasOwnProperty": {"enum": [SCRIPT, None, {}, []]},
        },
        "default": POLLUTION,
    },
    "cycle": {
        "$ref": "#/$defs/a",
        "type": "object",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "properties": {"a": {"$ref": "#/$defs/a"}, "self": {"$ref": "#"}, "all": {"allOf": [{"$ref": "#"}]}},
    },
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(10_000)}},
    "patterns": {
        "type": "object",
        "properties": {
            f"p{n}": {"type": "string", "pattern": each, "default": "a" * 40 + "!"}
            for n, each in enumerate(
                ["^(a+)+$", "(a|a)*$", "(.*)*x", "^a*a*a*a*a*a*a*a*$", "(?=(a+))+b", "[", "\\"]
            )
        },
    },
    "fan": {
        "type": "object",
        "$defs": {
            f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 4} if n < 30 else {"type": "string"}
            for n in range(31)
        },
        "properties": {"x": {"$ref": "#/$defs/d0"}},
    },
    "outside": {
        "type": "object",
        "properties": {"x": {"$ref": "http://192.0.2.1/schema.json"}, "y": {"$ref": "file:///etc/passwd"}},
    },
    "odd": {
        "type": ["object", 7],
        "properties": [],
        "required": "x",
        "title": [SCRIPT],
        "description": {"a": SCRIPT},
    },
}
HUGE = {"text": "w" * 10_000_000, "flat": 2_000_000}


def tool(name: str, schema: Any) -> dict[str, Any]:
    """A tool with a schema."""
    icons = [
        {"src": each, "mimeType": "image/svg+xml"}
        for each in (*ADDRESSES, f"data:image/svg+xml;base64,{PICTURE}")
    ]
    return {
        "name": name,
        "title": MARKUP,
        "description": MARKUP + " ".join(ADDRESSES),
        "icons": icons,
        "annotations": {"title": MARKUP, **POLLUTION},
        "inputSchema": schema,
        "_meta": {"ui": {"resourceUri": "ui://x"}, **POLLUTION},
    }


TOOLS = [
    *(tool(name, schema) for name, schema in SCHEMAS.items()),
    *(tool(name, {"type": "object"}) for name in ("blocks", "huge", "flood", "ids", "structured", "ask")),
    tool(
        MARKUP,
        {"type": "object", "properties": {MARKUP: {"type": "string", "title": MARKUP, "default": MARKUP}}},
    ),
    tool("n" * 1_000_000, {"type": "object"}),
    *(
        {"name": f"tool-{n}", "inputSchema": {"type": "object"}}
        for n in range(int((*sys.argv, "0")[1]) if __name__ == "__main__" else 0)
    ),
]


def send(message: dict[str, Any]) -> None:
    """A line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def raw(data: bytes) -> None:
    """Bytes that are no message."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


def blocks() -> list[dict[str, Any]]:
    """Content of all kinds, none of them harmless."""
    found: list[dict[str, Any]] = [
        {"type": "text", "text": MARKUP, "annotations": {"audience": [SCRIPT], "priority": SCRIPT}}
    ]
    found += [
        {"type": "text", "text": f"[click]({each}) <a href='{each}'>x</a> ![x]({each})"} for each in ADDRESSES
    ]
    found += [
        {"type": "resource_link", "uri": each, "name": SCRIPT, "icons": [{"src": each}]} for each in ADDRESSES
    ]
    for kind in (
        "image/svg+xml",
        "text/html",
        "image/png",
        "image/png\r\nx: y",
        SCRIPT,
        "application/javascript",
    ):
        found += [
            {"type": "image", "data": PICTURE, "mimeType": kind},
            {"type": "audio", "data": PICTURE, "mimeType": kind},
        ]
        found.append(
            {"type": "resource", "resource": {"uri": ADDRESSES[0], "mimeType": kind, "blob": PICTURE}}
        )
        found.append({"type": "resource", "resource": {"uri": SCRIPT, "mimeType": kind, "text": SCRIPT}})
    return [
        *found,
        {"type": SCRIPT, "x": POLLUTION},
        {"type": "image", "data": "%%%", "mimeType": "image/png"},
    ]


def called(name: str, id: Any) -> dict[str, Any]:
    """What a tool does, and its result."""
    if name == "blocks":
        return {"content": blocks(), "_meta": POLLUTION}
    if name == "huge":
        return {
            "content": [{"type": "text", "text": HUGE["text"]}],
            "structuredContent": {"n": [0] * HUGE["flat"]},
        }
    if name == "structured":
        return {"content": [], "structuredContent": {**POLLUTION, MARKUP: MARKUP}}
    if name == "flood":
        for n in range(5000):
            send(
                {
                    "method": "notifications/message",
                    "params": {"level": "error", "logger": MARKUP, "data": {MARKUP: n}},
                }
            )
            send(
                {"method": "notifications/tools/list_changed"}
                if n % 500 == 0
                else {"method": MARKUP, "params": POLLUTION}
            )
        sys.stderr.write(f"{MARKUP}\x9b2J\r\n{'e' * 1_000_000}\n")
        sys.stderr.buffer.write(b"\xff\xfe\x00\n")
        sys.stderr.flush()
    if name == "ids":
        for each in (None, True, [], {}, 1e300, -1, "x" * 1_000_000, 2**70, POLLUTION):
            send({"id": each, "result": {}})
        for data in (
            b"\xff\xfe{}",
            b'{"jsonrpc":"2.0","id":1,"result":"\\ud800"}',
            b"[" * 100_000,
            b"null",
            b"{}",
            b"",
            b"1e999",
        ):
            raw(data)
        raw(
            b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":1e400,"data":'
            + b"9" * 5000
            + b"}}"
        )
    if name == "ask":
        send(
            {
                "id": "q1",
                "method": "elicitation/create",
                "params": {"message": MARKUP, "requestedSchema": SCHEMAS["polluting"]},
            }
        )
        for n, each in enumerate(ADDRESSES):
            asked = {"mode": "url", "url": each, "message": MARKUP, "elicitationId": f"e{n}"}
            send({"id": f"u{n}", "method": "elicitation/create", "params": asked})
        text = {"role": "user", "content": {"type": "text", "text": MARKUP}}
        asked = {"messages": [text], "maxTokens": 1, "systemPrompt": MARKUP, "metadata": POLLUTION}
        send({"id": "m1", "method": "sampling/createMessage", "params": asked})
    return {"content": [{"type": "text", "text": f"done {name[:20]}"}], "isError": True}


def result(message: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    params = message.get("params", {})
    match message["method"]:
        case "initialize":
            capabilities = {
                "tools": {"listChanged": True},
                "resources": {"subscribe": True},
                "prompts": {},
                "logging": {},
            }
            info = {
                "name": MARKUP,
                "version": MARKUP,
                "title": MARKUP,
                "websiteUrl": ADDRESSES[0],
                "icons": [{"src": "x"}],
            }
            said = {
                "capabilities": {**capabilities, "experimental": POLLUTION},
                "serverInfo": info,
                "instructions": MARKUP,
            }
            return {"protocolVersion": "2025-11-25", **said}
        case "tools/list":
            return {"tools": TOOLS}
        case "resources/list":
            return {"resources": [{"uri": each, "name": MARKUP, "description": MARKUP} for each in ADDRESSES]}
        case "resources/templates/list":
            templates = ("x://{__proto__}", "{+a}{?b*}" * 100, "x://{a", SCRIPT)
            return {"resourceTemplates": [{"uriTemplate": each, "name": MARKUP} for each in templates]}
        case "resources/read":
            return {"contents": [{"uri": params["uri"], "mimeType": "text/html", "text": SCRIPT}]}
        case "prompts/list":
            return {
                "prompts": [{"name": MARKUP, "arguments": [{"name": "__proto__", "description": MARKUP}]}]
            }
        case "prompts/get":
            return {"messages": [{"role": SCRIPT, "content": each} for each in blocks()[:3]]}
        case "tools/call":
            return called(params["name"], message["id"])
        case _:
            return {}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "method" in message and "id" in message:
            if message["method"] in ("server/discover",):
                send({"id": message["id"], "error": {"code": -32601, "message": MARKUP, "data": POLLUTION}})
            else:
                send({"id": message["id"], "result": result(message)})
            sys.stdout.flush()


if __name__ == "__main__":
    main()
