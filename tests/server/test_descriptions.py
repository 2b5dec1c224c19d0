"""What clients are told of tools, prompts, resources, parameters and classes: all that the author wrote."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Annotated, Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from argument_types import plan_for
from typing_extensions import TypedDict  # which pydantic takes on Python 3.11 too

from dovetail import App, Client, Doc

TEXT = """Look for notes.

Do not use this for single notes: `get` is cheaper.

Note:
    Words are stemmed.

Example:
    find("cats")"""


def find(words: str, limit: Annotated[int, Doc("not more than this")] = 3) -> str:
    """Look for notes.

    Do not use this for single notes: `get` is cheaper.

    Args:
        words: what to look for:

            - words,
            - "phrases"
        limit: the marker says more

    Returns:
        what was found

    Raises:
        KeyError: never

    Note:
        Words are stemmed.

    Example:
        find("cats")
    """
    return words * limit


WORDS = 'what to look for:\n\n- words,\n- "phrases"'


async def test_descriptions_are_whole_docstrings():
    """Of tools, prompts and resources, their parameters' texts where those belong: a template has no other place."""
    app = App("described")
    app.add_tool(find)
    app.add_prompt(find)
    app.add_resource(find, "notes://{words}")
    async with Client(app) as client:
        tool = (await client.list_tools()).tools[0]
        assert tool.description == TEXT
        properties: Any = tool.input_schema["properties"]
        assert properties["words"]["description"] == WORDS
        assert properties["limit"]["description"] == "not more than this"
        prompt = (await client.list_prompts()).prompts[0]
        assert prompt.description == TEXT
        assert [each.description for each in prompt.arguments or []] == [WORDS, "not more than this"]
        listed = await client.list_resource_templates()
        assert listed.resource_templates[0].description == f"{TEXT}\n\nwords: {WORDS}"


async def test_a_description_that_is_given_is_that_of_a_template():
    app = App("described")
    app.add_resource(find, "notes://{words}", description="Notes.")
    async with Client(app) as client:
        listed = await client.list_resource_templates()
        assert listed.resource_templates[0].description == "Notes."


class Kind(enum.Enum):
    """Kinds.

    Not for all.

    Attributes:
        A: the first
    """

    B = "b"
    A = "a"


DOC = """A thing.

    Not for squares.

    Attributes:
        x: across
        kind: what it is,
            in a word
    """


@dataclasses.dataclass
class Data:
    __doc__ = DOC
    x: int
    kind: Kind = Kind.B


@attrs.define
class Attrs:
    __doc__ = DOC
    x: int
    kind: Kind = Kind.B


class Struct(msgspec.Struct):
    __doc__ = DOC
    x: int
    kind: Kind = Kind.B


class Typed(TypedDict):
    x: int
    kind: Kind


class Named(NamedTuple):
    x: int
    kind: Kind = Kind.B


Named.__doc__ = DOC


class Model(pydantic.BaseModel):
    __doc__ = DOC
    x: int
    kind: Kind = Kind.B


Typed.__doc__ = DOC


@pytest.mark.parametrize("kind", [Data, Attrs, Struct, Typed, Named, Model])
@pytest.mark.parametrize("nested", [False, True])
def test_classes_are_described_by_the_same_rule(kind: Any, nested: bool):
    """Text without sections; what is said of fields goes to these; choices keep their order."""
    many: Any = list.__class_getitem__(kind)
    if nested and kind in (Attrs, Struct):
        holder: Any = msgspec.defstruct("Holder", [("things", many)])
    elif nested:
        holder = pydantic.create_model("Holder", things=(many, ...))
    else:
        holder = kind
    schema = plan_for(holder).schema
    found = next(each for each in _all(schema) if each.get("description") == "A thing.\n\nNot for squares.")
    parts = found["prefixItems"] if kind is Named else list(found["properties"].values())
    assert [part["description"] for part in parts] == ["across", "what it is,\nin a word"]
    assert next(each["enum"] for each in _all(schema) if "enum" in each) == ["b", "a"]
    assert "Attributes" not in json.dumps(schema)


@dataclasses.dataclass
class Plain:
    x: int


class Pair(NamedTuple):
    x: int


class Choice(enum.IntEnum):
    TWO = 2
    ONE = 1


@pytest.mark.parametrize("annotation", [Plain, Pair, Choice, list[Plain], dict[str, Pair]])
@pytest.mark.parametrize("by_pydantic", [False, True])
def test_what_python_writes_describes_nothing(annotation: Any, by_pydantic: bool):
    """`Plain(x: int)` and the like are no docstrings."""
    kind = pydantic.create_model("Holder", held=(annotation, ...)) if by_pydantic else annotation
    assert not [each for each in _all(plan_for(kind).schema) if "description" in each]


def _all(tree: Any) -> list[dict[str, Any]]:
    """Every schema in a schema."""
    inner = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    found = [part for each in inner for part in _all(each)]
    return [tree, *found] if isinstance(tree, dict) else found
