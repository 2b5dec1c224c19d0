"""The arithmetic of the results: medians, percentiles, ratios round by round, and whether a goal is met.

A *sample* is what one contestant did in one round: figures by name. A ratio is taken within each round, where
both ran next to each other, and the median of the ratios is what counts; the ratio of two medians would mix
rounds that differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Sample = dict[str, float]


@dataclass(frozen=True)
class Spread:
    """The middle, the least and the most of some figures."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one figure."""
        return cls(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed (nearest rank). Of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def spread(samples: Sequence[Sample | None], figure: str) -> Spread | None:
    """Of one figure over the rounds; None if nobody measured it."""
    values = [sample[figure] for sample in samples if sample is not None and figure in sample]
    return Spread.of(values) if values else None


def ratios(
    ours: Sequence[Sample | None],
    theirs: Sequence[Sample | None],
    figure: str,
    theirs_figure: str | None = None,
) -> Spread | None:
    """Ours over theirs, of each round in which both were measured; None if there is no such round.

    ``theirs_figure``: where it has another name there.
    """
    named = theirs_figure or figure
    found = [
        mine[figure] / other[named]
        for mine, other in zip(ours, theirs, strict=False)
        if mine is not None and other is not None and figure in mine and other.get(named)
    ]
    return Spread.of(found) if found else None


Verdict = Literal["met", "missed", "-"]


def verdict(value: float | None, bound: float, sense: Literal["at least", "at most"]) -> Verdict:
    """Whether a figure keeps to its bound; "-" where there is none."""
    if value is None:
        return "-"
    return "met" if (value >= bound if sense == "at least" else value <= bound) else "missed"


def scaled(value: float, unit: str) -> str:
    """A figure with three digits that matter and the unit that suits it.

    Units: ``/s``, ``us`` (microseconds), ``ms``, ``B`` (bytes), ``x`` (times), ``%``; others stand as they are.
    """
    if unit == "us" and value >= 1000:
        value, unit = value / 1000, "ms"
    if unit == "ms" and value >= 1000:
        value, unit = value / 1000, "s"
    elif unit == "ms" and value < 0.1:
        value, unit = value * 1000, "us"
    if unit == "B":
        for larger in ("KiB", "MiB", "GiB"):
            if abs(value) < 1024:
                break
            value, unit = value / 1024, larger
    return f"{digits(value)} {unit}".strip()


def digits(value: float) -> str:
    """Three digits that matter, thousands parted by a comma."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        rounded = round(value, 2 - math.floor(math.log10(abs(value))))
        return f"{rounded:,.0f}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 4)}f}"
