"""What an app keeps its rounds with: the keys that seal them and the store behind them.

Theory of operation. Keys come from the author, from the environment, from the store if it is one that other processes
may have too, or are made here; keys made here are known to this process and those forked from it. The store is the
author's, or named in the environment; without one an app that is alone in its process uses its memory, and an app that
is not alone (its keys are shared, so others exist) has none: what one worker kept, another would not find. So nothing
ever fails on some workers only; what could is refused before the first request.

A process that is one of several versions of the same app (`dovetail dev`) is lent both by whoever outlives it.

Specification: basic/patterns/mrtr, "Server Requirements".
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Protocol

from ..runtime.extension import Extensions
from ..runtime.hub import Hub
from ..runtime.journals import Journals, room_of_rounds
from ..runtime.observer import NO_OBSERVER, ObserverGroup
from ..security.authenticator import Gatekeeper, Protection
from ..security.key_ring import KeyRing
from ..security.sealing import Sealer, default_sealer
from ..stores.contracts import KeyValue, Store
from .signature import Plan

ENVIRONMENT: Final = "DOVETAIL_KEYS"
STORE_ENVIRONMENT: Final = "DOVETAIL_STORE"
"""The variable with the URL of the store of every app that is given none."""
_PURPOSE: Final = "request-state"
_SHARED_STORE: Final = (
    f"App(store=open_store(url)) or {STORE_ENVIRONMENT}=url in the environment, where url is redis://host, "
    "postgresql://user@host/database or sqlite:PATH"
)
_NEEDS_STORE: Final = (
    f"what runs once, or takes each state once, needs a store that all workers share: {_SHARED_STORE}; or "
    "App(store=MemoryStore()) if this process is the only one"
)
_STORE_OR_NO_SESSIONS: Final = (
    f"a store that all of them see: {_SHARED_STORE}; or no sessions: sessions=False"
)
_STORE_OR_NO_PROOFS: Final = (
    f"a store that all of them see: {_SHARED_STORE}; or say in Protected(...) that you do without: "
    "dpop='refused' takes no tokens that are bound to keys, dpop_once_per_worker=True lets each worker take a proof "
    "once"
)
#: The exit status by which uvicorn and gunicorn know that starting a worker again would not help.
_HOPELESS: Final = 3


class NotShared(ValueError):
    """Several workers are to serve an app, and have no keys or no store that they share: give them what the text
    names.
    """


class NotSharedByWorkers(NotShared, SystemExit):
    """The same, in a worker that loads the app: its server ends it with a status which says that another try would fail
    as well, and shows no traceback. The log has said why.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = _HOPELESS


_lent: Final[list[tuple[list[bytes], str]]] = []
_lent_store: Final[list[Store]] = []


def _memory() -> type[Store]:
    from ..stores.memory import MemoryStore

    return MemoryStore


def _can_seal() -> bool:
    from importlib.util import find_spec

    return find_spec("cryptography") is not None


def lend(keys: Sequence[bytes], store: str) -> None:
    """Keys, and the path of a SQLite store, for every app of this process that is given none of its own."""
    _lent[:] = [(list(keys), store)]


class _KeysInStore(Protocol):
    """`StoredKeys`, which who has none never loads."""

    async def sealer(self) -> Sealer: ...

    async def prepare(self) -> None: ...


def _named(url: str) -> Store:
    """The store that the environment names. Raises ValueError and ImportError that say where the name is from."""
    from ..stores.urls import open_store

    try:
        return open_store(url)
    except (ValueError, ImportError) as problem:
        raise type(problem)(f"{STORE_ENVIRONMENT}: {problem}") from None


def lend_store(store: Store) -> None:
    """A store for every app of this process that is given none of its own."""
    _lent_store[:] = [store]


