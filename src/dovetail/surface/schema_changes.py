"""What a change of a tool's schema means to its callers, in words.

Theory of operation. Arguments go from callers to the server: whatever the old schema took, the new one has to take
(`inclusion`). Results come the other way: whatever the new schema gives, the old one has to allow for. The opposite
direction of each says what is new and harmless. Beside that, both schemas are walked side by side for what no value
shows: a member that came or went where others are left open, words that models read, values that are taken when
nothing is given, and arguments that headers repeat.

Specification: server/tools; 2026-07-28 basic/transports/streamable-http, "Schema Extension".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, cast
from urllib.parse import unquote

from msgspec import UNSET, UnsetType

from ..schemas import InvalidHeaderAnnotation, header_parameters
from .changes import Severity
from .inclusion import Inclusion
from .misfits import Misfit, shown
from .shapes import SchemaTree, Shape, members_of, same_schema, schemas_in

__all__ = ["Direction", "SchemaChange", "schema_changes"]

Direction = Literal["input", "output"]
_DEEPEST: Final = 24
_MOST: Final = 2_000
_LAYOUT: Final = frozenset({"$defs", "$schema", "definitions", "$id", "$anchor", "$comment"})


class SchemaChange(NamedTuple):
    """One difference of two schemas. ``path``: names of members, "[]" for items; ``place``: a JSON pointer into the new
    schema (for what is gone: the old one), without its first slash.
    """

    severity: Severity
    path: tuple[str, ...]
    place: str
    what: str
    why: str = ""
    example: Any | UnsetType = UNSET


def schema_changes(old: dict[str, Any], new: dict[str, Any], direction: Direction) -> list[SchemaChange]:
    """What is different, for those who call by the old schema ("input") or read by it ("output")."""
    trees = SchemaTree(old), SchemaTree(new)
    if same_schema(old, new, *trees) and old == new:
        return []
    narrowed = Inclusion(old, new, bare=direction == "input").misfits()
    widened = Inclusion(new, old, bare=direction == "input").misfits()
    walked = list(_SideBySide(*trees, direction).changes())
    hard, easy = (narrowed, widened) if direction == "input" else (widened, narrowed)
    found = [_hard(each, direction, trees) for each in hard]
    gone = {each.path for each in walked if each.what == _GONE}
    told = {each.path for each in found}
    found += [each for each in walked if each.path not in told or each.severity in ("warning", "cosmetic")]
    came = {each.path for each in walked if each.what == _NEW}
    found += [
        SchemaChange("compatible", each.path, _pointer(each.path, *trees), _easy(each, direction))
        for each in easy
        if each.keyword and not any(each.path[: len(path)] == path for path in came | gone)
    ]
    found += _headers(old, new) if direction == "input" else []
    found = _distinct(found)
    if not found and old != new:
        found.append(SchemaChange("cosmetic", (), "", "the schema is written otherwise and says the same"))
    return found


_NEW: Final = "it is new"
_GONE: Final = "it is gone"


def _distinct(found: list[SchemaChange]) -> list[SchemaChange]:
    """Each once: what a schema says of two places that refer to one definition is told of the first."""
    kept: dict[tuple[str, ...], SchemaChange] = {}
    for each in sorted(found, key=lambda each: len(each.path)):
        key = (
            (each.place, each.what)
            if each.place.startswith(("$defs/", "definitions/"))
            else (*each.path, each.what)
        )
        kept.setdefault((each.severity, *key), each)
    return [each for each in found if any(each is other for other in kept.values())]


def _hard(misfit: Misfit, direction: Direction, trees: tuple[SchemaTree, SchemaTree]) -> SchemaChange:
    """A change that breaks, or may."""
    what, input = misfit.what, direction == "input"
    if misfit.keyword == "required":
        what = "it is required now" if input else "it may be missing now"
        why = "calls without it are refused" if input else "who reads it finds nothing"
    elif misfit.keyword == "additionalProperties":
        what = f"{what} {_is(what)} no longer taken" if input else f"{what} may come now"
        why = (
            "calls that give it are refused"
            if input
            else "readers that allow for no others refuse the result"
        )
    else:
        what = f"{what} {_is(what)} no longer taken" if input else f"{what} may come now"
        why = "calls that were right are refused" if input else "readers do not expect them"
    if not misfit.sure:
        what = f"perhaps {what}" if misfit.keyword else "the schemas could not be compared to the end"
        why = "no value was found that shows it, and no proof that there is none"
    example: Any = misfit.examples[0] if misfit.proven else UNSET
    place = _pointer(misfit.path, *trees)
    return SchemaChange("breaking" if misfit.sure else "possible", misfit.path, place, what, why, example)


def _easy(misfit: Misfit, direction: Direction) -> str:
    if misfit.keyword == "required":
        return "it may be left out now" if direction == "input" else "it is always there now"
    what = misfit.what
    come = "comes" if _is(what) == "is" else "come"
    return f"{what} {_is(what)} taken, too" if direction == "input" else f"{what} no longer {come}"


def _is(what: str) -> str:
    return "is" if what.startswith(("the value ", "the member ")) else "are"


class _SideBySide:
    """Two schemas, side by side, from the root along the members that both describe."""

    def __init__(self, old: SchemaTree, new: SchemaTree, direction: Direction) -> None:
        self._old = old
        self._new = new
        self._input = direction == "input"
        self._seen: set[tuple[Any, Any]] = set()

    def changes(self) -> Iterator[SchemaChange]:
        """What is different beside what values show."""
        yield from self._place(self._old.whole(), self._new.whole(), ())

    def _place(self, old: Shape, new: Shape, path: tuple[str, ...]) -> Iterator[SchemaChange]:
        if (old.key, new.key) in self._seen or len(path) > _DEEPEST or len(self._seen) > _MOST:
            return
        self._seen.add((old.key, new.key))
        yield from self._words(old, new, path)
        if "object" in old.types & new.types and old.is_closed() != new.is_closed():
            yield self._closed(path, now=new.is_closed())
        before, after = old.described(), new.described()
        for name in sorted(before | after):
            inner = (*path, name)
            if name not in after:
                yield self._gone(inner, closed=new.member(name).never)
            elif name not in before:
                yield self._came(inner, needed=name in new.required())
            else:
                yield from self._place(_described(old, name), _described(new, name), inner)
        if "array" in old.types & new.types:
            yield from self._place(old.item(old.prefix()), new.item(new.prefix()), (*path, "[]"))
        if not (before | after):
            yield from self._place(old.others(), new.others(), (*path, "*"))

    def _closed(self, path: tuple[str, ...], *, now: bool) -> SchemaChange:
        """Whether there may be members that nobody describes has changed."""
        place = _pointer(path, self._new, self._new)
        if now == self._input:
            why = (
                "calls that give others are refused"
                if now
                else "readers that allow for no others refuse the result"
            )
            what = (
                "only members that are described are taken now"
                if now
                else "members that are not described may come"
            )
            return SchemaChange("possible", path, place, what, why)
        what = "no members come but those described" if now else "members that are not described are let pass"
        return SchemaChange("compatible", path, place, what)

    def _gone(self, path: tuple[str, ...], *, closed: bool) -> SchemaChange:
        place = _pointer(path, self._old, self._old)
        if self._input:
            why = (
                "calls that give it are refused" if closed else "it is taken without a word, and does nothing"
            )
        else:
            why = "who reads it finds nothing"
        return SchemaChange("possible", path, place, _GONE, why)

    def _came(self, path: tuple[str, ...], *, needed: bool) -> SchemaChange:
        place = _pointer(path, self._new, self._new)
        kind: Severity = "breaking" if needed and self._input else "compatible"
        return SchemaChange(kind, path, place, _NEW)

    def _words(self, old: Shape, new: Shape, path: tuple[str, ...]) -> Iterator[SchemaChange]:
        place = _pointer(path, self._new, self._new)
        for word, severity, what, why in _WORDS:
            before: Any = next((node[word] for node in old.nodes if word in node), UNSET)
            after: Any = next((node[word] for node in new.nodes if word in node), UNSET)
            if before != after:
                told = (
                    what if len(f"{before}{after}") > 80 else f"{what}: {_said(before)} became {_said(after)}"
                )
                yield SchemaChange(severity, path, f"{place}/{word}".lstrip("/"), told, why)


def _said(value: Any) -> str:
    """What a schema says, or that it says nothing."""
    return "none" if value is UNSET else shown(value)


_WORDS: Final[tuple[tuple[str, Severity, str, str], ...]] = (
    ("description", "warning", "the description is another", "models read it, and may use this otherwise"),
    ("default", "warning", "the default is another", "who gives nothing gets something else"),
    ("deprecated", "warning", "whether it is deprecated has changed", ""),
    ("title", "cosmetic", "the title is another", ""),
    ("examples", "cosmetic", "the examples are others", ""),
)


def _described(shape: Shape, name: str) -> Shape:
    """What is said of a member, in whatever alternative."""
    found = shape.member(name)
    if found.nodes or found.never:
        return found
    for node, branches in shape.branches():
        for branch in branches:
            inner = _described(shape.also(branch, of=node), name)
            if inner.nodes:
                return inner
    return found


def _pointer(path: tuple[str, ...], old: SchemaTree, new: SchemaTree) -> str:
    """The place of a member in the newer schema that describes it, as far as it can be followed."""
    for tree in (new, old):
        place, node = "", cast("Any", tree.root)
        for step in path:
            following = _step(tree, place, node, step)
            if following is None:
                break
            place, node = following
        else:
            return place[1:]
    return "/".join(_escaped(each) for each in path)


def _step(tree: SchemaTree, place: str, node: Any, step: str, depth: int = 0) -> tuple[str, Any] | None:
    """The place of a member below a schema at a place, and its own schema; through references and alternatives."""
    if not isinstance(node, dict) or depth > 8:
        return None
    node = cast("dict[str, Any]", node)
    if step in members_of(node, "properties"):
        return f"{place}/properties/{_escaped(step)}", node["properties"][step]
    if step.startswith("[") and "items" in node:
        return f"{place}/items", node["items"]
    if step == "*" and "additionalProperties" in node:
        return f"{place}/additionalProperties", node["additionalProperties"]
    target = tree.target(node.get("$ref"))
    if target is not None:
        return _step(tree, unquote(str(node["$ref"])[1:]), target, step, depth + 1)
    for inside, inner in schemas_in(node):
        if inside.partition("/")[0] in ("allOf", "anyOf", "oneOf"):
            found = _step(tree, f"{place}/{inside}", inner, step, depth + 1)
            if found is not None:
                return found
    return None


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _headers(old: dict[str, Any], new: dict[str, Any]) -> Iterator[SchemaChange]:
    """Arguments that clients repeat in headers: a client that kept the old list sends what that said."""
    try:
        after = {each.path: each for each in header_parameters(new)}
    except InvalidHeaderAnnotation as problem:
        why = "clients over HTTP leave the tool out of their lists"
        yield SchemaChange(
            "breaking", problem.path, "", f"a header of an argument is wrong: {problem.reason}", why
        )
        return
    try:
        before = {each.path: each for each in header_parameters(old)}
    except InvalidHeaderAnnotation:
        yield SchemaChange("compatible", (), "", "the headers of arguments are right now")
        return
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path), after.get(path)
        place = "/".join(f"properties/{_escaped(each)}" for each in path)
        why = "over HTTP, clients that kept the old list are refused until they list again"
        if was is None and now is not None:
            yield SchemaChange("possible", path, place, f"a header repeats it now: {now.header}", why)
        elif was is not None and now is None:
            yield SchemaChange("compatible", path, place, f"no header repeats it any more: {was.header}")
        elif was is not None and now is not None and was.header != now.header:
            yield SchemaChange(
                "possible", path, place, f"its header is {now.header} now; it was {was.header}", why
            )
