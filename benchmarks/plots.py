"""Plots as SVG, written by hand: lines over logarithmic axes, and bars. Readable on light and dark pages.

Each contestant keeps its colour and its mark everywhere; the colours are told apart by people who see few of
them, and the name stands at the end of each line, so that no legend has to be looked up.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT
from .figures import digits

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 150, 56, 60
# On light pages, on dark ones, and the pattern of the line.
COLOURS = {
    OURS: ("#0072b2", "#56b4e9", ""),
    MCP: ("#d55e00", "#ff8c42", ""),
    MCP_FAST: ("#b8860b", "#e69f00", "7 4"),
    FASTMCP: ("#009e73", "#2fd6a5", "2 4"),
    TYPESCRIPT: ("#a0527f", "#cc79a7", "9 3 2 3"),
    FLOOR: ("#666666", "#aaaaaa", "3 3"),
}
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis. ``values``: what has to fit on it; ``marks``: where its marks are, else at powers of ten."""

    title: str
    values: Sequence[float]
    start: float
    end: float
    marks: Sequence[float] = ()

    @property
    def low(self) -> float:
        """The exponent where it begins."""
        least = math.log10(min(self.values))
        return least if self.marks else math.floor(least + 1e-9)

    @property
    def high(self) -> float:
        """The exponent where it ends."""
        most = math.log10(max(self.values))
        return max(most if self.marks else math.ceil(most - 1e-9), self.low + 0.3)

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """The values that are marked."""
        if self.marks:
            return list(self.marks)
        return [10.0**power for power in range(int(self.low), int(self.high) + 1)]


def lines(
    title: str, x_title: str, y_title: str, series: Mapping[str, Points], *, marks: Sequence[float] = ()
) -> str:
    """A plot of lines; ``series`` by contestant, every value above zero. ``marks``: those of the x axis."""
    shown = {name: sorted(points) for name, points in series.items() if points}
    xs = Axis(x_title, [x for points in shown.values() for x, _ in points], LEFT, WIDTH - RIGHT, marks)
    ys = Axis(y_title, [y for points in shown.values() for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [*_grid(xs, ys)]
    for name, points in shown.items():
        path = " ".join(f"{xs.at(x):.1f},{ys.at(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="line {_class(name)}" points="{path}"/>')
        parts += [
            f'<circle class="dot {_class(name)}" cx="{xs.at(x):.1f}" cy="{ys.at(y):.1f}" r="3.5"/>'
            for x, y in points
        ]
    ends = {name: ys.at(points[-1][1]) for name, points in shown.items()}
    for name, y in apart(ends).items():
        x = xs.at(shown[name][-1][0]) + 10
        parts.append(
            f'<text class="name {_class(name)}" x="{x:.1f}" y="{y + 4:.1f}">{html.escape(name)}</text>'
        )
    return _svg(title, parts, shown, HEIGHT)


def bars(title: str, unit: str, entries: Sequence[tuple[str, str, float]]) -> str:
    """Bars from one zero; ``entries``: contestant, label, value."""
    height = TOP + 34 * len(entries) + 24
    most = max(value for _, _, value in entries)
    room = WIDTH - 230 - 110
    parts: list[str] = []
    for row, (name, label, value) in enumerate(entries):
        y = TOP + 34 * row
        width = max(value / most * room, 1.5)
        parts.append(
            f'<text class="label" x="220" y="{y + 17}" text-anchor="end">{html.escape(label)}</text>'
        )
        parts.append(
            f'<rect class="bar {_class(name)}" x="230" y="{y}" width="{width:.1f}" height="24" rx="2"/>'
        )
        parts.append(
            f'<text class="value" x="{236 + width:.1f}" y="{y + 17}">{digits(value)} {html.escape(unit)}</text>'
        )
    return _svg(title, parts, [name for name, _, _ in entries], height)


def apart(places: Mapping[str, float], least: float = 16) -> dict[str, float]:
    """Labels moved so that none covers another, each as near to its place as that allows, in the same order."""
    ordered = sorted(places.items(), key=lambda item: item[1])
    groups: list[tuple[list[str], float]] = []  # who, and the middle of the group
    for name, place in ordered:
        groups.append(([name], place))
        while len(groups) > 1:
            (above, high), (below, low) = groups[-2:]
            if low - high >= least * (len(above) + len(below)) / 2:
                break
            middle = (high * len(above) + low * len(below)) / (len(above) + len(below))
            groups[-2:] = [(above + below, middle)]
    return {
        name: middle + (index - (len(names) - 1) / 2) * least
        for names, middle in groups
        for index, name in enumerate(names)
    }


def short(value: float) -> str:
    """A mark: 1, 100, 10k, 1M."""
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def _grid(xs: Axis, ys: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []
    for value in xs.ticks():
        x = f"{xs.at(value):.1f}"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">{short(value)}</text>'
        )
    for value in ys.ticks():
        y = ys.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
        )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="axis" x="{(LEFT + right) / 2}" y="{HEIGHT - 16}" text-anchor="middle">'
        f"{html.escape(xs.title)}</text>"
    )
    parts.append(
        f'<text class="axis" x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">'
        f"{html.escape(ys.title)}</text>"
    )
    return parts


def _class(name: str) -> str:
    return "c" + str(list(COLOURS).index(name))


def _svg(title: str, parts: Sequence[str], names: Iterable[str], height: int) -> str:
    light = [
        "svg{background:#ffffff}text{font:13px system-ui,sans-serif;fill:#222222}",
        ".title{font-size:16px;font-weight:600}.tick,.value{font-size:12px;fill:#555555}",
        ".grid{stroke:#dddddd;stroke-width:1}.line{fill:none;stroke-width:2.5}.name{font-weight:600}",
    ]
    dark = ["svg{background:#15181d}text{fill:#e6e6e6}.tick,.value{fill:#b0b0b0}.grid{stroke:#383d45}"]
    for name in dict.fromkeys(names):
        on_light, on_dark, dashes = COLOURS[name]
        mark = _class(name)
        pattern = f"stroke-dasharray:{dashes}" if dashes else ""
        light.append(
            f".line.{mark}{{stroke:{on_light};{pattern}}}.dot.{mark},.bar.{mark},.name.{mark}{{fill:{on_light}}}"
        )
        dark.append(f".line.{mark}{{stroke:{on_dark}}}.dot.{mark},.bar.{mark},.name.{mark}{{fill:{on_dark}}}")
    style = f"{''.join(light)}@media (prefers-color-scheme:dark){{{''.join(dark)}}}"
    shown = html.escape(title)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{shown}">',
            f"<style>{style}</style>",
            f'<text class="title" x="20" y="30">{shown}</text>',
            *parts,
            "</svg>",
            "",
        )
    )
