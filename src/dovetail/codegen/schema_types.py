"""From JSON Schema to types: what a schema says of a value, as far as Python's types can say it.

Theory of operation. A schema is read as what it lets through: anything that types can't say (lengths, patterns, ranges,
formats, conditions) is left to the server, and to the check of results against the schema. ``allOf`` is merged,
``anyOf``, ``oneOf`` and lists of types are unions, references inside the schema are followed, and an object type that
contains itself becomes a class that does. The same definition in several schemas becomes one class.

A schema may be as large and as twisted as its author likes. `_Budget` bounds what is looked at; what lies beyond it is
``Any``, which lets everything through.

Specification: server/tools, "Data Types"; JSON Schema 2020-12.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote

from .identifiers import Names, type_name
from .literals import one_line
from .type_nodes import (
    ANY,
    ATOMS,
    Alias,
    DictOf,
    ListOf,
    Literals,
    Node,
    ObjectMember,
    ObjectType,
    TupleOf,
    is_long,
    readable,
    same,
    union,
)

__all__ = ["TypesOfModule", "shown_default"]

Schema = Mapping[str, Any]

MAX_NODES: Final = 50_000
"""Schemas, and schemas in them, that are looked at for one module."""
MAX_DEPTH: Final = 40
"""Schemas inside each other."""
MAX_MEMBERS: Final = 200
"""Members of an object, and values of an enumeration."""
_MERGED: Final = 16
_LONGEST_VALUE: Final = 200
_UNIONS: Final = ("anyOf", "oneOf")
_OF_OBJECTS: Final = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
_OF_ARRAYS: Final = frozenset({"items", "prefixItems"})


class _Budget:
    """How much may still be looked at."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


