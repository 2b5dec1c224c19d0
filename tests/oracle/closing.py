"""Schemas of whole messages, open as published or closed against members the revision lacks.

Theory of operation. A schema file is read once and normalised: `definitions` becomes `$defs`, so
all five compile under JSON Schema 2020-12 (they use nothing the drafts disagree on), and the errata
are mended. Closing then walks every definition with a path such as `Tool.inputSchema`:

* an object that declares members gets `additionalProperties: false`, also where the schema says
  `additionalProperties: {}`, as Result does: a tools/call result is a CallToolResult and no more;
* a map, an object that declares no members, stays a map;
* `allOf` is merged into one object first, since closing its parts would make each refuse the other;
* the places in `OPEN` stay open, each for the page it names. `test_oracle` compares that table with
  the places that are open after closing, so nothing is open by oversight.

Capabilities are open by the specification's own words, yet a capability of another revision is no
custom capability: there, names that another revision declares at the same place are refused. One is not
(`DECLARED_EARLIER`), since an official extension has clients of every revision say it.

Follows: schema.mdx of each revision; basic/index.mdx for the envelopes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from oracle.definitions import (
    CREATE_TASK,
    ERROR_ENVELOPES,
    ERRORS_BY_CODE,
    INPUT_REQUIRED,
    RESULT_ENVELOPES,
    REVISIONS,
    STATELESS,
    definitions_of,
)
from oracle.errata import Definitions, Schema, mend

SCHEMAS: Final = Path(__file__).parents[2] / "src" / "dovetail" / "specification" / "schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EXTENSION: Final = "tasks-extension"
"""Written down from the extension's schema; what a task came to is held against the result of a tool, which it is."""
CAPABILITIES: Final = ("ClientCapabilities", "ServerCapabilities")

DECLARED_EARLIER: Final = {"ClientCapabilities": frozenset({"extensions"})}
"""MCP Apps 2026-01-26, "Client (Host) Capabilities": in `initialize`, with an example of 2024-11-05."""

Where = tuple[str, ...]


@dataclass(frozen=True)
class Open:
    """A place that closing leaves open. `where` is a pattern over dotted paths.

    `whole` leaves the schema there untouched; `members` admits foreign members but closes the values of
    the declared ones, if any; `map` and `any` only record what the schema itself leaves open: an object
    without declared members, or any value at all.
    """

    where: str
    how: Literal["whole", "members", "map", "any"]
    page: str


OPEN: Final = (
    Open(
        "*._meta",
        "members",
        "basic/index.mdx, General fields; before 2025-06-18 schema.ts, Result: any metadata",
    ),
    Open("*MetaObject", "members", "basic/index.mdx, General fields: the same, where the schema names it"),
    Open("Tool.inputSchema", "whole", "server/tools.mdx: any JSON Schema of an object"),
    Open("Tool.outputSchema", "whole", "server/tools.mdx: any JSON Schema"),
    Open("ModelHint", "members", "schema.ts, ModelHint: other keys are for the client to interpret"),
    Open("*Error.error.data", "members", "basic/index.mdx, Error: data is the sender's to define"),
    Open("*Capabilities", "members", "schema.ts, ClientCapabilities and ServerCapabilities: no closed set"),
    Open(
        "*Capabilities.*", "map", "schema.ts, ClientCapabilities and ServerCapabilities: settings are objects"
    ),
    Open("JSONObject", "map", "schema.ts, JSONObject: any JSON"),
    Open("*.arguments", "map", "server/tools.mdx, server/prompts.mdx: named by the tool or prompt"),
    Open("*.structuredContent", "map", "server/tools.mdx, Structured Content: shaped by outputSchema"),
    Open("*.structuredContent", "any", "server/tools.mdx, Structured Content: any JSON since 2026-07-28"),
    Open("*.metadata", "map", "schema.ts, CreateMessageRequest: metadata is the provider's to define"),
    Open("ToolUseContent.input", "map", "client/sampling.mdx: arguments of the model's tool call"),
    Open("ElicitResult.content", "map", "client/elicitation.mdx: named by the requested schema"),
    Open("*.requestedSchema.properties", "map", "client/elicitation.mdx: named by the server"),
    Open("InputRequests", "map", "basic/patterns/mrtr.mdx: keys are the server's"),
    Open("InputResponses", "map", "basic/patterns/mrtr.mdx: keys are the server's"),
    Open("*.data", "any", "basic/index.mdx, server/utilities/logging.mdx: any JSON"),
)


