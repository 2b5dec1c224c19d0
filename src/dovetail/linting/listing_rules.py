"""Lists of tools, resources, templates and prompts: their entries, by the rules of `dovetail.surface.lint`, and pages.

Theory of operation. A page is made a `Surface` of and looked over; what was found is kept by the content of the page,
as
clients ask again and again. What tools promise (output schemas, arguments repeated in headers, tasks) is remembered for
the calls that follow. A page leads on by its cursor, which the client has to have got.

Specification: server/tools, server/resources, server/prompts, server/utilities/pagination.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

from ..protocol import codec, names
from ..schemas import InvalidHeaderAnnotation, SchemaError, compile_schema, header_parameters
from ..surface import LintFinding, Surface, lint
from ..types import Prompt, Resource, ResourceTemplate, Tool
from .heard import Heard, items, member, pointer, shown
from .memory import Key, PageState, ToolState, key_of, size_of

__all__ = ["answer", "call"]

_LISTS: Final = {
    names.TOOLS_LIST: "tools",
    names.RESOURCES_LIST: "resources",
    names.RESOURCES_TEMPLATES_LIST: "resourceTemplates",
    names.PROMPTS_LIST: "prompts",
}
_IDENTITY: Final = {
    "tools": "name",
    "resources": "uri",
    "resourceTemplates": "uriTemplate",
    "prompts": "name",
}
_ENTRIES: Final = 5_000
"""Entries of one page that are looked at."""
_NAMES: Final = 1_000
_SOMEBODY: Final = {"name": "-", "version": "-"}
_SCHEMES: Final = ("https:", "data:")
T = TypeVar("T")


def call(heard: Heard) -> None:
    """A page that is asked for."""
    cursor = heard.params.get("cursor")
    if heard.method not in _LISTS or not isinstance(cursor, str) or not heard.is_request:
        return
    if (
        heard.memory.pages.get(_page(heard, heard.method, cursor)) is None
        and heard.talk.begun
        and not heard.memory.forgot
    ):
        said = f"the server never gave the cursor {shown(cursor)} for {heard.method}"
        heard.say("cursor-unknown", said, "/params/cursor")


def answer(heard: Heard) -> None:
    """A page that is given; and the icons of both sides."""
    asked, result = heard.asked, heard.result
    if asked is None or result is None:
        return
    if asked.method in (names.INITIALIZE, names.DISCOVER):
        _icons(heard, result.get("serverInfo"), "/result/serverInfo")
    kind = _LISTS.get(asked.method)
    if kind is None or not isinstance(result.get(kind), list):
        return
    listed = items(result[kind])[:_ENTRIES]
    _leads_on(heard, result, _names(listed, kind), kind)
    places = _places(listed, kind)
    for found in _looked_over(heard, kind, listed):
        at = _place_of(places, found)
        name = f"{found.kind} {shown(found.name)}: " if found.name else ""
        heard.say(
            found.rule,
            f"{name}{found.what}; {found.advice}",
            "/result" + (pointer(kind, at) if at >= 0 else ""),
        )
    for at, entry in enumerate(listed):
        _icons(heard, entry, "/result" + pointer(kind, at))
    if kind == "tools":
        for entry in listed:
            _remember(heard, entry)


def _places(listed: list[Any], kind: str) -> dict[str, list[int]]:
    """Where the entries of each name stand, the first two of them."""
    places: dict[str, list[int]] = {}
    for at, each in enumerate(listed):
        name = member(each, _IDENTITY[kind])
        if isinstance(name, str) and len(found := places.setdefault(name, [])) < 2:
            found.append(at)
    return places


def _place_of(places: dict[str, list[int]], found: LintFinding) -> int:
    if found.kind == "server":
        return -1
    matching = places.get(found.name, [])
    return next(iter(matching[1:] if found.rule == "listed-twice" and len(matching) > 1 else matching), -1)


def _names(listed: list[Any], kind: str) -> frozenset[str]:
    found = (member(each, _IDENTITY[kind]) for each in listed[:_NAMES])
    return frozenset(each[:200] for each in found if isinstance(each, str))


def _looked_over(heard: Heard, kind: str, listed: list[Any]) -> list[LintFinding]:
    try:
        data = codec.encode(listed)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return []
    key = (kind, hash(data))
    known = heard.memory.pages_judged.get(key)
    if known is not None:
        return known
    surface = Surface(
        server=_SOMEBODY,
        tools=_typed(listed, Tool) if kind == "tools" else (),
        resources=_typed(listed, Resource) if kind == "resources" else (),
        resource_templates=_typed(listed, ResourceTemplate) if kind == "resourceTemplates" else (),
        prompts=_typed(listed, Prompt) if kind == "prompts" else (),
    )
    found = lint(surface)
    heard.memory.pages_judged.put(key, found, size_of() + 200 * len(found))
    return found


def _typed(listed: list[Any], kind: type[T]) -> tuple[T, ...]:
    """The entries that can be read; what is wrong with others the schema says."""
    found: list[T] = []
    read = codec.reader(kind)
    for each in listed:
        try:
            found.append(read.keep(codec.encode(each)))
        except (*codec.DECODE_ERRORS, TypeError, OverflowError, RecursionError):
            continue
    return tuple(found)


def _remember(heard: Heard, entry: Any) -> None:
    name, output = member(entry, "name"), member(entry, "outputSchema")
    if not isinstance(name, str):
        return
    state = ToolState(heard.line.n)
    support = member(entry, "execution", "taskSupport")
    state.task_support = support if isinstance(support, str) else ""
    size = size_of(name)
    if isinstance(output, dict):
        try:
            state.output = compile_schema(cast("dict[str, Any]", output))
            size += len(codec.encode(output))
        except (SchemaError, ValueError, RecursionError, TypeError):
            state.output = None  # said above
    try:
        state.mirrored = header_parameters(member(entry, "inputSchema"))
    except (InvalidHeaderAnnotation, RecursionError):
        state.mirrored = ()  # said above
    heard.memory.tools.put((heard.talk.number, name[:200]), state, size)


def _page(heard: Heard, method: str, cursor: str) -> Key:
    return (heard.talk.number, method, key_of(cursor[:1_000]))


def _leads_on(heard: Heard, result: dict[str, Any], entries: frozenset[str], kind: str) -> None:
    asked, following = heard.asked, result.get("nextCursor")
    if asked is None:
        return
    before = (
        None if asked.cursor is None else heard.memory.pages.get(_page(heard, asked.method, asked.cursor))
    )
    scope = result.get("cacheScope")
    if before is not None:
        if twice := sorted(entries & before.names):
            said = f"{shown(twice[0])} is listed on an earlier page, too"
            heard.say("listed-twice", said, f"/result/{kind}", before.line)
        if heard.stateless and scope is not None and before.scope is not None and scope != before.scope:
            said = f"cacheScope is {shown(scope)}, and that of the page before is {shown(before.scope)}"
            heard.say("cache-scope-differs", said, "/result/cacheScope", before.line)
    if not isinstance(following, str):
        return
    if not following:
        heard.say(
            "cursor-empty",
            "the next cursor is an empty text, which many clients take for the end",
            "/result/nextCursor",
        )
    if following == asked.cursor:
        heard.say(
            "cursor-loop",
            "the next cursor is the one that this page was asked by",
            "/result/nextCursor",
            asked.line,
        )
        return
    seen = entries | before.names if before is not None and len(before.names) < _NAMES else entries
    state = PageState(heard.line.n, scope if isinstance(scope, str) else None, seen)
    heard.memory.pages.put(_page(heard, asked.method, following), state, size_of(following, *seen))


def _icons(heard: Heard, entry: Any, where: str) -> None:
    for at, icon in enumerate(items(member(entry, "icons"))[:20]):
        address = member(icon, "src")
        if isinstance(address, str) and not address.lower().startswith(_SCHEMES):
            said = f"the icon {shown(address)} is neither https: nor data:, and hosts fetch nothing else"
            heard.say("icon-scheme", said, where + pointer("icons", at, "src"))
