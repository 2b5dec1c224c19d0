"""Every error that Dovetail raises on purpose, in one place, whatever part of it raises it.

Those that most programs meet are in `dovetail` too, those of a part in its own module (`dovetail.stores`,
`dovetail.auth.login`, ...). Nearly all are a `DovetailError`, whose ``retry_safe`` says whether the same call may be
made again without doing its work twice. Those of stores are a `StoreError`.

Specification: basic/index, "Error Codes".
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
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
            "rpc_error",
        ),
        "dovetail.server.ambient": ("NoContext",),
        "dovetail.server.signature": ("RegistrationError",),
        "dovetail.server.data": ("AnswerTooLarge", "OutputMismatch"),
        "dovetail.server.media": ("MediaTooLarge",),
        "dovetail.server.running": ("TimedOut",),
        "dovetail.protocol.paging": ("InvalidCursor",),
        "dovetail.runtime.redemptions": ("AnswerNotKept",),
        "dovetail.runtime.rounds": ("Diverged", "Suspend"),
        "dovetail.server.forms": ("AnswerInvalid",),
        "dovetail.server.methods": ("RateLimited",),
        "dovetail.server.keys_and_store": ("NotShared",),
        "dovetail.runtime.extension": ("InvalidExtension",),
        "dovetail.runtime.journals": ("JournalTooLarge", "OutcomeUnknown"),
        "dovetail.runtime.service": ("LifespanFailed",),
        "dovetail.transports.http1.server.runner": ("AddressUnavailable",),
        "dovetail.client.results": ("OutputInvalid", "ToolFailed"),
        "dovetail.security.authenticator": ("AuthenticationFailed", "InsufficientScope"),
        "dovetail.security.fetching": ("FetchFailed", "FetchRefused"),
        "dovetail.security.safe_paths": ("PathRefused",),
        "dovetail.security.sealing": ("SealBroken", "SealTooLarge"),
        "dovetail.auth.login": (
            "AuthorizationError",
            "AuthorizationUnavailable",
            "CredentialsUnbound",
            "DiscoveryFailed",
            "LoginDenied",
            "LoginFailed",
            "LoginTimeout",
            "RegistrationFailed",
            "ScopeRefused",
            "StorageUnsafe",
            "TokenRefused",
            "TokensChanged",
        ),
        "dovetail.stores.errors": (
            "EventsTrimmed",
            "KeyInvalid",
            "SessionExists",
            "StoreClosed",
            "StoreError",
            "StoreFull",
            "StoreUnavailable",
            "StoreVersionMismatch",
            "StreamEnded",
            "StreamUnknown",
            "TaskExists",
            "TooManyTasks",
            "ValueTooLarge",
        ),
        "dovetail.extensions.tasks.errors": ("TaskCancelled", "TaskLost"),
        "dovetail.testing.clock": ("StoodStill",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
