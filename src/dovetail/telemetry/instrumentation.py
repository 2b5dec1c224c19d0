"""Switching telemetry on for a whole program, without a change to it.

Theory of operation. `instrument` notes what makes observers; every `App` and `Client` that is made afterwards, and was
told of no ``telemetry``, asks for them. `DovetailInstrumentor` is what ``opentelemetry-instrument`` finds by its entry
point and calls before the program begins: so a program that is started by it has spans and metrics, and one that is
not pays nothing, whatever it has imported.

Specification: OpenTelemetry, "Zero-code instrumentation", Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..runtime.observer import Observer, everywhere

__all__ = ["DovetailInstrumentor", "instrument", "uninstrument"]


def instrument(make: Callable[[], Observer] | None = None) -> None:
    """Have every `App` and `Client` observed that is made from now on, unless it is told ``telemetry=`` itself.

    ``make`` gives the observer of each; by default an `OpenTelemetry`, which needs the extra ``otel`` (ImportError).
    The same one counts once.
    """
    if make is None:
        from .opentelemetry import OpenTelemetry

        make = OpenTelemetry
    if make not in everywhere:
        everywhere.append(make)


def uninstrument(make: Callable[[], Observer] | None = None) -> None:
    """Take back what `instrument` was told: of ``make``, or all. What was made before stays as it is."""
    if make is None:
        everywhere.clear()
    elif make in everywhere:
        everywhere.remove(make)


class DovetailInstrumentor:
    """What OpenTelemetry's automatic instrumentation calls; `instrument` does the same for a program that calls it."""

    def __init__(self) -> None:
        self._made: Callable[[], Observer] | None = None

    def instrument(self, **options: Any) -> None:
        """Switch spans and metrics on. ``tracer_provider``, ``meter_provider``: as for `OpenTelemetry`; others are
        ignored.
        """
        from functools import partial

        from .opentelemetry import OpenTelemetry

        given = {
            name: options[name]
            for name in ("tracer_provider", "meter_provider")
            if options.get(name) is not None
        }
        self._made = partial(OpenTelemetry, **given) if given else OpenTelemetry
        instrument(self._made)

    def uninstrument(self, **options: Any) -> None:
        """Switch them off again for what is made from now on."""
        if self._made is not None:
            uninstrument(self._made)
