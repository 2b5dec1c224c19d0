"""What tests of servers, clients and backends are built from.

Theory of operation
-------------------
Nothing here is loaded by a running server. `connected` gives a client of an app for the length of a test, `Answers`
answers its questions, `run_virtual` runs code on a clock that jumps; `dovetail.testing.plugin` makes pytest fixtures
of them. `store_contract` is the suite that defines what a store is.

Specification: none.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.testing.answers": ("Answers",),
        "dovetail.testing.clock": ("StoodStill", "VirtualLoop", "run_virtual"),
        "dovetail.testing.recordings": ("replayed",),
        "dovetail.testing.serving": ("Transport", "connected", "served"),
        "dovetail.testing.wire": ("Frame", "watch_wire"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
