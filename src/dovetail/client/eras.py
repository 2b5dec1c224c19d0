"""Which era servers turned out to be of, so that the next client of this process need not ask.

Nothing else that a server said outlives the client that asked it: what it offers and what it tells of itself may depend
on who asks, on its configuration, and on the version that is installed today. An era is kept under a key that holds
everything that selects a server (`selection`), for a bounded time, and is forgotten when it turns out to be wrong.
Specification: basic/versioning "Backward Compatibility".
"""

import time
from collections import OrderedDict
from typing import Final

from ..protocol.revisions import Era

LIMIT: Final = 256
"""Servers whose era is remembered; the one noted longest ago goes first."""

LIFETIME: Final = 3600.0
"""Seconds that an era is remembered: one that was upgraded in its place is then found out anew."""

_known: Final[OrderedDict[str, tuple[Era, float]]] = OrderedDict()


def recall(key: str | None) -> Era | None:
    """The era of a server, if it is known."""
    found = None if key is None else _known.get(key)
    if found is None or time.monotonic() >= found[1]:
        return None
    return found[0]


def remember(key: str | None, era: Era) -> None:
    """Note of which era a server turned out to be. Without a key nothing is noted."""
    if key is None:
        return
    _known[key] = (era, time.monotonic() + LIFETIME)
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
