"""A server of the stateless era over stdio, in raw JSON.

Arguments: the revisions it speaks, comma-separated, then switches.

Switches: ``slow-start`` ignores the first request, ``public`` lets descriptions be kept.
"""

import json
import os
import signal
import sys
from typing import Any

import wire

PREFIX = "io.modelcontextprotocol/"
REVISIONS = sys.argv[1].split(",")
SWITCHES = set(sys.argv[2:])
LISTENING: dict[Any, dict[str, Any]] = {}
STATE: dict[str, Any] = {"cancelled": [], "requests": [], "lists": 0, "rounds": 0, "listens": 0}

FORM = {
    "mode": "form",
    "message": "who?",
    "requestedSchema": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    },
}


def done(id: Any, **members: Any) -> None:
    """A complete result."""
    members.setdefault("resultType", "complete")
    wire.result(id, **members)


def keep(**members: Any) -> dict[str, Any]:
    """A result with the hints for caching."""
    public = "public" in SWITCHES
    return {"ttlMs": 60_000 if public else 0, "cacheScope": "public" if public else "private", **members}


def call(id: Any, params: dict[str, Any]) -> None:
    """Run a tool."""
    name, arguments = params["name"], params.get("arguments", {})
    token = params["_meta"].get("progressToken")
    if name == "echo":
        done(id, **wire.text(arguments["text"]))
    elif name == "bare":
        wire.result(id, **wire.text("no type"))
    elif name == "odd":
        done(id, resultType="acme", **wire.text("?"))
    elif name == "state":
        done(id, **wire.text(json.dumps(STATE)))
    elif name == "meta":
        done(id, **wire.text(json.dumps(params["_meta"])))
    elif name == "hang":
        pass
    elif name == "die":
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "progress":
        for step in range(3):
            wire.notify("notifications/progress", progressToken=token, progress=step + 1, total=3)
        done(id, **wire.text("done"))
    elif name == "change":
        for listener, wanted in LISTENING.items():
            meta = {PREFIX + "subscriptionId": listener}
            if wanted.get("toolsListChanged"):
                wire.notify("notifications/tools/list_changed", _meta=meta)
            for uri in wanted.get("resourceSubscriptions", []):
                wire.notify("notifications/resources/updated", uri=uri, _meta=meta)
        done(id, **wire.text("changed"))
    elif name in ("tell", "tell-tools"):
        tell(name, params)
        done(id, **wire.text("told"))
    elif name == "end":
        for listener in list(LISTENING):
            meta = {PREFIX + "subscriptionId": listener}
            if "cancels" in SWITCHES:
                wire.notify("notifications/cancelled", requestId=listener)
            done(listener, _meta=meta)
            del LISTENING[listener]
        done(id, **wire.text("ended"))
    else:
        rounds(id, name, params)


def tell(name: str, params: dict[str, Any]) -> None:
    """Tell every listener of a change, whether it asked for it or not."""
    for listener in LISTENING:
        meta = {PREFIX + "subscriptionId": listener}
        if name == "tell":
            wire.notify("notifications/resources/updated", uri=params["arguments"]["uri"], _meta=meta)
        else:
            wire.notify("notifications/tools/list_changed", _meta=meta)


def rounds(id: Any, name: str, params: dict[str, Any]) -> None:
    """Run a tool that asks."""
    answers, state = params.get("inputResponses"), params.get("requestState")
    if name == "ask":
        if answers is None:
            asked = {"who": {"method": "elicitation/create", "params": FORM}}
            done(id, resultType="input_required", inputRequests=asked, requestState="s=1")
        else:
            done(id, **wire.text(json.dumps({"answers": answers, "state": state, "id": id})))
    elif name == "stateful-less":
        if answers is None:
            asked = {"folders": {"method": "roots/list"}}
            done(id, resultType="input_required", inputRequests=asked)
        else:
            done(id, **wire.text(json.dumps(sorted(params))))
    elif name == "state-only":
        STATE["rounds"] += 1
        if STATE["rounds"] < 3:
            done(id, resultType="input_required", requestState=f"round {STATE['rounds']}")
        else:
            done(id, **wire.text(str(state)))
    elif name == "endless":
        STATE["rounds"] += 1
        asked = {"who": {"method": "elicitation/create", "params": FORM}}
        done(id, resultType="input_required", inputRequests=asked)
    elif name == "sample":
        content = {"type": "text", "text": "hi"}
        given = {"messages": [{"role": "user", "content": content}], "maxTokens": 10}
        if answers is None:
            asked = {"s": {"method": "sampling/createMessage", "params": given}}
            done(id, resultType="input_required", inputRequests=asked)
        else:
            done(id, **wire.text(json.dumps(answers)))
    elif name == "nothing":
        done(id, resultType="input_required")
    else:
        wire.error(id, -32602, f"Unknown tool: {name}")


def request(message: dict[str, Any]) -> None:
    """Judge and answer one request."""
    id, method, params = message["id"], message["method"], message.get("params", {})
    meta = params.get("_meta", {})
    STATE["requests"].append(method)
    if "slow-start" in SWITCHES and len(STATE["requests"]) == 1:
        return
    revision = meta.get(PREFIX + "protocolVersion")
    if revision is None or (method == "initialize"):
        wire.error(id, -32601, "there is no such method")
    elif revision not in REVISIONS:
        wire.error(id, -32022, "unsupported", {"supported": REVISIONS, "requested": revision})
    elif PREFIX + "clientCapabilities" not in meta:
        wire.error(id, -32602, "no capabilities")
    elif method == "server/discover":
        capabilities = {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True},
            "prompts": {},
            "completions": {},
        }
        info = {PREFIX + "serverInfo": {"name": "raw", "version": "2"}}
        done(id, **keep(supportedVersions=REVISIONS, capabilities=capabilities, _meta=info))
    elif method == "tools/call":
        call(id, params)
    elif method == "tools/list":
        STATE["lists"] += 1
        if "asking-list" in SWITCHES:
            done(id, resultType="input_required", requestState="no")
        else:
            done(id, **keep(tools=[{"name": f"t{STATE['lists']}", "inputSchema": {"type": "object"}}]))
    elif method == "resources/read":
        done(id, **keep(contents=[{"uri": params["uri"], "text": "A"}]))
    elif method == "prompts/get":
        done(id, messages=[{"role": "user", "content": {"type": "text", "text": "P"}}])
    elif method == "completion/complete":
        done(id, completion={"values": ["one"]})
    elif method == "subscriptions/listen":
        STATE["listens"] += 1
        LISTENING[id] = params["notifications"]
        honoured = {key: item for key, item in params["notifications"].items() if key != "promptsListChanged"}
        acknowledged = {PREFIX + "subscriptionId": id}
        if "mute" not in SWITCHES:
            wire.notify(
                "notifications/subscriptions/acknowledged", notifications=honoured, _meta=acknowledged
            )
    else:
        wire.error(id, -32601, "there is no such method")


def main() -> None:
    """Serve until the input ends."""
    while (message := wire.read()) is not None:
        if "id" in message and "method" in message:
            request(message)
        elif message.get("method") == "notifications/cancelled":
            STATE["cancelled"].append(message["params"])
            LISTENING.pop(message["params"]["requestId"], None)
        elif "method" not in message:
            STATE["cancelled"].append("a response, which no client of this era writes")


main()
