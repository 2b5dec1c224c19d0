"""What the store could not take at first, where several workers share it: the end of a stream, the word of a death, a
cancellation. Nobody waits for what never comes. Follows: 2025-11-25 basic/transports "Resumability and Redelivery",
basic/utilities/cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cluster_serving import ENGINES, OpenStore, Worker, response, running_engine, said, tool, workers
from http_serving import Prober, Stream, until

from dovetail.protocol.listening import Change
from dovetail.stores.contracts import Store
from dovetail.stores.errors import StoreUnavailable
from dovetail.transports.http_server import endpoint_processes, sessions, stored_cancellations
from dovetail.transports.http_server.claims import Claims
from dovetail.transports.http_server.endpoint_processes import EndpointProcesses, SessionOver
from dovetail.transports.http_server.live_sessions import session_digest


@pytest.fixture(scope="module", params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStore]:
    yield from running_engine(request.param, tmp_path_factory.mktemp("engine"))


class FailingPart:
    """A part of a store that fails in the methods of ``failing``, as often as it says there. A view of it does, too."""

    def __init__(self, part: Any, failing: dict[str, int]) -> None:
        self._part = part
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name == "within":
            return lambda *words, **options: FailingPart(found(*words, **options), self.failing)
        if not self.failing.get(name):
            return found

        async def fail(*_: Any, **__: Any) -> None:
            self.failing[name] -= 1
            raise StoreUnavailable("as asked")

        return fail


class FailingStore:
    """A store whose parts can be made to fail."""

    def __init__(self, store: Store) -> None:
        self.failing: dict[str, int] = {}
        self.kv = FailingPart(store.kv, self.failing)
        self.events = FailingPart(store.events, self.failing)
        self.sessions = FailingPart(store.sessions, self.failing)
        self.bus = store.bus
        self.aclose = store.aclose


@contextlib.asynccontextmanager
async def failing_workers(
    open_store: OpenStore, count: int = 2
) -> AsyncIterator[tuple[list[Worker], list[dict[str, int]]]]:
    """Workers, and what fails in the store of each."""
    stores: list[FailingStore] = []

    def open_one() -> Any:
        stores.append(FailingStore(open_store()))
        return stores[-1]

    async with workers(open_one, count) as found:
        yield found, [each.failing for each in stores]


async def begun(worker: Worker, prober: Prober, **arguments: Any) -> tuple[Stream, str]:
    """A call that said one thing and goes on; its stream, and the id of that event."""
    stream = await prober.stream("POST", tool(prober, "talk", id=7, key="a", pause_after=0, **arguments))
    while not (event := await stream.next()).data:  # type: ignore[union-attr] - the stream goes on
        pass
    return stream, event.id or ""  # type: ignore[union-attr] - as above


def claims_of(worker: Worker) -> Claims:
    found = worker.app._stateful._claims
    assert found is not None
    return found


def link_of(worker: Worker, prober: Prober) -> str:
    return worker.app._stateful._sessions.live(prober.session or "").link


async def resumed(worker: Worker, prober: Prober, last: str) -> list[Any]:
    """All that a client hears that comes back."""
    stream = await worker.prober(prober).stream("GET", headers={"Last-Event-ID": last})
    assert stream.answer.status == 200
    found: list[Any] = []
    async with asyncio.timeout(10):
        while (message := await said(stream)) is not None:
            found.append(message)
    return found


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-035")
async def test_an_end_that_the_store_did_not_take_is_noted_later(open_store: OpenStore) -> None:
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready()
        stream, last = await begun(one, prober)
        await stream.connection.close()
        failing["close"] = 2
        one.bench.event(one.bench.gates, "a").set()
        told = await resumed(two, prober, last)
        assert "result" in told[-1]
        assert not failing["close"]
        await until(lambda: not claims_of(one)._held)


async def test_a_claim_that_the_store_did_not_take_is_made_later(open_store: OpenStore) -> None:
    async with failing_workers(open_store) as ((one, _), (failing, _)):
        prober = await one.prober().ready()
        failing["set"] = 1
        await begun(one, prober)
        claims = claims_of(one)
        await until(lambda: not claims._unclaimed)
        (name,) = claims._held
        assert await claims._kv.get(f"stream/{name}") is not None
        one.bench.event(one.bench.gates, "a").set()
        async with asyncio.timeout(5):
            while await claims._kv.get(f"stream/{name}") is not None:  # noqa: ASYNC110 - nobody tells that it is gone
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["append", "close", "read"])
async def test_a_death_is_told_though_the_store_fails_meanwhile(open_store: OpenStore, method: str) -> None:
    async with failing_workers(open_store) as ((one, two), (_, failing)):
        prober = await one.prober().ready()
        stream, last = await begun(one, prober)
        await stream.connection.close()
        processes = one.app._stateful._processes
        assert processes is not None
        await processes.close()  # from here on it counts as dead
        name = next(iter(claims_of(one)._held))
        failing[method] = 1
        assert await claims_of(two).settle(name, link_of(one, prober)) is None
        told = await resumed(two, prober, last)
        assert [each["error"]["code"] for each in told if "error" in each] == [-32603]
        assert "has died" in told[-1]["error"]["message"]
        await until(lambda: not claims_of(two)._held)
        # The process lives after all: what it says now is nobody's answer, and what was told stays.
        one.bench.event(one.bench.gates, "a").set()
        await until(lambda: not one.live)
        assert await resumed(two, prober, last) == told


async def test_whoever_reads_where_the_call_runs_hears_what_was_told_elsewhere(open_store: OpenStore) -> None:
    async with workers(open_store) as (one, two):
        prober = await one.prober().ready()
        stream, last = await begun(one, prober)
        processes = one.app._stateful._processes
        assert processes is not None
        await processes.close()
        await claims_of(two).settle(next(iter(claims_of(one)._held)), link_of(one, prober))
        one.bench.event(one.bench.gates, "a").set()
        async with asyncio.timeout(10):
            told = await said(stream)
            assert "has died" in told["error"]["message"]
            assert await said(stream) is None
        assert await resumed(two, prober, last) == [told]


async def test_a_death_that_nobody_tells_to_the_end_is_told_by_the_next(open_store: OpenStore) -> None:
    """Who tells of a death has the claim while it does; it is asked for it, and dead it is followed by another."""
    async with failing_workers(open_store, 3) as ((one, two, three), (_, failing, _)):
        prober = await one.prober().ready()
        stream, last = await begun(one, prober)
        await stream.connection.close()
        processes = one.app._stateful._processes
        assert processes is not None
        await processes.close()
        claims = claims_of(two)
        failing["append"] = 1000
        await claims.settle(next(iter(claims_of(one)._held)), link_of(one, prober))
        await claims.close()  # as one that dies
        claims._held.clear()
        other: EndpointProcesses | None = two.app._stateful._processes
        assert other is not None
        await other.close()
        told = await resumed(three, prober, last)
        assert "has died" in told[-1]["error"]["message"]
        one.bench.event(one.bench.gates, "a").set()
        await until(lambda: not one.live)


@pytest.mark.requirement("R2511-CANCELLATION-002")
@pytest.mark.parametrize("failures", [0, 2])
async def test_a_cancellation_is_found_though_its_word_was_lost(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """Also where the store does not say at first whether there is one."""
    monkeypatch.setattr(stored_cancellations, "LOOK_AGAIN", 0.01)
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready()
        await begun(one, prober)
        processes = one.app._stateful._processes
        assert processes is not None
        cancel = prober.message("notifications/cancelled", {"requestId": 7}, notice=True)
        with monkeypatch.context() as changed:
            changed.setattr(processes, "_hears", {})  # whatever is said now is lost
            changed.setattr(processes, "_missed", [])  # also where a busy bus says that by itself
            assert (await two.prober(prober).send("POST", cancel)).status == 202
            heard = asyncio.Event()
            await one.app.store.bus.listen("http/all", lambda data: heard.set())
            await two.app.store.bus.publish("http/all", b"after it")
            await asyncio.wait_for(heard.wait(), 5)
        assert not one.bench.event(one.bench.cancelled, "a").is_set()
        failing["get"] = failures
        processes._heard(None)
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)


@contextlib.asynccontextmanager
async def a_session_ended_unheard(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Worker, Prober, dict[str, int]]]:
    """A worker in which a call goes on whose session has ended at another one, of which no word came."""
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready()
        await begun(one, prober)
        processes = one.app._stateful._processes
        assert processes is not None
        with monkeypatch.context() as changed:
            changed.setattr(processes, "_hears", {})
            changed.setattr(processes, "_missed", [])
            assert (await two.prober(prober).send("DELETE")).status == 204
            heard = asyncio.Event()
            await one.app.store.bus.listen("http/all", lambda data: heard.set())
            await two.app.store.bus.publish("http/all", b"after it")
            await asyncio.wait_for(heard.wait(), 5)
        assert not one.bench.event(one.bench.cancelled, "a").is_set()
        yield one, prober, failing


async def test_an_end_of_which_the_store_says_nothing_at_first_is_found_later(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is back on the bus may not be back for the rest; the call would go on until its deadline."""
    monkeypatch.setattr(sessions, "LOOK_AGAIN", 0.01)
    async with a_session_ended_unheard(open_store, monkeypatch) as (one, _, failing):
        failing["load"] = 2
        processes = one.app._stateful._processes
        assert processes is not None
        processes._heard(None)
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)


