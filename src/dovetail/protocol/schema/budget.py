"""How much work it is to check a value against a schema: a bound, from both, before any of it is done.

Theory of operation. Checking holds the event loop, and a hostile peer may choose schema and value, so size times size
has to be bounded. When a schema is compiled it gets a `Price`: for each thing that a value has many of, the
nanoseconds that one of them may cost, wherever in the value it stands. When a value comes, its size in JSON, where the
caller knows it, is held against the cheapest of bounds. What does not pass, or has no known size, is counted
(`Amount`) and multiplied. Where that is too much, plain objects and arrays are gone through with the price of each
property. No clock is read, so the same value is always judged alike.

The price of a schema is a sum over the schemas that apply at the same place (``allOf``, ``$ref`` ...), and the maximum
over those that apply at different ones (the properties of an object, the items of a tuple): a schema with a thousand
properties is no dearer than its dearest one. Where references lead back, the validator judges each place once for
each target (measured: linear), so each target adds what one turn costs.

Measured with jsonschema-rs 0.60 (`MEASURED`), and the package allows no other: each is an upper bound, and
`tests/cost/test_cost_of_schemas.py` fails where one is off by more than three times. Nanoseconds for one: visiting a
schema 5 to 9, a key or an item 5 to 17, a branch of ``anyOf`` 8 to 22; ``const`` 8 for a text, 120 for an integer,
1,100 for other numbers, 300 for each part of an array or object; ``enum`` 10 where all options are texts, booleans,
null or integers (1,100 for a number that is no integer, for each number among them), else as many ``const``; bounds on
a number 20 to 430; ``multipleOf`` 20 to 1,200, to 24,000 where exponents are large; 110 to 300 for a digit of integers
beyond 64 bits, and ``uniqueItems`` compares each pair of those; ``unevaluated...`` visits what is beside it three
times, so nested in one place it is exponential.
Patterns: see `patterns`.

Explaining is dearer than judging, and the validator gathers all errors before it tells the first: 6 us each, 0.3 us
for each option of an ``enum`` or ``const``, 8 us for each alternative of ``anyOf`` and ``oneOf``. It has a price of
its own.

Specification: 2026-07-28 basic/index, "JSON Schema Usage": bounds on the time of validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isqrt
from typing import Any, Final, TypeAlias, cast

from msgspec import Struct

from .patterns import cost_of_pattern
from .unfolding import Schema, Targets

__all__ = ["MAX_EXPLANATION", "MAX_WORK", "Amount", "Price", "amount_of", "price_of"]

MEASURED: Final = "0.60"
"""The minor version of jsonschema-rs whose costs these are."""
MAX_WORK: Final = 100_000_000
"""Work that judging one value may be, in nanoseconds, about."""
MAX_EXPLANATION: Final = 80_000_000
"""Work that gathering all that is wrong with one value may be, in nanoseconds, about."""

_CEILING: Final = 10**15
_MANY: Final = MAX_WORK // 16
"""Parts that no schema judges within the bound."""
_DEEP: Final = 1_024
"""Levels that the validator refuses by itself."""
_ERROR: Final = 6_000
_SMALL_TEXT: Final = frozenset((str, bool, type(None)))
_BESIDE: Final = ("allOf", "anyOf", "oneOf")
_BESIDE_ONE: Final = ("not", "if", "then", "else")
_LIMITS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")
_NOT_PLAIN: Final = frozenset(
    (
        *(
            *_BESIDE,
            *_BESIDE_ONE,
            *_UNEVALUATED,
            *_LIMITS,
            "multipleOf",
            "pattern",
            "format",
            "const",
            "enum",
        ),
        *("patternProperties", "propertyNames", "dependentSchemas", "dependencies", "dependentRequired"),
        *(
            "$ref",
            "$dynamicRef",
            "$recursiveRef",
            "contains",
            "uniqueItems",
            "prefixItems",
            "additionalItems",
        ),
    )
)
"""Keywords for which an object costs more than its members."""
_FREE: Final = frozenset(
    (
        *(
            "title",
            "description",
            "default",
            "examples",
            "$comment",
            "$schema",
            "$id",
            "$defs",
            "definitions",
        ),
        *("properties", "items", "additionalProperties", "readOnly", "writeOnly", "deprecated", "$anchor"),
    )
)
_COSTLY_FORMATS: Final = {"regex": 10_000_000, "idn-hostname": 10_000, "idn-email": 10_000}

Children: TypeAlias = Callable[[Schema], Iterable[Schema]]


class Amount(Struct):
    """What there is in a value: parts (each value in it), characters (of keys too), numbers.

    ``numbers``: those that are not small integers. ``digits``: those of integers beyond 64 bits, and 310 for a number
    with a large exponent. ``pairs``: digits times integers beyond 64 bits, for what compares each with each.
    """

    parts: int = 0
    characters: int = 0
    numbers: int = 0
    digits: int = 0
    pairs: int = 0


class Price:
    """Nanoseconds for one of each that an `Amount` counts, and for explaining one part.

    ``members``: of a plain object, the prices of its properties; ``rest``: of its other members, or of the items of a
    plain array; ``own``: of the object or array itself.
    """

    __slots__ = ("characters", "digits", "explaining", "members", "numbers", "own", "pairs", "parts", "rest")

    def __init__(
        self, parts: int = 0, characters: int = 0, numbers: int = 0, digits: int = 0, pairs: int = 0
    ) -> None:
        self.parts, self.characters, self.numbers = parts, characters, numbers
        self.digits, self.pairs, self.explaining = digits, pairs, 0
        self.members: dict[str, Price] | None = None
        self.rest: Price | None = None
        self.own = 0

    def add(self, other: Price, times: int = 1) -> None:
        """Both apply at the same place."""
        self.parts = min(self.parts + other.parts * times, _CEILING)
        self.characters = min(self.characters + other.characters * times, _CEILING)
        self.numbers = min(self.numbers + other.numbers * times, _CEILING)
        self.digits = min(self.digits + other.digits * times, _CEILING)
        self.pairs = min(self.pairs + other.pairs * times, _CEILING)
        self.explaining = min(self.explaining + other.explaining * times, _CEILING)

    def most(self, other: Price) -> None:
        """The one or the other applies."""
        self.parts = max(self.parts, other.parts)
        self.characters = max(self.characters, other.characters)
        self.numbers = max(self.numbers, other.numbers)
        self.digits = max(self.digits, other.digits)
        self.pairs = max(self.pairs, other.pairs)
        self.explaining = max(self.explaining, other.explaining)

    def of(self, amount: Amount) -> int:
        """Nanoseconds to judge a value of such an amount, at most."""
        return (
            self.parts * amount.parts
            + self.characters * amount.characters
            + self.numbers * amount.numbers
            + self.digits * amount.digits
            + self.pairs * amount.pairs
        )

    def of_value(self, value: object, most: int = MAX_WORK) -> int:
        """Nanoseconds to judge a value, at most: plain objects and arrays by what is in them. Stops beyond ``most``."""
        kind = type(value)
        if kind is str:
            return self.parts + self.characters * len(cast("str", value))
        if kind is bool or value is None or (kind is int and -(2**63) <= cast("int", value) < 2**63):
            return self.parts
        rest = self.rest
        total = self.own
        if rest is not None and kind is dict and self.members is not None:
            for name, member in cast("dict[str, object]", value).items():
                total += 20 + self.members.get(name, rest).of_value(member, most - total)
                if total > most:
                    break
        elif rest is not None and kind is list and self.members is None:
            for item in cast("list[object]", value):
                total += 5 + rest.of_value(item, most - total)
                if total > most:
                    break
        else:
            return self.of(amount_of(value))
        return total

    def free_size(self) -> int:
        """Bytes of JSON up to which no value can cost more than `MAX_WORK`, whatever is in it."""
        # Two bytes make a part, three a number; five (1e99,) may have 310 digits; 20 an integer that is not small.
        dearest = self.parts // 2 + self.characters + self.numbers // 3 + self.digits * 62
        size = MAX_WORK // (dearest + 1)
        return min(size, isqrt(MAX_WORK * 20 // self.pairs)) // 2 if self.pairs else size


def amount_of(value: object) -> Amount:
    """Count what there is in a value, as far as there is any hope to judge it."""
    parts, characters, floats, large, digits, depth = 0, 0, 0, 0, 0, 0
    level: list[object] = [value]
    while level and depth < _DEEP and parts <= _MANY:
        depth += 1
        parts += len(level)
        below: list[object] = []
        for part in level:
            kind = type(part)
            if kind is str:
                characters += len(cast("str", part))
            elif kind is int:
                if not -(2**63) <= cast("int", part) < 2**64:
                    large += 1
                    digits += cast("int", part).bit_length() * 3 // 10 + 1
            elif kind is float:
                floats += 1
                if part and not 1e-18 < abs(cast("float", part)) < 1e18:
                    digits += 310
            elif isinstance(part, dict):
                members = cast("dict[object, object]", part)
                for key in members:
                    characters += len(key) if isinstance(key, str) else 0
                below += members.values()
            elif isinstance(part, list | tuple):
                below += cast("list[object]", part)
        level = below
    return Amount(parts, characters, floats + large, digits, large * digits)


def price_of(
    root: Schema, children: Children, targets: Targets, *, backtracking: bool = False
) -> tuple[Price, int, bool]:
    """The price of a schema; nanoseconds to compile its patterns; whether one needs the engine that goes back.

    ``children``: the schemas directly in one, definitions left out. ``targets``: those that it refers to.
    ``backtracking``: take every pattern for one that goes back.
    """
    order, back = _in_order(root, lambda schema: [*children(schema), *_known(targets(schema))])
    pricing = _Pricing(targets, backtracking)
    total = pricing.run(order, deep=False)[id(root)]
    if back:
        total.rest = None
        deep = pricing.run(order, deep=True)
        for key in back:
            total.add(deep[key], 2)
    return total, sum(pricing.compiling.values()), pricing.goes_back


def _known(targets: list[Schema | None]) -> list[Schema]:
    return [each for each in targets if each is not None]


def _in_order(root: Schema, below: Children) -> tuple[list[Schema], set[int]]:
    """Every schema after those that it leads to, and the ids of those that a path leads back to."""
    order: list[Schema] = []
    back: set[int] = set()
    state = {id(root): False}  # False: on the path, True: done
    stack = [(root, iter(below(root)))]
    while stack:
        schema, rest = stack[-1]
        child = next(rest, None)
        if child is None:
            stack.pop()
            state[id(schema)] = True
            order.append(schema)
        elif id(child) not in state:
            state[id(child)] = False
            stack.append((child, iter(below(child))))
        elif not state[id(child)]:
            back.add(id(child))
    return order, back


class _Pricing:
    """Prices of schemas, the inner ones first. ``deep``: what a place and all below it cost, instead of the dearest."""

    def __init__(self, targets: Targets, backtracking: bool) -> None:
        self._targets = targets
        self._backtracking = backtracking
        self._prices: dict[int, Price] = {}
        self.compiling: dict[tuple[int, str], int] = {}
        self.goes_back = False

    def run(self, order: list[Schema], *, deep: bool) -> dict[int, Price]:
        self._prices = {}
        for schema in order:
            own = _own(schema)
            for pattern in self._patterns(schema):
                own.add(pattern)
            beside = self._beside(schema)
            below = self._below(schema, beside)
            if deep:
                own.add(below)
            else:
                own.most(below)
            own.add(_comparing(schema))
            own.add(beside)
            if not deep and not schema.keys() & _NOT_PLAIN:
                self._take_members(own, schema)
            self._prices[id(schema)] = own
        return self._prices

    def _take_members(self, price: Price, schema: Schema) -> None:
        properties, items = schema.get("properties"), schema.get("items")
        price.own = 100 + 20 * len(schema)
        if isinstance(properties, dict):
            named = cast("dict[str, object]", properties)
            price.members = {name: self._price(each) for name, each in named.items()}
            price.own += 10 * len(named)
            price.rest = self._price(schema.get("additionalProperties"))
        elif isinstance(items, dict):
            price.rest = self._price(cast("Schema", items))

    def _price(self, schema: object) -> Price:
        return self._prices.get(id(schema)) or Price(6)

    def _patterns(self, schema: Schema) -> Iterable[Price]:
        keyed = schema.get("patternProperties")
        keys: list[object] = [*cast("Schema", keyed)] if isinstance(keyed, dict) else []
        # With additionalProperties, keys are matched a second time.
        for pattern, times in (*((each, 2) for each in keys), (schema.get("pattern"), 1)):
            if isinstance(pattern, str):
                cost = cost_of_pattern(pattern, backtracking=self._backtracking)
                self.compiling[id(schema), pattern] = cost.compile
                self.goes_back = self.goes_back or cost.backtracking
                yield Price(cost.text * times, cost.character * times)

    def _beside(self, schema: Schema) -> Price:
        """What applies at the same place."""
        total = Price()
        for keyword in _BESIDE:
            for each in _listed(schema.get(keyword)):
                total.add(self._price(each))
                total.add(Price(10))
                total.explaining = min(total.explaining + 8_000, _CEILING)
        for keyword in _BESIDE_ONE:
            if keyword in schema:
                total.add(self._price(schema[keyword]))
        for keyword in ("dependentSchemas", "dependencies"):
            for each in _members(schema.get(keyword)):
                total.add(Price(15))
                needed = _listed(each)
                total.add(Price(15 * len(needed)) if needed else self._price(each))
        for target in self._targets(schema):
            total.add(Price(20))
            total.add(Price(100_000) if target is None else self._price(target))
        if any(keyword in schema for keyword in _UNEVALUATED):
            total.add(total)
        return total

    def _below(self, schema: Schema, beside: Price) -> Price:
        """The most that applies to one member or item."""
        member, rest = Price(), Price()
        for each in _members(schema.get("properties")):
            member.most(self._price(each))
        rest.add(self._price(schema.get("additionalProperties")))
        member.most(rest)
        for each in _members(schema.get("patternProperties")):
            member.add(self._price(each))
        if "propertyNames" in schema:
            member.add(self._price(schema["propertyNames"]))
        item = Price()
        for each in (*_listed(schema.get("prefixItems")), *_listed(schema.get("items"))):
            item.most(self._price(each))
        for keyword in ("items", "additionalItems", "contains"):
            if keyword in schema and not isinstance(schema[keyword], list):
                item.add(self._price(schema[keyword]))
        member.most(item)
        for keyword in _UNEVALUATED:
            if keyword in schema:
                member.add(self._price(schema[keyword]))
                member.add(beside)
        member.add(Price(15))
        return member


def _listed(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _members(value: object) -> Iterable[object]:
    return cast("dict[str, object]", value).values() if isinstance(value, dict) else ()


def _own(schema: Schema) -> Price:
    """What the simple keywords of one schema cost at one place."""
    asserting = len(schema.keys() - _FREE)
    price = Price(8 + 7 * asserting)
    price.explaining = _ERROR * (asserting + 1)
    for keyword in _LIMITS:
        if keyword in schema:
            small = type(schema[keyword]) is int and abs(cast("int", schema[keyword])) < 2**63
            price.add(Price(5 if small else 450 + _digits(schema[keyword]) * 110, 0, 450, 110))
    divisor: Any = schema.get("multipleOf")
    if isinstance(divisor, int | float):
        exact = isinstance(divisor, int) and abs(divisor) < 2**63
        extreme = not exact and not 1e-15 < abs(divisor) < 1e15
        price.add(
            Price(20 if exact else (24_000 + _digits(divisor) * 300 if extreme else 1_200), 0, 1_200, 300)
        )
    price.parts += _COSTLY_FORMATS.get(cast("str", schema.get("format")), 40) if _has_format(schema) else 0
    price.explaining += _ERROR * len(_listed(schema.get("required")))
    for each in _members(schema.get("dependentRequired")):
        price.add(Price(15 + 15 * len(_listed(each))))
    return price


def _has_format(schema: Schema) -> bool:
    return isinstance(schema.get("format"), str)


def _digits(number: object) -> int:
    return number.bit_length() * 3 // 10 if isinstance(number, int) else 310


def _comparing(schema: Schema) -> Price:
    """What ``const``, ``enum`` and ``uniqueItems`` cost for each part of a value: they compare whole values."""
    price = Price()
    if "const" in schema:
        price.add(_constant(schema["const"], alone=True))
        price.explaining += 300 * amount_of(schema["const"]).parts
    options = _listed(schema.get("enum"))
    if options:
        hashed = all(_is_plain(each) for each in options)
        price.add(Price(10))
        for each in options:
            price.add(_constant(each, alone=False, hashed=hashed))
        price.explaining += 300 * amount_of(options).parts
    if schema.get("uniqueItems") is True:
        price.add(Price(150, 1, 150, 110, 150))
    return price


def _is_plain(value: object) -> bool:
    return type(value) in _SMALL_TEXT or (type(value) is int and -(2**63) <= value < 2**63)


def _constant(value: object, *, alone: bool, hashed: bool = False) -> Price:
    """What it costs to hold one part of a value against a constant."""
    if type(value) in _SMALL_TEXT:
        return Price(10 if alone else 0 if hashed else 7)
    if _is_plain(value):
        return Price(0 if hashed else 130, 0, 230, 6)
    if isinstance(value, dict | list):
        inside = amount_of(cast("object", value))
        return Price(1_150 if inside.numbers else 300, 0, 1_150, 110 if inside.digits == 0 else 300)
    return Price(1_150 + 110 * (_digits(value) if type(value) is int else 0), 0, 1_150, 110)
