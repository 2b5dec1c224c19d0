"""Everything at once at three workers: many clients, duplicates, readers that come and go, a store that forgot.

Follows: 2025-11-25 basic/transports; 2026-07-28 basic/patterns/mrtr.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from checker import check
from crash import Faults
from driving import Driver, Recorder
from history import Effect, Fault, Outcome, Read, Resume
from http_bench import CLIENT
from http_serving import Connection, Prober, head_bytes
from machines import ENGINES, Cluster, MissingEngine, cluster

from dovetail import Client

CROWD = 50


@pytest.fixture(params=ENGINES)
async def machines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    try:
        async with cluster(request.param, tmp_path) as found:
            yield found
    except MissingEngine as missing:
        pytest.skip(str(missing))


def verdict(machines: Cluster, recorder: Recorder) -> list[str]:
    effects = [Effect(what, key) for what, key in machines.effects()]
    return [f"{each.rule}: {each.text}" for each in check([*recorder.records, *effects])]


@pytest.mark.timeout(120)
async def test_fifty_clients_with_everything_at_once(machines: Cluster) -> None:
    """In both eras, each client gets what is its own."""

    async def visit(number: int) -> None:
        word = f"word {number}"
        heard: list[float] = []
        revision = ("2025-06-18", "2025-11-25", "2026-07-28")[number % 3]
        async with Client(
            machines.url,
            revision=revision,
            timeout=60,
            elicitation=lambda question: {"value": word},
            sampling=lambda request: f"{word} thinks",
        ) as client:
            for turn in range(3):
                key = f"v{number}-{turn}"
                results = await asyncio.gather(
                    client.call_tool(
                        "work", {"key": key, "steps": 4}, progress=lambda said: heard.append(said.progress)
                    ),
                    client.call_tool("ask", {"key": key}),
                    client.call_tool("think", {"key": key}),
                )
                assert [each.text for each in results] == [
                    f"done {key}",
                    f"{key} {word}",
                    f"{key} {word} thinks",
                ]
                assert heard == [1, 2, 3, 4]
                heard.clear()
                begun = asyncio.Event()
                ended = asyncio.create_task(
                    client.call_tool("endless", {"key": key}, progress=lambda _, begun=begun: begun.set())
                )
                await begun.wait()
                ended.cancel()
                await asyncio.gather(ended, return_exceptions=True)

    await asyncio.gather(*(visit(number) for number in range(CROWD)))
    await machines.settled(lambda effects: sum(what == "cancelled" for what, _ in effects) == 3 * CROWD)
    counted = machines.effects()
    assert len(counted) == len(set(counted)) == 4 * 3 * CROWD, "each was done once"


async def test_an_answer_that_is_sent_to_all_workers_counts_once(machines: Cluster) -> None:
    """Where a client contradicts itself, the answer counts that reaches the worker first whose call waits: another
    worker passes its own on, and may be overtaken.
    """
    recorder = Recorder()
    driver = Driver(recorder, machines.port, 0)
    await driver.open()
    insist = driver._insist

    async def thrice(body: bytes):
        other = json.loads(body)
        other["result"] = {"action": "decline"}
        mine = await insist(body)
        answers = await asyncio.gather(
            *(driver.prober.send("POST", each) for each in (body, json.dumps(other).encode(), body))
        )
        assert {each.status for each in answers} <= {202, 400}
        return mine

    driver._insist = thrice
    ended = [await driver.ask() for _ in range(3)]
    assert set(ended) <= {"answer", "error"}, recorder.records
    declined = [each for each in recorder.records if isinstance(each, Outcome) and each.how == "error"]
    assert all("declined" in each.value for each in declined), declined
    assert sum(what == "ask" for what, _ in machines.effects()) == ended.count("answer"), recorder.records
    wrong = [each for each in verdict(machines, recorder) if "(the person declined: " not in each]
    assert wrong == [], "but for calls that were declined and not lost"


async def test_a_reader_that_comes_to_another_worker_after_each_event(machines: Cluster) -> None:
    recorder = Recorder()
    driver = Driver(recorder, machines.port, 0)
    await driver.open()
    driver.on_read = lambda read: driver.forget() if read.what in ("primer", "progress") else None
    assert await driver.work(12, 0.02) == "answer"
    assert sum(isinstance(each, Resume) for each in recorder.records) >= 2
    assert verdict(machines, recorder) == []


async def test_who_does_not_read_holds_nobody_up(machines: Cluster) -> None:
    """One client listens and never reads; the others are told of what changes all the same."""
    deaf = await Prober(machines.port).ready()
    assert (await deaf.call("resources/subscribe", {"uri": "note://a"})).status == 200
    await deaf.stream("GET")
    recorder = Recorder()
    over = asyncio.Event()
    listener, changer = (Driver(recorder, machines.port, number) for number in (1, 2))
    told = asyncio.Event()
    count = 0

    def counted(read: Read) -> None:
        nonlocal count
        count += read.what == "changed"
        told.set()

    listener.on_read = counted
    await asyncio.gather(listener.open(), changer.open())
    listening = asyncio.create_task(listener.listen(["a"], over))
    try:
        async with asyncio.timeout(40):
            while not any(getattr(each, "status", 0) == 200 for each in recorder.records):  # noqa: ASYNC110 - a list tells nobody
                await asyncio.sleep(0.01)
            for _ in range(100):
                told.clear()
                assert await changer.change("a") == "answer"
            while count == 0:
                await told.wait()
    finally:
        over.set()
        await listening
        for each in deaf.opened:
            each.abort()
    assert verdict(machines, recorder) == []


async def test_an_engine_that_forgot_everything_costs_sessions_and_nothing_else(tmp_path: Path) -> None:
    """A Redis without persistence that is restarted: clients are told that their sessions are gone, and open others."""
    try:
        async with cluster("redis", tmp_path) as machines:
            recorder = Recorder()
            faults = Faults(machines, recorder, 0)
            drivers = [Driver(recorder, machines.port, number) for number in range(6)]
            await asyncio.gather(*(each.open() for each in drivers))

            async def go_on(driver: Driver, over: asyncio.Event) -> None:
                while not over.is_set():
                    await driver.work(3, 0.01)
                    await driver.ask()

            over = asyncio.Event()
            going = [asyncio.create_task(go_on(each, over)) for each in drivers]
            for _ in range(2):
                await asyncio.sleep(1)
                await faults.empty_engine()
                await asyncio.sleep(1)
            over.set()
            await asyncio.gather(*going)
            for each in drivers:
                await each.work(2)
                assert await each.ask() == "answer", "it recovered"
            ended = {each.how for each in recorder.records if isinstance(each, Outcome)}
            assert "session" in ended
            assert any(isinstance(each, Fault) and each.what == "empty" for each in recorder.records)
            assert verdict(machines, recorder) == []
    except MissingEngine as missing:
        pytest.skip(str(missing))


async def test_two_clients_with_one_request_id_are_two(machines: Cluster) -> None:
    """Ids are of their sessions: the same id at the same moment in many sessions mixes nothing up."""
    probers = await asyncio.gather(*(Prober(machines.port).ready() for _ in range(12)))
    bodies = [
        probers[0].message(
            "tools/call", {"name": "work", "arguments": {"key": f"same-{each}", "steps": 3}}, id="same"
        )
        for each in range(len(probers))
    ]
    answers = await asyncio.gather(
        *(prober.send("POST", body) for prober, body in zip(probers, bodies, strict=True))
    )
    for number, answer in enumerate(answers):
        assert f"done same-{number}" in answer.body.decode()


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_a_request_that_is_there_when_its_worker_is_told_to_end_is_answered(
    kept: bool, tmp_path: Path
) -> None:
    """With 200 or with 503, so that whoever sent it knows whether it ran; a connection that is cut does not say."""
    body = Prober(0).message(
        "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
    )
    fields = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    request = head_bytes("POST", "/mcp", {**fields, "accept": "application/json, text/event-stream"}) + body
    async with cluster("sqlite", tmp_path, workers=1) as machines:
        (worker,) = machines.workers
        connection = await Connection.open(worker.port) if kept else None
        if connection is not None:
            await connection.send(request)
            assert (await connection.answer()).status == 200
        worker.pause()
        connection = connection or await Connection.open(worker.port)
        await connection.send(request)
        worker.signal(signal.SIGTERM)
        worker.resume()
        try:
            assert (await connection.answer()).status in (200, 503)
        finally:
            connection.abort()
