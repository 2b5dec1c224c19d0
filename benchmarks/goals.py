"""The table: its rows, the figure of each that counts, and the goals.

Rates decide between us and a peer, for that is what a user sees. Against a floor the CPU per request decides:
there the load's own core may be the busier one, which would flatter us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .contestants import FASTMCP, FLOOR, MCP, MCP_FAST, OURS, TYPESCRIPT
from .figures import Sample, Spread, Verdict, ratios, spread, verdict

Samples = Mapping[str, Sequence[Sample | None]]
Measured = Mapping[str, Samples]
PEERS = (MCP, MCP_FAST, FASTMCP, TYPESCRIPT)


@dataclass(frozen=True)
class Goal:
    """What a figure is held to.

    With ``against``, a ratio of ours to that contestant's (``measure`` and ``figure``: where it is another one
    there), turned so that more is better for ``faster`` and less is better for ``share``. Without, the figure
    itself, ``at most``. ``against`` "fastest peer" is whichever peer did best in most rounds.
    """

    bound: float
    sense: Literal["faster", "share", "at most"] = "faster"
    against: str = MCP
    figure: str = ""
    measure: str = ""
    label: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table. ``more``: whether more of the figure is better."""

    title: str
    measure: str
    figure: str
    unit: str
    more: bool
    goals: tuple[Goal, ...] = ()
    beside: str = ""


@dataclass(frozen=True)
class Judged:
    """What came of a goal."""

    goal: Goal
    text: str
    value: Spread | None
    verdict: Verdict


def judge(row: Row, goal: Goal, measured: Measured) -> Judged:
    """Hold what was measured to a goal."""
    samples = measured.get(row.measure, {})
    ours = samples.get(OURS, ())
    figure = goal.figure or row.figure
    if goal.sense == "at most":
        value = spread(ours, figure)
        met = verdict(value.median if value else None, goal.bound, "at most")
        return Judged(goal, goal.label or f"at most {goal.bound:g} {row.unit}", value, met)
    theirs = measured.get(goal.measure or row.measure, {})
    against = goal.against
    if against == "fastest peer":
        against = fastest(theirs, figure, more=_more(figure)) or MCP
    # More is better in what is held to "at least", less in what is held to "at most".
    mine, other = ours, theirs.get(against, ())
    if _more(figure) != (goal.sense == "faster"):
        mine, other = other, mine
    value = ratios(mine, other, figure)
    met = verdict(
        value.median if value else None, goal.bound, "at least" if goal.sense == "faster" else "at most"
    )
    return Judged(goal, goal.label or _words(goal, figure, against), value, met)


def fastest(samples: Samples, figure: str, *, more: bool) -> str | None:
    """The peer with the best median."""
    found = {peer: middle.median for peer in PEERS if (middle := spread(samples.get(peer, ()), figure))}
    if not found:
        return None
    return max(found, key=lambda peer: found[peer] if more else -found[peer])


def _more(figure: str) -> bool:
    return figure == "rate"


def _words(goal: Goal, figure: str, against: str) -> str:
    named = {"p99": ", p99", "cpu": ", CPU"}.get(figure, "")
    if goal.sense == "faster":
        return f"at least {goal.bound:g} x {against}{named}"
    share = f"1/{1 / goal.bound:.0f}" if goal.bound in {1 / n for n in range(2, 20)} else f"{goal.bound:g}"
    return f"at most {share} of {against}{named}"


def _floor(least: float) -> Goal:
    return Goal(least, against=FLOOR, figure="cpu", label=f"at least {least:g} of the floor (CPU)")


_CALL = Row("HTTP 2026-07-28 tools/call", "call 16", "rate", "/s", more=True, beside="cpu")
_CALL_GOALS = (Goal(8), Goal(5, against=MCP_FAST), _floor(0.65))
_EIGHTH = Goal(1 / 8, "share", figure="p99", label="at most 1/8 of mcp, p99")
_TWICE = Goal(2, "share", FLOOR, "p99", label="at most 2 x the floor, p99")
_FASTEST = Goal(1, "share", "fastest peer", label="no slower than the fastest peer")
# The load, which has to read a quarter of a megabyte each time, is the limit of the rate: CPU tells the servers apart.
_LIST = Goal(300, figure="cpu", label="at least 300 x mcp (CPU)")
_TASKS = Goal(10, against=FASTMCP, figure="cpu", label="at least 10 x fastmcp (CPU)")
_PROXY = (Goal(10, against=FASTMCP),)
_THROUGH = (Goal(2.5, "at most", label="at most 2.5 x a direct call"),)
_AHEAD = Goal(1, against=TYPESCRIPT, label="ahead of the TypeScript SDK")
_COPIES = Goal(3, "at most", figure="copies", label="at most 3 copies in memory")


