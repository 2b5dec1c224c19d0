"""Spans and metrics by OpenTelemetry's API, as its conventions for MCP say.

Theory of operation. A request that came makes a span of kind SERVER, one that goes out a CLIENT span; both sides do
both. The span that a request was made in travels in its ``_meta`` (``traceparent``, ``tracestate``, ``baggage``), and
is the parent of the span that answers it; a span that is open already (of whoever instruments HTTP) is linked. Where
``_meta`` has none and no span is open, the HTTP headers of the same names count. What came is judged by the formats of
W3C before anything reads it, bounds included, and a bad value is as none.

The rounds of a call are linked: the span of each is written into the sealed state, and the next one links to it,
whichever worker it reaches. A client that has no span of its own goes on in the trace of its first round.

A span has no argument, no result, no URI but registered ones, and digests in the place of session ids. Of an error it
has the code, and the words that the peer is told. Store operations have spans where the store is not this process's
memory, and fetches have: where they went, without path and query.

As long as the program has set no provider up, nothing is recorded, and it is looked for a few times a second.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)" (semantic-conventions-genai
0.1); MCP basic/index, "_meta"; W3C Trace Context; W3C Baggage.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from typing import Any, Final, Literal

from ..protocol import names
from ..protocol.meta_keys import is_baggage, is_traceparent, is_tracestate
from ..protocol.safe_text import one_line
from ..runtime import rounds
from ..runtime.observer import Gauged, ObservedOperation, Observer, RefusedMessage, Role, digest_of
from . import signals
from .gauges import GaugeSources
from .signals import AttributeTable

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode
except ImportError as problem:
    raise ImportError(
        "spans and metrics by OpenTelemetry need its API: pip install 'dovetail[otel]'"
    ) from problem

__all__ = ["OpenTelemetry"]

_SCOPE: Final = "dovetail"
_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_CHECKS: Final = (
    (names.META_TRACEPARENT, is_traceparent),
    (names.META_TRACESTATE, is_tracestate),
    (names.META_BAGGAGE, is_baggage),
)
#: Seconds for which a provider that is not there is not looked for again.
LOOK_AGAIN: Final = 0.1
#: Characters of a request's id, and of an error's words, that a span has.
_SHOWN: Final = 128
_WORDS: Final = 256
_asking: Final[ContextVar[Any]] = ContextVar("dovetail_span_of_round")


def _of_store(operation: ObservedOperation) -> dict[str, Any]:
    return {
        "dovetail.store.operation": operation.method,
        "dovetail.store.backend": operation.backend,
    }


def _of_fetch(operation: ObservedOperation) -> dict[str, Any]:
    found: dict[str, Any] = {"http.request.method": operation.method, "server.address": operation.server}
    if operation.port is not None:
        found["server.port"] = operation.port
    return found


#: What is no message but part of the work on one, and the attributes of its span.
_WITHIN: Final = {"store": _of_store, "fetch": _of_fetch}


class OpenTelemetry(Observer):
    """An observer that makes spans and metrics: ``App(telemetry=OpenTelemetry())``, and the same for a `Client`.

    ``tracer_provider`` and ``meter_provider``: by default those that are set for the program, whenever that is.
    ``traces`` and ``metrics``: whether to make these. ``remote_parents``: "parent" continues the trace that a caller
    names; "link" begins a new one, which only links to it: for servers whose callers are strangers, who else decide
    what is sampled. ``uris``: whether spans have the URIs of resources as they were asked for; else only those that
    are registered as they are. Raises ImportError without the extra ``otel``.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        traces: bool = True,
        metrics: bool = True,
        remote_parents: Literal["parent", "link"] = "parent",
        uris: bool = False,
    ) -> None:
        if remote_parents not in ("parent", "link"):
            raise ValueError(f'remote_parents is "parent" or "link", not {remote_parents!r}')
        self._tracers, self._meters = tracer_provider, meter_provider
        self._traces, self._metrics = traces, metrics
        self._continues = remote_parents == "parent"
        self._uris = uris
        self._tracer_due = self._meter_due = 0.0
        self._tracer: trace.Tracer | None = None
        self._instruments: _MeterInstruments | None = None
        self._table = AttributeTable()
        self._sources = GaugeSources()
        if traces and _note_round not in rounds.watchers:
            rounds.watchers.append(_note_round)

    # Observer

    def begin(self, operation: ObservedOperation) -> Any:
        """See `Observer`."""
        tracer = self._tracer or self._find_tracer(operation.started)
        if tracer is None:
            return None
        if operation.role in _WITHIN:
            if operation.backend == "memory":
                return None
            span = tracer.start_span(
                operation.method, kind=SpanKind.CLIENT, attributes=_WITHIN[operation.role](operation)
            )
            return _OpenSpan(span, otel_context.attach(trace.set_span_in_context(span)))
        parent, links = self._origin(operation)
        span = tracer.start_span(
            f"{operation.method} {operation.target}"
            if operation.target and operation.kind != "resource"
            else operation.method,
            context=parent,
            kind=_KINDS[operation.role],
            attributes=self._first(operation),
            links=links,
        )
        begun = _OpenSpan(span, otel_context.attach(trace.set_span_in_context(span, parent)))
        if operation.role == "client":
            propagate.inject(operation.carrier)
            for key in tuple(operation.carrier):
                if not any(key == name and check(operation.carrier[key]) for name, check in _CHECKS):
                    del operation.carrier[key]
        return begun

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        """See `Observer`."""
        if begun is not None:
            otel_context.detach(begun.token)
            if begun.span.is_recording():
                self._finish(begun.span, operation)
            begun.span.end()
            if operation.outcome == "input_required" and operation.role == "client":
                _asking.set(begun.span.get_span_context())
        instruments = self._instruments or self._find_instruments(operation.started)
        if instruments is not None:
            instruments.durations[operation.role].record(operation.duration, self._table.of(operation))

    def refused(self, refusal: RefusedMessage) -> None:
        """See `Observer`."""
        instruments = self._instruments or self._find_instruments(time.perf_counter())
        if instruments is not None:
            instruments.refusals.add(
                1,
                {
                    "dovetail.refusal.reason": refusal.reason,
                    **signals.transport_attributes(refusal.transport),
                },
            )

    def session_ended(self, role: Role, revision: str, transport: str, seconds: float) -> None:
        """See `Observer`."""
        instruments = self._instruments or self._find_instruments(time.perf_counter())
        if instruments is not None:
            instruments.sessions[role].record(seconds, signals.session_attributes(revision, transport))

    def reconnected(self, transport: str) -> None:
        """See `Observer`."""
        instruments = self._instruments or self._find_instruments(time.perf_counter())
        if instruments is not None:
            instruments.reconnects.add(1, dict(signals.transport_attributes(transport)))

    def watch(self, source: Gauged) -> None:
        """See `Observer`."""
        self._sources.add(source)
        if self._instruments is None:
            self._find_instruments(time.perf_counter())

    def between_rounds(self, begun: ObservedOperation) -> AbstractContextManager[Any]:
        """See `Observer`."""
        return _continued() if self._traces else nullcontext()

    # Spans

    def _origin(self, operation: ObservedOperation) -> tuple[Any, list[Link]]:
        """The context that a span begins in, and what it links to."""
        here = otel_context.get_current()
        links: list[Link] = []
        if operation.role == "client":
            if operation.state is not None and (before := _asking.get(None)) is not None:
                links.append(Link(before, {"dovetail.link": "previous_round"}))
            return here, links
        ambient = trace.get_current_span(here).get_span_context()
        meta = None if operation.meta is None else operation.meta()
        carrier = _carried(meta)
        if not carrier and not ambient.is_valid and operation.headers is not None:
            carrier = _carried(operation.headers())
        if not carrier:
            return here, links
        came = propagate.extract(carrier, context=here)
        remote = trace.get_current_span(came).get_span_context()
        if not remote.is_valid or remote.span_id == ambient.span_id:
            return came, links
        if not self._continues:
            links.append(Link(remote, {"dovetail.link": "caller"}))
            return here, links
        if ambient.is_valid:
            links.append(Link(ambient))
        return came, links

    def _first(self, operation: ObservedOperation) -> dict[str, Any]:
        """The attributes that a sampler may want to know."""
        found: dict[str, Any] = {
            "mcp.method.name": operation.method,
            **signals.transport_attributes(operation.transport),
        }
        if operation.revision:
            found["mcp.protocol.version"] = operation.revision
        if operation.id is not None:
            found["jsonrpc.request.id"] = one_line(str(operation.id)[:_SHOWN])
        if operation.session is not None:
            found["mcp.session.id"] = digest_of(operation.session)
        if operation.target:
            if operation.kind == "resource":
                found["mcp.resource.uri"] = operation.target
            else:
                found[f"gen_ai.{operation.kind}.name"] = operation.target[:_SHOWN]
        if operation.server:
            found["server.address"] = operation.server
            if operation.port is not None:
                found["server.port"] = operation.port
        if self._uris and operation.uri:
            found["mcp.resource.uri"] = one_line(operation.uri[:2048])
        if operation.method == names.TOOLS_CALL:
            found["gen_ai.operation.name"] = "execute_tool"
        return found

    @staticmethod
    def _finish(span: trace.Span, operation: ObservedOperation) -> None:
        problem = operation.error_type
        if problem:
            span.set_attribute("error.type", problem)
            if operation.code is not None and operation.role != "fetch":
                span.set_attribute("rpc.response.status_code", str(operation.code))
            words = one_line(operation.message[:_WORDS])
            span.set_status(Status(StatusCode.ERROR, words or None))
        if operation.role not in _WITHIN:
            span.set_attribute("dovetail.outcome", operation.outcome)
        if operation.role == "fetch" and operation.code is not None:
            span.set_attribute("http.response.status_code", operation.code)
        if operation.role == "client" and operation.id is not None:  # not known before it was sent
            span.set_attribute("jsonrpc.request.id", str(operation.id))
        for method in operation.asked:
            span.add_event("dovetail.question", {"mcp.method.name": method[:_SHOWN]})

    # Providers

    def _find_tracer(self, now: float) -> trace.Tracer | None:
        if not self._traces or now < self._tracer_due:
            return None
        provider = self._tracers or trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            self._tracer_due = now + LOOK_AGAIN  # nothing is set up yet
            return None
        self._tracer = provider.get_tracer(_SCOPE)
        return self._tracer

    def _find_instruments(self, now: float) -> _MeterInstruments | None:
        if not self._metrics or now < self._meter_due:
            return None
        provider = self._meters or metrics.get_meter_provider()
        if type(provider).__name__ == "_ProxyMeterProvider":  # it has no public name
            self._meter_due = now + LOOK_AGAIN
            return None
        self._instruments = _MeterInstruments(provider.get_meter(_SCOPE), self._sources)
        return self._instruments


