"""What the raw servers share: reading and writing JSON lines, nothing of ours imported."""

import json
import sys
from typing import Any


def read() -> dict[str, Any] | None:
    """The next message, or None at the end of input."""
    line = sys.stdin.buffer.readline()
    return json.loads(line) if line else None


def send(message: dict[str, Any]) -> None:
    """Write one message."""
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    sys.stdout.buffer.flush()


def result(id: Any, **members: Any) -> None:
    """Answer with a result."""
    send({"id": id, "result": members})


def error(id: Any, code: int, message: str, data: Any = None) -> None:
    """Answer with an error."""
    send({"id": id, "error": {"code": code, "message": message, **({} if data is None else {"data": data})}})


def notify(method: str, **params: Any) -> None:
    """Send a notification."""
    send({"method": method, "params": params})


def text(words: str, **members: Any) -> dict[str, Any]:
    """A tool result that is text."""
    return {"content": [{"type": "text", "text": words}], **members}
