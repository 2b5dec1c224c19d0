"""Values near the borders of two schemas: what one may take and the other not.

Theory of operation. What both schemas say of a place is laid together (`Borders`), alternatives and what is ruled out
included, and values are made at, below and above everything that they name: bounds, lengths, counts, names, listed
values. Parts are made first; those that fit the sender's schema of the part come first, so that a list or an object is
wrong in one part at most. Nothing here has to fit: whoever asks has a validator judge.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jsonschema_rs

Place = tuple[Any, Any]
"""A schema, and the document that it stands in."""

DEEPEST = 3
MOST_PARTS = 8
EVERY_KIND: tuple[Any, ...] = (0, 0.5, "a", None, True, {}, [])
LETTERS = ("a", "b", "~")
PATTERNED = ("ab", "ba", "2024-01-31")
IN_PLACE = ("if", "then", "else", "not")
NAMES = ("a", "b", "c", "zz")


def judge(schema: Any, *, formats: bool = False) -> Callable[[Any], bool] | None:
    """An independent validator, or None for a schema that is none."""
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=formats).is_valid
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


def near(sender: Any, receiver: Any) -> list[Any]:
    """Values near what either schema says, those that a sender sends first."""
    return Borders([(sender, sender)], [(receiver, receiver)], 0).values()


def in_place(places: Iterable[Place]) -> list[Place]:
    """The schemas, and all that they are made of and that speaks of the same value."""
    found: list[Place] = []
    seen: set[int] = set()
    waiting = list(places)
    while waiting:
        node, root = waiting.pop(0)
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        found.append((node, root))
        inner = [node[word] for word in IN_PLACE if word in node]
        inner += [each for word in ("allOf", "anyOf", "oneOf") for each in node.get(word, ())]
        inner += node.get("dependentSchemas", {}).values()
        parts = node.get("$ref", "#").split("/")[1:]
        inner += [root[parts[0]].get(parts[1])] if len(parts) == 2 and parts[0] in root else []
        waiting += [(each, root) for each in inner]
    return found


class Borders:
    """What two sides say of one place. ``depth``: in how many values this one lies."""

    def __init__(self, sent: list[Place], taken: list[Place], depth: int) -> None:
        self.sent, self.taken, self.depth = in_place(sent), in_place(taken), depth
        self.nodes = [node for node, _ in (*self.sent, *self.taken)]
        self.asked = sent

    def said(self, *words: str) -> list[Any]:
        """What is said with some keywords."""
        return [node[word] for node in self.nodes for word in words if word in node]

    def values(self) -> list[Any]:
        """Values at the borders, each once, those that fit what is sent first."""
        found = [*self.said("const"), *(each for listed in self.said("enum") for each in listed)]
        found += [*self.numbers(), *self.texts(), *EVERY_KIND]
        if self.depth < DEEPEST:
            found += [*self.lists(), *self.objects()]
        once = list({repr(each): each for each in found}.values())
        if not self.depth:
            return once
        judges = [judge({**_definitions(root), "allOf": [node]}) for node, root in self.asked]
        fit = {id(each): sum(1 for fits in judges if fits and not fits(each)) for each in once}
        return sorted(once, key=lambda each: fit[id(each)])

    def numbers(self) -> Iterator[Any]:
        words = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        bounds = sorted(set(self.said(*words)))
        steps = self.said("multipleOf")
        for each in bounds:
            yield from (each - 1, each - 0.5, each, each + 0.5, each + 1)
        for each in steps:
            yield from (each, -each, each * 2, each * 3)
        if bounds or steps or "integer" in str(self.said("type")):
            yield from (1, 2, 7, -7)

    def texts(self) -> Iterator[str]:
        lengths = {max(0, each + step) for each in self.said("minLength", "maxLength") for step in (-1, 0, 1)}
        for length in sorted({*lengths, 1, 3} if lengths else {0, 1}):
            yield from (letter * length for letter in LETTERS)
        if self.said("pattern", "format"):
            yield from PATTERNED

    def lists(self) -> Iterator[list[Any]]:
        words = (
            "items",
            "prefixItems",
            "contains",
            "minItems",
            "maxItems",
            "uniqueItems",
            "unevaluatedItems",
        )
        if not self.said(*words) and "array" not in str(self.said("type")):
            return
        counts = {each + step for each in self.said("minItems", "maxItems") for step in (-1, 0, 1)}
        described = max(
            (len(each) for each in self.said("prefixItems", "items") if isinstance(each, list)), default=0
        )
        counts |= {0, 1, 2, 3, described, described + 1}
        longest = max(counts)
        items = [self.inner(lambda node, at=index: _item(node, at)) for index in range(min(longest, 4))]
        items += items[-1:] * (longest - len(items))
        for count in sorted(each for each in counts if each >= 0):
            same = [each[0] for each in items[:count]]
            different = [each[index % len(each)] for index, each in enumerate(items[:count])]
            yield from (same, different)
            for index in range(min(count, 4)):
                for each in items[index]:
                    yield [*same[:index], each, *same[index + 1 :]]
                    yield [*different[:index], each, *different[index + 1 :]]
            yield from ([each] * count for each in items[0][:6])

    def objects(self) -> Iterator[dict[str, Any]]:
        words = (
            "properties",
            "patternProperties",
            "additionalProperties",
            "required",
            "propertyNames",
            "minProperties",
        )
        words = (*words, "maxProperties", "dependentRequired", "dependencies")
        if not self.said(*words) and "object" not in str(self.said("type")):
            return
        told = {name for each in self.said("properties", "dependentRequired") for name in each}
        told |= {name for each in self.said("required") for name in each}
        names = sorted(told)[:4] + [each for each in NAMES if each not in told][: 2 if self.depth else 3]
        if self.said("patternProperties"):
            names.append("aa")
        members = {name: self.inner(lambda node, at=name: _member(node, at)) for name in names}
        first = {name: each[0] for name, each in members.items()}
        chosen = [each for count in range(len(names) + 1) for each in itertools.combinations(names, count)]
        for some in chosen[: 20 if self.depth else 64]:
            yield {name: first[name] for name in some}
        required = {name for each in self.said("required") for name in each if name in first}
        starts = [
            {},
            {name: first[name] for name in required},
            {name: first[name] for name in sorted(told) if name in first},
        ]
        for start in starts:
            for name, values in members.items():
                yield from ({**start, name: each} for each in values)
        for one, other in itertools.combinations(sorted(told & first.keys()), 2):
            for each, more in itertools.product(members[one][:5], members[other][:5]):
                yield {**starts[1], one: each, other: more}

    def inner(self, part: Callable[[Any], list[Any]]) -> list[Any]:
        """Values of a part, few."""
        sent = [(each, root) for node, root in self.sent for each in part(node)]
        taken = [(each, root) for node, root in self.taken for each in part(node)]
        return Borders(sent, taken, self.depth + 1).values()[:MOST_PARTS]


def _definitions(root: Any) -> dict[str, Any]:
    return {word: root[word] for word in ("$schema", "$defs", "definitions") if word in root}


def _item(node: Any, index: int) -> list[Any]:
    listed = node.get("items", True)
    first = listed if isinstance(listed, list) else node.get("prefixItems", [])
    rest = node.get("additionalItems", True) if isinstance(listed, list) else listed
    return [first[index] if index < len(first) else rest, *([node["contains"]] if "contains" in node else [])]


def _member(node: Any, name: str) -> list[Any]:
    found = [node["properties"][name]] if name in node.get("properties", {}) else []
    found += [each for pattern, each in node.get("patternProperties", {}).items() if re.search(pattern, name)]
    return found or ([node["additionalProperties"]] if "additionalProperties" in node else [])
