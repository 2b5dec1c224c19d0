"""Seeing what servers and clients do: spans, metrics, logs of calls, audit records.

Theory of operation. Each is an `Observer`: ``App(telemetry=[...])`` and ``Client(telemetry=[...])`` take any number of
them, and `instrument` gives them to whatever is made from then on. The names are imported when they are first used:
spans need the extra ``otel``, a Prometheus page the extra ``prometheus``, the others nothing.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)".
"""

# Names come when they are asked for; the stub beside this file has them for type checkers.
# pyright: reportUnsupportedDunderAll=false
from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.runtime.observer": (
            "Gauged",
            "Outcome",
            "Role",
            "Observer",
            "ObservedOperation",
            "RefusedMessage",
            "digest_of",
        ),
        "dovetail.telemetry.audit": ("Audit", "AuditRecord", "Decision"),
        "dovetail.telemetry.call_log": ("CallLog",),
        "dovetail.telemetry.opentelemetry": ("OpenTelemetry",),
        "dovetail.telemetry.redaction": ("redacted",),
        "dovetail.telemetry.prometheus": ("Prometheus",),
        "dovetail.telemetry.instrumentation": ("DovetailInstrumentor", "instrument", "uninstrument"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
