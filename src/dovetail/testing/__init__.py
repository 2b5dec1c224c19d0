"""What tests of servers, clients and backends are built from.

Theory of operation
-------------------
Nothing here is loaded by a running server. `connected` gives a client of an app for the length of a test, `Answers`
answers its questions, `run_virtual` runs code on a clock that jumps; `dovetail.testing.plugin` makes pytest fixtures
of them. `store_contract` is the suite that defines what a store is.

Specification: none.
"""

from __future__ import annotations

from importlib import import_module

# pyright: reportUnsupportedDunderAll=false
# `__getattr__` loads the names; the stub beside this file says where they are.
__all__ = ["Answers", "VirtualLoop", "connected", "run_virtual", "served"]

_HOMES = {
    "Answers": "answers",
    "VirtualLoop": "clock",
    "connected": "serving",
    "run_virtual": "clock",
    "served": "serving",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
