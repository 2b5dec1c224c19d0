"""The names of `dovetail.stores` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.stores.bounds import EventBounds, KeyValueBounds, SessionBounds, StoreBounds
from dovetail.stores.contracts import Event, EventLog, KeyValue, SessionRecord, SessionStore, Store
from dovetail.stores.errors import (
    EventsTrimmed,
    KeyInvalid,
    SessionExists,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StreamEnded,
    StreamUnknown,
    ValueTooLarge,
)
from dovetail.stores.memory import MemoryEvents, MemoryKeyValue, MemorySessions, MemoryStore
from dovetail.stores.sqlite import SQLiteStore

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
