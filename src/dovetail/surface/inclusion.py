"""Whether every value that one schema takes is taken by another, and where not.

Theory of operation. `misfits` tries to prove it, keyword by keyword: for each thing that the receiver's schema asks,
the sender's has to promise it. What cannot be proven is a `Misfit`, so an empty list is a proof; this is the one
direction in which nothing may be wrong. Alternatives of the sender are proven one by one (``anyOf``, ``oneOf``, ``if``,
several types); of the receiver's ``anyOf`` one has to take all. A schema that contains itself is proven by assuming it
for the parts of a value, which are smaller. Each misfit brings values that may show it; a validator then judges them
with both schemas (`_confirm`): one that the sender takes and the receiver refuses is a proof, too.

**Who sends does so as described.** Nearly all schemas leave open what else an object may have, and nobody sends that.
So an object that describes members has these and no others where it is sent, unless its schema says
``additionalProperties``. Without that reading, every new optional argument would break somebody who sent its name for
no reason.

Work is bounded: beyond `MAX_STEPS` the rest counts as undecided.

Specification: JSON Schema 2020-12 (core and validation); none of the protocol's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, cast

from msgspec.structs import replace

from .misfits import Misfit, distinct, kinds_in_words, plain_number, shown, weight
from .samples import (
    NOTHING,
    around,
    bounds,
    list_of,
    list_with,
    object_of,
    other_texts,
    sample,
    samples,
)
from .shapes import BRANCHING, SchemaTree, Shape, as_node, matches, members_of, names_in, same_schema

__all__ = ["MAX_STEPS", "Inclusion"]

MAX_STEPS: Final = 20_000
"""Pairs of places that are looked at for one pair of schemas."""
_DEEPEST: Final = 48
_TRIED: Final = 12
#: What is compared as a whole: no rule here says what it takes to keep one of them.
_OPAQUE: Final = (
    *(
        "if",
        "then",
        "else",
        "not",
        "dependentSchemas",
        "dependencies",
        "contains",
        "minContains",
        "maxContains",
    ),
    *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "propertyNames"),
)


class Inclusion:
    """The comparison of one sender's schema with one receiver's. ``bare``: the sender's outermost object has no members
    but those described, even if it describes none.
    """

    def __init__(self, sender: Any, receiver: Any, *, bare: bool = False) -> None:
        self._sender = SchemaTree(sender)
        self._receiver = SchemaTree(receiver)
        self._bare = bare
        self._steps = self._assumed = 0
        self._open: dict[tuple[Any, Any], int] = {}
        self._proven: set[tuple[Any, Any]] = set()

    def misfits(self) -> list[Misfit]:
        """What could not be proven, each judged by examples. Nothing: every value that is sent is taken."""
        sender, receiver = self._sender, self._receiver
        if sender.dialect == receiver.dialect and same_schema(sender.root, receiver.root, sender, receiver):
            return []
        if sender.broken() or receiver.broken():
            return [Misfit(keyword="", what="values that a schema in error says nothing of", sure=False)]
        found = self._included(sender.whole(), receiver.whole(), 0)
        if sender.dialect != receiver.dialect or sender.mixed or receiver.mixed:
            found.append(
                Misfit(keyword="$schema", what="values that another dialect reads otherwise", sure=False)
            )
        return [self._confirm(each) for each in distinct(found)]

    def _confirm(self, found: Misfit) -> Misfit:
        """Have examples decide: one that only the sender takes is a proof; if none is, there is doubt."""
        sender, receiver = self._sender.whole(), self._receiver.whole()
        tried = False
        for value in found.examples[:_TRIED]:
            if self._sender.fits(sender, value) is not True:
                continue
            tried = True
            if self._receiver.fits(receiver, value) is False:
                return replace(found, examples=(value,), proven=True, sure=True)
        return replace(found, examples=(), sure=found.sure and not tried)

    # One place

    def _included(self, sender: Shape, receiver: Shape, depth: int) -> list[Misfit]:
        key = (sender.key, receiver.key)
        if not sender.types or key in self._proven:
            return []
        if not receiver.nodes and not receiver.never and not receiver.unknown:
            return []
        self._steps += 1
        if self._steps > MAX_STEPS or depth > _DEEPEST:
            return [Misfit(keyword="", what="values of a schema too large to be compared", sure=False)]
        if key in self._open:
            if self._open[key] < depth:
                self._assumed += 1
                return []  # the parts of a value are smaller than the value
            return [
                Misfit(keyword="$ref", what="values of a schema that refers to itself in place", sure=False)
            ]
        self._open[key], assumed = depth, self._assumed
        try:
            found = self._tried(sender, receiver, depth)
        finally:
            del self._open[key]
        if receiver.unknown:
            found.append(
                Misfit(keyword="$ref", what="values of a schema that cannot be followed", sure=False)
            )
        if not found and assumed == self._assumed:  # else it is proven only as long as the assumption holds
            self._proven.add(key)
        return found

    def _tried(self, sender: Shape, receiver: Shape, depth: int) -> list[Misfit]:
        listed = sender.values()
        if listed is not None:
            return self._values(listed, sender, receiver)
        if receiver.never:
            return [Misfit(keyword="false", what="values of any kind", examples=tuple(samples(sender)))]
        found = self._all(sender, receiver, depth)
        if not found:
            return []
        for parts in self._parts(sender, receiver):
            split = [each for part in parts for each in self._included(part, receiver, depth)]
            if not split or weight(split) < weight(found) or len(sender.types) > 1:
                return split
            return found
        return found

    def _parts(self, sender: Shape, receiver: Shape) -> Iterator[list[Shape]]:
        """The sender's alternatives, if it has any: together they are what it takes."""
        for node, branches in sender.branches():
            yield [sender.also(branch, of=node) for branch in branches]
        kinds = sender.types
        if len(kinds) > 1 and any(word in node for node in receiver.nodes for word in BRANCHING):
            numbers = kinds & {"integer", "fraction"}
            parts = [(each, each) for each in sorted(kinds - numbers)]
            parts += [("number" if "fraction" in numbers else "integer", "number")] if numbers else []
            if len(parts) > 1:
                root = self._sender.root
                yield [sender.also(self._sender.made(root, kind, {"type": kind})) for kind, _ in parts]

    def _values(self, listed: list[Any], sender: Shape, receiver: Shape) -> list[Misfit]:
        """The sender's values are named: each is judged by itself."""
        sent = [each for each in listed if self._sender.fits(sender, each) is not False]
        verdicts = [(each, self._receiver.fits(receiver, each)) for each in sent]
        refused = [each for each, verdict in verdicts if verdict is False]
        doubtful = [each for each, verdict in verdicts if verdict is None]
        found: list[Misfit] = []
        for values, sure in ((refused, True), (doubtful, False)):
            if values:
                told = ", ".join(map(shown, values[:5])) + (", ..." if len(values) > 5 else "")
                what = f"the value{'s' if len(values) > 1 else ''} {told}"
                found.append(Misfit(keyword="enum", what=what, examples=tuple(values), sure=sure))
        return found

    def _all(self, sender: Shape, receiver: Shape, depth: int) -> list[Misfit]:
        found: list[Misfit] = []
        for node in receiver.nodes:
            if any(same_schema(each, node, self._sender, self._receiver) for each in sender.nodes):
                continue
            refused = (
                sender.types - self._receiver.shape([as_node({"type": node["type"]})]).types
                if "type" in node
                else frozenset[str]()
            )
            if refused:
                examples = tuple(samples(sender, refused))
                found.append(Misfit(keyword="type", what=kinds_in_words(refused), examples=examples))
                if refused == sender.types:
                    continue
            for rule in _RULES:
                found += rule(self, sender, node, depth)
        if not _plain(sender):
            found = [replace(each, sure=False) for each in found]
        return found

    # What the receiver's schema asks, keyword by keyword

    def _listed(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        for keyword in ("const", "enum"):
            if keyword in node:
                values = [node[keyword]] if keyword == "const" else cast("list[Any]", node[keyword])
                told = ", ".join(map(shown, values[:5])) if isinstance(values, list) else ""  # pyright: ignore[reportUnnecessaryIsInstance] - a peer's schema may hold anything
                tried = [*samples(sender), *other_texts(sender)]
                yield Misfit(keyword=keyword, what=f"values other than {told}", examples=tuple(tried))

    def _numbers(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        if not sender.types & {"integer", "fraction"}:
            return
        whole = "fraction" not in sender.types
        low, high, below, above = bounds(sender)
        asked = self._receiver.shape([{word: node[word] for word in _BOUNDS if word in node}])
        least, most, over, under = bounds(asked)
        if least is not None and not _reaches(low, below, least, over, whole=whole):
            tried = around(low if low is not None else least - 1, least, whole=whole)
            yield Misfit(keyword="minimum", what=f"numbers below {plain_number(least)}", examples=tried)
        if most is not None and not _reaches(_minus(high), above, -most, under, whole=whole):
            tried = around(high if high is not None else most + 1, most, whole=whole)
            yield Misfit(keyword="maximum", what=f"numbers above {plain_number(most)}", examples=tried)
        step = node.get("multipleOf")
        if isinstance(step, int | float) and not isinstance(step, bool) and step > 0:
            steps = [Fraction(str(each)) for each in sender.all("multipleOf", (int, float)) if each > 0]
            steps += [Fraction(1)] if whole else []
            if not any((each / Fraction(str(step))).denominator == 1 for each in steps):
                start = sample(sender)
                tried = (start, *([start + 1, start + 2] if isinstance(start, int | float) else []))
                what = f"numbers that are no multiple of {shown(step)}"
                yield Misfit(keyword="multipleOf", what=what, examples=tried)

    def _texts(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        if "string" not in sender.types:
            return
        for misfit in self._counted(sender, node, ("minLength", "maxLength"), "texts", "characters"):
            length = int(misfit.examples[0])
            text = "a" * min(length, 5000)
            yield replace(misfit, examples=(text,) if len(text) == length else ())
        pattern = node.get("pattern")
        if isinstance(pattern, str) and pattern not in sender.all("pattern", str):
            tried = tuple(other_texts(sender))
            yield Misfit(keyword="pattern", what=f"texts that do not match {shown(pattern)}", examples=tried)
        for word, about in (("format", "that are no"), ("contentEncoding", "that are no")):
            form = node.get(word)
            if isinstance(form, str) and form not in sender.all(word, str):
                yield Misfit(keyword=word, what=f"texts {about} {form}", sure=False)

    def _counted(
        self, sender: Shape, node: dict[str, Any], words: tuple[str, str], many: str, unit: str
    ) -> Iterator[Misfit]:
        """Bounds of a count. The example is the count itself."""
        lowest, highest = words
        least = max((each for each in sender.all(lowest, (int, float))), default=0)
        most = min((each for each in sender.all(highest, (int, float))), default=None)
        asked, allowed = node.get(lowest), node.get(highest)
        if isinstance(asked, int | float) and asked > least:
            what = f"{many} of fewer than {shown(asked)} {unit}"
            yield Misfit(keyword=lowest, what=what, examples=(least,))
        if isinstance(allowed, int | float) and (most is None or most > allowed):
            what = f"{many} of more than {shown(allowed)} {unit}"
            yield Misfit(keyword=highest, what=what, examples=(max(allowed + 1, least),))

    def _lists(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        if "array" not in sender.types:
            return
        most = min((int(each) for each in sender.all("maxItems", (int, float))), default=None)
        least = max((int(each) for each in sender.all("minItems", (int, float))), default=0)
        for misfit in self._counted(sender, node, ("minItems", "maxItems"), "lists", "items"):
            yield replace(misfit, examples=tuple(list_of(sender, int(misfit.examples[0]))))
        asked = self._receiver.shape([{word: node[word] for word in _LISTS if word in node}])
        described = max(sender.prefix(), asked.prefix())
        for index in range(described + 1):
            if most is not None and index >= most:
                break
            inner = self._included(sender.item(index), asked.item(index), depth + 1)
            place = "[]" if index == described and not described else f"[{index}]"
            for misfit in inner:
                lists = [list_with(sender, index, each, least) for each in misfit.examples]
                yield replace(misfit, path=(place, *misfit.path), examples=tuple(lists))
        kept = any(each.get("uniqueItems") is True for each in sender.nodes) or (
            most is not None and most < 2
        )
        if node.get("uniqueItems") is True and not kept:
            item = sample(sender.item(0))
            lists = () if item is NOTHING else ([item] * max(2, min(least, 64)),)
            yield Misfit(keyword="uniqueItems", what="lists that have an item twice", examples=lists)

    def _members(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        if "object" not in sender.types:
            return
        required, start = sender.required(), object_of(sender)
        for name in names_in(node.get("required")):
            if name not in required:
                without = {other: each for other, each in start.items() if other != name}
                yield Misfit(
                    path=(name,),
                    keyword="required",
                    what=f"objects without {shown(name)}",
                    examples=(without,),
                )
        own, patterns = members_of(node, "properties"), members_of(node, "patternProperties")
        for name in sorted(self._sent(sender, own)):
            asked: list[Any] = [own[name]] if name in own else []
            asked += [each for pattern, each in patterns.items() if matches(pattern, name)]
            if not asked and "additionalProperties" in node:
                asked.append(node["additionalProperties"])
            yield from self._member(sender, name, (name,), sender.member(name), asked, depth)
        said_by, more = sender.by_pattern(), node.get("additionalProperties", True)
        # a pattern that both have is looked at once, by itself: what it matches here, it matches there
        new = [each for pattern, each in patterns.items() if pattern not in said_by]
        for pattern, said in said_by.items():
            asked = [patterns[pattern], *new] if pattern in patterns else [*new, more]
            for misfit in self._member(sender, "", (f"/{pattern}/",), said, asked, depth):
                yield replace(misfit, sure=misfit.sure and not new)  # who knows whether a name matches both
        if self._open_ended(sender):
            yield from self._member(sender, "anything", ("*",), sender.others(), [*new, more], depth)
        yield from self._member_counts(sender, node)

    def _sent(self, sender: Shape, asked: Mapping[str, Any]) -> set[str]:
        """The members that somebody may send, and that either side describes."""
        described = sender.described()
        if self._open_ended(sender):
            return described | set(asked)
        return described | {
            name for name in asked if any(matches(each, name) for each in sender.by_pattern())
        }

    def _open_ended(self, sender: Shape) -> bool:
        """Whether members may be sent that nobody describes."""
        if not sender.is_free():
            return False
        bare = self._bare and any(node is self._sender.root for node in sender.nodes)
        return not bare or any("additionalProperties" in node for node in sender.nodes)

    def _member(
        self, sender: Shape, name: str, place: tuple[str, ...], said: Shape, asked: Iterable[Any], depth: int
    ) -> Iterator[Misfit]:
        """What of the values of a member does not fit."""
        start = object_of(sender)
        receiver = self._receiver.shape(asked)
        if receiver.never and said.types:
            examples = tuple({**start, name: each} for each in samples(said)) if name else ()
            many = {"*": "members that are not described"}.get(place[0], f"the member {shown(place[0])}")
            yield Misfit(path=place, keyword="additionalProperties", what=many, examples=examples)
            return
        for misfit in self._included(said, receiver, depth + 1):
            objects = tuple({**start, name: each} for each in misfit.examples) if name else ()
            yield replace(misfit, path=(*place, *misfit.path), examples=objects)

    def _member_counts(self, sender: Shape, node: dict[str, Any]) -> Iterator[Misfit]:
        least, most = node.get("minProperties"), node.get("maxProperties")
        promised = max([len(sender.required()), *sender.all("minProperties", (int, float))])
        if isinstance(least, int | float) and least > promised:
            what = f"objects of fewer than {shown(least)} members"
            yield Misfit(keyword="minProperties", what=what, examples=(object_of(sender),))
        if isinstance(most, int | float):
            limits = sender.all("maxProperties", (int, float))
            limits += [] if sender.is_free() or sender.by_pattern() else [len(sender.described())]
            if not limits or min(limits) > most:
                all_of_it = {each: sample(sender.member(each)) for each in sorted(sender.described())}
                examples = () if NOTHING in all_of_it.values() else (all_of_it,)
                yield Misfit(
                    keyword="maxProperties",
                    what=f"objects of more than {shown(most)} members",
                    examples=examples,
                )

    def _dependents(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        required = sender.required()
        for trigger, listed in members_of(node, "dependentRequired").items():
            promised = {
                name
                for each in sender.nodes
                for name in names_in(members_of(each, "dependentRequired").get(trigger))
            }
            for name in names_in(listed):
                if (
                    name not in required
                    and name not in promised
                    and trigger in self._sent(sender, {trigger: True})
                ):
                    start, value = object_of(sender), sample(sender.member(trigger))
                    examples = (
                        ()
                        if value is NOTHING
                        else ({**{k: v for k, v in start.items() if k != name}, trigger: value},)
                    )
                    what = f"objects with {shown(trigger)} and without {shown(name)}"
                    yield Misfit(path=(name,), keyword="dependentRequired", what=what, examples=examples)

    def _whole(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        """Keywords that are kept only as they are."""
        for keyword in _OPAQUE:
            if keyword not in node or (node[keyword] is True and keyword in _HARMLESS):
                continue
            if (keyword in ("then", "else") and "if" not in node) or (
                keyword == "if" and "then" not in node and "else" not in node
            ):
                continue
            if keyword == "propertyNames" and self._names_fit(sender, node[keyword]):
                continue
            if keyword == "not" and self._not(sender, node):
                continue
            kept = not keyword.startswith(("unevaluated", "$")) and any(
                self._as_it_is(other, node, keyword) for other in sender.nodes
            )
            if not kept and self._concerns(sender, keyword):
                examples = (*samples(sender), object_of(sender, every=True))
                yield Misfit(
                    keyword=keyword,
                    what=f"values that the rule {keyword!r} refuses",
                    examples=examples,
                    sure=False,
                )

    def _as_it_is(self, other: dict[str, Any], node: dict[str, Any], keyword: str) -> bool:
        """Whether a schema of the sender has a keyword, and those that it is read with, as the receiver has it."""
        words = [each for each in _GROUPS.get(keyword, (keyword,)) if each in node]
        if "contains" in words and other.get("minContains", 1) != node.get("minContains", 1):
            return False  # the one that need not be said: without it, one is asked for
        return all(
            each in other and same_schema(other[each], node[each], self._sender, self._receiver)
            for each in words
        )

    @staticmethod
    def _concerns(sender: Shape, keyword: str) -> bool:
        """Whether a keyword says anything about values that may be sent."""
        if keyword in ("contains", "minContains", "maxContains", "unevaluatedItems"):
            return "array" in sender.types
        if keyword in ("propertyNames", "dependentSchemas", "dependencies", "unevaluatedProperties"):
            return "object" in sender.types
        return True

    def _names_fit(self, sender: Shape, rule: Any) -> bool:
        """Whether all members that may be sent have names that a rule takes."""
        if self._open_ended(sender) or sender.by_pattern():
            return False
        shape = self._receiver.shape([rule])
        return all(self._receiver.fits(shape, name) is True for name in sender.described())

    def _not(self, sender: Shape, node: dict[str, Any]) -> bool:
        """Whether ``not`` is kept since the sender has no value of that kind."""
        return not sender.types & self._receiver.shape([node["not"]]).types

    # Alternatives of the receiver

    def _any(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        branches = node.get("anyOf")
        if not isinstance(branches, list) or not branches:
            return
        yield from self._best(sender, cast("list[Any]", branches), "anyOf", depth)[1]

    def _one(self, sender: Shape, node: dict[str, Any], depth: int) -> Iterator[Misfit]:
        branches = node.get("oneOf")
        if not isinstance(branches, list) or not branches:
            return
        chosen, found = self._best(sender, cast("list[Any]", branches), "oneOf", depth)
        if found:
            yield from found
            return
        for index, branch in enumerate(cast("list[Any]", branches)):
            if index != chosen and not _apart(sender, self._receiver.shape([branch])):
                what = "values that several alternatives take"
                yield Misfit(keyword="oneOf", what=what, examples=tuple(samples(sender)), sure=False)
                return

    def _best(self, sender: Shape, branches: list[Any], keyword: str, depth: int) -> tuple[int, list[Misfit]]:
        """The alternative that takes the most, and what it does not take."""
        missed: list[tuple[int, list[Misfit]]] = []
        for index, branch in enumerate(branches):
            found = self._included(sender, self._receiver.shape([branch]), depth)
            if not found:
                return index, []
            missed.append((index, found))
        best = min(missed, key=lambda each: weight(each[1]))
        tried = [example for _, found in missed for each in found for example in each.examples[:3]]
        if len(branches) == 1 or all(each.path for each in best[1]):
            return best
        if len(branches) > 1 and all(each.keyword == "type" and not each.path for each in best[1]):
            taken = frozenset[str]().union(*(self._receiver.shape([each]).types for each in branches))
            refused = sender.types - taken
            if refused:
                examples = tuple(samples(sender, refused))
                return best[0], [Misfit(keyword=keyword, what=kinds_in_words(refused), examples=examples)]
        what = f"values that none of {len(branches)} alternatives takes"
        return best[0], [Misfit(keyword=keyword, what=what, examples=(*tried, *samples(sender)), sure=False)]


_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
#: Where ``true`` asks nothing.
_HARMLESS: Final = ("then", "else", "propertyNames", "unevaluatedProperties", "unevaluatedItems")
_LISTS: Final = ("items", "prefixItems", "additionalItems")
_GROUPS: Final = {
    **dict.fromkeys(("if", "then", "else"), ("if", "then", "else")),
    **dict.fromkeys(("contains", "minContains", "maxContains"), ("contains", "minContains", "maxContains")),
}
_Rule = Callable[[Inclusion, Shape, dict[str, Any], int], Iterable[Misfit]]
_RULES: Final[tuple[_Rule, ...]] = (
    *(Inclusion._listed, Inclusion._numbers, Inclusion._texts, Inclusion._lists, Inclusion._members),  # pyright: ignore[reportPrivateUsage] - the class is above, and the table is its own
    *(Inclusion._dependents, Inclusion._whole, Inclusion._any, Inclusion._one),  # pyright: ignore[reportPrivateUsage] - as above
)


def _plain(shape: Shape) -> bool:
    """Whether a shape says all that it takes in keywords that are looked at one by one."""
    if shape.unknown:
        return False
    opaque = {*_OPAQUE, *BRANCHING, "pattern"}
    return not any(word in node for node in shape.nodes for word in opaque)


def _apart(one: Shape, other: Shape) -> bool:
    """Whether no value fits both."""
    if not one.types & other.types:
        return True
    if one.types & other.types != frozenset({"object"}):
        return False
    for name in one.required() & other.required():
        mine, theirs = one.member(name), other.member(name)
        if not mine.types & theirs.types:
            return True
        values = mine.values()
        if values is not None and all(theirs.tree.fits(theirs, each) is False for each in values):
            return True
    return any(other.member(name).never for name in one.required()) or any(
        one.member(name).never for name in other.required()
    )


def _reaches(low: Fraction | None, below: bool, least: Fraction, over: bool, *, whole: bool) -> bool:
    """Whether a lower bound is at least as tight as another one."""
    if low is None:
        return False
    if whole:
        low = Fraction(low.__floor__() + 1) if below else Fraction(low.__ceil__())
        least = Fraction(least.__floor__() + 1) if over else Fraction(least.__ceil__())
        return low >= least
    return low > least or (low == least and (below or not over))


def _minus(bound: Fraction | None) -> Fraction | None:
    return None if bound is None else -bound
