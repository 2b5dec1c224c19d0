"""Questions to the person, the model and the folders: what is asked, of whom, and what is made of the answer."""

import asyncio
import json
from typing import Any

import pytest
from must_peer import RawPeer, all_capabilities, frames

from dovetail import App, Client, Context, Declined, Dismissed, ElicitURL, ToolError, visit_first
from dovetail.protocol.errors import LocalProtocolError, URLElicitationRequired
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.protocol.types import (
    CreateMessageParams,
    SamplingMessage,
    TextContent,
    Tool,
    ToolResultContent,
    ToolUseContent,
)
from wire_of_server import Wire

FORMS = pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
MODES = pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-11-25"])
EVERY = pytest.mark.parametrize("revision", REVISIONS)
TEXT = TextContent(text="x")


async def asked(wire: Wire, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the client is asked by a tool: method and parameters."""
    params = {"name": tool, "arguments": arguments}
    if wire.stateless:
        (question,) = (await wire.result("tools/call", params))["inputRequests"].values()
        return question
    await wire.start(f"ask-{tool}", "tools/call", params)
    return await wire.next()


async def answered(wire: Wire, tool: str, reply: dict[str, Any]) -> dict[str, Any]:
    """The result of a tool that asks once."""
    if wire.stateless:
        first = await wire.result("tools/call", {"name": tool})
        (key,) = first["inputRequests"]
        again = {"name": tool, "inputResponses": {key: reply}, "requestState": first["requestState"]}
        return await wire.result("tools/call", again)
    answer = await wire.start("a", "tools/call", {"name": tool})
    question = await wire.next()
    await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": reply})
    return (await asyncio.wait_for(answer, 5))["result"]


def asking_app() -> App:
    app = App("asking")

    @app.tool
    async def form(ctx: Context) -> str:
        return await ctx.elicit("Your name?", str)

    @app.tool
    async def visit(ctx: Context, url: str = "https://example.com/a?b=c") -> str:
        await ctx.elicit_url("Log in", url)
        return "visited"

    @app.tool
    async def careful(ctx: Context) -> str:
        try:
            return await ctx.elicit("Your name?", str)
        except Declined:
            return "declined"
        except Dismissed:
            return "dismissed"

    @app.tool
    async def model(ctx: Context) -> str:
        return (await ctx.sample("Say something", max_tokens=7)).model

    return app


@FORMS
@pytest.mark.requirement(
    "R2511-ELICITATION-007",
    "R2511-ELICITATION-010",
    "R2607-ELICITATION-008",
    "R2607-ELICITATION-011",
)
async def test_a_form_has_message_mode_and_schema(revision: str, connect: Any) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    question = await asked(wire, "form")
    assert question["method"] == "elicitation/create"
    assert question["params"]["message"] == "Your name?"
    assert question["params"].get("mode", "form") == "form"
    assert ("mode" in question["params"]) <= (revision >= "2025-11-25")
    assert question["params"]["requestedSchema"]["type"] == "object"


@MODES
@pytest.mark.requirement(
    "R2511-ELICITATION-007",
    "R2511-ELICITATION-012",
    "R2607-ELICITATION-008",
    "R2607-ELICITATION-013",
    "R2511-ELICITATION-013",
    "R2607-ELICITATION-014",
)
async def test_an_address_to_visit_is_whole(revision: str, connect: Any) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    params = (await asked(wire, "visit"))["params"]
    assert params["mode"] == "url"
    assert params["message"] == "Log in"
    assert params["url"] == "https://example.com/a?b=c"
    assert ("elicitationId" in params) == (revision == "2025-11-25")
    for url in (
        "",
        "login",
        "/login",
        "https://",
        "https:///x",
        "https://a b",
        "https://a\n.example",
        "mailto:a@b",
    ):
        result = await wire.call("visit", url=url)
        assert result["isError"] is True, url
    assert wire.inbox.empty()


@FORMS
@pytest.mark.parametrize(
    "action, expected, careful",
    [("decline", "declined", "declined"), ("cancel", "did not answer", "dismissed")],
)
@pytest.mark.requirement("R2607-ELICITATION-024")
async def test_a_no_is_an_answer(
    revision: str, action: str, expected: str, careful: str, connect: Any
) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    plain = await answered(wire, "form", {"action": action})
    assert plain["isError"] is True
    assert expected in plain["content"][0]["text"]
    assert (await answered(wire, "careful", {"action": action}))["content"][0]["text"] == careful


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.hostile
@pytest.mark.parametrize(
    "reply",
    [{}, {"action": "maybe"}, {"action": "accept"}, {"action": "accept", "content": [1]}, {"content": {}}],
)
@pytest.mark.requirement("R2607-ELICITATION-024")
async def test_an_answer_that_is_none_is_asked_again_and_then_given_up(
    revision: str, reply: dict[str, Any], connect: Any
) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    answer = await wire.start("a", "tools/call", {"name": "form"})
    for _ in range(3):
        question = await wire.next()
        await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": reply})
    assert (await asyncio.wait_for(answer, 5))["result"]["isError"] is True
    assert wire.inbox.empty()


@MODES
@pytest.mark.parametrize(
    "declared, form, visit",
    [
        ({}, True, False),
        ({"form": {}}, True, False),
        ({"url": {}}, False, True),
        ({"form": {}, "url": {}}, True, True),
    ],
)
@pytest.mark.requirement(
    "R2511-ELICITATION-006", "R2607-ELICITATION-006", "R2511-ELICITATION-005", "R2607-ELICITATION-005"
)
async def test_r121_a_server_asks_only_in_declared_modes(
    revision: str, declared: dict[str, Any], form: bool, visit: bool, connect: Any
) -> None:
    wire = await connect(asking_app(), revision, {"elicitation": declared})
    for tool, allowed in (("form", form), ("visit", visit)):
        if allowed:
            assert (await asked(wire, tool))["method"] == "elicitation/create"
        else:
            assert (await wire.lacking(tool)).keys() == {"elicitation"}
    assert wire.inbox.empty()


@pytest.mark.requirement(
    "R2511-ELICITATION-021",
    "R2511-ELICITATION-022",
    "R2511-ELICITATION-023",
    "R2511-ELICITATION-033",
)
async def test_a_visit_that_must_come_first_is_listed_in_the_error(connect: Any) -> None:
    app = App("gated")
    visit = {"mode": "url", "message": "pay", "url": "https://example.com/pay", "elicitationId": "e1"}

    @app.tool
    async def gate() -> str:
        raise URLElicitationRequired("pay first", data={"elicitations": [visit]})

    @app.tool
    async def made() -> str:
        raise visit_first(ElicitURL("pay", "https://example.com/pay", "e1"))

    @app.tool
    async def other() -> str:
        raise ToolError("no")

    @app.tool
    async def misused(data: Any) -> str:
        raise URLElicitationRequired("no", data=data)

    wire = await connect(app, "2025-11-25", {"elicitation": {"url": {}}})
    for name in ("gate", "made"):
        error = await wire.error("tools/call", {"name": name})
        assert error["code"] == -32042
        assert error["data"] == {"elicitations": [visit]}
    assert (await wire.call("other"))["isError"] is True
    for nowhere in (None, {}, {"elicitations": []}, {"elicitations": [{"mode": "form", "message": "?"}]}):
        assert (await wire.call("misused", data=nowhere))["isError"] is True, "it lists no address to visit"


@MODES
@pytest.mark.parametrize("who", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.requirement("R2511-ELICITATION-006", "R2607-ELICITATION-006", "R2511-ELICITATION-021")
async def test_visits_are_demanded_as_the_revision_does_it_and_only_of_clients_that_declared_them(
    revision: str, who: str, connect: Any
) -> None:
    """Also where the function takes no context, by which it could have asked."""
    app = App("gated")
    first = visit_first(ElicitURL("pay", "https://example.com/pay", "e1"))

    async def gate() -> str:
        raise first

    app.add_tool(gate)
    app.add_prompt(gate)
    app.add_resource(gate, "note://gate")
    params = {"uri": "note://gate"} if who == "resources/read" else {"name": "gate"}
    wire = await connect(app, revision, {"elicitation": {"url": {}}})
    if wire.stateless:
        found = await wire.result(who, params)
        assert found["resultType"] == "input_required"
        (question,) = found["inputRequests"].values()
        assert question["method"] == "elicitation/create"
        assert question["params"] == {"mode": "url", "message": "pay", "url": "https://example.com/pay"}
        again = {"inputResponses": {key: {"action": "accept"} for key in found["inputRequests"]}}
        answer = await wire.result(who, {**params, **again, "requestState": found["requestState"]})
        assert answer["resultType"] == "input_required", "it demands them still"
    else:
        assert (await wire.error(who, params))["code"] == -32042
    for capabilities in ({}, {"elicitation": {}}, {"elicitation": {"form": {}}}):
        other = await connect(app, revision, capabilities)
        if who == "tools/call":
            assert await other.lacking("gate") == {"elicitation": {"url": {}}}
        else:
            assert (await other.error(who, params))["code"] == (-32021 if other.stateless else -32600)


@pytest.mark.requirement("R2511-ELICITATION-015", "R2511-ELICITATION-016")
async def test_the_end_of_a_visit_is_told_to_the_client_that_was_asked_and_to_no_other(connect: Any) -> None:
    app = App("visits")

    @app.tool
    async def visit(ctx: Context) -> str:
        await ctx.elicit_url("Log in", "https://example.com/a", elicitation_id="visit-7")
        await ctx.elicitation_complete("visit-7")
        return "visited"

    wire, other = [await connect(app, "2025-11-25", all_capabilities("2025-11-25")) for _ in range(2)]
    answer = await wire.start("a", "tools/call", {"name": "visit"})
    question = await wire.next()
    assert question["params"]["elicitationId"] == "visit-7"
    await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
    told = await wire.next()
    assert told["method"] == "notifications/elicitation/complete"
    assert told["params"] == {"elicitationId": "visit-7"}
    assert (await asyncio.wait_for(answer, 5))["result"]["content"][0]["text"] == "visited"
    assert await other.result("ping") == {}
    assert other.inbox.empty()


@pytest.mark.requirement("R2511-ELICITATION-017", "R2511-ELICITATION-061")
@pytest.mark.hostile
async def test_the_end_of_an_unknown_visit_is_ignored_and_ids_are_opaque() -> None:
    odd = ' {"id": 1}\x00\u2028'

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message.get("method") != "tools/call":
            return
        for id in ("never-seen", odd, odd, ""):
            peer.say(method="notifications/elicitation/complete", params={"elicitationId": id})
        visits.append(message["id"])
        if len(visits) == 1:
            visit = {"mode": "url", "message": "m", "url": "https://example.com/", "elicitationId": odd}
            peer.error(message["id"], -32042, data={"elicitations": [visit]})
        else:
            peer.result(message["id"], content=[{"type": "text", "text": "in"}])

    visits: list[Any] = []
    seen: list[str | None] = []

    async def approve(visit: Any) -> bool:
        seen.append(visit.elicitation_id)
        asyncio.get_running_loop().call_soon(done)
        return True

    def done() -> None:
        for id in ("never-seen", odd, odd):
            peer.say(method="notifications/elicitation/complete", params={"elicitationId": id})

    peer = RawPeer(answer, revision="2025-11-25")
    async with Client(peer, revision="2025-11-25", approve=approve) as client:
        assert (await client.call_tool("any")).text == "in"
    assert seen == [odd]


@MODES
@pytest.mark.requirement(
    "R2511-ELICITATION-046",
    "R2607-ELICITATION-035",
    "R2511-ELICITATION-047",
    "R2607-ELICITATION-036",
    "R2511-ELICITATION-048",
    "R2607-ELICITATION-037",
    "R2607-ELICITATION-026",
)
async def test_r123_a_client_fetches_no_address_and_asks_with_the_whole_of_it(revision: str) -> None:
    reached: list[bytes] = []

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(trap, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/login?user=x#part"
    shown: list[Any] = []
    app = asking_app()
    async with server:
        for consent in (True, False, None):

            def approve(visit: Any, consent: Any = consent) -> Any:
                shown.append(visit)
                return consent

            async with Client(app, revision=revision, approve=approve) as client:
                result = await client.call_tool("visit", {"url": url})
                assert result.is_error == (consent is not True)
        async with Client(app, revision=revision, elicitation=lambda request: request.server) as client:
            assert (await client.call_tool("form")).text == shown[0].server
    assert [visit.url for visit in shown] == [url] * 3
    assert all(visit.server and visit.message == "Log in" for visit in shown)
    assert not reached
    await app.service.stop()


# The model


@EVERY
@pytest.mark.requirement(
    "R2607-SAMPLING-012", "R2511-SAMPLING-005", "R2607-SAMPLING-016", "R2607-SAMPLING-006"
)
async def test_a_model_is_asked_with_role_content_and_limit(revision: str) -> None:
    given: list[CreateMessageParams] = []
    app = asking_app()

    def model(params: CreateMessageParams) -> str:
        given.append(params)
        return "hm"

    with frames() as seen:
        async with Client(app, revision=revision, sampling=model) as client:
            assert (await client.call_tool("model")).text == "unknown"
    assert given[0].max_tokens == 7
    assert given[0].messages == [SamplingMessage(role="user", content=TextContent(text="Say something"))]
    declared = [
        message["params"].get("capabilities")
        or message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        for frame in seen
        if frame.role == "client" and frame.sent
        for message in [json.loads(frame.data)]
        if message.get("method") in ("initialize", "tools/call")
        and ("2026" in revision or message["method"] == "initialize")
    ]
    assert declared
    assert all(each == {"sampling": {}} for each in declared)
    await app.service.stop()


def use(id: str) -> ToolUseContent:
    return ToolUseContent(id=id, name="t", input={})


def outcome(id: str) -> ToolResultContent:
    return ToolResultContent(tool_use_id=id, content=[TEXT])


def said(role: Any, *content: Any) -> SamplingMessage:
    return SamplingMessage(role=role, content=list(content))


GOOD = [
    said("user", TEXT),
    said("assistant", TEXT, use("a"), use("b")),
    said("user", outcome("b"), outcome("a")),
]


@pytest.mark.parametrize("revision", ["2025-11-25", *STATELESS])
@pytest.mark.parametrize(
    "messages",
    [
        [*GOOD[:2]],
        [*GOOD[:2], said("user", outcome("a"))],
        [*GOOD[:2], said("user", outcome("a"), outcome("b"), TEXT)],
        [*GOOD[:2], said("user", TEXT), said("user", outcome("a"), outcome("b"))],
        [*GOOD[:2], said("user", outcome("a"), outcome("c"))],
        [said("user", outcome("a"))],
        [said("assistant", use("a"), use("a")), said("user", outcome("a"))],
    ],
    ids=["no results", "one missing", "mixed", "later", "foreign", "from nowhere", "one id twice"],
)
@pytest.mark.requirement(
    "R2511-SAMPLING-007",
    "R2511-SAMPLING-008",
    "R2511-SAMPLING-018",
    "R2511-SAMPLING-030",
    "R2607-SAMPLING-008",
    "R2607-SAMPLING-009",
    "R2607-SAMPLING-024",
    "R2607-SAMPLING-036",
)
async def test_r119_a_conversation_with_tools_out_of_order_is_never_sent(
    revision: str, messages: list[SamplingMessage], connect: Any
) -> None:
    app = App("unbalanced")
    raised: list[Exception] = []

    @app.tool
    async def ask(ctx: Context, good: bool = False) -> str:
        tools = [Tool(name="t", input_schema={"type": "object"})]
        try:
            return (await ctx.sample(GOOD if good else messages, tools=tools)).model
        except LocalProtocolError as problem:
            raised.append(problem)
            raise

    wire = await connect(app, revision, all_capabilities(revision))
    assert (await wire.call("ask"))["isError"] is True
    assert raised
    assert wire.inbox.empty()
    question = await asked(wire, "ask", good=True)
    assert len(question["params"]["messages"]) == 3


@pytest.mark.parametrize("revision", ["2025-11-25", *STATELESS])
@pytest.mark.requirement("R2511-SAMPLING-004", "R2607-SAMPLING-005")
async def test_r119_no_tools_for_a_model_that_takes_none(revision: str, connect: Any) -> None:
    app = App("tools")

    @app.tool
    async def ask(ctx: Context) -> str:
        return (await ctx.sample("x", tools=[])).model

    wire = await connect(app, revision, {"sampling": {}})
    assert await wire.lacking("ask") == {"sampling": {"tools": {}}}
    assert wire.inbox.empty()


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.parametrize("mode, allowed", [("none", "text"), ("required", "use"), ("auto", "both")])
@pytest.mark.requirement(
    "R2607-SAMPLING-010",
    "R2607-SAMPLING-011",
    "R2607-SAMPLING-033",
    "R2607-SAMPLING-034",
    "R2511-SAMPLING-027",
    "R2511-SAMPLING-028",
)
async def test_a_client_holds_its_model_to_the_choice_of_tools(
    revision: str, mode: str, allowed: str
) -> None:
    from dovetail.protocol.errors import DovetailError
    from dovetail.protocol.types import CreateMessageResult, ToolChoice

    app = App("choosing")

    @app.tool
    async def ask(ctx: Context) -> str:
        tools = [Tool(name="t", input_schema={"type": "object"})]
        return (await ctx.sample("x", tools=tools, tool_choice=ToolChoice(mode=mode))).model  # pyright: ignore[reportArgumentType] - parametrized

    choices: list[tuple[str, list[Any]]] = [("text", [TEXT]), ("use", [use("a")])]
    for kind, content in choices:
        reply = CreateMessageResult(role="assistant", content=content, model="m")
        async with Client(
            app, revision=revision, sampling=lambda _, reply=reply: reply, sampling_tools=True
        ) as client:
            if allowed in (kind, "both"):
                assert (await client.call_tool("ask")).text == "m"
            else:
                with pytest.raises(DovetailError):
                    await client.call_tool("ask")
    async with Client(app, revision=revision, sampling=lambda _: "x") as client:
        with pytest.raises(DovetailError):
            await client.call_tool("ask")
    await app.service.stop()


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.parametrize("root", ["http://example.com", "file:///a/../b", "/relative/../x", "ftp://a"])
@pytest.mark.requirement("R2607-ROOTS-003", "R2607-ROOTS-002", "R2511-ROOTS-005", "R2607-ROOTS-004")
async def test_r118_only_files_are_roots_and_only_when_declared(revision: str, root: str) -> None:
    app = App("rooted")

    @app.tool
    async def folders(ctx: Context) -> list[str]:
        return [each.uri for each in await ctx.roots()]

    async with Client(app, revision=revision, roots=["file:///a"]) as client:
        assert (await client.call_tool("folders")).value == ["file:///a"]
    async with Client(app, revision=revision) as client:
        with pytest.raises(Exception, match="roots"):
            await client.call_tool("folders")
    async with Client(app, revision=revision, roots=[root]) as client:
        with pytest.raises(Exception, match=r"root|answer"):
            await client.call_tool("folders")
    await app.service.stop()
