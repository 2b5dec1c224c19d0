"""Types that the tests of arguments share, and short ways to a plan and to its complaints."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Annotated, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from dovetail.server.arguments import ArgumentsPlan, BadArguments
from dovetail.server.markers import Range
from dovetail.server.signature import inspect_function


class Color(enum.Enum):
    """Colours."""

    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    """Sizes."""

    S = 1
    L = 2


@dataclasses.dataclass
class Place:
    """A place that checks itself."""

    x: Annotated[int, Range(0, 9)]
    label: str = "home"

    def __post_init__(self):
        if self.x == 7:
            raise ValueError(f"7 is taken by {self.label}")


class Options(TypedDict):
    """Options."""

    a: int
    b: NotRequired[str]


class Pair(NamedTuple):
    """A pair."""

    left: int
    right: str = "r"


class Node(msgspec.Struct):
    """A tree."""

    name: str
    children: list[Node] = []


class Model(pydantic.BaseModel):
    """A pydantic model."""

    name: str = pydantic.Field(min_length=2)
    size: Annotated[int, pydantic.Field(ge=1)] = 1
    parent: Model | None = None

    @pydantic.field_validator("name")
    @classmethod
    def no_root(cls, value: str) -> str:
        """Refuse one name."""
        if value == "root":
            raise ValueError("root is taken")
        return value


@attrs.define
class Attrs:
    """An attrs class."""

    a: int
    b: str = "b"


def plan_of(function, **options):
    """The arguments plan of a function."""
    return ArgumentsPlan(inspect_function(function), **options)


def plan_for(annotation):
    """The plan of a function with one required parameter, x."""

    def tool(x): ...

    tool.__annotations__["x"] = annotation
    return plan_of(tool)


def complaint(plan, data):
    """The text for arguments that do not fit."""
    with pytest.raises(BadArguments) as caught:
        plan.decode(data if isinstance(data, bytes) else json.dumps(data).encode())
    return str(caught.value)
