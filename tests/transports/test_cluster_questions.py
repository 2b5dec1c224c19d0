"""A question that one worker asks is answered at any other: what is accepted there is not lost, and only the session
that was asked can answer. Follows: 2025-11-25 basic/transports "Sending Messages to the Server".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_serving import ENGINES, OpenStore, Worker, response, running_engine, said, tool, workers
from http_serving import Prober, Stream, until

from dovetail.protocol.revisions import STATEFUL
from dovetail.transports.http_server import endpoint_processes, stored_questions

CAPABILITIES = {"roots": {}, "elicitation": {}, "sampling": {}}
ASKED: list[tuple[str, Any, Any]] = [
    ("roots/list", None, {"roots": [{"uri": "file:///a", "name": "a"}]}),
    (
        "sampling/createMessage",
        {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 5},
        {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hello"}},
    ),
    ("ping", None, {}),
]
FORM = (
    "elicitation/create",
    {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}},
    {"action": "accept", "content": {"name": "Ada"}},
)


@pytest.fixture(scope="module", params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStore]:
    yield from running_engine(request.param, tmp_path_factory.mktemp("engine"))


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[OpenStore]:
    yield from running_engine("sqlite", tmp_path)


async def asked(prober: Prober, name: str = "roots/list", params: Any = None) -> tuple[Stream, Any]:
    """A call that asks; its stream, and the question."""
    arguments = {"method": name} if params is None else {"method": name, "params": params}
    stream = await prober.stream("POST", tool(prober, "ask", **arguments))
    question = await said(stream)
    assert question["method"] == name
    return stream, question


async def ready(one: Worker, revision: str = STATEFUL[-1]) -> Prober:
    return await one.prober().ready(revision, CAPABILITIES)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-006")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_the_answer_comes_by_another_worker(open_store: OpenStore, revision: str) -> None:
    async with workers(open_store) as (one, two):
        prober = await ready(one, revision)
        other = two.prober(prober)
        for name, params, result in [*ASKED, *([FORM] if revision >= "2025-06-18" else [])]:
            stream, question = await asked(prober, name, params)
            answer = await other.send("POST", response(question["id"], result))
            assert (answer.status, answer.body) == (202, b"")
            told = await said(stream)
            assert json.loads(told["result"]["content"][0]["text"]) == result
        assert not one.app._stateful._sessions.questions._open  # type: ignore[union-attr] - it serves sessions


async def test_the_refusal_of_a_client_comes_by_another_worker(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        stream, question = await asked(prober)
        refused = {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "no roots"}}
        assert (await two.prober(prober).send("POST", json.dumps(refused).encode())).status == 202
        assert (await said(stream))["error"]["message"] == "no roots"


@pytest.mark.hostile
async def test_an_answer_that_cannot_be_read_ends_the_question(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        for broken in (b'{"jsonrpc":"2.0","id":%s}', b'{"jsonrpc":"2.0","id":%s,"result":'):
            stream, question = await asked(prober)
            body = broken % json.dumps(question["id"]).encode()
            assert (await two.prober(prober).send("POST", body)).status == 400
            assert "malformed" in (await said(stream))["error"]["message"]


@pytest.mark.hostile
async def test_nobody_else_answers(sqlite: OpenStore) -> None:
    """Neither another session, at either worker, nor an id that is made up."""
    async with workers(sqlite) as (one, two):
        prober, thief = await ready(one), await ready(two)
        stream, question = await asked(prober)
        forged = response(question["id"], {"roots": [{"uri": "file:///forged"}]})
        assert (await thief.send("POST", forged)).status == 202
        assert (await one.prober(thief).send("POST", forged)).status == 202
        process, _, number = question["id"][1:].partition(".")
        made_up = [f"s{process}.00000000-1", f"s{'0' * 16}.{number}", f"s{process}.{number}9", "s", 7]
        for id in made_up:
            assert (await two.prober(prober).send("POST", response(id, {"roots": []}))).status == 202
        true = {"roots": [{"uri": "file:///true"}]}
        assert (await two.prober(prober).send("POST", response(question["id"], true))).status == 202
        assert json.loads((await said(stream))["result"]["content"][0]["text"]) == true


async def test_of_two_answers_at_once_one_counts(open_store: OpenStore) -> None:
    async with workers(open_store, 3) as found:
        prober = await ready(found[0])
        for _ in range(5):
            stream, question = await asked(prober)
            answers = [{"roots": [{"uri": f"file:///{number}"}]} for number in range(3)]
            statuses = await asyncio.gather(
                *(
                    worker.prober(prober).send("POST", response(question["id"], each))
                    for worker, each in zip(found, answers, strict=True)
                )
            )
            assert [each.status for each in statuses] == [202] * 3
            assert json.loads((await said(stream))["result"]["content"][0]["text"]) in answers
            assert await said(stream) is None


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-007")
async def test_a_large_answer_is_passed_on_and_one_too_large_is_refused(sqlite: OpenStore) -> None:
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        other = two.prober(prober)
        stream, question = await asked(prober)
        large = {"roots": [{"uri": "file:///" + "x" * 4_000_000}]}
        assert (await other.send("POST", response(question["id"], large))).status == 202
        assert json.loads((await said(stream))["result"]["content"][0]["text"]) == large
        stream, question = await asked(prober)
        huge = response(question["id"], {"roots": [{"uri": "file:///" + "x" * (16 * 1024 * 1024 - 300)}]})
        refused = await other.send("POST", huge)
        assert refused.status in (413, 503), "an error status, for it is lost"
        assert (await other.send("POST", response(question["id"], {"roots": []}))).status == 202
        assert (await said(stream))["result"]


async def test_where_no_word_comes_the_answer_is_found(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_questions, "LOOK", 0.05)

    async def lost(self: Any, process: str, word: Any) -> None:
        """Say nothing."""

    monkeypatch.setattr(endpoint_processes.EndpointProcesses, "say", lost)
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        stream, question = await asked(prober)
        assert (await two.prober(prober).send("POST", response(question["id"], {"roots": []}))).status == 202
        assert (await said(stream))["result"]


@pytest.mark.parametrize("junk", [b"", b"\xff" * 100, b"\x83", b"{}", b"\x93\xa1a\x00\x80"])
async def test_junk_on_the_channels_hurts_nobody(sqlite: OpenStore, junk: bytes) -> None:
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        processes = one.app._stateful._processes
        assert processes is not None
        assert await processes.ready()
        for channel in ("http/all", f"http/process/{processes.id}"):
            await two.app.store.bus.publish(channel, junk)
        stream, question = await asked(prober)
        for word in (
            endpoint_processes.QuestionAnswered(question["id"]),
            endpoint_processes.SessionOver("0" * 64),
            endpoint_processes.CallCancelled("0" * 64, 1),
            endpoint_processes.StreamGrew("x"),
        ):
            await two.app._stateful._processes.say(processes.id, word)  # type: ignore[union-attr] - it serves sessions
        assert (await two.prober(prober).send("POST", response(question["id"], {"roots": []}))).status == 202
        assert (await said(stream))["result"]


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-007")
async def test_nobody_waits_for_an_answer_to_a_worker_that_has_died(
    sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(sqlite) as (one, two):
        prober = await ready(one)
        _, question = await asked(prober)

        async def dead(self: Any, process: str) -> bool:
            return False

        with monkeypatch.context() as changed:
            changed.setattr(endpoint_processes.EndpointProcesses, "lives", dead)
            refused = await two.prober(prober).send("POST", response(question["id"], {"roots": []}))
        assert refused.status == 400
        assert "has died" in refused.json["error"]["message"]
        await until(lambda: one.live == 1)
