"""The bundle in a Redis server.

Theory of operation
-------------------
The five parts share connections, and nothing else: each has keys of its own, so any of them can be lent to a
`MixedStore`. Nothing is connected before the first operation, and each event loop has connections of its own.

Specification: none; see `Store`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dovetail.stores.bounds import StoreBounds

from .bus import RedisBus
from .connections import Connections
from .driver import Driver
from .events import RedisEvents
from .key_value import RedisKeyValue
from .sessions import RedisSessions
from .tasks import RedisTasks

__all__ = ["RedisStore"]


class RedisStore:
    """The bundle in the Redis server at ``url``: `kv`, `sessions`, `events`, `bus` and `tasks`.

    ``url``: ``redis://[user:password@]host[:port][/database]``, ``rediss://`` for TLS, or ``unix://path``; what is to
    be checked of a certificate stands in its query, as redis-py has it. Any node of a Redis Cluster will do.
    ``namespace`` begins the names of all keys and channels (of letters, digits, "-", "_", "." and ":"); stores with the
    same one share their data. ``timeout`` is how many seconds connecting and each answer may take, ``connections`` how
    many connections there are at most in one event loop, besides one that listens to the bus. ``clock`` gives seconds
    since the epoch: the clocks of all processes should agree. Where none is given, tasks go by the server's.

    Raises `ImportError` without the package redis, and `ValueError` for what can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        bounds: StoreBounds = StoreBounds(),
        clock: Callable[[], float] = time.time,
        namespace: str = "dovetail",
        timeout: float = 5.0,
        connections: int = 4,
    ) -> None:
        if not (namespace.isascii() and namespace and set(namespace) <= _ALLOWED):
            raise ValueError(
                'A namespace has ASCII letters, digits, "-", "_", "." and ":" only, at least one.'
            )
        self._connections = Connections(Driver(url, timeout), connections)
        self.kv = RedisKeyValue(self._connections, namespace, bounds.kv, clock)
        self.sessions = RedisSessions(self._connections, namespace, bounds.sessions, clock)
        self.events = RedisEvents(self._connections, namespace, bounds.events, clock)
        self.tasks = RedisTasks(
            self._connections, namespace, bounds.tasks, None if clock is time.time else clock
        )
        self.bus = RedisBus(self._connections, namespace, bounds.bus)

    async def aclose(self) -> None:
        """Let what was sent be answered, end what waits with `StoreClosed`, and close all connections, those of other
        event loops too. May be called again.
        """
        await self._connections.aclose()


_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
