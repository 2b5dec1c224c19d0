"""Results: what goes out as content, what as data, and what never goes out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail import App, Client
from dovetail.protocol.types.content import EmbeddedResource, ImageContent, ResourceLink, TextContent
from dovetail.protocol.types.requests import InputRequired
from dovetail.protocol.types.resources import ReadResourceResult
from dovetail.protocol.types.tools import CallToolResult
from dovetail.server import media
from dovetail.server.markers import Range
from dovetail.server.media import Audio, File, Image
from dovetail.server.output import OutputMismatch, OutputPlan
from dovetail.server.signature import RegistrationError, inspect_function


class Color(enum.Enum):
    """Colours."""

    RED = "red"


@dataclasses.dataclass
class Point:
    """A point."""

    x: Annotated[int, Range(0, 9)]
    when: dt.datetime | None = None


class Shape(TypedDict):
    """A shape."""

    name: str


class Pair(NamedTuple):
    """A pair."""

    a: int
    b: str


class Tree(msgspec.Struct):
    """A tree."""

    name: str
    children: list[Tree] = []


class Model(pydantic.BaseModel):
    """A model with an alias."""

    full_name: str = pydantic.Field(alias="fullName")
    price: decimal.Decimal = decimal.Decimal(1)


def texts(result: CallToolResult) -> list[str]:
    """The texts of a result that holds nothing else."""
    return [block.text if isinstance(block, TextContent) else repr(block) for block in result.content]


def plan_for(annotation, **options) -> Any:
    """The output plan of a function with this return annotation."""

    def tool(): ...

    tool.__annotations__["return"] = annotation
    return OutputPlan(inspect_function(tool), **options)


def untyped():
    """A tool that says nothing about its result."""


BLOCK = TextContent(text="b")
LINK = ResourceLink(uri="a://b", name="b")


@pytest.mark.parametrize(
    "annotation,value,content",
    [
        (str, "hi", [TextContent(text="hi")]),
        (Annotated[str, "doc"], "hi", [TextContent(text="hi")]),
        (str | None, None, []),
        (None, None, []),
        (TextContent, BLOCK, [BLOCK]),
        (TextContent | ImageContent, BLOCK, [BLOCK]),
        (list[TextContent], [BLOCK, BLOCK], [BLOCK, BLOCK]),
        (list[TextContent | str], ["a", BLOCK], [TextContent(text="a"), BLOCK]),
        (tuple[str, ResourceLink], ("a", LINK), [TextContent(text="a"), LINK]),
        (Image, Image(data=b"x"), [ImageContent(data="eA==", mime_type="image/png")]),
        (list[Image | str], [Image(data=b"x"), "a"], [ImageContent.of(b"x"), TextContent(text="a")]),
        (list[TextContent], [], []),
    ],
)
@pytest.mark.requirement("R2511-TOOLS-028", "R2511-TOOLS-012", "R2511-TOOLS-013")
def test_content_goes_out_as_it_is(annotation, value, content):
    """No schema, no structured content."""
    plan = plan_for(annotation)
    assert plan.schema is None
    assert not plan.wraps
    assert plan.convert(value) == CallToolResult(content=content)


@pytest.mark.parametrize("annotation", [list, tuple, list[Any], tuple[Any, ...], list | None])
def test_a_list_of_anything_shows_what_is_content_in_it(annotation):
    """A picture is seen as one, and the data says where it was."""
    picture = Image(data=b"x")
    plan = plan_for(annotation)
    assert plan.convert(["a", picture, {"b": 1}, BLOCK, None]) == CallToolResult(
        content=[TextContent(text="a"), ImageContent.of(b"x"), TextContent(text='{"b":1}'), BLOCK],
        structured_content=["a", {"type": "image", "mimeType": "image/png"}, {"b": 1}, BLOCK.text, None],
    )
    assert plan.convert([1, {"b": 2}]) == CallToolResult(
        content=[TextContent(text='[1,{"b":2}]')], structured_content=[1, {"b": 2}]
    )


def test_without_an_annotation_data_stands_beside_what_is_content():
    plan = plan_for(Any)
    assert plan.convert([Image(data=b"x"), {"b": 1}]) == CallToolResult(
        content=[ImageContent.of(b"x"), TextContent(text='{"b":1}')]
    )


def test_structured_content_of_a_result_is_made_plain():
    """Each revision has to see what it is: an object is not put into another one."""
    plan = plan_for(CallToolResult)
    result = plan.convert(CallToolResult(content=[BLOCK], structured_content=Point(1)))
    assert result.structured_content == {"x": 1, "when": None}


@pytest.mark.parametrize(
    "annotation,value,plain,wraps",
    [
        (int, 3, 3, True),
        (bool, True, True, True),
        (list[int], [1, 2], [1, 2], True),
        (list[str], ["a"], ["a"], True),
        (set[int], {1}, [1], True),
        (dict[str, int], {"a": 1}, {"a": 1}, False),
        (dict, {"a": dt.date(2026, 1, 2)}, {"a": "2026-01-02"}, False),
        (dict[int, str], {1: "a"}, {"1": "a"}, False),
        (Literal["a"], "a", "a", True),
        (Color, Color.RED, "red", True),
        (Point, Point(1), {"x": 1, "when": None}, False),
        (Point | None, None, None, True),
        (Point | None, Point(1), {"x": 1, "when": None}, True),
        (Point, {"x": 1}, {"x": 1}, False),
        (Shape, {"name": "a"}, {"name": "a"}, False),
        (Pair, Pair(1, "a"), [1, "a"], True),
        (Tree, Tree("a", [Tree("b")]), {"name": "a", "children": [{"name": "b", "children": []}]}, False),
        (Model, Model(fullName="a"), {"fullName": "a", "price": "1"}, False),
        (list[Model], [Model(fullName="a")], [{"fullName": "a", "price": "1"}], True),
        (Point | Model, Model(fullName="a"), {"fullName": "a", "price": "1"}, True),
        (int | Point | CallToolResult, 3, 3, True),
        (decimal.Decimal, decimal.Decimal("1.5"), "1.5", True),
    ],
)
@pytest.mark.requirement("R2511-TOOLS-015", "R2511-TOOLS-016")
def test_data_gives_schema_structured_content_and_text(annotation, value, plain, wraps):
    """The value as plain JSON, valid against the schema, and the same JSON as text."""
    plan = plan_for(annotation)
    result = plan.convert(value)
    assert json.loads(json.dumps(result.structured_content)) == plain
    assert [json.loads(text) for text in texts(result)] == [plain]
    assert plan.wraps is wraps
    jsonschema.Draft202012Validator.check_schema(plan.schema)
    jsonschema.Draft202012Validator(plan.schema).validate(plain)


def test_the_root_of_a_schema_is_no_reference():
    """A recursive type stands at the root and among the definitions."""
    schema = plan_for(Tree).schema
    assert schema["type"] == "object"
    assert "$ref" not in schema
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert "$defs" not in plan_for(Point).schema


@pytest.mark.parametrize(
    "annotation,value",
    [
        (str, 3),
        (None, 3),
        (TextContent, {"type": "text"}),
        (list[TextContent], [3]),
        (int, "3"),
        (int, True),
        (float, float("nan")),
        (Point, Point("a")),  # pyright: ignore[reportArgumentType] - the fault under test
        (Point, Point(99)),
        (Point, None),
        (Point, object()),
        (Point, BLOCK),
        (dict[str, int], {"a": "b"}),
        (dict, [1]),
        (dict, {"a": object()}),
        (Any, object()),
        (Any, {"a": {1j}}),
        (Model, {"full_name": 1}),
        (Point, CallToolResult(content=[])),
        (Point, CallToolResult(content=[], structured_content={"x": "a"})),
        (Image, Image(path="/nowhere/at/all.png")),
    ],
)
@pytest.mark.requirement("R2511-TOOLS-016")
def test_r105_a_broken_promise_never_goes_out(annotation, value):
    """The author is told which function it was."""
    with pytest.raises(OutputMismatch, match=r"tool\(\)"):
        plan_for(annotation).convert(value)


@pytest.mark.parametrize("annotation", [Any, object])
@pytest.mark.parametrize(
    "value,text,structured",
    [
        ("hi", ["hi"], msgspec.UNSET),
        (None, [], msgspec.UNSET),
        (3, ["3"], msgspec.UNSET),
        ([1, 2], ["[1,2]"], msgspec.UNSET),
        ([], ["[]"], msgspec.UNSET),
        (["a", BLOCK], ["a", "b"], msgspec.UNSET),
        ({"a": Color.RED}, ['{"a":"red"}'], {"a": "red"}),
        (Point(1), ['{"x":1,"when":null}'], {"x": 1, "when": None}),
    ],
)
def test_without_a_promise_the_value_decides(annotation, value, text, structured):
    """Text stays text, other values are JSON, objects are structured content too."""
    for plan in (plan_for(annotation), OutputPlan(inspect_function(untyped))):
        result = plan.convert(value)
        assert plan.schema is None
        assert texts(result) == text
        assert result.structured_content == structured


def test_full_results_pass():
    """Errors need no structured content; questions are no results yet."""
    error = CallToolResult(content=[BLOCK], is_error=True)
    whole = CallToolResult(content=[BLOCK], structured_content={"x": 1})
    asking = InputRequired(request_state="s")
    for annotation in (Point, Point | CallToolResult, Any, str, CallToolResult):
        assert plan_for(annotation).convert(error) is error
        assert plan_for(annotation).convert(whole) is whole
        assert plan_for(annotation).convert(asking) is asking


def test_explicit_schema():
    """The author's own schema replaces the derived one."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for annotation in (dict, Any, str):
        plan = plan_for(annotation, schema=schema)
        assert plan.schema is schema
        assert plan.convert({"a": 1}).structured_content == {"a": 1}
        with pytest.raises(OutputMismatch, match="a: expected"):
            plan.convert({})
    assert plan_for(Any, schema={"anyOf": [{"type": "object"}]}).wraps
    with pytest.raises(RegistrationError):
        plan_for(Any, schema={"type": 3})


