"""What this process learned about servers: which era they are of, so that the next client need not ask.

Kept per target (the URL without query and fragment, or the command), forgotten when it turns out to be wrong. Only
facts that do not depend on who asks are kept; a discover result only as long, and only if, the server says it is
public.
Specification: basic/versioning "Backward Compatibility", server/utilities/caching.
"""

import time
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from ..protocol.caching import MAX_TTL_MS
from ..protocol.types import DiscoverResult

LIMIT: Final = 256


class Known(Struct, frozen=True):
    """What is known of a target: ``stateful``, or how it described itself, until when (monotonic seconds)."""

    stateful: bool
    discovered: DiscoverResult | None = None
    until: float = 0.0

    def fresh(self) -> DiscoverResult | None:
        """The description, if it may still be used."""
        return self.discovered if time.monotonic() < self.until else None


_known: Final[OrderedDict[str, Known]] = OrderedDict()


def recall(key: str | None) -> Known | None:
    """What is known of a target."""
    return _known.get(key) if key is not None else None


def remember(key: str | None, *, stateful: bool, discovered: DiscoverResult | None = None) -> None:
    """Note what a target turned out to be."""
    if key is None:
        return
    until = 0.0
    if discovered is not None and discovered.cache_scope == "public" and (discovered.ttl_ms or 0) > 0:
        until = time.monotonic() + min(discovered.ttl_ms or 0, MAX_TTL_MS) / 1000
    _known[key] = Known(stateful, discovered if until else None, until)
    _known.move_to_end(key)
    while len(_known) > LIMIT:
        _known.popitem(last=False)


def forget(key: str | None) -> None:
    """What was known turned out to be wrong."""
    if key is not None:
        _known.pop(key, None)


def clear() -> None:
    """Forget everything."""
    _known.clear()
