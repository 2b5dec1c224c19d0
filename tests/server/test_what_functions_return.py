"""What tools, resources, prompts and completers return: written alike, and refused alike where it can't be."""

import datetime
import enum
import ipaddress
import re
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict, cast

import attrs
import msgspec
import pydantic
import pytest

from dovetail import (
    App,
    CallToolResult,
    Client,
    CompletionContext,
    GetPromptResult,
    Icon,
    Image,
    PromptMessage,
    ReadResourceResult,
    RegistrationError,
    ResourceContents,
    TextContent,
    ToolAnnotations,
    ToolResult,
    assistant,
    user,
)
from dovetail.protocol.errors import InternalError


class Colour(enum.Enum):
    RED = "red"


class Loud(enum.StrEnum):
    RED = "red"


class Mixed(str, enum.Enum):  # noqa: UP042 - authors write it so, and its str() differs
    RED = "red"


class Model(pydantic.BaseModel):
    x: int = 1
    home: pydantic.AnyUrl = pydantic.AnyUrl("https://example.com/a")
    path: Path = Path("/a")


@dataclass
class Holder:
    model: Model
    when: datetime.date
    path: Path


class Struct(msgspec.Struct):
    colour: Colour
    model: Model


class Typed(TypedDict):
    models: list[Model]


@attrs.define
class Attrs:
    path: Path


class Named(NamedTuple):
    a: int
    path: Path


DAY = datetime.date(2026, 7, 28)
MODEL = '{"x":1,"home":"https://example.com/a","path":"/a"}'
DATA: list[tuple[Any, Any, str]] = [
    (Model, Model(), MODEL),
    (Holder, Holder(Model(), DAY, Path("/b")), f'{{"model":{MODEL},"when":"2026-07-28","path":"/b"}}'),
    (Struct, Struct(Colour.RED, Model()), f'{{"colour":"red","model":{MODEL}}}'),
    (Typed, {"models": [Model()]}, f'{{"models":[{MODEL}]}}'),
    (Attrs, Attrs(Path("/c")), '{"path":"/c"}'),
    (Named, Named(1, Path("/d")), '[1,"/d"]'),
    (Path, Path("/a/b"), '"/a/b"'),
    (pydantic.AnyUrl, pydantic.AnyUrl("https://example.com/"), '"https://example.com/"'),
    (pydantic.SecretStr, pydantic.SecretStr("hush"), '"**********"'),
    (datetime.date, DAY, '"2026-07-28"'),
    (Colour, Colour.RED, '"red"'),
    (ipaddress.IPv4Address, ipaddress.ip_address("192.0.2.1"), '"192.0.2.1"'),
    (dict[str, Model], {"a": Model()}, f'{{"a":{MODEL}}}'),
    (set[int], {7}, "[7]"),
    (int, 3, "3"),
]


def function(value: Any, annotation: Any = ...) -> Callable[[], Any]:
    """A function that returns a value, annotated or not."""

    def give() -> Any:
        return value

    give.__annotations__ = {} if annotation is ... else {"return": annotation}
    return give


async def text_of_tool(fn: Callable[[], Any]) -> str:
    app = App("x")
    app.add_tool(fn)
    async with Client(app) as client:
        result = await client.call_tool("give")
        assert not result.is_error, result.text
        return result.text


async def contents_of(fn: Callable[[], Any], **options: Any) -> list[ResourceContents]:
    app = App("x")
    app.add_resource(fn, "a://b", **options)
    async with Client(app) as client:
        return (await client.read("a://b")).contents


async def messages_of(fn: Callable[[], Any]) -> list[PromptMessage]:
    app = App("x")
    app.add_prompt(fn)
    async with Client(app) as client:
        return (await client.get_prompt("give")).messages


async def texts_of_prompt(fn: Callable[[], Any]) -> list[str]:
    return [cast("TextContent", each.content).text for each in await messages_of(fn)]


@pytest.mark.parametrize("annotated", [True, False])
@pytest.mark.parametrize("annotation,value,text", DATA)
async def test_resources_and_prompts_write_what_tools_write(
    annotation: Any, value: Any, text: str, annotated: bool
) -> None:
    fn = function(value, annotation if annotated else ...)
    assert await text_of_tool(fn) == text
    (contents,) = await contents_of(fn)
    assert (contents.text, contents.mime_type) == (text, "application/json")
    assert await texts_of_prompt(fn) == [text]
    assert cast("TextContent", user(value).content).text == text


