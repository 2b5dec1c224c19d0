"""Which era servers turned out to be of, for clients of other processes.

Theory of operation. What `eras` has for this process is looked up in the store before a connection is opened, and what
opening it found is written back where that is something else. So a wrong record costs one attempt, and is gone. Nothing
else of a server is kept, for the reasons that `eras` gives.

Specification: basic/versioning "Backward Compatibility".
"""

from typing import Final

from ..protocol.revisions import Era
from . import eras
from .client_records import ClientRecords, KeptRecord

__all__ = ["StoredEras"]

SHARE: Final = 1 / 128
"""The part of a store that eras may take."""
LIFETIME: Final = 86_400.0
"""Seconds that an era is kept in a store."""
MAX_RECORD: Final = 1024
"""Bytes of a record."""


class _KeptEra(KeptRecord, frozen=True, kw_only=True):
    era: Era


class StoredEras:
    """The eras in a store, for one client."""

    def __init__(self, records: ClientRecords) -> None:
        self._records = records
        self._read: tuple[str, Era, bytes] | None = None

    async def load(self, key: str | None) -> None:
        """Have `eras` know what the store knows of the server with this key."""
        self._read = None
        if key is None or eras.recall(key) is not None:
            return
        found, raw = await self._records.read(self._records.name(key), _KeptEra)
        if found is not None and raw is not None:
            self._read = (key, found.era, raw)
            eras.remember(key, found.era)

    async def save(self, key: str | None) -> None:
        """Have the store know what `eras` knows by now."""
        if key is None:
            return
        name, known = self._records.name(key), eras.recall(key)
        read, self._read = self._read, None
        if read is not None and read[:2] == (key, known):
            return
        if known is not None:
            await self._records.write(name, _KeptEra(key=name, era=known), ttl=LIFETIME)
        elif read is not None and read[0] == key:
            await self._records.remove(name, read[2])
