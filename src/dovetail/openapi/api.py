"""An API that a document describes, ready to be called: what is offered of it, and how a call goes.

Theory of operation. Everything about an operation is worked out once, when the document is read: its name, its schemas,
where each argument goes, where it is sent. Schemas are compiled when they are first needed, since most of a large API
is never called. A call then checks its arguments, writes the request, sends it to the one server, and reads the answer.

Specification: server/tools; OpenAPI 3.0.4 and 3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin

import msgspec

from dovetail.errors import FetchFailed, FetchRefused, SchemaError, ToolError
from dovetail.extensions import Principal
from dovetail.logs import get_logger
from dovetail.security import Fetched, Fetcher, parse_url
from dovetail.types import (
    CallToolResult,
    TextContent,
    Tool,
    ToolAnnotations,
    Validator,
    compile_schema,
    explain,
)

from .credentials import APICredentials
from .documents import Document, refusal_text
from .errors import DocumentInvalid
from .operations import APIOperation, LeftOut, operations_of
from .plain import is_mapping, mapping
from .plans import CallPlan, plan_of
from .requests import APIRequest, outgoing
from .responses import Output, output_of, result_of
from .rules import Becomes, RouteRule, decided
from .schemas import Schemas
from .servers import server_of
from .tool_names import name_operations

__all__ = ["API", "OfferedOperation", "DocumentOptions"]

log = get_logger("dovetail.openapi")

MAX_REDIRECTS: Final = 3
_DESCRIPTION: Final = 2000
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")
_IDEMPOTENT: Final = (*_SAFE, "PUT", "DELETE")


class DocumentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a document is taken; see `dovetail.openapi.OpenAPIProvider`."""

    server: str | None = None
    variables: Mapping[str, str] = {}
    rules: tuple[RouteRule, ...] = ()
    names: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    max_schema: int = 16 * 1024
    output_schemas: bool = True


class OfferedOperation(msgspec.Struct, frozen=True):
    """One operation that is offered. ``server``: the URL that its path is put after."""

    name: str
    operation: APIOperation
    becomes: Becomes
    plan: CallPlan
    output: Output | None
    server: str
    tool: Tool


