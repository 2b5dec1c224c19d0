"""Revision 2026-07-28: the stateless era. No handshake, no session, no requests from the server; rounds,
listening, caching.
"""

from .. import names
from ..errors import HeaderMismatch, MissingCapability, ResourceNotFound, UnsupportedVersion
from ..types import (
    AcknowledgedNotice,
    CallToolResult,
    ClientCapabilities,
    CompleteResult,
    CreateMessageParams,
    CreateMessageResult,
    DiscoverParams,
    DiscoverResult,
    ElicitParams,
    ElicitResult,
    GetPromptResult,
    ListenParams,
    ListenResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListRootsResult,
    ListToolsResult,
    ReadResourceResult,
    Result,
    RootsCapability,
    ServerCapabilities,
    Tool,
)
from .features import Feature
from .profile import Method, NoticeType
from .v2025_11_25 import V2025_11_25

_CACHEABLE = {"resultType", "ttlMs", "cacheScope"}

V2026_07_28 = V2025_11_25.next(
    "2026-07-28",
    era="stateless",
    client_requests=[
        Method(names.DISCOVER, DiscoverParams, DiscoverResult, repeatable=True),
        Method(names.SUBSCRIPTIONS_LISTEN, ListenParams, ListenResult, repeatable=True),
    ],
    rounds={names.TOOLS_CALL, names.RESOURCES_READ, names.PROMPTS_GET},
    cacheable={
        names.DISCOVER,
        names.TOOLS_LIST,
        names.RESOURCES_LIST,
        names.RESOURCES_TEMPLATES_LIST,
        names.RESOURCES_READ,
        names.PROMPTS_LIST,
    },
    server_notices=[NoticeType(names.NOTIFY_ACKNOWLEDGED, AcknowledgedNotice)],
    removed={
        names.INITIALIZE,
        names.PING,
        names.LOGGING_SET_LEVEL,
        names.RESOURCES_SUBSCRIBE,
        names.RESOURCES_UNSUBSCRIBE,
        names.NOTIFY_INITIALIZED,
        names.NOTIFY_ROOTS_CHANGED,
        names.NOTIFY_ELICITATION_COMPLETE,
    },
    features={
        Feature.ANY_STRUCTURED_CONTENT,
        Feature.ROUNDS,
        Feature.RESULT_TYPE,
        Feature.CACHE_HINTS,
        Feature.REQUEST_HEADERS,
        Feature.LISTEN,
    },
    without={
        Feature.ELICITATION_IDS,
        Feature.URL_ELICITATION_ERROR,
        Feature.RESUMABLE,
        Feature.POLLING,
        Feature.SESSION_LOG_LEVEL,
        Feature.SUBSCRIBE,
        Feature.TASKS,
    },
    removed_client_notices={names.NOTIFY_PROGRESS},
    present={
        Result: {"resultType"},
        CallToolResult: {"resultType"},
        GetPromptResult: {"resultType"},
        CompleteResult: {"resultType"},
        ListToolsResult: _CACHEABLE,
        ListPromptsResult: _CACHEABLE,
        ListResourcesResult: _CACHEABLE,
        ListResourceTemplatesResult: _CACHEABLE,
        ReadResourceResult: _CACHEABLE,
        ClientCapabilities: {"extensions"},
        ServerCapabilities: {"extensions"},
    },
    gone={
        Tool: {"execution"},
        ClientCapabilities: {"tasks"},
        ServerCapabilities: {"tasks"},
        # Inside input requests and responses there is no _meta (client/elicitation, client/sampling,
        # client/roots).
        CreateMessageParams: {"_meta"},
        CreateMessageResult: {"_meta"},
        RootsCapability: {"listChanged"},
        ElicitParams: {"_meta", "elicitationId"},
        ElicitResult: {"_meta"},
        ListRootsResult: {"_meta"},
    },
    codes={
        ResourceNotFound: -32602,
        UnsupportedVersion: -32022,
        MissingCapability: -32021,
        HeaderMismatch: -32020,
    },
)
