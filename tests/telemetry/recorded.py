"""What was recorded: OpenTelemetry's own SDK, with what it exports kept in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dovetail.telemetry import OpenTelemetry


class Recorded:
    """An observer with providers of its own, and what came of it."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider(metric_readers=[self._reader])
        self.observer = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self._meters, **options)

    def spans(self, method: str = "", kind: str = "") -> list[ReadableSpan]:
        """The spans that have ended, of one method and kind, in order of their ends."""
        return [
            span
            for span in self._exporter.get_finished_spans()
            if (not method or (span.attributes or {}).get("mcp.method.name") == method)
            and (not kind or span.kind.name == kind)
        ]

    def one(self, method: str, kind: str) -> ReadableSpan:
        """The only one."""
        found = self.spans(method, kind)
        assert len(found) == 1, [span.name for span in found]
        return found[0]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def close(self) -> None:
        """Let go of the providers."""
        self.tracers.shutdown()
        self._meters.shutdown()


def id_of(span: ReadableSpan) -> int:
    """What identifies a span."""
    assert span.context is not None
    return span.context.span_id


def trace_of(span: ReadableSpan) -> int:
    """What identifies its trace."""
    assert span.context is not None
    return span.context.trace_id


def parent_of(span: ReadableSpan) -> int | None:
    """What identifies its parent."""
    return None if span.parent is None else span.parent.span_id
