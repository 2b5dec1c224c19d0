"""Revision 2024-11-05, the first: written out whole."""

from .. import names
from ..errors import HeaderMismatch, MissingCapability, ResourceNotFound, UnsupportedVersion
from ..types import (
    Annotations,
    AudioContent,
    CallToolParams,
    CallToolResult,
    CancelledNotice,
    ClientCapabilities,
    CompleteParams,
    CompleteResult,
    CreateMessageParams,
    CreateMessageResult,
    EmbeddedResource,
    GetPromptParams,
    GetPromptResult,
    ImageContent,
    Implementation,
    InitializedNotice,
    InitializeParams,
    InitializeResult,
    ListChangedNotice,
    ListPromptsParams,
    ListPromptsResult,
    ListResourcesParams,
    ListResourcesResult,
    ListResourceTemplatesParams,
    ListResourceTemplatesResult,
    ListRootsParams,
    ListRootsResult,
    ListToolsParams,
    ListToolsResult,
    MessageNotice,
    PingParams,
    ProgressNotice,
    Prompt,
    PromptArgument,
    PromptReference,
    ReadResourceParams,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceLink,
    ResourceTemplate,
    ResourceUpdatedNotice,
    Result,
    Root,
    SamplingCapability,
    SamplingMessage,
    ServerCapabilities,
    SetLevelParams,
    SubscribeParams,
    TextContent,
    Tool,
)
from .features import Feature
from .profile import Method, NoticeType, profile

_DISPLAY = frozenset({"title", "icons", "_meta"})
_RESULT = frozenset({"resultType"})
_CACHEABLE = frozenset({"resultType", "ttlMs", "cacheScope"})
_META = frozenset({"_meta"})

V2024_11_05 = profile(
    revision="2024-11-05",
    era="stateful",
    client_requests={
        method.name: method
        for method in (
            Method(
                names.INITIALIZE,
                InitializeParams,
                InitializeResult,
                ordered=True,
                early=True,
                repeatable=True,
            ),
            Method(names.PING, PingParams, Result, ordered=True, early=True, repeatable=True),
            Method(
                names.TOOLS_LIST,
                ListToolsParams,
                ListToolsResult,
                capability="tools",
                stale_by="tools",
                repeatable=True,
            ),
            Method(names.TOOLS_CALL, CallToolParams, CallToolResult, capability="tools", subject="name"),
            Method(
                names.RESOURCES_LIST,
                ListResourcesParams,
                ListResourcesResult,
                capability="resources",
                stale_by="resources",
                repeatable=True,
            ),
            Method(
                names.RESOURCES_TEMPLATES_LIST,
                ListResourceTemplatesParams,
                ListResourceTemplatesResult,
                capability="resources",
                stale_by="resources",
                repeatable=True,
            ),
            Method(
                names.RESOURCES_READ,
                ReadResourceParams,
                ReadResourceResult,
                capability="resources",
                subject="uri",
                stale_by="resource",
                repeatable=True,
            ),
            Method(
                names.RESOURCES_SUBSCRIBE,
                SubscribeParams,
                Result,
                capability="resources.subscribe",
                ordered=True,
                repeatable=True,
            ),
            Method(
                names.RESOURCES_UNSUBSCRIBE,
                SubscribeParams,
                Result,
                capability="resources",
                ordered=True,
                repeatable=True,
            ),
            Method(
                names.PROMPTS_LIST,
                ListPromptsParams,
                ListPromptsResult,
                capability="prompts",
                stale_by="prompts",
                repeatable=True,
            ),
            Method(
                names.PROMPTS_GET,
                GetPromptParams,
                GetPromptResult,
                capability="prompts",
                subject="name",
                repeatable=True,
            ),
            # The capability "completions" came with 2025-03-26: before, nothing says whether a server has it.
            Method(names.COMPLETION_COMPLETE, CompleteParams, CompleteResult, repeatable=True),
            Method(
                names.LOGGING_SET_LEVEL,
                SetLevelParams,
                Result,
                capability="logging",
                ordered=True,
                repeatable=True,
            ),
        )
    },
    server_requests={
        method.name: method
        for method in (
            Method(names.PING, PingParams, Result),
            Method(
                names.SAMPLING_CREATE_MESSAGE, CreateMessageParams, CreateMessageResult, capability="sampling"
            ),
            Method(names.ROOTS_LIST, ListRootsParams, ListRootsResult, capability="roots"),
        )
    },
    client_notices={
        notice.name: notice
        for notice in (
            NoticeType(names.NOTIFY_INITIALIZED, InitializedNotice, repeatable=True),
            NoticeType(names.NOTIFY_CANCELLED, CancelledNotice, repeatable=True),
            NoticeType(names.NOTIFY_PROGRESS, ProgressNotice),
            NoticeType(names.NOTIFY_ROOTS_CHANGED, ListChangedNotice, repeatable=True),
        )
    },
    server_notices={
        notice.name: notice
        for notice in (
            NoticeType(names.NOTIFY_CANCELLED, CancelledNotice),
            NoticeType(names.NOTIFY_PROGRESS, ProgressNotice),
            NoticeType(names.NOTIFY_MESSAGE, MessageNotice),
            NoticeType(names.NOTIFY_TOOLS_CHANGED, ListChangedNotice),
            NoticeType(names.NOTIFY_PROMPTS_CHANGED, ListChangedNotice),
            NoticeType(names.NOTIFY_RESOURCES_CHANGED, ListChangedNotice),
            NoticeType(names.NOTIFY_RESOURCE_UPDATED, ResourceUpdatedNotice),
        )
    },
    features=frozenset({Feature.SESSION_LOG_LEVEL, Feature.SUBSCRIBE}),
    content=frozenset({"text", "image", "resource"}),
    absent={
        Tool: _DISPLAY | {"annotations", "execution", "outputSchema"},
        Resource: _DISPLAY,
        ResourceTemplate: _DISPLAY,
        ResourceLink: _DISPLAY,
        ResourceContents: _META,
        Prompt: _DISPLAY,
        PromptArgument: frozenset({"title"}),
        PromptReference: frozenset({"title"}),
        TextContent: _META,
        ImageContent: _META,
        AudioContent: _META,
        EmbeddedResource: _META,
        SamplingMessage: _META,
        Root: _META,
        Annotations: frozenset({"lastModified"}),
        Implementation: frozenset({"title", "description", "websiteUrl", "icons"}),
        ClientCapabilities: frozenset({"elicitation", "tasks", "extensions"}),
        ServerCapabilities: frozenset({"completions", "tasks", "extensions"}),
        SamplingCapability: frozenset({"context", "tools"}),
        Result: _RESULT,
        InitializeResult: _RESULT,
        CallToolResult: _RESULT | {"structuredContent"},
        GetPromptResult: _RESULT,
        CompleteResult: _RESULT,
        CreateMessageResult: _RESULT,
        ListRootsResult: _RESULT,
        ListToolsResult: _CACHEABLE,
        ListPromptsResult: _CACHEABLE,
        ListResourcesResult: _CACHEABLE,
        ListResourceTemplatesResult: _CACHEABLE,
        ReadResourceResult: _CACHEABLE,
        CompleteParams: frozenset({"context"}),
        CreateMessageParams: frozenset({"tools", "toolChoice"}),
        ProgressNotice: frozenset({"message"}),
    },
    # No code of its own for a version nobody shares: the lifecycle page shows "Invalid params".
    # Nor for a client that can't be asked: the request is not one that this client can make.
    codes={
        ResourceNotFound: -32002,
        UnsupportedVersion: -32602,
        MissingCapability: -32600,
        HeaderMismatch: -32600,
    },
)
