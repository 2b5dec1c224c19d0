"""Pairs of schemas and values that are held against them, made at random: what the judgement of changes is tried with.

Theory of operation. A schema is drawn from the keywords that authors use, small enough that two of them often have
something to do with each other; the second is mostly the first with one thing changed. Values are drawn blindly and by
what the schemas name, so that many of them lie at the edges. `as_described` is how a sender is read: an object that
describes members has no others, said with ``unevaluatedProperties``, which sees through ``allOf`` and ``$ref``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c")
TEXTS = ("", "a", "aa", "abc", "b", "x1")
NUMBERS = (-1, 0, 1, 2, 3, 5, 0.5, 2.5, 10)
SCALARS = (None, True, False, *NUMBERS, *TEXTS)


def scalars() -> st.SearchStrategy[Any]:
    """A value without parts."""
    return st.sampled_from(SCALARS)


def leaves() -> st.SearchStrategy[Any]:
    """A schema of something without parts."""
    number = st.fixed_dictionaries(
        {"type": st.sampled_from(("integer", "number"))},
        optional={
            "minimum": st.sampled_from((-1, 0, 1, 2)),
            "maximum": st.sampled_from((1, 2, 3, 5)),
            "exclusiveMinimum": st.sampled_from((0, 1)),
            "exclusiveMaximum": st.sampled_from((2, 3)),
            "multipleOf": st.sampled_from((1, 2, 0.5)),
        },
    )
    text = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(1, 3),
            "pattern": st.sampled_from(("^a", "b$", "^[a-z]+$")),
        },
    )
    listed = st.builds(
        lambda values: {"enum": values}, st.lists(scalars(), min_size=1, max_size=4, unique_by=repr)
    )
    kinds = st.sampled_from(("string", "integer", "number", "boolean", "null"))
    several = st.builds(lambda types: {"type": types}, st.lists(kinds, min_size=1, max_size=3, unique=True))
    only = st.builds(lambda value: {"const": value}, scalars())
    return st.one_of(number, text, listed, several, only, st.just({}), st.just(True), st.just(False))


def compounds(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A schema made of others."""
    members = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
    an_object = st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": members,
            "required": some,
            "additionalProperties": st.one_of(st.booleans(), inner),
            "patternProperties": st.dictionaries(st.sampled_from(("^a", "[bc]")), inner, max_size=1),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(1, 3),
            "dependentRequired": st.dictionaries(st.sampled_from(NAMES), some, max_size=1),
            "propertyNames": st.sampled_from(({"pattern": "^[ab]"}, {"maxLength": 1}, {"enum": ["a", "b"]})),
        },
    )
    a_list = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 3),
            "uniqueItems": st.booleans(),
            "contains": inner,
        },
    )
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        *(an_object, an_object, a_list),
        st.builds(lambda each: {"anyOf": each}, several),
        st.builds(lambda each: {"oneOf": each}, several),
        st.builds(lambda each: {"allOf": each}, several),
        st.builds(lambda each: {"not": each}, inner),
        st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
        st.builds(lambda each, name: {**each, "$ref": f"#/$defs/{name}"}, an_object, st.sampled_from("XY")),
        st.sampled_from(({"$ref": "#/$defs/X"}, {"$ref": "#/$defs/Y"})),
    )


parts = st.recursive(leaves(), compounds, max_leaves=6)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A whole schema, as of arguments: an object, with definitions that may contain themselves."""
    root = draw(st.one_of(compounds(parts), parts))
    root = dict(root) if isinstance(root, dict) else {}
    tree = {
        "type": "object",
        "properties": {"a": draw(leaves()), "b": {"anyOf": [{"$ref": "#/$defs/Y"}, {"type": "null"}]}},
        "required": draw(st.lists(st.sampled_from(("a", "b")), max_size=2, unique=True)),
    }
    return {**root, "$defs": {"X": draw(parts), "Y": tree}}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema, and another one: mostly the same with one place changed."""
    first = draw(documents())
    if draw(st.integers(0, 4)) == 0:
        return first, draw(documents())
    return first, changed(draw, first)


def changed(draw: st.DrawFn, schema: Any) -> Any:
    """The schema with something in it replaced, added or taken away."""
    if not isinstance(schema, dict) or not schema:
        return draw(parts)
    keyword = draw(st.sampled_from(sorted(schema)))
    value = schema[keyword]
    rest = {name: each for name, each in schema.items() if name != keyword}
    if keyword in ("properties", "$defs", "patternProperties") and value:
        name = draw(st.sampled_from(sorted(value)))
        if keyword != "$defs" and draw(st.integers(0, 3)) == 0:
            return {**rest, keyword: {other: each for other, each in value.items() if other != name}}
        return {**rest, keyword: {**value, name: changed(draw, value[name])}}
    if keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        index = draw(st.integers(0, len(value) - 1))
        return {
            **rest,
            keyword: [changed(draw, each) if at == index else each for at, each in enumerate(value)],
        }
    if keyword in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
        return {**rest, keyword: changed(draw, value)}
    if draw(st.booleans()) and keyword != "$defs":
        return rest
    return {
        **schema,
        **draw(
            st.sampled_from(
                (
                    {"minimum": 1},
                    {"maxLength": 2},
                    {"type": "object"},
                    {"minProperties": 1},
                    {"required": ["a"]},
                    {"enum": [1, "a", None]},
                    {"maxItems": 1},
                    {"additionalProperties": False},
                )
            )
        ),
    }


def values() -> st.SearchStrategy[Any]:
    """A value of any kind, small."""
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from((*NAMES, "d")), inner, max_size=3)
        ),
        max_leaves=6,
    )


def as_described(schema: Any) -> Any:
    """The schema as a sender keeps to it."""
    return _closed(schema, schema, place=True)


def _closed(schema: Any, root: Any, *, place: bool) -> Any:
    """``place``: it describes a value of its own, and not one that another schema describes, too."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties"):
            found[keyword] = {name: _closed(each, root, place=True) for name, each in value.items()}
        elif keyword == "$defs":
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
        found["unevaluatedProperties"] = False
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
    name = schema.get("$ref", "")[len("#/$defs/") :]
    if name and name not in above:
        found |= _told(root["$defs"][name], root, (*above, name))
    for each in inner:
        found |= _told(each, root, above)
    return found
