"""What a client keeps in a store, and how it fares when the store is away.

Theory of operation. Each part has a namespace and a share of the store's bytes, so that none fills it for another. A
record is found by a digest of all that it is for, and says the same itself; with keys it is sealed, too
(`security.sealed_records`). One that can't be read, or is for something else, is as good as none, and is deleted.

Nothing here is needed: whatever the store does, a call goes on without it. A store that does not answer is given up
after a moment, left alone for a while, and named in one warning.

Specification: none; what may be kept is said where it is kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ..logs import get_logger
from ..protocol.errors import LocalProtocolError
from ..security.sealed_records import SealedRecords, check_private, keyed_name
from ..stores.contracts import KeyValue
from ..stores.errors import StoreError, StoreFull, ValueTooLarge
from .store_option import ClientStore

__all__ = ["ClientRecords", "KeptRecord", "StoreAvailability", "client_store"]

log = get_logger("dovetail.client")
T = TypeVar("T")
R = TypeVar("R", bound="KeptRecord")

PATIENCE: Final = 2.0
"""Seconds that the store has for an answer."""
PAUSE: Final = 5.0
"""Seconds that a store which did not answer is left alone."""


class KeptRecord(Struct, frozen=True, kw_only=True):
    """A record that says for what it is: ``key`` is the name it was made under."""

    key: str


class StoreAvailability:
    """Asks one store on behalf of one client, and leaves it alone while it is away."""

    def __init__(self) -> None:
        self._away_until = 0.0
        self._away = False

    async def ask(self, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What the store says, or ``otherwise``."""
        if self._away and time.monotonic() < self._away_until:
            return otherwise
        try:
            async with asyncio.timeout(PATIENCE):
                found = await work()
        except (StoreFull, ValueTooLarge) as problem:
            log.debug("something is not kept: %s", problem)
            return otherwise
        except (StoreError, TimeoutError) as problem:
            if not self._away:
                said = str(problem) or f"it did not answer within {PATIENCE:g} s"
                log.warning("the store can't be used; the client goes on without it: %s", said)
            self._away, self._away_until = True, time.monotonic() + PAUSE
            return otherwise
        if self._away:
            self._away = False
            log.info("the store is back")
        return found


class ClientRecords:
    """The records of one ``part``, which has that ``share`` of the store, of at most ``max_bytes`` each.

    ``inside``: a namespace in that of the part, with that share of it.
    """

    def __init__(
        self,
        setting: ClientStore,
        part: str,
        availability: StoreAvailability,
        *,
        share: float,
        max_bytes: int,
        inside: tuple[str, float] | None = None,
    ) -> None:
        self.kv: KeyValue = setting.store.kv.within(f"client/{part}/", share=share)
        if inside is not None:
            self.kv = self.kv.within(f"{inside[0]}/", share=inside[1])
        self._keys = setting.keys
        self._part = part
        self.availability = availability
        self._sealed = SealedRecords(self.kv, f"client {part}", setting.keys, max_bytes=max_bytes)

    def name(self, *parts: str) -> str:
        """The name of a record that is for all of these."""
        return keyed_name(self._keys, self._part, *parts)

    async def read(self, name: str, kind: type[R]) -> tuple[R | None, bytes | None]:
        """A record, and how it stands in the store."""
        data, raw = await self.availability.ask(lambda: self._sealed.read(name), (None, None))
        if raw is None:
            return None, None
        try:
            found = None if data is None else msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, RecursionError):
            found = None
        if found is not None and found.key == name:
            return found, raw
        log.warning("what was kept of the %s of a server can't be read, and is deleted", self._part)
        await self.remove(name, raw)
        return None, None

    async def write(self, name: str, record: KeptRecord, *, ttl: float) -> bytes | None:
        """Keep a record for ``ttl`` seconds; how it stands in the store, or None."""
        raw = self._sealed.sealed(name, msgspec.json.encode(record))
        if raw is None:
            log.debug("a record is too large to be kept")
            return None

        async def put() -> bytes:
            await self.kv.set(name, raw, ttl=ttl)
            return raw

        return await self.availability.ask(put, None)

    async def remove(self, name: str, raw: bytes) -> None:
        """Delete a record as it was read; one that replaced it stays."""
        await self.availability.ask(lambda: self.kv.compare_and_set(name, raw, None), False)


def client_store(given: Any) -> ClientStore:
    """The setting that was meant. Raises `LocalProtocolError` for what can't be one, and
    ImportError for keys without the package cryptography.
    """
    setting = given if isinstance(given, ClientStore) else ClientStore(given)
    if not hasattr(setting.store, "kv"):
        raise LocalProtocolError(
            f"store is a Store, such as SQLiteStore(path), or a ClientStore, not a {type(given).__name__}"
        )
    try:
        check_private(
            setting.store, setting.keys, allow_unsealed=setting.allow_unsealed, what="what a client keeps"
        )
    except ValueError as problem:
        raise LocalProtocolError(f"the store can't be used: {problem}") from None
    return setting
