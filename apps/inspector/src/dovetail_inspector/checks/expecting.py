"""What a check expects, held against what came back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import UNSET, Struct

from dovetail.schemas import Validator, compile_schema
from dovetail.types import explain

from ..comparing.values import told
from .matching import misfits
from .reading import CheckExpect
from .variables import at_pointer

__all__ = ["CheckOutcome", "failures_of", "text_of"]

_LISTS = ("tools", "resources", "resourceTemplates", "prompts")


class CheckOutcome(Struct, kw_only=True):
    """What came back. ``result``: as on the wire; ``error``: code, message and data of the error in its place.
    ``seconds``: how long it took. ``output``: the output schema that is listed, None for none.
    """

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    output: Validator | None = None


def failures_of(expect: CheckExpect, outcome: CheckOutcome, *, tool: bool) -> Iterator[str]:
    """What is otherwise, in words. ``tool``: a tool was called."""
    if expect.within is not UNSET and outcome.seconds > expect.within:
        yield f"it took {outcome.seconds:.3f} s, and should take {expect.within:g} s at most"
    if outcome.error is not None:
        yield from _error(expect, outcome.error)
        return
    result = outcome.result or {}
    if expect.error is not UNSET:
        yield f"it was answered, and should be refused: {told(result)}"
        return
    failed = result.get("isError") is True
    if tool and failed != expect.is_error:
        said = text_of(result)
        yield f"the tool failed: {said[:500]}" if failed else f"the tool did not fail: {said[:500]}"
        return
    if expect.text is not UNSET:
        yield from (f"the text {each}" for each in misfits(expect.text, text_of(result)))
    content, there = at_pointer(result, "/structuredContent")
    for pointer, wanted in expect.structured.items():
        value, exists = at_pointer(content, pointer) if there else (None, False)
        yield from (
            f"structured {pointer or 'content'} {each}" for each in misfits(wanted, value, exists=exists)
        )
    for pointer, wanted in expect.result.items():
        value, exists = at_pointer(result, pointer)
        yield from (f"result {pointer} {each}" for each in misfits(wanted, value, exists=exists))
    if expect.listed is not UNSET:
        yield from _listed(expect.listed, result)
    yield from _schema(expect, outcome, result, content, there=there)


def text_of(result: dict[str, Any]) -> str:
    """All texts of a result, joined by line breaks: of a tool's content, of a resource, of the messages of a prompt."""
    found: list[str] = []
    for member in ("content", "contents", "messages"):
        items: Any = result.get(member)
        for each in cast("list[Any]", items) if isinstance(items, list) else []:
            block: Any = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
            if member == "messages":
                block = block.get("content")
            text: Any = cast("dict[str, Any]", block).get("text") if isinstance(block, dict) else None
            if isinstance(text, str):
                found.append(text)
    return "\n".join(found)


def _error(expect: CheckExpect, error: dict[str, Any]) -> Iterator[str]:
    wanted: Any = expect.error
    if wanted is UNSET:
        yield f"it was refused: {error['message']} (code {error['code']})"
    elif wanted is not True:
        conditions = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {"code": wanted}
        for name, condition in conditions.items():
            yield from (f"the {name} of the error {each}" for each in misfits(condition, error[name]))


def _listed(wanted: list[str], result: dict[str, Any]) -> Iterator[str]:
    """Names or addresses that have to be in a list."""
    entries: list[dict[str, Any]] = [entry for each in _LISTS for entry in result.get(each, ())]
    names = {each.get(name) for each in entries for name in ("name", "uri", "uriTemplate")}
    for each in wanted:
        if each not in names:
            yield f"{each!r} is not listed"


def _schema(
    expect: CheckExpect, outcome: CheckOutcome, result: dict[str, Any], content: Any, *, there: bool
) -> Iterator[str]:
    if expect.schema is UNSET:
        return
    if isinstance(expect.schema, dict):
        value, schema = (content if there else result), compile_schema(expect.schema)
    elif outcome.output is None:
        yield "the tool lists no output schema"
        return
    elif not there:
        yield "there is no structured content to hold against the schema"
        return
    else:
        value, schema = content, outcome.output
    wrong = schema.check(value)
    if wrong:
        yield f"it does not fit the schema: {explain(wrong)}"
