"""Attack: so many made-up tokens that nobody else's token is asked about.

One network has a share of the questions to the issuer; tokens that were good before have room that strangers never get;
and whoever finds no place waits a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from guarded import RESOURCE, Issuer, Wire, issuing, notes

from dovetail.auth import Protected, introspection
from dovetail.auth.protecting import fair_queue
from dovetail.auth.protecting.fair_queue import KEPT, OPEN, SHARE, FairQueue
from dovetail.auth.protecting.verdicts import Unavailable
from dovetail.security.callers import network_of
from dovetail.testing.serving import served

ATTACKER, HONEST = "127.0.0.66", "127.0.0.1"


class Slow(Issuer):
    """Answers about known tokens at once, and about made-up ones when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self.most = self.now = 0
        self.changed = asyncio.Condition()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/introspect":
            await super().__call__(scope, receive, send)
            return
        self.now += 1
        self.most = max(self.most, self.now)
        async with self.changed:
            self.changed.notify_all()
        try:
            await super().__call__(scope, _holding(receive, self), send)
        finally:
            self.now -= 1


def _holding(receive: Any, issuer: Slow) -> Any:
    async def received() -> Any:
        event = await receive()
        if b"made-up" in event.get("body", b""):
            await issuer.held.wait()
        return event

    return received


@contextlib.asynccontextmanager
async def flooded(**settings: Any) -> AsyncIterator[tuple[Slow, str]]:
    """A protected server, and its issuer."""
    async with issuing(Slow()) as issuer:
        assert isinstance(issuer, Slow)
        check = introspection(issuer.url, client_id="notes", client_secret="secret", **settings)
        async with served(notes(Protected(RESOURCE, check)).asgi()) as url:
            yield issuer, url
            issuer.held.set()


def good() -> dict[str, Any]:
    return {"active": True, "sub": "ann", "client_id": "cli", "aud": RESOURCE, "scope": "notes:read"}


async def settled(issuer: Slow, open_: int) -> None:
    async with asyncio.timeout(10), issuer.changed:
        await issuer.changed.wait_for(lambda: issuer.now >= open_)


@pytest.mark.hostile
async def test_one_network_can_not_keep_another_out() -> None:
    async with flooded() as (issuer, url):
        attacker, honest = Wire(url, address=ATTACKER), Wire(url, address=HONEST)
        issuer.answers["new"] = good()
        flood = [asyncio.create_task(attacker.call(f"made-up-{n}")) for n in range(3 * OPEN)]
        await settled(issuer, SHARE)
        begun = time.monotonic()
        assert (await honest.call("new")).status == 200
        assert time.monotonic() - begun < fair_queue.PATIENCE
        assert issuer.most <= SHARE + 1
        issuer.held.set()
        assert {answer.status for answer in await asyncio.gather(*flood)} <= {401, 503}


@pytest.mark.hostile
async def test_tokens_that_were_good_before_have_room_of_their_own() -> None:
    """Also those that come from the attacker's network, as everybody does behind a proxy."""
    async with flooded(keep=0) as (issuer, url):
        issuer.answers["known"] = good()
        same = Wire(url, address=ATTACKER)
        assert (await same.call("known")).status == 200
        crowd = [Wire(url, address=f"127.0.7.{n}") for n in range(1, 12)]
        flood = [
            asyncio.create_task(each.call(f"made-up-{n}-{each.address}")) for each in crowd for n in range(12)
        ]
        await settled(issuer, OPEN - KEPT)
        for _ in range(3):
            assert (await same.call("known")).status == 200
        assert issuer.most <= OPEN - KEPT + 1
        issuer.held.set()
        await asyncio.gather(*flood)


@pytest.mark.hostile
async def test_what_was_good_and_is_no_more_has_no_room() -> None:
    async with flooded(keep=0) as (issuer, url):
        issuer.answers["made-up-once-good"] = good()
        issuer.held.set()
        wire = Wire(url, address=ATTACKER)
        assert (await wire.call("made-up-once-good")).status == 200
        issuer.answers["made-up-once-good"] = {"active": False}
        assert (await wire.call("made-up-once-good")).status == 401