def how_open(where: Where, *kinds: str) -> bool:
    """Whether a place stands in `OPEN` under one of these kinds."""
    dotted = ".".join(where)
    return any(row.how in kinds and fnmatchcase(dotted, row.where) for row in OPEN)


def published(revision: str) -> Definitions:
    """The definitions of a revision as printed, under `$defs`, with those that the tasks extension adds; a fresh copy
    each time.
    """
    known = _printed(revision)
    if revision in STATELESS:
        for name, added in _printed(EXTENSION).items():
            if name in known:  # a member more
                known[name]["properties"] |= added["properties"]
            else:
                known[name] = added
    return known


def _printed(name: str) -> Definitions:
    text = (SCHEMAS / f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text.replace("#/definitions/", "#/$defs/"))
    return document.get("$defs") or document["definitions"]


@cache
def definitions(revision: str, *, closed: bool) -> Definitions:
    """The mended definitions of a revision, for our own messages (`closed`) or for those we receive."""
    mended = published(revision)
    mend(revision, mended, received=not closed)
    if not closed:
        return mended
    closer = _Closer(revision, mended)
    return {name: closer.close(schema, (name,)) for name, schema in mended.items()}


@cache
def request_schema(revision: str, definition: str, *, closed: bool) -> Schema:
    """The whole message of a request or notification, envelope included."""
    notification = definition.endswith("Notification")
    envelope = "JSONRPCNotification" if notification else "JSONRPCRequest"
    known = definitions(revision, closed=closed)
    if not closed:
        return _document(
            known, {"allOf": [{"$ref": f"#/$defs/{envelope}"}, {"$ref": f"#/$defs/{definition}"}]}
        )
    body = known[definition]
    framing: Schema = {"jsonrpc": {"const": "2.0"}}
    if not notification:
        framing["id"] = {"$ref": "#/$defs/RequestId"}
    return _document(
        known,
        {
            **body,
            "properties": framing | body["properties"],
            "required": sorted({*framing, *body["required"]}),
        },
    )


@cache
def result_schema(revision: str, definition: str, *, closed: bool) -> Schema:
    """The whole response that carries this result."""
    known = definitions(revision, closed=closed)
    body: Schema = {"properties": {"result": {"$ref": f"#/$defs/{definition}"}}}
    envelope = RESULT_ENVELOPES[revision]
    if not closed:
        return _document(known, {"allOf": [{"$ref": f"#/$defs/{envelope}"}, body]})
    outer = known[envelope]
    if revision in STATELESS:
        # the schema's resultType is any string, for extensions to add to; our results have these
        says = {INPUT_REQUIRED: "input_required", CREATE_TASK: "task"}.get(definition, "complete")
        says_so: Schema = {"properties": {"resultType": {"const": says}}}
        body["properties"]["result"] = {"allOf": [body["properties"]["result"], says_so]}
    return _document(known, {**outer, "properties": outer["properties"] | body["properties"]})


@cache
def error_schema(revision: str, definition: str, *, closed: bool) -> Schema:
    """The whole error response; `definition` may name an envelope or, as in 2026-07-28, an error object."""
    known = definitions(revision, closed=closed)
    envelope: Schema = {"$ref": f"#/$defs/{ERROR_ENVELOPES[revision]}"}
    if "error" in known[definition]["properties"]:
        specific: Schema = {"$ref": f"#/$defs/{definition}"}
    else:
        specific = {"properties": {"error": {"$ref": f"#/$defs/{definition}"}}}
    if definition == ERROR_ENVELOPES[revision]:
        return _document(known, envelope)
    if not closed or "error" not in known[definition]["properties"]:
        # the envelope is closed already, and its Error has the members that the specific object declares
        return _document(known, {"allOf": [envelope, specific]})
    return _document(known, specific)


@cache
def value_schema(revision: str, definition: str, *, closed: bool) -> Schema:
    """A definition on its own, without an envelope."""
    return _document(definitions(revision, closed=closed), {"$ref": f"#/$defs/{definition}"})


def message_schema(revision: str, definition: str, *, closed: bool) -> Schema:
    """The whole message whose content is this definition, whatever kind of message that is."""
    errors = {ERROR_ENVELOPES[revision], *ERRORS_BY_CODE.get(revision, {}).values()}
    if definition in errors:
        return error_schema(revision, definition, closed=closed)
    if definition.endswith(("Request", "Notification")):
        return request_schema(revision, definition, closed=closed)
    return result_schema(revision, definition, closed=closed)


