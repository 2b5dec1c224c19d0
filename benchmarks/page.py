"""``docs/performance.md`` and its plots, made from a file of results and from ``notes.md``.

What people have to add, what did not help and what is left, stands in ``benchmarks/notes.md`` and is taken
into the page as it is. Plots without points are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import report
from .contestants import EVERYONE, FLOOR, MCP_FAST, OURS, TITLES
from .goals import ROWS, Row
from .measures.growth import BYTES, CONNECTIONS, TOOLS
from .plots import bars, lines
from .suite import Results

NOTES = Path(__file__).resolve().parent / "notes.md"
INTRO = """\
# Performance

<!-- Written by `python -m benchmarks --page results/bench.json`; what people wrote is in benchmarks/notes.md. -->

What a call costs, next to the other implementations and to the *floor*: a server on the same stack that decodes and
encodes typed messages and does nothing else. Each row comes from one run of one command, all of them from one machine;
run it on yours.

<!-- not run: it takes half an hour -->
```bash
make bench
```
"""
METHOD = """\
## How it is measured

* Ours is the normal `App` with every default on: checks of host, origin and length, validation of arguments and
  results, limits, cancellation, subscriptions. No measure has a path of its own. The peers are written as their
  documentation teaches; what they log goes nowhere. "mcp+" is `mcp` with `httptools` and `uvloop`, served by uvicorn.
* The server runs on one core, the load on another. Each server is a fresh process in each round, warmed up for the
  same time. Rounds go A B C and then C B A; a ratio is taken within each round, and the table shows the median of the
  ratios with the least and the most.
* The load is a loop over sockets with prebuilt requests, one in flight on each connection, nothing pipelined. Every
  answer is checked; one wrong answer and the measure does not count. With a core of its own it never sleeps but looks
  again: on a virtual machine, waking a sleeping process on another core costs whoever writes to it some 15 us, which
  every server slower than the load would pay for each answer, and the floor would not.
* CPU is that of the server's process (for the client rows: the client's), kernel time included, by its own clock.
  Against peers the rate decides; against the floor CPU per request does, for there the load may be what limits.
* Copies: how far the server's memory rose above what it had, over the size of the payload, in the first large call.
  Memory of sessions, streams and tasks: growth of the private memory of the process, parted among many.
* A task is a call of `add` with the extension of 2026-07-28: made, run, and asked for until its result is there, by 16
  connections with four tasks each. One that still works is asked for again after 10 ms, and twice as long each further
  time. "Until who listens knows it" begins in the last line of the body and ends when the result has arrived. Tasks
  that wait are at a question that nobody answers, and each was seen to wait; of peers there are 1,000. Engines of
  stores share the load's core: in their rows read the CPU.
* A call through a proxy is one of 16 connections over HTTP, with the same server of ours behind ours and theirs, over
  HTTP and on stdio; both share a core, and the CPU is that of both. Set beside it is a direct call over HTTP. Our
  gateway has that server twelve times behind it, and the last one is called; beside it stands fastmcp's proxy. There
  the load costs nothing, so a direct call is a server's part alone, and one through a proxy that part twice and a
  client's besides.
* A client's call is what the user of a client sees: one client of that library calls our server directly, through a
  proxy, and through a gateway before twelve, all on the same transport, in turns of a quarter of a second and in one
  run; one call at a time (the median), and 16 at once. Nothing is bound to a core. The CPU is that of client, proxy and
  server together. A call through a proxy is two such calls, and the passing on.
