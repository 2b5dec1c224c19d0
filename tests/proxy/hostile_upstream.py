"""A server on stdio that does what no server may; what it does is the name of the tool that is called.

In the era that it is asked in; it does not read what it is answered.
"""

import json
import os
import sys
from typing import Any

PAGE: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}


def say(*messages: dict[str, Any]) -> None:
    sys.stdout.write("".join(json.dumps({"jsonrpc": "2.0", **each}) + "\n" for each in messages))
    sys.stdout.flush()


def result(id: Any, value: Any) -> None:
    say({"id": id, "result": value})


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "resultType": "complete"}


def flood(id: Any, token: Any) -> None:
    many, data = 3000, "flood" * 100
    for number in range(many):
        say(
            {
                "method": "notifications/progress",
                "params": {"progressToken": token, "progress": number, "message": data},
            },
            {"method": "notifications/message", "params": {"level": "error", "data": data}},
            {"method": "notifications/tools/list_changed"},
        )
    result(id, text("flooded"))


held: list[Any] = []
WRONG: dict[str, Any] = {
    "number": 5,
    "large-number": 12345,
    "list": [1, 2, 3],
    "text": "hello there",
    "null": None,
    "content": {"content": 5, "resultType": "complete"},
    "meta": {"content": [], "_meta": 5, "resultType": "complete"},
    "kind": {"content": [], "resultType": "no such kind"},
    "asks": {"resultType": "input_required", "inputRequests": {"a": {"method": "x", "params": 7}}},
}
HEAD = '{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"hostile","version":"1"}},"resultType":"complete",'
#: Results as they are written: one that begins as those of good servers do, and one that says the same twice.
WRITTEN = {
    "stamped": HEAD + '"content":[]}',
    "stamped-twice": HEAD + '"content":[],"_meta":{"a":1},"resultType":"complete"}',
}


def call(id: Any, params: dict[str, Any]) -> None:
    name = params["name"]
    if name == "flood":
        flood(id, (params.get("_meta") or {}).get("progressToken", "none"))
    elif name == "twice":
        for said in ("first", "second", "third"):
            result(id, text(said))
    elif name == "other":
        for other in (id + 100_000, -1, None, [id]):
            result(other, text("of nobody"))
        result(id, text("its own"))
    elif name == "huge":
        result(id, text("x" * params["arguments"]["size"]))
    elif name == "hold":
        held.append(id)
    elif name == "held":
        result(id, text(str(len(held))))
    elif name == "die":
        os._exit(3)
    elif name == "pid":
        result(id, text(str(os.getpid())))
    elif name in WRITTEN:
        sys.stdout.write(f'{{"jsonrpc":"2.0","id":{json.dumps(id)},"result":{WRITTEN[name]}}}\n')
        sys.stdout.flush()
    elif name in WRONG:
        result(id, WRONG[name])


NAMES = ["flood", "twice", "other", "huge", "never", "hold", "held", "die", "pid", *WRITTEN, *WRONG]
for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    if method == "initialize":
        revision = asked["params"]["protocolVersion"]
        offers = {"tools": {"listChanged": True}, "logging": {}}
        server = {"name": "hostile", "version": "1"}
        result(id, {"protocolVersion": revision, "capabilities": offers, "serverInfo": server})
    elif method == "server/discover":
        result(id, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **PAGE})
    elif method == "tools/list":
        result(id, {"tools": [{"name": each, "inputSchema": {"type": "object"}} for each in NAMES], **PAGE})
    elif method == "tools/call":
        call(id, asked["params"])
    elif id is not None and method is not None:
        say({"id": id, "error": {"code": -32601, "message": "no"}})
