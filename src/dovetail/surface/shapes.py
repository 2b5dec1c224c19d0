"""JSON schemas taken apart: what one place of a schema says, with references followed and ``allOf`` laid side by side.

Theory of operation. A `Shape` is a list of schema objects that all hold for one value: the conjunction. Making one
follows ``$ref`` and flattens ``allOf``, so that whoever compares looks at keywords alone. What cannot be followed (a
reference to another document, one that leads back to itself without a step into the value) makes a shape ``unknown``:
it then says less than the schema does.

``number`` is two kinds of values, integers and numbers with a fraction, since a schema can take one without the other.

Specification: JSON Schema 2020-12, sections 8.2 and 10; 2026-07-28 basic/index, "JSON Schema Usage".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

import msgspec

from ..schemas import SchemaError, Validator, compile_schema

__all__ = [
    "BRANCHING",
    "KINDS",
    "SchemaTree",
    "Shape",
    "members_of",
    "names_in",
    "same_schema",
    "schemas_in",
]

SchemaNode: TypeAlias = dict[str, Any]

KINDS: Final = ("object", "string", "integer", "fraction", "array", "boolean", "null")
"""The kinds of values that a schema can tell apart, as a person would try them."""
_OF_TYPE: Final[dict[str, frozenset[str]]] = {
    **{each: frozenset({each}) for each in KINDS if each != "fraction"},
    "number": frozenset({"integer", "fraction"}),
}
_OLD: Final = ("draft-04", "draft-06", "draft-07")
_WORDS: Final = frozenset({"title", "description", "$comment"})
BRANCHING: Final = ("anyOf", "oneOf")
"""Keywords that offer alternatives."""
_IN_PLACE: Final = ("if", "then", "else")
_DEEPEST: Final = 64
_MOST_COMPARED: Final = 1_000_000
#: What up to draft-07 has no meaning.
_NEWER: Final = frozenset(
    {
        "$anchor",
        "$dynamicRef",
        "dependentRequired",
        "dependentSchemas",
        "maxContains",
        "minContains",
        "prefixItems",
    }
    | {"unevaluatedItems", "unevaluatedProperties"}
)


class SchemaTree:
    """One schema document, and the shapes of its parts. ``root``: JSON as plain values."""

    def __init__(self, root: Any) -> None:
        self.root: SchemaNode = as_node(root)
        dialect = self.root.get("$schema")
        #: Up to draft-07 a reference stands alone: whoever reads it looks at nothing beside it.
        self._alone = isinstance(dialect, str) and any(each in dialect for each in _OLD)
        self._rebased = any("$id" in each for each in _nodes(self.root) if each is not self.root)
        self._anchors = {
            str(each["$anchor"]): each for each in _nodes(self.root) if isinstance(each.get("$anchor"), str)
        }
        self._validators: dict[frozenset[int], Validator | None] = {}
        self._made: dict[tuple[int, str], Any] = {}
        self.compared = 0
        #: What says how it is read: two documents of different dialects cannot be compared word by word.
        self.dialect = str(dialect or "").rstrip("#")
        self.mixed = self._alone and any(not _NEWER.isdisjoint(each) for each in _nodes(self.root))

    def made(self, node: SchemaNode, word: str, schema: Any) -> Any:
        """A schema made of another one, the same each time: shapes are told apart by the identity of their parts."""
        return self._made.setdefault((id(node), word), schema)

    def shape(self, nodes: Iterable[Any], split: frozenset[int] = frozenset()) -> Shape:
        """What all these schemas say together."""
        found: list[SchemaNode] = []
        seen: set[int] = set()
        never = unknown = False
        waiting = [(each, frozenset[int]()) for each in list(nodes)[::-1]]
        while waiting:
            node, above = waiting.pop()
            never = never or node is False
            unknown = unknown or id(node) in above  # in place, a circle says nothing
            if not isinstance(node, dict) or id(cast("object", node)) in seen:
                continue
            node = cast("SchemaNode", node)
            seen.add(id(node))
            above |= {id(node)}
            if "$ref" in node:
                target = self.target(node["$ref"])
                unknown = unknown or target is None
                waiting.append((target, above))
                if self._alone:
                    continue
            every = node.get("allOf")
            if isinstance(every, list):
                waiting += [(each, above) for each in cast("list[Any]", every)[::-1]]
            found.append(node)
        return Shape(self, tuple(found), never=never, unknown=unknown, split=split)

    def broken(self) -> str:
        """Why it is no schema that can be used; "" for one that is."""
        try:
            self._validators[frozenset({id(self.root)})] = compile_schema(self.root)
        except (SchemaError, ValueError) as problem:
            return str(problem)
        return ""

    def whole(self) -> Shape:
        """The shape of the document."""
        return self.shape([self.root])

    def _target(self, reference: str) -> Any:
        """What a reference names; None where that cannot be told."""
        if not reference.startswith("#") or self._rebased:
            return None
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        found: Any = self.root
        for escaped in fragment.split("/")[1:]:
            step = escaped.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = cast("SchemaNode", found).get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(cast("list[Any]", found)):
                found = cast("list[Any]", found)[int(step)]
            else:
                return None
        return cast("object", found) if isinstance(found, dict | bool) else None

    def target(self, reference: Any) -> Any:
        """What a reference names; None for what is none, or leads elsewhere."""
        return self._target(reference) if isinstance(reference, str) else None

    def fits(self, shape: Shape, value: Any) -> bool | None:
        """Whether a value fits; None where that cannot be told."""
        if shape.never:
            return False
        if shape.unknown:
            return None
        validator = self._validator(shape)
        return None if validator is None else validator.is_valid(value)

    def _validator(self, shape: Shape) -> Validator | None:
        key = frozenset(map(id, shape.nodes))
        if key not in self._validators:
            alone = {
                name: self.root[name] for name in ("$schema", "$defs", "definitions") if name in self.root
            }
            whole = shape.nodes == (self.root,)
            schema = self.root if whole else {**alone, "allOf": list(shape.nodes)}
            try:
                self._validators[key] = compile_schema(schema)
            except (SchemaError, ValueError):
                self._validators[key] = None  # a reference into what is not there, most of the time
        return self._validators[key]


class Shape:
    """What several schemas say together of one value.

    ``never``: nothing fits. ``unknown``: there is more that could not be followed. ``split``: the ids of the schemas
    whose alternatives were chosen from already.
    """

    __slots__ = ("_types", "key", "never", "nodes", "split", "tree", "unknown")

    def __init__(
        self,
        tree: SchemaTree,
        nodes: tuple[SchemaNode, ...],
        *,
        never: bool = False,
        unknown: bool = False,
        split: frozenset[int] = frozenset(),
    ) -> None:
        self.tree = tree
        self.nodes = nodes
        self.never = never
        self.unknown = unknown
        self.split = split
        self.key = (frozenset(map(id, nodes)), never, unknown, split)
        self._types: frozenset[str] | None = None

    def also(self, *nodes: Any, of: SchemaNode | None = None) -> Shape:
        """This, and more. ``of``: the schema whose alternative it is."""
        split = self.split if of is None else self.split | {id(of)}
        found = self.tree.shape([*self.nodes, *nodes], split)
        found.never, found.unknown = found.never or self.never, found.unknown or self.unknown
        found.key = (found.key[0], found.never, found.unknown, split)
        return found

    @property
    def types(self) -> frozenset[str]:
        """The kinds of values that may fit, of `KINDS`."""
        if self._types is None:
            kinds = frozenset(KINDS)
            for node in self.nodes:
                kinds &= _kinds(node)
            self._types = frozenset() if self.never else kinds
        return self._types

    def values(self) -> list[Any] | None:
        """The values that may fit, where they are few and named; None where they are not."""
        if self.never:
            return []
        for node in self.nodes:
            if "const" in node:
                return [node["const"]]
        listed = [node["enum"] for node in self.nodes if isinstance(node.get("enum"), list)]
        if listed:
            return min(listed, key=len)
        if self.types <= {"null", "boolean"}:
            told: list[Any] = [True, False] if "boolean" in self.types else []
            return [*told, *([None] if "null" in self.types else [])]
        return None

    def all(self, keyword: str, kind: type | tuple[type, ...]) -> list[Any]:
        """What each schema says with a keyword, where it is of that type."""
        found = [node[keyword] for node in self.nodes if keyword in node]
        return [each for each in found if isinstance(each, kind) and not (each is True or each is False)]

    def required(self) -> set[str]:
        """The members that have to be there."""
        return {name for each in self.all("required", list) for name in each if isinstance(name, str)}

    # Objects

    def described(self) -> set[str]:
        """The names of members that are described here, in whatever alternative."""
        return {name for node in self._in_place() for name in members_of(node, "properties")}

    def is_free(self) -> bool:
        """Whether it describes no members at all, or says itself that there may be others."""
        told = closed = False
        for node in self._in_place():
            told = told or "properties" in node or "patternProperties" in node
            more = node.get("additionalProperties", False)
            closed = closed or "additionalProperties" in node
            if more is not False and more is not None:
                return True
        return not told and not closed

    def is_closed(self) -> bool:
        """Whether members that are not described are refused."""
        words = ("additionalProperties", "unevaluatedProperties")
        return any(node.get(word) is False for node in self.nodes for word in words)

    def member(self, name: str) -> Shape:
        """What is said of a member of that name, whether or not it may be there."""
        said: list[Any] = []
        for node in self.nodes:
            own = members_of(node, "properties")
            patterns = [
                each
                for pattern, each in members_of(node, "patternProperties").items()
                if matches(pattern, name)
            ]
            said += [own[name]] if name in own else []
            said += patterns
            if name not in own and not patterns and "additionalProperties" in node:
                said.append(node["additionalProperties"])
        return self.tree.shape(said)

    def others(self) -> Shape:
        """What is said of members that are not described."""
        return self.tree.shape(
            [node["additionalProperties"] for node in self.nodes if "additionalProperties" in node]
        )

    def by_pattern(self) -> dict[str, Shape]:
        """What is said of members whose names match a pattern."""
        patterns = dict.fromkeys(
            each for node in self._in_place() for each in members_of(node, "patternProperties")
        )
        return {
            pattern: self.tree.shape(
                members_of(node, "patternProperties")[pattern]
                for node in self.nodes
                if pattern in members_of(node, "patternProperties")
            )
            for pattern in patterns
        }

    # Arrays

    def prefix(self) -> int:
        """How many items are described one by one."""
        return max((len(_items(node)[0]) for node in self.nodes), default=0)

    def item(self, index: int) -> Shape:
        """What is said of the item at an index."""
        said: list[Any] = []
        for node in self.nodes:
            first, rest = _items(node)
            said.append(first[index] if index < len(first) else rest)
        return self.tree.shape(said)

    # Alternatives

    def branches(self) -> Iterator[tuple[SchemaNode, list[Any]]]:
        """Each schema that offers alternatives which were not chosen from, with these."""
        for node in self.nodes:
            if id(node) in self.split:
                continue
            for keyword in BRANCHING:
                if isinstance(node.get(keyword), list) and node[keyword]:
                    yield node, node[keyword]
                    break
            else:
                if "if" in node:
                    both = {"allOf": [node["if"], node.get("then", True)]}
                    yield node, [self.tree.made(node, "then", both), node.get("else", True)]

    def _in_place(self) -> Iterator[SchemaNode]:
        """The schemas that hold here, and those of all alternatives."""
        seen: set[int] = set()
        waiting: list[tuple[Any, int]] = [(node, 0) for node in self.nodes]
        while waiting:
            node, depth = waiting.pop()
            if not isinstance(node, dict) or id(cast("object", node)) in seen or depth > _DEEPEST:
                continue
            node = cast("SchemaNode", node)
            seen.add(id(node))
            yield node
            inner: list[Any] = [self.tree.target(node.get("$ref"))]
            for keyword in ("allOf", *BRANCHING):
                inner += node[keyword] if isinstance(node.get(keyword), list) else []
            inner += [node[keyword] for keyword in _IN_PLACE if keyword in node]
            inner += members_of(node, "dependentSchemas").values()
            waiting += [(each, depth + 1) for each in inner]


def as_node(schema: Any) -> SchemaNode:
    """A schema as an object: true takes everything, false nothing, and what is no schema says nothing."""
    if isinstance(schema, dict):
        return cast("SchemaNode", schema)
    return {"not": {}} if schema is False else {}


def members_of(node: SchemaNode, keyword: str) -> dict[str, Any]:
    """The schemas by name that a keyword holds; none where it holds something else."""
    found = node.get(keyword)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def names_in(value: Any) -> list[str]:
    """The texts in a list."""
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [each for each in found if isinstance(each, str)]


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches a pattern of JSON Schema, in linear time. One that cannot be read matches nothing."""
    try:
        return compile_schema({"type": "string", "pattern": pattern}).is_valid(text)
    except (SchemaError, ValueError):
        return False


