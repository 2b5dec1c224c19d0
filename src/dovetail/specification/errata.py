"""What the published schemas get wrong, mended: members that the generator of the schemas lost.

Theory of operation. The JSON schemas are generated from TypeScript, and the generator loses members inherited from an
interface, ``number`` in some unions, and null. Each function here mends one loss in the definitions of a revision, in
place, where the definitions have it; where they do not, it leaves them alone. The pages that prove each one, and a
value that the raw schema refuses, are in the tests of the oracle, which has its own list.

Specification: schema of each revision; client/elicitation "Requested Schema"; basic/utilities/progress; basic/index.
"""

from __future__ import annotations

from typing import Any, cast

from ..protocol import names

__all__ = ["mend"]

Definitions = dict[str, dict[str, Any]]


def mend(definitions: Definitions) -> None:
    """Mend all that is known to be wrong in the definitions of a revision, in place."""
    for each in (_elicited_numbers, _json_values, _inherited_meta, _null_error_id):
        each(definitions)


def _elicited_numbers(definitions: Definitions) -> None:
    """What answers a number of a form may have a fraction."""
    content = definitions.get("ElicitResult", {}).get("properties", {}).get("content", {})
    given = content.get("additionalProperties")
    if isinstance(given, dict):
        values = cast("dict[str, Any]", given)
        alternatives: list[dict[str, Any]] = values.get("anyOf", [])
        for schema in (values, *alternatives):
            if schema.get("type") == ["string", "integer", "boolean"]:
                schema["type"] = ["string", "number", "boolean"]


def _json_values(definitions: Definitions) -> None:
    """Any JSON is any JSON, null and fractions too."""
    if "JSONValue" in definitions:
        definitions["JSONValue"]["anyOf"][-1]["type"] = ["string", "number", "boolean", "null"]


def _inherited_meta(definitions: Definitions) -> None:
    """Parameters that are spelled out inherit the ``_meta`` of every request."""
    if "ProgressToken" not in definitions:
        return
    for name, schema in definitions.items():
        members = schema.get("properties", {})
        params = members.get("params", {})
        if "const" not in members.get("method", {}) or "properties" not in params:
            continue
        if "_meta" not in params["properties"]:
            meta: dict[str, Any] = {"type": "object", "additionalProperties": {}}
            if name.endswith("Request"):
                meta["properties"] = {names.META_PROGRESS_TOKEN: {"$ref": "#/$defs/ProgressToken"}}
            params["properties"]["_meta"] = meta


def _null_error_id(definitions: Definitions) -> None:
    """JSON-RPC 2.0 has null for the id of an error about a request whose id could not be read."""
    for name in ("JSONRPCError", "JSONRPCErrorResponse"):
        if name in definitions:
            definitions[name]["properties"]["id"] = {
                "anyOf": [{"$ref": "#/$defs/RequestId"}, {"type": "null"}]
            }