@pytest.mark.parametrize("annotation", [complex, type, list[complex]])
def test_what_cannot_be_described_is_refused(annotation, monkeypatch):
    """At registration, with what to do."""
    monkeypatch.delitem(__import__("sys").modules, "pydantic")
    with pytest.raises(RegistrationError, match="return a dataclass"):
        plan_for(annotation)


@pytest.mark.requirement("R2511-TOOLS-013")
def test_files(tmp_path: Path):
    """Text as text, bytes as bytes, types and addresses from the path."""
    (tmp_path / "a.md").write_text("# hé", "utf-8")
    (tmp_path / "b.bin").write_bytes(b"\xff")
    (tmp_path / "c.txt").write_bytes(b"\xff")
    plan = plan_for(list[File])
    blocks = plan.convert([File(path=tmp_path / name) for name in ("a.md", "b.bin", "c.txt")]).content
    found: list[Any] = [block.resource for block in blocks if isinstance(block, EmbeddedResource)]
    assert [each.text for each in found] == ["# hé", None, None]
    assert [each.blob for each in found] == [None, "/w==", "/w=="]
    assert found[0].uri == (tmp_path / "a.md").as_uri()
    assert (
        File(data=b"{}", mime_type="application/json", name="x y.json").block().resource.uri
        == "file:///x%20y.json"
    )
    for kind, uri in (
        ("application/pdf", "file:///file.pdf"),
        ("text/csv; charset=utf-8", "file:///file.csv"),
        ("application/vnd.example+thing", "file:///file"),
    ):
        assert File(b"", mime_type=kind).block().resource.uri == uri
    assert Audio(path="a.mp3", mime_type=None)._type("audio/wav") == "audio/mpeg"
    with pytest.raises(ValueError, match="either data or path"):
        Image()
    with pytest.raises(ValueError, match="either data or path"):
        Image(data=b"", path="x")


