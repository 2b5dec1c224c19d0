"""The keys of an app that was given a store and no keys; and a look at whether its processes have the same.

Theory of operation
-------------------
Processes that share a store can share keys through it: the first that needs them puts random ones there, by one `add`,
so whoever comes second finds those of the first. They are read once by each process, ahead of need when the app
starts, and else when a call first asks something: an app that never asks waits for nobody, and while the store is away
only those calls fail that could not be answered without it anyway.

So who can read the store can make request state that is taken here. It holds sessions and journals, which is why that
was so for the most part before; who wants it otherwise gives the app keys, and those always win.

Each process also leaves the ids of its keys there, which tell nothing about them (every token has one in the clear).
One that finds ids of which it has none says so, for what the others sealed will be refused here: keys were given to
some processes and not to others, or all were replaced in one step. A ring that shares one key is a rotation.

Specification: basic/patterns/mrtr, "Server Requirements".
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import os
import random
from typing import Final

from msgspec import Struct

from ..logs import get_logger
from ..protocol import codec
from ..security.key_ring import KeyRing
from ..security.sealing import Sealer, default_sealer
from ..stores.contracts import KeyValue
from ..stores.errors import StoreClosed, StoreError, StoreUnavailable

__all__ = ["NAMESPACE", "StoredKeys"]

log = get_logger("dovetail.server")

#: What the keys begin with under which this is kept.
NAMESPACE: Final = "keys/"
_RING: Final = "ring"
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class _StoredRing(Struct, frozen=True):
    """Secrets, newest first, in base64."""

    secrets: list[str]


class StoredKeys:
    """The keys of one app. ``ring``: those that it was given; without, they are in the store.

    ``purpose``: of the `sealer`.
    """

    def __init__(self, kv: KeyValue, app: str, purpose: str, ring: KeyRing | None = None) -> None:
        self._kv = kv.within(NAMESPACE)
        self._app = app
        self._purpose = purpose
        self._ring = ring

    async def ring(self) -> KeyRing:
        """The keys. Raises `StoreError`."""
        if self._ring is None:
            found = await self._kv.get(_RING)
            if found is None:
                made = binascii.b2a_base64(os.urandom(32), newline=False).decode()
                stored = codec.encode(_StoredRing([made]))
                found = stored if await self._kv.add(_RING, stored) else await self._kv.get(_RING)
            self._ring = _read(found)
        return self._ring

    async def sealer(self) -> Sealer:
        """What seals with them. Raises `StoreError`."""
        return default_sealer(self._purpose, await self.ring())

    async def prepare(self) -> None:
        """Have the keys, and compare them with those of other processes, however long the store is away."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._compare(await self.ring())
                return
            except StoreClosed:
                return
            except StoreError as problem:
                if pause == _FIRST_PAUSE:
                    log.error(
                        "the keys of %r can't be read from the store, and will be later: %s",
                        self._app,
                        problem,
                    )
            await asyncio.sleep(pause * random.SystemRandom().uniform(0.5, 1.0))  # not all at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _compare(self, ring: KeyRing) -> None:
        """Say so where other processes of the app have other keys. Raises `StoreError`."""
        ids = [id.hex() for id, _ in ring.items()]
        place = "ids/" + hashlib.sha256(self._app.encode("utf-8", "surrogatepass")).hexdigest()
        mine = codec.encode(ids)
        found = await self._kv.get(place)
        if found is None and await self._kv.add(place, mine):
            return
        found = found or await self._kv.get(place)
        if found == mine:
            return
        if found is not None and set(_read_ids(found)).isdisjoint(ids):
            log.critical(
                "this process has no key that other processes of %r have: what they sealed is refused here, and the "
                "other way round. Give all of them the same keys (App(keys=...), or DOVETAIL_KEYS), or none of them "
                "any. If all keys were replaced at once, this is not said again",
                self._app,
            )
        await self._kv.set(place, mine)


def _read(stored: bytes | None) -> KeyRing:
    """The keys that stand in a store. Raises `StoreUnavailable` for what are none."""
    try:
        secrets = codec.reader(_StoredRing).read(stored or b"").secrets
        return KeyRing.from_secrets([binascii.a2b_base64(each, strict_mode=True) for each in secrets])
    except (*codec.DECODE_ERRORS, TypeError):
        raise StoreUnavailable(
            f"what stands for keys in the store ({NAMESPACE}{_RING}) is none. Delete it, and new ones are made."
        ) from None


def _read_ids(stored: bytes) -> list[str]:
    try:
        return codec.reader(list[str]).read(stored)
    except codec.DECODE_ERRORS:
        return []
