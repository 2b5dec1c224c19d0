"""What ``store=`` of a client can be: a store, or a store and what is to be kept in it.

Specification: none; see `client_records`.
"""

from msgspec import Struct

from ..security.key_ring import KeyRing
from ..stores.contracts import Store

__all__ = ["ClientStore"]


class ClientStore(Struct, frozen=True):
    """What a client keeps beyond its own life, and where: ``Client(url, store=ClientStore(store, keys=...))``.

    ``store``: any `Store`, which stays the caller's to close. ``keys``: what is kept is sealed with; all processes need
    the same. Without keys it stands there as it is, so a store that others can read (any but `MemoryStore` and
    `SQLiteStore`) is refused, unless ``allow_unsealed``.

    ``eras``: which era a server is of. ``tokens``: those of logins whose setting names no place for them. ``results``:
    what the server allows to be kept, for as long as it allows. ``sessions``: the session at a server of the stateful
    era over HTTP, so that the next process takes it up; closing the client then leaves it open (see `Client.close`).
    """

    store: Store
    keys: KeyRing | None = None
    eras: bool = True
    tokens: bool = True
    results: bool = True
    sessions: bool = True
    allow_unsealed: bool = False
