"""The same metrics for Prometheus, without OpenTelemetry: counted by its own client, shown on a page.

Theory of operation. `prometheus_client` counts, since it is stable, needs nothing else and lets worker processes share
their counts; OpenTelemetry's exporter is a beta, and does neither. Names are what that exporter would make of them
(``mcp.server.operation.duration`` in seconds is ``mcp_server_operation_duration_seconds``), so dashboards need not
know. Attributes are bounded before they get here (`signals`), so the series are, too.

Several processes share a folder of counts (``PROMETHEUS_MULTIPROC_DIR``), and whichever is asked answers for all.
``App.run(workers=...)`` makes the folder; where somebody else starts the workers, it has to be there before the
program starts. How much goes on is then written down by each process every few seconds, and that of processes which
are gone is left out.

Specification: Prometheus, "Exposition formats"; OpenTelemetry, "Prometheus and OpenMetrics Compatibility".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ..logs import get_logger
from ..runtime.observer import Gauged, ObservedOperation, Observer, RefusedMessage, Role
from . import signals
from .gauges import GaugeSources
from .signals import AttributeTable

try:
    import prometheus_client as prometheus
    from prometheus_client import multiprocess, values
    from prometheus_client.core import GaugeMetricFamily
except ImportError as problem:
    raise ImportError(
        "metrics for Prometheus need its client: pip install 'dovetail[prometheus]'"
    ) from problem

__all__ = ["FOLDER", "Prometheus", "share_between_processes"]

log = get_logger("dovetail.telemetry")

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
#: Seconds between two notes of how much goes on, where several processes share a folder.
REFRESH: Final = 5.0
_MESSAGE: Final = (
    *(
        "mcp.method.name",
        "gen_ai.tool.name",
        "gen_ai.prompt.name",
        "gen_ai.operation.name",
        "dovetail.outcome",
    ),
    *(
        "error.type",
        "rpc.response.status_code",
        "mcp.protocol.version",
        "network.transport",
        "network.protocol.name",
    ),
)
_SESSION: Final = ("mcp.protocol.version", "network.transport", "network.protocol.name")
_STORE: Final = ("dovetail.store.operation", "dovetail.store.backend", "error.type")
_FETCH: Final = ("http.request.method", "http.response.status_code", "error.type")
_REFUSED: Final = ("dovetail.refusal.reason", "network.transport", "network.protocol.name")
_RECONNECTED: Final = ("network.transport", "network.protocol.name")


class Prometheus(Observer):
    """An observer that counts for Prometheus: ``App(telemetry=Prometheus())``; ``App.run("http", metrics="/metrics")``
    makes one where there is none, and serves its page.

    ``registry``: a `prometheus_client.CollectorRegistry` to count in (default: one of its own), so that what the
    program counts itself is on the same page. Raises ImportError without the extra ``prometheus``.
    """

    def __init__(self, *, registry: prometheus.CollectorRegistry | None = None) -> None:
        self.registry = registry = prometheus.CollectorRegistry() if registry is None else registry
        self._table = AttributeTable()
        self._sources = GaugeSources()
        self._children: dict[int, Any] = {}

        def duration(name: str, labels: tuple[str, ...]) -> _Labelled:
            return _Labelled(
                prometheus.Histogram(
                    _plain(name),
                    signals.DESCRIPTIONS[name],
                    [*map(_plain, labels)],
                    unit="seconds",
                    buckets=signals.BUCKETS,
                    registry=registry,
                ),
                labels,
            )

        def counter(name: str, labels: tuple[str, ...]) -> _Labelled:
            text = signals.DESCRIPTIONS[name]
            return _Labelled(
                prometheus.Counter(_plain(name), text, [*map(_plain, labels)], registry=registry), labels
            )

        self._durations = {
            "server": duration(signals.SERVER_DURATION, _MESSAGE),
            "client": duration(signals.CLIENT_DURATION, _MESSAGE),
            "store": duration(signals.STORE_DURATION, _STORE),
            "fetch": duration(signals.FETCH_DURATION, _FETCH),
        }
        self._sessions = {
            "server": duration(signals.SERVER_SESSION, _SESSION),
            "client": duration(signals.CLIENT_SESSION, _SESSION),
        }
        self._refusals = counter(signals.REFUSALS, _REFUSED)
        self._reconnects = counter(signals.RECONNECTS, _RECONNECTED)
        self._gauges: dict[str, prometheus.Gauge] = {}
        self._noting = 0
        registry.register(_Gauges(self._sources))

    @property
    def shared(self) -> bool:
        """Whether all processes count together."""
        return bool(getattr(values.ValueClass, "_multiprocess", False))

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        """See `Observer`."""
        attributes = self._table.of(operation)
        child = self._children.get(id(attributes))  # the table keeps each, so no id comes twice
        if child is None:
            child = self._children[id(attributes)] = self._durations[operation.role].child(attributes)
        child.observe(operation.duration)

    def refused(self, refusal: RefusedMessage) -> None:
        """See `Observer`."""
        attributes = {
            "dovetail.refusal.reason": refusal.reason,
            **signals.transport_attributes(refusal.transport),
        }
        self._refusals.child(attributes).inc()

    def session_ended(self, role: Role, revision: str, transport: str, seconds: float) -> None:
        """See `Observer`."""
        self._sessions[role].child(signals.session_attributes(revision, transport)).observe(seconds)

    def reconnected(self, transport: str) -> None:
        """See `Observer`."""
        self._reconnects.child(dict(signals.transport_attributes(transport))).inc()

    def watch(self, source: Gauged) -> None:
        """See `Observer`."""
        self._sources.add(source)
        if self.shared and self._noting != os.getpid():
            self._noting = os.getpid()
            threading.Thread(
                target=self._note, args=(os.getpid(),), name="dovetail-gauges", daemon=True
            ).start()

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """What is counted, and its content type: text, or OpenMetrics for who accepts it. For any thread."""
        encode, kind = prometheus.exposition.choose_encoder(accept)
        if not self.shared:
            return encode(self.registry), kind
        self._note_once()
        folder = os.environ[FOLDER]
        for each in Path(folder).glob("gauge_live*_*.db"):
            process = each.stem.rpartition("_")[2]
            if process.isdecimal() and not _lives(int(process)):
                _forget(int(process))
        everybody = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(everybody, folder)
        return encode(everybody), kind

    # Several processes

    def _note(self, process: int) -> None:
        pause = threading.Event()
        while os.getpid() == process and not pause.wait(REFRESH):
            try:
                self._note_once()
            except Exception:
                log.exception(
                    "what goes on could not be written down for Prometheus; no more is from this process"
                )
                return

    def _note_once(self) -> None:
        for name, value in self._sources.read().items():
            gauge = self._gauges.get(name)
            if gauge is None and name in signals.GAUGES:
                mode = "livemax" if name in signals.GREATEST else "livesum"
                gauge = self._gauges[name] = prometheus.Gauge(
                    _gauge_name(name), signals.GAUGES[name][1], multiprocess_mode=mode, registry=None
                )
            if gauge is not None:
                gauge.set(value)


class _Labelled:
    """A metric and the attributes that are its labels."""

    def __init__(self, metric: Any, labels: tuple[str, ...]) -> None:
        self._metric = metric
        self._labels = labels

    def child(self, attributes: dict[str, str]) -> Any:
        """What counts for these attributes; what is not there is an empty label."""
        return self._metric.labels(*[attributes.get(name, "") for name in self._labels])


class _Gauges:
    """How much goes on, read when the page is."""

    def __init__(self, sources: GaugeSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See `prometheus_client`."""
        for name, value in self._sources.read().items():
            if name in signals.GAUGES:
                yield GaugeMetricFamily(_gauge_name(name), signals.GAUGES[name][1], value=value)

    def describe(self) -> list[Any]:
        """See `prometheus_client`."""
        return []


def share_between_processes() -> None:
    """Count for all processes that will be forked from this one: make the folder for it, if there is none. It goes when
    this process ends.
    """
    if FOLDER not in os.environ:
        import atexit
        import shutil
        import tempfile

        folder, own = tempfile.mkdtemp(prefix="dovetail-metrics-"), os.getpid()
        os.environ[FOLDER] = folder
        atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == own else None)
    values.ValueClass = values.get_value_class()  # it was chosen when the client was imported


_forget: Final[Callable[[int], None]] = vars(multiprocess)["mark_process_dead"]


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _gauge_name(name: str) -> str:
    unit = signals.GAUGES[name][0]
    return _plain(name) + {"By": "_bytes", "s": "_seconds"}.get(unit, "")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