async def test_a_burst_waits_and_is_not_refused() -> None:
    async with flooded() as (issuer, url):
        wire = Wire(url, address=HONEST)
        for n in range(4 * SHARE):
            issuer.answers[f"made-up-and-good-{n}"] = good()
        calls = [asyncio.create_task(wire.call(f"made-up-and-good-{n}")) for n in range(4 * SHARE)]
        await settled(issuer, SHARE)
        issuer.held.set()
        assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
        assert issuer.most == SHARE


@pytest.mark.hostile
async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "PATIENCE", 0.1)
    async with flooded() as (issuer, url):
        wire = Wire(url, address=ATTACKER)
        flood = [asyncio.create_task(wire.call(f"made-up-{n}")) for n in range(SHARE)]
        await settled(issuer, SHARE)
        late = await wire.call("made-up-late")
        assert (late.status, late.values("retry-after")) == (503, ["5"])
        issuer.held.set()
        assert {answer.status for answer in await asyncio.gather(*flood)} == {401}


# The turns themselves


class Holder:
    """Holds turns until told to leave them."""

    def __init__(self) -> None:
        self.turns = FairQueue()
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def ask(self, name: str, network: str = "", *, known: bool = False) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, network, known))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _hold(self, name: str, network: str, known: bool) -> None:
        async with self.turns.turn(network, known=known):
            self.order.append(name)
            await self.leave[name].wait()

    async def done(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]
        for _ in range(3):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for event in self.leave.values():
            event.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_networks_that_wait_take_turns_and_known_tokens_come_first() -> None:
    holder = Holder()
    for n in range(OPEN - KEPT):
        await holder.ask(f"first-{n}", f"crowd-{n}")
    for n in range(3):
        await holder.ask(f"many-{n}", "many")
    await holder.ask("one", "one")
    assert len(holder.order) == OPEN - KEPT
    for n in range(KEPT):
        await holder.ask(f"known-{n}", "many", known=True)
    assert len(holder.order) == OPEN
    await holder.ask("known-late", "many", known=True)
    for n in range(5):
        await holder.done(f"first-{n}")
    assert holder.order[OPEN:] == ["known-late", "many-0", "one", "many-1", "many-2"]
    await holder.end()


async def test_the_line_is_bounded_and_the_longest_part_of_it_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_queue, "WAITING", 4)
    holder = Holder()
    for n in range(SHARE):
        await holder.ask(f"share-{n}", "many")
    for n in range(4):
        await holder.ask(f"many-{n}", "many")
    for n in range(OPEN - KEPT - SHARE):
        await holder.ask(f"crowd-{n}", f"crowd-{n}")
    await holder.ask("one", "one")  # in the place of the last of many
    with pytest.raises(Unavailable):
        await holder.tasks["many-3"]
    await holder.ask("many-late", "many")
    with pytest.raises(Unavailable):
        await holder.tasks["many-late"]
    await holder.ask("known", "many", known=True)
    assert holder.order[-1] == "known", "for known tokens there is room"
    await holder.done("crowd-0")
    assert holder.order[-1] == "one", "many have their share"
    await holder.end()


async def test_places_come_back_whoever_stops_waiting() -> None:
    holder = Holder()
    for n in range(SHARE + 3):
        await holder.ask(f"each-{n}", "one")
    holder.tasks[f"each-{SHARE}"].cancel()  # while it waits
    holder.leave["each-0"].set()
    await asyncio.sleep(0)
    holder.tasks[f"each-{SHARE + 1}"].cancel()  # in the moment in which its turn comes
    holder.tasks["each-1"].cancel()  # while it asks
    await asyncio.wait(
        [holder.tasks[f"each-{n}"] for n in (0, 1, SHARE, SHARE + 1)], return_when=asyncio.ALL_COMPLETED
    )
    await holder.ask("next", "one")
    assert {"next", f"each-{SHARE + 2}"} <= {*holder.order}
    await holder.end()
    assert holder.turns._open == holder.turns._unknown == holder.turns._waiting == 0
    assert not holder.turns._held
    assert not holder.turns._line


def test_these_addresses_are_networks_of_their_own() -> None:
    assert network_of(ATTACKER) != network_of(HONEST)
    with socket.create_server((ATTACKER, 0)):
        pass
