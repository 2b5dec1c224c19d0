"""The client: `Client`, what its handlers are given and may answer, and its errors."""

from .answers import Accept, Cancel, Decline, ElicitRequest, Visit
from .blocking import BlockingClient
from .client import Client
from .listening import Subscription
from .options import ClientOptions
from .results import OutputInvalid, ToolFailed, ToolResult
from .states import State, StateChange

__all__ = [
    "Accept",
    "BlockingClient",
    "Cancel",
    "Client",
    "ClientOptions",
    "Decline",
    "ElicitRequest",
    "OutputInvalid",
    "State",
    "StateChange",
    "Subscription",
    "ToolFailed",
    "ToolResult",
    "Visit",
]