class _Keyed:
    """A protection whose gates have the keys of the app."""

    def __init__(self, protection: Protection, ring: KeyRing) -> None:
        self._protection = protection
        self._ring = ring

    @property
    def hosts(self) -> tuple[str, ...]:
        return self._protection.hosts

    def gate(self, *, path: str, store: Store, keys: KeyRing | None = None) -> Gatekeeper:
        return self._protection.gate(path=path, store=store, keys=keys or self._ring)


class KeysAndStore:
    """The keys and the store of the app called ``name``. ``ring``: the keys that it was given, or has for processes
    forked from this one. ``observer`` is told of what is done in the store.

    Raises ValueError for keys that are too short, for both keys and a sealer, and for a store whose room is given away.
    """

    def __init__(
        self,
        name: str,
        *,
        keys: Sequence[str | bytes] | None,
        sealer: Sealer | None,
        store: Store | None,
        observer: ObserverGroup = NO_OBSERVER,
    ) -> None:
        self._name = name
        self.ring: KeyRing | None = None
        if keys is not None and sealer is not None:
            raise ValueError("give keys or a sealer, not both: a sealer has keys of its own")
        if keys is None and sealer is None and (found := os.environ.get(ENVIRONMENT)):
            keys = [each.strip() for each in found.split(",") if each.strip()]
        self._store_lent = keys_lent = False
        if store is None and _lent_store:
            store = _lent_store[0]
        if store is None and (url := os.environ.get(STORE_ENVIRONMENT)):
            store = _named(url)
        for lent, path in _lent:
            if lent and keys is None and sealer is None:
                keys, keys_lent = lent, True
            if store is None:
                from ..stores.sqlite import SQLiteStore

                store, self._store_lent = SQLiteStore(path), True
        if keys is not None:
            secrets = [each.encode() if isinstance(each, str) else each for each in keys]
            self.ring = KeyRing.from_secrets(secrets)
            sealer = default_sealer(_PURPOSE, self.ring)
        self._observer = observer
        self.store = self._observed(store)
        self._sealer = sealer
        self._alone = sealer is None
        self._journals: Journals | None = None
        self._keys_lent = keys_lent
        self._stored: _KeysInStore | None = None
        self._followed: KeysAndStore | None = None
        self._settle_in()

    def _settle_in(self) -> None:
        """Find out what the store is good for. Raises ValueError where its room is given away: now, where a mistake
        shows, and not when the first round needs it.
        """
        if self.store is not None:
            room_of_rounds(self.store.kv)
        if not self._keys_lent:
            self._stored = self._keys_in_store()

    def adopt(self, store: Store | None) -> bool:
        """Let a store that the app is served with be its own, where it has none. Whether it is now."""
        if store is None or self.store is not None:
            return False
        self.store = self._observed(store)
        self._settle_in()
        return True

    def _shared(self, part: Literal["kv", "bus"]) -> Any:
        """A part of the store that other processes may have too; None where it is this process's own, or lent."""
        store = self.store
        if store is None or self._store_lent or isinstance(store, _memory()):
            return None
        from ..stores.memory import MemoryBus, MemoryKeyValue

        found = getattr(store, part, None)
        return None if isinstance(found, (MemoryBus, MemoryKeyValue)) else found

    def relay(self, hub: Hub, extensions: Extensions) -> None:
        """Bring the changes of the app to other processes too, if there is a store that they may have."""
        bus = self._shared("bus")
        if bus is not None:
            from ..runtime.change_relay import ChangeRelay, channel_of

            hub.relay = ChangeRelay(hub, bus, channel_of(self._name), extensions.changes)

    def _keys_in_store(self) -> _KeysInStore | None:
        """Keys that are in the store, or are compared there; None where that is not so."""
        kv = self._shared("kv")
        if kv is None or (self.ring is None and (self._sealer is not None or not _can_seal())):
            return None
        from .stored_keys import StoredKeys

        return StoredKeys(kv, self._name, _PURPOSE, self.ring)

    @asynccontextmanager
    async def prepared(self) -> AsyncGenerator[None]:
        """Around the life of the app: keys that are in the store are read ahead of need, and held against others."""
        if self._stored is None:
            yield
            return
        preparing = asyncio.create_task(self._stored.prepare(), name="dovetail-keys")
        try:
            yield
        finally:
            preparing.cancel()
            await asyncio.wait((preparing,))

    def store_for(self, store: Store | None) -> Store | None:
        """What an endpoint keeps its sessions in that was given ``store``."""
        return self.store if store is None else self._observed(store)

    def observe(self) -> None:
        """Somebody watches who did not before."""
        if self._journals is None:
            self.store = self._observed(self.store)

    def _observed(self, store: Store | None) -> Store | None:
        if store is None or not self._observer.all:
            return store
        from ..runtime.observed_store import ObservedStore

        # It says of itself that it is what it wraps, so it is told by its type.
        return store if type(store) is ObservedStore else ObservedStore(store, self._observer)

    def follow(self, other: "KeysAndStore") -> None:
        """Use the keys and the store of another app, if this one was given neither."""
        if self._sealer is None and self._stored is None and self.store is None and other is not self:
            self._followed = other

    def journals(self) -> Journals:
        """Where the rounds are kept."""
        if self._followed is not None and self.store is None and self.ring is None:
            return self._followed.journals()
        if self._journals is None:
            if self._sealer is None and self._stored is None:
                self._sealer = default_sealer(_PURPOSE)
            stored_sealer = None if self._stored is None else self._stored.sealer
            self._journals = Journals(
                self._sealer, audience=self._name, kv=self._kv(), stored_sealer=stored_sealer
            )
        return self._journals

    def share(self, *, single_use: bool, secret: bytes | None = None) -> None:
        """Others will be forked from this process. ``single_use``: there is something whose state counts once.
        ``secret``: what keys are made of where there are none (default: at random). Raises ValueError.
        """
        if single_use and self.store is None:
            raise ValueError(_NEEDS_STORE)
        self._alone, self._journals = False, None
        if self._sealer is None and self._stored is None:
            self.ring = KeyRing.generate() if secret is None else KeyRing.from_secrets([secret])
            self._sealer = default_sealer(_PURPOSE, self.ring)

    def protecting(self, protection: Protection) -> Protection:
        """The same protection; what its gates give to clients is good at every process that has the keys."""
        return protection if self.ring is None else _Keyed(protection, self.ring)

    def check_single_use(self, plan: Plan) -> None:
        """Refuse what runs once, or takes each state once, where workers could not agree on what was done."""
        if not self._alone and self.store is None:
            raise plan.refuse(_NEEDS_STORE)

    def check_workers(
        self, workers: int, *, store: Store | None, sessions: bool, single_use: bool, proofs: bool = False
    ) -> None:
        """Refuse to be one of several processes that do not share what they have to. Raises `NotShared`.

        Each would make keys of its own, and the state that one gave out would be refused by the others, at random; a
        session would be known to one of them; and a proof that one took could be used again at each other (``proofs``:
        they are to be used once).
        """
        shared = store is not None and not isinstance(store, _memory())
        missing: list[str] = []
        if self._sealer is None and self._stored is None:
            missing.append(
                f"keys: App(keys=[...]), or {ENVIRONMENT} in the environment, or App(store=...), which then has them"
            )
        if not shared and (sessions or single_use):
            missing.append(_STORE_OR_NO_SESSIONS)
        elif not shared and proofs:
            missing.append(_STORE_OR_NO_PROOFS)
        if workers < 2 or not missing:
            return
        lost = "clients would lose their sessions and answers at random"
        if missing == [_STORE_OR_NO_PROOFS]:
            lost = "a proof that one of them took (DPoP) could be used again at each of the others"
        raise NotShared(
            f"{workers} workers are to serve together, and would not share what they have to: {lost}. "
            f"Give them {'; and '.join(missing)}"
        )

    def _kv(self) -> KeyValue | None:
        store = self.store
        if store is None and self._alone:
            from ..stores.memory import MemoryStore

            store = MemoryStore()
        return None if store is None else store.kv
