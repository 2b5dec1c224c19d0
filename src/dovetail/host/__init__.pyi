"""The names of `dovetail.host` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.host.events import EventKind, EventReader, HostEvent
from dovetail.host.host import Host, HostPrompt, HostResource, HostTool
from dovetail.host.hosted_server import HostedServer
from dovetail.host.results import HostBlob, HostResult, ResultLimits
from dovetail.host.server_states import ServerState, ServerStatus, ServerUnavailable

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
