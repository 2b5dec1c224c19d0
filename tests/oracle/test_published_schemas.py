"""The library's reading of the published schemas is the oracle's: the same definitions, for the same methods."""

from __future__ import annotations

import json

import pytest

from dovetail.specification import (
    MethodShapes,
    definition_names,
    definition_schema,
    method_shapes,
    page_address,
    published_schema,
)
from oracle import closing
from oracle.definitions import EXTENSION_METHODS, METHODS, REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_method_has_the_definitions_that_the_oracle_writes_down(revision: str) -> None:
    told = method_shapes(revision)
    written = {
        each.name: MethodShapes(
            each.name,
            each.definition,
            each.result or "",
            ("client", "server") if each.sender == "both" else (each.sender,),
        )
        for each in (*METHODS, *EXTENSION_METHODS)
        if each.lives_in(revision)
    }
    inside = {name: each for name, each in told.items() if not each.senders}
    assert {name: each for name, each in told.items() if each.senders} == written
    assert set(inside) <= {each.name for each in METHODS}


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_definition_is_mended_as_the_oracle_mends_what_is_received(revision: str) -> None:
    known = closing.definitions(revision, closed=False)
    assert set(definition_names(revision)) == set(known)
    for name in known:
        schema = definition_schema(revision, name)
        assert schema["$ref"] == f"#/$defs/{name}"
        assert schema["$defs"].items() <= known.items()


def test_what_is_given_is_a_copy_and_stands_alone() -> None:
    schema = definition_schema(REVISIONS[-1], "CallToolRequest", member="params")
    assert set(schema["$defs"]) >= {"CallToolRequestParams", "RequestMetaObject"}
    assert "ListToolsResult" not in schema["$defs"]
    schema["$defs"].clear()
    assert definition_schema(REVISIONS[-1], "CallToolRequest", member="params")["$defs"]
    assert definition_schema(REVISIONS[0], "PingRequest", member="nothing")["$defs"] == {}


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_published_schema_is_given_as_it_was_published(revision: str) -> None:
    assert published_schema(revision) == json.loads(
        (closing.SCHEMAS / f"{revision}.json").read_text(encoding="utf-8")
    )


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(LookupError, match="no revision 'tomorrow'"):
        published_schema("tomorrow")
    with pytest.raises(LookupError, match="has no definition 'Nothing'"):
        definition_schema(REVISIONS[0], "Nothing")


def test_addresses_of_pages() -> None:
    site = "https://modelcontextprotocol.io"
    assert page_address("server/tools", REVISIONS[0]) == f"{site}/specification/2024-11-05/server/tools"
    assert page_address("basic/index", "tomorrow") == f"{site}/specification/{REVISIONS[-1]}/basic"
    assert page_address("extensions/tasks") == f"{site}/extensions/tasks/overview"
