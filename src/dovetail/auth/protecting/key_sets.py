"""The keys of an issuer: found by its metadata, kept for a while, fetched again within bounds.

Theory of operation. Keys are kept as long as their answer allows (five minutes to a day). When that time is over
they are still used, for as long again as `STALE` allows, while one fetch in the background gets new ones: an issuer
that is down for a while logs nobody out. A token that names a key that is not there makes one fetch, for the issuer
may have a new key; but only one per `COOLDOWN`, whatever tokens come, and everyone who needs it waits for the same
one. A key is turned from numbers into something that checks when a token first needs it, so that a large set costs
nothing.

Specification: RFC 7517; RFC 8414, sections 2 and 3.3; OpenID Connect Core 1.0, section 10.1.1 (rotation).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ...logs import get_logger
from ...protocol.errors import DovetailError
from ...security.fetching import Fetcher
from ..metadata import MetadataInvalid, parse_authorization_server
from ..resources import authorization_server_urls, same_issuer
from ..signed import KeyUnusable, VerifyingKey
from ..strict_json import read_object
from .verdicts import Unavailable

__all__ = ["COOLDOWN", "STALE", "Keys", "find_endpoint"]

log = get_logger("dovetail.auth")

COOLDOWN: Final = 30.0
"""Seconds from one fetch to the next that an unknown key may cause."""
STALE: Final = 24 * 3600.0
"""Seconds for which keys are used after their time when no new ones can be had."""

_AFTER_FAILURE: Final = 5.0
_LIFE: Final = (300.0, 3600.0, 24 * 3600.0)  # the least, without a word of the issuer's, the most
_MAX_DOCUMENT: Final = 256 * 1024
_MAX_KEYS: Final = 1000
_MAX_TRIED: Final = 8
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?=$|[,\s])")


class _Set:
    """The keys of one answer."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._by_id: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            id = entry.get("kid")
            self._by_id.setdefault(id if isinstance(id, str) else "", []).append(entry)
        self._entries = entries
        self._made: dict[int, VerifyingKey | None] = {}

    def knows(self, id: str) -> bool:
        """Whether the set has a key of that id (of no id: any key)."""
        return id in self._by_id if id else bool(self._entries)

    def find(self, id: str, algorithm: str) -> list[VerifyingKey]:
        """The keys that may have signed a token that names this id, or none: a handful at most."""
        found: list[VerifyingKey] = []
        for entry in self._by_id.get(id, ()) if id else self._entries:
            place = _place(entry)
            key = self._made[place] if place in self._made else self._make(place, entry)
            if key is not None and key.fits(algorithm):
                found.append(key)
                if len(found) == _MAX_TRIED:
                    break
        return found

    def _make(self, place: int, entry: dict[str, Any]) -> VerifyingKey | None:
        try:
            key = VerifyingKey(entry)
        except KeyUnusable:
            key = None  # keys for other purposes, and of kinds to come, are no fault
        self._made[place] = key
        return key


_place = id  # in `_Set` that name is a key's; entries live as long as their set


class Keys:
    """The keys of one issuer. ``url``: where they are; without it the issuer's metadata says so."""

    def __init__(
        self,
        issuer: str,
        url: str | None,
        fetcher: Callable[[], Fetcher],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._url = url
        self._fetcher = fetcher
        self._clock = clock
        self._set: _Set | None = None
        self._fetched = 0.0
        self._life = _LIFE[1]
        self._next = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    async def find(self, id: str, algorithm: str) -> list[VerifyingKey]:
        """The keys that may have signed a token: those of that id, or any if it names none. Raises `Unavailable`."""
        keys, age = self._set, self._clock() - self._fetched
        if keys is None or age > self._life + STALE:
            await self._fetch()
            keys = self._set if self._clock() - self._fetched <= self._life + STALE else None
            if keys is None:
                raise Unavailable("the keys of the authorization server can't be had now; retry")
        elif age > self._life:
            self._begin()  # nobody waits for it
        if not keys.knows(id):
            await self._fetch()
            keys = self._set or keys
        return keys.find(id, algorithm)

    async def _fetch(self) -> None:
        """Wait for new keys, if it is time for them. What goes wrong is logged."""
        flight = self._begin()
        if flight is not None:
            await asyncio.shield(flight)

    def _begin(self) -> asyncio.Task[None] | None:
        """The one fetch under way, or a new one; None when it is too early for one."""
        loop = asyncio.get_running_loop()
        flight = self._flight
        if flight is not None and not flight.done() and flight.get_loop() is loop:
            return flight
        if self._clock() < self._next:
            return None
        self._next = self._clock() + COOLDOWN
        self._flight = flight = loop.create_task(self._renew())
        return flight

    async def _renew(self) -> None:
        fetcher = self._fetcher()
        try:
            url = self._url or await find_endpoint(fetcher, self._issuer, "jwks_uri")
            answer = await fetcher.get(url)
            if answer.status != 200:
                raise Unavailable(f"the key set answered with status {answer.status}")
            entries = read_object(answer.body, _MAX_DOCUMENT).get("keys")
            if not isinstance(entries, list):
                raise Unavailable("the key set has no list of keys")
            listed = [
                cast("dict[str, Any]", each) for each in cast("list[Any]", entries) if isinstance(each, dict)
            ]
            if len(listed) > _MAX_KEYS:
                raise Unavailable(f"the key set has more than {_MAX_KEYS} keys")
            self._set = _Set(listed)
            self._fetched = self._clock()
            self._life = _life(answer.headers)
        except ImportError:
            raise
        except (DovetailError, ValueError) as problem:
            self._next = self._clock() + _AFTER_FAILURE
            log.warning("the keys of %s can't be had: %s", self._issuer, problem)
        finally:
            await fetcher.close()


async def find_endpoint(fetcher: Fetcher, issuer: str, member: str) -> str:
    """An address that an issuer's metadata names, ``jwks_uri`` for one.

    Raises `Unavailable` when there is no metadata, or it is of another issuer, or does not name it.
    """
    reason = "no metadata was found"
    for url in authorization_server_urls(issuer):
        try:
            answer = await fetcher.get(url)
            if answer.status != 200:
                continue
            metadata = parse_authorization_server(answer.body)
        except (MetadataInvalid, DovetailError) as problem:
            reason = str(problem)
            continue
        if not same_issuer(metadata.issuer, issuer):
            reason = (
                f"the metadata at {url} is of another issuer; write the issuer exactly as it stands there"
            )
            continue
        found = getattr(metadata, member)
        if isinstance(found, str) and found:
            return found
        reason = f"the metadata at {url} has no {member}"
    raise Unavailable(f"the authorization server {issuer} can't be asked: {reason}")


def _life(headers: Mapping[str, str]) -> float:
    """For how many seconds an answer's keys are fresh."""
    match = _MAX_AGE.search(headers.get("cache-control", "").lower())
    least, usual, most = _LIFE
    return usual if match is None else min(max(float(match[1]), least), most)