def same_schema(one: Any, other: Any, ones: SchemaTree, others: SchemaTree) -> bool:
    """Whether two schemas say the same, word for word but for titles and descriptions; what they refer to as well.

    Once the two documents have been compared `_MOST_COMPARED` times over, nothing counts as the same any more.
    """
    return _same(one, other, ones, others, set(), 0)


def _same(
    one: Any, other: Any, ones: SchemaTree, others: SchemaTree, taken: set[tuple[int, int]], depth: int
) -> bool:
    ones.compared += 1
    if ones.compared > _MOST_COMPARED:
        return False
    if depth > 2 * _DEEPEST or type(one) is not type(other):
        return one is other or (_is_number(one) and _is_number(other) and one == other)
    if isinstance(one, list):
        ours, theirs = cast("list[Any]", one), cast("list[Any]", other)
        pairs = list(zip(ours, theirs, strict=False))
        return len(ours) == len(theirs) and all(
            _same(*pair, ones, others, taken, depth + 1) for pair in pairs
        )
    if not isinstance(one, dict):
        return bool(one == other)
    first, second = cast("SchemaNode", one), cast("SchemaNode", other)
    if (id(first), id(second)) in taken:
        return True
    taken.add((id(first), id(second)))
    first, second = _said(first), _said(second)
    if first.keys() != second.keys():
        return False
    if "$dynamicRef" in first or "$recursiveRef" in first:
        return msgspec.json.encode(ones.root) == msgspec.json.encode(others.root)
    reference = first.get("$ref")
    if isinstance(reference, str):
        mine, theirs = ones.target(reference), others.target(second["$ref"])
        if mine is None or theirs is None:
            return ones.root == others.root and reference == second["$ref"]
        if not _same(mine, theirs, ones, others, taken, depth + 1):
            return False
    return all(
        name == "$ref" or _same(each, second[name], ones, others, taken, depth + 1)
        for name, each in first.items()
    )


