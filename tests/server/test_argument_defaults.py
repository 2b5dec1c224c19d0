"""Defaults: one for each call where it can change, and of the parameter's type or refused where they stand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from argument_types import Attrs, Color, Model, Options, Place, plan_of

from dovetail import App, Client
from dovetail.server.markers import Depends, Header, Length, Range
from dovetail.server.signature import RegistrationError


class Mode(enum.StrEnum):
    """A choice that is text too."""

    FAST = "fast"


class Struct(msgspec.Struct):
    """Can be changed."""

    items: list[int] = []


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Cannot be changed; what it holds can."""

    items: list[int]


@dataclasses.dataclass(frozen=True)
class Solid:
    """Cannot be changed at all."""

    x: int = 1


class Held(NamedTuple):
    """A tuple with a list in it."""

    items: list[int]


class Entry(TypedDict):
    """A plain dict at run time."""

    a: int


MARKER: Any = object()
SHARED: Any = Solid()
NOTHING: Any = None


def each_kind(
    a: list[int] = [],  # noqa: B006 - the point of it
    b: list[int] = [1],  # noqa: B006 - a default that can change
    c: dict[str, list[int]] = {"k": [1]},  # noqa: B006 - a default that can change
    d: Place = Place(1),
    e: Struct = Struct(),
    f: Model = Model(name="abc"),
    g: Frozen = Frozen([1]),
    h: tuple[list[int], ...] = ([1],),
    i: Attrs = Attrs(1),
    j: list[Model] = [Model(name="abc")],  # noqa: B006 - a default that can change
    k: list[int] = pydantic.Field(default_factory=lambda: [1]),
):
    """Defaults of every kind that can change."""


def test_a_default_that_can_change_is_made_for_each_call():
    """Equal, and never the same: lists, dicts, classes with fields, what is inside of them."""
    plan = plan_of(each_kind)
    first, second = plan.decode(b"{}"), plan.decode(b"{}")
    assert first == second
    for name, one, other in zip(plan.names, first, second, strict=True):
        assert one is not other, name
    assert first[6].items is not second[6].items
    assert first[7][0] is not second[7][0]
    first[2]["k"].append(2)
    first[9][0].size = 7
    assert plan.decode(b"{}")[2] == {"k": [1]}
    assert plan.decode(b"{}")[9][0].size == 1


def test_a_default_that_cannot_change_is_the_authors_own():
    """A sentinel above all: the function compares it with `is`."""

    def tool(a: Any = MARKER, b: Solid = SHARED, c: Any = len, d: tuple[int, ...] = (1,)): ...

    values = plan_of(tool).decode(b"{}")
    assert values[0] is MARKER
    assert values[1] is SHARED
    assert values[2] is len


def test_a_factory_is_asked_for_each_call():
    """`Field(default_factory=...)`: another value each time, and none in the schema."""

    def tool(key: uuid.UUID = pydantic.Field(default_factory=uuid.uuid4)): ...

    plan = plan_of(tool)
    assert plan.decode(b"{}") != plan.decode(b"{}")
    assert "default" not in plan.schema["properties"]["key"]
    assert "required" not in plan.schema


async def test_prompts_resources_and_dependencies_have_their_own_too():
    """Nothing that one call appends is there for the next."""
    app = App("defaults")

    def collected(seen: list[int] = []) -> int:  # noqa: B006 - the point of it
        seen.append(1)
        return len(seen)

    @app.prompt
    def ask(seen: list[int] = []) -> str:  # noqa: B006 - a default that can change
        seen.append(1)
        return str(len(seen))

    @app.resource("notes://all{?seen*}")
    def notes(seen: list[int] = []) -> str:  # noqa: B006 - a default that can change
        seen.append(1)
        return str(len(seen))

    @app.tool
    def count(n: Annotated[int, Depends(collected)], seen: list[int] = []) -> list[int]:  # noqa: B006 - a default that can change
        seen.append(1)
        return [n, len(seen)]

    async with Client(app) as client:
        for _ in range(2):
            assert (await client.call_tool("count")).value == [1, 1]
            prompt = await client.get_prompt("ask")
            assert prompt.messages[0].content.text == "1"  # type: ignore[union-attr] # it is text
            assert (await client.read("notes://all")).contents[0].text == "1"


