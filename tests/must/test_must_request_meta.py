"""What every request of the stateless era carries and what servers do about it; reserved keys; both over HTTP too."""

from typing import Any

import pytest
from must_peer import PREFIX, RawPeer, frames, full_app, parsed, post

from dovetail import App, Client, Context
from dovetail.protocol.revisions import REVISIONS, STATELESS

EVERY = pytest.mark.parametrize("revision", REVISIONS)
NEW = STATELESS[-1]
META = {PREFIX + "protocolVersion": NEW, PREFIX + "clientCapabilities": {}}
HANDLERS: dict[str, Any] = {
    "elicitation": lambda _: "Ann",
    "approve": lambda _: True,
    "sampling": lambda _: "hm",
    "sampling_tools": True,
    "roots": ["file:///a"],
}
DECLARED = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {"tools": {}},
    "roots": {},
}


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement(
    "R2607-SCHEMA-023",
    "R2607-COMPLETION-001",
    "R2607-PAGINATION-001",
    "R2607-PROMPTS-001",
    "R2607-RESOURCES-001",
    "R2607-TOOLS-001",
    "R2607-MRTR-002",
    "R2607-ROOTS-002",
    "R2607-SAMPLING-006",
    "R2607-ELICITATION-004",
    "R2607-ELICITATION-005",
    "R2511-ELICITATION-005",
    "R2607-DISCOVERY-002",
    "R2607-LIFECYCLE-037",
    "R2607-SCHEMA-026",
    "R2607-SCHEMA-044",
    "R2607-VERSIONING-001",
)
async def test_every_request_of_a_client_says_its_version_and_what_it_can_do(revision: str) -> None:
    app = full_app(page_size=1)
    with frames() as seen:
        async with Client(app, revision=revision, **HANDLERS) as client:
            await client.call_tool("name")
            assert len([tool async for tool in client.tools()]) > 1
            assert [each async for each in client.prompts()]
            assert [each async for each in client.resources()]
            assert [each async for each in client.resource_templates()]
            await client.read("note://today")
            await client.get_prompt("greet", {"name": "x"})
            await client.complete("greet", "name", "x")
            await client.ping()
            own = {"com.example/own": 1}
            await client.call_tool("add", {"a": 1, "b": 1}, meta=own, progress=lambda _: None)
            await client.list_tools(meta=own)
            await client.set_log_level("debug")
            await client.call_tool("talk")
            async with client.listen(tools=True):
                pass
    await app.service.stop()
    requests = [message for message in parsed(seen, "client") if "id" in message]
    assert {message["method"] for message in requests} >= {
        *("server/discover", "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list"),
        *("resources/templates/list", "resources/read", "completion/complete", "subscriptions/listen"),
    }
    for message in requests:
        meta = message["params"]["_meta"]
        assert meta[PREFIX + "protocolVersion"] == revision
        assert meta[PREFIX + "clientCapabilities"] == DECLARED
        assert meta[PREFIX + "clientInfo"]["name"]
    assert (
        len([message for message in requests if message["params"]["_meta"].get("com.example/own") == 1]) == 2
    )


