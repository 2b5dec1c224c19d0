"""Names and texts of a server that would like to be code, schemas that are too large, and every mixture of them."""

from __future__ import annotations

import keyword
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import check_harmless, complaints, formatted, loaded

from dovetail.codegen import BlockingTypedClient, ServerSurface, TypedClient, generate
from dovetail.types import Implementation, Prompt, PromptArgument, Resource, ResourceTemplate, Tool

BAD = [
    *(
        '"',
        "'",
        '"""',
        "'''",
        "\\",
        '\\"',
        '"""\nimport os\nos.system("x")\n"""',
        "\n",
        "\r\n",
        "x\nimport os",
    ),
    *(
        "\x00",
        "\x1b[2J",
        "\u202e",
        "\u2028",
        "\ud800",
        "\ufeff",
        "\u200b",
        "{x}",
        "{{",
        "%s",
        "#",
        "# fmt: off",
    ),
    *(
        "__import__('os')",
        "a-b",
        "a_b",
        "a b",
        "class",
        "self",
        "None",
        "True",
        "import",
        "print",
        "__init__",
    ),
    *("_call", "_read", "open", "close", "client", "changed", "written_tools", "timeout", "meta", "progress"),
    *("str", "int", "list", "dict", "Any", "UNSET", "Literal", "TypedDict", "Mapping", "further", "x" * 300),
    *(
        "größe",
        "名前",
        "ﬁ",
        "1st",
        "",
        " ",
        "-",
        ".",
        "a.b",
        "A",
        "a",
        "PostClient",
        "Union",
        "async",
        "match",
    ),
]
BASES = (TypedClient, BlockingTypedClient)
words = st.one_of(
    st.sampled_from(BAD), st.text(max_size=12), st.builds("".join, st.lists(st.sampled_from(BAD), max_size=3))
)
names = words.filter(bool)
values = st.one_of(words, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
kinds = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object", "what"])


def larger(inner):
    """Schemas made of others."""
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=4)},
            optional={
                "required": st.lists(names, max_size=3),
                "additionalProperties": st.one_of(st.booleans(), inner),
                "description": words,
                "title": words,
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={
                "items": st.one_of(inner, st.booleans()),
                "prefixItems": several,
                "minItems": st.integers(0, 3),
                "maxItems": st.integers(0, 3),
            },
        ),
        st.fixed_dictionaries({"anyOf": several}, optional={"type": kinds, "default": values}),
        st.fixed_dictionaries({"oneOf": several}),
        st.fixed_dictionaries(
            {"allOf": several}, optional={"properties": st.dictionaries(names, inner, max_size=2)}
        ),
        st.fixed_dictionaries({"type": st.lists(kinds, max_size=3), "description": words}),
    )


leaves = st.one_of(
    st.booleans(),
    st.fixed_dictionaries({}, optional={"type": kinds, "default": values, "description": words}),
    st.fixed_dictionaries({"enum": st.lists(values, max_size=4)}),
    st.fixed_dictionaries({"const": values}),
    st.fixed_dictionaries(
        {"$ref": st.one_of(st.sampled_from(["#", "#/$defs/a", "#/$defs/a-b", "#/properties/a"]), words)}
    ),
)
schemas = st.recursive(leaves, larger, max_leaves=8)
roots = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, schemas, max_size=4)},
    optional={
        "required": st.lists(names, max_size=3),
        "$defs": st.dictionaries(st.one_of(st.sampled_from(["a", "a-b"]), names), schemas, max_size=3),
        "additionalProperties": schemas,
        "anyOf": st.lists(schemas, max_size=2),
    },
)
tools = st.builds(
    Tool,
    name=words,
    input_schema=roots,
    output_schema=st.one_of(st.none(), roots, schemas.filter(lambda each: isinstance(each, dict))),
    description=st.one_of(st.none(), words),
    title=st.one_of(st.none(), words),
)
mime = st.one_of(st.none(), words, st.sampled_from(["text/plain", "image/png"]))
surfaces = st.builds(
    ServerSurface,
    revision=words,
    info=st.builds(Implementation, name=words, version=words, title=st.one_of(st.none(), words)),
    instructions=st.one_of(st.none(), words),
    tools=st.lists(tools, max_size=3).map(tuple),
    resources=st.lists(
        st.builds(Resource, uri=words, name=words, description=words, mime_type=mime), max_size=2
    ).map(tuple),
    resource_templates=st.lists(
        st.builds(
            ResourceTemplate,
            uri_template=st.one_of(words, words.map(lambda each: f"x://{{{each}}}{{?b*,c}}")),
            name=words,
            mime_type=mime,
        ),
        max_size=2,
    ).map(tuple),
    prompts=st.lists(
        st.builds(
            Prompt,
            name=words,
            description=words,
            arguments=st.lists(
                st.builds(PromptArgument, name=words, description=words, required=st.booleans()), max_size=3
            ),
        ),
        max_size=2,
    ).map(tuple),
)
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    print_blob=True,
)


@SETTINGS
@given(surfaces, st.booleans(), words)
def test_nothing_that_a_server_says_is_code(surface, typed_dict, source):
    """The module compiles, and its syntax tree holds what the generator writes, and texts."""
    text = generate(surface, typed_dict=typed_dict, source=source)
    check_harmless(text)
    text.encode()
    assert "\u202e" not in text
    assert text == generate(surface, typed_dict=typed_dict, source=source)


