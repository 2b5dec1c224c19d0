"""A server of the stateful era over stdio, in raw JSON. Arguments: the revision, then switches.

Switches: ``silent`` ignores what it does not know, ``strict`` exits when it meets a request before initialize.
"""

import json
import os
import signal
import sys
import time
from typing import Any

import wire

REVISION = sys.argv[1]
SWITCHES = set(sys.argv[2:])
OPEN: dict[Any, Any] = {}
STATE: dict[str, Any] = {"ready": False, "seen": [], "cancelled": [], "asked": 0}

FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


def tool(name: str, **members: Any) -> dict[str, Any]:
    """A tool without arguments."""
    return {"name": name, "inputSchema": {"type": "object"}, **members}


def ask(method: str, params: dict[str, Any], call: Any) -> None:
    """Ask the client; the answer ends the call."""
    STATE["asked"] += 1
    id = f"q{STATE['asked']}"
    OPEN[id] = call
    wire.send({"id": id, "method": method, "params": params})


def initialize(message: dict[str, Any]) -> None:
    """Agree on a revision."""
    STATE["client"] = message["params"]
    capabilities = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {},
        "logging": {},
    }
    if REVISION != "2024-11-05":
        capabilities["completions"] = {}
    wire.result(
        message["id"],
        protocolVersion=REVISION,
        capabilities=capabilities,
        serverInfo={"name": "raw", "version": "1"},
        instructions="be kind",
    )


def call(message: dict[str, Any]) -> None:
    """Run a tool."""
    id, params = message["id"], message["params"]
    name, arguments = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        wire.result(id, **wire.text(arguments["text"]))
    elif name == "fail":
        wire.result(id, **wire.text("it broke", isError=True))
    elif name == "state":
        wire.result(id, **wire.text(json.dumps(STATE)))
    elif name == "meta":
        wire.result(id, **wire.text(json.dumps(params.get("_meta", {}))))
    elif name == "hang":
        OPEN[id] = "hang"
    elif name == "slow":
        for step in range(arguments["steps"]):
            time.sleep(arguments["pause"])
            wire.notify("notifications/progress", progressToken=token, progress=step + 1)
        wire.result(id, **wire.text("done"))
    elif name == "die":
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    elif not asking(name, arguments, id):
        quick(name, id)


def asking(name: str, arguments: dict[str, Any], id: Any) -> bool:
    """Run a tool that asks the client."""
    if name == "forms":
        ask("elicitation/create", {"message": "who?", "requestedSchema": FORM}, id)
    elif name == "visit":
        params = {"mode": "url", "message": "go", "url": arguments["url"], "elicitationId": "e1"}
        ask("elicitation/create", params, id)
    elif name == "sample":
        content = {"type": "text", "text": "hi"}
        given = {"messages": [{"role": "user", "content": content}], "maxTokens": 10, **arguments}
        ask("sampling/createMessage", given, id)
    elif name == "folders":
        ask("roots/list", {}, id)
    elif name == "unknown":
        ask("acme/ask", {}, id)
    else:
        return False
    return True


def quick(name: str, id: Any) -> None:
    """Run a tool that needs no arguments."""
    if name == "log":
        wire.notify("notifications/message", level="info", data={"n": 1}, logger="raw")
        wire.result(id, **wire.text("logged"))
    elif name == "change":
        wire.notify("notifications/tools/list_changed")
        wire.notify("notifications/resources/updated", uri="raw://a")
        wire.result(id, **wire.text("changed"))
    elif name == "gate":
        if STATE.get("visited"):
            wire.result(id, **wire.text("welcome"))
        else:
            STATE["visited"] = True
            visit = {"mode": "url", "message": "pay", "url": "https://example.com/pay", "elicitationId": "e9"}
            wire.error(id, -32042, "visit first", {"elicitations": [visit]})
            wire.notify("notifications/elicitation/complete", elicitationId="e9")
    elif name == "bad-output":
        wire.result(id, **wire.text("x", structuredContent={"n": "no number"}))
    elif name == "good-output":
        wire.result(id, **wire.text('{"n": 1}', structuredContent={"n": 1}))
    else:
        wire.error(id, -32602, f"Unknown tool: {name}")


def listing(message: dict[str, Any]) -> None:
    """Tools in two pages; the cursor of the second is empty."""
    output = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    schemas = {} if REVISION < "2025-06-18" else {"outputSchema": output}
    cursor = message.get("params", {}).get("cursor")
    if "circle" in SWITCHES:
        wire.result(message["id"], tools=[], nextCursor="again")
    elif cursor is None:
        first = [tool("echo", **({"x-new": {"deep": 1}} if "newer" in SWITCHES else {}))]
        wire.result(message["id"], tools=first, nextCursor="")
    else:
        wire.result(message["id"], tools=[tool("bad-output", **schemas), tool("good-output", **schemas)])


def answered(message: dict[str, Any]) -> None:
    """The client answered a question: show the answer as the result of the call."""
    shown = message.get("result", message.get("error"))
    wire.result(OPEN.pop(message["id"]), **wire.text(json.dumps(shown)))


def request(message: dict[str, Any]) -> None:
    """Answer one request."""
    method, id = message["method"], message["id"]
    if method == "initialize":
        initialize(message)
    elif method == "ping":
        wire.result(id)
    elif not STATE["ready"] and "strict" in SWITCHES:
        sys.exit(3)
    elif method == "tools/call":
        call(message)
    elif method == "tools/list":
        listing(message)
    elif method == "resources/list":
        wire.result(id, resources=[{"uri": "raw://a", "name": "a"}])
    elif method == "resources/templates/list":
        wire.result(id, resourceTemplates=[{"uriTemplate": "raw://{x}", "name": "x"}])
    elif method == "resources/read":
        wire.result(id, contents=[{"uri": message["params"]["uri"], "text": "A"}])
    elif method in ("resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
        STATE["seen"].append([method, message["params"]])
        wire.result(id)
    elif method == "prompts/list":
        wire.result(id, prompts=[{"name": "p"}])
    elif method == "prompts/get":
        wire.result(id, messages=[{"role": "user", "content": {"type": "text", "text": "P"}}])
    elif method == "completion/complete":
        wire.result(id, completion={"values": ["one", "two"]})
    elif "silent" not in SWITCHES:
        wire.error(id, -32601, "Method not found")


def main() -> None:
    """Serve until the input ends."""
    while (message := wire.read()) is not None:
        method = message.get("method")
        if method is None:
            answered(message)
        elif "id" in message:
            request(message)
        elif method == "notifications/initialized":
            STATE["ready"] = True
        elif method == "notifications/cancelled":
            STATE["cancelled"].append(message["params"])
        else:
            STATE["seen"].append([method, message.get("params")])


main()
