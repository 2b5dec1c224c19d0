"""The published schemas, definition by definition, and which of them a method has.

Theory of operation. A file holds one revision as it was published (``schemas/NOTICE`` says whose it is). Read, it is
brought to one form (``$defs``, references into them; nothing in it is read differently by the drafts it is written in),
and what the tasks extension adds joins the definitions of stateless revisions. Which definition a method has is said by
the schema itself: a definition whose ``method`` has one value is that of the method, the unions ``ClientRequest`` and
the like say who sends it, and its result has the name that goes with it, or is the empty one. Everything is read when
it is first asked for, and kept; callers get copies.

Specification: schema of each revision; the extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from ..protocol.revisions import PROFILES, REVISIONS
from .errata import Definitions, mend

__all__ = ["MethodShapes", "definition_names", "definition_schema", "method_shapes", "published_schema"]

_FOLDER: Final = Path(__file__).with_name("schemas")
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = "#/$defs/"
_EXTENSION: Final = "tasks-extension"
_EMPTY: Final = "EmptyResult"
_PLAIN_RESULT: Final = "Result"
_REQUEST, _NOTIFICATION = "Request", "Notification"
_UNIONS: Final = frozenset(
    f"{sender}{kind}" for sender in ("Client", "Server") for kind in (_REQUEST, _NOTIFICATION)
)


class MethodShapes(Struct, frozen=True):
    """The definitions of one method in one revision.

    ``message``: that of the request or notification; ``result``: that of the result, empty for a notification.
    ``senders``: who sends it, as far as the schema says it; nobody does where it only stands inside other messages.
    """

    method: str
    message: str
    result: str = ""
    senders: tuple[Literal["client", "server"], ...] = ()


def published_schema(revision: str) -> dict[str, Any]:
    """The JSON schema of a revision as it was published, a copy. Raises LookupError for one that is not known."""
    if revision not in REVISIONS:
        raise LookupError(f"there is no revision {revision!r}; known are {', '.join(REVISIONS)}")
    return _read(revision)


def definition_names(revision: str) -> tuple[str, ...]:
    """The names of all definitions of a revision, those of the tasks extension too. Raises LookupError."""
    return tuple(_definitions(revision))


def definition_schema(revision: str, definition: str, *, member: str = "") -> dict[str, Any]:
    """One definition of a revision as a JSON schema that stands alone (2020-12), a copy.

    ``member``: only this member of it, such as ``params``; where the definition says nothing of it, the schema takes
    anything. What the published schema is known to get wrong is mended. Members that it does not name are let pass,
    as the specification wants it. Raises LookupError for a revision or a definition that is not known.
    """
    known = _definitions(revision)
    if definition not in known:
        raise LookupError(f"{revision} has no definition {definition!r}")
    body: dict[str, Any] = {"$ref": _REFERENCE + definition}
    if member:
        body = dict(known[definition].get("properties", {}).get(member, {}))
    reached: Definitions = {}
    waiting = set(_references(body))
    while waiting:
        name = waiting.pop()
        reached[name] = known[name]
        waiting |= set(_references(known[name])) - reached.keys()
    return copy.deepcopy({"$schema": _DIALECT, **body, "$defs": reached})


def method_shapes(revision: str) -> dict[str, MethodShapes]:
    """The definitions of every method of a revision, by its name, a copy. Raises LookupError."""
    return dict(_methods(revision))


def _read(name: str) -> dict[str, Any]:
    return msgspec.json.decode((_FOLDER / f"{name}.json").read_bytes())


def _printed(name: str) -> Definitions:
    text = (_FOLDER / f"{name}.json").read_text("utf-8").replace("#/definitions/", _REFERENCE)
    document: dict[str, Any] = msgspec.json.decode(text)
    return cast("Definitions", document.get("$defs") or document["definitions"])


@cache
def _definitions(revision: str) -> Definitions:
    if revision not in REVISIONS:
        published_schema(revision)
    known = _printed(revision)
    if PROFILES[revision].stateless:
        for name, added in _printed(_EXTENSION).items():
            if name in known:  # a member more
                known[name]["properties"] |= added["properties"]
            else:
                known[name] = added
    mend(known)
    return known


@cache
def _methods(revision: str) -> Mapping[str, MethodShapes]:
    known = _definitions(revision)
    found: dict[str, MethodShapes] = {}
    for name, schema in known.items():
        method = schema.get("properties", {}).get("method", {}).get("const")
        if not isinstance(method, str) or name in _UNIONS:
            continue
        result = ""
        if name.endswith(_REQUEST):
            named = name.removesuffix(_REQUEST) + "Result"
            result = named if named in known else _EMPTY if _EMPTY in known else _PLAIN_RESULT
        found[method] = MethodShapes(method, name, result, tuple(_senders(known, revision, name)))
    return found


def _senders(known: Definitions, revision: str, definition: str) -> Iterator[Literal["client", "server"]]:
    kind = _REQUEST if definition.endswith(_REQUEST) else _NOTIFICATION
    for sender in ("client", "server"):
        union = known.get(f"{sender.title()}{kind}", {})
        branches = {each.get("$ref") for each in union.get("anyOf", ())}
        # A union of one is that one, written out.
        alone = (
            "properties" in union
            and union["properties"]["method"] == known[definition]["properties"]["method"]
        )
        if alone or _REFERENCE + definition in branches:
            yield sender
    if PROFILES[revision].stateless and definition in _printed(_EXTENSION):
        yield "client" if kind == _REQUEST else "server"


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in cast("dict[str, Any]", schema).items():
            if name == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in cast("list[Any]", schema):
            yield from _references(value)
