"""What the published schemas get wrong, each with the page that proves it.

The JSON schemas are generated from schema.ts, and the generator loses things: members inherited
from a base interface, `number` in some unions, null. Each row of `ERRATA` mends one such loss in the
raw definitions of some revisions, before anything is closed or compiled. A row carries a witness:
a value that the specification's pages allow, that the raw schema refuses and the mended one takes.
`test_oracle` tries every witness both ways, so a row that a later schema makes needless must go.

Follows: schema.ts of each revision, as the source of the JSON schemas, and the pages named below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from oracle.definitions import METHODS, REVISIONS, STATEFUL

Schema = dict[str, Any]
Definitions = dict[str, Schema]


@dataclass(frozen=True)
class Erratum:
    """One known error. `mend` edits the raw definitions of a revision in place.

    `received_only` marks leniency towards peers: our own messages stay under the schema as printed.
    """

    name: str
    revisions: tuple[str, ...]
    page: str
    what: str
    mend: Callable[[Definitions], None]
    definition: str
    witness: Mapping[str, Any]
    received_only: bool = False


def _elicited_numbers(definitions: Definitions) -> None:
    values = definitions["ElicitResult"]["properties"]["content"]["additionalProperties"]
    for schema in (values, *values.get("anyOf", ())):
        if schema.get("type") == ["string", "integer", "boolean"]:
            schema["type"] = ["string", "number", "boolean"]


def _json_values(definitions: Definitions) -> None:
    definitions["JSONValue"]["anyOf"][-1]["type"] = ["string", "number", "boolean", "null"]


def _inherited_meta(definitions: Definitions) -> None:
    """Give back `_meta` to the parameters of requests and notifications that spell out their own."""
    for name in {method.definition for method in METHODS} & definitions.keys():
        params = definitions[name]["properties"].get("params", {})
        if "properties" not in params or "_meta" in params["properties"]:
            continue
        meta: Schema = {"type": "object", "additionalProperties": {}}
        if name.endswith("Request"):
            meta["properties"] = {"progressToken": {"$ref": "#/$defs/ProgressToken"}}
        params["properties"]["_meta"] = meta


def _null_error_id(definitions: Definitions) -> None:
    for name in ("JSONRPCError", "JSONRPCErrorResponse"):
        if name in definitions:
            definitions[name]["properties"]["id"] = {
                "anyOf": [{"$ref": "#/$defs/RequestId"}, {"type": "null"}]
            }


ERRATA: Final = (
    Erratum(
        name="elicited-numbers",
        revisions=("2025-06-18", "2025-11-25", "2026-07-28"),
        page="client/elicitation.mdx, Requested Schema: a number field may be `number` or `integer`",
        what="ElicitResult.content takes whole numbers only, so 1.5 could never answer a number field",
        mend=_elicited_numbers,
        definition="ElicitResult",
        witness={"action": "accept", "content": {"ratio": 1.5}},
    ),
    Erratum(
        name="json-values",
        revisions=("2026-07-28",),
        page="schema.ts, JSONValue: string, number, boolean, null, object or array",
        what="JSONValue refuses null and fractions anywhere inside experimental, extensions and metadata",
        mend=_json_values,
        definition="ClientCapabilities",
        witness={"experimental": {"acme.example/tuning": {"ratio": 1.5, "limit": None}}},
    ),
    Erratum(
        name="inherited-request-meta",
        revisions=STATEFUL,
        page="basic/utilities/progress.mdx: any request may carry params._meta.progressToken",
        what="params spelled out in a request shadow the `_meta` of the base Request",
        mend=_inherited_meta,
        definition="CallToolRequest",
        witness={"method": "tools/call", "params": {"name": "add", "_meta": {"progressToken": 7}}},
    ),
    Erratum(
        name="null-error-id",
        revisions=("2024-11-05", "2025-03-26", "2025-06-18"),
        page="basic/index.mdx: all messages follow JSON-RPC 2.0, whose section 5 gives a null id to an "
        "error about a request whose id could not be read",
        what="an error response needs a string or integer id, so an unreadable request has no legal answer",
        mend=_null_error_id,
        definition="JSONRPCError",
        witness={"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "not JSON"}},
    ),
    Erratum(
        name="null-error-id-from-peers",
        revisions=("2025-11-25", "2026-07-28"),
        page="basic/index.mdx: the id is left out if it could not be read; JSON-RPC 2.0 section 5 says null",
        what="peers that keep to JSON-RPC 2.0 send null; we leave the member out",
        mend=_null_error_id,
        definition="JSONRPCErrorResponse",
        witness={"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "not JSON"}},
        received_only=True,
    ),
)


def mend(revision: str, definitions: Definitions, *, received: bool) -> None:
    """Apply every erratum of a revision to its raw definitions, in place."""
    assert revision in REVISIONS
    for erratum in ERRATA:
        if revision in erratum.revisions and (received or not erratum.received_only):
            erratum.mend(definitions)