class API:
    """What a document offers, and the way to it. ``left_out``: the operations that are not offered, and why."""

    def __init__(
        self, document: Document, reading: DocumentOptions, credentials: APICredentials, fetcher: Fetcher
    ) -> None:
        """Raises `DocumentInvalid` where nothing of it can be offered, and ValueError for what can't be said of it."""
        self.document = document
        self.left_out: list[LeftOut]
        self.offered: list[OfferedOperation] = []
        self._reading = reading
        self._credentials = credentials
        self._fetcher = fetcher
        self._validators: dict[int, Validator | None] = {}
        operations, self.left_out = operations_of(document)
        chosen: list[tuple[APIOperation, Becomes]] = [
            (each, decided(each, reading.rules)) for each in operations
        ]
        shown = [each for each in chosen if each[1] != "hidden"]
        names = name_operations((operation for operation, _ in shown), reading.names)
        sent, received = Schemas(document, "sent"), Schemas(document, "received")
        for name, (operation, becomes) in zip(names, shown, strict=True):
            try:
                self.offered.append(self._offer(name, operation, becomes, sent, received))
            except DocumentInvalid as problem:
                self.left_out.append(LeftOut(operation.label, str(problem)))
        if not self.offered and self.left_out:
            first = self.left_out[0]
            raise DocumentInvalid(
                f"none of the {len(self.left_out)} operations of {document.title!r} can be offered; the first,"
                f" {first.operation}: {first.reason}"
            )
        self._tell()

    def _tell(self) -> None:
        """Log what the author may want to know of the document."""
        if self.left_out:
            told = "; ".join(f"{each.operation}: {each.reason}" for each in self.left_out[:5])
            log.warning("%d operations of %r are left out: %s", len(self.left_out), self.document.title, told)
        lacking = sorted({name for each in self.offered for name in self._credentials.lacks(each.operation)})
        if lacking:
            log.warning(
                "%r wants credentials that it is not given: %s (auth=)",
                self.document.title,
                ", ".join(lacking[:10]),
            )

    def _offer(
        self, name: str, operation: APIOperation, becomes: Becomes, sent: Schemas, received: Schemas
    ) -> OfferedOperation:
        """Raises `DocumentInvalid`."""
        reading = self._reading
        server = server_of(self.document, operation, server=reading.server, variables=reading.variables)
        plan = plan_of(
            operation, sent, without=self._credentials.parameters(operation), limit=reading.max_schema
        )
        output = output_of(operation, received, reading.max_schema) if reading.output_schemas else None
        tool = Tool(
            name=name,
            title=operation.summary or None,
            description=_description(operation),
            input_schema=plan.input_schema,
            output_schema=None if output is None else output.schema,
            annotations=_annotations(operation),
        )
        return OfferedOperation(name, operation, becomes, plan, output, server, tool)

    async def call(self, offered: OfferedOperation, arguments: Any, principal: Principal) -> CallToolResult:
        """Call an operation. What fails is a result as well, for the model; a cancellation ends the request."""
        try:
            answer = await self.answer(offered, self._checked(offered, arguments), principal)
        except ToolError as problem:
            return CallToolResult(content=[TextContent(text=str(problem))], is_error=True)
        check = None if offered.output is None else self._validator(offered.output.schema)
        return result_of(offered.operation, answer, offered.output, check)

    async def read(
        self, offered: OfferedOperation, arguments: dict[str, Any], principal: Principal
    ) -> Fetched:
        """What the API answers to a read of a resource, whose arguments are texts. Raises `ToolError`."""
        return await self.answer(offered, self._checked(offered, arguments), principal)

    async def answer(
        self, offered: OfferedOperation, arguments: Mapping[str, Any], principal: Principal
    ) -> Fetched:
        """What the API answers to arguments that fit. Raises `ToolError`."""
        operation = offered.operation
        credentials = await self._credentials.of_call(operation, principal)
        request = outgoing(offered.plan, arguments, offered.server, credentials)
        try:
            return await self._sent(request)
        except FetchRefused as problem:
            raise ToolError(f"{operation.label} was not sent: {refusal_text(problem)}") from None
        except FetchFailed as problem:
            known = (
                "it may be called again."
                if operation.method in _IDEMPOTENT
                else "whether it was carried out is not known: look before you call it again."
            )
            raise ToolError(
                f"{operation.label} got no answer that can be used ({problem}); {known}"
            ) from None

    def _checked(self, offered: OfferedOperation, arguments: Any) -> Mapping[str, Any]:
        """The arguments, texts that hold what is asked for taken as that. Raises `ToolError`."""
        validator = self._validator(offered.plan.input_schema)
        if not is_mapping(arguments):
            raise ToolError("the arguments are no object")
        given = arguments
        if validator is None:
            return given
        wrong = validator.check(given)
        if wrong:
            mended = _mended(given, offered.plan.input_schema)
            if mended == given or not validator.is_valid(mended):
                raise ToolError(f"the arguments do not fit:\n{explain(wrong)}")
            return mended
        return given

    def _validator(self, schema: dict[str, Any]) -> Validator | None:
        """What judges values by a schema; None for one that can't be compiled, so that the API itself has to judge."""
        key = id(schema)
        if key not in self._validators:
            try:
                self._validators[key] = compile_schema(schema)
            except SchemaError as problem:
                log.warning("a schema of %r can't be checked here: %s", self.document.title, problem)
                self._validators[key] = None
        return self._validators[key]

    async def _sent(self, request: APIRequest) -> Fetched:
        """Send it; what only reads follows redirects within its origin. Raises `FetchRefused` and `FetchFailed`."""
        headers = {
            **{key.lower(): value for key, value in self._reading.headers.items()},
            **_joined(request.headers),
        }
        url = request.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._fetcher.send(request.method, url, body=request.body, headers=headers)
            target = answer.headers.get("location", "")
            if (
                request.method not in ("GET", "HEAD")
                or answer.status not in (301, 302, 303, 307, 308)
                or not target
            ):
                return answer
            following = urljoin(url, target)
            try:
                if parse_url(following).origin != parse_url(url).origin:
                    return answer
            except FetchRefused:
                return answer
            url = following
        raise FetchFailed(f"it redirects more than {MAX_REDIRECTS} times")


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name: of two with one name, the later, which is the author's credential."""
    return dict(headers)


def _mended(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, texts that hold JSON of another kind read as that where no text is wanted: "5" as 5."""
    properties = mapping(schema.get("properties"))
    found = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, str) and mapping(properties.get(name)).get("type") != "string":
            try:
                found[name] = msgspec.json.decode(value)
            except (msgspec.DecodeError, RecursionError):
                continue
    return found


def _description(operation: APIOperation) -> str:
    """What a model reads of an operation."""
    said = [each.strip() for each in (operation.summary, operation.description) if each.strip()]
    # A summary that is the operation's name in other letters, as frameworks write it, adds nothing to a description.
    if len(said) == 2 and (
        said[1].startswith(said[0]) or _letters(operation.id).startswith(_letters(said[0]))
    ):
        del said[0]
    text = "\n\n".join([*(["Deprecated."] if operation.deprecated else []), *said]) or operation.label
    return text if len(text) <= _DESCRIPTION else f"{text[:_DESCRIPTION]}..."


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _annotations(operation: APIOperation) -> ToolAnnotations:
    """What a method means. Specification: RFC 9110, section 9.2."""
    method = operation.method
    if method in _SAFE:
        return ToolAnnotations(
            read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=True
        )
    return ToolAnnotations(
        read_only_hint=False,
        destructive_hint=method in ("DELETE", "PATCH", "PUT"),
        idempotent_hint=method in _IDEMPOTENT,
        open_world_hint=True,
    )