* One setting of the peers is no default: bodies of 16 MiB where there is an option for it, as ours takes them.
"""
PLOTS = (
    ("connections rate", "connections", "connections", "requests per second", CONNECTIONS),
    ("connections p99", "latency", "connections", "p99, milliseconds", CONNECTIONS),
    ("tools cpu", "tools", "tools that the server has", "CPU of a call, microseconds", TOOLS),
    ("result cpu", "results", "bytes of the result", "CPU of a call, microseconds", BYTES),
    ("argument cpu", "arguments", "bytes of the argument", "CPU of a call, microseconds", BYTES),
)
TITLES_OF_PLOTS = {
    "connections rate": "tools/call over HTTP, by connections",
    "connections p99": "The slowest of a hundred calls, by connections",
    "tools cpu": "A call, by how many tools there are",
    "result cpu": "A call, by the size of its result",
    "argument cpu": "A call, by the size of its argument",
}


def write(results: Results, docs: Path) -> list[Path]:
    """Write the page and its plots below ``docs``. Gives the files."""
    folder = docs / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = dict(plots(results))
    for name, (_, svg) in pictures.items():
        (folder / f"{name}.svg").write_text(svg)
    page = docs / "performance.md"
    page.write_text(text(results, {name: alt for name, (alt, _) in pictures.items()}))
    return [page, *(folder / f"{name}.svg" for name in pictures)]


def plots(results: Results) -> list[tuple[str, tuple[str, str]]]:
    """Name, what it shows, and the SVG of each plot that there are points for."""
    found: list[tuple[str, tuple[str, str]]] = []
    rates = report.median_of(results, "call 64", EVERYONE, "rate")
    if rates:
        title = "tools/call over HTTP, 64 connections: requests per second"
        entries = [(name, TITLES[name], value) for name, value in rates]
        found.append(("calls", (title, bars(title, "/s", entries))))
    for key, name, x_title, y_title, marks in PLOTS:
        series = {who: points for who in EVERYONE if (points := _points(results, key, who))}
        if series:
            title = TITLES_OF_PLOTS[key]
            found.append((name, (title, lines(title, x_title, y_title, series, marks=marks))))
    workers = [
        (who, f"{who}, {count:.0f} process{'es' if count > 1 else ''}", rate)
        for who in (OURS, MCP_FAST, FLOOR)
        for count, rate in _points(results, "workers rate", who)
    ]
    if workers:
        title = "One process and two, sharing the cores with the load"
        found.append(("workers", (title, bars(title, "/s", workers))))
    return found


def _points(results: Results, key: str, who: str) -> list[tuple[float, float]]:
    return [(x, y) for x, y in results.growth.get(key, {}).get(who, ()) if x > 0 and y > 0]


def text(results: Results, pictures: dict[str, str]) -> str:
    """The page."""
    names = report.measured_names(results)
    growing = [name for name in pictures if name != "calls"]
    parts = [INTRO, *(_picture(name, pictures[name]) for name in pictures if name == "calls")]
    parts += ["## Goals\n", _goals(results), "## Figures\n", _legend(names), _figures(results, names)]
    if growing:
        parts += ["## How cost grows\n", *(_picture(name, pictures[name]) for name in growing)]
    parts.append(METHOD)
    parts.append(_machine(results.about))
    missing = report.missing(results)
    if missing:
        parts += ["Without a figure:\n", "".join(f"* {line}\n" for line in missing)]
    saturated = report.saturated(results)
    if saturated:
        parts += ["Where the load was the limit:\n", "".join(f"* {line}\n" for line in saturated)]
    parts.append(NOTES.read_text())
    return "\n".join(parts)


def _picture(name: str, alt: str) -> str:
    return f"![{alt}](performance/{name}.svg)\n"


def _legend(names: Sequence[str]) -> str:
    told = "Requests per second, with the CPU of each below; times, memory and copies as marked."
    return f"{told} {'; '.join(f'{name}: {TITLES[name]}' for name in names if TITLES[name] != name)}.\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines_ = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines_ += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines_) + "\n"


def _goals(results: Results) -> str:
    rows: list[list[str]] = []
    for row, found in report.judged(results):
        rows += [
            [
                row.title,
                each.text,
                report.told(each.value),
                "**missed**" if each.verdict == "missed" else each.verdict,
            ]
            for each in found
            if row.measure in results.measures
        ]
    return _table(("measure", "goal", "found (least to most)", ""), rows)


def _figures(results: Results, names: Sequence[str]) -> str:
    rows = [
        [row.title, *(_cell(results, row, name) for name in names)]
        for row in ROWS
        if row.measure in results.measures
    ]
    return _table(("measure", *names), rows)


def _cell(results: Results, row: Row, name: str) -> str:
    first = report.cell(results, row, name)
    if first == "-" or not row.beside:
        return first
    unit = "us" if row.beside == "cpu" else "copies"
    return f"{first}<br>{report.cell(results, row, name, row.beside, unit)}"


def _machine(about: dict[str, Any]) -> str:
    machine: dict[str, str] = about["machine"]
    versions: dict[str, dict[str, str]] = about["versions"]
    bound = "server and load on a core each" if about["pinned"] else "server and load on the same core"
    lines_ = [
        "## The run\n",
        f"* {about['date']}, commit {about['commit'] or 'unknown'}, {about['rounds']} rounds: `{about['command']}`",
        f"* {machine['processor']}, {machine['cores']} cores ({bound}), {machine['memory']}, {machine['system']}",
        f"* {machine['python']}; load of the machine before the run: {machine['load before']}",
    ]
    for environment, shown in (
        ("ours", ("msgspec", "jsonschema_rs", "uvicorn", "httptools", "uvloop", "aiohttp", "pydantic")),
        ("mcp", ("mcp", "pydantic", "starlette", "uvicorn", "h11", "anyio")),
        ("mcp-fast", ("mcp", "uvicorn", "httptools", "uvloop")),
        ("fastmcp", ("fastmcp", "fastmcp_tasks", "pydocket", "mcp", "pydantic", "uvicorn")),
    ):
        there = versions.get(environment, {})
        known = {name.replace("-", "_"): version for name, version in there.items()}
        lines_.append(
            f"* {environment}: " + ", ".join(f"{name} {known[name]}" for name in shown if name in known)
        )
    lines_.append("* typescript: " + ", ".join(f"{n} {v}" for n, v in versions.get("typescript", {}).items()))
    return "\n".join(lines_) + "\n"
