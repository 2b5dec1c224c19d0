"""A view of the keys under one prefix; what `KeyValue.within` returns in every backend.

Theory of operation
-------------------
A view holds no state: it joins its prefix to each key on the way in and cuts it off on the way out, so it is
exactly as atomic as the store below it. Nested views join their prefixes once, when made.

Specification: none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from dovetail.stores.bounds import check_key
from dovetail.stores.contracts import KeyValue

__all__ = ["Namespace"]


class Namespace:
    """The entries of `store` whose keys start with `prefix`, under names without it. A `KeyValue` itself."""

    __slots__ = ("_prefix", "_store")

    def __init__(self, store: KeyValue, prefix: str) -> None:
        check_key(prefix, "prefix")
        self._store = store
        self._prefix = prefix

    def _full(self, key: str) -> str:
        # Checked here too: an empty key would otherwise become the bare prefix, an entry that no scan could
        # name.
        check_key(key)
        return self._prefix + key

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        return await self._store.get(self._full(key))

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `KeyValue.set`."""
        await self._store.set(self._full(key), value, ttl=ttl)

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self._store.add(self._full(key), value, ttl=ttl)

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        return await self._store.take(self._full(key))

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """See `KeyValue.compare_and_set`."""
        return await self._store.compare_and_set(self._full(key), expected, value, ttl=ttl)

    async def delete(self, key: str) -> bool:
        """See `KeyValue.delete`."""
        return await self._store.delete(self._full(key))

    async def expire(self, key: str, ttl: float) -> bool:
        """See `KeyValue.expire`."""
        return await self._store.expire(self._full(key), ttl)

    async def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """See `KeyValue.scan`."""
        cut = len(self._prefix)
        async for key in self._store.scan(self._prefix + prefix):
            if len(key) > cut:  # the bare prefix is an entry of the store below, not of this view
                yield key[cut:]

    def within(self, prefix: str) -> KeyValue:
        """See `KeyValue.within`."""
        check_key(prefix, "prefix")
        return Namespace(self._store, self._prefix + prefix)
