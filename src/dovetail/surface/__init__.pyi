"""The names of `dovetail.surface` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.surface.changes import SEVERITIES, Severity, SurfaceChange
from dovetail.surface.comparing import compare
from dovetail.surface.linting import LintFinding, lint
from dovetail.surface.snapshot import Surface, SurfaceUnreadable
from dovetail.surface.taking import take_surface

__all__ = [
    "LintFinding",
    "SEVERITIES",
    "Severity",
    "Surface",
    "SurfaceChange",
    "SurfaceUnreadable",
    "compare",
    "lint",
    "take_surface",
]
