"""Valid messages of every definition in every revision, written by hand to prove the oracle.

`corpus(revision)` maps each definition that a whole message can be counted under to messages of it.
They use as many members as the revision has, and none it lacks.

Follows: schema.mdx of each revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oracle.definitions import EXTENSION_METHODS, METHODS, REVISIONS, STATELESS

Message = dict[str, Any]

STATELESS_META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "corpus", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    "io.modelcontextprotocol/logLevel": "info",
    "progressToken": "p1",
}
FORM: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 1, "format": "email"},
        "age": {"type": "number", "minimum": 0.5},
        "sure": {"type": "boolean", "default": False},
    },
    "required": ["name"],
}


class _Values:
    """Parts of messages as one revision has them."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.audio = revision >= "2025-03-26"
        self.titles = revision >= "2025-06-18"
        self.icons = revision >= "2025-11-25"
        self.stateless = revision in STATELESS

    def named(self, name: str) -> Message:
        value: Message = {"name": name}
        if self.titles:
            value |= {"title": name.title(), "_meta": {"acme.example/x": 1}}
        if self.icons:
            icon = {"src": "https://example.com/i.png", "mimeType": "image/png", "sizes": ["48x48"]}
            value["icons"] = [{**icon, "theme": "dark"}]
        return value

    def annotations(self) -> Message:
        value: Message = {"audience": ["user", "assistant"], "priority": 0.5}
        return value | ({"lastModified": "2025-01-12T15:00:58Z"} if self.titles else {})

    def implementation(self) -> Message:
        value: Message = {"name": "corpus", "version": "1.0"}
        if self.titles:
            value["title"] = "Corpus"
        if self.icons:
            value |= {"description": "samples", "websiteUrl": "https://example.com/"}
        return value

    def resource(self) -> Message:
        described = {"uri": "notes://a", "mimeType": "text/plain", "description": "a note", "size": 3}
        return {**self.named("a"), **described, "annotations": self.annotations()}

    def contents(self) -> list[Message]:
        text = {"uri": "notes://a", "text": "hi", "mimeType": "text/plain"}
        blob = {"uri": "notes://b", "blob": "aGk="}
        return [text, {**blob, "_meta": {"x": 1}} if self.titles else blob]

    def blocks(self) -> list[Message]:
        values: list[Message] = [
            {"type": "text", "text": "hi", "annotations": self.annotations()},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            {"type": "resource", "resource": self.contents()[0]},
            {"type": "resource", "resource": self.contents()[1]},
        ]
        if self.audio:
            values.append({"type": "audio", "data": "aGk=", "mimeType": "audio/wav"})
        if self.titles:
            values.append({**self.resource(), "type": "resource_link"})
        return values

    def tool(self) -> Message:
        value: Message = {"name": "add", "description": "adds"}
        value["inputSchema"] = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
        if self.audio:
            value["annotations"] = {"title": "Add", "readOnlyHint": True, "destructiveHint": False}
        if self.titles:
            value |= self.named("add")
            value["outputSchema"] = {"type": "object", "properties": {"sum": {"type": "number"}}}
        if self.revision == "2025-11-25":
            value["execution"] = {"taskSupport": "optional"}
        return value

    def server_capabilities(self) -> Message:
        value: Message = {
            "experimental": {"acme.example/x": {"ratio": 1.5, "none": None}},
            "logging": {},
            "prompts": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "tools": {"listChanged": True},
        }
        if self.audio:
            value["completions"] = {}
        if self.revision == "2025-11-25":
            value["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        if self.stateless:
            value["extensions"] = {"acme.example/x": {"on": True}}
        return value

    def client_capabilities(self) -> Message:
        value: Message = {"experimental": {}, "roots": {} if self.stateless else {"listChanged": True}}
        value["sampling"] = {"context": {}, "tools": {}} if self.icons else {}
        if self.titles:
            value["elicitation"] = {"form": {}, "url": {}} if self.icons else {}
        return value

    def sampling_params(self) -> Message:
        value: Message = {
            "messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}],
            "modelPreferences": {"hints": [{"name": "small"}], "costPriority": 0.3},
            "systemPrompt": "be brief",
            "includeContext": "none",
            "temperature": 0.2,
            "maxTokens": 10,
            "stopSequences": ["."],
            "metadata": {"tier": "free", "ratio": 0.5},
        }
        if self.icons:
            use = {"type": "tool_use", "id": "u1", "name": "add", "input": {"a": 1}}
            outcome = {"type": "tool_result", "toolUseId": "u1", "content": self.blocks()}
            value["messages"] += [
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [{**outcome, "structuredContent": {"sum": 1}}]},
            ]
            value |= {"tools": [self.tool()], "toolChoice": {"mode": "auto"}}
        return value

    def sampling_result(self) -> Message:
        return {
            "role": "assistant",
            "content": {"type": "text", "text": "yes"},
            "model": "m",
            "stopReason": "endTurn",
        }

    def url_params(self) -> Message:
        value: Message = {"mode": "url", "message": "go", "url": "https://example.com/ask"}
        return value if self.stateless else {**value, "elicitationId": "e1"}

    def task(self) -> Message:
        times = {"createdAt": "2025-11-25T10:30:00Z", "lastUpdatedAt": "2025-11-25T10:40:00Z"}
        return {"taskId": "t1", "status": "working", "ttl": None, "pollInterval": 5000, **times}

    def detailed_tasks(self) -> list[Message]:
        """Tasks of the extension, one of each status."""
        times = {"createdAt": "2026-07-28T10:30:00Z", "lastUpdatedAt": "2026-07-28T10:40:00Z"}
        common: Message = {"taskId": "t1", "ttlMs": None, "pollIntervalMs": 5000, **times}
        asks = {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": FORM}}
        return [
            {**common, "status": "working", "statusMessage": "half"},
            {**common, "status": "input_required", "inputRequests": {"a": asks}},
            {
                **common,
                "status": "completed",
                "result": {"content": self.blocks(), "resultType": "complete"},
            },
            {**common, "status": "failed", "ttlMs": 60000, "error": {"code": -32603, "message": "m"}},
            {**common, "status": "cancelled"},
        ]


def _params(v: _Values) -> Mapping[str, list[Message | None]]:
    """Parameters by method; None stands for a message without any."""
    reference = [{"type": "ref/resource", "uri": "notes://{name}"}, {"type": "ref/prompt", "name": "review"}]
    completes: list[Message | None] = [{"ref": r, "argument": {"name": "n", "value": "v"}} for r in reference]
    if v.titles:
        context = {"context": {"arguments": {"lang": "en"}}}
        completes.append({**(completes[0] or {}), **context})
    asks: list[Message | None] = [{"message": "who?", "requestedSchema": FORM}]
    calls: list[Message | None] = [{"name": "add", "arguments": {"a": 1.5, "b": [None]}}, {"name": "now"}]
    if v.icons:
        asks += [{"mode": "form", "message": "who?", "requestedSchema": FORM}, v.url_params()]
    if v.revision == "2025-11-25":
        calls.append({"name": "slow", "task": {"ttl": 60000}})
    if v.stateless:
        answers = {
            "a": {"action": "accept", "content": {"x": 1.5}},
            "b": v.sampling_result(),
            "c": {"roots": []},
        }
        calls.append({"name": "book", "inputResponses": answers, "requestState": "sealed"})
    progress: Message = {"progressToken": "p1", "progress": 0.5, "total": 1}
    who = {"capabilities": v.client_capabilities(), "clientInfo": v.implementation()}
    page: list[Message | None] = [{"cursor": "next"}, {}] + ([] if v.stateless else [None])
    return {
        "initialize": [{"protocolVersion": v.revision, **who}],
        "tools/list": page,
        "resources/list": page,
        "resources/templates/list": page,
        "prompts/list": page,
        "tasks/list": page,
        "server/discover": [{}],
        "tools/call": calls,
        "resources/read": [{"uri": "notes://a"}],
        "resources/subscribe": [{"uri": "notes://a"}],
        "resources/unsubscribe": [{"uri": "notes://a"}],
        "subscriptions/listen": [
            {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}}
        ],
        "prompts/get": [{"name": "review", "arguments": {"code": "x"}}],
        "completion/complete": completes,
        "logging/setLevel": [{"level": "debug"}],
        "sampling/createMessage": [v.sampling_params()],
        "elicitation/create": asks,
        "tasks/get": [{"taskId": "t1"}],
        "tasks/result": [{"taskId": "t1"}],
        "tasks/cancel": [{"taskId": "t1"}],
        "tasks/update": [{"taskId": "t1", "inputResponses": {"a": {"action": "cancel"}}}],
        "notifications/tasks": list(v.detailed_tasks()),
        "notifications/cancelled": [{"requestId": 1, "reason": "late"}, {"requestId": "a"}],
        "notifications/progress": [{**progress, "message": "half"} if v.audio else progress],
        "notifications/message": [
            {"level": "info", "logger": "l", "data": value} for value in ("x", None, {"a": 1})
        ],
        "notifications/resources/updated": [{"uri": "notes://a"}],
        "notifications/elicitation/complete": [{"elicitationId": "e1"}],
        "notifications/tasks/status": [v.task()],
        "notifications/subscriptions/acknowledged": [{"notifications": {"toolsListChanged": True}}],
    }


