"""In every cell: lists, calls, resources, prompts, completion, and values of every size and script."""

import base64
import random

import pytest
from everywhere_app import NOTE, PIXEL, TEXTS, Sum
from everywhere_cells import CELLS, MISSING, REVISIONS, TRANSPORTS, Cell, table

from dovetail import (
    AudioContent,
    Client,
    EmbeddedResource,
    ImageContent,
    InternalError,
    InvalidParams,
    MethodNotFound,
    ResourceLink,
    ResourceNotFound,
    TextContent,
)
from dovetail.client import ToolFailed
from dovetail.protocol.types.content import UnknownContent

pytestmark = pytest.mark.asyncio(loop_scope="session")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHANCE = random.Random(7)
LARGE = "".join(
    "x" * CHANCE.randrange(400) + CHANCE.choice('\n"\\\u00e9\u65e5\U0001f600') for _ in range(10_500)
)


async def test_every_cell_exists_or_says_why_not() -> None:
    every = {(revision, transport) for revision in REVISIONS for transport in TRANSPORTS}
    assert {(cell.revision, cell.transport) for cell in CELLS} == every - MISSING.keys()
    assert all(len(reason) > 20 for reason in MISSING.values())
    assert len(table()) == 1 + len(TRANSPORTS)


async def test_who_is_there(client: Client, cell: Cell) -> None:
    assert client.revision == cell.revision
    assert client.era == ("stateless" if cell.stateless else "stateful")
    assert client.instructions == "Try everything."
    info = client.server_info
    assert info is not None
    assert (info.name, info.version) == ("everywhere", "1.2.3")
    assert info.title == ("Everywhere" if cell.has("titles") else None)
    offered = client.server_capabilities
    heard = True if cell.has("changes") else None
    assert offered is not None
    assert offered.tools is not None
    assert offered.prompts is not None
    assert offered.resources is not None
    assert (offered.tools.list_changed, offered.prompts.list_changed) == (heard, heard)
    assert (offered.resources.list_changed, offered.resources.subscribe) == (heard, heard)
    assert offered.logging == ({} if cell.has("logs") else None)
    await client.ping()


@pytest.mark.requirement("R2511-PROMPTS-008", "R2607-PROMPTS-014")
async def test_lists_come_in_pages_and_whole(client: Client, cell: Cell) -> None:
    tools = [tool async for tool in client.tools()]
    names = [tool.name for tool in tools]
    assert len(set(names)) == len(names) > 21
    first = await client.list_tools()
    assert [tool.name for tool in first.tools] == names[:7]
    second = await client.list_tools(first.next_cursor)
    assert [tool.name for tool in second.tools] == names[7:14]
    add = tools[names.index("add")]
    assert add.description == "Add two numbers."
    assert add.input_schema["required"] == ["a", "b"]
    assert add.input_schema["properties"]["a"]["description"] == "one number"
    assert (add.output_schema is not None) == cell.has("structured")
    assert add.title == ("Add" if cell.has("titles") else None)
    kept = tools[names.index("echo")].meta
    assert kept == ({"acme.example/kept": {"deep": [1, None]}} if cell.has("titles") else None)

    resources = {resource.uri: resource async for resource in client.resources()}
    assert len(resources) == 11
    assert (resources[NOTE].name, resources[NOTE].mime_type) == ("plain", "text/markdown")
    templates = [template.uri_template async for template in client.resource_templates()]
    assert templates == ["file:///{+path}", "texts://{name}"]
    prompts = [prompt async for prompt in client.prompts()]
    assert len(prompts) == 10
    greet = next(prompt for prompt in prompts if prompt.name == "greet")
    assert [(each.name, each.required) for each in greet.arguments or []] == [
        ("name", True),
        ("style", False),
    ]
    with pytest.raises(InvalidParams):
        await client.list_tools("no cursor of ours")


async def test_results_of_every_kind(client: Client, cell: Cell) -> None:
    assert (await client.call_tool("echo", {"text": "hello"})).text == "hello"
    assert (await client.call_tool("in_thread", {"text": "hello"})).text == "HELLO"
    assert (await client.call_tool("nothing")).is_error is False
    result = await client.call_tool("add", {"a": 2, "b": 3})
    assert result.has_structured == cell.has("structured")
    assert result.into(Sum) == Sum(5, [2, 3])
    assert await client.call_tool("numbers", {"count": 3}, into=list[int]) == [0, 1, 2]
    if cell.has("structured"):
        assert result.structured == {"total": 5, "parts": [2, 3]}
        wrapped = await client.call_tool("numbers", {"count": 3})
        assert wrapped.value == [0, 1, 2]
        assert wrapped.structured == ([0, 1, 2] if cell.has("any_structured") else {"result": [0, 1, 2]})


async def test_content_of_every_kind(client: Client, cell: Cell) -> None:
    result = await client.call_tool("blocks")
    text, image, audio, link, file = result.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert base64.b64decode(image.data) == PIXEL
    assert isinstance(audio, AudioContent if cell.has("audio") else TextContent)
    assert isinstance(link, ResourceLink if cell.has("resource_links") else TextContent)
    assert NOTE in (link.uri if isinstance(link, ResourceLink) else link.text)
    assert isinstance(file, EmbeddedResource)
    assert result.meta["acme.example/of"] == "result"


