"""What is wrong with a surface, or bad for those who read it: schemas, names, descriptions, characters.

Theory of operation. An "error" is something that clients refuse or leave out; a "warning" works, and works badly (a
tool that says nothing of itself, a text with characters that nobody sees); a "note" is worth a thought. Nothing is
called, so what a tool does is not looked at.

Specification: server/tools "Tool", "Tool Names", "Security Considerations"; server/resources, server/prompts;
2026-07-28 basic/transports/streamable-http, "Schema Extension".
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, cast

from msgspec import Struct

from ..errors import ExternalReference, UnknownDialect
from ..schemas import InvalidHeaderAnnotation, SchemaError, compile_schema, header_parameters
from ..types import Tool
from .shapes import SchemaTree
from .snapshot import Surface

__all__ = ["LintFinding", "hidden_in", "lint"]

_Kind = Literal["server", "tool", "resource", "template", "prompt"]
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FOR_MODELS: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TEMPLATE: Final = re.compile(
    r"(?:[^{}]|\{[+#./;?&]?[A-Za-z0-9_.%]+(?:\*|:[0-9]+)?(?:,[A-Za-z0-9_.%]+(?:\*|:[0-9]+)?)*\})*"
)
_LONG: Final = 4_000
_MANY: Final = 100
_LARGE: Final = 256 * 1024
_JOINERS: Final = frozenset("\n\r\t\u200c\u200d")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


class LintFinding(Struct, frozen=True, kw_only=True):
    """Something about a surface that should be otherwise.

    ``rule``: its name, which stays, as `dovetail.linting.RULES` has it. ``severity``: "error", "warning" or "note".
    ``kind`` and ``name``: of what, as in a `SurfaceChange`. ``what`` says what is the matter, ``advice`` what to do
    about it.
    """

    rule: str
    severity: Literal["error", "warning", "note"]
    kind: Literal["server", "tool", "resource", "template", "prompt"]
    name: str
    what: str
    advice: str


def lint(surface: Surface) -> list[LintFinding]:
    """What should be otherwise, errors first."""
    found = [*_lists(surface), *_characters(surface)]
    for tool in surface.tools:
        found += _tool(tool)
    for resource in surface.resources:
        if not _SCHEME.match(resource.uri):
            found.append(
                _of(
                    "uri-invalid",
                    "error",
                    "resource",
                    resource.uri,
                    "its URI has no scheme",
                    "write one, as in file:///a.txt",
                )
            )
    for template in surface.resource_templates:
        if not _TEMPLATE.fullmatch(template.uri_template):
            advice = "write it as RFC 6570 has it: {name}, {?first,second}, {path*}"
            found.append(
                _of(
                    "uri-template-invalid",
                    "error",
                    "template",
                    template.uri_template,
                    "it is no URI template",
                    advice,
                )
            )
    for prompt in surface.prompts:
        names = [each.name for each in prompt.arguments or ()]
        for name in _repeated(names):
            advice = "give each argument a name of its own"
            found.append(
                _of(
                    "prompt-argument-repeated",
                    "error",
                    "prompt",
                    prompt.name,
                    f"two arguments are called {name!r}",
                    advice,
                )
            )
        if not prompt.description:
            found.append(
                _of(
                    "prompt-description-missing",
                    "note",
                    "prompt",
                    prompt.name,
                    "it has no description",
                    "say when to use it",
                )
            )
    order = ("error", "warning", "note")
    return sorted(found, key=lambda each: order.index(each.severity))


def _of(
    rule: str, severity: Literal["error", "warning", "note"], kind: _Kind, name: str, what: str, advice: str
) -> LintFinding:
    return LintFinding(rule=rule, severity=severity, kind=kind, name=name, what=what, advice=advice)


def _lists(surface: Surface) -> Iterator[LintFinding]:
    """What is wrong with the lists as such."""
    listed: list[tuple[_Kind, list[str]]] = [
        ("tool", [each.name for each in surface.tools]),
        ("resource", [each.uri for each in surface.resources]),
        ("template", [each.uri_template for each in surface.resource_templates]),
        ("prompt", [each.name for each in surface.prompts]),
    ]
    for kind, names in listed:
        for name in _repeated(names):
            advice = "list it once: clients take one of them, and not all the same one"
            yield _of("listed-twice", "error", kind, name, "it is listed more than once", advice)
    size = sum(len(json.dumps(each.to_wire(), ensure_ascii=False)) for each in surface.tools)
    if len(surface.tools) > _MANY:
        advice = "models choose badly among so many: offer fewer, or several servers"
        yield _of("tools-many", "warning", "server", "", f"there are {len(surface.tools)} tools", advice)
    if size > _LARGE:
        advice = "a model reads all of it in each conversation: shorten descriptions and schemas"
        yield _of("tools-many", "warning", "server", "", f"the list of tools has {size // 1024} KiB", advice)
    if surface.instructions is not None and len(surface.instructions) > 2 * _LONG:
        advice = "hosts may cut them: say the most important first"
        yield _of(
            "description-long",
            "note",
            "server",
            "",
            f"the instructions have {len(surface.instructions)} characters",
            advice,
        )
    if not surface.server.get("name") or not surface.server.get("version"):
        yield _of(
            "server-info-missing",
            "warning",
            "server",
            "",
            "it does not say its name and version",
            "say both: hosts show and log them",
        )


def _tool(tool: Tool) -> Iterator[LintFinding]:
    if not _NAME.fullmatch(tool.name):
        advice = "use 1 to 128 of letters, digits, _, - and .: some clients and models refuse others"
        yield _of(
            "tool-name",
            "warning",
            "tool",
            tool.name,
            "its name has other characters than clients expect",
            advice,
        )
    elif not _FOR_MODELS.fullmatch(tool.name):
        advice = (
            "use 1 to 64 of letters, digits, _ and -: many models take no others, so hosts have to rename it"
        )
        yield _of(
            "tool-name-for-models",
            "warning",
            "tool",
            tool.name,
            "its name is none that all models take",
            advice,
        )
    if not (tool.description or "").strip():
        yield _of(
            "tool-description-missing",
            "warning",
            "tool",
            tool.name,
            "it has no description",
            "say what it does and when to use it",
        )
    elif len(tool.description or "") > _LONG:
        advice = "a model reads it in each conversation: shorten it"
        yield _of(
            "description-long",
            "note",
            "tool",
            tool.name,
            f"its description has {len(tool.description or '')} characters",
            advice,
        )
    yield from _input(tool)
    if tool.output_schema is not None and (broken := _broken(tool.output_schema)):
        advice = "mend it: clients cannot check results by it"
        rule, why = broken
        yield _of(rule, "error", "tool", tool.name, f"its output schema can't be used: {why}", advice)
    hints = tool.annotations
    if hints is not None and hints.read_only_hint and hints.destructive_hint:
        advice = "set destructiveHint to false, or do not say that it only reads"
        yield _of(
            "annotations-contradict",
            "warning",
            "tool",
            tool.name,
            "it says that it only reads, and that it may destroy",
            advice,
        )


def _input(tool: Tool) -> Iterator[LintFinding]:
    schema = tool.input_schema
    if broken := _broken(schema):
        advice = "mend it: many clients drop the tool, or the whole list"
        rule, why = broken
        yield _of(rule, "error", "tool", tool.name, f"its input schema can't be used: {why}", advice)
        return
    if schema.get("type") != "object":
        advice = 'write "type": "object": arguments are an object'
        yield _of(
            "schema-not-object",
            "error",
            "tool",
            tool.name,
            'its input schema is not of type "object"',
            advice,
        )
    try:
        header_parameters(schema)
    except InvalidHeaderAnnotation as problem:
        advice = "mend it: over HTTP, clients leave the tool out of their lists"
        yield _of("header-annotation", "error", "tool", tool.name, str(problem), advice)
    whole = SchemaTree(schema).whole()
    names = sorted(whole.described())
    bare = [each for each in names if not any("description" in node for node in whole.member(each).nodes)]
    if bare:
        told = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        advice = "say what to give: a model can only guess at it"
        what = f"{len(bare)} of {len(names)} arguments have no description: {told}"
        yield _of("arguments-undescribed", "note", "tool", tool.name, what, advice)


def _broken(schema: dict[str, Any]) -> tuple[str, str] | None:
    """The rule that a schema breaks which can't be used, and why it can't."""
    try:
        compile_schema(schema)
    except UnknownDialect as problem:
        return "schema-dialect", str(problem)
    except ExternalReference as problem:
        return "schema-reference-away", str(problem)
    except (SchemaError, ValueError) as problem:
        return "schema-broken", str(problem)
    return None


def _characters(surface: Surface) -> Iterator[LintFinding]:
    """Texts with characters that are not seen, or that turn what is seen around."""
    entries: list[tuple[_Kind, str, Any]] = [
        ("server", "", [surface.server, surface.instructions or ""]),
        *(("tool", each.name, each.to_wire()) for each in surface.tools),
        *(("resource", each.uri, each.to_wire()) for each in surface.resources),
        *(("template", each.uri_template, each.to_wire()) for each in surface.resource_templates),
        *(("prompt", each.name, each.to_wire()) for each in surface.prompts),
    ]
    for kind, name, entry in entries:
        if told := hidden_in(entry):
            what = f"it has characters that nobody sees, or that act on a terminal: {told}"
            yield _of(
                "hidden-characters",
                "warning",
                kind,
                name,
                what,
                "take them out: a model reads what a person does not",
            )


def hidden_in(entry: Any) -> str:
    """The characters in the texts of a value that nobody sees, or that act on a terminal: up to five, by number."""
    hidden = sorted(
        {
            each
            for text in _texts(entry)
            if not text.isascii() or not text.isprintable()
            for each in text
            if _is_hidden(each)
        }
    )
    return ", ".join(f"U+{ord(each):04X}" for each in hidden[:5])


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += cast("dict[str, Any]", each).keys()
            waiting += cast("dict[str, Any]", each).values()
        elif isinstance(each, list):
            waiting += cast("list[Any]", each)


def _is_hidden(character: str) -> bool:
    return (
        not character.isprintable()
        and character not in _JOINERS
        and unicodedata.category(character) in _UNSEEN
    )


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
