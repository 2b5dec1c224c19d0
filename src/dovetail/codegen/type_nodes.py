"""Types of Python as they are written: nodes that the schemas of a server become, and their text in a module.

Theory of operation. A value of a result is converted by msgspec, which tells the members of a union apart by their
kind: text, array, object. Where a schema leaves a choice between two objects, or two arrays, that is not enough. Such a
union gets a name that is the union for type checkers, and `Any` when the module runs: the value is given as it came. So
what it is made of is written as what came: every object a ``TypedDict``, every array a list. `mark_raw` finds it all.

Specification: none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .identifiers import LONGEST
from .literals import LINE, quoted

__all__ = [
    "ANY",
    "ATOMS",
    "NOTHING",
    "Alias",
    "Atom",
    "DictOf",
    "ListOf",
    "Literals",
    "ObjectMember",
    "Node",
    "ObjectType",
    "TupleOf",
    "UnionOf",
    "mark_raw",
    "same",
    "text_of",
    "union",
]


@dataclass(frozen=True)
class Atom:
    """A type that is one word. ``kind``: what msgspec tells it by."""

    text: str
    kind: str


@dataclass(frozen=True)
class Literals:
    """Some values: texts, whole numbers, booleans, null."""

    values: tuple[str | int | None, ...]


@dataclass(frozen=True)
class ListOf:
    """An array of one type."""

    item: "Node"


@dataclass(frozen=True)
class TupleOf:
    """An array of a certain length."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True)
class DictOf:
    """An object whose members have any names."""

    value: "Node"


@dataclass(frozen=True)
class UnionOf:
    """One of several."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True)
class ObjectMember:
    """A member of an object. ``default``: what the schema says of it, as JSON; "" for nothing."""

    name: str
    node: "Node"
    required: bool
    about: str = ""
    default: str = ""


@dataclass(eq=False)
class ObjectType:
    """A class of the module. ``raw``: it is a ``TypedDict`` whatever else is wanted."""

    name: str
    about: str = ""
    members: tuple[ObjectMember, ...] = ()
    raw: bool = False


@dataclass(eq=False)
class Alias:
    """A name for a type that is long, or that msgspec can't read. ``guarded``: the latter."""

    name: str
    node: "Node"
    guarded: bool = False
    raw: bool = field(default=False)


Node: TypeAlias = Atom | Literals | ListOf | TupleOf | DictOf | UnionOf | ObjectType | Alias

ANY: Final = Atom("Any", "any")
NOTHING: Final = Atom("None", "null")
ATOMS: Final = {
    "string": Atom("str", "str"),
    "number": Atom("float", "float"),
    "integer": Atom("int", "int"),
    "boolean": Atom("bool", "bool"),
    "null": NOTHING,
}


def union(options: Iterable[Node]) -> Node:
    """One of several, each once; values of a type that is there as a whole, and all values together."""
    flat: list[Node] = []
    values: list[str | int | None] = []
    for option in options:
        for each in option.options if isinstance(option, UnionOf) else (option,):
            if each == ANY:
                return ANY
            if isinstance(each, Literals):
                values += [value for value in each.values if not _there(value, values)]
            elif not any(same(each, other) for other in flat):
                flat.append(each)
    whole = {each.kind for each in flat if isinstance(each, Atom)}
    values = [value for value in values if kind_of(value) not in whole]
    if {False, True} <= {value for value in values if isinstance(value, bool)}:
        values = [value for value in values if not isinstance(value, bool)]
        flat.append(ATOMS["boolean"])
    if values == [None]:
        flat.append(NOTHING)
    elif values:
        flat.insert(0, Literals(tuple(values)))
    flat.sort(key=lambda each: each == NOTHING)
    return flat[0] if len(flat) == 1 else UnionOf(tuple(flat)) if flat else ANY


def same(one: Node, other: Node) -> bool:
    """Whether two nodes are the same type: classes and aliases are if they are one."""
    return one is other or one == other


def _there(value: Any, values: Sequence[Any]) -> bool:
    return any(value == each and type(value) is type(each) for each in values)


