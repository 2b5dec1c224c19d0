"""A client that is asked: what it declared, what it refuses, whom it waits for; by servers that keep no rules too."""

import asyncio
from typing import Any

import pytest
from must_peer import RawPeer

from dovetail import Client
from dovetail.protocol.errors import InvalidParams
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS

MODERN = STATELESS[-1]
NEWEST = STATEFUL[-1]
FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {"v": {"type": "string"}}}}
SAMPLE: dict[str, Any] = {"messages": [], "maxTokens": 5}
TOOLS = [{"name": "t", "inputSchema": {"type": "object"}}]


class Asker(RawPeer):
    """A server that asks one question before its tools answer; ``answers``: what came of it."""

    def __init__(self, revision: str, method: str, params: dict[str, Any]) -> None:
        super().__init__(self._asks, revision=revision)
        self.question = {"method": method, "params": params}
        self.answers: list[Any] = []
        self._call: Any = None

    def _asks(self, _: RawPeer, message: dict[str, Any]) -> None:
        if message.get("id") == "q":
            self.answers.append(message.get("result", message.get("error")))
            self.result(self._call, content=[])
        elif message.get("method") == "tools/call" and self.revision in STATEFUL:
            self._call = message["id"]
            self.say(id="q", **self.question)
        elif message.get("method") == "tools/call" and "inputResponses" in message["params"]:
            self.answers.append(message["params"]["inputResponses"]["q"])
            self.result(message["id"], content=[])
        elif message.get("method") == "tools/call":
            self.result(message["id"], resultType="input_required", inputRequests={"q": self.question})


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "handlers, expected",
    [
        ({}, {}),
        ({"elicitation": lambda _: "x"}, {"elicitation": {"form": {}}}),
        ({"approve": lambda _: True}, {"elicitation": {"url": {}}}),
        ({"sampling": lambda _: "x"}, {"sampling": {}}),
        ({"sampling": lambda _: "x", "sampling_tools": True}, {"sampling": {"tools": {}}}),
        ({"roots": []}, {"roots": {"listChanged": True}}),
    ],
    ids=["nothing", "forms", "visits", "a model", "a model with tools", "roots"],
)
@pytest.mark.requirement(
    "R2511-ELICITATION-004",
    "R2511-ELICITATION-005",
    "R2511-ROOTS-001",
    "R2511-SAMPLING-003",
    "R2511-SAMPLING-005",
    "R2607-ELICITATION-004",
    "R2607-ELICITATION-005",
    "R2607-ROOTS-002",
    "R2607-SAMPLING-004",
    "R2607-SAMPLING-006",
)
async def test_r118_r119_r121_a_client_declares_what_it_can_be_asked_and_nothing_else(
    revision: str, handlers: dict[str, Any], expected: dict[str, Any]
) -> None:
    peer = RawPeer(lambda peer, message: peer.result(message["id"], content=[]), revision=revision)
    async with Client(peer, revision=revision, **handlers) as client:
        await client.call_tool("t")
    if revision in STATELESS:
        declared = peer.sent("tools/call")[0]["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        expected = {name: {} if name == "roots" else value for name, value in expected.items()}
    else:
        declared = peer.sent("initialize")[0]["params"]["capabilities"]
        if revision < "2025-11-25":  # without modes, and without tools for a model
            expected = {name: value if name == "roots" else {} for name, value in expected.items()}
        if revision < "2025-06-18":
            expected.pop("elicitation", None)
    assert declared == expected


@pytest.mark.parametrize("revision", [NEWEST, MODERN])
@pytest.mark.requirement("R2511-ELICITATION-009", "R2607-ELICITATION-010")
async def test_r121_a_question_that_names_no_mode_is_a_form(revision: str) -> None:
    shown: list[Any] = []

    def fill_in(form: Any) -> dict[str, str]:
        shown.append(form)
        return {"v": "x"}

    peer = Asker(revision, "elicitation/create", FORM)
    visits: list[Any] = []
    async with Client(peer, revision=revision, elicitation=fill_in, approve=visits.append) as client:
        await client.call_tool("t")
    assert peer.answers == [{"action": "accept", "content": {"v": "x"}}]
    assert [each.message for each in shown] == ["?"]
    assert not visits


@pytest.mark.hostile
@pytest.mark.parametrize("revision", [NEWEST, MODERN])
@pytest.mark.parametrize("mode", ["url", "form"])
@pytest.mark.requirement("R2511-ELICITATION-034")
async def test_r121_a_mode_that_was_not_declared_is_refused(revision: str, mode: str) -> None:
    asked: list[Any] = []
    visit = {"mode": "url", "message": "?", "url": "https://example.com/", "elicitationId": "e"}
    if revision == MODERN:
        del visit["elicitationId"]
    peer = Asker(revision, "elicitation/create", visit if mode == "url" else {"mode": "form", **FORM})
    other: dict[str, Any] = {"elicitation" if mode == "url" else "approve": asked.append}
    async with Client(peer, revision=revision, **other) as client:
        if revision == MODERN:
            with pytest.raises(InvalidParams, match="mode"):
                await client.call_tool("t")
            assert not peer.answers
        else:
            await client.call_tool("t")
            assert [answer["code"] for answer in peer.answers] == [-32602]
    assert not asked


@pytest.mark.hostile
@pytest.mark.parametrize("revision", [NEWEST, MODERN])
@pytest.mark.parametrize("more", [{"tools": TOOLS}, {"tools": []}, {"toolChoice": {"mode": "auto"}}], ids=str)
@pytest.mark.requirement("R2511-SAMPLING-026", "R2607-SAMPLING-032")
async def test_r119_a_model_that_takes_no_tools_is_not_asked_with_some(
    revision: str, more: dict[str, Any]
) -> None:
    asked: list[Any] = []

    def model(params: Any) -> str:
        asked.append(params)
        return "no"

    peer = Asker(revision, "sampling/createMessage", {**SAMPLE, **more})
    async with Client(peer, revision=revision, sampling=model) as client:
        if revision == MODERN:
            with pytest.raises(InvalidParams, match="tools"):
                await client.call_tool("t")
            assert not peer.answers
        else:
            await client.call_tool("t")
            assert [answer["code"] for answer in peer.answers] == [-32602]
    assert not asked


@pytest.mark.requirement("R2511-ELICITATION-017")
@pytest.mark.hostile
async def test_the_end_of_another_visit_ends_no_waiting() -> None:
    calls: list[Any] = []
    sent = asyncio.Event()
    visit = {"mode": "url", "message": "m", "url": "https://example.com/", "elicitationId": "mine"}

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] != "tools/call":
            peer.result(message["id"])
            return
        calls.append(message["id"])
        if len(calls) == 1:
            peer.error(message["id"], -32042, data={"elicitations": [visit]})
        else:
            peer.result(message["id"], content=[{"type": "text", "text": "in"}])

    async def approve(_: Any) -> bool:
        asyncio.get_running_loop().call_soon(sent.set)
        return True

    peer = RawPeer(answer, revision=NEWEST)
    async with Client(peer, revision=NEWEST, approve=approve) as client:
        call = asyncio.create_task(client.call_tool("any"))
        await sent.wait()
        for id in ("never-seen", "min", "mine2", "", "MINE"):
            peer.say(method="notifications/elicitation/complete", params={"elicitationId": id})
        await client.ping()
        await client.ping()
        assert len(calls) == 1, "the person is still at the address"
        peer.say(method="notifications/elicitation/complete", params={"elicitationId": "mine"})
        assert (await asyncio.wait_for(call, 5)).text == "in"
        peer.say(method="notifications/elicitation/complete", params={"elicitationId": "mine"})
        await client.ping()
    assert len(calls) == 2
