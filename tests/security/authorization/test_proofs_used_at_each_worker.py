"""Attack: a proof of possession that was overheard is used again, at another worker, which knows nothing of it.

Workers share what they have to, or refuse to serve; who does without says so.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from guarded import RESOURCE, Wire, issuing, notes

from dovetail import App
from dovetail.auth import Protected, jwt
from dovetail.auth.dpop import DPoPKey
from dovetail.server.keys_and_store import NotShared
from dovetail.stores import MemoryStore, SQLiteStore
from dovetail.testing.serving import served

KEYS = ["a-secret-that-is-long-enough-for-keys"]
PLAIN = {"sessions": False, "workers": 2}
PROOFS = "a proof that one of them took"


def protection(**settings: Any) -> Protected:
    return Protected(RESOURCE, jwt("http://localhost:9"), **settings)


def endpoint(auth: Any, store: Any = None, **options: Any) -> Any:
    """The endpoint of one of several workers, which have keys and no sessions, so that nothing else is to be shared."""
    return App("several", keys=KEYS, auth=auth, store=store).asgi(**{**PLAIN, **options})


@pytest.mark.parametrize("settings", [{}, {"dpop": "required"}, {"dpop_nonces": True}])
@pytest.mark.parametrize("store", [None, MemoryStore])
def test_workers_that_would_take_a_proof_each_refuse_to_serve(settings: dict[str, Any], store: Any) -> None:
    with pytest.raises(NotShared, match=PROOFS) as caught:
        endpoint(protection(**settings), store and store())
    for told in ("2 workers", "App(store=", "dpop='refused'", "dpop_once_per_worker=True"):
        assert told in str(caught.value)


def test_workers_that_have_sessions_as_well_are_told_of_the_store_once() -> None:
    with pytest.raises(NotShared) as caught:
        endpoint(protection(), sessions=True)
    assert str(caught.value).count("App(store=") == 1


def test_who_shares_a_store_or_says_that_none_is_needed_may_serve(tmp_path: Path) -> None:
    endpoint(protection(), SQLiteStore(tmp_path / "shared.db"))
    endpoint(protection(dpop="refused"))
    endpoint(protection(dpop_once_per_worker=True))
    endpoint(protection(dpop="required"), workers=1)

    class Own:
        """A protection that somebody else wrote."""

        hosts = ("localhost",)

        def gate(self, **given: Any) -> Any:
            return protection().gate(**given)

    endpoint(Own())
    App("several", keys=KEYS).asgi(sessions=False, workers=2)


def test_the_servers_number_of_workers_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/uvicorn", "several:app"])
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(NotShared, match="3 workers"):
        App("several", keys=KEYS, auth=protection()).asgi(sessions=False)


@pytest.mark.hostile
async def test_a_proof_is_used_once_at_all_workers_that_serve_together(tmp_path: Path) -> None:
    """What the refusal is about; with a store that they share, the second worker knows the proof."""
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(issuing())
        token = issuer.token(cnf={"jkt": (key := DPoPKey.generate()).thumbprint})
        for shared in (True, False):
            auth = Protected(RESOURCE, jwt(issuer.url), dpop_once_per_worker=not shared)
            wires: list[Wire] = []
            for _ in range(2):
                store = SQLiteStore(tmp_path / "shared.db") if shared else None
                app = notes(auth).asgi(sessions=False, workers=1, store=store)
                wires.append(Wire(await stack.enter_async_context(served(app))))
            proof = [("dpop", key.proof("POST", RESOURCE, access_token=token))]
            statuses = [(await wire.call(token, scheme="DPoP", headers=proof)).status for wire in wires]
            assert statuses == [200, 401 if shared else 200]
