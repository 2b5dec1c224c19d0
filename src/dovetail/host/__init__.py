"""Hosts: many servers kept up side by side, their tools under names that are unique.

What a program with a model inside needs besides the model. It stands on the client's public face.

Specification: architecture, "Host"; client best practices.
"""

from .events import EventKind, EventReader, HostEvent
from .host import Host, HostPrompt, HostResource, HostTool
from .hosted_server import HostedServer
from .results import HostBlob, HostResult, ResultLimits
from .server_states import ServerState, ServerStatus, ServerUnavailable

__all__ = [
    "EventKind",
    "EventReader",
    "Host",
    "HostBlob",
    "HostEvent",
    "HostPrompt",
    "HostResource",
    "HostResult",
    "HostTool",
    "HostedServer",
    "ResultLimits",
    "ServerState",
    "ServerStatus",
    "ServerUnavailable",
]
