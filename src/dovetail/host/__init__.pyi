"""The names of `dovetail.host` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.host.consent import (
    Approve,
    ConsentAnswer,
    ConsentHandler,
    ConsentKind,
    ConsentRefused,
    ConsentRequest,
    Refuse,
    Remember,
)
from dovetail.host.decisions import Decisions, DecisionsUnreadable, RememberedDecision
from dovetail.host.discovery import AvailableServer, ToolDiscovery
from dovetail.host.events import EventKind, EventReader, HostEvent
from dovetail.host.host import Host
from dovetail.host.hosted_server import HostedServer
from dovetail.host.icons import safe_icons
from dovetail.host.naming import server_name
from dovetail.host.offers import HostPrompt, HostResource, HostTool
from dovetail.host.policy import (
    HostPolicy,
    PolicyDecision,
    PolicyFlow,
    PolicyInvalid,
    PolicyRule,
    PolicyVerdict,
)
from dovetail.host.questions import SamplingBudget
from dovetail.host.records import HostRecord, RecordSink
from dovetail.host.results import HostBlob, HostResult, ResultLimits
from dovetail.host.server_states import ServerState, ServerStatus, ServerUnavailable
from dovetail.host.tool_definitions import ToolChange, hidden_in, visible
from dovetail.host.tool_index import Embed

__all__ = [
    "Approve",
    "AvailableServer",
    "ConsentAnswer",
    "ConsentHandler",
    "ConsentKind",
    "ConsentRefused",
    "ConsentRequest",
    "Decisions",
    "DecisionsUnreadable",
    "Embed",
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
    "ToolDiscovery",
    "hidden_in",
    "safe_icons",
    "server_name",
    "visible",
]