def open_places(revision: str) -> Iterator[tuple[Where, Literal["members", "map", "any"]]]:
    """Every place in the closed messages of a revision that still admits what it does not declare."""
    reached: Definitions = {}
    for definition in definitions_of(revision):
        document = message_schema(revision, definition, closed=True)
        reached |= document["$defs"] | {definition: definitions(revision, closed=True)[definition]}
    for name, schema in reached.items():
        yield from _open_within(schema, (name,))


def _open_within(schema: Schema, where: Where) -> Iterator[tuple[Where, Literal["members", "map", "any"]]]:
    if how_open(where, "whole"):
        yield where, "members"
        return
    if not schema.keys() - {"description", "title"}:
        yield where, "any"
    elif (schema.get("type") == "object" or "properties" in schema) and (
        schema.get("additionalProperties", True) is not False
    ):
        yield where, "members" if schema.get("properties") else "map"
    for member, value in schema.get("properties", {}).items():
        yield from _open_within(value, (*where, member))
    for branch in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _open_within(branch, where)
    if isinstance(schema.get("items"), dict):
        yield from _open_within(schema["items"], (*where, "[]"))


def _document(known: Definitions, body: Schema) -> Schema:
    """A schema that stands alone: `body` and the definitions it reaches."""
    reached: Definitions = {}
    waiting = set(_references(body))
    while waiting:
        name = waiting.pop()
        reached[name] = known[name]
        waiting |= set(_references(known[name])) - reached.keys()
    return {"$schema": DIALECT, **body, "$defs": reached}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/$defs/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


class _Closer:
    """Closes the definitions of one revision."""

    def __init__(self, revision: str, known: Definitions) -> None:
        self._revision = revision
        self._known = known

    def close(self, schema: Schema, where: Where) -> Schema:
        """The closed variant of `schema`, which stands at `where`; the argument is left alone."""
        if how_open(where, "whole"):
            return copy.deepcopy(schema)
        if "allOf" in schema:
            return self.close(self._merged(schema), where)
        closed = dict(schema)
        if "anyOf" in schema:
            closed["anyOf"] = [self.close(branch, where) for branch in schema["anyOf"]]
        if isinstance(schema.get("items"), dict):
            closed["items"] = self.close(schema["items"], (*where, "[]"))
        if schema.get("type") == "object" or "properties" in schema:
            self._close_object(closed, where)
        return closed

    def _close_object(self, closed: Schema, where: Where) -> None:
        rest = closed.get("additionalProperties", False)
        declared = closed.get("properties", {})
        closed["properties"] = {name: self.close(value, (*where, name)) for name, value in declared.items()}
        # a schema that says nothing about further members is `{}` in schema.ts, which has no members
        is_map = not declared and rest is not False
        if isinstance(rest, dict) and rest and is_map:
            closed["additionalProperties"] = self.close(rest, (*where, "*"))
        elif how_open(where, "members") or is_map:
            closed["additionalProperties"] = True
        else:
            closed["additionalProperties"] = False
        if where[0] in CAPABILITIES and closed["additionalProperties"] is not False:
            foreign = _declared_elsewhere(self._revision, where) - declared.keys()
            foreign -= DECLARED_EARLIER.get(".".join(where), frozenset())
            if foreign:
                closed["propertyNames"] = {"not": {"enum": sorted(foreign)}}

    def _merged(self, schema: Schema) -> Schema:
        """One object out of an `allOf`: members united, a member declared twice held to both."""
        properties: Schema = {}
        required: set[str] = set()
        for part in schema["allOf"]:
            resolved = self._resolved(part)
            for name, value in resolved.get("properties", {}).items():
                earlier = properties.get(name)
                properties[name] = {**earlier, **value} if earlier else value
            required |= set(resolved.get("required", ()))
        return {"type": "object", "properties": properties, "required": sorted(required)}

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._known[schema["$ref"].removeprefix("#/$defs/")]
        return self._merged(schema) if "allOf" in schema else schema


@cache
def _declared_elsewhere(revision: str, where: Where) -> frozenset[str]:
    """The members that other revisions declare at this place."""
    names: set[str] = set()
    for other in REVISIONS:
        known = published(other)
        schema: Schema = {"properties": known} if other != revision else {}
        for step in where:
            schema = schema.get("properties", {}).get(step, {})
            if "$ref" in schema:
                schema = known[schema["$ref"].removeprefix("#/$defs/")]
        names |= schema.get("properties", {}).keys()
    return frozenset(names)