def test_what_is_not_given_but_none_is_optional():
    """`x: str = None`, as people write it: null is welcome, and so it says in the schema."""

    def tool(
        a: str = NOTHING,  # as a checker sees it; what people write is None
        b: Annotated[int, Range(1, 3), "a number"] = NOTHING,
        c: int = pydantic.Field(NOTHING, ge=2),  # the same, as pydantic's users write it
        d: Annotated[str, Header("Region")] = NOTHING,  # a header is never null
        e: Any = None,
        f: Literal["a", None] = None,
    ): ...

    plan = plan_of(tool)
    properties = plan.schema["properties"]
    null = {"type": "null"}
    assert properties["a"] == {"anyOf": [{"type": "string"}, null], "default": None}
    assert properties["b"] == {
        "description": "a number",
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 3}, null],
        "default": None,
    }
    assert properties["c"]["anyOf"] == [{"type": "integer", "minimum": 2}, null]
    assert properties["d"] == {"type": "string", "x-mcp-header": "Region"}
    assert plan.decode(b'{"a":null,"b":null,"c":null}') == (None,) * 6
    assert plan.decode(b'{"a":"x","b":2,"c":2,"d":"y"}') == ("x", 2, 2, "y", None, None)


def refused_1(n: int = "x"): ...  # type: ignore[assignment] # each of these is the point of it


def refused_2(n: list[int] = ["a"]): ...  # type: ignore[list-item] # it does not fit # noqa: B006 - a default that can change


def refused_3(n: Color = "red"): ...  # type: ignore[assignment] # it does not fit


def refused_4(n: dt.date = "2026-01-02"): ...  # type: ignore[assignment] # it does not fit


def refused_5(n: Place = {"x": 1}): ...  # type: ignore[assignment] # it does not fit # noqa: B006 - a default that can change


def refused_6(n: Annotated[int, Range(1, 9)] = 0): ...


def refused_7(n: Annotated[str, Length(1)] = ""): ...


def refused_8(n: Literal["a", "b"] = "c"): ...  # type: ignore[assignment] # it does not fit


def refused_9(n: int = pydantic.Field(0, ge=1)): ...


def refused_10(n: Path = "."): ...  # type: ignore[assignment] # it does not fit


def refused_11(n: bool | None = "no", *, needed: int): ...  # type: ignore[assignment] # it does not fit


def refused_12(n: Options = {"b": "c"}): ...  # type: ignore[typeddict-item] # it does not fit # noqa: B006 - a default that can change


REFUSED = [
    refused_1,
    refused_2,
    refused_3,
    refused_4,
    refused_5,
    refused_6,
    refused_7,
    refused_8,
    refused_9,
    refused_10,
    refused_11,
    refused_12,
]


@pytest.mark.parametrize("function", REFUSED)
def test_a_default_that_does_not_fit_is_refused_where_it_stands(function: Any):
    """With file, line, function and parameter; for constraints as for types, for tools as for prompts."""
    app = App("refused")
    for add in (app.add_tool, app.add_prompt):
        with pytest.raises(RegistrationError) as caught:
            add(function)
        text = str(caught.value)
        assert text.startswith(f"{__file__}:{function.__code__.co_firstlineno}: {function.__name__}()")
        assert caught.value.parameter == "n"
        assert "does not fit the annotation" in text


def test_defaults_that_fit():
    """Numbers where numbers are wider, abstract containers, aliases of models, texts that are choices."""
    tagged = pydantic.create_model("Tagged", first_name=(str, pydantic.Field(alias="firstName")))
    url = pydantic.AnyUrl("http://a")

    def tool(
        a: float = 1,
        b: Sequence[str] = (),
        c: Mode = Mode.FAST,
        d: Options = {"a": 1},  # noqa: B006 - a default that can change
        f: Any = tagged(firstName="x"),
        g: list[Entry] = [{"a": 1}],  # noqa: B006 - a default that can change
        h: dict[str, int | None] = {"a": None},  # noqa: B006 - a default that can change
        i: pydantic.AnyUrl = url,
        j: pydantic.SecretStr = pydantic.SecretStr("s"),
        k: Annotated[Path, pydantic.DirectoryPath] = Path("/not/there"),
    ): ...

    tool.__annotations__["f"] = tagged
    values = plan_of(tool).decode(b"{}")
    assert values[:4] == (1, (), Mode.FAST, {"a": 1})
    assert values[7] is url


def test_a_secret_default_is_not_told():
    """Not even to the author's log."""

    def tool(password: int = "hunter2"): ...  # type: ignore[assignment] # the point of it

    with pytest.raises(RegistrationError) as caught:
        plan_of(tool)
    assert "hunter2" not in str(caught.value)
