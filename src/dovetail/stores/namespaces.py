"""A view of the keys under one prefix; what `KeyValue.within` returns in every backend. And how room is divided.

Theory of operation
-------------------
A view holds no entries: it joins its prefix to each key on the way in and cuts it off on the way out, so it is
exactly as atomic as the store below it. Nested views join their prefixes once, when made.

A view with a *share* may hold that part of the store's bytes, or of the share around it, and no more. The backend
counts, since only there is it one move with the write. A share that stands in no other is set aside: shares together
are never more than the whole, so each has its room whatever the others hold, and entries without a share have what
is left.

Specification: none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from dovetail.stores.bounds import check_key
from dovetail.stores.contracts import KeyValue

__all__ = ["COST", "MAX_SHARES", "Namespace", "Reservations", "Share", "SharingKeyValue"]

COST = 256
"""Bytes charged for an entry besides its own: about what keeping it costs."""
MAX_SHARES = 2
"""How deep shares may stand in each other: a namespace, and what one of its users may take of it."""


class Share(NamedTuple):
    """What all keys with one prefix may hold together: at most `limit` bytes, `COST` for each entry included."""

    prefix: str
    limit: int


class SharingKeyValue(KeyValue, Protocol):
    """What a backend offers its views: writes that count toward shares, the outer one first."""

    async def put(self, key: str, value: bytes, ttl: float | None, shares: tuple[Share, ...]) -> None:
        """`KeyValue.set`, counted. Raises `StoreFull` where one of the shares has no room."""
        ...

    async def swap(
        self,
        key: str,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> bool:
        """`KeyValue.compare_and_set`, counted. Raises `StoreFull` where one of the shares has no room."""
        ...

    def reserve(self, prefix: str, share: float) -> Share:
        """Set that part of all bytes aside for the keys with this prefix. Raises `ValueError` beyond the whole."""
        ...


class Reservations:
    """What is set aside of `whole` bytes, by prefix."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._shares: dict[str, float] = {}

    def reserve(self, prefix: str, share: float) -> Share:
        """See `SharingKeyValue.reserve`. Of several for one prefix the largest counts."""
        check_share(share)
        kept = {**self._shares, prefix: max(share, self._shares.get(prefix, 0.0))}
        if sum(kept.values()) > 1:
            raise ValueError(
                f"The shares of a store are together at most 1; {sum(self._shares.values()):g} is given away already."
            )
        self._shares = kept
        return Share(prefix, int(self._whole * share))

    @property
    def rest(self) -> Share:
        """What is left for entries without a share."""
        return Share("", int(self._whole * (1 - sum(self._shares.values()))))


def check_share(share: float) -> None:
    """Raise `ValueError` unless it is above 0 and at most 1."""
    if not 0 < share <= 1:
        raise ValueError(f"A share is above 0 and at most 1, not {share}.")


class Namespace:
    """The entries of `store` whose keys start with `prefix`, under names without it. A `KeyValue` itself.

    `shares`: what its entries count toward, the outer one first.
    """

    __slots__ = ("_prefix", "_shares", "_store")

    def __init__(self, store: SharingKeyValue, prefix: str, shares: tuple[Share, ...] = ()) -> None:
        check_key(prefix, "prefix")
        self._store = store
        self._prefix = prefix
        self._shares = shares

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
        await self._store.put(self._full(key), value, ttl, self._shares)

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self._store.swap(self._full(key), None, value, ttl, self._shares)

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        return await self._store.take(self._full(key))

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """See `KeyValue.compare_and_set`."""
        return await self._store.swap(self._full(key), expected, value, ttl, self._shares)

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

    def within(self, prefix: str, *, share: float | None = None) -> KeyValue:
        """See `KeyValue.within`."""
        return view(self._store, self._prefix, self._shares, prefix, share)


def view(
    store: SharingKeyValue, outer: str, shares: tuple[Share, ...], prefix: str, share: float | None
) -> Namespace:
    """The view of `prefix` in a view of `outer` that counts toward `shares`. Raises as `KeyValue.within`."""
    check_key(prefix, "prefix")
    full = outer + prefix
    check_key(full, "prefix")
    if share is not None:
        if len(shares) >= MAX_SHARES:
            raise ValueError(f"Shares stand in each other {MAX_SHARES} deep at most.")
        check_share(share)
        own = Share(full, int(shares[-1].limit * share)) if shares else store.reserve(full, share)
        shares = (*shares, own)
    return Namespace(store, full, shares)
