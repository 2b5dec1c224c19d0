"""Dataclasses are read through Structs of the same fields, and nobody can tell but by the time that it takes."""

from dataclasses import InitVar, dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail import App, Client
from dovetail.server.native import completion, twin

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float = 1.5
    label: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    low: Annotated[int, msgspec.Meta(ge=0)] = 0
    colour: Colour = Colour.RED
    since: date = date(2026, 1, 2)


@dataclass
class Shape:
    points: list[Point]
    limits: Limits | None = None
    named: dict[str, list[Point]] = field(default_factory=dict)
    rest: tuple[Point, ...] | None = None


@dataclass
class Checked:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")
        self.span = self.high - self.low


@dataclass
class Holding:
    checked: list[Checked]


READ_THROUGH = [
    Point,
    Limits,
    Shape,
    Checked,
    Holding,
    list[Point],
    dict[str, Shape],
    Point | None,
    Point | str,
    tuple[Limits, ...],
    list[Shape | None],
    Annotated[list[Checked], msgspec.Meta(min_length=1)],
]


@dataclass
class Written:
    x: int

    def __init__(self, x: int) -> None:
        self.x = x * 2


@dataclass
class Tree:
    children: "list[Tree]" = field(default_factory=list)


@dataclass
class Late:
    x: int
    later: int = field(init=False, default=3)


@dataclass
class Given:
    x: int
    seed: InitVar[int] = 3


@dataclass(kw_only=True)
class Named:
    x: int


@dataclass
class Guarded:
    x: int

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)


@dataclass
class Singular:
    x: int

    def __new__(cls, *_: Any) -> "Singular":
        return super().__new__(cls)


class Plain(Point):
    """No dataclass of its own."""


@dataclass
class Wrapped(Generic[T]):
    item: T


@dataclass
class WithDefault:
    limits: Limits = Limits(low=4)


@dataclass
class Beside:
    wrapped: Wrapped[int]


READ_AS_THEY_ARE = [
    int,
    list[str],
    Written,
    Tree,
    Late,
    Given,
    Named,
    Guarded,
    Singular,
    Plain,
    Wrapped[int],
    WithDefault,
    Beside,
    set[Limits],
    tuple[Point, int],
    Point | list[Point],
    list[Written | None],
]

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from([0.5, "red", "blue", "2026-03-04", ""])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "x",
                    "y",
                    "label",
                    "tags",
                    "low",
                    "high",
                    "since",
                    "points",
                    "limits",
                    "named",
                    "checked",
                    "no",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


def outcome(read: Any, data: bytes) -> Any:
    try:
        return read(data)
    except msgspec.ValidationError:
        return "refused"


def by_msgspec(kind: Any) -> Any:
    decode, complete = msgspec.json.Decoder(kind).decode, completion([kind])

    def read(data: bytes) -> Any:
        value = decode(data)
        if complete is not None:
            complete((value,))
        return value

    return read


def through_twin(kind: Any) -> Any:
    found = twin(kind)
    assert found is not None
    decode, convert = msgspec.json.Decoder(found[0]).decode, found[1]
    return lambda data: convert(decode(data))


READERS = [(by_msgspec(kind), through_twin(kind)) for kind in READ_THROUGH]


@settings(max_examples=400, deadline=None)
@given(readers=st.sampled_from(READERS), value=JSON)
def test_what_is_read_through_a_twin_is_what_msgspec_reads(readers: tuple[Any, Any], value: Any) -> None:
    """Equal objects of the same attributes, or both refuse."""
    json = msgspec.json.encode(value)
    expected, found = (outcome(each, json) for each in readers)
    assert found == expected
    assert repr(found) == repr(expected)
    if type(found) in (Point, Shape, Checked, Holding):
        assert vars(found) == vars(expected)


@pytest.mark.parametrize(
    "kind, said",
    [
        (list[Point], b'[{"x":1},{"x":2,"y":3,"label":"a","tags":["b"]},{"other":1,"x":4}]'),
        (
            Shape,
            b'{"points":[{"x":1}],"limits":{"low":2},"named":{"a":[{"x":2}]},"rest":[{"x":3},{"x":4}]}',
        ),
        (Holding, b'{"checked":[{"low":1,"high":4}]}'),
        (Point | str, b'"text"'),
        (Point | str, b'{"x":1}'),
    ],
    ids=str,
)
def test_so_it_is_where_all_fits(kind: Any, said: bytes) -> None:
    expected, found = by_msgspec(kind)(said), through_twin(kind)(said)
    assert (found, repr(found)) == (expected, repr(expected))


def test_no_two_objects_share_a_default_that_a_factory_made() -> None:
    one, other = through_twin(list[Point])(b'[{"x":1},{"x":2}]')
    assert one.tags == other.tags == []
    assert one.tags is not other.tags


@pytest.mark.parametrize("kind", READ_AS_THEY_ARE, ids=str)
def test_a_class_that_does_more_than_dataclasses_wrote_is_read_as_it_is(kind: Any) -> None:
    assert twin(kind) is None


async def test_what_a_check_of_the_author_refuses_is_told_with_its_place() -> None:
    app = App("shapes")

    @app.tool
    async def look(holding: Holding, points: list[Point] | None = None) -> int:
        return len(holding.checked) + len(points or ())

    async with Client(app) as client:
        result = await client.call_tool("look", {"holding": {"checked": [{"low": 1, "high": 2}]}})
        assert result.value == 1
        refused = await client.call_tool(
            "look", {"holding": {"checked": [{"low": 1, "high": 2}, {"low": 3, "high": 2}]}}
        )
    assert refused.is_error
    assert refused.text == "holding.checked[1]: low is above high"


async def test_the_authors_own_objects_may_be_defaults() -> None:
    app = App("shapes")

    @app.tool
    async def look(point: Point = Point(4), points: tuple[Point, ...] = (Point(5),)) -> list[int]:
        return [point.x, *(each.x for each in points)]

    async with Client(app) as client:
        assert (await client.call_tool("look")).value == [4, 5]
        assert (await client.call_tool("look", {"points": [{"x": 1}, {"x": 2}]})).value == [4, 1, 2]
