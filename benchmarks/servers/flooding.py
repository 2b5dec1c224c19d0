"""A server on a pipe that says a lot on request: `python benchmarks/servers/flooding.py`. It needs nothing installed.

Three tools. ``echo`` gives back its text; ``flood`` sends ``count`` log messages, then its result; ``wait`` takes a
second. It is written on lines alone, so that what is measured is who looks at it.

Follows: 2025-11-25, basic/lifecycle, server/tools, server/utilities/logging.
"""

import json
import sys
import time
from typing import Any

INPUTS: dict[str, dict[str, Any]] = {
    "echo": {"text": {"type": "string", "default": "hello"}},
    "flood": {"count": {"type": "integer", "default": 10000}},
    "wait": {},
}
TOOLS = [
    {
        "name": name,
        "description": f"The tool {name}.",
        "inputSchema": {"type": "object", "properties": members},
    }
    for name, members in INPUTS.items()
]


def send(message: dict[str, Any]) -> None:
    """A line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def called(name: str, arguments: dict[str, Any]) -> str:
    """What a tool says."""
    if name == "flood":
        for n in range(int(arguments.get("count", 10000))):
            send({"method": "notifications/message", "params": {"level": "info", "data": f"message {n}"}})
        return "flooded"
    if name == "wait":
        time.sleep(1)
    return str(arguments.get("text", "done"))


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        params = message.get("params", {})
        result: dict[str, Any] = {}
        if message["method"] == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "flooding", "version": "1"},
            }
        elif message["method"] == "tools/list":
            result = {"tools": TOOLS}
        elif message["method"] == "tools/call":
            result = {
                "content": [{"type": "text", "text": called(params["name"], params.get("arguments", {}))}]
            }
        elif message["method"] not in ("ping", "logging/setLevel"):
            send({"id": message["id"], "error": {"code": -32601, "message": "there is no such method"}})
            sys.stdout.flush()
            continue
        send({"id": message["id"], "result": result})
        sys.stdout.flush()


if __name__ == "__main__":
    main()
