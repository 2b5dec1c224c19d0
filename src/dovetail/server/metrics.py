"""What serves an app's metrics over HTTP: the page, and who may read it.

Specification: none; this is operation, not protocol.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..runtime.observer import ObserverGroup

__all__ = ["metrics_page"]


def metrics_page(
    observer: ObserverGroup, options: Mapping[str, Any], workers: int, added: Callable[[], None]
) -> Any:
    """The page at ``options["metrics"]``. ``added`` is called where nobody counted for it before.

    Raises ImportError without the extra ``prometheus``, and ValueError where several workers would each show their
    own counts.
    """
    from ..telemetry.prometheus import FOLDER, Prometheus
    from ..transports.http_server.metrics import MetricsPage

    found = next((each for each in observer.all if isinstance(each, Prometheus)), None)
    if found is None:
        found = Prometheus()
        observer.add(found)
        added()
    if workers > 1 and not found.shared:
        raise ValueError(
            f"metrics={options['metrics']!r} would show what one of {workers} workers counted: set {FOLDER} to an "
            "empty folder before the program starts, or serve it with App.run, which does that"
        )
    return MetricsPage(options["metrics"], found.page, options.get("metrics_allow_ips") or ())
