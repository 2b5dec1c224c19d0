"""Servers with tools of random types: their modules import, type-check, and give what a `Client` gives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from type_models import SHAPES, Shape
from written import check_harmless, complaints, formatted, loaded, surface

from dovetail import App, Client, RegistrationError, ToolResult
from dovetail.client import OutputInvalid
from dovetail.codegen import ServerSurface, generate
from dovetail.types import Tool

CALM = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def app_of(shape: Shape) -> App:
    """An app whose tool takes such a value and gives it back, as far as its type can be a result."""
    app = App("echo")

    def echo(x: Any) -> Any:
        return x

    for result in (shape.annotation, Any):
        echo.__annotations__ = {"x": shape.annotation, "return": result}
        try:
            app.tool(echo)
        except RegistrationError:
            continue
        return app
    raise AssertionError("a type that can be no argument")


def kept(typed: Any, raw: Any) -> bool:
    """Whether a value is what came, but for members that its type does not have."""
    if isinstance(typed, dict) and isinstance(raw, dict):
        return all(name in raw and kept(each, raw[name]) for name, each in typed.items())
    if isinstance(typed, (list, tuple)) and isinstance(raw, list):
        return len(typed) == len(raw) and all(map(kept, typed, raw))
    return typed == raw


@settings(CALM, max_examples=40)
@given(shape=SHAPES, data=st.data(), typed_dict=st.booleans())
def test_typed_calls_give_what_the_client_gives(
    shape: Shape, data: st.DataObject, typed_dict: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same value, equal to `call_tool(into=...)` of the same type."""
    app = app_of(shape)
    value = data.draw(shape.values)

    async def calls() -> None:
        text = generate(await surface(app), typed_dict=typed_dict)
        check_harmless(text)
        module = loaded(text, tmp_path_factory.mktemp("written"))
        async with module.EchoClient(app) as echo, Client(app) as client:
            result = await client.call_tool("echo", {"x": value})
            assert not result.is_error, result.text
            typed = await echo.echo(x=value)
            kind = get_type_hints(module.EchoClient.echo)["return"]
            if kind is ToolResult:
                assert (typed.text, typed.structured) == (result.text, result.structured)
                return
            assert typed == await client.call_tool("echo", {"x": value}, into=kind)
            plain = msgspec.to_builtins(typed)
            assert kept(plain, result.value), (plain, result.value, kind)

    asyncio.run(calls())


def test_modules_of_random_servers_type_check(tmp_path: Path) -> None:
    """By the strictest rules, all of them at once."""
    texts: list[str] = []

    @settings(CALM, max_examples=25, derandomize=True, database=None)
    @given(shape=SHAPES, typed_dict=st.booleans())
    def gather(shape: Shape, typed_dict: bool) -> None:
        app = app_of(shape)
        text = generate(asyncio.run(surface(app)), typed_dict=typed_dict)
        assert formatted(text) == text
        texts.append(text)

    gather()
    for number, text in enumerate(texts):
        (tmp_path / f"written_{number}.py").write_text(text)
    assert complaints(tmp_path) == []


OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
    "required": ["a"],
}
WAYS: list[tuple[dict[str, Any], str]] = [
    ({"type": "string", "format": "date-time"}, "str"),
    ({"type": ["string", "null"]}, "str | None"),
    ({"type": "string", "nullable": True}, "str"),
    ({"const": 1}, "Literal[1]"),
    ({"const": None}, "None"),
    ({"enum": ["a", 1, None]}, 'Literal["a", 1, None]'),
    ({"enum": [1.5, "a"]}, "float | str"),
    ({"enum": [True, False]}, "bool"),
    ({"enum": []}, "Any"),
    ({"type": "array", "items": {"type": "integer"}}, "list[int]"),
    ({"type": "array"}, "list[Any]"),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}, {}], "items": False, "minItems": 2},
        "tuple[int, Any]",
    ),
    (
        {"type": "array", "items": [{"type": "integer"}], "additionalItems": False, "minItems": 1},
        "tuple[int]",
    ),
    ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, "list[int | str]"),
    ({"type": "object"}, "dict[str, Any]"),
    ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
        },
        "dict[str, int | str]",
    ),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "int | None"),
    ({"oneOf": [{"const": "a"}, {"const": "b"}]}, 'Literal["a", "b"]'),
    ({"anyOf": [{"const": "a"}, {"type": "string"}]}, "str"),
    ({"anyOf": [{"type": "integer"}, {}]}, "Any"),
    ({"type": "array", "anyOf": [{"items": {"type": "integer"}}, {"items": {"type": "string"}}]}, "TX"),
    ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "str"),
    ({"allOf": [OBJECT, {"properties": {"c": {"type": "integer"}}, "required": ["c"]}]}, "TX"),
    ({"$ref": "#/$defs/point"}, "Point"),
    ({"$ref": "#/$defs/list"}, "list[Any]"),
    ({"$ref": "https://example.com/elsewhere.json"}, "Any"),
    ({"$ref": "#/$defs/nowhere"}, "Any"),
    ({"properties": {"a": {}}}, "TX"),
    ({"type": "what"}, "Any"),
]


@pytest.mark.parametrize("schema,text", WAYS)
def test_what_a_schema_becomes(schema: dict[str, Any], text: str) -> None:
    """One way or another of saying it."""
    root = {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "$defs": {
            "point": {"type": "object", "properties": {"next": {"$ref": "#/$defs/point"}}},
            "list": {"type": "array", "items": {"$ref": "#/$defs/list"}},
        },
    }
    written = generate(ServerSurface(revision="x", tools=(Tool(name="t", input_schema=root),)))
    assert f"        x: {text},\n" in written
    if text == "Point":
        assert "    next: Point | UnsetType = UNSET\n" in written
    if "allOf" in schema and text == "TX":
        assert "    a: int\n    c: int\n    b: str | UnsetType = UNSET\n" in written


async def test_a_result_that_does_not_fit_is_told(tmp_path: Path) -> None:
    """A server that gives something else than it promised, to one who does not check it by the schema."""
    app = App("echo")

    @app.tool(output_schema={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    async def echo() -> dict[str, Any]:
        return {"a": 1}

    text = generate(await surface(app))
    module = loaded(text.replace("    a: int\n", "    a: str\n"), tmp_path)
    async with module.EchoClient(app) as client:
        with pytest.raises(OutputInvalid, match="echo"):
            await client.echo()
