"""What outlives a request: the contracts, and the backends behind them.

Theory of operation
-------------------
`contracts` says what a store is; `MemoryStore` and `SQLiteStore` are two that need nothing installed,
`RedisStore` and `PostgresStore` need an extra and a server each. Names are loaded when they are first asked for (PEP
562), so whoever keeps everything in memory never loads SQLite. `__init__.pyi` beside this file says the same to type
checkers.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.stores.bounds": (
            "BusBounds",
            "EventBounds",
            "KeyValueBounds",
            "SessionBounds",
            "StoreBounds",
            "TaskBounds",
        ),
        "dovetail.stores.contracts": (
            "Bus",
            "Event",
            "EventLog",
            "KeyValue",
            "SessionRecord",
            "SessionStore",
            "Store",
            "TaskRecord",
            "TaskStore",
        ),
        "dovetail.stores.errors": (
            "EventsTrimmed",
            "KeyInvalid",
            "SessionExists",
            "StoreClosed",
            "StoreError",
            "StoreFull",
            "StoreUnavailable",
            "StoreVersionMismatch",
            "StreamEnded",
            "StreamUnknown",
            "TaskExists",
            "TooManyTasks",
            "ValueTooLarge",
        ),
        "dovetail.stores.leases": ("Lease",),
        "dovetail.stores.memory": (
            "MemoryBus",
            "MemoryEvents",
            "MemoryKeyValue",
            "MemorySessions",
            "MemoryStore",
            "MemoryTasks",
        ),
        "dovetail.stores.mixed": ("MixedStore",),
        "dovetail.stores.outages": ("StoreOutages",),
        "dovetail.stores.postgres.store": ("PostgresStore",),
        "dovetail.stores.redis.store": ("RedisStore",),
        "dovetail.stores.sqlite": ("SQLiteStore",),
        "dovetail.stores.urls": ("open_store",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
