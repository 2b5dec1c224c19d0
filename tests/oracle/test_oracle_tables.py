"""Proves the tables of the oracle against the schemas: methods, open places, errata."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from typing import Literal

import jsonschema
import pytest

from oracle import closing
from oracle.definitions import (
    ERRORS_BY_CODE,
    METHODS,
    RESULT_ENVELOPES,
    REVISIONS,
    Role,
    definitions_of,
    find,
)
from oracle.engines import validator
from oracle.errata import ERRATA, Erratum


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize("kind", ["request", "notification"])
def test_the_table_of_methods_agrees_with_the_unions_of_the_schema(
    revision: str, sender: Role, kind: Literal["request", "notification"]
) -> None:
    known = closing.published(revision)
    union = known.get(f"{sender.title()}{kind.title()}", {"anyOf": []})
    members = (
        [known[branch["$ref"].split("/")[-1]] for branch in union["anyOf"]] if "anyOf" in union else [union]
    )
    published = {member["properties"]["method"]["const"] for member in members}
    table = {m.name for m in METHODS if m.kind == kind and m.lives_in(revision) and m.sent_by(sender)}
    assert table == published
    for name in table:
        row = find(revision, name, sender, kind)
        assert row is not None
        assert known[row.definition]["properties"]["method"]["const"] == name


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_definition_of_the_tables_is_in_the_schema(revision: str) -> None:
    known = closing.published(revision)
    assert definitions_of(revision) | {RESULT_ENVELOPES[revision]} <= known.keys()
    for definition in definitions_of(revision):
        for closed in (True, False):
            schema = closing.message_schema(revision, definition, closed=closed)
            jsonschema.Draft202012Validator.check_schema(schema)
            validator(revision, definition, closed=closed)


@pytest.mark.parametrize("name", ["error", "result"])
def test_definitions_that_the_schema_pairs_with_a_response_are_used(name: str) -> None:
    known = closing.published("2026-07-28")
    for response, schema in known.items():
        if response.endswith("ResultResponse") and response != "JSONRPCResultResponse" and name == "result":
            branches = schema["properties"]["result"].get("anyOf", [schema["properties"]["result"]])
            for branch in branches:
                assert branch["$ref"].split("/")[-1] in definitions_of("2026-07-28")
        code = schema.get("properties", {}).get("code", {}).get("const")
        for part in schema.get("properties", {}).get("error", {}).get("allOf", []):
            code = code or part.get("properties", {}).get("code", {}).get("const")
        if code is not None and name == "error":
            assert ERRORS_BY_CODE["2026-07-28"][code] == response


def test_nothing_is_open_that_the_table_does_not_list() -> None:
    used: set[closing.Open] = set()
    for revision in REVISIONS:
        for where, how in closing.open_places(revision):
            kinds = {how, "whole", "members"} if how == "map" else {how, "whole"}
            rows = {o for o in closing.OPEN if o.how in kinds and fnmatchcase(".".join(where), o.where)}
            assert rows, (revision, where, how)
            used |= rows
    assert used == set(closing.OPEN), "a row that opens nothing"
    assert all(": " in row.page for row in closing.OPEN)


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda erratum: erratum.name)
def test_an_erratum_is_needed_and_mends(erratum: Erratum) -> None:
    assert ": " in erratum.page
    for revision in erratum.revisions:
        raw = {"$defs": closing.published(revision), "$ref": f"#/$defs/{erratum.definition}"}
        if erratum.name == "inherited-request-meta":
            for known in raw[
                "$defs"
            ].values():  # closed by hand: open, the raw schema just overlooks the member
                params = known.get("properties", {}).get("params", {})
                if "properties" in params and "additionalProperties" not in params:
                    params["additionalProperties"] = False
            if revision == "2025-11-25":  # its tools/call is right, its tasks/get is not
                raw["$ref"] = "#/$defs/GetTaskRequest"
        witness = copy.deepcopy(dict(erratum.witness))
        if raw["$ref"].endswith("GetTaskRequest"):
            witness = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get"}
            witness["params"] = {"taskId": "t", "_meta": {"progressToken": 7}}
        assert not jsonschema.Draft202012Validator(raw).is_valid(witness), revision
        definition = raw["$ref"].split("/")[-1]
        mended = closing.value_schema(revision, definition, closed=not erratum.received_only)
        assert jsonschema.Draft202012Validator(
            closing.request_schema(revision, definition, closed=True)
            if definition.endswith("Request")
            else mended
        ).is_valid({"jsonrpc": "2.0", "id": 1, **witness} if definition.endswith("Request") else witness)