def kind_of(value: str | int | None) -> str:
    """The kind of a value."""
    if value is None:
        return "null"
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "str"


def kinds(node: Node) -> list[str]:
    """What msgspec can tell the type by, once for each of its parts."""
    if isinstance(node, Atom):
        return [node.kind]
    if isinstance(node, Literals):
        return sorted({kind_of(value) for value in node.values})
    if isinstance(node, (ListOf, TupleOf)):
        return ["array"]
    if isinstance(node, (DictOf, ObjectType)):
        return ["object"]
    if isinstance(node, Alias):
        return ["any"] if node.guarded else kinds(node.node)
    return [kind for option in node.options for kind in kinds(option)]


def readable(node: Node) -> bool:
    """Whether msgspec can read this type, as far as it is one that stands here itself."""
    if isinstance(node, Literals):
        return not any(isinstance(value, bool) for value in node.values)
    if not isinstance(node, UnionOf):
        return True
    found = kinds(node)
    return "any" not in found and len(set(found)) == len(found) and all(map(readable, node.options))


def below(node: Node) -> Sequence[Node]:
    """The types that a type is made of."""
    if isinstance(node, (ListOf, DictOf)):
        return (node.item if isinstance(node, ListOf) else node.value,)
    if isinstance(node, TupleOf):
        return node.items
    if isinstance(node, UnionOf):
        return node.options
    if isinstance(node, ObjectType):
        return [member.node for member in node.members]
    return (node.node,) if isinstance(node, Alias) else ()


def mark_raw(aliases: Iterable[Alias]) -> None:
    """Mark all that the guarded ones among these are made of, as it is given as it came."""
    todo: list[Node] = [each for each in aliases if each.guarded]
    while todo:
        node = todo.pop()
        if isinstance(node, (ObjectType, Alias)):
            if node.raw:
                continue
            node.raw = True
        todo += below(node)


def text_of(node: Node, *, raw: bool = False) -> str:
    """A type as it is written, in one line. ``raw``: where the value is given as it came."""
    if isinstance(node, Atom):
        return node.text
    if isinstance(node, (ObjectType, Alias)):
        return node.name
    if isinstance(node, Literals):
        return f"Literal[{', '.join(map(_value, node.values))}]"
    if isinstance(node, ListOf):
        return f"list[{text_of(node.item, raw=raw)}]"
    if isinstance(node, DictOf):
        return f"dict[str, {text_of(node.value, raw=raw)}]"
    if isinstance(node, TupleOf):
        return "list[Any]" if raw else f"tuple[{', '.join(text_of(each) for each in node.items) or '()'}]"
    return " | ".join(text_of(each, raw=raw) for each in node.options)


def statement(alias: Alias, indent: str) -> list[str]:
    """The lines that give a type its name."""
    text = text_of(alias.node, raw=alias.raw)
    whole = f"{indent}{alias.name}: TypeAlias = {text}"
    if len(whole) <= LINE:
        return [whole]
    if isinstance(alias.node, UnionOf):
        outer, inner = "Union", [text_of(each, raw=alias.raw) for each in alias.node.options]
    elif isinstance(alias.node, Literals):
        outer, inner = "Literal", [_value(each) for each in alias.node.values]
    elif isinstance(alias.node, TupleOf) and not alias.raw:
        outer, inner = "tuple", [text_of(each) for each in alias.node.items]
    else:
        return [f"{whole}  # fmt: skip"]
    first = f"{indent}{alias.name}: TypeAlias = {outer}["
    if len(inner) == 1 or any(len(each) + len(indent) + 5 > LINE for each in inner):
        return [f"{first}{', '.join(inner)}]  # fmt: skip"]
    return [first, *(f"{indent}    {each}," for each in inner), f"{indent}]"]


def is_long(node: Node) -> bool:
    """Whether a type needs a name, so that a line has room for it."""
    return not isinstance(node, (Atom, ObjectType, Alias)) and len(text_of(node)) > LONGEST


def _value(value: str | int | None) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)