class TypesOfModule:
    """The types of a module, made from its schemas. ``names``: those of the module."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._budget = _Budget()
        self._known: dict[str, Node] = {}
        self._shapes: dict[tuple[str, tuple[ObjectMember, ...]], ObjectType] = {}
        self.objects: list[ObjectType] = []
        self.aliases: list[Alias] = []

    def value(self, schema: Any, *hint: str) -> Node:
        """The type of a value. ``hint``: the words that a name is made of, if it needs one."""
        return _SchemaReading(self, schema).node(schema, hint, 0)

    def arguments(self, schema: Any, *hint: str) -> tuple[list[ObjectMember], Node | None]:
        """The arguments of a tool: those that the schema names, and the type of any others, None if there are none."""
        reading = _SchemaReading(self, schema)
        merged = reading.merged(reading.followed(schema))
        members = reading.members(merged, hint, 0) if len(_properties(merged)) <= MAX_MEMBERS else []
        there = {each.name for each in members}
        for branch in [each for key in _UNIONS for each in _listed(merged.get(key))]:
            for each in reading.members(reading.merged(reading.followed(branch)), hint, 1):
                if each.name not in there and len(members) < MAX_MEMBERS:
                    there.add(each.name)
                    members.append(ObjectMember(each.name, each.node, False, each.about, each.default))
        further = merged.get("additionalProperties")
        open_ended = merged.get("patternProperties") or len(_properties(merged)) > MAX_MEMBERS
        if not open_ended and further in (None, False):
            return members, None
        value = ANY if open_ended else reading.node(further, (*hint, "further"), 0)
        return members, value

    def named(self, node: Node, hint: Sequence[str]) -> Node:
        """The type, under a name of its own if it is long, or not one that msgspec reads."""
        guarded = not readable(node)
        if not guarded and not is_long(node):
            return node
        there = next((each for each in self.aliases if same(each.node, node)), None)
        if there is not None:
            return there
        alias = Alias(self._names.free(type_name(*hint)), node, guarded)
        self.aliases.append(alias)
        return alias

    def new_object(self, hint: Sequence[str], about: str) -> ObjectType:
        """A class without members, yet."""
        made = ObjectType(self._names.free(type_name(*hint)), about)
        self.objects.append(made)
        return made

    def note(self, made: ObjectType) -> None:
        """Take a class that has a name of its own for the one of its shape."""
        self._shapes.setdefault((made.about, made.members), made)

    def once(self, made: ObjectType) -> ObjectType:
        """A class that nothing refers to yet, or one before it that is the same in all but its name."""
        shape = (made.about, made.members)
        there = self._shapes.setdefault(shape, made)
        if there is not made:
            self.objects.remove(made)
            self._names.give_back(made.name)
        return there

    def spend(self) -> bool:
        """Whether one more schema may be looked at."""
        return self._budget.spend()

    def known(self, key: str) -> Node | None:
        """What a definition became before."""
        return self._known.get(key)

    def keep(self, key: str, node: Node) -> None:
        """Note what a definition became."""
        self._known[key] = node


class _SchemaReading:
    """One schema, with the definitions in it."""

    def __init__(self, types: TypesOfModule, root: Any) -> None:
        self._types = types
        self._root = root
        self._open: set[str] = set()
        self._keys: dict[str, str] = {}

    def node(self, schema: Any, hint: Sequence[str], depth: int) -> Node:
        """The type of a value that fits a schema."""
        if not isinstance(schema, dict) or depth > MAX_DEPTH or not self._types.spend():
            return ANY
        said = cast("Schema", schema)
        if isinstance(said.get("$ref"), str):
            return self._reference(said, hint, depth)
        said = self.merged(said)
        options = [each for key in _UNIONS for each in _listed(said.get(key))][:MAX_MEMBERS]
        if options:
            return self._types.named(self._choice(said, options, hint, depth), hint)
        return self._types.named(self._plain(said, hint, depth), hint)

    def _choice(self, said: Schema, options: Sequence[Any], hint: Sequence[str], depth: int) -> Node:
        rest = {key: value for key, value in said.items() if key not in _UNIONS}
        apart = rest.keys() & (_OF_OBJECTS | _OF_ARRAYS | {"enum", "const"})
        found: list[Node] = []
        for number, each in enumerate(options, 1):
            option = _joined(rest, self.followed(each)) if apart else each
            if "type" in rest and isinstance(option, dict) and not option.keys() & {"type", "$ref"}:
                option = {"type": rest["type"], **option}
            found.append(self.node(option, (*hint, _hint_of(option, number)), depth + 1))
        return union(found)

    def _plain(self, said: Schema, hint: Sequence[str], depth: int) -> Node:
        if "const" in said or isinstance(said.get("enum"), list):
            values = [said["const"]] if "const" in said else said["enum"]
            return _of_values(values)
        kinds = said.get("type")
        if isinstance(kinds, list):
            listed = [each for each in cast("list[Any]", kinds) if isinstance(each, str)]
            return union(self._of_kind(each, said, hint, depth) for each in dict.fromkeys(listed))
        if not isinstance(kinds, str):
            kinds = "object" if said.keys() & _OF_OBJECTS else "array" if said.keys() & _OF_ARRAYS else ""
        return self._of_kind(kinds, said, hint, depth)

    def _of_kind(self, kind: str, said: Schema, hint: Sequence[str], depth: int) -> Node:
        if kind == "object":
            return self._object(said, hint, depth)
        if kind == "array":
            return self._array(said, hint, depth)
        return ATOMS.get(kind, ANY)

    def _array(self, said: Schema, hint: Sequence[str], depth: int) -> Node:
        items, first = said.get("items"), said.get("prefixItems")
        if isinstance(items, list):  # as it was written before 2020-12
            first, items = cast("list[Any]", items), said.get("additionalItems")
        if not isinstance(first, list):
            return ListOf(self.node(items, (*hint, "item"), depth + 1))
        listed = cast("list[Any]", first)[:MAX_MEMBERS]
        parts = [self.node(each, (*hint, f"item{at}"), depth + 1) for at, each in enumerate(listed, 1)]
        exact = items is False or said.get("maxItems") == len(parts)
        if exact and said.get("minItems") == len(parts):
            return TupleOf(tuple(parts))
        if not exact:
            parts.append(self.node(items, (*hint, "item"), depth + 1))
        return ListOf(self._types.named(union(parts), (*hint, "item")))

    def _object(self, said: Schema, hint: Sequence[str], depth: int) -> Node:
        properties, further = _properties(said), said.get("additionalProperties")
        if not properties or len(properties) > MAX_MEMBERS:
            return DictOf(self.node(further, (*hint, "value"), depth + 1))
        if isinstance(further, dict) and further:
            # A class would drop the members that have other names, so all are kept in a dict.
            kept = [self.node(each, (*hint, name), depth + 1) for name, each in properties.items()]
            kept.append(self.node(further, (*hint, "value"), depth + 1))
            return DictOf(self._types.named(union(kept), (*hint, "value")))
        made = self._types.new_object(hint, _about(said))
        made.members = tuple(self.members(said, (made.name,), depth))
        return self._types.once(made)

    def members(self, said: Schema, hint: Sequence[str], depth: int) -> list[ObjectMember]:
        """The members of an object; those that have to be there first, each kind in its own order."""
        wanted = said.get("required")
        required = (
            {each for each in cast("list[Any]", wanted) if isinstance(each, str)}
            if isinstance(wanted, list)
            else set[str]()
        )
        found: list[ObjectMember] = []
        for name, schema in _properties(said).items():
            node = self.node(schema, (*hint, name), depth + 1)
            about = _about(self.followed(schema))
            found.append(ObjectMember(name, node, name in required, about, shown_default(schema)))
        return sorted(found, key=lambda each: not each.required)

    # References

    def _reference(self, said: Schema, hint: Sequence[str], depth: int) -> Node:
        pointer = cast("str", said["$ref"])
        rest = {key: value for key, value in said.items() if key != "$ref"}
        target = self._at(pointer)
        if not isinstance(target, dict):
            return ANY
        if rest.keys() & (_OF_OBJECTS | _OF_ARRAYS | {"anyOf", "oneOf", "allOf", "enum", "const"}):
            return self.node(_joined(self.followed(target), rest), hint, depth + 1)
        key = self._key(pointer)
        known = self._types.known(key)
        if known is not None:
            return known
        if pointer in self._open:
            return ANY  # it contains itself without an object in between
        self._open.add(pointer)
        try:
            name = unquote(pointer.rpartition("/")[2]) or hint[0]
            made = self._defined(cast("Schema", target), key, (name,), depth)
        finally:
            self._open.discard(pointer)
        self._types.keep(key, made)
        return made

    def _defined(self, target: Schema, key: str, hint: Sequence[str], depth: int) -> Node:
        """What a definition becomes; a class is known before its members are, since they may contain it."""
        said = self.merged(target)
        simple = "$ref" not in said and not said.keys() & {*_UNIONS, "enum", "const"}
        further = said.get("additionalProperties")
        is_object = said.get("type", "object") == "object" and 0 < len(_properties(said)) <= MAX_MEMBERS
        if not (simple and is_object) or (isinstance(further, dict) and further) or not self._types.spend():
            return self.node(target, hint, depth + 1)
        made = self._types.new_object(hint, _about(said))
        self._types.keep(key, made)
        made.members = tuple(self.members(said, (made.name,), depth + 1))
        self._types.note(made)
        return made

    def _at(self, pointer: str) -> Any:
        """What a reference inside the schema points to; None for one that leads out of it, or nowhere."""
        if not pointer.startswith("#"):
            return None
        found: Any = self._root
        for step in pointer[1:].split("/")[1:]:
            part = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = cast("dict[str, Any]", found).get(part)
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(cast("list[Any]", found)):
                found = cast("list[Any]", found)[int(part)]
            else:
                return None
        return found

    def _key(self, pointer: str) -> str:
        """What a definition is known by: its name, and all that it says, with all that it points to."""
        if pointer not in self._keys:
            todo, seen = [pointer], dict[str, str]()
            while todo and self._types.spend():
                each = todo.pop()
                if each not in seen:
                    target = self._at(each)
                    seen[each] = _as_json(target)
                    todo += _pointers(target)
            self._keys[pointer] = json.dumps([pointer, sorted(seen.items())])
        return self._keys[pointer]

    def followed(self, schema: Any) -> Schema:
        """A schema without the reference that it consists of."""
        for _ in range(_MERGED):
            if not isinstance(schema, dict):
                return {}
            said = cast("Schema", schema)
            pointer = said.get("$ref")
            if not isinstance(pointer, str):
                return said
            target = self._at(pointer)
            rest = {key: value for key, value in said.items() if key != "$ref"}
            schema = {**cast("dict[str, Any]", target), **rest} if isinstance(target, dict) else rest
        return {}

    def merged(self, said: Schema, depth: int = 0) -> Schema:
        """A schema with what its ``allOf`` says, as far as that can be said at once."""
        parts = said.get("allOf")
        if not isinstance(parts, list) or depth > _MERGED:
            return said
        out: Schema = {key: value for key, value in said.items() if key != "allOf"}
        for part in cast("list[Any]", parts)[:MAX_MEMBERS]:
            if not self._types.spend():
                break
            out = _joined(out, self.merged(self.followed(part), depth + 1))
        return out


def shown_default(schema: Any) -> str:
    """The default of a schema as JSON in one line; "" if it has none."""
    if not isinstance(schema, dict) or "default" not in schema:
        return ""
    return one_line(_as_json(cast("Schema", schema)["default"]))


def _as_json(value: Any) -> str:
    """A value as JSON; three dots for one that Python can't write, being too deep or a number of too many digits."""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except (RecursionError, ValueError):
        return "..."


