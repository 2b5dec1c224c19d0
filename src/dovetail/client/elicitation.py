"""Elicitation, the client's part: forms are answered and the answers checked, addresses are vetted and approved.

An accepted form gets the suggested values of the fields left out and must then fit the requested schema: what the
person is asked and what the server gets agree. A null says that the person left an optional field empty: no answer
carries it, and no suggestion takes its place. An address is only ever passed to the ``approve`` hook, whole; nothing is
fetched.
Specification: client/elicitation.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from ..protocol.errors import Declined, Dismissed, InternalError, InvalidParams
from ..protocol.schema.validator import compile_schema, explain
from ..protocol.types import ElicitParams, ElicitResult
from ..protocol.uris import visit_host
from .answers import Accept, CallInfo, Cancel, Decline, ElicitRequest, Visit
from .calling import call_handler
from .form_fields import misformed, plain_form
from .options import Options
from .round_visits import RoundVisits


async def answer_elicitation(
    params: ElicitParams,
    options: Options,
    server: str,
    *,
    lists: bool = True,
    call: CallInfo | None = None,
    visits: RoundVisits | None = None,
) -> ElicitResult:
    """The person's answer. ``lists``: whether it may hold choices of several, which came with 2025-11-25. ``call``:
    who asks, if that is known. ``visits``: those of the call, if it waits for them.

    Raises `InvalidParams` for a question that is not allowed, `InternalError` for a bad answer.
    """
    if params.mode == "url":
        url = params.url or ""
        if visits is not None:
            visits.ask(url, params.elicitation_id)
        consent = await ask_visit(params, options, server, call=call, call_waits=visits is not None)
        if visits is not None and consent:
            visits.agree(url, done=consent == "done")
        return ElicitResult(action="cancel" if consent is None else "accept" if consent else "decline")
    if options.elicitation is None:
        raise InvalidParams("this client does not take elicitation in form mode")
    schema = params.requested_schema
    if schema is None:
        raise InvalidParams("a form needs a requestedSchema")
    schema = plain_form(schema)
    if not lists:
        schema = without_lists(schema)
    request = ElicitRequest(server=server, message=params.message, schema=schema, call=call)
    try:
        given = await call_handler(options.elicitation, request, call=call)
    except Declined:
        return ElicitResult(action="decline")
    except Dismissed:
        return ElicitResult(action="cancel")
    result = _result(given, schema)
    if not lists and any(isinstance(value, list) for value in (result.content or {}).values()):
        raise InternalError("the client's answer chooses several values, which the revision can't carry")
    return result


async def ask_visit(
    params: ElicitParams,
    options: Options,
    server: str,
    *,
    call: CallInfo | None = None,
    call_waits: bool = False,
) -> bool | Literal["done"] | None:
    """Whether the person agreed to visit an address, or has done so; None if the question was closed.

    Raises `InvalidParams` for an address that nobody is sent to.
    """
    if options.approve is None:
        raise InvalidParams("this client does not take elicitation in url mode")
    visit = Visit(
        server=server,
        message=params.message,
        url=params.url or "",
        host=check_address(params.url),
        elicitation_id=params.elicitation_id,
        call=call,
        call_waits=call_waits,
    )
    try:
        consent = await call_handler(options.approve, visit, call=call)
    except Declined:
        return False
    except Dismissed:
        return None
    return "done" if consent == "done" else None if consent is None else consent is True


def check_address(url: str | None) -> str:
    """The host of an address that a person may be sent to. Raises `InvalidParams` for any other."""
    try:
        return visit_host(url or "")
    except ValueError as problem:
        raise InvalidParams(f"the person can't be sent to the address: {problem}") from None


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
            named = ", ".join(f"{name[:64]!r}" for name in list(fields)[:8])
            raise InternalError(
                "the client's answer does not say which field of the form it belongs to: its handler has to give a "
                f"dict with {named or 'nothing in it'}"
            )
        given = {next(iter(fields)): given}
    filled = cast("Mapping[str, Any]", given)
    content = {name: value for name, value in filled.items() if value is not None}
    required = cast("list[str]", schema.get("required") or ())
    for name, field in fields.items():
        emptied = name in filled and name not in required
        if name not in content and "default" in field and not emptied:
            content[name] = field["default"]
    violations = compile_schema(schema).check(content)
    if violations:
        raise InternalError(f"the client's answer does not fit the form: {explain(violations)}")
    for name, field in fields.items():
        if (problem := misformed(field, content.get(name))) is not None:
            raise InternalError(f"the client's answer does not fit the form: {name}: {problem}")
    return ElicitResult(action="accept", content=content)
