"""A store whose operations are observed: the same store, with a layer around each of its methods.

Theory of operation. The five contracts of a store are wrapped each in an `ObservedPart`, which makes the layer of a
method when that method is first asked for. What is no method of a contract (a backend's own names) is handed on as it
is, and a part says that it is of the class that it wraps, as all proxies do: whoever asks whether a store is shared
with other processes gets the same answer.

Specification: none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from ..stores.contracts import Store
from .observer import ObservedOperation, Observer

__all__ = ["ObservedPart", "ObservedStore", "backend_of"]

_PARTS: Final = {
    "kv": ("get", "set", "add", "take", "compare_and_set", "delete", "expire"),
    "sessions": ("create", "load", "save", "touch", "delete", "count"),
    "events": ("append", "keep", "read", "last", "close", "is_closed", "drop", "drop_prefix"),
    "bus": ("publish", "listen"),
    "tasks": (
        "create",
        "load",
        "update",
        "claim",
        "claim_one",
        "renew",
        "next_due",
        "due",
        "record",
        "recorded",
        "list",
        "count",
        "delete",
    ),
}


def backend_of(store: Store) -> str:
    """The kind of a store, from the name of its class: "memory", "sqlite", "redis", "postgres"."""
    return type(store).__name__.removesuffix("Store").lower()[:32]


class ObservedPart:
    """One contract of a store. ``name``: what it is called there."""

    def __init__(self, part: Any, name: str, backend: str, observer: Observer) -> None:
        self._part = part
        self._name = name
        self._backend = backend
        self._observer = observer

    @property
    def __class__(self) -> type[Any]:
        return cast("type[Any]", type(self._part))

    @__class__.setter
    def __class__(self, kind: type[Any]) -> None:
        raise TypeError("what is observed keeps its class")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name in _PARTS[self._name]:
            found = vars(self)[name] = _observed(found, f"{self._name}.{name}", self._backend, self._observer)
        return found

    def within(self, prefix: str, *, share: float | None = None) -> ObservedPart:
        """See `KeyValue.within`: a view is observed as well."""
        view = self._part.within(prefix, share=share)
        return ObservedPart(view, self._name, self._backend, self._observer)


class ObservedStore:
    """A store, observed."""

    def __init__(self, store: Store, observer: Observer) -> None:
        backend = backend_of(store)
        self._store = store
        self._observer = observer
        self.kv: Any = ObservedPart(store.kv, "kv", backend, observer)
        self.sessions: Any = ObservedPart(store.sessions, "sessions", backend, observer)
        self.events: Any = ObservedPart(store.events, "events", backend, observer)
        self.bus: Any = ObservedPart(store.bus, "bus", backend, observer)
        self.tasks: Any = ObservedPart(store.tasks, "tasks", backend, observer)

    @property
    def __class__(self) -> type[Any]:
        return type(self._store)

    @__class__.setter
    def __class__(self, kind: type[Any]) -> None:
        raise TypeError("what is observed keeps its class")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def aclose(self) -> None:
        """See `Store`."""
        await self._store.aclose()


def _observed(method: Callable[..., Any], name: str, backend: str, observer: Observer) -> Callable[..., Any]:
    async def observed(*arguments: Any, **options: Any) -> Any:
        operation = ObservedOperation("store", name, backend=backend)
        begun = observer.begin(operation)
        try:
            return await method(*arguments, **options)
        except asyncio.CancelledError:
            operation.outcome = "cancelled"
            raise
        except BaseException as problem:
            operation.fail(problem)
            raise
        finally:
            observer.end(operation, begun)

    return observed
