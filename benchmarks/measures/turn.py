"""A turn: one contestant, in one round, in one group of measures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..contestants import EVERYONE, Cannot, Contestant, Pace
from ..figures import Sample
from ..processes import Broken, Process


@dataclass(frozen=True)
class Turn:
    """Whose turn it is. ``record`` takes the name of a measure and what came of it: a sample, or why there is none."""

    who: Contestant
    pace: Pace
    everyone: Mapping[str, Contestant]
    record: Callable[[str, Sample | str], None]

    @contextmanager
    def http(
        self,
        kit: str = "calls",
        mode: str = "default",
        *,
        tools: int = 5,
        workers: int = 1,
        spread: bool = False,
    ) -> Generator[tuple[Process, int]]:
        """A fresh server over HTTP, and its port."""
        process, port = self.who.serve_http(kit, mode, tools=tools, workers=workers, spread=spread)
        with process:
            yield process, port

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Around one measure of several: what goes wrong in it leaves the others alone."""
        try:
            yield
        except Exception as problem:  # noqa: BLE001 - half an hour of measuring is not lost to one bug; it is shown
            self.record(name, reason_of(problem))


def reason_of(problem: Exception) -> str:
    """Why there is no figure. What begins with "failed" should not be."""
    if isinstance(problem, Cannot):
        return str(problem)
    return (
        f"failed: {problem}"
        if isinstance(problem, Broken)
        else f"failed: {type(problem).__name__}: {problem}"
    )


@dataclass(frozen=True)
class Group:
    """Measures that are taken from one process."""

    measures: tuple[str, ...]
    run: Callable[[Turn], None]
    who: tuple[str, ...] = EVERYONE