def _results(v: _Values) -> Mapping[str, list[Message]]:
    """Results by definition, without the members that every result of the stateless era has."""
    cached = {"ttlMs": 0, "cacheScope": "private"} if v.stateless else {}
    prompt = {
        **v.named("review"),
        "description": "reviews",
        "arguments": [{"name": "code", "required": True}],
    }
    template = {
        **v.named("note"),
        "uriTemplate": "notes://{name}",
        "description": "d",
        "mimeType": "text/plain",
    }
    called: Message = {"content": v.blocks(), "isError": False}
    called_all = [{"content": []}, {**called, "structuredContent": {"sum": 3}} if v.titles else called]
    if v.stateless:
        called_all += [{"content": [], "structuredContent": value} for value in ([1, 2], None, 1.5)]
    who = {"capabilities": v.server_capabilities(), "instructions": "read me"}
    asks = {
        "a": {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": FORM}},
        "b": {"method": "sampling/createMessage", "params": v.sampling_params()},
        "c": {"method": "roots/list"},
        "d": {"method": "elicitation/create", "params": v.url_params()},
    }
    answers: list[Message] = [
        {"action": "accept", "content": {"s": "x", "n": 1.5, "b": True}},
        {"action": "cancel"},
    ]
    if v.icons:
        answers.append({"action": "accept", "content": {"several": ["x", "y"]}})
    return {
        "EmptyResult": [{}],
        "InitializeResult": [{"protocolVersion": v.revision, "serverInfo": v.implementation(), **who}],
        "DiscoverResult": [{"supportedVersions": [v.revision], **who, **cached}],
        "ListToolsResult": [{"tools": [v.tool()], "nextCursor": "n", **cached}, {"tools": [], **cached}],
        "CallToolResult": called_all,
        "ListResourcesResult": [{"resources": [v.resource()], **cached}],
        "ListResourceTemplatesResult": [{"resourceTemplates": [template], **cached}],
        "ReadResourceResult": [{"contents": v.contents(), **cached}],
        "SubscriptionsListenResult": [{"_meta": {"io.modelcontextprotocol/subscriptionId": 1}}],
        "ListPromptsResult": [{"prompts": [prompt], **cached}],
        "GetPromptResult": [
            {"description": "d", "messages": [{"role": "user", "content": block} for block in v.blocks()]}
        ],
        "CompleteResult": [{"completion": {"values": ["a"], "total": 1, "hasMore": False}}],
        "CreateMessageResult": [v.sampling_result()],
        "ListRootsResult": [{"roots": [{"uri": "file:///tmp/a", "name": "a"}]}],
        "ElicitResult": answers,
        "GetTaskResult": v.detailed_tasks() if v.stateless else [v.task()],
        "CancelTaskResult": [{} if v.stateless else v.task()],
        "UpdateTaskResult": [{}],
        "ListTasksResult": [{"tasks": [v.task()], "nextCursor": "n"}],
        "CreateTaskResult": [v.detailed_tasks()[0] if v.stateless else {"task": v.task()}],
        "InputRequiredResult": [
            {"inputRequests": asks, "requestState": "sealed"},
            {"requestState": "sealed"},
        ],
    }


def _errors(v: _Values) -> Mapping[str, list[Message]]:
    plain: Message = {"code": -32601, "message": "no such method", "data": {"method": "x", "any": [1.5]}}
    versions = {"supported": ["2026-07-28"], "requested": "1900-01-01", "more": 1}
    capabilities = {"requiredCapabilities": {"elicitation": {"form": {}}}}
    return {
        "JSONRPCError": [plain, {"code": 1, "message": "m"}],
        "JSONRPCErrorResponse": [{"code": 1, "message": "m", "data": None}],
        "URLElicitationRequiredError": [
            {"code": -32042, "message": "open it", "data": {"elicitations": [v.url_params()], "more": 1}}
        ],
        "ParseError": [{"code": -32700, "message": "m"}],
        "InvalidRequestError": [{"code": -32600, "message": "m"}],
        "MethodNotFoundError": [{"code": -32601, "message": "m", "data": 1}],
        "InvalidParamsError": [{"code": -32602, "message": "m"}],
        "InternalError": [{"code": -32603, "message": "m"}],
        "HeaderMismatchError": [{"code": -32020, "message": "m"}],
        "MissingRequiredClientCapabilityError": [{"code": -32021, "message": "m", "data": capabilities}],
        "UnsupportedProtocolVersionError": [{"code": -32022, "message": "m", "data": versions}],
    }


def corpus(revision: str) -> dict[str, list[Message]]:
    """Messages of every definition of a revision, by definition; a fresh copy each time."""
    assert revision in REVISIONS
    v = _Values(revision)
    messages: dict[str, list[Message]] = {}
    for method in (*METHODS, *EXTENSION_METHODS):
        if not method.lives_in(revision):
            continue
        for given in _params(v).get(method.name, [{"_meta": {"x": 1}}]):
            params = given
            message: Message = {"jsonrpc": "2.0", "method": method.name}
            if method.kind == "request":
                message["id"] = 1
                if v.stateless:
                    params = {"_meta": STATELESS_META, **(given or {})}
            if params is not None:
                message["params"] = params
            messages.setdefault(method.definition, []).append(message)
    for definition, results in _results(v).items():
        for result in results:
            if v.stateless:
                kinds = {"InputRequiredResult": "input_required", "CreateTaskResult": "task"}
                result["resultType"] = kinds.get(definition, "complete")
            messages.setdefault(definition, []).append({"jsonrpc": "2.0", "id": "a", "result": result})
    for definition, errors in _errors(v).items():
        for error in errors:
            messages.setdefault(definition, []).append({"jsonrpc": "2.0", "id": 1, "error": error})
    return messages