async def test_whoever_still_reads_a_session_that_has_ended_ends_it_here(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_session_ended_unheard(open_store, monkeypatch) as (one, prober, _):
        assert not await one.app._stateful._sessions.seen(prober.session or "")
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)


async def test_a_cancellation_that_nobody_may_hear_is_refused(open_store: OpenStore) -> None:
    async with failing_workers(open_store) as ((one, two), (_, failing)):
        prober = await one.prober().ready()
        await begun(one, prober)
        cancel = prober.message("notifications/cancelled", {"requestId": 7}, notice=True)
        failing["set"] = 1
        refused = await two.prober(prober).send("POST", cancel)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await two.prober(prober).send("POST", cancel)).status == 202
        await asyncio.wait_for(one.bench.event(one.bench.cancelled, "a").wait(), 5)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-039")
async def test_a_standalone_stream_whose_end_was_not_noted_goes_on(open_store: OpenStore) -> None:
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready()
        stream = await prober.stream("GET")
        primed = await stream.next()
        assert primed is not None
        failing["close"] = 1
        live = one.app._stateful._sessions.live(prober.session or "")
        assert live.standalone is not None
        live.standalone.close()
        await live.standalone.stream.end()
        again = await two.prober(prober).stream("GET", headers={"Last-Event-ID": primed.id or ""})
        two.bench.hub.publish(Change("tools"))
        async with asyncio.timeout(5):
            while (await said(again))["method"] != "notifications/tools/list_changed":
                pass


