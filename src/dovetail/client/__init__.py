"""The client: `Client`, what its handlers are given and may answer, and its errors."""

from .answers import Accept, CallInfo, Cancel, Decline, ElicitRequest, Visit
from .blocking import BlockingClient
from .calls import CallOptions
from .client import Client
from .listening import Subscription
from .oddities import ServerWarning
from .options import ClientOptions
from .results import OutputInvalid, ToolFailed, ToolResult
from .states import State, StateChange

__all__ = [
    "Accept",
    "BlockingClient",
    "CallInfo",
    "CallOptions",
    "Cancel",
    "Client",
    "ClientOptions",
    "Decline",
    "ElicitRequest",
    "OutputInvalid",
    "ServerWarning",
    "State",
    "StateChange",
    "Subscription",
    "ToolFailed",
    "ToolResult",
    "Visit",
]
