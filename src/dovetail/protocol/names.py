"""Every name of the protocol that travels on the wire, once; an extension says its own.

Method names, reserved ``_meta`` keys, header names. No other module spells one out; a test scans the source to prove
it. Field names are not here: they are derived from the Structs in ``types``.
"""

from typing import Final

JSONRPC_VERSION: Final = "2.0"

# Requests, client to server.
INITIALIZE: Final = "initialize"
DISCOVER: Final = "server/discover"
PING: Final = "ping"
TOOLS_LIST: Final = "tools/list"
TOOLS_CALL: Final = "tools/call"
RESOURCES_LIST: Final = "resources/list"
RESOURCES_TEMPLATES_LIST: Final = "resources/templates/list"
RESOURCES_READ: Final = "resources/read"
RESOURCES_SUBSCRIBE: Final = "resources/subscribe"
RESOURCES_UNSUBSCRIBE: Final = "resources/unsubscribe"
PROMPTS_LIST: Final = "prompts/list"
PROMPTS_GET: Final = "prompts/get"
COMPLETION_COMPLETE: Final = "completion/complete"
LOGGING_SET_LEVEL: Final = "logging/setLevel"
SUBSCRIPTIONS_LISTEN: Final = "subscriptions/listen"

# Requests, server to client (stateful era), or entries of an input-required result (stateless era).
SAMPLING_CREATE_MESSAGE: Final = "sampling/createMessage"
ROOTS_LIST: Final = "roots/list"
ELICITATION_CREATE: Final = "elicitation/create"

# Notifications.
NOTIFICATIONS: Final = "notifications/"
NOTIFY_INITIALIZED: Final = "notifications/initialized"
NOTIFY_CANCELLED: Final = "notifications/cancelled"
NOTIFY_PROGRESS: Final = "notifications/progress"
NOTIFY_MESSAGE: Final = "notifications/message"
NOTIFY_TOOLS_CHANGED: Final = "notifications/tools/list_changed"
NOTIFY_PROMPTS_CHANGED: Final = "notifications/prompts/list_changed"
NOTIFY_RESOURCES_CHANGED: Final = "notifications/resources/list_changed"
NOTIFY_RESOURCE_UPDATED: Final = "notifications/resources/updated"
NOTIFY_ROOTS_CHANGED: Final = "notifications/roots/list_changed"
NOTIFY_ELICITATION_COMPLETE: Final = "notifications/elicitation/complete"
NOTIFY_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

# Reserved keys of `_meta`.
META: Final = "_meta"
META_PREFIX: Final = "io.modelcontextprotocol/"
META_PROGRESS_TOKEN: Final = "progressToken"  # noqa: S105 - a key, not a secret
META_PROTOCOL_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_INFO: Final = "io.modelcontextprotocol/clientInfo"
META_CLIENT_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION_ID: Final = "io.modelcontextprotocol/subscriptionId"
META_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
META_MISSING: Final = (
    "io.dovetail/requiredCapabilities"  # ours: why a tool failed, for clients before 2026-07-28
)
META_PARTIAL: Final = "io.dovetail/partial"  # ours: of a list, that a part of it could not be listed now
META_SIZE: Final = "io.dovetail/size"  # ours: of a part of a resource, the bytes of the whole
META_VERSION: Final = "io.dovetail/version"  # ours: of a tool, the version that is listed or asked for
META_VERSIONS: Final = "io.dovetail/versions"  # ours: of a tool, all versions that there are, highest first
META_WRAPPED: Final = "io.dovetail/wrapped"  # ours: structured content was put into an object
META_TRACEPARENT: Final = "traceparent"
META_TRACESTATE: Final = "tracestate"
META_BAGGAGE: Final = "baggage"
META_PASSING: Final = frozenset({META_PROGRESS_TOKEN, META_TRACEPARENT, META_TRACESTATE, META_BAGGAGE})

# HTTP. Header names are case-insensitive; ours are lower case, as ASGI delivers them.
HEADER_PREFIX: Final = "mcp-"
HEADER_PROTOCOL_VERSION: Final = "mcp-protocol-version"
HEADER_SESSION: Final = "mcp-session-id"
HEADER_METHOD: Final = "mcp-method"
HEADER_NAME: Final = "mcp-name"
HEADER_PARAM_PREFIX: Final = "mcp-param-"
HEADER_LAST_EVENT_ID: Final = "last-event-id"
X_MCP_HEADER: Final = "x-mcp-header"
MEDIA_JSON: Final = "application/json"
MEDIA_SSE: Final = "text/event-stream"

# Well-known places of the documents of authorization (RFC 9728, RFC 8414, OpenID Connect Discovery).
WELL_KNOWN_RESOURCE: Final = "/.well-known/oauth-protected-resource"
WELL_KNOWN_OAUTH: Final = "/.well-known/oauth-authorization-server"
WELL_KNOWN_OPENID: Final = "/.well-known/openid-configuration"

# Reference types of completion.
REF_PROMPT: Final = "ref/prompt"
REF_RESOURCE: Final = "ref/resource"

# Values of `resultType`.
RESULT_COMPLETE: Final = "complete"
RESULT_INPUT_REQUIRED: Final = "input_required"
