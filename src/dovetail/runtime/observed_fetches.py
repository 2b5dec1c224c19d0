"""How outbound fetches come to be observed: in the context of what makes them.

Theory of operation. A `Fetcher` is made before anybody knows who observes, and often shared. So it looks into the
context of whoever fetches: an observed app or client puts its observer there around calls, and around the check of
credentials, and tasks that these start inherit it. Where nobody observes, nothing is there, and a fetch looks once.

Specification: OpenTelemetry, "Semantic conventions for HTTP", "HTTP client".
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..security.authenticator import Authenticator, Credentials
from ..security.fetching import fetch_watcher
from ..security.principal import Principal
from .observer import ObservedOperation, Observer

__all__ = ["FetchObserver", "ObservedAuthenticator"]


class FetchObserver:
    """Tells an observer of fetches: a `FetchWatcher`."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def began(self, method: str, host: str, port: int) -> Any:
        """See `FetchWatcher`."""
        operation = ObservedOperation("fetch", method, transport="http", server=host, port=port)
        return operation, self._observer.begin(operation)

    def ended(self, begun: Any, status: int, problem: BaseException | None) -> None:
        """See `FetchWatcher`."""
        operation, held = begun
        if isinstance(problem, asyncio.CancelledError):
            operation.outcome, operation.problem = "cancelled", problem
        elif problem is not None:
            operation.fail(problem)
        else:
            operation.code = status
            operation.outcome = "error" if status >= 400 else "ok"
        self._observer.end(operation, held)


class ObservedAuthenticator:
    """An authenticator whose fetches an observer is told of; all else of it is as it is."""

    def __init__(self, authenticator: Authenticator, observer: Observer) -> None:
        self._authenticator: Any = authenticator
        self._watcher = FetchObserver(observer)
        if hasattr(authenticator, "authenticate_again"):
            self.authenticate_again = self._authenticate_again

    def __getattr__(self, name: str) -> Any:
        return getattr(self._authenticator, name)

    async def authenticate(self, request: Credentials) -> Principal:
        """See `Authenticator`."""
        token = fetch_watcher.set(self._watcher)
        try:
            return await self._authenticator.authenticate(request)
        finally:
            fetch_watcher.reset(token)

    async def _authenticate_again(self, request: Credentials) -> Principal:
        token = fetch_watcher.set(self._watcher)
        try:
            return await self._authenticator.authenticate_again(request)
        finally:
            fetch_watcher.reset(token)
