"""The names of `dovetail.stores` for type checkers; see `__init__.py`."""

from dovetail.stores.bounds import (
    EventBounds as EventBounds,
)
from dovetail.stores.bounds import (
    KeyValueBounds as KeyValueBounds,
)
from dovetail.stores.bounds import (
    SessionBounds as SessionBounds,
)
from dovetail.stores.bounds import (
    StoreBounds as StoreBounds,
)
from dovetail.stores.contracts import (
    Event as Event,
)
from dovetail.stores.contracts import (
    EventLog as EventLog,
)
from dovetail.stores.contracts import (
    KeyValue as KeyValue,
)
from dovetail.stores.contracts import (
    SessionRecord as SessionRecord,
)
from dovetail.stores.contracts import (
    SessionStore as SessionStore,
)
from dovetail.stores.contracts import (
    Store as Store,
)
from dovetail.stores.errors import (
    EventsTrimmed as EventsTrimmed,
)
from dovetail.stores.errors import (
    KeyInvalid as KeyInvalid,
)
from dovetail.stores.errors import (
    SessionExists as SessionExists,
)
from dovetail.stores.errors import (
    StoreClosed as StoreClosed,
)
from dovetail.stores.errors import (
    StoreError as StoreError,
)
from dovetail.stores.errors import (
    StoreFull as StoreFull,
)
from dovetail.stores.errors import (
    StoreUnavailable as StoreUnavailable,
)
from dovetail.stores.errors import (
    StreamEnded as StreamEnded,
)
from dovetail.stores.errors import (
    StreamUnknown as StreamUnknown,
)
from dovetail.stores.errors import (
    ValueTooLarge as ValueTooLarge,
)
from dovetail.stores.memory import (
    MemoryEvents as MemoryEvents,
)
from dovetail.stores.memory import (
    MemoryKeyValue as MemoryKeyValue,
)
from dovetail.stores.memory import (
    MemorySessions as MemorySessions,
)
from dovetail.stores.memory import (
    MemoryStore as MemoryStore,
)
from dovetail.stores.sqlite import (
    SQLiteStore as SQLiteStore,
)

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