@pytest.mark.hostile
@pytest.mark.parametrize("missing", list(META))
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call", "resources/read"])
@pytest.mark.requirement("R2607-SCHEMA-024", "R2607-SCHEMA-025")
async def test_a_request_that_lacks_a_field_is_invalid_and_over_http_a_400(method: str, missing: str) -> None:
    app = full_app()
    meta = {key: item for key, item in META.items() if key != missing}
    params: dict[str, Any] = {"_meta": meta}
    if method == "tools/call":
        params |= {"name": "add", "arguments": {"a": 1, "b": 1}}
    elif method == "resources/read":
        params |= {"uri": "note://today"}
    status, body = await post(app, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert status == 400
    assert body["error"]["code"] == -32602
    assert missing in body["error"]["message"]
    await app.service.stop()


@pytest.mark.parametrize(
    "tool, needed",
    [
        ("form", {"elicitation": {}}),
        ("visit", {"elicitation": {"url": {}}}),
        ("sample", {"sampling": {}}),
        ("tools", {"sampling": {"tools": {}}}),
        ("folders", {"roots": {}}),
    ],
)
@pytest.mark.requirement(
    "R2607-SCHEMA-028",
    "R2607-SCHEMA-053",
    "R2607-SCHEMA-027",
    "R2607-MRTR-017",
    "R2607-MRTR-018",
    "R2607-SAMPLING-005",
    "R2607-ELICITATION-006",
)
async def test_what_a_client_did_not_declare_is_named_in_an_error_that_is_a_400(
    tool: str, needed: Any
) -> None:
    app = App("asking")

    @app.tool
    async def form(ctx: Context) -> str:
        return await ctx.elicit("q", str)

    @app.tool
    async def visit(ctx: Context) -> None:
        await ctx.elicit_url("q", "https://example.com/")

    @app.tool
    async def sample(ctx: Context) -> str:
        return (await ctx.sample("q")).model

    @app.tool
    async def tools(ctx: Context) -> str:
        return (await ctx.sample("q", tools=[])).model

    @app.tool
    async def folders(ctx: Context) -> int:
        return len(await ctx.roots())

    # All the others are declared: the one that is missing is still missed.
    declared = {key: item for key, item in DECLARED.items() if key not in needed}
    if tool == "visit":
        declared["elicitation"] = {"form": {}}
    elif tool == "form":
        declared["elicitation"] = {"url": {}}
    elif tool == "tools":
        declared["sampling"] = {}
    meta = {**META, PREFIX + "clientCapabilities": declared}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "_meta": meta}}
    status, body = await post(app, request)
    assert status == 400
    assert body["error"]["code"] == -32021
    assert body["error"]["data"]["requiredCapabilities"] == needed
    whole = {**META, PREFIX + "clientCapabilities": DECLARED}
    status, body = await post(app, {**request, "params": {"name": tool, "_meta": whole}})
    assert status == 200
    assert body["result"]["resultType"] == "input_required"
    await app.service.stop()


@EVERY
@pytest.mark.requirement("R2511-SCHEMA-009", "R2607-SCHEMA-017", "R2607-SCHEMA-039")
async def test_values_under_reserved_keys_are_not_guessed_at(revision: str, connect: Any) -> None:
    app = App("reserved")

    @app.tool
    async def meta(ctx: Context) -> dict[str, Any]:
        return ctx.meta

    strange = {
        PREFIX + "unheardOf": [1, {"a": None}],
        "mcp.dev/x": 5,
        "com.mcp.tools/": {},
        "dev.modelcontextprotocol/y": True,
    }
    wire = await connect(app, revision)
    answer = await wire.result("tools/call", {"name": "meta"}, meta=strange)
    text = answer["content"][0]["text"]
    assert all(key in text for key in strange)

    def reply(peer: RawPeer, message: dict[str, Any]) -> None:
        peer.result(message["id"], content=[], _meta=strange)

    async with Client(RawPeer(reply, revision=revision), revision=revision) as client:
        assert (await client.call_tool("any")).meta == strange


@pytest.mark.hostile
@pytest.mark.parametrize(
    "meta",
    [
        {PREFIX + "protocolVersion": 5},
        {PREFIX + "protocolVersion": None},
        {PREFIX + "clientCapabilities": "all"},
        {PREFIX + "clientCapabilities": {"roots": 5}},
        {PREFIX + "clientInfo": {"name": 5}},
        {"progressToken": 1.5},
        {"progressToken": {}},
        {PREFIX + "logLevel": "loud"},
    ],
    ids=str,
)
@pytest.mark.requirement("R2607-SCHEMA-024")
async def test_a_field_of_the_wrong_type_is_invalid_params(meta: dict[str, Any]) -> None:
    app = full_app()
    params = {"name": "add", "arguments": {"a": 1, "b": 1}, "_meta": {**META, **meta}}
    status, body = await post(
        app, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, mcp_protocol_version=NEW
    )
    assert status in (200, 400)
    assert body["error"]["code"] in (-32602, -32020)
    await app.service.stop()
