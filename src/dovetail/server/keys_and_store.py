"""What an app keeps its rounds with: the keys that seal them and the store behind them.

Theory of operation. Keys come from the author, from the environment, or are made here; keys made here are known to
this process and those forked from it. The store is the author's; without one an app that is alone in its process uses
its memory, and an app that is not alone (its keys are shared, so others exist) has none: what one worker kept, another
would not find. So nothing ever fails on some workers only; what could is refused before the first request.

A process that is one of several versions of the same app (`dovetail dev`) is lent both by whoever outlives it.

Specification: basic/patterns/mrtr, "Server Requirements".
"""

import os
from collections.abc import Sequence
from typing import Final

from ..runtime.journals import Journals, room_of_rounds
from ..security.authenticator import Gatekeeper, Protection
from ..security.key_ring import KeyRing
from ..security.sealing import Sealer, default_sealer
from ..stores.contracts import KeyValue, Store
from .signature import Plan

ENVIRONMENT: Final = "DOVETAIL_KEYS"
_PURPOSE: Final = "request-state"
_NEEDS_STORE: Final = (
    "what runs once, or takes each state once, needs a store that all workers share: pass "
    "App(store=SQLiteStore(path)), or "
    "store=MemoryStore() if this process is the only one"
)
_STORE_OR_NO_SESSIONS: Final = (
    "a store that all of them see: App(store=SQLiteStore(path)), or no sessions: sessions=False"
)
_STORE_OR_NO_PROOFS: Final = (
    "a store that all of them see: App(store=SQLiteStore(path)); or say in Protected(...) that you do without: "
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


def _memory() -> type[Store]:
    from ..stores.memory import MemoryStore

    return MemoryStore


def lend(keys: Sequence[bytes], store: str) -> None:
    """Keys, and the path of a SQLite store, for every app of this process that is given none of its own."""
    _lent[:] = [(list(keys), store)]


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
    """The keys and the store of one app. ``ring``: the keys, if other processes have them too.

    Raises ValueError for keys that are too short, for both keys and a sealer, and for a store whose room is given away.
    """

    def __init__(
        self, *, keys: Sequence[str | bytes] | None, sealer: Sealer | None, store: Store | None
    ) -> None:
        self.ring: KeyRing | None = None
        if keys is not None and sealer is not None:
            raise ValueError("give keys or a sealer, not both: a sealer has keys of its own")
        if keys is None and sealer is None and (found := os.environ.get(ENVIRONMENT)):
            keys = [each.strip() for each in found.split(",") if each.strip()]
        for lent, path in _lent:
            if lent and keys is None and sealer is None:
                keys = lent
            if store is None:
                from ..stores.sqlite import SQLiteStore

                store = SQLiteStore(path)
        if keys is not None:
            secrets = [each.encode() if isinstance(each, str) else each for each in keys]
            self.ring = KeyRing.from_secrets(secrets)
            sealer = default_sealer(_PURPOSE, self.ring)
        self.store = store
        self._sealer = sealer
        self._alone = sealer is None
        self._journals: Journals | None = None
        if store is not None:
            room_of_rounds(
                store.kv
            )  # it is set aside now, where a mistake shows, and not when the first round needs it

    def journals(self) -> Journals:
        """Where the rounds are kept."""
        if self._journals is None:
            if self._sealer is None:
                self._sealer = default_sealer(_PURPOSE)
            self._journals = Journals(self._sealer, kv=self._kv())
        return self._journals

    def share(self, *, single_use: bool) -> None:
        """Others will be forked from this process. ``single_use``: there is something whose state counts once. Raises
        ValueError.
        """
        if single_use and self.store is None:
            raise ValueError(_NEEDS_STORE)
        self._alone, self._journals = False, None
        if self._sealer is None:
            self.ring = KeyRing.generate()
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
        if self._sealer is None:
            missing.append("keys: App(keys=[...]), or " + ENVIRONMENT + " in the environment")
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
