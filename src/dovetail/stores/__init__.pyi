"""The names of `dovetail.stores` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.stores.bounds import (
    BusBounds,
    EventBounds,
    KeyValueBounds,
    SessionBounds,
    StoreBounds,
    TaskBounds,
)
from dovetail.stores.contracts import (
    Bus,
    Event,
    EventLog,
    KeyValue,
    SessionRecord,
    SessionStore,
    Store,
    TaskRecord,
    TaskStore,
)
from dovetail.stores.errors import (
    EventsTrimmed,
    KeyInvalid,
    SessionExists,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreVersionMismatch,
    StreamEnded,
    StreamUnknown,
    TaskExists,
    TooManyTasks,
    ValueTooLarge,
)
from dovetail.stores.leases import Lease
from dovetail.stores.memory import (
    MemoryBus,
    MemoryEvents,
    MemoryKeyValue,
    MemorySessions,
    MemoryStore,
    MemoryTasks,
)
from dovetail.stores.mixed import MixedStore
from dovetail.stores.outages import StoreOutages
from dovetail.stores.postgres.store import PostgresStore
from dovetail.stores.redis.store import RedisStore
from dovetail.stores.sqlite import SQLiteStore
from dovetail.stores.urls import open_store

__all__ = [
    "Bus",
    "BusBounds",
    "Event",
    "EventBounds",
    "EventLog",
    "EventsTrimmed",
    "KeyInvalid",
    "KeyValue",
    "KeyValueBounds",
    "Lease",
    "MemoryBus",
    "MemoryEvents",
    "MemoryKeyValue",
    "MemorySessions",
    "MemoryStore",
    "MemoryTasks",
    "MixedStore",
    "PostgresStore",
    "RedisStore",
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
    "StoreOutages",
    "StoreUnavailable",
    "StoreVersionMismatch",
    "StreamEnded",
    "StreamUnknown",
    "TaskBounds",
    "TaskExists",
    "TaskRecord",
    "TaskStore",
    "TooManyTasks",
    "ValueTooLarge",
    "open_store",
]