@pytest.mark.vendor_methods("acme.example/unknown")
async def test_failures_of_every_kind(client: Client) -> None:
    failed = await client.call_tool("fail", {"text": "not today: \u00e9"})
    assert (failed.is_error, failed.text) == (True, "not today: \u00e9")
    with pytest.raises(ToolFailed, match="not today"):
        await client.call_tool("fail", {"text": "not today"}, into=str)
    crashed = await client.call_tool("crash", {"secret": "hunter2"})
    assert crashed.is_error
    assert "hunter2" not in crashed.text
    wrong = await client.call_tool("add", {"a": "two", "b": 3})
    assert wrong.is_error
    assert "a" in wrong.text
    assert "integer" in wrong.text
    assert (await client.call_tool("add", {"a": 1})).is_error
    assert (await client.call_tool("add", {"a": 1, "b": 2, "c": 3})).is_error
    assert (await client.call_tool("add")).is_error
    with pytest.raises(InvalidParams, match="as told") as refused:
        await client.call_tool("refuse", {"text": "as told"})
    assert refused.value.data == {"why": "asked to"}
    with pytest.raises(InvalidParams, match="no tool"):
        await client.call_tool("nobody")
    with pytest.raises(MethodNotFound):
        await client.request("acme.example/unknown")
    assert (await client.call_tool("echo", {"text": "still there"})).text == "still there"


async def test_resources_of_every_kind(client: Client) -> None:
    (note,) = (await client.read(NOTE)).contents
    assert (note.text, note.mime_type, note.uri) == ("# A note\n", "text/markdown", NOTE)
    (pixel,) = (await client.read("note://pixel")).contents
    assert pixel.blob is not None
    assert base64.b64decode(pixel.blob) == PIXEL
    (structured,) = (await client.read("note://structured")).contents
    assert (structured.text, structured.mime_type) == ('{"a":[1,null,"\u00e9"]}', "application/json")
    (file,) = (await client.read("file:///deep/er/a%20b.txt")).contents
    assert (file.text, file.uri) == ("contents of deep/er/a b.txt", "file:///deep/er/a%20b.txt")
    with pytest.raises((ResourceNotFound, InvalidParams), match="missing"):
        await client.read("note://missing")
    with pytest.raises(InternalError) as failed:
        await client.read("note://broken")
    assert "nobody may read this" not in str(failed.value)


async def test_prompts_and_completion(client: Client, cell: Cell) -> None:
    greeting = await client.get_prompt("greet", {"name": "\u00c5sa", "style": "polite"})
    first, second, third = greeting.messages
    assert isinstance(first.content, TextContent)
    assert (first.role, first.content.text) == ("user", "Greet \u00c5sa in the polite style.")
    assert second.role == "assistant"
    assert isinstance(third.content, ImageContent)
    for name, arguments in (("nobody", {}), ("greet", {})):
        with pytest.raises(InvalidParams):
            await client.get_prompt(name, arguments)
    assert (await client.complete("greet", "style", "p")).values == ["plain", "polite", "pompous"]
    assert (await client.complete("greet", "style", "po")).values == ["polite", "pompous"]
    assert (await client.complete("greet", "name", "x")).values == []
    found = await client.complete("file:///{+path}", "path", "a", {"root": "etc"})
    root = "etc" if cell.has("completion_context") else "nowhere"
    assert (found.values, found.total, found.has_more) == ([f"{root}/a1", f"{root}/a2"], 200, True)


async def test_text_of_every_kind(client: Client) -> None:
    for name, text in TEXTS.items():
        assert (await client.call_tool("echo", {"text": text})).text == text, name
        (read,) = (await client.read(f"texts://{name}")).contents
        assert read.text == text, name
        failed = await client.call_tool("fail", {"text": text})
        assert failed.text == text, name
        with pytest.raises(InvalidParams) as refused:
            await client.call_tool("refuse", {"text": text})
        assert refused.value.message == text, name
        greeting = (await client.get_prompt("greet", {"name": text})).messages[0].content
        assert isinstance(greeting, TextContent)
        assert text in greeting.text, name
    for name in ("", "a\nb", "\u65e5\u672c", "x" * 200, "a b", '"'):
        with pytest.raises(InvalidParams):
            await client.call_tool(name)


async def test_two_megabytes_each_way(client: Client) -> None:
    assert len(LARGE.encode()) > 2_000_000
    assert ((await client.call_tool("echo", {"text": LARGE})).text == LARGE) is True  # without showing them


async def test_what_goes_beside_a_call(client: Client, cell: Cell) -> None:
    meta = {
        "traceparent": TRACE,
        "tracestate": "vendor=1",
        "baggage": "user=7",
        "acme.example/own": {"any": [1, None, "\u00e9"]},
    }
    facts = await client.call_tool("call_facts", meta=meta, into=dict)
    assert {key: facts["meta"].get(key) for key in meta} == meta
    assert facts["revision"] == cell.revision
    assert facts["state"] == {"opened": True}
    known = cell.has("introductions")
    assert facts["client"] == ("dovetail" if known else None)
    assert facts["experimental"] == ({"acme.example/x": {"on": True}} if known else None)
    bare = await client.call_tool("call_facts", into=dict)
    assert not meta.keys() & bare["meta"].keys()


@pytest.mark.hostile
@pytest.mark.parametrize(
    "shared_spot", [cell for cell in CELLS if cell.transport == "stdio"], ids=str, indirect=True
)
async def test_unknown_members_are_kept(client: Client) -> None:
    """Only a server in another process may say what no schema has: the oracle listens to all others."""
    result = await client.call_tool("unknown")
    hologram, text = result.content
    assert isinstance(hologram, UnknownContent)
    assert hologram.members == {"type": "hologram", "depth": 3, "parts": [{"a": None}]}
    assert text.extra == {"vendorMember": {"kept": [1, 2]}}
    assert result.raw.extra == {"vendorOuter": True}
    raw = await client.request("tools/call", {"name": "unknown"})
    assert raw["vendorOuter"] is True
    assert raw["content"][1]["vendorMember"] == {"kept": [1, 2]}
