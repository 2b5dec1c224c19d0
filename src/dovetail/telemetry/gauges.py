"""How much goes on in a process: what can be read, and is, when somebody asks.

Theory of operation. Endpoints and connections say how much goes on in them (`Gauged`); nothing is counted for it that
was not counted anyway. They are held weakly, so who watches keeps none of them alive.

Specification: none.
"""

from __future__ import annotations

from weakref import WeakSet

from ..runtime.observer import Gauged
from .signals import GREATEST

__all__ = ["GaugeSources"]


class GaugeSources:
    """What can be read of how much goes on: sources that are still there, summed by name."""

    def __init__(self) -> None:
        self._sources: WeakSet[Gauged] = WeakSet()

    def add(self, source: Gauged) -> None:
        """Read this one too, as long as it lives."""
        self._sources.add(source)

    def read(self) -> dict[str, float]:
        """The sums by name; of what can't be added, the greatest."""
        found: dict[str, float] = {}
        for source in tuple(self._sources):
            for name, value in source.gauges().items():
                known = found.get(name, 0.0)
                found[name] = max(known, value) if name in GREATEST else known + value
        return found