class _OpenSpan:
    """A span that is open, and what made it the current one."""

    __slots__ = ("span", "token")

    def __init__(self, span: trace.Span, token: Token[Any]) -> None:
        self.span = span
        self.token = token


class _MeterInstruments:
    """The instruments of one meter."""

    def __init__(self, meter: metrics.Meter, sources: GaugeSources) -> None:
        def duration(name: str) -> metrics.Histogram:
            return meter.create_histogram(
                name,
                unit="s",
                description=signals.DESCRIPTIONS[name],
                explicit_bucket_boundaries_advisory=signals.BUCKETS,
            )

        self.durations = {
            "server": duration(signals.SERVER_DURATION),
            "client": duration(signals.CLIENT_DURATION),
            "store": duration(signals.STORE_DURATION),
            "fetch": duration(signals.FETCH_DURATION),
        }
        self.sessions = {
            "server": duration(signals.SERVER_SESSION),
            "client": duration(signals.CLIENT_SESSION),
        }
        self.refusals = meter.create_counter(
            signals.REFUSALS, "{message}", signals.DESCRIPTIONS[signals.REFUSALS]
        )
        self.reconnects = meter.create_counter(
            signals.RECONNECTS, "{connection}", signals.DESCRIPTIONS[signals.RECONNECTS]
        )
        self.gauges = [
            meter.create_observable_gauge(name, [_reading(name, sources)], unit, text)
            for name, (unit, text) in signals.GAUGES.items()
        ]


