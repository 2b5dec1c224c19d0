"""One store made of parts of several: sessions here, events there, messages elsewhere.

Theory of operation
-------------------
A bundle is five parts that know nothing of each other, so any store can lend any of them. What has to be closed is a
whole store, and so whole stores are given; those parts that are not used never open anything.

Specification: none.
"""

from __future__ import annotations

from dovetail.stores.contracts import Bus, EventLog, KeyValue, SessionStore, Store, TaskStore

__all__ = ["MixedStore"]


class MixedStore:
    """A `Store` that has its parts from several others: each from the one named for it, or else from ``rest``.

    Closing it closes them all, each once.
    """

    def __init__(
        self,
        rest: Store,
        *,
        kv: Store | None = None,
        sessions: Store | None = None,
        events: Store | None = None,
        bus: Store | None = None,
        tasks: Store | None = None,
    ) -> None:
        self.kv: KeyValue = (rest if kv is None else kv).kv
        self.sessions: SessionStore = (rest if sessions is None else sessions).sessions
        self.events: EventLog = (rest if events is None else events).events
        self.bus: Bus = (rest if bus is None else bus).bus
        self.tasks: TaskStore = (rest if tasks is None else tasks).tasks
        given = [store for store in (rest, kv, sessions, events, bus, tasks) if store is not None]
        self._stores = tuple({id(store): store for store in given}.values())

    async def aclose(self) -> None:
        """Close the stores, all of them even where one fails; then what it raised is raised. May be called again."""
        failures: list[Exception] = []
        for store in self._stores:
            try:
                await store.aclose()
            except Exception as error:  # noqa: BLE001 - the others have to be closed first
                failures.append(error)
        if failures:
            raise failures[0]
