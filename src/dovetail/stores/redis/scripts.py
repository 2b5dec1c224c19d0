"""The scripts that Redis runs for us, and the keys that they run on.

Theory of operation
-------------------
A script is one move: nothing runs beside it, and where Redis has no memory left it refuses the first write of a script,
so a refused script has changed nothing. (Each script of ours therefore begins with a write that takes room, or with a
sweep, which makes some: after any other write Redis would let it go on, beyond its memory.) Scripts are named by their
digest; the server that does not know one gets it whole.

Each part of a store keeps everything under keys with one *hash tag*, such as ``{dovetail:kv}:values``: in a cluster
they are in one slot, which is what lets a script move them together. The first of the keys holds the number of the
layout. Every script looks at it, so data of a newer layout is neither read nor changed, from the moment it is there.

Time is given to each script by whoever calls it: expiry follows the store's clock, and not the server's.

Specification: none.
"""

from __future__ import annotations

from hashlib import sha1

__all__ = ["LAYOUT", "PartKeys", "Script"]

LAYOUT = "1"
"""What the layout key holds. A change of what other keys hold raises it."""

_LOOK = f"""
local layout = redis.call('GET', KEYS[1])
if layout and layout ~= '{LAYOUT}' then return redis.error_reply('LAYOUT ' .. layout) end
"""
_MARK = f"""
if not layout then redis.call('SET', KEYS[1], '{LAYOUT}') end
"""


class Script:
    """One script; ``body`` is Lua. What ``adds`` to the keys of its part marks their layout first."""

    __slots__ = ("digest", "source")

    def __init__(self, body: str, *, adds: bool = False) -> None:
        self.source = (_LOOK + (_MARK if adds else "") + body).encode()
        self.digest = sha1(self.source, usedforsecurity=False).hexdigest().encode()


class PartKeys:
    """The keys of one part: ``part`` names their slot, and they come in the order in which its scripts count them."""

    __slots__ = ("names", "part")

    def __init__(self, namespace: str, part: str, *names: str) -> None:
        self.part = part
        tag = f"{{{namespace}:{part}}}"
        self.names = tuple(f"{tag}:{name}".encode() for name in ("layout", *names))
