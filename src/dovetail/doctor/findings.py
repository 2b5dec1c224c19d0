"""What a doctor finds: steps, each with what was seen and what to do.

Specification: none.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

__all__ = ["STATUSES", "Cause", "Diagnosis", "Step", "StepStatus"]

StepStatus = Literal["ok", "warning", "failed", "not reached"]
STATUSES: Final[tuple[StepStatus, ...]] = ("ok", "warning", "failed", "not reached")
Cause = Literal["", "unreachable", "login", "timeout", "protocol"]
"""Why a step failed, as far as it matters to a program: the server can't be reached, a login is needed, there was no
answer in time, or it is not as the protocol has it.
"""


class Step(Struct, frozen=True, kw_only=True):
    """One step of what a connection needs.

    ``name``: which; ``status``: "ok", "warning" (it works, and something should be otherwise), "failed", or "not
    reached" since something before it failed. ``what``: what was seen, in words that may hold a peer's: make them safe
    before they are shown. ``advice``: what to do, the most useful first. ``facts``: what was seen, as plain values.
    ``seconds``: how long the step took.
    """

    name: str
    status: Literal["ok", "warning", "failed", "not reached"]
    what: str
    advice: tuple[str, ...] = ()
    facts: dict[str, Any] = {}
    cause: Literal["", "unreachable", "login", "timeout", "protocol"] = ""
    seconds: float = 0.0

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for a report."""
        found: dict[str, Any] = {"name": self.name, "status": self.status, "what": self.what}
        if self.advice:
            found["advice"] = list(self.advice)
        if self.facts:
            found["facts"] = self.facts
        if self.cause:
            found["cause"] = self.cause
        return {**found, "seconds": round(self.seconds, 4)}


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All steps of one examination. ``target``: what was examined, without secrets."""

    target: str
    steps: tuple[Step, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed. There may be warnings."""
        return not any(each.status == "failed" for each in self.steps)

    def step(self, name: str) -> Step:
        """The step of that name. Raises `KeyError` if there was none."""
        return {each.name: each for each in self.steps}[name]

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for a report."""
        return {
            "target": self.target,
            "healthy": self.healthy,
            "steps": [each.to_wire() for each in self.steps],
        }
