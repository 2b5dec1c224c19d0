"""Which definition holds for which message.

One row per method: its definition, who may send it, the revisions that have it, and the exact
definition of its result. The rows are written by hand from the `RequestSender` and `Notifications`
sections of each revision's schema page; `test_oracle` proves them against the unions that the
schemas publish (`ClientRequest`, `ServerNotification` ...), so neither can drift alone.

Follows: schema.mdx of each revision; server/utilities, client/ and basic/ for who sends what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Role = Literal["client", "server"]
Kind = Literal["request", "notification"]

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
STATEFUL: Final = REVISIONS[:-1]
STATELESS: Final = REVISIONS[-1:]
BATCHING: Final = "2025-03-26"
META_REVISION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"

INPUT_REQUIRED: Final = "InputRequiredResult"
CREATE_TASK: Final = "CreateTaskResult"


@dataclass(frozen=True)
class Method:
    """A method as one row of the table; `first` and `last` are the revisions that bound its life."""

    name: str
    definition: str
    sender: Literal["client", "server", "both"]
    result: str | None = None
    first: str = REVISIONS[0]
    last: str = REVISIONS[-1]

    @property
    def kind(self) -> Kind:
        return "notification" if self.result is None else "request"

    def lives_in(self, revision: str) -> bool:
        return self.first <= revision <= self.last

    def sent_by(self, sender: Role) -> bool:
        return self.sender in (sender, "both")


_2025_06: Final = "2025-06-18"
_2025_11: Final = "2025-11-25"
_2026: Final = "2026-07-28"

METHODS: Final = (
    # requests of clients
    Method("initialize", "InitializeRequest", "client", "InitializeResult", last=_2025_11),
    Method("server/discover", "DiscoverRequest", "client", "DiscoverResult", first=_2026),
    Method("tools/list", "ListToolsRequest", "client", "ListToolsResult"),
    Method("tools/call", "CallToolRequest", "client", "CallToolResult"),
    Method("resources/list", "ListResourcesRequest", "client", "ListResourcesResult"),
    Method(
        "resources/templates/list", "ListResourceTemplatesRequest", "client", "ListResourceTemplatesResult"
    ),
    Method("resources/read", "ReadResourceRequest", "client", "ReadResourceResult"),
    Method("resources/subscribe", "SubscribeRequest", "client", "EmptyResult", last=_2025_11),
    Method("resources/unsubscribe", "UnsubscribeRequest", "client", "EmptyResult", last=_2025_11),
    Method(
        "subscriptions/listen",
        "SubscriptionsListenRequest",
        "client",
        "SubscriptionsListenResult",
        first=_2026,
    ),
    Method("prompts/list", "ListPromptsRequest", "client", "ListPromptsResult"),
    Method("prompts/get", "GetPromptRequest", "client", "GetPromptResult"),
    Method("completion/complete", "CompleteRequest", "client", "CompleteResult"),
    Method("logging/setLevel", "SetLevelRequest", "client", "EmptyResult", last=_2025_11),
    # requests of servers; in 2026-07-28 these travel inside InputRequiredResult, never on their own
    Method("sampling/createMessage", "CreateMessageRequest", "server", "CreateMessageResult", last=_2025_11),
    Method("roots/list", "ListRootsRequest", "server", "ListRootsResult", last=_2025_11),
    Method("elicitation/create", "ElicitRequest", "server", "ElicitResult", first=_2025_06, last=_2025_11),
    # requests of either side
    Method("ping", "PingRequest", "both", "EmptyResult", last=_2025_11),
    Method("tasks/get", "GetTaskRequest", "both", "GetTaskResult", first=_2025_11, last=_2025_11),
    Method(
        "tasks/result",
        "GetTaskPayloadRequest",
        "both",
        "GetTaskPayloadResult",
        first=_2025_11,
        last=_2025_11,
    ),
    Method("tasks/list", "ListTasksRequest", "both", "ListTasksResult", first=_2025_11, last=_2025_11),
    Method("tasks/cancel", "CancelTaskRequest", "both", "CancelTaskResult", first=_2025_11, last=_2025_11),
    # notifications
    Method("notifications/initialized", "InitializedNotification", "client", last=_2025_11),
    Method("notifications/cancelled", "CancelledNotification", "both"),
    Method("notifications/progress", "ProgressNotification", "both", last=_2025_11),
    Method("notifications/progress", "ProgressNotification", "server", first=_2026),
    Method("notifications/message", "LoggingMessageNotification", "server"),
    Method("notifications/tools/list_changed", "ToolListChangedNotification", "server"),
    Method("notifications/prompts/list_changed", "PromptListChangedNotification", "server"),
    Method("notifications/resources/list_changed", "ResourceListChangedNotification", "server"),
    Method("notifications/resources/updated", "ResourceUpdatedNotification", "server"),
    Method("notifications/roots/list_changed", "RootsListChangedNotification", "client", last=_2025_11),
    Method(
        "notifications/elicitation/complete",
        "ElicitationCompleteNotification",
        "server",
        first=_2025_11,
        last=_2025_11,
    ),
    Method("notifications/tasks/status", "TaskStatusNotification", "both", first=_2025_11, last=_2025_11),
    Method(
        "notifications/subscriptions/acknowledged",
        "SubscriptionsAcknowledgedNotification",
        "server",
        first=_2026,
    ),
)

TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"

EXTENSION_METHODS: Final = (
    Method("tasks/get", "GetTaskRequest", "client", "GetTaskResult", first=_2026),
    Method("tasks/update", "UpdateTaskRequest", "client", "UpdateTaskResult", first=_2026),
    Method("tasks/cancel", "CancelTaskRequest", "client", "CancelTaskResult", first=_2026),
    Method("notifications/tasks", "TaskStatusNotification", "server", first=_2026),
)
"""What the tasks extension adds: its specification/draft/tasks.md, and schemas/tasks-extension.json for the shapes."""

MULTI_ROUND_TRIP: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods of 2026-07-28 that may answer with InputRequiredResult (basic/patterns/mrtr.mdx)."""

