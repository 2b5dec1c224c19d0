"""A difference of two surfaces, and how much it matters to who calls the server.

Specification: none of the protocol's; server/tools, "Capabilities", says that tools may change at any time.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType

__all__ = ["SEVERITIES", "Severity", "SurfaceChange"]

Severity = Literal["breaking", "possible", "warning", "compatible", "cosmetic"]
SEVERITIES: Final[tuple[Severity, ...]] = ("breaking", "possible", "warning", "compatible", "cosmetic")
"""What a change means for callers, the worst first."""


class SurfaceChange(Struct, frozen=True, kw_only=True):
    """One difference between two surfaces.

    ``severity``: "breaking" (who kept to the old surface is refused, or misled), "possible" (it may break: that
    could not be decided), "warning" (what models read has changed, and they may act by it), "compatible" or "cosmetic".
    ``kind``: "server", "tool", "resource", "template" or "prompt"; ``name``: its name, its URI, or "". ``where``: a
    JSON pointer into the file of the surface. ``what`` says in words what is different, ``why`` what that does to
    callers, or "". ``example``: a value that shows it, or UNSET.
    """

    severity: Severity
    kind: Literal["server", "tool", "resource", "template", "prompt"]
    name: str
    where: str
    what: str
    why: str = ""
    example: Any | UnsetType = UNSET

    @property
    def breaks(self) -> bool:
        """Whether it breaks callers, or may."""
        return self.severity in ("breaking", "possible")

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for a report."""
        found: dict[str, Any] = {
            "severity": self.severity,
            "kind": self.kind,
            "name": self.name,
            "where": self.where,
            "what": self.what,
        }
        if self.why:
            found["why"] = self.why
        if self.example is not UNSET:
            found["example"] = self.example
        return found
