"""What servers ask, in both eras: forms, addresses, models, folders; and the rounds of the stateless era."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from dovetail.client import Accept, Cancel, Client, Decline, ElicitRequest, Visit
from dovetail.client.elicitation import answer_elicitation, check_address
from dovetail.client.form_fields import plain_form
from dovetail.client.options import Options
from dovetail.client.roots import as_root
from dovetail.client.sampling import answer_sampling
from dovetail.protocol.errors import (
    Declined,
    Dismissed,
    InternalError,
    InvalidParams,
    LocalProtocolError,
    MethodNotFound,
    RemoteProtocolError,
    URLElicitationRequired,
    UserRejected,
)
from dovetail.protocol.types import (
    CreateMessageParams,
    CreateMessageResult,
    ElicitParams,
    InputRequired,
    Root,
    SamplingMessage,
    TextContent,
    Tool,
    ToolChoice,
    ToolResultContent,
    ToolUseContent,
)

Command = Callable[..., list[str]]


def raise_(error: Exception) -> Any:
    raise error


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    return json.loads((await client.call_tool(tool, arguments)).text)


# Forms


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.requirement("R2511-ELICITATION-004", "R2511-ELICITATION-009")
async def test_forms_of_the_stateful_era(stateful: Command, revision: str) -> None:
    seen: list[ElicitRequest] = []

    async def fill(request: ElicitRequest) -> dict[str, Any]:
        seen.append(request)
        return {"name": "Ann"}

    async with Client(stateful(revision), elicitation=fill) as client:
        assert await told(client, "forms") == {"action": "accept", "content": {"name": "Ann"}}
    assert seen[0].message == "who?"
    assert seen[0].server.startswith("raw")
    assert list(seen[0].fields) == ["name", "age"]


@pytest.mark.parametrize(
    "answer, expected",
    [
        (lambda _: Decline(), {"action": "decline"}),
        (lambda _: Cancel(), {"action": "cancel"}),
        (lambda _: None, {"action": "cancel"}),
        (lambda _: raise_(Declined("no")), {"action": "decline"}),
        (lambda _: raise_(Dismissed("")), {"action": "cancel"}),
        (
            lambda _: Accept({"name": "Bo", "age": 3}),
            {"action": "accept", "content": {"name": "Bo", "age": 3}},
        ),
    ],
)
async def test_every_answer_to_a_form(stateful: Command, answer: Any, expected: Any) -> None:
    async with Client(stateful(), elicitation=answer) as client:
        assert await told(client, "forms") == expected


@pytest.mark.requirement("R2511-ELICITATION-056", "R2607-ELICITATION-045")
@pytest.mark.parametrize(
    "answer", [lambda _: {"name": 5}, lambda _: "no field", lambda _: raise_(KeyError("secret"))]
)
async def test_a_bad_answer_or_handler_is_an_internal_error_that_leaks_nothing(
    stateful: Command, answer: Any
) -> None:
    async with Client(stateful(), elicitation=answer) as client:
        error = await told(client, "forms")
        assert error["code"] == -32603
        assert "secret" not in error["message"]
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


async def test_suggested_values_are_filled_in() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "default": "John"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "idle"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "default": ["a"]},
        },
        "required": ["name"],
    }
    params = ElicitParams(message="m", requested_schema=schema)
    result = await answer_elicitation(params, Options(elicitation=lambda _: {}), "s")
    assert result.content == {
        "name": "John",
        "age": 30,
        "score": 95.5,
        "status": "active",
        "verified": True,
        "tags": ["a"],
    }
    one = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    params = ElicitParams(message="m", requested_schema=one)
    assert (await answer_elicitation(params, Options(elicitation=lambda _: False), "s")).content == {
        "ok": False
    }


@pytest.mark.requirement("R2511-ELICITATION-034")
async def test_a_mode_that_was_not_declared_is_refused() -> None:
    form = ElicitParams(message="m", requested_schema={"type": "object", "properties": {}})
    url = ElicitParams(message="m", mode="url", url="https://example.com")
    with pytest.raises(InvalidParams):
        await answer_elicitation(form, Options(approve=lambda _: True), "s")
    with pytest.raises(InvalidParams):
        await answer_elicitation(url, Options(elicitation=lambda _: {}), "s")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "$ref": "https://example.com/s"},
    ],
)
def test_forms_that_are_none(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        plain_form(schema)


# Addresses


@pytest.mark.requirement("R2511-ELICITATION-047", "R2511-ELICITATION-048", "R2511-ELICITATION-036")
async def test_an_address_is_visited_only_with_consent(stateful: Command) -> None:
    seen: list[Visit] = []

    def consent(visit: Visit) -> bool:
        seen.append(visit)
        return True

    async with Client(stateful(), approve=consent) as client:
        assert await told(client, "visit", url="https://ex\u00e4mple.com/a?b=c") == {"action": "accept"}
        assert (await told(client, "visit", url="javascript:alert(1)"))["code"] == -32602
    assert [(visit.url, visit.host) for visit in seen] == [
        ("https://ex\u00e4mple.com/a?b=c", "xn--exmple-cua.com")
    ]
    assert "raw" in seen[0].server
    async with Client(stateful(), approve=lambda _: False) as client:
        assert await told(client, "visit", url="https://example.com") == {"action": "decline"}
    async with Client(stateful(), elicitation=lambda _: {}) as client:
        assert (await told(client, "visit", url="https://example.com"))["code"] == -32602


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "http://example.com",
        "file:///etc/passwd",
        "java\tscript:alert(1)",
        "https://user:secret@example.com",
        "https://example.com/a b",
        "https://example.com\\@evil.example",
        "https://",
        "https://[::1",
        "https://example.com:x/",
        "https://example.com/\u202e",
        "HTTPS://" + "a" * 9000,
    ],
)
def test_addresses_that_nobody_is_sent_to(url: str | None) -> None:
    with pytest.raises(InvalidParams):
        check_address(url)


def test_addresses_that_are_fine() -> None:
    assert check_address("https://EXAMPLE.com/x") == "example.com"
    assert check_address("http://localhost:8000/x") == "localhost"
    assert check_address("http://[::1]:8000/x") == "::1"


async def test_a_visit_that_must_come_first(stateful: Command) -> None:
    async with Client(stateful(), approve=lambda _: True) as client:
        assert (await client.call_tool("gate")).text == "welcome"
    async with Client(stateful(), approve=lambda _: None) as client:
        with pytest.raises(URLElicitationRequired):
            await client.call_tool("gate")
    async with Client(stateful()) as client:
        with pytest.raises(URLElicitationRequired):
            await client.call_tool("gate")


# Sampling and roots


@pytest.mark.requirement("R2411-SAMPLING-001", "R2511-SAMPLING-012")
@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25"])
async def test_sampling_in_the_stateful_era(stateful: Command, revision: str) -> None:
    def model(params: CreateMessageParams) -> str:
        assert params.max_tokens == 10
        return "hello"

    async with Client(stateful(revision), sampling=model) as client:
        answer = await told(client, "sample")
        assert answer["content"] == {"type": "text", "text": "hello"}
        assert answer["role"] == "assistant"

    async with Client(stateful(revision), sampling=lambda _: raise_(Declined("not now"))) as client:
        assert (await told(client, "sample"))["code"] == -1


@pytest.mark.requirement("R2511-SAMPLING-026", "R2511-SAMPLING-003")
async def test_tools_in_sampling_need_the_capability(stateful: Command) -> None:
    tools = [{"name": "t", "inputSchema": {"type": "object"}}]
    async with Client(stateful(), sampling=lambda _: "x") as client:
        assert (await told(client, "sample", tools=tools))["code"] == -32602
    async with Client(stateful(), sampling=lambda _: "x", sampling_tools=True) as client:
        assert (await told(client, "sample", tools=tools))["model"] == "unknown"
    async with Client(stateful()) as client:
        assert (await told(client, "sample"))["code"] == -32601


def use(id: str) -> ToolUseContent:
    return ToolUseContent(id=id, name="t", input={})


def outcome(id: str) -> ToolResultContent:
    return ToolResultContent(tool_use_id=id, content=[])


TEXT = TextContent(text="x")


@pytest.mark.parametrize(
    "messages",
    [
        [("assistant", [use("a")])],
        [("assistant", [use("a")]), ("user", [TEXT])],
        [("assistant", [use("a"), use("b")]), ("user", [outcome("a")])],
        [("assistant", [use("a")]), ("user", [outcome("a"), TEXT])],
        [("assistant", [use("a")]), ("user", [outcome("a"), outcome("a")])],
        [("user", [outcome("forged")])],
        [("user", [use("a")])],
        [("assistant", [use("a"), use("a")]), ("user", [outcome("a")])],
        [("assistant", [use("a")]), ("assistant", [outcome("a")])],
    ],
)
@pytest.mark.requirement(
    "R2511-SAMPLING-007",
    "R2511-SAMPLING-008",
    "R2511-SAMPLING-012",
    "R2511-SAMPLING-014",
    "R2607-SAMPLING-020",
)
async def test_r119_tool_uses_and_results_balance(messages: list[Any]) -> None:
    given = [SamplingMessage(role=role, content=content) for role, content in messages]
    params = CreateMessageParams(messages=given, max_tokens=1)
    with pytest.raises(InvalidParams):
        await answer_sampling(params, Options(sampling=lambda _: "x", sampling_tools=True))


@pytest.mark.requirement(
    "R2511-SAMPLING-009", "R2511-SAMPLING-010", "R2511-SAMPLING-014", "R2607-SAMPLING-020"
)
@pytest.mark.parametrize("mode, content", [("none", [use("a")]), ("required", [TEXT])])
@pytest.mark.requirement("R2511-SAMPLING-027", "R2511-SAMPLING-028")
async def test_the_model_keeps_to_the_choice_of_tools(mode: Any, content: Any) -> None:
    params = CreateMessageParams(
        messages=[], max_tokens=1, tools=[Tool(name="t", input_schema={})], tool_choice=ToolChoice(mode=mode)
    )
    reply = CreateMessageResult(role="assistant", content=content, model="m")
    with pytest.raises(InternalError):
        await answer_sampling(params, Options(sampling=lambda _: reply, sampling_tools=True))


@pytest.mark.requirement("R2511-ROOTS-001", "R2511-ROOTS-002", "R2511-ROOTS-003", "R2511-ROOTS-004")
async def test_roots(stateful: Command, tmp_path: Any) -> None:
    roots: list[Any] = [tmp_path]
    async with Client(stateful(), roots=lambda: roots) as client:
        assert await told(client, "folders") == {"roots": [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]}
        await client.roots_changed()
        state = await told(client, "state")
        assert ["notifications/roots/list_changed", None] in state["seen"]
        assert state["client"]["capabilities"]["roots"] == {"listChanged": True}
        roots.append("https://example.com")
        assert (await told(client, "folders"))["code"] == -32603
    async with Client(stateful()) as client:
        assert (await told(client, "folders"))["code"] == -32601
        assert (await told(client, "unknown"))["code"] == -32601
        state = await told(client, "state")
        assert state["client"]["capabilities"] == {}


test_roots = pytest.mark.vendor_methods("acme/ask")(test_roots)


@pytest.mark.parametrize(
    "root", ["file:///a/../b", Root(uri="file:///a/%2E%2e/b"), "http://x", Root(uri="x:y")]
)
def test_r118_roots_that_are_none(root: Any) -> None:
    with pytest.raises(LocalProtocolError):
        as_root(root)


async def test_a_person_who_thinks_long_does_not_end_the_call(stateful: Command) -> None:
    async def think(_: ElicitRequest) -> dict[str, Any]:
        await asyncio.sleep(0.5)
        return {"name": "Ann"}

    async with Client(stateful(), elicitation=think, timeout=0.2) as client:
        assert (await told(client, "forms"))["action"] == "accept"


async def test_a_handler_may_use_the_client_and_close_it(stateful: Command) -> None:
    async def fill(_: ElicitRequest) -> dict[str, Any]:
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"
        return {"name": "Ann"}

    async with Client(stateful(), elicitation=fill) as client:
        assert (await told(client, "forms"))["action"] == "accept"

    async def leave(_: ElicitRequest) -> dict[str, Any]:
        await client.close()
        return {"name": "Ann"}

    from dovetail.protocol.errors import Closed

    client = await Client(stateful(), elicitation=leave).open()
    with pytest.raises(Closed):
        await client.call_tool("forms")
    await client.close()


# Rounds


@pytest.mark.requirement("R2607-MRTR-021", "R2607-MRTR-023", "R2607-MRTR-026", "R2607-ELICITATION-004")
async def test_a_round(stateless: Command) -> None:
    async with Client(stateless(), elicitation=lambda _: {"name": "Ann"}) as client:
        told_back = await told(client, "ask")
        assert told_back["answers"] == {"who": {"action": "accept", "content": {"name": "Ann"}}}
        assert told_back["state"] == "s=1"
        meta = await told(client, "meta")
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {"form": {}}}


@pytest.mark.requirement("R2607-MRTR-025")
async def test_no_state_is_made_up(stateless: Command, tmp_path: Any) -> None:
    async with Client(stateless(), roots=[tmp_path]) as client:
        assert await told(client, "stateful-less") == ["_meta", "arguments", "inputResponses", "name"]


async def test_rounds_with_state_alone_and_sampling(stateless: Command) -> None:
    async with Client(stateless(), sampling=lambda _: "hello") as client:
        assert (await client.call_tool("state-only")).text == "round 2"
        assert (await told(client, "sample"))["s"]["content"]["text"] == "hello"


async def test_rounds_by_hand(stateless: Command) -> None:
    async with Client(stateless(), elicitation=lambda _: {}, rounds="manual") as client:
        found = await client.call_tool("ask")
        assert isinstance(found, InputRequired)
        assert found.request_state == "s=1"


@pytest.mark.requirement("R2607-SAMPLING-025")
@pytest.mark.hostile
async def test_rounds_without_end_or_sense(stateless: Command) -> None:
    async with Client(stateless(), elicitation=lambda _: {"name": "Ann"}) as client:
        with pytest.raises(RemoteProtocolError, match="16 rounds; last it asked '"):
            await client.call_tool("endless")
        assert (await told(client, "state"))["rounds"] == 16
        with pytest.raises(RemoteProtocolError):
            await client.call_tool("nothing")
        with pytest.raises(MethodNotFound):
            await client.call_tool("sample")  # never declared
    async with Client(stateless(), sampling=lambda _: raise_(Declined("no"))) as client:
        with pytest.raises(UserRejected):
            await client.call_tool("sample")
        assert (await told(client, "state"))["cancelled"] == []


async def test_a_revision_without_choices_of_several_is_asked_for_none() -> None:
    """Some servers ask for them in any revision; an answer that holds a list breaks 2025-06-18."""
    tags = {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "default": ["a"]}
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "tags": tags}}
    shown: list[set[str]] = []

    def fill(form: ElicitRequest) -> dict[str, str]:
        shown.append(set(form.fields))
        return {"name": "Ada"}

    params = ElicitParams(message="m", requested_schema=schema)
    result = await answer_elicitation(params, Options(elicitation=fill), "s", lists=False)
    assert (shown, result.content) == ([{"name"}], {"name": "Ada"})
    needed = ElicitParams(message="m", requested_schema={**schema, "required": ["tags"]})
    with pytest.raises(InvalidParams, match="'tags'"):
        await answer_elicitation(needed, Options(elicitation=fill), "s", lists=False)
    with pytest.raises(InternalError):
        await answer_elicitation(params, Options(elicitation=lambda _: {"tags": ["a"]}), "s", lists=False)
