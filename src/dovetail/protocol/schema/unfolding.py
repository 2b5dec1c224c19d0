"""How much work a schema asks for, whatever its size: the schemas it stands for once references are followed.

Theory of operation. A definition that refers twice to the next, which refers twice to the next, is small and
stands for 2^n schemas, and a validator visits them all. So the schema is counted as it would unfold: one for
itself, plus what stands in it, plus what its references lead to. Each definition is counted once and its sum
used wherever it is referred to, so counting is linear in the schema's size. Where a reference leads back to a
schema that is being counted, nothing is added: recursion follows the value, and values have a bound of their
own. What is recursive and doubles at each level of the value is therefore not found here.

Specification: 2026-07-28 basic/index, "JSON Schema Usage": bounds on the time of validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, cast
from urllib.parse import unquote

__all__ = ["MAX_UNFOLDED", "Schema", "Targets", "reference_targets", "unfold"]

MAX_UNFOLDED: Final = 500_000
"""Schemas that one schema may stand for."""

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
Schema: TypeAlias = dict[str, object]
Visited: TypeAlias = tuple[Schema, str]
Children: TypeAlias = Callable[[Schema], Iterable[Schema]]
Targets: TypeAlias = Callable[[Schema], list[Schema | None]]


def unfold(visited: list[Visited], children: Children, targets: Targets) -> tuple[int, bool]:
    """How many schemas the first of ``visited`` stands for (counted to `MAX_UNFOLDED`), and whether it is recursive.

    ``visited``: all schemas of the document, root first, each with the base URI inside it. ``children``: the
    schemas that apply where one does, definitions left out. ``targets``: those that it refers to.
    """
    if not any(keyword in schema for schema, _ in visited for keyword in _REFERENCES):
        return len(visited), False
    return _weigh(
        visited[0][0],
        lambda schema: [*children(schema), *(each for each in targets(schema) if each is not None)],
    )


def reference_targets(visited: list[Visited], join: Callable[[str, str], str]) -> Targets:
    """A function that gives the schemas which one refers to; None for one that the document does not hold.

    ``join``: a reference on its base. What a dynamic reference may lead to is given whole.
    """
    resources, anchors, dynamic = _places(visited)
    bases = {id(schema): base for schema, base in visited}

    def targets(schema: Schema) -> list[Schema | None]:
        found: list[Schema | None] = []
        for keyword in _REFERENCES:
            reference = schema.get(keyword)
            if not isinstance(reference, str):
                continue
            base = bases.get(id(schema), visited[0][1])
            address, _, fragment = reference.partition("#")
            url = join(base, address).partition("#")[0]
            target = _find(resources.get(url), anchors.get((url, fragment)), fragment)
            found.append(target)
            others = [visited[0][0]] if keyword == "$recursiveRef" else []
            if keyword == "$dynamicRef":
                others = dynamic.get(fragment, [])
            found.extend(each for each in others if each is not target)
        return found

    return targets


def _places(
    visited: list[Visited],
) -> tuple[dict[str, Schema], dict[tuple[str, str], Schema], dict[str, list[Schema]]]:
    """The root of each resource, what has an anchor in one, and what has a dynamic one in any."""
    resources: dict[str, Schema] = {}
    anchors: dict[tuple[str, str], Schema] = {}
    dynamic: dict[str, list[Schema]] = {}
    for schema, base in visited:
        resources.setdefault(base, schema)  # parents come first
        for keyword in _ANCHORS:
            anchor = schema.get(keyword)
            if isinstance(anchor, str):
                anchors[base, anchor] = schema
                if keyword == "$dynamicAnchor":
                    dynamic.setdefault(anchor, []).append(schema)
    return resources, anchors, dynamic


def _find(resource: Schema | None, anchored: Schema | None, fragment: str) -> Schema | None:
    """The schema that a fragment leads to in a resource."""
    if anchored is not None:
        return anchored
    node: object = resource
    for step in fragment.split("/")[1:] if fragment.startswith("/") else ():
        node = _member(node, unquote(step).replace("~1", "/").replace("~0", "~"))
    return cast("Schema", node) if isinstance(node, dict) else None


def _member(node: object, name: str) -> object:
    if isinstance(node, dict):
        return cast("Schema", node).get(name)
    if isinstance(node, list) and name.isdigit():
        items = cast("list[object]", node)
        return items[int(name)] if len(name) < 9 and int(name) < len(items) else None
    return None


def _weigh(root: Schema, below: Callable[[Schema], list[Schema]]) -> tuple[int, bool]:
    """The number of schemas that ``root`` stands for; counting ends beyond the limit."""
    recursive = False
    weights: dict[int, int] = {id(root): 0}  # 0: being counted
    stack: list[tuple[int, list[Schema], int]] = [(id(root), below(root), 1)]
    while True:
        key, rest, weight = stack.pop()
        while rest:
            child = rest.pop()
            known = weights.get(id(child))
            if known is None:
                stack.append((key, rest, weight))
                weights[id(child)] = 0
                key, rest, weight = id(child), below(child), 1
                continue
            recursive = recursive or not known
            weight += known
            if weight > MAX_UNFOLDED:
                return weight, recursive
        weights[key] = weight
        if not stack:
            return weight, recursive
        parent, siblings, sum_so_far = stack.pop()
        stack.append((parent, siblings, sum_so_far + weight))
