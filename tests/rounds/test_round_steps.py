"""Steps: what they give has one type however they came to it, and their keys name one step of one call."""

import datetime
import enum
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from playing import by_message, capabilities, play

from dovetail import App, Context
from dovetail.protocol.revisions import REVISIONS, STATELESS

FORMS = pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
ANSWERS = by_message({"A?": "a"})


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Quote:
    price: int
    when: datetime.date
    colour: Colour


class Line(TypedDict):
    name: str


class Held(msgspec.Struct):
    items: tuple[int, ...]


class Model(pydantic.BaseModel):
    size: int
    when: datetime.date


class Maker:
    def __call__(self, price: int) -> Quote:
        return Quote(price, datetime.date(2026, 1, 2), Colour.RED)


DAY = datetime.date(2026, 1, 2)
QUOTE = Quote(3, DAY, Colour.RED)


def quote(price: int) -> Quote:
    return Quote(price, DAY, Colour.RED)


async def later(price: int) -> Quote:
    return quote(price)


def awaited(price: int) -> Awaitable[Quote]:
    return later(price)


def some(_: int) -> set[int]:
    return {1, 2}


def nothing(_: int) -> None:
    return None


def unsaid(_: int):
    return (1, b"x")


def line(_: int) -> Line:
    return {"name": "x"}


def held(_: int) -> Held:
    return Held((1, 2))


def model(_: int) -> Model:
    return Model(size=1, when=DAY)


def models(_: int) -> list[Model]:
    return [model(1)]


def data(_: int) -> bytes:
    return b"\x00\xff"


KINDS: list[tuple[Callable[..., Any], Any]] = [
    (quote, QUOTE),
    (later, QUOTE),
    (awaited, QUOTE),
    (functools.partial(quote, price=3), QUOTE),
    (Maker(), QUOTE),
    (some, {1, 2}),
    (nothing, None),
    (unsaid, [1, "eA=="]),
    (lambda _: {"a": (1,)}, {"a": [1]}),
    (line, {"name": "x"}),
    (held, Held((1, 2))),
    (model, Model(size=1, when=DAY)),
    (models, [Model(size=1, when=DAY)]),
    (data, b"\x00\xff"),
]


@FORMS
@pytest.mark.parametrize("kind", range(len(KINDS)))
async def test_a_result_is_the_same_when_it_runs_and_when_it_is_recorded(
    revision: str, kind: int, connect: Any
) -> None:
    fn, wanted = KINDS[kind]
    app = App("typed")
    seen: list[Any] = []

    @app.tool
    async def tool(ctx: Context) -> str:
        arguments = () if isinstance(fn, functools.partial) else (3,)
        seen.append(await ctx.step("it", fn, *arguments))
        await ctx.elicit("A?", str)
        return "ok"

    played = await play(await connect(app, revision, capabilities(revision)), "tool", ANSWERS)
    assert played.text == "ok"
    assert len(seen) == (2 if revision in STATELESS else 1)
    assert all(each == wanted and type(each) is type(wanted) for each in seen)


@FORMS
async def test_what_json_cant_carry_fails_in_the_first_run(revision: str, connect: Any, caplog: Any) -> None:
    app = App("unrecordable", mask_errors=False)

    def wrong() -> int:
        return "no number"  # type: ignore[return-value]  # what this case is about

    @app.tool
    async def tool(ctx: Context, which: str) -> str:
        if which == "object":
            await ctx.step("it", object)
        elif which == "wrong":
            await ctx.step("it", wrong)
        else:
            await ctx.step("it", lambda: 1)
            await ctx.step("it", lambda: 1)
        return "never"

    wire = await connect(app, revision, capabilities(revision))
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        for which, told in (("object", "can't be recorded"), ("wrong", "annotation"), ("twice", "two steps")):
            played = await play(wire, "tool", ANSWERS, which=which)
            assert played.failed
            assert told in played.text


@FORMS
async def test_into_says_the_type_where_the_function_does_not(revision: str, connect: Any) -> None:
    app = App("into")

    @app.tool
    async def tool(ctx: Context) -> str:
        found = await ctx.step("it", lambda: {"items": [1]}, into=Held)
        await ctx.elicit("A?", str)
        return repr(found)

    played = await play(await connect(app, revision, capabilities(revision)), "tool", ANSWERS)
    assert played.text == "Held(items=(1,))"


@FORMS
async def test_a_key_is_one_steps_of_one_call(revision: str, connect: Any) -> None:
    app = App("keys")
    runs: list[list[str]] = []

    @app.tool
    async def tool(ctx: Context) -> str:
        runs.append([ctx.step_key("a"), ctx.step_key("b"), ctx.step_key("a")])
        await ctx.elicit("A?", str)
        return "ok"

    wires = [await connect(app, revision, capabilities(revision)) for _ in range(2)]
    found = set()
    for wire in wires:  # both connections number their requests alike
        runs.clear()
        await play(wire, "tool", ANSWERS)
        assert all(run == runs[0] for run in runs)
        assert runs[0][0] == runs[0][2] != runs[0][1]
        found.add(runs[0][0])
    assert len(found) == 2
