"""Trace context in ``_meta``, when the program traces with OpenTelemetry.

Nothing is imported that the program did not import: without OpenTelemetry loaded there can be no active span.
Specification: basic/index "_meta", reserved keys for trace context.
"""

import sys
from importlib import import_module
from typing import Any, Final

from ..protocol import names
from ..protocol.meta_keys import is_baggage, is_traceparent, is_tracestate

_PROPAGATE: Final = "opentelemetry.propagate"
_TRACE: Final = "opentelemetry.trace"


def trace_context() -> dict[str, Any]:
    """The members of ``_meta`` that carry the current span; empty without one."""
    modules = sys.modules
    if _TRACE not in modules and _PROPAGATE not in modules:
        return {}
    propagate: Any = import_module(_PROPAGATE)
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if not carrier:
        return {}
    checks = (
        (names.META_TRACEPARENT, is_traceparent),
        (names.META_TRACESTATE, is_tracestate),
        (names.META_BAGGAGE, is_baggage),
    )
    return {key: carrier[key] for key, check in checks if check(carrier.get(key))}
