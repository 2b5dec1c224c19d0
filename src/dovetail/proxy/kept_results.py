"""What a proxy keeps of the results of its upstream: as long as the upstream's hints allow, and for whom they do.

Theory of operation. A public result is kept for all callers of the connection that it came over, a private one for the
principal that asked for it, though the upstream may not tell principals apart. What is given from here says how much of
its time is left. Without hints, as in the stateful era, a list is kept until the upstream tells of a change, if it does
that. A change makes stale what it is about at once, and so does a connection that was opened anew.

Specification: server/utilities/caching.
"""

import asyncio
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from ..extensions import Change, Principal
from ..protocol.bounded import Bounded
from ..protocol.caching import MAX_TTL_MS
from ..protocol.listening import is_below
from ..revisions import PROFILES
from .connections import Connection

MAX_KEPT: Final = 1024
"""Results that one proxy keeps."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes that they have together, as JSON."""
_END: Final = "\0"


class CacheHints(Struct, frozen=True):
    """For how many seconds a result may be kept, and whether for everybody."""

    ttl: float
    public: bool


NOT_KEPT: Final = CacheHints(0.0, False)


class _ProxiedResult(Struct, frozen=True):
    """``until``: by the clock of the event loop; None: until a change."""

    value: Any
    until: float | None
    public: bool


class KeptResults:
    """The results that one proxy keeps; none where that is not ``wanted``."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._results: Bounded[tuple[int, str, str, str | None], _ProxiedResult] = Bounded(
            MAX_KEPT, MAX_BYTES
        )
        self._changes: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return self._results.size

    def changes(self, connection: Connection) -> int:
        """How often something became stale: what was asked for before a change must not be kept after it."""
        return self._changes.get(connection, 0)

    def get(
        self, connection: Connection, method: str, subject: str, principal: Principal
    ) -> tuple[Any, CacheHints | None] | None:
        """A result that may still be used by a caller, and its hints as they are now."""
        now = asyncio.get_running_loop().time()
        for owner in (principal.key, None):
            key = (connection.number, method, subject, owner)
            found = self._results.get(key)
            if found is None:
                continue
            if found.until is None:
                return found.value, None
            if now < found.until:
                return found.value, CacheHints(found.until - now, found.public)
            self._results.pop(key)
        return None

    def put(
        self,
        connection: Connection,
        method: str,
        subject: str,
        principal: Principal,
        value: Any,
        hints: CacheHints | None,
        *,
        size: int,
        changes: int,
    ) -> None:
        """Keep a result, if its hints allow that; without any until a change. ``size``: its bytes as JSON.
        ``changes``: how many there were when it was asked for.
        """
        if not self._wanted or changes != self.changes(connection) or (hints is not None and hints.ttl <= 0):
            return
        until = None if hints is None else asyncio.get_running_loop().time() + hints.ttl
        public = hints is not None and hints.public
        owner = None if public or hints is None else principal.key
        key = (connection.number, method, subject, owner)
        self._results.put(key, _ProxiedResult(value, until, public), size + len(subject))

    def changed(self, connection: Connection, change: Change | None) -> None:
        """Forget what a change made stale; all of a connection's where what was missed is not known (None)."""
        self._changes[connection] = self.changes(connection) + 1
        stale = None if change is None else PROFILES.stale_after(change.kind)
        for key in list(self._results):
            number, method, subject, _ = key
            if number != connection.number or (stale is not None and method not in stale):
                continue
            if change is None or change.kind != "resource" or _is_about(subject, change.uri):
                self._results.pop(key)


def hints_of(ttl_ms: int | None, scope: str | None) -> CacheHints:
    """The hints of a result of the stateless era; one that says nothing, or nonsense, is stale at once."""
    return CacheHints(min(max(ttl_ms or 0, 0), MAX_TTL_MS) / 1000, scope == "public")


def read_subject(uri: str, capabilities: bytes) -> str:
    """What a read is kept under: a server may answer by what the client can do."""
    return f"{uri}{_END}{capabilities.decode()}"


def _is_about(subject: str, uri: str) -> bool:
    read = subject.partition(_END)[0]
    return read == uri or is_below(uri, read)


__all__ = ["NOT_KEPT", "CacheHints", "KeptResults", "hints_of", "read_subject"]