def _joined(one: Schema, other: Schema) -> Schema:
    """Two schemas that hold at once. Members and what is required are put together; of other words that both have, the
    later says more, except that a choice of types is what both allow.
    """
    out: dict[str, Any] = {**one, **other}
    if isinstance(one.get("properties"), dict) and isinstance(other.get("properties"), dict):
        out["properties"] = {**one["properties"], **other["properties"]}
    wanted = [*_listed(one.get("required")), *_listed(other.get("required"))]
    if wanted:
        out["required"] = wanted
    if isinstance(one.get("type"), str) and isinstance(other.get("type"), list):
        out["type"] = one["type"]
    if one.get("additionalProperties") is False:
        out["additionalProperties"] = False
    for key in _UNIONS:
        if key in one and key in other:
            out[key] = one[key]  # what the other one narrows further is left to the check
    return out


def _of_values(values: Sequence[Any]) -> Node:
    """The values of an enumeration; their kinds where they can't be written down."""
    plain = [each for each in values if each is None or isinstance(each, str) or _is_small(each)]
    short = all(not isinstance(each, str) or len(each) <= _LONGEST_VALUE for each in plain)
    if plain and len(plain) == len(values) <= MAX_MEMBERS and short:
        return union([Literals(tuple(plain))])
    return union(_of_value(each) for each in values[:MAX_MEMBERS])


