"""What a server shows to its clients, as a value: written to a file, compared, looked over.

Theory of operation. `take_surface` lists a server; a `Surface` is what it found, in a form that is reviewed as source
is. `compare` says what a change does to callers. Everything here is on public names of the library.

Specification: server/tools, server/resources, server/prompts, server/discover.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.surface.changes": ("SEVERITIES", "Severity", "SurfaceChange"),
        "dovetail.surface.comparing": ("compare",),
        "dovetail.surface.linting": ("LintFinding", "lint"),
        "dovetail.surface.snapshot": ("Surface", "SurfaceUnreadable"),
        "dovetail.surface.taking": ("take_surface",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
