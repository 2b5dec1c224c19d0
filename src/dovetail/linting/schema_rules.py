"""A message against the schema of its method in the revision that is spoken.

Theory of operation. Parameters, results and errors are held against their definitions alone, each compiled once; what a
right message costs is one pass of a compiled schema. Of a wrong one the first place is told that no rule has said
something of, with how many more there are. Members that a definition does not name are let pass, as the specification
wants it.

Specification: schema of each revision.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, cast

from ..extensions.tasks import names as tasks
from ..protocol import names
from ..protocol.revisions import PROFILES, Feature
from ..schemas import Validator, compile_schema
from ..specification import definition_names, definition_schema
from ..types import Violation
from .envelopes import shapes_of
from .heard import Heard, member, pointer

__all__ = ["answer", "call"]

_INPUT_REQUIRED: Final = "InputRequiredResult"
_CREATE_TASK: Final = "CreateTaskResult"
_CUT: Final = "..."
_PAYLOAD: Final = "GetTaskPayloadResult"
_STEP: Final = re.compile(
    r"\[(?P<at>\d+)\]|\[(?P<quoted>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\]|\.?(?P<name>[^.\[\]]+)"
)


def call(heard: Heard) -> None:
    """The parameters of a request or notification."""
    shapes = shapes_of(heard.line.revision)[heard.method]
    if "params" not in heard.message:
        if _needs_params(heard.line.revision, shapes.message):
            _tell(heard, [(Violation("", "parameters", "none", "required"), "/params")])
        return
    judge = _validator(heard.line.revision, shapes.message, "params")
    value = heard.message["params"]
    if judge is not None and not judge.is_valid(value, size=heard.size):
        _tell(heard, _places(judge, value, heard.size, "/params"))


def answer(heard: Heard) -> None:
    """The result of a request, or its error."""
    asked, revision = heard.asked, heard.line.revision
    if asked is None:
        return
    if "error" in heard.message:
        judge, value, where = (
            _error(revision, member(heard.message, "error", "code")),
            heard.message["error"],
            "/error",
        )
    else:
        shapes = shapes_of(revision).get(asked.method)
        if shapes is None or not shapes.result:
            return
        value, where = heard.message.get("result"), "/result"
        judge = _validator(revision, _definition(heard, value, shapes.result))
    if judge is not None and not judge.is_valid(value, size=heard.size):
        _tell(heard, _places(judge, value, heard.size, where))


def _definition(heard: Heard, result: Any, plain: str) -> str:
    """The definition that a result says it is of."""
    asked, profile = heard.asked, heard.profile
    kind = member(result, "resultType")
    if asked is None or profile is None:
        return plain
    if profile.stateless:
        if kind == names.RESULT_INPUT_REQUIRED:
            return _INPUT_REQUIRED
        if kind == tasks.RESULT_TASK:
            return _CREATE_TASK
    elif profile.has(Feature.TASKS) and asked.task and member(result, "task") is not None:
        return _CREATE_TASK
    return plain


@cache
def _validator(revision: str, definition: str, part: str = "") -> Validator | None:
    """The compiled definition, or one member of it; None where it takes anything."""
    known = definition_names(revision)
    if definition == _PAYLOAD or definition not in known:
        return None
    schema = definition_schema(revision, definition, member=part)
    return None if set(schema) == {"$schema", "$defs"} else compile_schema(schema)


@cache
def _needs_params(revision: str, definition: str) -> bool:
    whole = definition_schema(revision, definition)
    return "params" in whole["$defs"][definition].get("required", ())


def _error(revision: str, code: object) -> Validator | None:
    known = _errors(revision)
    return known.get(code if isinstance(code, int) else 0, known.get(0))


@cache
def _errors(revision: str) -> dict[int, Validator]:
    """The definition of each error by its code; under 0 that of any."""
    found: dict[int, Validator] = {}
    if revision not in PROFILES:
        return found
    for name in definition_names(revision):
        schema = definition_schema(revision, name)["$defs"][name]
        own = schema.get("properties", {})
        whole = _codes(own.get("error", {}))
        if "const" in own.get("code", {}):
            found[own["code"]["const"]] = compile_schema(definition_schema(revision, name))
        elif whole is not None and name.endswith("Error"):
            found[whole] = compile_schema(definition_schema(revision, name, member="error"))
        elif name == "Error":
            found[0] = compile_schema(definition_schema(revision, name))
    return found


def _codes(error: Any) -> int | None:
    for part in (error, *cast("list[Any]", member(error, "allOf") or [])):
        code = member(part, "properties", "code", "const")
        if isinstance(code, int):
            return code
    return None


def _places(judge: Validator, value: Any, size: int, where: str) -> list[tuple[Violation, str]]:
    """What is wrong with a value, each with its place in the message."""
    wrong, paths = judge.check(value, size=size), judge.misfits(value)
    if len(wrong) != len(paths):
        return [(each, where + _pointer(each.path)) for each in wrong]
    found: list[tuple[Violation, str]] = []
    for each, (path, keyword) in zip(wrong, paths, strict=True):
        missing = (
            _pointer(each.path)[len(_pointer(each.path).rpartition("/")[0]) :]
            if keyword == "required"
            else ""
        )
        found.append((each, where + pointer(*path) + missing))
    return found


def _tell(heard: Heard, wrong: list[tuple[Violation, str]]) -> None:
    """Tell the first thing that is wrong where no rule has found something."""
    left = [(each, place) for each, place in wrong if not _said(heard, place)]
    if not left:
        return
    first, place = left[0]
    said = f"expected {first.expected}, got {first.got}"
    if first.branch:
        said += f" (taken as {first.branch})"
    if len(left) > 1:
        said += f"; and {len(left) - 1} more"
    about = heard.asked.line if heard.asked is not None else 0
    heard.say("schema", f"{place or 'the message'}: {said}", place, about)


def _said(heard: Heard, place: str) -> bool:
    """Whether a rule has found something at a place, in it, or around it."""
    if place.endswith(_CUT):  # a long name
        return any(each.startswith(place.removesuffix(_CUT)) for each in heard.say.errors)
    return any(
        place == each or (each and place.startswith(f"{each}/")) or each.startswith(f"{place}/")
        for each in heard.say.errors
    )


def _pointer(path: str) -> str:
    """A JSON pointer for a path such as ``items[2].name``."""
    steps = (found["at"] or found["quoted"] or found["name"] for found in _STEP.finditer(path))
    return pointer(*(each.strip("\"'") for each in steps))
