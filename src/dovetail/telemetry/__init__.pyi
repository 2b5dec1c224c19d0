"""The names of `dovetail.telemetry` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.runtime.observer import (
    Gauged,
    ObservedOperation,
    Observer,
    Outcome,
    RefusedMessage,
    Role,
    digest_of,
)
from dovetail.telemetry.audit import Audit, AuditRecord, Decision
from dovetail.telemetry.call_log import CallLog
from dovetail.telemetry.instrumentation import DovetailInstrumentor, instrument, uninstrument
from dovetail.telemetry.opentelemetry import OpenTelemetry
from dovetail.telemetry.prometheus import Prometheus
from dovetail.telemetry.redaction import redacted

__all__ = [
    "Audit",
    "AuditRecord",
    "CallLog",
    "Decision",
    "DovetailInstrumentor",
    "Gauged",
    "ObservedOperation",
    "Observer",
    "OpenTelemetry",
    "Outcome",
    "Prometheus",
    "RefusedMessage",
    "Role",
    "digest_of",
    "instrument",
    "redacted",
    "uninstrument",
]
