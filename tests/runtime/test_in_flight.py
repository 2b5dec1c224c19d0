"""What calls in progress hold is bounded in bytes: beyond that the connection reads no further, and then refuses.

Follows: no page of the specification.
"""

import asyncio
from typing import Any

import pytest

from dovetail import App, Context
from dovetail.protocol.revisions import STATEFUL
from dovetail.runtime import connection as connections
from wire_of_server import Wire


class Hoarder:
    """A tool that holds what it was given until it may go."""

    def __init__(self) -> None:
        self.app = App("hoarder", max_message=4096)
        self.go = asyncio.Event()
        self.entered = 0
        self.most = connections.IN_FLIGHT * 4096

        @self.app.tool
        async def hold(text: str) -> int:
            self.entered += 1
            await self.go.wait()
            return len(text)

        @self.app.tool
        async def ask(ctx: Context) -> str:
            return await ctx.elicit("Who?", str)


async def fill(wire: Wire, found: Hoarder) -> list[Any]:
    """Calls until one is held up; gives the answers to be, and last the task that is held up."""
    answers: list[Any] = []
    for n in range(100):
        sending = asyncio.ensure_future(
            wire.start(f"h{n}", "tools/call", {"name": "hold", "arguments": {"text": "x" * 3000}})
        )
        for _ in range(5):
            await asyncio.sleep(0)
        if not sending.done():
            answers.append(sending)
            return answers
        answers.append(sending.result())
    raise AssertionError("nothing was ever held up")


async def test_nothing_more_is_read_while_calls_hold_too_much(connect: Any) -> None:
    found = Hoarder()
    wire = await connect(found.app, "2026-07-28")
    *answers, held_up = await fill(wire, found)
    assert len(answers) == found.entered == found.most // 3000 - 1
    found.go.set()
    answers.append(await held_up)
    for answer in answers:
        assert (await answer)["result"]["content"][0]["text"] == "3000"
    assert wire.connection._held == 0


async def test_what_follows_is_refused_when_nothing_is_let_go_of(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a cancellation behind it would never be read."""
    monkeypatch.setattr(connections, "PATIENCE", 0.0)
    found = Hoarder()
    wire = await connect(found.app, "2026-07-28")
    call = {"name": "hold", "arguments": {"text": "x" * 3000}}
    answers = [await wire.start(f"h{n}", "tools/call", call) for n in range(6)]
    assert "requests in progress hold" in (await answers[-1])["error"]["message"]
    cancelled = {"requestId": "h0"}
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
    await asyncio.sleep(0)
    found.go.set()
    assert "result" in await wire.request("tools/call", call)


async def test_a_question_gets_its_answer_through(connect: Any) -> None:
    """The call that holds everything up may be waiting for what comes behind."""
    found = Hoarder()
    wire = Wire(found.app, STATEFUL[-1], {"elicitation": {}})
    await wire.open()
    asking = await wire.start("a", "tools/call", {"name": "ask"})
    question = await wire.next()
    call = {"name": "hold", "arguments": {"text": "x" * 3000}}
    answers = [await wire.start(f"h{n}", "tools/call", call) for n in range(6)]
    assert "requests in progress hold" in (await answers[-1])["error"]["message"]
    answer = {"action": "accept", "content": {"value": "Ada"}}
    await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
    assert (await asking)["result"]["content"][0]["text"] == "Ada"
    found.go.set()
    await wire.close()
    await found.app.service.stop()


@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_client_that_says_nothing_more_is_asked_nothing_more(revision: str) -> None:
    if revision in ("2024-11-05", "2025-03-26"):
        return  # no elicitation there
    found = Hoarder()
    wire = Wire(found.app, revision, {"elicitation": {}})
    await wire.open()
    asking = await wire.start("a", "tools/call", {"name": "ask"})
    await wire.next()
    wire.connection.deafen()
    again = await wire.start("b", "tools/call", {"name": "ask"})
    for answer in (await asking, await again):
        assert "error" in answer or answer["result"]["isError"]
    await wire.close()
    await found.app.service.stop()
