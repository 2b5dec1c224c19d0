"""Between a client and a server over HTTP: nothing is changed without a fault, and each fault is what a client sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from between_running import RunningRelay, relayed
from between_server import app

from dovetail import Client
from dovetail.errors import (
    ConnectionLost,
    HTTPStatusError,
    LoginRequired,
    MessageTooLarge,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    SessionEnded,
)
from dovetail.recording import Capture
from dovetail.testing import served
from dovetail_inspector.between.faults import FaultInvalid, fault_from_words

ERAS = ["2026-07-28", "2025-11-25"]
CALLS = "method=tools/call"


async def ada(_: Any) -> dict[str, str]:
    """Answer a question."""
    return {"value": "Ada"}


@pytest.fixture
async def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningRelay]:
    """A relay before the server of these tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    async with served(app.asgi()) as url, relayed(url, tmp_path / "talk.jsonl") as running:
        yield running


async def outcome(
    relay: RunningRelay, revision: str, fault: str, tool: str = "add", *, timeout: float = 10.0
) -> tuple[str, list[float], int]:
    """What becomes of one call while a fault is in force: the text, the progress, and how often it struck."""
    seen: list[float] = []
    async with Client(relay.url, revision=revision, timeout=timeout, elicitation=ada) as client:
        number = relay.steering.add(fault_from_words(fault))
        try:
            arguments = {"a": 1, "b": 2} if tool == "add" else {}
            result = await client.call_tool(tool, arguments, progress=lambda told: seen.append(told.progress))
        finally:
            (state,) = relay.steering.faults()
            assert relay.steering.remove(number)
        return result.text, seen, state.struck


@pytest.mark.parametrize("revision", ERAS)
async def test_without_a_fault_both_sides_say_and_hear_the_same(
    relay: RunningRelay, revision: str, tmp_path: Path
) -> None:
    told = tmp_path / "client.jsonl"
    async with Client(relay.url, revision=revision, elicitation=ada, record=told) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        assert (await client.call_tool("tell", progress=lambda _: None)).text == "3"
        assert (await client.call_tool("ask")).text == "Hello, Ada"

    def said(path: Path) -> list[tuple[str, str]]:
        capture = Capture.read(path)
        values = [(str(each.sender), each.value) for each in capture if not each.mark and each.value]
        kinds = [(sender, str(value.get("method") or sorted(value))) for sender, value in values]
        return sorted(kinds)

    # A client's own record has what it heard; the relay's has it as it passed.
    assert said(relay_capture(relay)) == said(told)
    assert not [each for each in Capture.read(relay_capture(relay)) if each.mark == "fault"]


def relay_capture(relay: RunningRelay) -> Path:
    """Where a relay says that its capture grows."""
    return Path(relay.live.capture)


REFUSED: list[tuple[str, type[Exception]]] = [
    (f"status {CALLS}", LoginRequired),
    (f"status status=403 {CALLS}", HTTPStatusError),
    (f"status status=500 {CALLS}", HTTPStatusError),
    (f"error code=-32000 {CALLS}", RPCError),
    (f"truncate {CALLS}", RemoteProtocolError),
    (f"wrong-id {CALLS}", RemoteProtocolError),
    (f"invalid-utf8 {CALLS}", RemoteProtocolError),
    (f"oversize {CALLS}", MessageTooLarge),
    (f"duplicate {CALLS}", RemoteProtocolError),  # of a document: two of them, one after the other
    (f"header name=content-type {CALLS}", HTTPStatusError),
    (f"header name=content-type value=text/html {CALLS}", HTTPStatusError),
    (f"cut {CALLS}", ConnectionLost),
    (f"cut bytes=20 {CALLS}", ConnectionLost),
    (f"disconnect {CALLS}", ConnectionLost),
    (f"disconnect sender=client {CALLS}", ConnectionLost),
]


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
async def test_a_client_sees_each_fault_as_its_typed_error(relay: RunningRelay, revision: str) -> None:
    for fault, error in REFUSED:
        with pytest.raises(error):
            await outcome(relay, revision, fault)
    faults = [each for each in Capture.read(relay_capture(relay)) if each.mark == "fault"]
    assert len(faults) >= len(REFUSED)
    assert {each.target.partition(": ")[2].split()[0] for each in faults} == {
        fault.split()[0] for fault, _ in REFUSED
    }


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("fault", ["drop", "drop sender=client", "half-close"])
async def test_what_never_comes_ends_at_the_deadline(relay: RunningRelay, revision: str, fault: str) -> None:
    with pytest.raises(RequestTimeout):
        await outcome(relay, revision, f"{fault} {CALLS}", timeout=0.5)


@pytest.mark.hostile
async def test_a_missing_header_is_refused_by_the_server(relay: RunningRelay) -> None:
    with pytest.raises(RPCError, match="mcp-protocol-version is missing"):
        await outcome(relay, ERAS[0], f"header name=mcp-protocol-version sender=client {CALLS}")


