"""Whether the server lives and is ready, for whoever starts, watches and replaces it.

``GET /health`` and ``/health/ready`` say whether requests are served here: 200, or 503 with a reason when the app's
lifespan can't be entered, the store does not answer, or the server is draining. ``/health/live`` says 200 whenever the
event loop still turns. A prober names a server by whatever address it has, so neither Host nor Origin matter, no
credentials are asked for, and an answer holds one word that says nothing about the inside.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from ...logs import get_logger
from ...stores.contracts import Store
from .answering import JSON, Scope, Send, answer

log = get_logger("dovetail.http")

#: Seconds that the store has for an answer.
STORE_PATIENCE: Final = 2.0
_PROBED: Final = "health"
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_READ_ONLY: Final = ("GET", "HEAD")


class Health:
    """Answers at ``path``. ``readiness`` says what keeps the server from being ready, None for nothing."""

    def __init__(self, path: str, store: Store, readiness: Callable[[], Awaitable[str | None]]) -> None:
        self._path = path.rstrip("/")
        self._store = store
        self._readiness = readiness

    @staticmethod
    def paths(path: str) -> tuple[str, str, str]:
        """Where there are answers."""
        base = path.rstrip("/")
        return base, base + "/live", base + "/ready"

    def kind(self, path: str) -> Literal["live", "ready"] | None:
        """What a path asks for, None when it is somebody else's."""
        if not path.startswith(self._path):
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
        problem = None if kind == "live" else await self._readiness() or await self._ask_store()
        body = b'{"status":"%b"}' % (problem or kind).encode()
        await answer(send, 200 if problem is None else 503, body, (_NOT_KEPT,), kind=(JSON,))
        return True

    async def _ask_store(self) -> str | None:
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                await self._store.sessions.load(_PROBED)
        except Exception as problem:  # noqa: BLE001 - a store may fail in any way; the prober learns that it does
            log.warning("the store does not answer: %s", problem)
            return "store"
        return None