@settings(SETTINGS, max_examples=40)
@given(surfaces, st.booleans())
def test_any_module_can_be_imported_and_stays_as_it_is_when_formatted(tmp_path_factory, surface, typed_dict):
    """Whatever the server's names are."""
    text = generate(surface, typed_dict=typed_dict)
    loaded(text, tmp_path_factory.mktemp("written"))
    assert formatted(text) == text


@pytest.mark.parametrize("title", [None, "\u2028", " ", "one\n   two", "one\n\n    two\n   three"])
@pytest.mark.parametrize("argument", ['"', "a", "\u2028"])
def test_texts_without_a_first_line_or_indented_stay_as_they_are_when_formatted(title, argument):
    """Formatters take away what all lines after the first are indented by."""
    schema = {"type": "object", "properties": {argument: {"type": "array", "description": title or ""}}}
    tool = Tool(
        name="x", title=title, input_schema=schema, output_schema={**schema, "description": title or ""}
    )
    surface = ServerSurface(revision="x", info=Implementation(name="x", version="1"), tools=(tool,))
    for typed_dict in (False, True):
        text = generate(surface, typed_dict=typed_dict)
        assert formatted(text) == text


@pytest.mark.parametrize("name", [*keyword.kwlist, *BAD])
def test_no_name_hides_another(tmp_path, name):
    """Of tools, arguments, members: each keeps its name at the server, and gets one that Python takes."""
    members = {"properties": {name: {"type": "integer"}, "a": {"type": "string"}}, "required": [name]}
    schema = {"type": "object", **members, "additionalProperties": False}
    wide = {"type": "object", "properties": {name: schema, f"{name}_": {"enum": [name, 1]}, "b": schema}}
    twins = [
        Tool(name=each, input_schema=wide, output_schema=schema) for each in (name, f"{name}_", f"{name}-")
    ]
    surface = ServerSurface(revision="x", info=Implementation(name=name, version="1"), tools=tuple(twins))
    for typed_dict in (False, True):
        text = generate(surface, typed_dict=typed_dict)
        check_harmless(text)
        module = loaded(text, tmp_path)
        found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, BASES)]
        found = [each for each in found if each.__module__ == module.__name__]
        assert len(found) == 2
        for each in found:
            assert set(each.written_tools) == {name, f"{name}_", f"{name}-"}
            assert len([member for member in vars(each).values() if callable(member)]) == 3


def test_schemas_that_are_too_large_are_bounded():
    """A hundred thousand members, unions in unions, references in circles: seconds, and a module of bounded size."""
    deep = {"type": "string"}
    for _ in range(400):
        deep = {"anyOf": [{"type": "null"}, {"type": "array", "items": deep}]}
    circle = {
        "$defs": {
            f"d{n}": {
                "type": "object",
                "properties": {f"p{m}": {"$ref": f"#/$defs/d{m}"} for m in range(100)},
            }
            for n in range(100)
        },
        "properties": {"d": {"$ref": "#/$defs/d0"}},
    }
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100_000)}}
    listed = {"properties": {"e": {"enum": [str(n) for n in range(100_000)]}}}
    itself = {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "properties": {"a": {"$ref": "#/$defs/a"}},
    }
    merged = {"allOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}]}
    many = {
        "properties": {
            f"p{n}": {"properties": {f"q{m}": {"properties": {"r": {}}} for m in range(150)}}
            for n in range(150)
        }
    }
    surface = ServerSurface(
        revision="x",
        tools=tuple(
            Tool(
                name=f"t{n}",
                input_schema={"type": "object", **each},
                output_schema={"type": "object", **each},
            )
            for n, each in enumerate(
                [{"properties": {"a": deep}}, circle, wide, listed, itself, merged, many]
            )
        ),
    )
    begun = time.process_time()
    text = generate(surface)
    assert time.process_time() - begun < 30
    check_harmless(text)
    assert len(text) < 12_000_000


def test_values_that_python_can_not_write():
    """Numbers of thousands of digits, and values that are deeper than Python can follow."""
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    members = {
        "a": {"default": deep, "enum": [10**6000, 1]},
        "b": {"const": -(10**6000)},
        "c": {"const": deep},
    }
    schema = {"type": "object", "properties": members, "required": ["b"]}
    tools = (Tool(name="t", input_schema=schema, output_schema={"enum": [10**6000, deep]}),)
    text = generate(ServerSurface(revision="x", tools=tools))
    check_harmless(text)
    assert (
        "        b: int,\n        a: int | UnsetType = UNSET,\n        c: list[Any] | UnsetType = UNSET,\n"
        in text
    )


def test_modules_of_hostile_servers_type_check(tmp_path):
    """By the strictest rules: whatever the names are, each method does what its signature says."""
    texts = []

    @settings(SETTINGS, max_examples=30, derandomize=True, database=None)
    @given(surfaces, st.booleans())
    def gather(surface, typed_dict):
        texts.append(generate(surface, typed_dict=typed_dict))

    gather()
    names = ["keys", "items", "get", "pop", "clear", "copy", "update", "values", "mro", "fromkeys", "x"]
    members = {"type": "object", "properties": {each: {"type": "integer"} for each in names}}
    tools = tuple(Tool(name=each, input_schema=members, output_schema=members) for each in names)
    texts += [generate(ServerSurface(revision="x", tools=tools), typed_dict=each) for each in (False, True)]
    for number, text in enumerate(texts):
        (tmp_path / f"written_{number}.py").write_text(text)
    assert complaints(tmp_path) == []
