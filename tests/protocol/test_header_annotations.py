"""Which tool arguments HTTP headers repeat, as the annotations of a schema say."""

from typing import Any

import pytest

from dovetail.protocol.schema.validator import HeaderParameter, InvalidHeaderAnnotation, header_parameters

Schema = dict[str, Any]


def header(value: object, **more: object) -> Schema:
    return {"type": "string", "x-mcp-header": value, **more}


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-035")
def test_annotations_are_read_in_order_with_their_paths() -> None:
    schema: Schema = {
        "type": "object",
        "properties": {
            "region": header("Region"),
            "where": {"type": "object", "properties": {"zone": header("Zone", type="integer")}},
            "dry": header("X-Dry!", type="boolean"),
            "x-mcp-header": {"type": "object"},
            "data": {
                "default": {"x-mcp-header": "no"},
                "const": {"x-mcp-header": 5},
                "enum": [{"x-mcp-header": 1}],
            },
        },
    }
    assert header_parameters(schema) == (
        HeaderParameter(("region",), "mcp-param-region", "string"),
        HeaderParameter(("where", "zone"), "mcp-param-zone", "integer"),
        HeaderParameter(("dry",), "mcp-param-x-dry!", "boolean"),
    )
    assert header_parameters({}) == header_parameters(None) == ()


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-029",
    "R2607-TRANSPORT-HTTP-030",
    "R2607-TRANSPORT-HTTP-031",
    "R2607-TOOLS-022",
    "R2607-TOOLS-023",
    "R2607-TOOLS-024",
)
@pytest.mark.parametrize(
    "value",
    ["", " ", "a b", "a:b", "a\r\nb", "a\n", "a\0", "é", "a/b", "a@b", '"a"', "x" * 200, 5, None, ["a"]],
)
def test_annotations_that_are_no_header_name(value: object) -> None:
    with pytest.raises(InvalidHeaderAnnotation, match=r"at p of the input schema: ") as caught:
        header_parameters({"properties": {"p": header(value)}})
    assert caught.value.path == ("p",)


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-032", "R2607-TOOLS-025")
def test_two_annotations_of_one_header() -> None:
    nested_one = {"properties": {"b": header("REGION")}}
    with pytest.raises(InvalidHeaderAnnotation, match=r"at o\.b .*parameter a has the same header"):
        header_parameters({"properties": {"a": header("Region"), "o": nested_one}})


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-033", "R2607-TOOLS-026")
@pytest.mark.parametrize(
    "kind", ["number", "object", "array", "null", ["string"], ["string", "null"], None, 5]
)
def test_annotations_on_other_types(kind: object) -> None:
    with pytest.raises(InvalidHeaderAnnotation, match="exactly string, integer or boolean"):
        header_parameters({"properties": {"p": header("A", type=kind)}})


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-035", "R2607-TRANSPORT-HTTP-036", "R2607-TOOLS-028")
@pytest.mark.parametrize(
    "schema",
    [
        header("A"),
        {"items": header("A")},
        {"prefixItems": [header("A")]},
        {"properties": {"a": {"items": header("A")}}},
        {"properties": {"a": {"items": {"properties": {"b": header("A")}}}}},
        *({"properties": {"a": {word: [header("A")]}}} for word in ("allOf", "anyOf", "oneOf")),
        *({word: {"properties": {"a": header("A")}}} for word in ("not", "if", "then", "else", "contains")),
        {"allOf": [{"properties": {"a": header("A")}}]},
        {"additionalProperties": header("A")},
        {"patternProperties": {"a": header("A")}},
        {"$defs": {"a": header("A")}},
        {"definitions": {"a": {"properties": {"b": header("A")}}}},
        {"dependentSchemas": {"a": {"properties": {"b": header("A")}}}},
        {"dependencies": {"a": header("A")}},
        {"x-vendor": [{"deep": header("A")}]},
    ],
)
def test_annotations_off_the_plain_path(schema: Schema) -> None:
    with pytest.raises(InvalidHeaderAnnotation, match="properties alone"):
        header_parameters(schema)
