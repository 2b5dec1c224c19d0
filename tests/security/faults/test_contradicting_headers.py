"""Headers that say something else than the body, in each revision: what a gateway lets pass by its headers is not
something else once it is inside.

Only since 2026-07-28 these headers are required; whoever allows requests by them believes them in any revision. So one
that is there has to be true: 2026-07-28 basic/transports/streamable-http, "Server Validation".
"""

import base64
import json
from typing import Any

import pytest
from fault_wires import FIRST, STATELESS, HTTPTalk, OldTalk, call, notice, request, serving_kit

from dovetail import App
from dovetail.protocol.revisions import STATEFUL

CONTRADICTIONS: dict[str, tuple[bytes, dict[str, str]]] = {
    "another tool": (call("secret", 5), {"Mcp-Method": "tools/call", "Mcp-Name": "public"}),
    "another tool, its name alone": (call("secret", 5), {"Mcp-Name": "public"}),
    "another method": (call("secret", 5), {"Mcp-Method": "tools/list"}),
    "a method in other letters": (call("secret", 5), {"Mcp-Method": "TOOLS/CALL", "Mcp-Name": "secret"}),
    "another name, encoded": (
        call("secret", 5),
        {"Mcp-Name": f"=?base64?{base64.b64encode(b'public').decode()}?="},
    ),
    "a name that can't be decoded": (call("secret", 5), {"Mcp-Name": "=?base64?!?="}),
    "a name twice in the body": (
        b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"public","name":"secret","arguments":{}}}',
        {"Mcp-Name": "public"},
    ),
    "another resource": (
        request("resources/read", 5, {"uri": "notes://secret"}),
        {"Mcp-Method": "resources/read", "Mcp-Name": "notes://public"},
    ),
    "a request that steers": (request("ping", 5), {"Mcp-Method": "tools/list"}),
}


def notes() -> tuple[App, list[str]]:
    """An app that says what of it ran."""
    app = App("doors")
    ran: list[str] = []

    @app.tool
    async def secret() -> str:
        ran.append("tool")
        return "told"

    @app.tool
    async def public() -> str:
        return "told"

    @app.resource("notes://secret")
    async def note() -> str:
        ran.append("resource")
        return "told"

    return app, ran


@pytest.mark.parametrize("why", CONTRADICTIONS)
@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_contradiction_is_refused_in_every_revision(revision: str, why: str, unwatched: None) -> None:
    app, ran = notes()
    body, headers = CONTRADICTIONS[why]
    async with serving_kit.serving(app.asgi(http_sse=True)) as port:
        talk = HTTPTalk(port)
        talk.revision = revision
        await talk.open()
        refused = await talk.prober.send("POST", body, headers)
        assert refused.status == 400, refused
        problem = json.loads(refused.body)
        assert problem["id"] == 5
        assert problem["error"]["code"] == -32600
        assert "Header mismatch" in problem["error"]["message"]
        assert not ran
        # What is said truly, or not at all, goes on as ever.
        fine = await talk.prober.send(
            "POST", call("secret", 6), {"Mcp-Method": "tools/call", "Mcp-Name": "secret"}
        )
        assert (fine.status, json.loads(fine.body)["result"]["content"][0]["text"]) == (200, "told")
        await talk.close()


@pytest.mark.parametrize("why", CONTRADICTIONS)
async def test_a_contradiction_is_refused_on_the_transport_of_2024(why: str, unwatched: None) -> None:
    app, ran = notes()
    body, headers = CONTRADICTIONS[why]
    async with serving_kit.serving(app.asgi(http_sse=True)) as port:
        talk = OldTalk(port)
        await (await talk.connect()).open()
        assert talk.revision == FIRST
        refused = await talk.prober.send("POST", body, headers, path=talk.path)
        assert refused.status == 400, refused
        assert "Header mismatch" in json.loads(refused.body)["error"]["message"]
        assert talk.inbox.empty()
        assert not ran
        assert (await talk.answer(call("secret", 6)))["result"]["content"][0]["text"] == "told"
        await talk.close()


async def test_a_handshake_is_not_smuggled_in_as_something_else() -> None:
    app, _ = notes()
    async with serving_kit.serving(app.asgi()) as port:
        talk = HTTPTalk(port)
        params = {
            "protocolVersion": STATEFUL[-1],
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        }
        refused = await talk.prober.send("POST", request("initialize", 1, params), {"Mcp-Method": "ping"})
        assert refused.status == 400
        assert "mcp-session-id" not in refused.headers
        await talk.close()


async def test_each_message_of_a_batch_is_compared() -> None:
    app, ran = notes()
    async with serving_kit.serving(app.asgi()) as port:
        talk = HTTPTalk(port)
        talk.revision = "2025-03-26"
        await talk.open()
        batch = b"[" + call("public", 1) + b"," + call("secret", 2) + b"]"
        answer = await talk.prober.send("POST", batch, {"Mcp-Method": "tools/call", "Mcp-Name": "public"})
        told: dict[int, Any] = {each["id"]: each for each in json.loads(answer.body)}
        assert told[1]["result"]["content"][0]["text"] == "told"
        assert "Header mismatch" in told[2]["error"]["message"]
        assert not ran
        await talk.close()


@pytest.mark.parametrize("modern", [False, True])
async def test_a_notification_or_an_answer_is_not_passed_off_as_a_request(modern: bool) -> None:
    app, _ = notes()
    async with serving_kit.serving(app.asgi()) as port:
        talk = HTTPTalk(port)
        if not modern:
            await talk.open()
        extra = {"MCP-Protocol-Version": STATELESS, "Mcp-Session-Id": ""} if modern else {}
        for body in (
            notice("notifications/cancelled", {"requestId": 7}),
            notice("notifications/roots/list_changed"),
        ):
            refused = await talk.prober.send("POST", body, {"Mcp-Method": "tools/list", **extra})
            assert refused.status == 400, refused
        if not modern:
            answered = json.dumps({"jsonrpc": "2.0", "id": "s1", "result": {}}).encode()
            assert (
                await talk.prober.send("POST", answered, {"Mcp-Method": "tools/list", **extra})
            ).status == 400
        await talk.close()