def test_media_are_bounded(tmp_path: Path, monkeypatch):
    """A file that is too large is refused, not sent."""
    monkeypatch.setattr(media, "MAX_MEDIA_BYTES", 10)
    (tmp_path / "big.png").write_bytes(b"x" * 11)
    with pytest.raises(OutputMismatch, match="resource"):
        plan_for(Image).convert(Image(path=tmp_path / "big.png"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda i: st.lists(i) | st.dictionaries(st.text(), i),
    )
)
def test_any_json_without_a_promise(value):
    """Whatever is JSON goes out as that JSON."""
    plan = plan_for(Any)
    try:
        result = plan.convert(value)
    except OutputMismatch:
        return
    if not isinstance(value, str) and value is not None:
        assert len(result.content) == 1
        json.loads(texts(result)[0])


MADE: Any = CallToolResult  # authors' code is not always checked


@pytest.mark.parametrize(
    "result",
    [
        MADE(content=[], structured_content=object()),
        MADE(content=[], structured_content={"a": "\ud800"}),
        MADE(content=[5]),
        MADE(content="text"),
        MADE(content=[5.5]),
        MADE(content=[], is_error="yes"),
        MADE(content=[], meta=5),
        ReadResourceResult(contents=[]),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("returns", [CallToolResult, Any])
async def test_a_result_built_by_hand_that_is_none_ends_cleanly(result, returns, caplog):
    """Nothing of it is sent: an error for the caller, and for the author a log line that names the tool."""
    app = App("by hand")

    async def handmade():
        return result

    handmade.__annotations__["return"] = returns
    app.tool(handmade)
    async with Client(app) as client:
        answer = await client.call_tool("handmade")
        assert answer.is_error
        assert answer.structured in (None, msgspec.UNSET)
        assert answer.text == "The tool 'handmade' failed."
    assert any(
        "handmade" in record.getMessage() for record in caplog.records if record.name.startswith("dovetail")
    )
    assert "OutputMismatch" in caplog.text
