"""What is wrong with a value for which there are alternatives: the path, and the branch that was meant."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from argument_types import complaint, plan_for

from dovetail.protocol.schema.validator import compile_schema, explain
from dovetail.server.markers import Range


@dataclasses.dataclass
class Point:
    """Two numbers."""

    x: int
    y: int = 0


class Cat(msgspec.Struct, tag="cat"):
    """Has lives."""

    lives: int
    home: Point | None = None


class Dog(msgspec.Struct, tag="dog"):
    """Barks."""

    barks: bool = True
    toys: list[int] | None = None


class Circle(pydantic.BaseModel):
    """Has a kind to be known by."""

    kind: Literal["circle"]
    radius: float


class Square(pydantic.BaseModel):
    """Has one too."""

    kind: Literal["square"]
    side: float
    at: Point | None = None


class Person(pydantic.BaseModel):
    """Is known by its fields."""

    name: str
    age: int

    @pydantic.field_validator("name")
    @classmethod
    def no_root(cls, value: str) -> str:
        """Refuse one name."""
        if value == "root":
            raise ValueError("root is taken")
        return value


class Company(pydantic.BaseModel):
    """Is known by other fields."""

    name: str
    staff: list[Person]


SMALL: Any = Annotated[int, Range(1, 3)]
Shape: Any = Annotated[Circle | Square, pydantic.Field(discriminator="kind")]


@pytest.mark.parametrize(
    "annotation,value,told",
    [
        # one branch beside null: the path alone
        (Point | None, {"x": "a"}, 'x.x: expected a value of type integer, got the string "a"'),
        (Point | None, {}, "x.x: required but missing; expected a value of type integer"),
        (
            list[Point | None],
            [{"x": 1}, None, {"x": 1, "y": "q"}],
            "x[2].y: expected a value of type integer",
        ),
        (dict[str, Point | None], {"a": {"x": None}}, "x.a.x: expected a value of type integer, got null"),
        (SMALL | None, 9, "x: expected at most 3, got the integer 9"),
        (list[int] | None, [1, "b"], 'x[1]: expected a value of type integer, got the string "b"'),
        # no branch is of that type: all are named
        (Point | None, 3, "x: expected a value of type object, or a value of type null, got the integer 3"),
        (int | list[int], "a", "x: expected a value of type integer, or a value of type array, got"),
        (Shape | None, 5, "x: expected a value of type object, or a value of type null, got the integer 5"),
        (list[Shape] | None, "a", "x: expected a value of type array, or a value of type null, got"),
        # tags tell the branch
        (
            Cat | Dog,
            {"type": "cat", "lives": "nine"},
            'x.lives: expected a value of type integer, got the string "nine" (taken as Cat)',
        ),
        (Cat | Dog, {"type": "dog", "toys": ["a"]}, "x.toys[0]: expected a value of type integer"),
        (
            Cat | Dog | None,
            {"type": "cat"},
            "x.lives: required but missing; expected a value of type integer (taken as Cat)",
        ),
        (Cat | Dog, {"type": "cow"}, 'x.type: expected one of "cat", "dog", got the string "cow"'),
        (
            Cat | Dog | None,
            {"type": "cat", "lives": 9, "home": {"x": "a"}},
            'x.home.x: expected a value of type integer, got the string "a" (taken as Cat)',
        ),
        (
            Shape,
            {"kind": "circle", "radius": "big"},
            'x.radius: expected a value of type number, got the string "big"',
        ),
        (
            Cat | Dog,
            {"lives": 9},
            'x.type: required but missing; expected one of "cat", "dog" (taken as Cat)',
        ),
        (
            Shape | None,
            {"side": 1},
            'x.kind: required but missing; expected one of "circle", "square" (taken',
        ),
        (Shape, {"kind": "oval"}, 'x.kind: expected one of "circle", "square", got the string "oval"'),
        (
            list[Shape],
            [{"kind": "square", "side": 1, "at": {"x": "a"}}],
            "x[0].at.x: expected a value of type integer",
        ),
        # without tags, the members do
        (Person | Company, {"name": "a", "age": "old"}, "x.age: expected a value of type integer"),
        (Person | Company, {"name": "a", "staff": [{"name": "b"}]}, "x.staff[0].age: required but missing"),
        (
            dict[str, Person | Company],
            {"k": {"name": "a", "staff": 3}},
            "x.k.staff: expected a value of type array",
        ),
    ],
)
def test_the_branch_that_was_meant_is_explained(annotation: Any, value: Any, told: str) -> None:
    """One line, at the place of the fault, and none about null or other branches."""
    text = complaint(plan_for(annotation), {"x": value})
    assert text.startswith(told)
    assert text.count("\n") == 0


def test_a_rule_broken_in_one_branch_is_told_of_that_branch_alone() -> None:
    """Where the schema sees nothing wrong, pydantic tells what is wrong with each alternative."""
    text = complaint(plan_for(dict[str, Person | Company]), {"x": {"a": {"name": "root", "age": 3}}})
    assert text == "x.a.name: Value error, root is taken"


def test_alternatives_of_schemas_that_nobody_derived() -> None:
    """Without a tag in common, and where more than one fits: nothing is made up."""
    schema = {
        "anyOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    }
    assert explain(compile_schema(schema).check({"a": 5, "b": 5})) == (
        "a: expected exactly the integer 1, got the integer 5"
    )
    assert explain(compile_schema({"oneOf": [{"minimum": 1}, {"minimum": 2}]}).check(3)).startswith(
        "(the whole value): expected a value fitting exactly one"
    )


def test_what_is_secret_in_a_branch_is_not_shown() -> None:
    """Neither a tag nor a value."""
    schema = {
        "properties": {
            "login": {
                "anyOf": [
                    {"properties": {"password": {"const": "hunter2"}}},
                    {"properties": {"password": {"const": "hunter3"}}},
                ]
            }
        }
    }
    assert "5ecret" not in explain(compile_schema(schema).check({"login": {"password": "5ecret"}}))
