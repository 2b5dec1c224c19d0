"""Whether the server lives and is ready, for whoever starts, watches and replaces it.

``GET /health`` and ``/health/ready`` say whether requests are served here: 200, or 503 with a reason when the app's
lifespan can't be entered, the store does not answer, or the server is draining. ``/health/live`` says 200 whenever the
event loop still turns. Where we own the server, ``/readyz`` and ``/healthz`` say the same two things, unless the author
serves something else there. A prober names a server by whatever address it has, so neither Host nor Origin matter, no
credentials are asked for, and an answer holds one word that says nothing about the inside. No body is read.

The store is asked by one check at a time, whoever waits for it, and what it said holds for a moment: a store that has
stopped gathers no probes, nor does a prober that knows no end. Nothing has to heal it: the next check finds it well.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal

from ...logs import get_logger
from ...runtime.service import LifespanFailed
from ...stores.contracts import Store
from ...stores.errors import StoreVersionMismatch, StreamUnknown
from ...stores.memory import MemoryStore
from .answering import JSON, Scope, Send, answer

log = get_logger("dovetail.http")

#: Seconds that the store has for an answer.
STORE_PATIENCE: Final = 2.0
#: Seconds for which an answer of the store counts.
REMEMBERED: Final = 1.0
#: How many probes wait for one check; others are told at once that the store does not answer.
MAX_WAITING: Final = 100
#: Where it is said whether the server lives, and whether it is ready, if nobody names another path.
PROBES: Final = ("/healthz", "/readyz")
_PROBED: Final = "health"
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_READ_ONLY: Final = ("GET", "HEAD")


async def check_version(store: Store) -> None:
    """Ask a store for the first time. Raises `LifespanFailed` where it has a layout that this version does not read;
    one that does not answer is told to the log, for it may come yet.
    """
    if isinstance(store, MemoryStore):
        return
    try:
        async with asyncio.timeout(STORE_PATIENCE):
            await _ask(store)
    except StoreVersionMismatch as problem:
        raise LifespanFailed(str(problem)) from problem
    except Exception as problem:  # noqa: BLE001 - a store may fail in any way
        log.warning(
            "the store does not answer, and the server is not ready until it does: %s", _said(problem)
        )


async def _ask(store: Store) -> None:
    """Have each part of a store answer: they may be in different places."""
    await store.sessions.load(_PROBED)
    await store.kv.get(_PROBED)
    with suppress(StreamUnknown):
        await store.events.is_closed(_PROBED)


def _said(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


class Health:
    """Answers at ``path`` and below it, if one is given, and at those of `PROBES` that are ``probed``. ``readiness``
    says what keeps the server from being ready, None for nothing.
    """

    def __init__(
        self,
        path: str | None,
        store: Store,
        readiness: Callable[[], Awaitable[str | None]],
        *,
        probed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._path = None if path is None else path.rstrip("/")
        self._store = store
        self._readiness = readiness
        self._probed = probed
        self._check: asyncio.Task[str | None] | None = None
        self._until = 0.0
        self._waiting = 0

    @staticmethod
    def paths(path: str) -> tuple[str, str, str]:
        """Where there are answers."""
        base = path.rstrip("/")
        return base, base + "/live", base + "/ready"

    def kind(self, path: str) -> Literal["live", "ready"] | None:
        """What a path asks for, None when it is somebody else's."""
        if path in PROBES and self._probed(path):
            return "live" if path == PROBES[0] else "ready"
        if self._path is None or not path.startswith(self._path):
            return None
        rest = path[len(self._path) :]
        return "ready" if rest in ("", "/", "/ready") else "live" if rest == "/live" else None

    async def serve(self, scope: Scope, method: str, send: Send) -> bool:
        """Answer a request. False when it is not for here."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "").rstrip("/")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        kind = self.kind(path)
        if kind is None:
            return False
        if method not in _READ_ONLY:
            await answer(send, 405, b"", ((b"allow", b"GET, HEAD"),))
            return True
        problem = None if kind == "live" else await self._readiness() or await self._store_problem()
        body = b'{"status":"%b"}' % (problem or kind).encode()
        await answer(send, 200 if problem is None else 503, body, (_NOT_KEPT,), kind=(JSON,))
        return True

    async def _store_problem(self) -> str | None:
        """What the last check found, if that was just now; else what one finds that all share who ask meanwhile."""
        loop = asyncio.get_running_loop()
        check = self._check
        if check is None or check.get_loop() is not loop or (check.done() and loop.time() >= self._until):
            check = self._check = loop.create_task(self._ask_store())
        if check.done():
            return check.result()
        if self._waiting >= MAX_WAITING:
            return "store"
        self._waiting += 1
        try:
            return await asyncio.shield(check)
        finally:
            self._waiting -= 1

    async def _ask_store(self) -> str | None:
        problem: str | None = None
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                await _ask(self._store)
        except Exception as found:  # noqa: BLE001 - a store may fail in any way; the prober learns that it does
            log.warning("the store does not answer: %s", _said(found))
            problem = "store"
        self._until = asyncio.get_running_loop().time() + REMEMBERED
        return problem
