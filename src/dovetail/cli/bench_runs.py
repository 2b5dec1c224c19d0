"""What a measurement of ``dovetail bench`` came to: as lines, as JSON that can be kept, and beside another one.

Specification: none.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from .exits import UsageError

__all__ = [
    "SHARES",
    "BenchRun",
    "ClientCost",
    "as_plain",
    "compared",
    "lines_of",
    "ratios",
    "read_run",
    "write_run",
]

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
"""What is told of the latencies: the one that this share of the requests kept to."""
_FULL: Final = 0.8
_SAME: Final = 0.05


class ClientCost(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the client itself cost: processor seconds a request and in a second, and what it reaches alone."""

    processor_per_request: float
    processor_share: float
    alone_per_second: float


class BenchRun(Struct, frozen=True, kw_only=True, rename="camel"):
    """One measurement. ``what`` was sent; times are in seconds; ``errors``: how many requests failed in which way,
    those of which there were most.
    """

    server: str
    what: str
    concurrency: int
    seconds: float
    requests: int
    per_second: float
    latency: dict[str, float]
    errors: dict[str, int]
    client: ClientCost

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.errors.values())


def lines_of(run: BenchRun) -> list[str]:
    """A measurement, for people."""
    share = run.client.processor_share
    lines = [
        f"{run.per_second:,.0f} requests/s; {run.requests:,} answered in {run.seconds:.1f} s",
        "latency  " + "  ".join(f"{name} {_ms(each)}" for name, each in run.latency.items()),
    ]
    total = run.requests + run.failed
    lines += [
        f"failed   {count:,} x ({count / total:.1%}) {problem}" for problem, count in run.errors.items()
    ]
    lines.append(
        f"client   {run.client.processor_per_request * 1e6:,.0f} us of processor a request, {share:.0%} of one; "
        f"alone, without network and work, {run.client.alone_per_second:,.0f} requests/s"
    )
    if share > _FULL:
        lines.append(
            "         so this client is what was measured: the server can do more; start several of these"
        )
    return lines


def compared(run: BenchRun, other: BenchRun, heads: tuple[str, str]) -> list[str]:
    """Two measurements side by side, and what the first is of the second. ``heads``: what they are called."""
    cost, others = (each.client.processor_per_request * 1e6 for each in (run, other))
    rows: list[tuple[tuple[str, str, str], float, float]] = [
        (
            ("requests/s", f"{run.per_second:,.0f}", f"{other.per_second:,.0f}"),
            run.per_second,
            other.per_second,
        ),
        *(
            ((name, _ms(one), _ms(two)), one, two)
            for name, one in run.latency.items()
            if (two := other.latency.get(name)) is not None
        ),
        (("failed", f"{run.failed:,}", f"{other.failed:,}"), 0.0, 0.0),
        (("client us", f"{cost:,.0f}", f"{others:,.0f}"), cost, others),
    ]
    left, right = (
        max(len(head), *(len(texts[at]) for texts, *_ in rows)) for at, head in enumerate(heads, 1)
    )
    lines = [f"{'':10}  {heads[0]:>{left}}  {heads[1]:>{right}}"]
    for (name, one, two), first, second in rows:
        ratio = f"  {first / second:.2f}x" if first and second else ""
        lines.append(f"{name:10}  {one:>{left}}  {two:>{right}}{ratio}")
    return [*lines, *_remarks(run, other)]


def _remarks(run: BenchRun, other: BenchRun) -> Iterable[str]:
    """What makes two measurements harder to compare, or says that they are alike."""
    if run.what != other.what:
        yield f"they did not do the same: {run.what}, and {other.what}"
    if run.concurrency != other.concurrency:
        yield f"they had {run.concurrency} and {other.concurrency} requests at once"
    if any(each.client.processor_share > _FULL for each in (run, other)):
        yield "in one of them the client itself was the limit, so the servers differ more than this"
    if other.per_second and abs(run.per_second / other.per_second - 1) < _SAME:
        yield f"within {_SAME:.0%}, which runs of one server differ by as well"


def ratios(run: BenchRun, other: BenchRun) -> dict[str, float]:
    """What the first is of the second, by name; without what one of them has none of."""
    pairs: Mapping[str, tuple[float, float]] = {
        "perSecond": (run.per_second, other.per_second),
        **{name: (each, other.latency.get(name, 0.0)) for name, each in run.latency.items()},
    }
    return {name: round(one / two, 4) for name, (one, two) in pairs.items() if two}


def read_run(path: str) -> BenchRun:
    """A measurement that was kept. Raises `UsageError`."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=BenchRun)
    except OSError as problem:
        raise UsageError(f"--compare {path!r} can't be read: {problem.strerror or problem}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise UsageError(
            f"--compare {path!r} is nothing that dovetail bench --save wrote: {problem}"
        ) from None


def write_run(run: BenchRun, path: str) -> None:
    """Keep a measurement. Raises `UsageError`."""
    try:
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    except OSError as problem:
        raise UsageError(f"--save {path!r} can't be written: {problem.strerror or problem}") from None


def as_plain(run: BenchRun) -> dict[str, Any]:
    """A measurement as plain values."""
    return msgspec.to_builtins(run)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
