"""What a tool gets of a dataclass has all its fields, those that were not said too: so it can be given back."""

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from typing_extensions import TypedDict

from dovetail import App, Client, Context, Range
from dovetail.protocol.revisions import STATEFUL
from dovetail.server import class_defaults
from dovetail.server.native import completion


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Part:
    name: str
    colour: Colour = Colour.RED
    bought: date | None = None
    count: Annotated[int, Range(1, 30)] = 7
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    size: int = 3


@dataclass(slots=True)
class Slotted:
    size: int = 4


@dataclass
class Derived(Slotted):
    depth: int = 5


class Box(TypedDict):
    parts: list[Part]


class Pair(NamedTuple):
    left: Part
    right: Part | None = None


class Crate(msgspec.Struct):
    by_name: dict[str, Part]
    frozen: Frozen = Frozen()


WHOLE = {"name": "a", "colour": "red", "bought": None, "count": 7, "tags": []}


def given_back(kind: Any) -> App:
    app = App("parts")

    async def back(value: Any) -> Any:
        return value

    back.__annotations__ = {"value": kind, "return": kind}
    app.add_tool(back)
    return app


@pytest.mark.parametrize(
    "kind, said, whole",
    [
        (Part, {"name": "a"}, WHOLE),
        (Part | None, {"name": "a"}, WHOLE),
        (list[Part], [{"name": "a"}, {"name": "a", "count": 2}], [WHOLE, {**WHOLE, "count": 2}]),
        (Frozen, {}, {"size": 3}),
        (Slotted, {}, {"size": 4}),
        (Derived, {}, {"size": 4, "depth": 5}),
        (Box, {"parts": [{"name": "a"}]}, {"parts": [WHOLE]}),
        (Pair, [{"name": "a"}], [WHOLE, None]),
        (Crate, {"by_name": {"x": {"name": "a"}}}, {"by_name": {"x": WHOLE}, "frozen": {"size": 3}}),
    ],
    ids=str,
)
async def test_what_was_not_said_is_given_back_as_its_default(kind: Any, said: Any, whole: Any) -> None:
    async with Client(given_back(kind)) as client:
        result = await client.call_tool("back", {"value": said})
        assert result.structured == whole


async def test_an_object_is_as_its_init_would_have_made_it() -> None:
    app = App("parts")
    seen: list[dict[str, Any]] = []

    @app.tool
    async def look(part: Part, frozen: Frozen) -> None:
        seen.extend((vars(part), vars(frozen)))

    async with Client(app) as client:
        await client.call_tool("look", {"part": {"name": "a"}, "frozen": {}})
    assert seen == [vars(Part("a")), vars(Frozen())]


async def test_so_are_steps_forms_and_what_a_session_keeps() -> None:
    app = App("parts")

    async def made() -> Frozen:
        return Frozen()

    @app.tool
    async def everything(ctx: Context) -> list[Frozen | None]:
        await ctx.session.set("one", {})
        return [
            await ctx.step("make", made),
            await ctx.elicit("Which?", Frozen),
            await ctx.session.get("one", into=Frozen),
        ]

    async with Client(app, revision=STATEFUL[-1], elicitation=lambda _: {}) as client:
        assert (await client.call_tool("everything")).value == [{"size": 3}] * 3


@pytest.mark.parametrize("kind", [int, list[str], Slotted, Any, dict[str, Any], TypedDict("Empty", {})])
def test_types_without_such_defaults_cost_nothing(kind: Any) -> None:
    assert completion([kind]) is None


@dataclass
class Both:
    numbers: list[int]
    part: Part


def test_only_what_leads_there_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list of numbers beside such an object costs nothing."""
    looked: list[Any] = []
    look = class_defaults._complete

    def counted(value: Any, table: Any) -> None:
        looked.append(value)
        look(value, table)

    complete = completion([list[int], Both, list[Frozen]])
    assert complete is not None
    both, frozen = Both([1] * 1000, Part("a")), Frozen()
    vars(both.part).pop("count")
    vars(frozen).clear()
    monkeypatch.setattr(class_defaults, "_complete", counted)
    complete(([2] * 1000, both, [frozen]))
    assert vars(both.part)["count"] == 7
    assert vars(frozen) == {"size": 3}
    assert looked == [both, both.part, [frozen]]  # what is in a list is completed where it is met


@dataclass
class Counting:
    name: str
    size: int = 1

    def __post_init__(self) -> None:
        self.double = 2


def test_what_a_class_adds_by_itself_does_not_count_as_a_field_that_was_said() -> None:
    complete = completion([list[Counting]])
    assert complete is not None
    values = msgspec.json.decode(b'[{"name":"a"},{"name":"b","size":5}]', type=list[Counting])
    complete((values,))
    assert [vars(each) for each in values] == [
        {"name": "a", "double": 2, "size": 1},
        {"name": "b", "size": 5, "double": 2},
    ]
