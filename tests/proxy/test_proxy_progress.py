"""Progress through proxies and gateways, as it stands on the caller's wire: what grows under one token, and no more."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context
from dovetail.gateway import Gateway
from dovetail.proxy import proxy_app
from wire_of_server import Wire
from wires import Connect

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
ASKED = {"elicitation": {"form": {}}}


def builder() -> App:
    """Its tool says how far it is before it asks, and goes on from there: so it says some of it in each round."""
    app = App("builder")

    @app.tool
    async def build(ctx: Context) -> str:
        for part in (1, 2):
            await ctx.progress(part, 4)
        await ctx.log("warning", "asking")
        name = await ctx.elicit("whose?", str)
        for part in (2.5, 4):
            await ctx.progress(part, 4)
        return f"built for {name}"

    return app


def through_proxy() -> App:
    return proxy_app(builder(), revision=STATELESS)


def through_gateway() -> App:
    return Gateway({"it": Client(builder(), revision=STATELESS)}, bare_names=True).app


async def heard(wire: Wire, call: dict[str, Any], token: Any) -> tuple[str, list[float], list[Any]]:
    """The result of a call whose questions are answered; the progress under its token; and what was logged."""
    answer = await wire.start("it", "tools/call", call, meta={"progressToken": token})
    told: list[float] = []
    logged: list[Any] = []
    while not answer.done() or not wire.inbox.empty():
        message = await wire.next()
        params = message.get("params", {})
        if message["method"] == "elicitation/create":
            given = {"action": "accept", "content": {"value": "Ada"}}
            await wire.send({"jsonrpc": "2.0", "id": message["id"], "result": given})
            await answer
        elif message["method"] == "notifications/progress":
            assert params["progressToken"] == token
            told.append(params["progress"])
        elif message["method"] == "notifications/message":
            logged.append(params["data"])
    result = await answer
    assert "result" in result, result
    return result["result"]["content"][0]["text"], told, logged


@pytest.mark.requirement("R2511-PROGRESS-004", "R2607-PROGRESS-005")
@pytest.mark.parametrize("front", [through_proxy, through_gateway])
@pytest.mark.parametrize("ours", ["2025-06-18", STATEFUL])
async def test_progress_grows_though_the_upstream_begins_anew(
    front: Callable[[], App], ours: str, connect: Connect
) -> None:
    """A stateless upstream that asked is called again, and begins anew: for the caller it is one request. What it logs
    it logs in each of its runs, and that is told.
    """
    wire = await connect(front(), ours, ASKED)
    await wire.result("logging/setLevel", {"level": "warning"})
    said, told, logged = await heard(wire, {"name": "build", "arguments": {}}, "one")
    assert said == "built for Ada"
    assert told == [1, 2, 2.5, 4]
    assert logged == ["asking", "asking"]


@pytest.mark.requirement("R2511-PROGRESS-004", "R2607-PROGRESS-005")
async def test_a_parked_call_tells_its_progress_under_the_token_of_each_request(connect: Connect) -> None:
    """It goes on under that of the request which brings the answers."""
    upstream = App("upstream")

    @upstream.tool
    async def count(ctx: Context) -> str:
        await ctx.progress(3)
        await ctx.elicit("on?", str)
        await ctx.progress(4)
        return "counted"

    wire = await connect(proxy_app(upstream, revision=STATEFUL), STATELESS, ASKED)
    call: dict[str, Any] = {"name": "count", "arguments": {}}
    asked = await wire.result("tools/call", call, meta={"progressToken": 1})
    (key,) = asked["inputRequests"]
    again = {
        "requestState": asked["requestState"],
        "inputResponses": {key: {"action": "accept", "content": {"value": "x"}}},
    }
    assert (await wire.result("tools/call", {**call, **again}, meta={"progressToken": 2}))["content"]
    told = [wire.inbox.get_nowait()["params"] for _ in range(wire.inbox.qsize())]
    assert [(each["progressToken"], each["progress"]) for each in told] == [(1, 3), (2, 4)]


@pytest.mark.hostile
@pytest.mark.parametrize("theirs", [STATEFUL, STATELESS])
@pytest.mark.requirement("R2511-PROGRESS-004", "R2607-PROGRESS-005")
async def test_what_an_upstream_tells_that_does_not_grow_is_not_passed_on(
    theirs: str, connect: Connect, tmp_path: Path
) -> None:
    """An upstream that counts backwards is not repeated."""
    path = tmp_path / "backwards.py"
    path.write_text(BACKWARDS)
    wire = await connect(proxy_app([sys.executable, str(path)], revision=theirs), STATEFUL)
    answer = await wire.request("tools/call", {"name": "any", "arguments": {}}, meta={"progressToken": "t"})
    assert "result" in answer, json.dumps(answer)
    told = [wire.inbox.get_nowait()["params"]["progress"] for _ in range(wire.inbox.qsize())]
    assert told == [5, 6]


BACKWARDS = """
import json, sys

def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()

for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    kept = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    if method == "initialize":
        say({"id": id, "result": {"protocolVersion": asked["params"]["protocolVersion"],
             "capabilities": {"tools": {}}, "serverInfo": {"name": "backwards", "version": "1"}}})
    elif method == "server/discover":
        say({"id": id, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **kept}})
    elif method == "tools/list":
        say({"id": id, "result": {"tools": [{"name": "any", "inputSchema": {"type": "object"}}], **kept}})
    elif method == "tools/call":
        token = asked["params"]["_meta"]["progressToken"]
        for progress in (5, 5, 4, -1, 6):
            say({"method": "notifications/progress", "params": {"progressToken": token, "progress": progress}})
        say({"id": id, "result": {"content": [], "resultType": "complete"}})
"""