def _large(title: str, measure: str) -> Row:
    return Row(title, measure, "ms", "ms", more=False, goals=(_FASTEST, _COPIES), beside="copies")


def _user(way: str, transport: str) -> tuple[Row, ...]:
    """The rows of a client that calls through a proxy or a gateway, held to its own direct calls."""
    measure = f"user {transport.lower()} {way}"
    if way == "direct":
        return (
            Row(f"a client's call over {transport}, one at a time", measure, "us", "us", more=False),
            Row("... 16 at once", measure, "rate", "/s", True, (), "cpu"),
        )
    which = f"{transport}, {way}"
    return (
        Row(f"... through a {way}, one at a time", measure, "us", "us", more=False),
        Row(f"... over its direct call ({which})", measure, "alone", "x", False, _THROUGH),
        Row(f"... through a {way}, 16 at once", measure, "rate", "/s", True, (), "cpu"),
        Row(f"... time over direct calls ({which})", measure, "together", "x", False, _THROUGH),
        Row(f"... CPU of all, over direct calls ({which})", measure, "calls", "x", False, _THROUGH),
    )


USERS = tuple(
    row
    for transport in ("HTTP", "stdio")
    for way in ("direct", "proxy", "gateway")
    for row in _user(way, transport)
)
ROWS: tuple[Row, ...] = (
    replace(_CALL, title=f"{_CALL.title}, 16 connections", goals=_CALL_GOALS),
    replace(
        _CALL,
        title=f"{_CALL.title}, 64 connections",
        measure="call 64",
        goals=(*_CALL_GOALS, _EIGHTH, _TWICE),
    ),
    Row("... p99 at 64 connections", "call 64", "p99", "ms", more=False),
    Row("HTTP 2025-11-25, no session, JSON", "plain", "rate", "/s", True, (Goal(14),), "cpu"),
    Row("HTTP 2025-11-25, session, SSE, event log", "session sse", "rate", "/s", True, (Goal(16),), "cpu"),
    Row("HTTP 2025-11-25, session, JSON", "session json", "rate", "/s", True, (Goal(8),), "cpu"),
    Row("stdio, one at a time", "stdio 1", "rate", "/s", True, (Goal(4.5), _AHEAD), "cpu"),
    Row("stdio, 64 in flight", "stdio 64", "rate", "/s", True, (Goal(25),), "cpu"),
    Row(
        "import of the package",
        "import",
        "ms",
        "ms",
        False,
        (Goal(1 / 5, "share"),),
    ),
    Row("import of what a server needs", "import server", "ms", "ms", more=False),
    Row("first stdio answer from process start", "first answer", "ms", "ms", False, (Goal(1 / 5, "share"),)),
    Row("its peak memory", "peak memory", "bytes", "B", False, (Goal(0.55, "share"),)),
    Row("tools/list of 1000 tools", "list 1000", "rate", "/s", True, (_LIST,), "cpu"),
    Row(
        "tools/call among 1000 tools",
        "call of 1000",
        "cpu",
        "us",
        False,
        (Goal(1.05, "share", OURS, measure="call of 5", label="no slower than among 5 (within 5 %)"),),
    ),
    Row(
        "nested argument, msgspec",
        "nested struct",
        "rate",
        "/s",
        True,
        (Goal(8, measure="nested model", label="at least 8 x mcp (pydantic)"),),
        "cpu",
    ),
    Row("nested argument, dataclass", "nested dataclass", "rate", "/s", True, (Goal(8),), "cpu"),
    Row("nested argument, pydantic or zod", "nested model", "rate", "/s", True, (Goal(3.5),), "cpu"),
    _large("10 MB result, HTTP", "large http result"),
    _large("10 MB argument, HTTP", "large http argument"),
    _large("10 MB result, stdio", "large stdio result"),
    _large("10 MB argument, stdio", "large stdio argument"),
    Row("idle session", "idle session", "bytes", "B", False, (Goal(4096, "at most", label="at most 4 KiB"),)),
    Row(
        "open GET stream",
        "get stream",
        "bytes",
        "B",
        False,
        (Goal(15360, "at most", label="at most 15 KiB"),),
    ),
    Row(
        "open listen stream",
        "listen stream",
        "bytes",
        "B",
        False,
        (Goal(15360, "at most", label="at most 15 KiB"),),
    ),
    Row("client call over HTTP, CPU", "client http", "cpu", "us", False, (Goal(1 / 6, "share"),)),
    Row("client call in memory, CPU", "client memory", "cpu", "us", False, (Goal(1 / 4, "share"),)),
    Row("a call with 100 progress notifications", "progress", "rate", "/s", True, (Goal(8),), "cpu"),
    Row(
        "... CPU of each message",
        "progress",
        "message",
        "us",
        False,
        (Goal(1.5, "share", FLOOR, label="close to the write itself (at most 1.5 of the floor)"),),
    ),
    Row(
        "a change told to 500 listen streams, CPU of each",
        "fan-out",
        "cpu",
        "us",
        False,
        (
            Goal(8, against=MCP),
            Goal(1.5, "share", FLOOR, label="close to the write itself (at most 1.5 of the floor)"),
        ),
    ),
    Row("a round of questions, CPU", "round", "cpu", "us", more=False),
    Row(
        "... over two plain calls",
        "round",
        "calls",
        "x",
        False,
        (Goal(1.5, "at most", label="at most 1.5 x two plain calls"),),
    ),
    Row("a call through a proxy, before HTTP", "proxy http", "rate", "/s", True, _PROXY, "cpu"),
    Row("... over a direct call (CPU of all)", "proxy http", "calls", "x", False, _THROUGH),
    Row("a call through a proxy, before stdio", "proxy stdio", "rate", "/s", True, _PROXY, "cpu"),
    Row("... over a direct call (CPU of all)", "proxy stdio", "calls", "x", False, _THROUGH),
    Row("a call through a gateway, before twelve", "gateway", "rate", "/s", True, _PROXY, "cpu"),
    Row("... over a direct call (CPU of all)", "gateway", "calls", "x", False, _THROUGH),
    *USERS,
    Row(
        "a call in a session, sessions in memory",
        "session memory",
        "cpu",
        "us",
        False,
        (Goal(8), _floor(0.3)),
    ),
    *(
        Row(
            f"... in {title}",
            f"session {kind}",
            "cpu",
            "us",
            False,
            (
                Goal(bound, "share", OURS, measure="session memory", label=f"at most {bound:g} x memory"),
                Goal(1, measure="session memory", label="ahead of mcp in memory"),
            ),
        )
        for kind, title, bound in (
            ("sqlite", "SQLite", 4),
            ("redis", "Redis", 4),
            ("postgres", "PostgreSQL", 5),
        )
    ),
    Row(
        "a change told to 1,000 listen streams on three workers, CPU of each",
        "fan-out 3",
        "cpu",
        "us",
        False,
        (
            Goal(6, label="at least 6 x mcp (at one worker)"),
            Goal(2, "share", FLOOR, label="at most 2 x the floor (at one worker)"),
        ),
    ),
    Row(
        "5,000 idle sessions and 1,000 listen streams", "crowd", "bytes", "B", False, (Goal(1 / 3, "share"),)
    ),
    Row(
        "... CPU of a second in which nothing happens",
        "crowd",
        "idle",
        "ms",
        False,
        (Goal(10, "at most", label="at most 1 %"),),
    ),
    Row("... p99 of a call meanwhile", "crowd", "p99", "ms", more=False),
    Row("a task: started, run, fetched; kept in memory", "task memory", "rate", "/s", True, (_TASKS,), "cpu"),
    Row("... in SQLite", "task sqlite", "rate", "/s", True, (), "cpu"),
    Row("... in Redis", "task redis", "rate", "/s", True, (_TASKS,), "cpu"),
    Row("... in PostgreSQL", "task postgres", "rate", "/s", True, (), "cpu"),
    Row("a task's end until who listens knows it", "task told", "p50", "ms", more=False),
    Row("... p99", "task told", "p99", "ms", False, (Goal(20, "at most", label="at most 20 ms"),)),
    Row("... until who asks every 200 ms knows it", "task asked for", "p50", "ms", more=False),
    Row("... p99", "task asked for", "p99", "ms", more=False),
    Row(
        "10,000 tasks that wait for an answer, memory of each",
        "task waiting memory",
        "bytes",
        "B",
        False,
        (Goal(4096, "at most", label="at most 4 KiB"), Goal(1 / 2, "share", FASTMCP)),
    ),
    Row(
        "... with their records in Redis",
        "task waiting redis",
        "bytes",
        "B",
        False,
        (Goal(1024, "at most", label="at most 1 KiB"),),
    ),
)
