"""What a round costs: a request that parks at a question, and the one that brings its answer.

Each bound is a little above what is true today. Whoever has to raise one says in the commit what it buys.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from counting import fewest
from test_cost_of_a_call import Wire, call

from dovetail import App, Context
from dovetail.protocol import names
from dovetail.protocol.revisions import PROFILES, STATELESS
from dovetail.runtime import rounds, tap
from dovetail.server import questions
from dovetail.server.forms import Form

#: Functions of ours that each of the two requests runs through, comprehensions and properties included.
CALLS = {"asks": 94, "answers": 96}
#: Decodings. Asking: as a plain call, and the arguments again for what binds the state. Answering: also the journal,
#: the sealed state's Base64 (the codec reads that faster than anything else here), and the answer.
DECODINGS = {"asks": 3, "answers": 6}
#: Asking: what binds the state, the journal, the Base64 of its seal, the result. Answering: what binds it, the result.
ENCODINGS = {"asks": 4, "answers": 2}


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the oracle, which reads every message of the other tests, and without telemetry that some of them have
    switched on in this process: here their work would be counted too.
    """
    monkeypatch.setattr(tap, "listeners", [])
    monkeypatch.setattr(rounds, "watchers", [])


async def ready() -> tuple[App, dict[str, Callable[[], Awaitable[bytes]]]]:
    """An app that has served rounds already, and the two requests of one."""
    app = App("cost")

    @app.tool
    async def ask(ctx: Context) -> str:
        return f"Hello, {await ctx.elicit('What is your name?', str)}"

    wire = Wire(app.asgi())
    meta = {
        names.META_PROTOCOL_VERSION: STATELESS[-1],
        names.META_CLIENT_CAPABILITIES: {"elicitation": {"form": {}}},
    }

    async def asks(**members: Any) -> bytes:
        return await wire.post(
            call("ask", {}, _meta=meta, **members),
            mcp_protocol_version=STATELESS[-1],
            mcp_method=names.TOOLS_CALL,
            mcp_name="ask",
        )

    result = json.loads(await asks())["result"]
    answer = {"action": "accept", "content": {"value": "Ada"}}
    members = {
        "inputResponses": dict.fromkeys(result["inputRequests"], answer),
        "requestState": result["requestState"],
    }

    async def answers() -> bytes:
        return await asks(**members)

    for _ in range(5):
        assert b"Hello, Ada" in await answers()
        assert b"inputRequests" in await asks()
    return app, {"asks": asks, "answers": answers}


@pytest.mark.parametrize("half", ["asks", "answers"])
async def test_functions_and_codings_of_a_round(half: str) -> None:
    app, requests = await ready()
    counted = await fewest(requests[half])
    assert counted.functions.total() <= CALLS[half], counted.functions.most_common()
    assert counted.codec["decode"] <= DECODINGS[half]
    assert counted.codec["encode"] <= ENCODINGS[half]
    await app.service.stop()


async def test_a_round_makes_no_task() -> None:
    """The question parks in the task of the request, and closing its round needs none either."""
    app, requests = await ready()
    loop = asyncio.get_running_loop()
    made = 0

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    for _ in range(20):
        await requests["asks"]()
        await requests["answers"]()
    loop.set_task_factory(None)
    assert made == 0
    await app.service.stop()


def test_only_short_questions_are_remembered() -> None:
    """A question that is put again is not made again; a long text is not kept for that."""
    profile, form = PROFILES[STATELESS[-1]], Form.of(bool)
    short = questions.Elicit("Really?", form)
    assert short.wire(profile) is questions.Elicit("Really?", form).wire(profile)
    assert short.wire(profile).params != questions.Elicit("Really!", form).wire(profile).params
    assert short.wire(profile).params != questions.Elicit("Really?", Form.of(str)).wire(profile).params
    long = questions.Elicit("x" * 100_000, form)
    assert long.wire(profile) is not long.wire(profile)
    assert long.wire(profile) == long.wire(profile)
