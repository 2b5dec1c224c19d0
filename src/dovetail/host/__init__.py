"""Hosts: many servers kept up side by side, their tools under names that are unique, and consent to what they do.

What a program with a model inside needs besides the model. It stands on the client's public face.

Specification: architecture, "Host"; client best practices; server/tools, "Security Considerations".
"""

from .consent import (
    Approve,
    ConsentAnswer,
    ConsentHandler,
    ConsentKind,
    ConsentRefused,
    ConsentRequest,
    Refuse,
    Remember,
)
from .decisions import Decisions, DecisionsUnreadable, RememberedDecision
from .events import EventKind, EventReader, HostEvent
from .host import Host
from .hosted_server import HostedServer
from .offers import HostPrompt, HostResource, HostTool
from .policy import HostPolicy, PolicyDecision, PolicyFlow, PolicyInvalid, PolicyRule, PolicyVerdict
from .questions import SamplingBudget
from .records import HostRecord, RecordSink
from .results import HostBlob, HostResult, ResultLimits
from .server_states import ServerState, ServerStatus, ServerUnavailable
from .tool_definitions import ToolChange

__all__ = [
    "Approve",
    "ConsentAnswer",
    "ConsentHandler",
    "ConsentKind",
    "ConsentRefused",
    "ConsentRequest",
    "Decisions",
    "DecisionsUnreadable",
    "EventKind",
    "EventReader",
    "Host",
    "HostBlob",
    "HostEvent",
    "HostPolicy",
    "HostPrompt",
    "HostRecord",
    "HostResource",
    "HostResult",
    "HostTool",
    "HostedServer",
    "PolicyDecision",
    "PolicyFlow",
    "PolicyInvalid",
    "PolicyRule",
    "PolicyVerdict",
    "RecordSink",
    "Refuse",
    "Remember",
    "RememberedDecision",
    "ResultLimits",
    "SamplingBudget",
    "ServerState",
    "ServerStatus",
    "ServerUnavailable",
    "ToolChange",
]
