"""Hosts: many servers kept up side by side, their tools under names that are unique, and consent to what they do.

What a program with a model inside needs besides the model. It stands on the client's public face.

Specification: architecture; client best practices; server/tools, "Security Considerations".
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.host.consent": (
            "Approve",
            "ConsentAnswer",
            "ConsentHandler",
            "ConsentKind",
            "ConsentRefused",
            "ConsentRequest",
            "Refuse",
            "Remember",
        ),
        "dovetail.host.decisions": ("Decisions", "DecisionsUnreadable", "RememberedDecision"),
        "dovetail.host.discovery": ("AvailableServer", "ToolDiscovery"),
        "dovetail.host.events": ("EventKind", "EventReader", "HostEvent"),
        "dovetail.host.host": ("Host",),
        "dovetail.host.hosted_server": ("HostedServer",),
        "dovetail.host.icons": ("safe_icons",),
        "dovetail.host.naming": ("server_name",),
        "dovetail.host.offers": ("HostPrompt", "HostResource", "HostTool"),
        "dovetail.host.policy": (
            "HostPolicy",
            "PolicyDecision",
            "PolicyFlow",
            "PolicyInvalid",
            "PolicyRule",
            "PolicyVerdict",
        ),
        "dovetail.host.questions": ("SamplingBudget",),
        "dovetail.host.records": ("HostRecord", "RecordSink"),
        "dovetail.host.results": ("HostBlob", "HostResult", "ResultLimits"),
        "dovetail.host.server_states": ("ServerState", "ServerStatus", "ServerUnavailable"),
        "dovetail.host.tool_definitions": ("ToolChange", "hidden_in", "visible"),
        "dovetail.host.tool_index": ("Embed",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
