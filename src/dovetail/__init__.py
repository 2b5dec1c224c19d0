"""Dovetail: the Model Context Protocol for Python.

Names are imported when they are first used, so that a server pays for no client and neither pays for the
other's transports.
"""

# The names of `__all__` come from `__getattr__`; their types are in the stub beside this file.
# pyright: reportUnsupportedDunderAll=false

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "dovetail.server.app": ("App",),
    "dovetail.server.context": ("Context",),
    "dovetail.server.messages": ("assistant", "user"),
    "dovetail.server.forms": ("Form",),
    "dovetail.server.markers": (
        "Ask",
        "Depends",
        "Doc",
        "Header",
        "Length",
        "Pattern",
        "Range",
        "Secret",
        "Titles",
    ),
    "dovetail.server.media": ("Audio", "File", "Image"),
    "dovetail.server.questions": ("Elicit", "ElicitURL", "Roots", "Sample", "visit_first"),
    "dovetail.runtime.ledger": ("OutcomeUnknown",),
    "dovetail.server.signature": ("RegistrationError",),
    "dovetail.client": ("Client", "ToolResult"),
    "dovetail.runtime.service": ("LifespanFailed",),
    "dovetail.transports.http_server.routes": ("Request", "Response"),
    "dovetail.security.principal": ("Principal",),
    "dovetail.protocol.errors": (
        "Closed",
        "ConnectFailed",
        "ConnectionLost",
        "Declined",
        "Dismissed",
        "DovetailError",
        "FeatureUnavailable",
        "HTTPStatusError",
        "InternalError",
        "InvalidParams",
        "LocalProtocolError",
        "LoginRequired",
        "MethodNotFound",
        "MissingCapability",
        "RPCError",
        "RemoteProtocolError",
        "RequestCancelled",
        "RequestTimeout",
        "ResourceNotFound",
        "ServerExited",
        "ToolError",
        "TransportError",
        "URLElicitationRequired",
    ),
    "dovetail.protocol.types": (
        "Annotations",
        "AudioContent",
        "CallToolResult",
        "Completion",
        "CompletionContext",
        "CreateMessageResult",
        "EmbeddedResource",
        "GetPromptResult",
        "Icon",
        "ImageContent",
        "InputRequired",
        "PromptMessage",
        "ReadResourceResult",
        "ResourceContents",
        "ResourceLink",
        "Root",
        "SamplingMessage",
        "TextContent",
        "Tool",
        "ToolAnnotations",
    ),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module 'dovetail' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])


__all__ = [
    "Annotations",
    "App",
    "Ask",
    "Audio",
    "AudioContent",
    "CallToolResult",
    "Client",
    "Closed",
    "Completion",
    "CompletionContext",
    "ConnectFailed",
    "ConnectionLost",
    "Context",
    "CreateMessageResult",
    "Declined",
    "Depends",
    "Dismissed",
    "Doc",
    "DovetailError",
    "Elicit",
    "ElicitURL",
    "EmbeddedResource",
    "FeatureUnavailable",
    "File",
    "Form",
    "GetPromptResult",
    "HTTPStatusError",
    "Header",
    "Icon",
    "Image",
    "ImageContent",
    "InputRequired",
    "InternalError",
    "InvalidParams",
    "Length",
    "LifespanFailed",
    "LocalProtocolError",
    "LoginRequired",
    "MethodNotFound",
    "MissingCapability",
    "OutcomeUnknown",
    "Pattern",
    "Principal",
    "PromptMessage",
    "RPCError",
    "Range",
    "ReadResourceResult",
    "RegistrationError",
    "RemoteProtocolError",
    "Request",
    "RequestCancelled",
    "RequestTimeout",
    "ResourceContents",
    "ResourceLink",
    "ResourceNotFound",
    "Response",
    "Root",
    "Roots",
    "Sample",
    "SamplingMessage",
    "Secret",
    "ServerExited",
    "TextContent",
    "Titles",
    "Tool",
    "ToolAnnotations",
    "ToolError",
    "ToolResult",
    "TransportError",
    "URLElicitationRequired",
    "assistant",
    "user",
    "visit_first",
    "__version__",
]
