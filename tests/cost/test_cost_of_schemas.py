"""What the budget of schemas says a value costs, held against what it costs: a validator of another kind shows here.

`dovetail.protocol.schema.budget` judges by nanoseconds that were measured with one minor version of the validator, and
the package allows no other. Each is an upper bound, for a machine that is slower than most. So the figures are compared
by what they are to the plainest case, whatever the speed of this machine is.
"""

from __future__ import annotations

import time
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from dovetail.protocol.schema import budget
from dovetail.protocol.schema.validator import compile_schema

#: How many times its price a case may cost at most, and how many times less than it.
TOO_DEAR, TOO_CHEAP = 3.0, 60.0
#: What the plainest case costs of its price, on the machine where the prices were measured.
PLAINEST, SHARE = "parts", 0.215

N = 2000
RECORD = {
    "type": "object",
    "properties": {f"p{n}": {"type": "integer"} for n in range(20)},
    "required": ["p0"],
}
CHAIN = {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}, "v": {"type": "integer"}}}
CLOSED = {"allOf": [{"properties": {"a": {"type": "integer"}}}], "unevaluatedProperties": False}
KINDS = [{"type": kind} for kind in ("string", "object", "null", "integer")]

CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "parts": ({"items": {"type": "integer"}}, list(range(20 * N))),
    "texts": ({"items": {"type": "string", "minLength": 1}}, ["a" * 20] * (20 * N)),
    "members": ({"additionalProperties": {"type": "integer"}}, {f"k{n}": n for n in range(10 * N)}),
    "properties": ({"items": RECORD}, [{f"p{n}": n for n in range(20)}] * N),
    "alternatives": ({"items": {"anyOf": KINDS}}, list(range(10 * N))),
    "a constant text": ({"items": {"not": {"const": "x"}}}, ["y"] * (10 * N)),
    "a constant integer": ({"items": {"const": 7}}, [7] * (10 * N)),
    "a constant number": ({"items": {"const": 7.25}}, [7.25] * (5 * N)),
    "a constant object": ({"items": {"const": {"a": [1, 2, 3], "b": "x"}}}, [{"a": [1, 2, 3], "b": "x"}] * N),
    "options that are texts": ({"items": {"enum": [f"t{n}" for n in range(50)]}}, ["t49"] * (10 * N)),
    "options that are objects": ({"items": {"enum": [{"a": n} for n in range(20)]}}, [{"a": 19}] * N),
    "multiples": ({"items": {"multipleOf": 3}}, [9] * (10 * N)),
    "multiples of a number": ({"items": {"multipleOf": 0.5}}, [9.5] * (5 * N)),
    "bounds on large integers": ({"items": {"minimum": 0}}, [10**200] * N),
    "unique integers": ({"uniqueItems": True}, list(range(10 * N))),
    "unique objects": ({"uniqueItems": True}, [{"a": n} for n in range(5 * N)]),
    "what is not evaluated": ({"items": CLOSED}, [{"a": 1}] * (5 * N)),
    "references": ({"$defs": {"n": CHAIN}, "items": CHAIN}, [{"v": 1, "next": {"v": 2}}] * (2 * N)),
    "a pattern": ({"items": {"pattern": "^[a-z]+$"}}, ["abcdefghij" * 10] * N),
}


@cache
def used(name: str) -> float:
    """What a case costs, in processor time, as a share of its price."""
    schema, value = CASES[name]
    validator = compile_schema({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert validator.is_valid(value)
    took: list[int] = []
    for _ in range(9):
        began = time.thread_time_ns()
        validator._engine.is_valid(value)
        took.append(time.thread_time_ns() - began)
    amount = budget.amount_of(value)
    return min(took) / min(validator._price.of(amount), validator._price.of_value(value, 10**18))


@pytest.mark.parametrize("name", CASES)
def test_prices_are_those_of_the_validator(name: str) -> None:
    share = used(name) / used(PLAINEST) * SHARE
    assert 1 / TOO_CHEAP < share < TOO_DEAR, (
        f"{name}: costs {share:.2f} times its price; measure it anew with this version of the validator"
    )


def test_the_plainest_case_costs_what_it_did() -> None:
    """All the others are compared with it. A machine may be ten times slower."""
    assert used(PLAINEST) < 10 * SHARE


def test_no_other_version_of_the_validator_can_be_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = next(each for each in project["dependencies"] if each.startswith("jsonschema-rs"))
    major, minor = map(int, budget.MEASURED.split("."))
    assert wanted.startswith(f"jsonschema-rs>={major}.{minor}.")
    assert wanted.endswith(f",<{major}.{minor + 1}")
    assert version("jsonschema-rs").startswith(f"{major}.{minor}.")