async def test_a_question_of_which_the_store_has_nothing_is_answered_elsewhere(open_store: OpenStore) -> None:
    """It was away when the question was asked; what is no such question is still nobody's answer."""
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready(capabilities={"roots": {}})
        failing["add"] = 1
        stream = await prober.stream("POST", tool(prober, "ask", id=7))
        question = await said(stream)
        other, answer = two.prober(prober), {"roots": [{"uri": "file:///true"}]}
        thief = two.prober(await two.prober().ready())
        forged = response(question["id"], {"roots": []})
        assert (await thief.send("POST", forged)).status == 202
        assert (await other.send("POST", response(f"{question['id']}9", {"roots": []}))).status == 202
        assert (await other.send("POST", response(question["id"], answer))).status == 202
        async with asyncio.timeout(5):
            assert json.loads((await said(stream))["result"]["content"][0]["text"]) == answer
        assert (await other.send("POST", forged)).status == 202, "the first answer counts"


async def test_nobody_is_taken_for_dead_because_the_store_was_away(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sign of life has expired meanwhile, and is given again as soon as the store takes it."""
    monkeypatch.setattr(endpoint_processes, "BEAT", 0.1)
    async with failing_workers(open_store) as ((one, two), (failing, _)):
        prober = await one.prober().ready(capabilities={"roots": {}})
        stream = await prober.stream("POST", tool(prober, "ask", id=7))
        question = await said(stream)
        failing["set"] = 2
        await until(
            lambda: failing["set"] < 2
        )  # a sign on its way before that would be followed by a whole beat
        monkeypatch.setattr(endpoint_processes, "BEAT", 3600.0)
        await until(lambda: not failing["set"])
        signs = two.app.store.kv.within("http/claims/alive/")
        processes = one.app._stateful._processes
        assert processes is not None
        assert await signs.delete(processes.id)
        answer = response(question["id"], {"roots": []})
        assert (await two.prober(prober).send("POST", answer)).status == 202
        assert "result" in await said(stream)


class SlowEvents:
    """An event log that keeps whole streams only when it is let."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    async def keep(self, stream: str, events: Any) -> None:
        self.asked.set()
        await self.let.wait()
        await self._events.keep(stream, events)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-046")
@pytest.mark.parametrize("word", ["before", "after"])
async def test_an_answer_that_is_kept_while_its_session_ends_elsewhere_goes_as_well(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Whether the word of the end comes before it was kept, or when its request is over."""
    slow: list[SlowEvents] = []

    def open_one() -> Any:
        store = open_store()
        slow.append(SlowEvents(store.events))
        monkeypatch.setattr(store, "events", slow[-1])
        return store

    async with workers(open_one) as (one, two):
        prober = await one.prober().ready()
        prefix = one.app._stateful._sessions.live(prober.session or "").prefix
        processes = one.app._stateful._processes
        assert processes is not None
        call = prober.message("tools/call", {"name": "echo", "arguments": {}})
        with monkeypatch.context() as changed:
            if word == "after":
                changed.setattr(processes, "_hears", {})
                changed.setattr(processes, "_missed", [])
            answering = asyncio.create_task(prober.send("POST", call, {"accept": "text/event-stream"}))
            await asyncio.wait_for(slow[0].asked.wait(), 5)
            assert (await two.prober(prober).send("DELETE")).status == 204
            if word == "before":
                await until(lambda: not one.live)
            slow[0].let.set()
            assert (await answering).status == 200
        if word == "after":
            await until(lambda: not one.live)
            processes._hears[SessionOver](SessionOver(session_digest(prober.session or "")))
        looking = one.app._stateful._sessions._looking
        if looking is not None:
            await looking
        assert await two.app.store.events.drop_prefix(prefix) == 0, "nothing is left in the log"


@pytest.mark.hostile
async def test_an_answer_in_the_store_that_cannot_be_read_ends_its_question_alone(
    open_store: OpenStore,
) -> None:
    async with workers(open_store) as (one, _):
        prober = await one.prober().ready(capabilities={"roots": {}})
        asking = [await prober.stream("POST", tool(prober, "ask", id=id)) for id in (7, 8, 9)]
        asked = [(await said(stream))["id"] for stream in asking]
        questions = one.app._stateful._sessions.questions
        assert questions is not None
        kv = questions._of(session_digest(prober.session or ""))
        for id, data in zip(asked, (b"\xff{", b'{"body":[1', b'{"body":{"roots":[]}}'), strict=True):
            await kv.set(id, data)
        questions._look_for_all()
        async with asyncio.timeout(5):
            for stream in asking[:2]:
                assert "can't be read any more" in (await said(stream))["error"]["message"]
            assert json.loads((await said(asking[2]))["result"]["content"][0]["text"]) == {"roots": []}
