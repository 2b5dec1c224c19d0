"""Results that servers allow to be kept, for clients of other processes and for later ones.

Theory of operation. A result is kept for the time that the server gave it, by the clock of the store. It is found by
all that it may depend on: the server (its URL and the headers it was asked with), the revision, what the client said
of itself, the method and the parameters that shape the result; a private one also by whose it is. What is kept is the
server's own JSON, which is read as if it came from the server.

Each method of a server has a *generation*. A result counts only under the generation that was read before it was asked
for; a change notification makes a new one, so that it ends what anybody kept, and what anybody is fetching while it
comes. Until the store has taken the new one, this client reads nothing of that method there.

A server that we start says everything anew each time, so nothing of it is kept, and nothing that was asked for with a
function's headers, since nobody knows whose these are. Nor is a page of a longer list: its cursor may mean nothing to
a server that was started again since.

Specification: server/utilities/caching (2026-07-28).
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from msgspec import Raw, Struct

from ..protocol import codec, names
from ..protocol.caching import MAX_TTL_MS, subject_of
from ..protocol.errors import DovetailError
from ..protocol.types import CacheableResult, Params
from .client_records import ClientRecords, KeptRecord
from .link import Link

__all__ = ["ResultPlace", "StoredResults"]

R = TypeVar("R")
SHARE: Final = 1 / 16
"""The part of a store that results may take."""
GENERATIONS_SHARE: Final = 1 / 128
"""The part of a store that generations may take: a full room of results keeps no change from being told."""
SERVER_SHARE: Final = 1 / 4
"""The part of the room of results that those of one server may take."""
MAX_RECORD: Final = 4 * 1024 * 1024
"""Bytes of one result; larger ones are not kept."""
MAX_GENERATION: Final = 1024
"""Bytes of the record of a generation."""
_LASTING: Final = 2 * MAX_TTL_MS / 1000


class _KeptResult(KeptRecord, frozen=True, kw_only=True):
    generation: str
    body: Raw


class _StoredGeneration(KeptRecord, frozen=True, kw_only=True):
    generation: str


class ResultPlace(Struct, frozen=True):
    """Where a result is kept: what it may depend on, whose it is if it is private, and the generation it counts
    under.
    """

    method: str
    subject: str
    client: str
    generation: str


class StoredResults:
    """The results of one server, as one client sees them."""

    def __init__(self, records: ClientRecords, generations: ClientRecords, server: str, account: str) -> None:
        self._records = records
        self._generations = generations
        self._server = server
        self._account = account
        self._stale: dict[str, int] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._client: tuple[Any, str] | None = None

    async def place(self, method: str, params: Params, link: Link) -> ResultPlace | None:
        """Where the result of a request is kept; None where it can't be."""
        subject = subject_of(params)
        if subject is None or not link.stateless or getattr(params, "cursor", None) is not None:
            return None
        if method in self._stale:
            await self.flush()
            if method in self._stale:
                return None
        name = self._generation_name(method)
        found, _ = await self._generations.read(name, _StoredGeneration)
        return ResultPlace(method, subject, self._client_of(link), found.generation if found else "")

    async def get(self, place: ResultPlace, scope: str, read: Callable[[Raw], R]) -> R | None:
        """A result, as ``read`` reads it, or None. ``scope``: whose private ones count."""
        for whose in (scope, None):
            name = self._name(place, whose)
            found, raw = await self._records.read(name, _KeptResult)
            if found is None or raw is None:
                continue
            result: Any = None
            if found.generation == place.generation:
                try:
                    result = read(found.body)
                except DovetailError:
                    result = None
                if _may_be_kept(result) and (result.cache_scope == "public") == (whose is None):
                    return result
            await self._records.remove(name, raw)
        return None

    async def put(self, place: ResultPlace, scope: str, result: CacheableResult, body: Raw) -> None:
        """Keep a result, if its hints allow."""
        ttl = min(result.ttl_ms or 0, MAX_TTL_MS) / 1000
        if ttl <= 0 or not _may_be_kept(result) or place.method in self._stale:
            return
        if len(body) > MAX_RECORD:
            return
        name = self._name(place, None if result.cache_scope == "public" else scope)
        await self._records.write(
            name, _KeptResult(key=name, generation=place.generation, body=body), ttl=ttl
        )

    def invalidate(self, methods: Iterable[str]) -> None:
        """Results of these methods count no more, for nobody. Returns at once."""
        for method in methods:
            self._stale[method] = self._stale.get(method, 0) + 1
        if self._stale and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def flush(self) -> None:
        """Tell the store what counts no more, as far as it can be told now."""
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        while self._stale:
            for method, count in list(self._stale.items()):
                name = self._generation_name(method)
                fresh = _StoredGeneration(key=name, generation=secrets.token_hex(12))
                if await self._generations.write(name, fresh, ttl=_LASTING) is None:
                    return
                if self._stale[method] == count:
                    del self._stale[method]

    def _generation_name(self, method: str) -> str:
        return self._generations.name(self._server, method)

    def _name(self, place: ResultPlace, whose: str | None) -> str:
        who = ("public",) if whose is None else ("private", self._account, whose)
        return self._records.name("result", self._server, place.client, place.method, place.subject, *who)

    def _client_of(self, link: Link) -> str:
        """What the client says of itself, and the revision it speaks: lists may depend on both."""
        profile = link.profile
        if self._client is None or self._client[0] is not profile:
            exchange = link.exchange
            said = codec.encode([exchange.info, exchange.capabilities]).decode()
            self._client = (profile, f"{profile.revision} {said}")
        return self._client[1]


def _may_be_kept(result: Any) -> bool:
    return (
        isinstance(result, CacheableResult)
        and (result.ttl_ms or 0) > 0
        and result.result_type in (None, names.RESULT_COMPLETE)
        and getattr(result, "next_cursor", None) is None
    )
