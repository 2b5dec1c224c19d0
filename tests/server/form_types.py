"""Types that the tests of forms share."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
import pydantic

from dovetail.server.markers import Format, Length, Pattern, Range


class Color(enum.Enum):
    """Colours, not in the order of the alphabet."""

    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    """Sizes."""

    S = 1
    L = 2


class Titled(enum.Enum):
    """Members with texts of their own."""

    def __new__(cls, value: str, text: str):
        member = object.__new__(cls)
        member._value_ = value
        member.__doc__ = text
        return member

    Y = "y", "Yes, please"
    N = "n", "No"


@dataclasses.dataclass
class Booking:
    """A booking.

    Args:
        name: who travels
    """

    name: Annotated[str, Length(1, 20)]
    mail: Annotated[str, Format("email")]
    seats: Annotated[int, Range(1, 9)] = 1
    price: Annotated[float, msgspec.Meta(gt=0)] = 9.5
    color: Color = Color.RED
    size: Size | None = None
    reply: Titled = Titled.Y
    extras: Annotated[list[Literal["wifi", "meal"]], Length(0, 2)] = dataclasses.field(
        default_factory=lambda: ["meal"]
    )
    day: dt.date | None = None
    at: dt.datetime | None = None
    window: bool = True
    code: Annotated[str, Pattern("^[A-Z]+$")] | None = None


class Pair(NamedTuple):
    """A pair."""

    a: int
    b: bool = True
    c: str | None = None


class Options(TypedDict):
    """Options."""

    a: int
    b: NotRequired[str]
    c: str | None


class Person(msgspec.Struct, rename="camel"):
    """A person."""

    first_name: str
    shoe_size: Size = Size.L
    age: int | None = None


class Model(pydantic.BaseModel):
    """A model."""

    name: str = pydantic.Field(description="a name", min_length=2)
    count: Annotated[int, pydantic.Field(gt=3)] = 7
    color: Color | None = None


@attrs.define
class Attrs:
    """An attrs class."""

    a: int
    b: str = "b"
    c: list[Color] = attrs.field(factory=lambda: [Color.RED])


RAW: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {
            "type": "string",
            "oneOf": [{"const": "x", "title": "X"}, {"const": "y", "title": "Y"}],
            "default": "x",
        },
        "b": {"type": "string", "enum": ["p", "q"], "enumNames": ["P", "Q"]},
        "c": {"type": "string", "format": "date"},
        "d": {"type": "number", "minimum": 0.5, "title": "D"},
    },
    "required": ["d"],
}
