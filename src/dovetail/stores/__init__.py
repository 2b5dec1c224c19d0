"""What outlives a request: the contracts, and the backends behind them.

Theory of operation
-------------------
`contracts` says what a store is; `MemoryStore` and `SQLiteStore` are two that need nothing installed. Names
are loaded when they are first asked for (PEP 562), so whoever keeps everything in memory never loads SQLite.
`__init__.pyi` beside this file says the same to type checkers.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

from __future__ import annotations

from importlib import import_module

# pyright: reportUnsupportedDunderAll=false
# `__getattr__` below loads the names, where a type checker cannot see them: it reads the stub instead.
__all__ = [
    "Event",
    "EventBounds",
    "EventLog",
    "EventsTrimmed",
    "KeyInvalid",
    "KeyValue",
    "KeyValueBounds",
    "MemoryEvents",
    "MemoryKeyValue",
    "MemorySessions",
    "MemoryStore",
    "SQLiteStore",
    "SessionBounds",
    "SessionExists",
    "SessionRecord",
    "SessionStore",
    "Store",
    "StoreBounds",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StreamEnded",
    "StreamUnknown",
    "ValueTooLarge",
]

_BY_MODULE = {
    "bounds": ("EventBounds", "KeyValueBounds", "SessionBounds", "StoreBounds"),
    "contracts": ("Event", "EventLog", "KeyValue", "SessionRecord", "SessionStore", "Store"),
    "errors": (
        "EventsTrimmed",
        "KeyInvalid",
        "SessionExists",
        "StoreClosed",
        "StoreError",
        "StoreFull",
        "StoreUnavailable",
        "StreamEnded",
        "StreamUnknown",
        "ValueTooLarge",
    ),
    "memory": ("MemoryEvents", "MemoryKeyValue", "MemorySessions", "MemoryStore"),
    "sqlite": ("SQLiteStore",),
}
_MODULE_OF = {name: module for module, names in _BY_MODULE.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next look finds it without us
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
