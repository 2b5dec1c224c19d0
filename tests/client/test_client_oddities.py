"""Servers that are nearly right: what can be taken is taken, and whoever is strict hears of it."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from must_peer import RawPeer
from raw_http import RawHTTP, result

from dovetail import App, ToolResult
from dovetail.client import Client, OutputInvalid, ServerWarning
from dovetail.client.server_warnings import LIMIT, ServerWarnings
from dovetail.protocol.errors import RemoteProtocolError
from dovetail.protocol.revisions import STATEFUL, STATELESS

Scripted = Callable[..., list[str]]
SCHEMA = {"type": "object"}
GOOD = {"name": "good", "inputSchema": SCHEMA}
OK = {"content": [{"type": "text", "text": "ok"}]}

pytestmark = pytest.mark.hostile


def kinds(client: Client) -> list[tuple[str, str]]:
    return [(warning.kind, warning.subject) for warning in client.warnings]


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "broken"},
        {"name": "broken", "inputSchema": "none"},
        {"name": "broken", "inputSchema": None},
        {"title": "broken", "inputSchema": SCHEMA},
        {"name": 5, "title": "broken", "inputSchema": SCHEMA},
    ],
)
async def test_one_malformed_tool_costs_only_itself(scripted: Scripted, broken: dict[str, Any]) -> None:
    told: list[ServerWarning] = []
    script = {"tools/list": [{"tools": [GOOD, broken, {**GOOD, "name": "also good"}]}]}
    async with Client(scripted(script), on_warning=told.append) as client:
        assert [tool.name async for tool in client.tools()] == ["good", "also good"]
        (warning,) = client.warnings
        assert (warning.kind, warning.method, warning.subject) == ("item", "tools/list", "broken")
        assert "tools[1]" in warning.message
        assert "scripted" in warning.message
        assert told == [warning]
        assert [tool.name async for tool in client.tools()] == ["good", "also good"]
        assert len(client.warnings) == len(told) == 1, "the same is told once"


async def test_one_malformed_resource_template_or_prompt_costs_only_itself(scripted: Scripted) -> None:
    script = {
        "resources/list": [{"resources": [{"uri": "a://1"}, {"uri": "a://2", "name": "two"}, 5]}],
        "resources/templates/list": [
            {"resourceTemplates": [{"name": "x"}, {"uriTemplate": "a://{n}", "name": "n"}]}
        ],
        "prompts/list": [
            {"prompts": [{"name": "p", "arguments": [{"name": 1}, {"name": "a"}]}, {"name": None}]}
        ],
    }
    async with Client(scripted(script)) as client:
        assert [item.uri async for item in client.resources()] == ["a://2"]
        assert [item.name async for item in client.resource_templates()] == ["n"]
        (prompt,) = [item async for item in client.prompts()]
        assert [argument.name for argument in prompt.arguments or ()] == ["a"]
        assert kinds(client) == [
            ("item", "a://1"),
            ("item", ""),
            ("item", "x"),
            ("member", "p"),
            ("item", ""),
        ]


async def test_odd_annotations_icons_and_meta_are_left_out_alone(scripted: Scripted) -> None:
    odd = {
        **GOOD,
        "annotations": {"readOnlyHint": "yes", "title": "Good", "x-more": 1},
        "icons": [{"src": 5}, {"src": "https://example.com/i.png", "sizes": "any"}],
        "_meta": [],
        "execution": {"taskSupport": "perhaps"},
        "description": "kept",
        "x-new": {"deep": 1},
    }
    script = {
        "tools/list": [{"tools": [odd], "ttlMs": "soon", "_meta": "none"}],
        "tools/call": [{"content": [{"type": "text", "text": "ok", "annotations": {"priority": "high"}}]}],
    }
    async with Client(scripted(script)) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.annotations is not None
        assert (tool.annotations.title, tool.annotations.read_only_hint) == ("Good", None)
        assert tool.annotations.extra == {"x-more": 1}
        assert [icon.src for icon in tool.icons or ()] == ["https://example.com/i.png"]
        assert (tool.meta, tool.description, tool.extra) == (None, "kept", {"x-new": {"deep": 1}})
        assert (await client.call_tool("good")).text == "ok"
        assert {kind for kind, _ in kinds(client)} == {"member"}
        said = " ".join(warning.message for warning in client.warnings)
        for place in (
            "annotations.readOnlyHint",
            "icons[0]",
            "icons[1].sizes",
            "_meta",
            "taskSupport",
            "ttlMs",
        ):
            assert place in said
        assert "content[0].annotations.priority" in said


@pytest.mark.parametrize(
    "result",
    [
        {"content": [{"type": "text"}]},
        {"content": [{"type": "text", "text": "a"}], "isError": "no"},
        {"content": "text"},
        {"structured": 1},
    ],
)
async def test_what_changes_the_meaning_of_a_result_is_never_left_out(
    scripted: Scripted, result: dict[str, Any]
) -> None:
    async with Client(scripted({"tools/call": [result]})) as client:
        with pytest.raises(RemoteProtocolError, match=r"tools/call.*scripted"):
            await client.call_tool("t")
        assert client.warnings == ()


async def test_an_odd_introduction_is_no_reason_not_to_talk(scripted: Scripted) -> None:
    opened = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {"listChanged": "yes"}, "prompts": {}},
        "serverInfo": {"name": "scripted", "version": "1", "icons": [{"src": 5}], "title": 7},
        "instructions": ["be", "kind"],
    }
    async with Client(scripted({"initialize": [opened], "tools/list": [{"tools": [GOOD]}]})) as client:
        assert [tool.name async for tool in client.tools()] == ["good"]
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.title, client.instructions) == (
            "scripted",
            None,
            None,
        )
        said = " ".join(warning.message for warning in client.warnings)
        for place in (
            "capabilities.tools.listChanged",
            "serverInfo.icons[0]",
            "serverInfo.title",
            "instructions",
        ):
            assert place in said


# The envelope

ODD = [
    ('"id":$ID,"result":{"content":[]},"error":null', "beside a result"),
    ('"id":"$ID","result":{"content":[]}', "text in place of a number"),
    ('"id":"$ID","result":{"content":[]},"error":null', "text in place of a number"),
]


@pytest.mark.parametrize("members, said", ODD)
async def test_an_odd_envelope_is_an_answer_over_stdio(scripted: Scripted, members: str, said: str) -> None:
    script = {"tools/call": [['{"jsonrpc":"2.0",' + members + "}"]]}
    async with Client(scripted(script)) as client:
        assert (await client.call_tool("t", timeout=5)).content == []
        (warning,) = client.warnings
        assert warning.kind == "envelope"
        assert said in warning.message


@pytest.mark.parametrize("members, said", ODD)
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_odd_envelope_is_an_answer_over_http(members: str, said: str, streamed: bool) -> None:
    def serve(_: str, __: dict[str, str], message: Any) -> Any:
        if message["method"] == "server/discover":
            described = result(message, supportedVersions=["2026-07-28"], capabilities={"tools": {}}, ttlMs=0)
            return 200, {}, described
        body = ('{"jsonrpc":"2.0",' + members + "}").replace("$ID", str(message["id"])).encode()
        if not streamed:
            return 200, {"content-type": "application/json"}, body
        return 200, {"content-type": "text/event-stream"}, b"data: " + body + b"\n\n"

    async with RawHTTP(serve) as http, Client(http.url) as client:
        assert (await client.call_tool("t", timeout=5)).content == []
        assert said in client.warnings[-1].message


async def test_a_progress_token_that_comes_back_as_text_is_known(scripted: Scripted) -> None:
    params = {"progressToken": "$TOKEN", "progress": 1}
    notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    other = notice.replace("$TOKEN", "nobody's")
    line = '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'
    heard: list[float] = []
    async with Client(scripted({"tools/call": [[notice, other, line]]})) as client:
        await client.call_tool("t", progress=lambda notice: heard.append(notice.progress))
        assert heard == [1]
        assert [warning.method for warning in client.warnings] == ["notifications/progress"]


async def test_null_where_an_empty_result_belongs(scripted: Scripted) -> None:
    script = {"ping": [['{"jsonrpc":"2.0","id":$ID,"result":null}']]}
    async with Client(scripted(script)) as client:
        await client.ping(timeout=5)
        assert [warning.kind for warning in client.warnings] == ["envelope"]


async def test_an_error_beside_a_null_result_is_the_error(scripted: Scripted) -> None:
    line = '{"jsonrpc":"2.0","id":$ID,"result":null,"error":{"code":-32000,"message":"no"}}'
    async with Client(scripted({"tools/call": [[line]]})) as client:
        with pytest.raises(Exception, match=r"no \(code -32000; tools/call to .*scripted"):
            await client.call_tool("t", timeout=5)


# The end of a list


@pytest.mark.requirement("R2607-PAGINATION-006")
@pytest.mark.parametrize(
    "second",
    [
        {"tools": [GOOD], "nextCursor": ""},
        ['{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no such cursor"}}'],
    ],
    ids=["the same page again", "refused"],
)
async def test_an_empty_cursor_that_leads_nowhere_is_the_end(scripted: Scripted, second: Any) -> None:
    script = {"tools/list": [{"tools": [GOOD], "nextCursor": ""}, second]}
    async with Client(scripted(script)) as client:
        assert [tool.name async for tool in client.tools()] == ["good"]
        assert kinds(client) == [("cursor", "")]
        seen = json.loads((await client.call_tool("seen")).text)
        asked = [
            message.get("params", {}).get("cursor")
            for message in seen
            if message.get("method") == "tools/list"
        ]
        assert asked == [None, ""], "it is a cursor like any other until then"


async def test_an_empty_cursor_after_another_page_is_the_end(scripted: Scripted) -> None:
    pages = [{"tools": [{**GOOD, "name": name}], "nextCursor": ""} for name in ("one", "two")]
    async with Client(scripted({"tools/list": pages})) as client:
        assert [tool.name async for tool in client.tools()] == ["one", "two"]
        assert kinds(client) == [("cursor", "")]


async def test_pages_that_go_round_in_circles_are_told_with_method_and_server(scripted: Scripted) -> None:
    page = {"tools": [GOOD], "nextCursor": "again"}
    async with Client(scripted({"tools/list": [page, page, page]})) as client:
        with pytest.raises(RemoteProtocolError, match=r"in circles \(tools/list to .*scripted"):
            [tool async for tool in client.tools()]


# Structured content


async def test_null_for_structured_content_is_none_where_only_objects_are_allowed(scripted: Scripted) -> None:
    script = {"tools/call": [{**OK, "structuredContent": None}]}
    async with Client(scripted(script)) as client:
        found = await client.call_tool("t")
        assert (found.value, found.has_structured) == ("ok", False)
        assert kinds(client) == [("structured_content", "t")]


async def test_null_is_a_value_where_any_json_is_allowed() -> None:
    app = App("nothing")

    @app.tool
    async def nothing() -> None: ...

    async with Client(app, revision="2026-07-28") as client:
        found = await client.call_tool("nothing")
        assert client.warnings == ()
        assert found.value in (None, "null", "")


async def test_structured_content_alone_is_enough(scripted: Scripted) -> None:
    async with Client(scripted({"tools/call": [{"structuredContent": {"n": 1}}]})) as client:
        found = await client.call_tool("t")
        assert (found.value, found.content) == ({"n": 1}, [])
        assert kinds(client) == [("member", "")]


async def test_a_result_says_why_it_was_not_checked(scripted: Scripted) -> None:
    number = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tools = [
        {**GOOD, "name": "fits", "outputSchema": number},
        {**GOOD, "name": "free"},
        {**GOOD, "name": "unusable", "outputSchema": {"type": "object", "$ref": "https://example.com/s"}},
    ]
    answer = {**OK, "structuredContent": {"n": 1}}
    script = {"tools/list": [{"tools": tools}], "tools/call": [answer] * 5 + [{**answer, "isError": True}]}
    async with Client(scripted(script)) as client:

        async def reason(tool: str) -> str | None:
            found = await client.call_tool(tool)
            assert isinstance(found, ToolResult)
            assert found.checked == (found.unchecked_because is None)
            return found.unchecked_because

        assert "not listed" in str(await reason("fits"))
        _ = [tool async for tool in client.tools()]
        assert await reason("fits") is None
        assert "no output schema" in str(await reason("free"))
        assert "can't be used" in str(await reason("unusable"))
        assert "can't be used" in str(await reason("unusable"))
        assert kinds(client) == [("schema", "unusable")]
        assert "reported an error" in str(await reason("fits"))


async def test_output_that_costs_too_much_to_check_is_not_checked(scripted: Scripted) -> None:
    doubling = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(14)}
    schema = {
        "type": "object",
        "properties": {"all": {"type": "array", "items": {"$ref": "#/$defs/a0"}}},
        "$defs": {**doubling, "a14": {"type": "object"}},
    }
    script = {
        "tools/list": [{"tools": [{**GOOD, "outputSchema": schema}]}],
        "tools/call": [{**OK, "structuredContent": {"all": [{}] * count}} for count in (2_000, 0)],
    }
    async with Client(scripted(script)) as client:
        _ = [tool async for tool in client.tools()]
        found = await client.call_tool("good")
        assert "too much work" in str(found.unchecked_because)
        assert kinds(client) == [("schema", "good")]
        assert (await client.call_tool("good")).checked


async def test_output_that_breaks_its_schema_still_raises(scripted: Scripted) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    script = {
        "tools/list": [{"tools": [{**GOOD, "outputSchema": schema}]}],
        "tools/call": [{**OK, "structuredContent": {"n": "x"}}],
    }
    async with Client(scripted(script)) as client:
        _ = [tool async for tool in client.tools()]
        with pytest.raises(OutputInvalid, match=r"n: expected.*scripted"):
            await client.call_tool("good")


# The list of warnings


async def test_a_malformed_notification_is_told(scripted: Scripted) -> None:
    notice = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"loud"}}'
    line = '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'
    async with Client(scripted({"tools/call": [[notice, line]]})) as client:
        await client.call_tool("t")
        await client.ping()
        assert [(each.kind, each.method) for each in client.warnings] == [
            ("notification", "notifications/message")
        ]


def test_warnings_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "dovetail.client")
    kept = ServerWarnings()
    for number in range(LIMIT + 10):
        kept.add(ServerWarning(kind="item", message=str(number)))
    assert [warning.message for warning in kept.all] == [str(number) for number in range(10, LIMIT + 10)]


@pytest.mark.parametrize("revision", [STATEFUL[0], STATELESS[-1]])
@pytest.mark.parametrize(
    "body, values, left_out",
    [
        ({}, [], "completion was left out of the result of completion/complete: it is missing"),
        ({"completion": {}}, [], "completion.values was left out"),
        ({"completion": {"values": None}}, [], "completion.values was left out"),
        ({"completion": 7}, [], "completion was left out"),
        (
            {"completion": {"values": ["a", 5, "b"], "total": 3}},
            ["a", "b"],
            "completion.values[1] was left out",
        ),
        ({"completion": {"values": ["a"], "hasMore": "yes"}}, ["a"], "completion.hasMore was left out"),
    ],
)
@pytest.mark.requirement("R2511-COMPLETION-004", "R2607-COMPLETION-005")
async def test_what_there_is_of_completions_is_taken(
    revision: str, body: dict[str, Any], values: list[str], left_out: str
) -> None:
    peer = RawPeer(lambda peer, message: peer.result(message["id"], **body), revision=revision)
    async with Client(peer, revision=revision) as client:
        assert (await client.complete("p", "x")).values == values
        assert left_out in client.warnings[0].message