def _reading(name: str, sources: GaugeSources) -> Any:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        value = sources.read().get(name)
        return () if value is None else (Observation(value),)

    return read


def _carried(members: Mapping[str, Any] | None) -> dict[str, str]:
    """What is there of trace context, as far as it is good. Nothing counts without a good ``traceparent``, but
    baggage, which stands for itself.
    """
    found: dict[str, str] = {}
    if members:
        for name, check in _CHECKS:
            value = members.get(name)
            if value is not None and check(value):
                found[name] = value
        if names.META_TRACEPARENT not in found:
            found.pop(names.META_TRACESTATE, None)
    return found


def _note_round(opened: rounds.Rounds) -> None:
    """A call opens its rounds: link to the span of the round before, and leave this one's for the next."""
    span = trace.get_current_span()
    before = opened.trace
    if before and is_traceparent(before):
        context = trace.get_current_span(
            propagate.extract({names.META_TRACEPARENT: before})
        ).get_span_context()
        if context.is_valid and span.is_recording():
            span.add_link(context, {"dovetail.link": "previous_round"})
    own = span.get_span_context()
    if own.is_valid:
        opened.trace = f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags & 1:02x}"


@contextmanager
def _continued() -> Any:
    """Between rounds: where the program has no span of its own, what follows belongs to the trace of the first."""
    before = _asking.get(None)
    if before is None or trace.get_current_span().get_span_context().is_valid:
        yield
        return
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(before)))
    try:
        yield
    finally:
        otel_context.detach(token)
