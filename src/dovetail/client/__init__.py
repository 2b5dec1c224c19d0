"""The client: `Client`, what its handlers are given and may answer, what its options are, and its errors."""

from .answers import (
    Accept,
    ApproveHandler,
    CallInfo,
    Cancel,
    ChangeHandler,
    Consent,
    Decline,
    ElicitAnswer,
    ElicitationHandler,
    ElicitRequest,
    LogHandler,
    NotificationHandler,
    ProgressHandler,
    RootsSource,
    RoundsMode,
    SamplingHandler,
    StderrHandler,
    Visit,
    WarningHandler,
)
from .arguments import plain_arguments
from .blocking import BlockingClient, BlockingSubscription
from .calling import call_handler
from .calls import CallOptions, Seconds
from .client import Client
from .listening import Subscription
from .options import ClientOptions, HeadersSource
from .results import OutputInvalid, ToolFailed, ToolResult
from .server_warnings import ServerWarning, WarningKind
from .started_calls import BlockingStartedCall, CallStatus, StartedCall
from .states import State, StateChange, StateHandler
from .store_option import ClientStore
from .targets import Target

__all__ = [
    "Accept",
    "ApproveHandler",
    "BlockingClient",
    "BlockingStartedCall",
    "BlockingSubscription",
    "CallInfo",
    "CallOptions",
    "CallStatus",
    "Cancel",
    "ChangeHandler",
    "Client",
    "ClientOptions",
    "ClientStore",
    "Consent",
    "Decline",
    "ElicitAnswer",
    "ElicitRequest",
    "ElicitationHandler",
    "HeadersSource",
    "LogHandler",
    "NotificationHandler",
    "OutputInvalid",
    "ProgressHandler",
    "RootsSource",
    "RoundsMode",
    "SamplingHandler",
    "Seconds",
    "ServerWarning",
    "State",
    "StateChange",
    "StateHandler",
    "StartedCall",
    "StderrHandler",
    "Subscription",
    "Target",
    "ToolFailed",
    "ToolResult",
    "Visit",
    "WarningHandler",
    "WarningKind",
    "call_handler",
    "plain_arguments",
]