TASK_AUGMENTED: Final = frozenset({"tools/call", "sampling/createMessage", "elicitation/create"})
"""Methods of 2025-11-25 whose `task` parameter asks for CreateTaskResult (basic/utilities/tasks.mdx)."""

TASK_ANSWERED: Final = frozenset({"tools/call"})
"""Methods of 2026-07-28 that may be answered with CreateTaskResult, to a client that declared the extension with its
request (the extension, Supported Methods)."""

TASK_PAYLOADS: Final[Mapping[Role, tuple[str, ...]]] = {
    "client": ("CallToolResult",),
    "server": ("CreateMessageResult", "ElicitResult"),
}
"""What `tasks/result` gives, by who asks: the result of the request that made the task. The schema's
GetTaskPayloadResult is open only because it stands for all three (basic/utilities/tasks.mdx)."""

ERROR_ENVELOPES: Final[Mapping[str, str]] = {
    "2024-11-05": "JSONRPCError",
    "2025-03-26": "JSONRPCError",
    "2025-06-18": "JSONRPCError",
    "2025-11-25": "JSONRPCErrorResponse",
    "2026-07-28": "JSONRPCErrorResponse",
}

REFUSED_WITHOUT_ID: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18"})
"""Revisions whose error schema demands an id, though an HTTP status of refusal may come with "a JSON-RPC error
response that has no id" (2025-03-26 and 2025-06-18 basic/transports.mdx, Sending Messages to the Server)."""

RESULT_ENVELOPES: Final[Mapping[str, str]] = {
    "2024-11-05": "JSONRPCResponse",
    "2025-03-26": "JSONRPCResponse",
    "2025-06-18": "JSONRPCResponse",
    "2025-11-25": "JSONRPCResultResponse",
    "2026-07-28": "JSONRPCResultResponse",
}

ERRORS_BY_CODE: Final[Mapping[str, Mapping[int, str]]] = {
    "2025-11-25": {-32042: "URLElicitationRequiredError"},
    "2026-07-28": {
        -32700: "ParseError",
        -32600: "InvalidRequestError",
        -32601: "MethodNotFoundError",
        -32602: "InvalidParamsError",
        -32603: "InternalError",
        -32020: "HeaderMismatchError",
        -32021: "MissingRequiredClientCapabilityError",
        -32022: "UnsupportedProtocolVersionError",
    },
}

FORBIDDEN_CODES: Final[Mapping[str, Mapping[int, str]]] = {
    "2026-07-28": {
        -32002: "basic/index.mdx, Error Codes: a missing resource is -32602 here",
        -32042: "basic/index.mdx, Error Codes: retired; a URL elicitation is an InputRequiredResult here",
    },
}
"""Codes that a revision bars its senders from emitting, with the page."""

