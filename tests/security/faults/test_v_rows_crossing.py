"""V15 and V16: equal ids of many clients never meet, on any transport, in either era.

Every client uses the same ids and the same progress token and has a secret of its own, which goes into
everything that the server says to it: progress, log messages, questions, results.
"""

import asyncio
import json
from typing import Any

import pytest
from fault_wires import EVERY, STATELESS, Talk, call, meta, notice, request, serve

from dovetail import App, Context, FeatureUnavailable, MissingCapability

CLIENTS = 200
#: Without a session there is nowhere for an answer to come to; stdio serves one client per process.
MUTE = ("http json", "http without sessions")


class Crowd:
    """An app whose tools repeat what they were given on every way back that there is."""

    def __init__(self) -> None:
        self.app = app = App("crowd", rate_limit=None)
        self.release = asyncio.Event()
        self.holding: set[str] = set()
        self.cancelled: set[str] = set()
        self.everyone = asyncio.Barrier(CLIENTS)

        @app.tool
        async def converse(secret: str, ctx: Context) -> str:
            await ctx.progress(1, message=secret)
            await ctx.log("error", secret)
            if ctx.revision != STATELESS:
                async with asyncio.timeout(20):
                    await self.everyone.wait()  # all calls are open at once
            try:
                answer = await ctx.sample(secret, max_tokens=5)
            except (FeatureUnavailable, MissingCapability):
                return f"{secret} mute"
            await ctx.progress(2, message=secret)
            return f"{secret} {answer.content.text}"  # pyright: ignore[reportAttributeAccessIssue] - text by construction

        @app.tool
        async def hold(secret: str) -> str:
            self.holding.add(secret)
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.add(secret)
                raise
            return secret


def mine(message: Any, secret: str) -> None:
    """Whatever says a secret at all says this client's."""
    text = json.dumps(message)
    assert "secret-" not in text.replace(f"secret-{secret}.", ""), (secret, text)


def sampled(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": {"type": "text", "text": text}, "model": "m"}


async def converse_stateful(talk: Talk, number: int, mute: bool) -> None:
    secret = f"secret-{number}."
    await talk.open()
    heard: list[Any] = []
    async for message in talk.exchange(call("converse", 7, token="t", secret=secret)):
        mine(message, str(number))
        heard.append(message)
        if message.get("method") == "sampling/createMessage":
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": sampled(f"answer-{number}")}
            await talk.post(json.dumps(answer).encode())
    text = heard[-1]["result"]["content"][0]["text"]
    assert text == (f"{secret} mute" if mute else f"{secret} answer-{number}")
    said = [message.get("method") for message in heard[:-1]]
    assert said.count("notifications/progress") in ((0, 1) if mute else (2,))


async def converse_stateless(talk: Talk, number: int, _: bool) -> None:
    secret = f"secret-{number}."
    body = json.loads(call("converse", 7, modern=True, token="t", secret=secret))
    first: Any = None
    async for first in talk.exchange(json.dumps(body).encode()):
        mine(first, str(number))
    assert first["result"]["resultType"] == "input_required"
    (key,) = first["result"]["inputRequests"]
    body["params"] |= {
        "requestState": first["result"]["requestState"],
        "inputResponses": {key: sampled(f"answer-{number}")},
    }
    last: Any = None
    async for last in talk.exchange(json.dumps(body).encode()):
        mine(last, str(number))
    assert last["result"]["content"][0]["text"] == f"{secret} answer-{number}"


CROWDS = [(cell, "stateful") for cell in EVERY if cell != "stdio"]
CROWDS += [(cell, "stateless") for cell in ("memory", "unix", "http", "http json", "http sse")]


@pytest.mark.parametrize("cell,era", CROWDS)
async def test_v15_v16_equal_ids_of_200_clients_never_meet(cell: str, era: str) -> None:
    crowd = Crowd()
    async with serve(crowd.app, cell) as connect:
        talks = await asyncio.gather(*(connect() for _ in range(CLIENTS)))
        converse = converse_stateful if era == "stateful" else converse_stateless
        await asyncio.gather(*(converse(talk, number, cell in MUTE) for number, talk in enumerate(talks)))


@pytest.mark.parametrize("cell", [cell for cell in EVERY if cell not in ("stdio", "http without sessions")])
async def test_v15_v16_a_cancellation_stops_the_callers_own_call_alone(cell: str) -> None:
    crowd = Crowd()
    async with serve(crowd.app, cell) as connect:
        talks = await asyncio.gather(*(connect() for _ in range(20)))
        await asyncio.gather(*(talk.open() for talk in talks))
        calls = [
            asyncio.create_task(talk.answer(call("hold", 7, secret=f"secret-{number}.")))
            for number, talk in enumerate(talks)
        ]
        async with asyncio.timeout(10):
            while len(crowd.holding) < 20:  # noqa: ASYNC110 - twenty calls have no common event
                await asyncio.sleep(0.001)
            for talk in talks[::2]:
                await talk.post(notice("notifications/cancelled", {"requestId": 7}))
            while len(crowd.cancelled) < 10:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        assert crowd.cancelled == {f"secret-{number}." for number in range(0, 20, 2)}
        crowd.release.set()
        for number in range(1, 20, 2):
            answer = await asyncio.wait_for(calls[number], 10)
            assert answer["result"]["content"][0]["text"] == f"secret-{number}."
        for task in calls[::2]:
            task.cancel()
        await asyncio.wait(calls)


@pytest.mark.hostile
@pytest.mark.parametrize("cell", ["memory", "unix", "http", "http sse", "http 2024"])
async def test_v15_v16_an_answer_from_another_client_reaches_no_question(cell: str) -> None:
    crowd = Crowd()
    crowd.everyone = asyncio.Barrier(1)
    async with serve(crowd.app, cell) as connect:
        victim, thief = await (await connect()).open(), await (await connect()).open()
        text = ""
        async for message in victim.exchange(call("converse", 7, token="t", secret="s")):
            if message.get("method") == "sampling/createMessage":
                for talk, words in ((thief, "forged"), (victim, "honest")):
                    answer = {"jsonrpc": "2.0", "id": message["id"], "result": sampled(words)}
                    await talk.post(json.dumps(answer).encode())
                    assert "result" in await thief.answer(request("ping", 8))  # the forged one was taken in
            elif message.get("id") == 7:
                text = message["result"]["content"][0]["text"]
        assert text == "s honest"


async def test_v15_r100_state_of_one_call_is_refused_for_another() -> None:
    """The stateless era's questions travel as state: it fits its own request and no other."""
    crowd = Crowd()
    async with serve(crowd.app, "http") as connect:
        talk = await connect()
        first = await talk.answer(call("converse", 7, modern=True, secret="secret-1."))
        (key,) = first["result"]["inputRequests"]
        params = {
            "name": "converse",
            "arguments": {"secret": "secret-2."},
            "_meta": meta(),
            "requestState": first["result"]["requestState"],
            "inputResponses": {key: sampled("x")},
        }
        refused = await talk.answer(request("tools/call", 7, params))
        assert refused["error"]["code"] == -32602