def _is_small(value: Any) -> bool:
    """Whether a value is a boolean, or a whole number of 64 bits."""
    return isinstance(value, int) and -(2**63) <= value < 2**64


def _of_value(value: Any) -> Node:
    if isinstance(value, dict):
        return DictOf(ANY)
    if isinstance(value, list):
        return ListOf(ANY)
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return ATOMS[kinds[type(value)]]


def _properties(said: Schema) -> dict[str, Any]:
    found = said.get("properties")
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _listed(found: Any) -> list[Any]:
    return cast("list[Any]", found) if isinstance(found, list) else []


def _about(said: Schema) -> str:
    found = said.get("description")
    return found if isinstance(found, str) else ""


def _hint_of(option: Any, number: int) -> str:
    """A word for one of several: its title, the value that tells it apart, or its number."""
    if not isinstance(option, dict):
        return f"option{number}"
    said = cast("Schema", option)
    for each in _properties(said).values():
        told = cast("Schema", each).get("const") if isinstance(each, dict) else None
        if isinstance(told, str) and told:
            return told[:40]
    title = said.get("title")
    kind = said.get("type")
    if isinstance(title, str) and title:
        return title[:40]
    return f"{kind if isinstance(kind, str) and kind not in ('object', 'array') else 'option'}{number}"


def _pointers(schema: Any) -> Iterator[str]:
    todo: list[Any] = [schema]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            said = cast("dict[str, Any]", each)
            if isinstance(said.get("$ref"), str):
                yield said["$ref"]
            todo += said.values()
        elif isinstance(each, list):
            todo += cast("Iterable[Any]", each)