RESERVED_CODES: Final[Mapping[str, range]] = {"2026-07-28": range(-32099, -32019)}
"""Codes only the specification may assign (basic/index.mdx, Error Codes)."""


def find(revision: str, name: object, sender: Role, kind: Kind) -> Method | None:
    """The row of a method in a revision, or None if `sender` has no such message there."""
    for method in (*METHODS, *EXTENSION_METHODS):
        if (
            method.name == name
            and method.kind == kind
            and method.lives_in(revision)
            and method.sent_by(sender)
        ):
            return method
    return None


def result_definitions(revision: str, name: object, asker: Role, params: object) -> tuple[str, ...]:
    """The definitions one of which the result of this request must meet; empty if it has no legal result.

    `params` are the request's: a `task` member in 2025-11-25 admits CreateTaskResult, and so does since 2026-07-28 what
    their `_meta` declares. The choice between several is made by `choose_result`.
    """
    method = find(revision, name, asker, "request")
    if method is None or method.result is None:
        return ()
    if method.definition == "GetTaskPayloadRequest":
        return TASK_PAYLOADS[asker]
    definitions = (method.result,)
    if revision in STATELESS and method.name in MULTI_ROUND_TRIP:
        definitions += (INPUT_REQUIRED,)
    if revision in STATELESS and method.name in TASK_ANSWERED and _declares_tasks(params):
        definitions += (CREATE_TASK,)
    if revision == _2025_11 and method.name in TASK_AUGMENTED and _has(params, "task"):
        definitions += (CREATE_TASK,)
    return definitions


def choose_result(definitions: tuple[str, ...], result: object) -> tuple[str, ...]:
    """Narrow the candidates by what the result itself says it is, so that a failure names one definition."""
    if INPUT_REQUIRED in definitions:
        kind = result.get("resultType") if isinstance(result, Mapping) else None
        said = {"input_required": INPUT_REQUIRED, "task": CREATE_TASK}.get(str(kind))
        if said in definitions:
            return (said,)
        return tuple(d for d in definitions if d not in (INPUT_REQUIRED, CREATE_TASK))
    if CREATE_TASK in definitions:
        return tuple(d for d in definitions if (d == CREATE_TASK) == _has(result, "task"))
    return definitions


def error_definition(revision: str, code: object) -> str:
    """The definition of an error response with this code, or the plain envelope of errors."""
    by_code = ERRORS_BY_CODE.get(revision, {})
    if isinstance(code, int) and not isinstance(code, bool) and code in by_code:
        return by_code[code]
    return ERROR_ENVELOPES[revision]


def code_fault(revision: str, code: object) -> str | None:
    """Why this revision bars its senders from this code, or None."""
    if not isinstance(code, int):
        return None
    if code in FORBIDDEN_CODES.get(revision, {}):
        return f"error code {code} is barred: {FORBIDDEN_CODES[revision][code]}"
    if code in RESERVED_CODES.get(revision, ()) and code not in ERRORS_BY_CODE[revision]:
        return f"error code {code} is reserved to the specification: basic/index.mdx, Error Codes"
    return None


def definitions_of(revision: str) -> frozenset[str]:
    """Every definition that a whole message of this revision can be counted under."""
    names: set[str] = {ERROR_ENVELOPES[revision], *ERRORS_BY_CODE.get(revision, {}).values()}
    for method in (*METHODS, *EXTENSION_METHODS):
        if not method.lives_in(revision):
            continue
        names.add(method.definition)
        if method.result is not None:
            for asker in ("client", "server"):
                if method.sent_by(asker):
                    names.update(result_definitions(revision, method.name, asker, _WITH_TASK))
    return frozenset(names)


_WITH_TASK: Final[Mapping[str, Any]] = {
    "task": {},
    "_meta": {META_CAPABILITIES: {"extensions": {TASKS_EXTENSION: {}}}},
}


def _declares_tasks(params: Any) -> bool:
    for member in ("_meta", META_CAPABILITIES, "extensions"):
        params = params.get(member) if isinstance(params, Mapping) else None
    return _has(params, TASKS_EXTENSION)


def _has(value: Any, member: str) -> bool:
    return isinstance(value, Mapping) and member in value
