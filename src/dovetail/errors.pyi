"""The names of `dovetail.errors` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.auth.login import (
    AuthorizationError,
    AuthorizationUnavailable,
    CredentialsUnbound,
    DiscoveryFailed,
    LoginDenied,
    LoginFailed,
    LoginTimeout,
    RegistrationFailed,
    ScopeRefused,
    StorageUnsafe,
    TokenRefused,
    TokensChanged,
)
from dovetail.capture.lines import CaptureInvalid
from dovetail.client.results import OutputInvalid, ToolFailed
from dovetail.codegen.typed_client import SurfaceChanged
from dovetail.extensions.tasks.errors import TaskCancelled, TaskLost
from dovetail.host.configuration.errors import (
    ConfigurationChanged,
    ConfigurationError,
    ConfigurationUnreadable,
    NotApproved,
    SecretsUnavailable,
    VariableMissing,
)
from dovetail.host.consent import ConsentRefused
from dovetail.host.decisions import DecisionsUnreadable
from dovetail.host.policy import PolicyInvalid
from dovetail.host.server_states import ServerUnavailable
from dovetail.models.chat_model import ModelFailed
from dovetail.openapi.errors import DocumentInvalid
from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    Declined,
    Dismissed,
    DovetailError,
    FeatureUnavailable,
    HeaderMismatch,
    HTTPStatusError,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LocalProtocolError,
    LoginRequired,
    MessageTooLarge,
    MethodNotFound,
    MissingCapability,
    ParseError,
    RateLimited,
    RemoteProtocolError,
    RequestCancelled,
    RequestTimeout,
    ResourceNotFound,
    RPCError,
    ServerExited,
    SessionEnded,
    ToolError,
    TransportError,
    Unanswered,
    UnsupportedVersion,
    URLElicitationRequired,
    UserRejected,
    rpc_error,
)
from dovetail.protocol.header_parameters import InvalidHeaderAnnotation
from dovetail.protocol.paging import InvalidCursor
from dovetail.protocol.schema.screening import (
    ExternalReference,
    InvalidSchema,
    SchemaError,
    SchemaTooLarge,
    UnknownDialect,
)
from dovetail.protocol.uri_template.syntax import TemplateError, TemplateTooLong, URITooLong
from dovetail.proxy.failures import UpstreamFailed
from dovetail.proxy.parking import ParkingLost
from dovetail.recording.serving import NotRecorded
from dovetail.runtime.extension import InvalidExtension
from dovetail.runtime.journals import JournalTooLarge, OutcomeUnknown
from dovetail.runtime.redemptions import AnswerNotKept
from dovetail.runtime.rounds import Diverged, Suspend
from dovetail.runtime.service import LifespanFailed
from dovetail.security.authenticator import AuthenticationFailed, InsufficientScope
from dovetail.security.fetching import FetchFailed, FetchRefused
from dovetail.security.safe_paths import PathRefused
from dovetail.security.sealing import SealBroken, SealTooLarge
from dovetail.server.ambient import NoContext
from dovetail.server.data import AnswerTooLarge, OutputMismatch
from dovetail.server.forms import AnswerInvalid
from dovetail.server.keys_and_store import NotShared
from dovetail.server.media import MediaTooLarge
from dovetail.server.running import TimedOut
from dovetail.server.signature import RegistrationError
from dovetail.stores.errors import (
    EventsTrimmed,
    KeyInvalid,
    SessionExists,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreVersionMismatch,
    StreamEnded,
    StreamUnknown,
    TaskExists,
    TooManyTasks,
    ValueTooLarge,
)
from dovetail.surface.snapshot import SurfaceUnreadable
from dovetail.testing.clock import StoodStill
from dovetail.transports.http1.server.runner import AddressUnavailable

__all__ = [
    "AddressUnavailable",
    "AnswerInvalid",
    "AnswerNotKept",
    "AnswerTooLarge",
    "AuthenticationFailed",
    "AuthorizationError",
    "AuthorizationUnavailable",
    "CaptureInvalid",
    "Closed",
    "ConfigurationChanged",
    "ConfigurationError",
    "ConfigurationUnreadable",
    "ConnectFailed",
    "ConnectionLost",
    "ConsentRefused",
    "CredentialsUnbound",
    "DecisionsUnreadable",
    "Declined",
    "DiscoveryFailed",
    "Dismissed",
    "Diverged",
    "DocumentInvalid",
    "DovetailError",
    "EventsTrimmed",
    "ExternalReference",
    "FeatureUnavailable",
    "FetchFailed",
    "FetchRefused",
    "HTTPStatusError",
    "HeaderMismatch",
    "InsufficientScope",
    "InternalError",
    "InvalidCursor",
    "InvalidExtension",
    "InvalidHeaderAnnotation",
    "InvalidParams",
    "InvalidRequest",
    "InvalidSchema",
    "JournalTooLarge",
    "KeyInvalid",
    "LifespanFailed",
    "LocalProtocolError",
    "LoginDenied",
    "LoginFailed",
    "LoginRequired",
    "LoginTimeout",
    "MediaTooLarge",
    "MessageTooLarge",
    "MethodNotFound",
    "MissingCapability",
    "ModelFailed",
    "NoContext",
    "NotApproved",
    "NotRecorded",
    "NotShared",
    "OutcomeUnknown",
    "OutputInvalid",
    "OutputMismatch",
    "ParkingLost",
    "ParseError",
    "PathRefused",
    "PolicyInvalid",
    "RPCError",
    "RateLimited",
    "RegistrationError",
    "RegistrationFailed",
    "RemoteProtocolError",
    "RequestCancelled",
    "RequestTimeout",
    "ResourceNotFound",
    "SchemaError",
    "SchemaTooLarge",
    "ScopeRefused",
    "SealBroken",
    "SealTooLarge",
    "SecretsUnavailable",
    "ServerExited",
    "ServerUnavailable",
    "SessionEnded",
    "SessionExists",
    "StoodStill",
    "StorageUnsafe",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreVersionMismatch",
    "StreamEnded",
    "StreamUnknown",
    "SurfaceChanged",
    "SurfaceUnreadable",
    "Suspend",
    "TaskCancelled",
    "TaskExists",
    "TaskLost",
    "TemplateError",
    "TemplateTooLong",
    "TimedOut",
    "TokenRefused",
    "TokensChanged",
    "TooManyTasks",
    "ToolError",
    "ToolFailed",
    "TransportError",
    "URITooLong",
    "URLElicitationRequired",
    "Unanswered",
    "UnknownDialect",
    "UnsupportedVersion",
    "UpstreamFailed",
    "UserRejected",
    "ValueTooLarge",
    "VariableMissing",
    "rpc_error",
]
