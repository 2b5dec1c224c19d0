"""What a client may keep of a result, how long, and for whom.

Pure rules; the clock is the caller's. A result is kept under its method and the parameters that shape it,
never when it came of a retry with answers or state. A private result is kept under the authorization it was
fetched with. Specification: server/utilities/caching (2026-07-28).
"""

from typing import Any, Final

from msgspec import Struct

from . import codec, names
from .bounded import Bounded
from .listening import Change, is_below
from .revisions import PROFILES
from .types.requests import CacheableResult, PageParams, Params
from .types.resources import ReadResourceParams

MAX_TTL_MS: Final = 24 * 3600 * 1000
LIMIT: Final = 1024
"""Results that are kept."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes that they have together, as JSON."""


class Key(Struct, frozen=True):
    """What a kept result is found by. ``scope`` is empty for public results, else names the authorization."""

    method: str
    subject: str
    scope: str


class _CacheEntry(Struct):
    value: Any
    until: float


class Cache:
    """Results by method and parameters, fresh until their time is up. Bounded in number and bytes; the least used goes
    first.
    """

    def __init__(self, limit: int = LIMIT, most: int = MAX_BYTES) -> None:
        self._entries: Bounded[Key, _CacheEntry] = Bounded(limit, most)

    def get(self, method: str, params: Params, scope: str, now: float) -> Any | None:
        """A fresh result or None. ``now`` in seconds, of any clock that never goes back."""
        subject = subject_of(params)
        if subject is None:
            return None
        for key in (Key(method, subject, scope), Key(method, subject, "")):
            entry = self._entries.get(key)
            if entry is not None:
                if now < entry.until:
                    return entry.value
                self._entries.pop(key)
        return None

    def put(
        self, method: str, params: Params, scope: str, result: CacheableResult, now: float, *, size: int
    ) -> None:
        """Keep a result if its hints allow: absent, zero and negative times to live keep nothing. ``size``: its bytes
        as JSON.
        """
        subject = subject_of(params)
        ttl = min(result.ttl_ms or 0, MAX_TTL_MS)
        if subject is None or ttl <= 0 or result.result_type not in (None, names.RESULT_COMPLETE):
            return
        key = Key(method, subject, "" if result.cache_scope == "public" else scope)
        self._entries.put(key, _CacheEntry(result, now + ttl / 1000), size + len(subject))

    def invalidate(self, change: Change) -> None:
        """Forget what a change made stale."""
        methods = PROFILES.stale_after(change.kind)
        for key in list(self._entries):
            if key.method in methods and (
                change.kind != "resource" or key.subject == change.uri or is_below(change.uri, key.subject)
            ):
                self._entries.pop(key)

    def forget(self, method: str) -> None:
        """Forget all results of a method: after an invalid cursor, or a header mismatch."""
        for key in [key for key in self._entries if key.method == method]:
            self._entries.pop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def subject_of(params: Params) -> str | None:
    """The part of the parameters that shapes the result; None where a result must not be kept."""
    if isinstance(params, ReadResourceParams):
        return params.uri if params.input_responses is None and params.request_state is None else None
    if isinstance(params, PageParams):
        return "" if params.cursor is None else "c" + params.cursor
    return codec.encode(params).decode()
