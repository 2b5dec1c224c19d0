"""The library: a folder of documents, the index of it, and a watch that notices changes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from documents import Folder, NoDocument, Stamp
from searching import SearchIndex

Report = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True)
class Indexed:
    """What reading the documents came to: how many were added, changed, removed, and are in the index now."""

    added: int
    changed: int
    removed: int
    documents: int


@dataclass(frozen=True)
class Hit:
    """A section that fits a search."""

    uri: str
    path: str
    line: int
    heading: str
    snippet: str
    score: float


@dataclass(frozen=True)
class Found:
    """What a search found: the best hits, and how many there are in all."""

    hits: list[Hit]
    total: int


class Library:
    """What the server's functions work with. ``changed`` is told the path of every document that changed on
    disk.
    """

    def __init__(self, folder: Folder, index: SearchIndex, changed: Callable[[str], None]) -> None:
        self.folder = folder
        self.index = index
        self._changed = changed
        self._updating = asyncio.Lock()

    async def paths(self) -> list[str]:
        """The paths of all documents."""
        return list(await asyncio.to_thread(self.folder.stamps))

    async def text(self, path: str) -> str:
        """The text of a document. Raises `documents.NoDocument`."""
        return await asyncio.to_thread(self.folder.read, path)

    async def update(self, *, everything: bool = False, report: Report | None = None) -> Indexed:
        """Read new and changed documents into the index, or all of them, and forget those that are gone."""
        async with self._updating:
            known = self.index.known()
            found = await asyncio.to_thread(self.folder.stamps)
            stale = [path for path, stamp in found.items() if everything or known.get(path) != stamp]
            for number, path in enumerate(stale, 1):
                await asyncio.to_thread(self._take_in, path, found[path])
                if report is not None:
                    await report(number, len(stale), path)
            gone = known.keys() - found.keys()
            for path in gone:
                self.index.remove(path)
            added = len([path for path in stale if path not in known])
            return Indexed(added, len(stale) - added, len(gone), len(found))

    async def search(self, query: str, limit: int) -> Found:
        """The sections that fit best. An index that is still empty is filled first."""
        if not self.index.known():
            await self.update()
        matches, total = await asyncio.to_thread(self.index.search, query, limit)
        return Found(
            [Hit(uri_of(m.path), m.path, m.line, m.heading, m.snippet, m.score) for m in matches], total
        )

    async def discard(self, path: str) -> str:
        """Move a document to the trash. Gives where it is now. Raises `documents.NoDocument`."""
        kept = await asyncio.to_thread(self.folder.discard, path)
        self.index.remove(path)
        return kept

    async def watch(self, every: float) -> None:
        """Look every so many seconds whether documents changed, for ever."""
        seen = await asyncio.to_thread(self.folder.stamps)
        while True:
            await asyncio.sleep(every)
            found = await asyncio.to_thread(self.folder.stamps)
            changed = [path for path in seen.keys() | found.keys() if seen.get(path) != found.get(path)]
            seen = found
            if changed and self.index.known():
                await self.update()
            for path in changed:
                self._changed(path)

    def _take_in(self, path: str, stamp: Stamp) -> None:
        with suppress(NoDocument):  # gone since it was listed; the next update forgets it
            self.index.put(path, stamp, self.folder.read(path))


def uri_of(path: str) -> str:
    """The address of a document."""
    return f"doc://{quote(path)}"
