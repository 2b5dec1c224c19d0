"""Elicitation, the client's part: forms are answered and the answers checked, addresses are vetted and approved.

An accepted form gets the suggested values of the fields left out and must then fit the requested schema: what the
person is asked and what the server gets agree. An address is only ever passed to the ``approve`` hook, whole; nothing
is fetched.
Specification: client/elicitation.
"""

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..protocol.errors import Declined, Dismissed, InternalError, InvalidParams
from ..protocol.schema import SchemaError, compile_schema, explain
from ..protocol.types import ElicitParams, ElicitResult
from .answers import Accept, Cancel, Decline, ElicitRequest, Visit
from .calling import call_handler
from .options import Options

MAX_URL: Final = 8192
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PRIMITIVE: Final = frozenset({"string", "number", "integer", "boolean"})


async def answer_elicitation(
    params: ElicitParams, options: Options, server: str, *, lists: bool = True
) -> ElicitResult:
    """The person's answer. ``lists``: whether it may hold choices of several, which came with 2025-11-25.

    Raises `InvalidParams` for a question that is not allowed, `InternalError` for a bad answer.
    """
    if params.mode == "url":
        return await _visit(params, options, server)
    if options.elicitation is None:
        raise InvalidParams("this client does not take elicitation in form mode")
    schema = params.requested_schema
    if schema is None:
        raise InvalidParams("a form needs a requestedSchema")
    check_form(schema)
    if not lists:
        schema = without_lists(schema)
    request = ElicitRequest(server=server, message=params.message, schema=schema)
    try:
        given = await call_handler(options.elicitation, request)
    except Declined:
        return ElicitResult(action="decline")
    except Dismissed:
        return ElicitResult(action="cancel")
    result = _result(given, schema)
    if not lists and any(isinstance(value, list) for value in (result.content or {}).values()):
        raise InternalError("the client's answer chooses several values, which the revision can't carry")
    return result


async def _visit(params: ElicitParams, options: Options, server: str) -> ElicitResult:
    if options.approve is None:
        raise InvalidParams("this client does not take elicitation in url mode")
    visit = Visit(
        server=server,
        message=params.message,
        url=params.url or "",
        host=check_address(params.url),
        elicitation_id=params.elicitation_id,
    )
    try:
        consent = await call_handler(options.approve, visit)
    except Declined:
        consent = False
    except Dismissed:
        consent = None
    if consent is True:
        return ElicitResult(action="accept")
    return ElicitResult(action="cancel" if consent is None else "decline")


def check_address(url: str | None) -> str:
    """The host of an address that a person may be sent to. Raises `InvalidParams` for any other.

    Only https, and http on the machine itself; no user name, no control characters or spaces.
    """
    if not url or len(url) > MAX_URL:
        raise InvalidParams(f"an address has 1 to {MAX_URL} characters")
    if any(character <= " " or character == "\\" or not character.isprintable() for character in url):
        raise InvalidParams("the address holds spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not url.isascii() else "ascii").decode("ascii")
        _ = parts.port
    except ValueError:
        raise InvalidParams("the address is not a URL") from None
    if not host or "@" in parts.netloc:
        raise InvalidParams("the address must name a host and no user")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise InvalidParams("only https addresses may be visited (http only on this machine)")
    return host


def check_form(schema: dict[str, Any]) -> None:
    """Raise `InvalidParams` unless a form is what the specification allows: a flat object of simple fields."""
    fields = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(fields, dict):
        raise InvalidParams("a requestedSchema is an object schema with properties")
    for name, field in cast("dict[str, Any]", fields).items():
        kind = cast("dict[str, Any]", field).get("type") if isinstance(field, dict) else None
        if kind == "array" and _is_choice(cast("dict[str, Any]", field)):
            continue
        if kind not in _PRIMITIVE:
            raise InvalidParams(
                f"the field {name[:64]!r} of the form is neither text, number, boolean nor a choice"
            )
    try:
        compile_schema(schema)
    except SchemaError as problem:
        raise InvalidParams(f"the requestedSchema can't be used: {problem}") from None


def without_lists(schema: dict[str, Any]) -> dict[str, Any]:
    """A form without its choices of several values, for revisions whose answers can't hold them.

    Some servers ask for them in any revision. Raises `InvalidParams` if the form can't do without one.
    """
    fields = cast("dict[str, dict[str, Any]]", schema["properties"])
    kept = {name: field for name, field in fields.items() if field.get("type") != "array"}
    needed = fields.keys() & set(cast("list[str]", schema.get("required") or ())) - kept.keys()
    if needed:
        raise InvalidParams(
            f"the field {min(needed)[:64]!r} chooses several values, which this revision has not"
        )
    return {**schema, "properties": kept}


def _is_choice(field: dict[str, Any]) -> bool:
    items = field.get("items")
    if not isinstance(items, dict):
        return False
    members = cast("dict[str, Any]", items)
    return isinstance(members.get("enum"), list) or isinstance(members.get("anyOf"), list)


def _result(given: Any, schema: dict[str, Any]) -> ElicitResult:
    if isinstance(given, ElicitResult):
        if given.action != "accept":
            return given
        given = Accept(given.content or {})
    if given is None or isinstance(given, Cancel):
        return ElicitResult(action="cancel")
    if isinstance(given, Decline):
        return ElicitResult(action="decline")
    if isinstance(given, Accept):
        given = given.content
    fields = cast("dict[str, dict[str, Any]]", schema["properties"])
    if not isinstance(given, Mapping):
        if len(fields) != 1:
            raise InternalError("the client's answer does not say which field of the form it belongs to")
        given = {next(iter(fields)): given}
    content = dict(cast("Mapping[str, Any]", given))
    for name, field in fields.items():
        if name not in content and "default" in field:
            content[name] = field["default"]
    violations = compile_schema(schema).check(content)
    if violations:
        raise InternalError(f"the client's answer does not fit the form: {explain(violations)}")
    return ElicitResult(action="accept", content=content)
