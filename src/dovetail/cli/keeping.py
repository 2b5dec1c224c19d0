"""The store in which client commands keep what they know for the next command: ``--store URL``, or its variable.

The variable is not that of servers (``DOVETAIL_STORE``): what clients keep does not belong into the store of a server
that happens to be run from the same shell, and a server that a command starts would inherit it. The keys are those of
``DOVETAIL_KEYS``, without which only a file of SQLite is taken.
"""

import os
from typing import Final

from ..client import ClientStore
from ..security.key_ring import KeyRing
from ..stores.urls import open_store
from .exits import UsageError

__all__ = ["KEYS", "client_store"]

KEYS: Final = "DOVETAIL_KEYS"


def client_store(url: str, name: str) -> ClientStore:
    """The store at a URL, which is to be closed; ``name``: what named it. Raises `UsageError`."""
    try:
        store = open_store(url)
    except (ValueError, ImportError) as problem:
        raise UsageError(f"{name}: {problem}") from None
    secrets = [each.strip().encode() for each in os.environ.get(KEYS, "").split(",") if each.strip()]
    try:
        return ClientStore(store, keys=KeyRing.from_secrets(secrets) if secrets else None)
    except ValueError as problem:
        raise UsageError(f"{KEYS}: {problem}") from None
