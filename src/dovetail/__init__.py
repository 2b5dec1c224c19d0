"""Dovetail: the Model Context Protocol for Python.

Names are imported when they are first used, so that a server pays for no client and neither pays for the
other's transports.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames

__version__ = "0.1.0"

_lazy = LazyNames(
    __name__,
    {
        "dovetail.server.app": ("App",),
        "dovetail.server.context": ("Context",),
        "dovetail.server.ambient": ("NoContext",),
        "dovetail.server.current_context": ("current_context",),
        "dovetail.server.including": ("completion", "prompt", "resource", "tool"),
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
        "dovetail.runtime.journals": ("OutcomeUnknown",),
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
            "HeaderMismatch",
            "InternalError",
            "InvalidParams",
            "InvalidRequest",
            "LocalProtocolError",
            "LoginRequired",
            "MessageTooLarge",
            "MethodNotFound",
            "MissingCapability",
            "ParseError",
            "RPCError",
            "RemoteProtocolError",
            "RequestCancelled",
            "RequestTimeout",
            "ResourceNotFound",
            "ServerExited",
            "SessionEnded",
            "ToolError",
            "TransportError",
            "URLElicitationRequired",
            "Unanswered",
            "UnsupportedVersion",
            "UserRejected",
        ),
        "dovetail.security.authenticator": ("InsufficientScope",),
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
            "Implementation",
            "ImageContent",
            "InputRequired",
            "PromptMessage",
            "PromptReference",
            "ReadResourceResult",
            "ResourceContents",
            "ResourceLink",
            "ResourceReference",
            "Root",
            "SamplingMessage",
            "TextContent",
            "Tool",
            "ToolAnnotations",
        ),
    },
    "__version__",
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
