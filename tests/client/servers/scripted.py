"""A server of the stateful era over stdio that says what its argument tells it to, byte for byte.

The argument is a JSON object: for each method a list of answers, one for each request of it; the last one stays. An
answer is an object, which is the result, or a list of lines, written as they stand with ``$ID`` for the request's id
and ``$TOKEN`` for its progress token. The tool ``seen`` gives all requests that came, as JSON, and
``die`` ends the process.
"""

import json
import os
import signal
import sys
from typing import Any

import wire

SCRIPT: dict[str, list[Any]] = json.loads(sys.argv[1])
SEEN: list[dict[str, Any]] = []
CAPABILITIES = {
    "tools": {},
    "resources": {"subscribe": True},
    "prompts": {},
    "completions": {},
    "logging": {},
}


def answer(message: dict[str, Any]) -> None:
    """Answer one request as the script has it."""
    method, id, params = message["method"], message["id"], message.get("params", {})
    SEEN.append(message)
    answers = SCRIPT.get(method)
    if method == "tools/call" and params["name"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if answers:
        told = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(told, dict):
            wire.result(id, **told)
            return
        token = json.dumps(params.get("_meta", {}).get("progressToken"))
        for line in told:
            whole = line.replace("$ID", str(id)).replace("$TOKEN", token)
            sys.stdout.buffer.write(whole.encode() + b"\n")
        sys.stdout.buffer.flush()
    elif method == "initialize":
        info = {"name": "scripted", "version": "1"}
        wire.result(id, protocolVersion="2025-11-25", capabilities=CAPABILITIES, serverInfo=info)
    elif method == "tools/call" and params["name"] == "seen":
        wire.result(id, **wire.text(json.dumps(SEEN)))
    elif method == "completion/complete":
        wire.result(id, completion={"values": [params["ref"]["type"]]})
    elif method == "resources/read":
        wire.result(id, contents=[{"uri": params["uri"], "text": "A"}])
    elif method in ("ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
        wire.result(id)
    else:
        wire.error(id, -32601, "Method not found")


def main() -> None:
    """Serve until the input ends."""
    while (message := wire.read()) is not None:
        if "id" in message and "method" in message:
            answer(message)
        else:
            SEEN.append(message)


main()