def _said(node: SchemaNode) -> SchemaNode:
    """A schema without its words. (A member that is called "title" has a schema, so it stays.)"""
    return {name: each for name, each in node.items() if name not in _WORDS or not isinstance(each, str)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kinds(node: SchemaNode) -> frozenset[str]:
    found = frozenset(KINDS)
    declared = node.get("type")
    if isinstance(declared, str | list):
        listed = [declared] if isinstance(declared, str) else names_in(declared)
        found = frozenset[str]().union(*(_OF_TYPE.get(each, frozenset()) for each in listed))
    if "const" in node:
        found &= {_kind(node["const"])}
    elif isinstance(node.get("enum"), list):
        found &= {_kind(each) for each in cast("list[Any]", node["enum"])}
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "fraction"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _items(node: SchemaNode) -> tuple[list[Any], Any]:
    """The schemas of the first items, and that of all after them."""
    listed = node.get("items", True)
    if isinstance(listed, list):  # until 2019-09
        return cast("list[Any]", listed), node.get("additionalItems", True)
    first = node.get("prefixItems")
    return (cast("list[Any]", first) if isinstance(first, list) else []), listed


def _nodes(root: Any) -> Iterator[SchemaNode]:
    """Every object in a document, data included."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield cast("SchemaNode", node)
            waiting += cast("SchemaNode", node).values()
        elif isinstance(node, list):
            waiting += cast("list[Any]", node)


_SCHEMA: Final = frozenset(
    {"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"}
    | {"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)
_SCHEMAS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


def schemas_in(node: SchemaNode) -> Iterator[tuple[str, Any]]:
    """The schemas right below one, with their places as pointers relative to it."""
    for keyword, value in node.items():
        if keyword in _NAMED and isinstance(value, dict):
            for name, each in cast("dict[str, Any]", value).items():
                yield f"{keyword}/{name.replace('~', '~0').replace('/', '~1')}", each
        elif keyword in _SCHEMAS and isinstance(value, list):
            for index, each in enumerate(cast("list[Any]", value)):
                yield f"{keyword}/{index}", each
        elif keyword in _SCHEMA:
            yield keyword, value