@pytest.mark.hostile
async def test_a_lost_session_and_no_other_status_ends_the_session(relay: RunningRelay) -> None:
    with pytest.raises(SessionEnded):
        await outcome(relay, ERAS[1], f"status status=404 {CALLS}")


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
async def test_faults_that_a_client_gets_over(relay: RunningRelay, revision: str) -> None:
    assert await outcome(relay, revision, "drop method=notifications/progress", "tell") == ("3", [], 3)
    text, seen, struck = await outcome(relay, revision, "reorder nth=1 method=notifications/progress", "tell")
    assert (text, seen, struck) == ("3", [1.0, 0.0, 2.0], 1)
    text, seen, _ = await outcome(relay, revision, "duplicate copies=3 method=notifications/progress", "tell")
    assert (text, seen) == ("3", [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    before = time.perf_counter()
    assert (await outcome(relay, revision, f"delay seconds=0.2 {CALLS}", "tell"))[0] == "3"
    assert (await outcome(relay, revision, f"delay seconds=0.2 sender=client {CALLS}"))[0] == "3"
    assert (await outcome(relay, revision, f"drip seconds=0.001 bytes=20 {CALLS}"))[0] == "3"
    assert time.perf_counter() - before >= 0.4
    overtaken = "delay seconds=5 overtaken=true nth=1 method=notifications/progress"
    assert (await outcome(relay, revision, overtaken, "tell"))[:2] in (
        ("3", [1.0, 2.0]),  # what is held back comes at the end of the stream, when nobody waits for it
        ("3", [1.0, 2.0, 0.0]),
    )
    changed = "change pointer=/result/content/0/text 'value=\"7\"' method=tools/call"
    assert (await outcome(relay, revision, changed))[0] == "7"


@pytest.mark.hostile
async def test_a_cut_stream_is_taken_up_again(relay: RunningRelay) -> None:
    """By its last event id, where the revision has that; where it has not, the call is lost."""
    text, seen, struck = await outcome(relay, ERAS[1], f"cut events=2 {CALLS}", "tell")
    assert (text, seen, struck) == ("3", [0.0, 1.0, 2.0], 1)
    exchanges = [each.http for each in Capture.read(relay_capture(relay)) if each.http]
    assert any(each.method == "GET" and "last-event-id" in each.headers for each in exchanges)
    with pytest.raises(ConnectionLost):
        await outcome(relay, ERAS[0], f"cut events=2 {CALLS}", "tell")


async def test_two_requests_change_places(relay: RunningRelay) -> None:
    """The server hears the second one first."""
    relay.steering.add(fault_from_words(f"reorder sender=client nth=1 {CALLS}"))
    async with Client(relay.url) as client:
        results = await asyncio.gather(*(client.call_tool("add", {"a": a, "b": 0}) for a in (1, 2)))
        assert [each.text for each in results] == ["1", "2"]
    lines = list(Capture.read(relay_capture(relay)))
    asked = [
        each.http.exchange
        for each in lines
        if each.http and each.value and each.value.get("method") == "tools/call"
    ]
    answered = [
        each.http.exchange for each in lines if each.http and each.http.status and each.http.exchange in asked
    ]
    assert answered == asked[::-1]


async def test_a_request_that_is_doubled_reaches_the_server_twice(relay: RunningRelay) -> None:
    assert (await outcome(relay, ERAS[0], f"duplicate sender=client {CALLS}"))[0] == "3"
    calls = [
        each
        for each in Capture.read(relay_capture(relay))
        if each.sender == "client" and each.value and each.value.get("method") == "tools/call"
    ]
    assert len(calls) == 2


async def test_faults_that_can_not_be_over_http_are_refused(relay: RunningRelay) -> None:
    refused: list[Callable[[], Any]] = [
        lambda: relay.steering.add(fault_from_words("half-close sender=client")),
        lambda: relay.steering.add(fault_from_words("drip sender=client")),
        lambda: relay.steering.add(fault_from_words("cut sender=client")),
        lambda: relay.steering.add(fault_from_words("status sender=server")),
    ]
    for each in refused:
        with pytest.raises(FaultInvalid, match="can't be on http"):
            each()
    assert relay.steering.faults() == []


async def test_two_clients_with_the_same_ids_are_told_apart(relay: RunningRelay) -> None:
    """Faults by tool strike the calls of that tool, whoever else uses its id."""
    relay.steering.add(fault_from_words("error method=tools/call tool=ask"))
    async with Client(relay.url, elicitation=ada) as one, Client(relay.url, elicitation=ada) as other:
        for _ in range(5):
            done = await asyncio.gather(
                one.call_tool("add", {"a": 1, "b": 2}), other.call_tool("ask"), return_exceptions=True
            )
            assert getattr(done[0], "text", None) == "3"
            assert isinstance(done[1], RPCError)
    assert relay.steering.faults()[0].struck == 5


async def test_v34_a_relay_lets_no_page_of_others_through(relay: RunningRelay) -> None:
    async with aiohttp.ClientSession() as http:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            async with http.post(relay.url, headers=headers, data=b"{}") as refused:
                assert refused.status == 403
