"""Pairs of schemas that are one or two small changes apart: what the judgement of changes is tried with.

Theory of operation. `SENDERS` are small schemas that have each keyword at least once, alone and with those that it
works with. `changes` lists what is one change away, at any place of a schema: a keyword taken away, a bound moved by as
little as matters, a name, a type or an alternative more or less. So a rule that is wrong is met by a pair that differs
in that rule alone. `as_described` is how a sender is read: an object that describes members has no others, said with
``unevaluatedProperties``, which sees through ``allOf`` and ``$ref``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

WHOLE, TEXT = {"type": "integer"}, {"type": "string"}
OLD = "http://json-schema.org/draft-07/schema#"


def obj(properties: dict[str, Any] | None = None, /, *required: str, **rest: Any) -> dict[str, Any]:
    """A schema of an object."""
    found: dict[str, Any] = {"type": "object", **rest}
    if properties is not None:
        found["properties"] = properties
    return {**found, "required": list(required)} if required else found


def arr(**rest: Any) -> dict[str, Any]:
    """A schema of a list."""
    return {"type": "array", **rest}


def kind(name: str, **rest: Any) -> dict[str, Any]:
    """One of several alternatives that a member tells apart."""
    return obj({"k": {"const": name}, **rest}, "k")


PLAIN: dict[str, Any] = {
    "anything": {},
    "integer": WHOLE,
    "integer in bounds": {"type": "integer", "minimum": 1, "maximum": 4},
    "integer between": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
    "number": {"type": "number"},
    "number in bounds": {"type": "number", "minimum": 0, "maximum": 2.5},
    "number between": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
    "even": {"type": "integer", "multipleOf": 2},
    "halves": {"type": "number", "multipleOf": 0.5},
    "text": TEXT,
    "text of a length": {"type": "string", "minLength": 1, "maxLength": 3},
    "text of a pattern": {"type": "string", "pattern": "^a"},
    "text of a format": {"type": "string", "format": "date"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "several types": {"type": ["string", "null"]},
    "number or list": {"type": ["number", "array"], "minimum": 1, "maxItems": 2},
    "listed": {"enum": [1, "a", None]},
    "listed texts": {"type": "string", "enum": ["a", "bb"], "maxLength": 2},
    "constant": {"const": "a"},
    "list": arr(),
    "list of integers": arr(items={"type": "integer", "minimum": 1}),
    "list of a length": arr(items=WHOLE, minItems=1, maxItems=3),
    "list of at most one": arr(items=WHOLE, maxItems=1),
    "set": arr(items=WHOLE, uniqueItems=True),
    "tuple": arr(prefixItems=[WHOLE, TEXT]),
    "closed tuple": arr(prefixItems=[WHOLE, TEXT], items=False, minItems=1),
    "tuple and more": arr(prefixItems=[TEXT], items=WHOLE, maxItems=3),
    "object": obj(),
    "object of one": obj({"a": {"type": "integer", "minimum": 1}}),
    "object of two": obj({"a": WHOLE, "b": TEXT}, "a"),
    "nothing in it": obj({}),
    "closed object": obj({"a": WHOLE, "b": TEXT}, additionalProperties=False),
    "open object": obj({"a": WHOLE}, additionalProperties=True),
    "map": obj(additionalProperties={"type": "integer", "minimum": 1}),
    "object and map": obj({"a": TEXT}, additionalProperties=WHOLE),
    "counted map": obj(additionalProperties=WHOLE, minProperties=1, maxProperties=2),
    "object of few": obj({"a": WHOLE, "b": WHOLE, "c": WHOLE}, maxProperties=2),
    "object of some": obj({"a": WHOLE, "b": WHOLE}, "a", minProperties=2),
    "by pattern": obj(patternProperties={"^a": WHOLE}),
    "by pattern and more": obj(
        patternProperties={"^a": WHOLE, "b": TEXT}, additionalProperties={"type": "null"}
    ),
    "by name and pattern": obj(
        {"a": {"minimum": 1}}, patternProperties={"^a": WHOLE}, additionalProperties=False
    ),
    "dependent": obj({"a": WHOLE, "b": WHOLE, "c": TEXT}, dependentRequired={"a": ["b"]}),
    "open and dependent": obj(additionalProperties=True, dependentRequired={"a": ["b"]}),
    "named": obj({"a": WHOLE}, additionalProperties=WHOLE, propertyNames={"maxLength": 1}),
    "nested": obj({"a": obj({"b": {"type": "integer", "minimum": 1}}, "b")}, "a"),
    "list in object": obj({"a": arr(items=obj({"b": TEXT}, "b"))}),
    "all of": {"allOf": [obj({"a": WHOLE}, "a"), obj({"b": TEXT})]},
    "referred": {"$ref": "#/$defs/X", "$defs": {"X": obj({"a": {"type": "integer", "minimum": 1}}, "a")}},
    "referred, and more": {
        **obj({"b": TEXT}),
        "$ref": "#/$defs/X",
        "$defs": {"X": obj({"a": {"type": "integer", "maximum": 3}})},
    },
    "tree": {
        **obj({"n": {"$ref": "#/$defs/N"}}),
        "$defs": {"N": obj({"v": {"type": "integer", "minimum": 1}, "n": {"$ref": "#/$defs/N"}}, "v")},
    },
    "a tree whose nodes are all in place": {
        "$ref": "#/$defs/N",
        "$defs": {"N": obj({"n": arr(items={"$ref": "#/$defs/N"}), "v": {"type": "integer", "minimum": 1}})},
    },
    "any of": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "maxLength": 2}]},
    "any of, with a bound": {"maximum": 3, "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
    "any object": obj({"a": {"anyOf": [obj({"b": WHOLE}, "b"), {"type": "null"}]}}),
}
"""Schemas whose keywords are all looked at one by one: what is only loosened in them is found compatible."""

OTHERS: dict[str, Any] = {
    "one of": {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
    "one of kinds": {"oneOf": [kind("x", s=WHOLE), kind("y", s=TEXT)]},
    "one of objects": {"oneOf": [obj({"a": WHOLE}, "a"), obj({"b": WHOLE}, "b")]},
    "one of and any of": {
        "oneOf": [WHOLE, TEXT],
        "anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}],
    },
    "not": {"type": ["integer", "string"], "not": {"type": "integer", "minimum": 3}},
    "not at all": arr(items={"type": "integer", "not": {"const": 1}}),
    "if": {
        **obj({"a": WHOLE, "b": TEXT}),
        "if": {"required": ["a"]},
        "then": {"required": ["b"]},
        "else": {"maxProperties": 1},
    },
    "if a type": {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}},
    "contains": arr(contains={"type": "integer", "minimum": 1}),
    "contains some": arr(items=WHOLE, contains={"minimum": 3}, minContains=1, maxContains=2),
    "contains none": arr(items=WHOLE, contains={"minimum": 3}, minContains=0),
    "dependent schemas": obj({"a": WHOLE, "b": WHOLE}, dependentSchemas={"a": {"required": ["b"]}}),
    "unevaluated members": {"allOf": [obj({"a": WHOLE})], "unevaluatedProperties": False},
    "unevaluated items": arr(prefixItems=[WHOLE], unevaluatedItems=False),
    "old tuple": {"$schema": OLD, **arr(items=[WHOLE, TEXT], additionalItems=WHOLE)},
    "old reference": {
        "$schema": OLD,
        **obj({"a": {"$ref": "#/definitions/X", "minimum": 3}}),
        "definitions": {"X": {"type": "integer", "minimum": 1}},
    },
    "old dependencies": {"$schema": OLD, **obj({"a": WHOLE, "b": WHOLE}, dependencies={"a": ["b"]})},
}
"""Schemas with keywords that are kept only as they are."""

SENDERS = {**PLAIN, **OTHERS}


TAGGED = [kind("x", s=WHOLE), kind("y", s=TEXT)]

SAID_OTHERWISE: dict[str, tuple[Any, Any]] = {
    "bounds of integers": ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
    "a bound between integers": (
        {"type": "integer", "maximum": 3},
        {"type": "integer", "exclusiveMaximum": 3.5},
    ),
    "the lowest of several": (
        {"type": "number", "minimum": 0, "exclusiveMinimum": 0},
        {"exclusiveMinimum": 0},
    ),
    "integers": (WHOLE, {"type": "number", "multipleOf": 1}),
    "a type of none": ({"type": ["string", "null"]}, {"not": {"type": "array"}}),
    "listed": ({"enum": ["a", 1]}, {"type": ["string", "integer"], "maxLength": 1, "maximum": 1}),
    "listed, and less": ({"enum": ["a", "bbb", 1], "type": "string", "maxLength": 2}, {"const": "a"}),
    "types as alternatives": ({"type": ["string", "null"]}, {"anyOf": [TEXT, {"type": "null"}]}),
    "types as only alternatives": (
        {"type": ["number", "null"]},
        {"oneOf": [{"type": "number"}, {"type": "null"}]},
    ),
    "alternatives as types": ({"anyOf": [WHOLE, TEXT]}, {"type": ["string", "integer", "null"]}),
    "alternatives in order": ({"oneOf": TAGGED}, {"oneOf": TAGGED[::-1]}),
    "alternatives told apart": ({"anyOf": TAGGED}, {"oneOf": TAGGED}),
    "if as alternatives": (
        {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 1}]},
    ),
    "different items": (arr(items=WHOLE, maxItems=1), arr(uniqueItems=True)),
    "items that are not there": (arr(prefixItems=[WHOLE, TEXT], maxItems=1), arr(prefixItems=[WHOLE, WHOLE])),
    "items one by one": (arr(items=WHOLE, maxItems=2), arr(prefixItems=[WHOLE, WHOLE], items=False)),
    "required, so there": (obj({"a": WHOLE, "b": WHOLE}, "a", "b"), {"minProperties": 2}),
    "described, so no more": (obj({"a": WHOLE, "b": WHOLE}), {"maxProperties": 2}),
    "required anyway": (obj({"a": WHOLE, "b": WHOLE}, "b"), {"dependentRequired": {"a": ["b"], "z": ["y"]}}),
    "names as described": (obj({"a": WHOLE, "bb": WHOLE}), {"propertyNames": {"maxLength": 2}}),
    "closed anyway": (obj({"a": WHOLE}), obj({"a": WHOLE}, additionalProperties=False)),
    "all of": ({"allOf": [obj({"a": WHOLE}, "a"), obj({"b": TEXT})]}, obj({"a": WHOLE, "b": TEXT}, "a")),
    "a pattern of the name": (
        obj({"aa": WHOLE}),
        obj(patternProperties={"^a": WHOLE}, additionalProperties=False),
    ),
    "patterns that overlap": (
        obj(patternProperties={"^a": WHOLE, "b": {"minimum": 1}}, additionalProperties=TEXT),
        obj(
            patternProperties={"^a": {"type": "number"}, "b": {"minimum": 0}},
            additionalProperties={"type": ["string", "null"]},
        ),
    ),
    "referred": (
        obj({"a": {"$ref": "#/$defs/X"}}, **{"$defs": {"X": WHOLE}}),
        obj({"a": {"type": "number"}}),
    ),
    "a tree, wider": (
        {
            **obj({"n": {"$ref": "#/$defs/N"}}),
            "$defs": {"N": obj({"v": WHOLE, "n": {"$ref": "#/$defs/N"}}, "v")},
        },
        {
            **obj({"n": {"$ref": "#/$defs/M"}}),
            "$defs": {"M": obj({"v": {"type": "number"}, "n": {"$ref": "#/$defs/M"}})},
        },
    ),
    "contains, of other counts": (
        arr(contains=WHOLE, minContains=2, maxContains=2),
        arr(contains=WHOLE, maxContains=2, minContains=2, minItems=0),
    ),
}
"""Pairs of which the second takes what the first takes, in other words: name, sender, receiver."""

ALIKE: dict[str, tuple[Any, Any]] = {
    "if of one and then of another": (
        {"allOf": [{"if": WHOLE, "then": {"minimum": 1}}, {"if": TEXT, "then": {"minLength": 1}}]},
        {"if": WHOLE, "then": {"minLength": 1, "maximum": 9}},
    ),
    "then of another if": (
        {"allOf": [{"if": WHOLE, "then": {"minimum": 1}}, {"if": {"const": 0.5}, "then": {"minimum": 2}}]},
        {"if": WHOLE, "then": {"minimum": 2}},
    ),
    "contains of one and a count of another": (
        {"allOf": [arr(contains=WHOLE, minContains=1), arr(contains=TEXT, minContains=2)]},
        arr(contains=WHOLE, minContains=2),
    ),
    "a tree that is not finite": (
        obj({"n": {"$ref": "#/$defs/N"}}, **{"$defs": {"N": obj({"v": WHOLE, "n": {"$ref": "#/$defs/N"}})}}),
        obj({"n": {"$ref": "#/$defs/N"}}, **{"$defs": {"N": obj({"v": TEXT, "n": {"$ref": "#/$defs/N"}})}}),
    ),
    "alternatives that both take": (
        obj({"a": {"enum": ["x", "y"]}, "b": WHOLE}, "a"),
        {"oneOf": [obj({"a": {"enum": ["x", "y"]}}, "a"), obj({"a": {"enum": ["y", "z"]}}, "a")]},
    ),
    "alternatives of a member that need not be there": (
        kind("x") | {"required": []},
        {"oneOf": [kind("x") | {"required": []}, kind("y") | {"required": []}]},
    ),
    "a member that is never there, and need not be": (
        obj({"a": WHOLE}),
        {"oneOf": [obj({"a": WHOLE}), obj({"a": False, "b": WHOLE})]},
    ),
    "overlapping types of a tag": (
        obj({"a": WHOLE}, "a"),
        {"oneOf": [obj({"a": WHOLE}, "a"), obj({"a": {"type": "number", "maximum": 3}}, "a")]},
    ),
    "overlapping types": (WHOLE, {"oneOf": [WHOLE, {"type": ["number", "string"], "minimum": 1}]}),
    "overlapping values": (
        {"enum": [1, 2]},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
    ),
    "a proof that rests on what turned out wrong": (
        {
            "$ref": "#/$defs/N",
            "$defs": {
                "M": obj({"n": {"$ref": "#/$defs/N"}, "z": WHOLE}),
                "N": obj({"a": {"$ref": "#/$defs/M"}}),
            },
        },
        {
            "anyOf": [{"$ref": "#/$defs/N"}, obj({"a": {"$ref": "#/$defs/P"}})],
            "$defs": {
                "P": obj({"n": {"$ref": "#/$defs/N"}}),
                "M": {"allOf": [{"$ref": "#/$defs/P"}, obj({"z": TEXT})]},
                "N": obj({"a": {"$ref": "#/$defs/M"}}),
            },
        },
    ),
    "an alternative that is the whole again": (
        WHOLE,
        {"$ref": "#/$defs/N", "$defs": {"N": {"anyOf": [{"$ref": "#/$defs/N"}, TEXT]}}},
    ),
    "another dialect": (arr(prefixItems=[WHOLE]), {"$schema": OLD, **arr(prefixItems=[WHOLE])}),
    "a word of another dialect": (
        {"$schema": OLD, **arr(prefixItems=[WHOLE])},
        {"$schema": OLD, **arr(items=WHOLE)},
    ),
    "a member named as two patterns ask": (
        obj({"ab": WHOLE}),
        obj(patternProperties={"^a": {"type": "number"}, "b$": {"minimum": 1}}),
    ),
}
"""Pairs of which the second refuses something that the first takes, though each of its parts is met somewhere."""


class Change(NamedTuple):
    """A schema that is a change away. ``looser``: it takes all that the first one took; ``tighter``: the reverse."""

    what: str
    schema: Any
    looser: bool = False
    tighter: bool = False


#: What a schema that has none of it yet is given, by the type of what it describes.
ADDED: dict[str, tuple[dict[str, Any], ...]] = {
    "integer": (
        {"minimum": 2},
        {"exclusiveMaximum": 3},
        {"multipleOf": 2},
        {"multipleOf": 0.5},
        {"enum": [1, 2]},
    ),
    "number": ({"exclusiveMinimum": 1}, {"maximum": 2}, {"multipleOf": 1}, {"minimum": 0}),
    "string": ({"minLength": 1}, {"maxLength": 2}, {"pattern": "b$"}, {"const": "a"}),
    "array": (
        *(
            {"minItems": 1},
            {"maxItems": 2},
            {"maxItems": 0},
            {"uniqueItems": True},
            {"items": {"type": "integer"}},
        ),
        *({"contains": {"type": "integer"}}, {"prefixItems": [True, {"type": "integer", "minimum": 2}]}),
        {"unevaluatedItems": False},
    ),
    "object": (
        *({"required": ["a"]}, {"minProperties": 1}, {"maxProperties": 1}, {"additionalProperties": False}),
        *({"additionalProperties": {"type": "integer", "minimum": 2}}, {"dependentRequired": {"a": ["b"]}}),
        *({"dependentRequired": {"b": ["a", "c"]}}, {"propertyNames": {"enum": ["a", "b"]}}),
        *({"patternProperties": {"[ab]": {"type": "integer"}}}, {"patternProperties": {"": {"maximum": 2}}}),
        *({"dependentSchemas": {"a": {"required": ["b"]}}}, {"unevaluatedProperties": False}),
        *({"properties": {"a": {"type": "integer", "minimum": 2}}}, {"dependencies": {"a": ["b"]}}),
    ),
    "": (
        *({"not": {"type": "integer"}}, {"not": {"const": 1}}, {"const": 1}, {"enum": ["a", {}, [1]]}),
        *(
            {
                "anyOf": [
                    {"type": "integer"},
                    {"type": "string", "minLength": 1},
                    {"type": ["null", "object"]},
                ]
            },
        ),
        *(
            {
                "oneOf": [
                    {"type": "number"},
                    {"type": "string"},
                    {"type": "object"},
                    {"minimum": 1, "type": "integer"},
                ]
            },
        ),
        *({"if": {"type": "integer"}, "then": {"minimum": 2}}, {"if": {"type": "object"}, "else": False}),
        {"allOf": [{"type": ["integer", "object"]}]},
    ),
}
#: What may let more be sent where it is added, since a member is described or an item is no longer one of the rest.
WIDENING = ("additionalProperties", "patternProperties", "properties", "prefixItems")
UPWARDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
DOWNWARDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
SINGLE = (
    *("items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains"),
    "propertyNames",
)
#: Where a schema that takes more lets the whole take more.
COUNTING = ("items", "additionalProperties", "allOf", "anyOf", "prefixItems", "properties", "$defs")
#: Those that ask something by themselves, so that it is less without them.
ASKING = (
    *(
        *UPWARDS[:-1],
        *DOWNWARDS[:-1],
        "multipleOf",
        "pattern",
        "format",
        "const",
        "enum",
        "uniqueItems",
        "required",
    ),
    *("dependentRequired", "propertyNames", "not", "contains", "type"),
)


def changes(schema: Any, *, outermost: bool = True) -> Iterator[Change]:
    """What is one change away from a schema, somewhere in it."""
    if not isinstance(schema, dict):
        yield from (Change("another", each, each == {}) for each in ({}, {"type": "null"}, not schema))
        return
    kinds = schema.get("type", "")
    words = {"": None} if outermost else {}
    for word in {**words, **dict.fromkeys([kinds] if isinstance(kinds, str) else kinds)}:
        for added in ADDED.get(word, ()):
            if not added.keys() & schema.keys():
                tighter = added.keys().isdisjoint(WIDENING)
                yield Change(f"with {added}", {**schema, **added}, tighter=tighter)
    for keyword, value in schema.items():
        if keyword in ("$schema", "$defs", "definitions"):
            continue
        rest = {word: each for word, each in schema.items() if word != keyword}
        yield Change(f"without {keyword}", rest, keyword in ASKING)
        for what, other, looser in of_keyword(keyword, value):
            yield Change(f"{keyword}: {what}", {**schema, keyword: other}, looser)
    yield from below(schema)


def of_keyword(keyword: str, value: Any) -> Iterator[tuple[str, Any, bool]]:
    """What else a keyword may say."""
    match keyword, value:
        case ("multipleOf", _):
            yield from ((str(each), each, each < value) for each in (value * 2, value * 3, value / 2))
        case (_, int() | float()) if keyword in (*UPWARDS, *DOWNWARDS):
            count = not keyword.endswith("imum")
            for step in (-1, 1) if count else (-1, -0.5, 0.5, 1):
                if value + step >= 0 or not count:
                    yield f"{value + step}", value + step, (step > 0) == (keyword in UPWARDS)
        case ("type", str()):
            wider = {"integer": "number"}.get(value, [value, "null" if value == "boolean" else "boolean"])
            yield f"{wider}", wider, True
            yield from ((each, each, False) for each in ("integer", "null", "object") if each != value)
        case ("type" | "required", list()):
            yield from (
                (f"not {each}", [other for other in value if other != each], keyword == "required")
                for each in value
            )
            more = "b" if keyword == "required" else "boolean"
            yield f"{more}, too", [*value, more], keyword == "type"
        case ("enum" | "anyOf" | "oneOf" | "allOf" | "prefixItems", list()):
            more = 2 if keyword == "enum" else {"type": "integer", "minimum": 2}
            for index in range(len(value)):
                if len(value) > 1:
                    yield f"not {index}", [*value[:index], *value[index + 1 :]], keyword == "allOf"
            yield f"{more}, too", [*value, more], keyword in ("enum", "anyOf")
        case (
            "properties" | "patternProperties" | "dependentRequired" | "dependentSchemas" | "dependencies",
            dict(),
        ):
            for name in value:
                left = {other: each for other, each in value.items() if other != name}
                yield f"not {name}", left, keyword.startswith("dep")
            if keyword.endswith("roperties"):
                name = "z" if keyword == "properties" else "a$"
                yield f"{name}, too", {**value, name: {"type": "integer", "minimum": 2}}, False
            if keyword == "dependentRequired":
                yield "c, too", {each: [*names, "c"] for each, names in value.items()}, False
        case ("additionalProperties", _):
            yield "true", True, value is not True
            yield "false", False, False
        case ("pattern", _):
            yield "another", "b$", False
        case ("const", _):
            yield "another", "b", False


def below(schema: Mapping[str, Any]) -> Iterator[Change]:
    """Changes of the schemas in a schema."""
    for keyword, value in schema.items():
        if keyword in NAMED and isinstance(value, dict):
            inner = [(name, each, {**value}) for name, each in value.items()]
        elif isinstance(value, list):
            inner = [(at, each, list(value)) for at, each in enumerate(value) if isinstance(each, dict)]
        elif keyword in SINGLE:
            inner = [("", value, {"": value})]
        else:
            continue
        for key, each, whole in inner:
            for change in changes(each, outermost=False):
                other: Any = whole.copy()
                other[key] = change.schema
                yield Change(
                    f"{keyword}/{key}/{change.what}",
                    {**schema, keyword: other[key] if keyword in SINGLE and key == "" else other},
                    looser=change.looser and keyword in COUNTING,
                    tighter=change.tighter and keyword in COUNTING,
                )


def as_described(schema: Any, *, bare: bool = False) -> Any:
    """The schema as a sender keeps to it. ``bare``: outermost, it sends no member that is not described."""
    found = _closed(schema, schema, place=True)
    if bare and isinstance(schema, dict) and "opens" not in _told(schema, schema, ()):
        return {**found, "unevaluatedProperties": False}
    return found


def _closed(schema: Any, root: Any, *, place: bool) -> Any:
    """``place``: it describes a value of its own, and not one that another schema describes, too."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties"):
            found[keyword] = {name: _closed(each, root, place=True) for name, each in value.items()}
        elif keyword in ("$defs", "definitions"):
            found[keyword] = {name: _closed(each, root, place=False) for name, each in value.items()}
        elif keyword in ("anyOf", "oneOf", "allOf"):
            found[keyword] = [_closed(each, root, place=False) for each in value]
        elif keyword == "prefixItems":
            found[keyword] = [_closed(each, root, place=True) for each in value]
        elif keyword in ("then", "else"):
            found[keyword] = _closed(value, root, place=False)
        elif keyword in ("items", "additionalProperties"):
            found[keyword] = _closed(value, root, place=True)
        else:
            found[keyword] = value
    if place and "describes" in (told := _told(schema, root, ())) and "opens" not in told:
        found["additionalProperties" if root.get("$schema") == OLD else "unevaluatedProperties"] = False
    return found


def _told(schema: Any, root: Any, above: tuple[str, ...]) -> set[str]:
    """Whether a schema, with all that holds in the same place, describes members, and whether it lets others be."""
    if not isinstance(schema, dict):
        return set()
    found: set[str] = set()
    if "properties" in schema or "patternProperties" in schema:
        found.add("describes")
    if schema.get("additionalProperties", False) is not False:
        found.add("opens")
    inner = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ())]
    inner += [schema[word] for word in ("if", "then", "else") if word in schema]
    _, where, name = (*schema.get("$ref", "").split("/"), "", "")[:3]
    if name and name not in above:
        found |= _told(root[where][name], root, (*above, name))
    for each in inner:
        found |= _told(each, root, above)
    return found