@pytest.mark.parametrize("value", [Loud.RED, Mixed.RED])
async def test_an_enumeration_of_texts_is_its_value(value: str) -> None:
    fn = function(value)
    assert await text_of_tool(fn) == "red"
    assert [each.text for each in await contents_of(fn)] == ["red"]
    assert await texts_of_prompt(fn) == ["red"]


async def test_an_empty_list_is_something_to_read() -> None:
    for annotation in (..., list, list[str], list[Model]):
        (contents,) = await contents_of(function([], annotation))
        assert (contents.text, contents.mime_type) == ("[]", "application/json")


async def test_a_list_of_contents_and_media_is_each_of_them() -> None:
    given = [ResourceContents(uri="a://c", text="one"), Image(data=b"png")]
    for annotation in (..., list[ResourceContents | Image]):
        one, two = await contents_of(function(given, annotation))
        assert (one.uri, one.text) == ("a://c", "one")
        assert (two.uri, two.mime_type, two.blob) == ("a://b", "image/png", "cG5n")
    (held,) = await contents_of(function(ReadResourceResult(contents=given[:1]), ReadResourceResult))
    assert held.text == "one"


@pytest.mark.parametrize("annotation", [str, list[str], PromptMessage, Literal["a"], Model, GetPromptResult])
async def test_none_where_something_was_promised_is_the_authors_error(
    annotation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has it, typed; the caller learns that it failed, and nothing else."""
    fn = function(None, annotation)
    for read in (messages_of, contents_of):
        if read is contents_of and annotation in (PromptMessage, GetPromptResult):
            continue
        caplog.clear()
        with pytest.raises(InternalError, match=r"^The (prompt|resource) '[^']+' failed\. \("):
            await read(fn)
        assert "OutputMismatch: give() returned" in caplog.text


async def test_none_where_text_was_promised_by_a_tool(caplog: pytest.LogCaptureFixture) -> None:
    app = App("x")
    app.add_tool(function(None, str))
    app.add_tool(function(None, str | None), name="maybe")
    app.add_tool(function(None), name="silent")
    async with Client(app) as client:
        result = await client.call_tool("give")
        assert result.is_error
        assert "returned None, but promises text" in caplog.text
        assert not (await client.call_tool("maybe")).is_error
        assert not (await client.call_tool("silent")).is_error
    with pytest.raises(InternalError):
        await messages_of(function(None))
    assert await messages_of(function(None, str | None)) == []
    assert [each.text for each in await contents_of(function(None, str | None))] == ["null"]


@pytest.mark.parametrize(
    "annotation,value",
    [(str, 3), (Model, {"x": "no number"}), (Model, "text"), (bytes, [1]), (dict[str, int], {"a": "b"})],
)
async def test_what_breaks_its_annotation_is_not_served(
    annotation: Any, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalError):
        await contents_of(function(value, annotation))
    assert "OutputMismatch" in caplog.text


@pytest.mark.parametrize("annotated", [True, False])
async def test_messages_as_dicts(annotated: bool) -> None:
    given = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": {"type": "text", "text": "hi"}},
        {"role": "user", "content": ["a", {"type": "image", "data": "cG5n", "mimeType": "image/png"}]},
        {"role": "assistant", "content": Model()},
        "plain",
        assistant(Model()),
    ]
    fn = function(given, list[dict[str, Any] | str | PromptMessage] if annotated else ...)
    messages = await messages_of(fn)
    assert [each.role for each in messages] == [
        "user",
        "assistant",
        "user",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    texts = [getattr(each.content, "text", None) for each in messages]
    assert texts == ["hello", "hi", "a", None, MODEL, "plain", MODEL]
    (one,) = await messages_of(function(given[0]))
    assert cast("TextContent", one.content).text == "hello"


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "system", "content": "x"},
        {"role": "user", "content": {"type": "text"}},
        PromptMessage(role=cast("Any", "robot"), content=TextContent(text="x")),
        GetPromptResult(messages=[cast("Any", {"role": "user"})]),
        CallToolResult(content=[]),
        [None],
    ],
)
async def test_what_is_no_message_is_the_authors_error(wrong: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError):
        await messages_of(function(wrong))
    assert "OutputMismatch" in caplog.text


async def test_contents_need_text_or_bytes(caplog: pytest.LogCaptureFixture) -> None:
    for wrong in (ResourceContents(uri="a://b"), ResourceContents(uri="a://b", text="a", blob="YQ==")):
        with pytest.raises(InternalError):
            await contents_of(function(wrong))
    assert "either text or blob" in caplog.text


# Refused where they stand


class Opaque:
    """Nothing knows how to write this."""


HERE = re.escape(__file__)


def refused(register: Callable[[], object], told: str) -> None:
    """Registering fails, and says so with the file and line of what is wrong."""
    with pytest.raises(RegistrationError, match=told) as problem:
        register()
    assert re.match(HERE + r":\d+: ", str(problem.value)), str(problem.value)


def offer(kind: str, fn: Callable[..., Any]) -> Callable[[], object]:
    app = App("x")
    return {
        "tool": lambda: app.tool(fn),
        "resource": lambda: app.resource("a://b")(fn),
        "prompt": lambda: app.prompt(fn),
        "method": lambda: app.method("com.example/own")(fn),
    }[kind]


KINDS = ("tool", "resource", "prompt", "method")


@pytest.mark.parametrize("kind", KINDS)
def test_generators_are_refused(kind: str) -> None:
    def sync() -> Iterator[str]:
        yield "a"

    async def asynchronous():
        yield "a"

    refused(offer(kind, sync), "is a generator, and a .* gives its result once")
    refused(offer(kind, asynchronous), "is a generator")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "annotation",
    [
        Opaque,
        list[Opaque],
        Iterator[str],
        AsyncIterator[str],
        Awaitable[str],
        typing.Generator,
        Callable[[], int],
    ],
)
def test_return_types_that_nothing_can_write_are_refused(kind: str, annotation: Any) -> None:
    refused(
        offer(kind, function(None, annotation)), "give\\(\\): (results of type|returns something|says that)"
    )


@pytest.mark.parametrize(
    "kind,annotation",
    [
        ("resource", None),
        ("prompt", None),
        ("resource", TextContent),
        ("resource", CallToolResult),
        ("resource", PromptMessage),
        ("prompt", CallToolResult),
        ("prompt", ReadResourceResult),
        ("tool", GetPromptResult),
        ("method", str),
        ("method", list[int]),
    ],
)
def test_results_of_another_kind_are_refused(kind: str, annotation: Any) -> None:
    refused(offer(kind, function(None, annotation)), "returns")


@pytest.mark.parametrize("kind", KINDS)
def test_the_clients_result_is_refused_and_the_servers_is_named(kind: str) -> None:
    refused(offer(kind, function(None, ToolResult)), "ToolResult; write dovetail.CallToolResult")


async def test_the_clients_result_returned_is_told_to_the_author(caplog: pytest.LogCaptureFixture) -> None:
    given = ToolResult("other", CallToolResult(content=[]))
    app = App("x")
    app.add_tool(function(given))
    app.add_tool(function(given, str), name="annotated")
    async with Client(app) as client:
        for tool in ("give", "annotated"):
            caplog.clear()
            assert (await client.call_tool(tool)).is_error
            assert "write dovetail.CallToolResult(content=[...]" in caplog.text


def test_results_of_other_libraries_are_told_apart() -> None:
    """They are models, so they would be written as data, which nobody means."""
    theirs = type("TextContent", (pydantic.BaseModel,), {"__module__": "mcp.types"})
    refused(offer("tool", function(None, theirs)), "returns a mcp TextContent; write dovetail.TextContent")
    refused(offer("tool", function(None, list[theirs])), "write dovetail.TextContent")


def test_decorators_without_what_they_need() -> None:
    app = cast("Any", App("x"))

    def today() -> str:
        return ""

    refused(
        lambda: app.resource(today), r"today\(\): @app.resource stands alone; write @app.resource\('notes://"
    )
    refused(
        lambda: app.method(today), r"today\(\): @app.method stands alone; write @app.method\('com.example/"
    )
    refused(lambda: app.tool("name"), r"@app.tool was given 'name'; write @app.tool\(name='name'\)")
    refused(lambda: app.prompt("name"), r"@app.prompt was given 'name'; write @app.prompt\(name='name'\)")
    refused(lambda: app.resource(None), r"@app.resource was given None")


def test_options_beside_a_function_count() -> None:
    app = cast("Any", App("x"))
    app.tool(function(1), name="one", title="One")
    assert app.remove_tool("one") is None


@pytest.mark.parametrize("icons", ["https://example.com/i.png", ["https://example.com/i.png"], [7], 7])
def test_icons_as_strings_are_refused(icons: Any) -> None:
    refused(
        lambda: App("x", icons=icons), r"App\(\.\.\.\): icons= is a list of Icons; write icons=\[Icon\(src="
    )
    app = App("x")
    for register in (app.add_tool, app.add_prompt, lambda fn, **more: app.add_resource(fn, "a://b", **more)):
        refused(
            lambda register=register: register(function(1), icons=icons),
            r"give\(\): icons= is a list of Icons",
        )


async def test_icons_and_annotations_as_dicts_are_what_they_say() -> None:
    app = App("x", icons=cast("Any", [{"src": "https://example.com/i.png"}]))
    app.add_tool(
        function(1),
        icons=cast("Any", [{"src": "data:,", "mimeType": "image/png"}]),
        annotations=cast("Any", {"readOnlyHint": True}),
    )
    async with Client(app) as client:
        (tool,) = [each async for each in client.tools()]
    assert tool.icons == [Icon(src="data:,", mime_type="image/png")]
    assert tool.annotations == ToolAnnotations(read_only_hint=True)
    refused(
        lambda: app.add_tool(function(1), name="b", annotations=cast("Any", {"read_only_hint": True})),
        "there is no 'read_only_hint'; write ToolAnnotations",
    )
    refused(
        lambda: app.add_tool(function(1), name="b", annotations=cast("Any", "read-only")),
        "takes ToolAnnotations",
    )
    refused(lambda: app.add_tool(function(1), name="b", title=cast("Any", 7)), "title= is a text")
    refused(lambda: app.add_tool(function(1), name="b", meta=cast("Any", "x")), "meta= is a dict")


@pytest.mark.requirement("R2511-TOOLS-011", "R2607-TOOLS-019")
@pytest.mark.parametrize("kind", ["tool", "resource", "template", "prompt"])
async def test_a_name_that_is_taken_is_refused_unless_it_is_replaced(kind: str) -> None:
    app = App("x")

    def add(fn: Callable[..., Any], **more: Any) -> None:
        if kind == "tool":
            app.add_tool(fn, name="same", **more)
        elif kind == "prompt":
            app.add_prompt(fn, name="same", **more)
        else:
            app.add_resource(fn, "same://x" if kind == "resource" else "same://{name}", **more)

    def first(name: str = "") -> str:
        return "first"

    def second(name: str = "") -> str:
        return "second"

    add(first)
    line = first.__code__.co_firstlineno
    refused(
        lambda: add(second),
        f"second\\(\\): there is a .* already, from {HERE}:{line}; use another name, or replace=True",
    )
    add(second, replace=True)
    async with Client(app) as client:
        if kind == "tool":
            assert (await client.call_tool("same")).text == "second"
        elif kind == "prompt":
            message = (await client.get_prompt("same", {"name": "x"})).messages[0]
            assert cast("TextContent", message.content).text == "second"
        else:
            assert (await client.read("same://x")).contents[0].text == "second"


async def test_replacing_is_one_change_that_clients_hear_of() -> None:
    app = App("x")
    app.add_tool(function(1), name="same")
    async with Client(app) as client:
        async with client.listen(tools=True) as changes:
            app.add_tool(function(2), name="same", title="New", replace=True)
            await anext(aiter(changes))
        assert [each.title async for each in client.tools()] == ["New"]


def test_completers_and_methods_twice_are_refused() -> None:
    app = App("x")

    def words(typed: str) -> list[str]:
        return [typed]

    def one(typed: str) -> str:
        return typed

    app.completion("p", "a")(words)
    refused(lambda: app.completion("p", "a")(words), "'a' of 'p' is completed already, by words")
    refused(lambda: app.completion("p", "b")(one), "returns one text, and a completer gives a list")
    app.method("com.example/x")(function({}))
    refused(lambda: app.method("com.example/x")(function({})), "answered already, by give")
    for name in ("tools/call", "rpc.x", "notifications/x", ""):
        refused(lambda name=name: app.method(name)(function({})), "name|method of the protocol")


async def test_a_completer_may_leave_open_whether_anything_is_settled() -> None:
    """`CompletionContext | None`, as others have it, is the same as without None."""
    app = App("x")

    @app.prompt
    def p(a: str, b: str) -> str:
        return a + b

    @app.completion("p", "b")
    def words(typed: str, settled: CompletionContext | None) -> list[str]:
        return [f"{typed}{(settled and settled.arguments) or {}}"]

    async with Client(app) as client:
        assert (await client.complete("p", "b", "x", context={"a": "1"})).values == ["x{'a': '1'}"]
        assert (await client.complete("p", "b", "x")).values == ["x{}"]


async def test_a_completer_gives_values_of_enumerations_and_no_letters() -> None:
    app = App("x")

    @app.prompt
    def p(a: str, b: str) -> str:
        return a + b

    @app.completion("p", "a")
    def colours(typed: str) -> list[Colour]:
        return [Colour.RED]

    @app.completion("p", "b")
    def letters(typed: str):
        return "abc"

    async with Client(app) as client:
        assert (await client.complete("p", "a", "")).values == ["red"]
        with pytest.raises(InternalError):
            await client.complete("p", "b", "")
