"""The store in a Redis server, for processes on any number of machines.

Theory of operation
-------------------
`store` bundles the five parts, `connections` carries what they ask to the server, and `scripts` are the moves that have
to be one move: Redis runs each of them alone, to its end. Nothing of the driver is loaded before a store is made.

Specification: none; see `dovetail.stores`.
"""

from __future__ import annotations

from .store import RedisStore

__all__ = ["RedisStore"]
