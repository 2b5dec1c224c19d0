"""An answer that can't be read ends the question that it was to answer, over HTTP as everywhere: nothing better comes.

Follows: 2025-11-25 basic/index "Responses"; client/elicitation.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from http_serving import Prober, Stream, serving

from dovetail import App, Context, RPCError

REVISIONS = ["2025-06-18", "2025-11-25"]
UNREADABLE = {
    "cut off": b'{"jsonrpc":"2.0","id":"%b","result":{"action":"acc',
    "no JSON": b'{"jsonrpc":"2.0","id":"%b","result":{"action":accept}}',
    "no object": b'{"jsonrpc":"2.0","id":"%b","result":[]}',
    "another version": b'{"jsonrpc":"1.0","id":"%b","result":{"action":"cancel"}}',
    "both": b'{"jsonrpc":"2.0","id":"%b","result":{"action":"cancel"},"error":{"code":1,"message":"no"}}',
    "nested too deeply": b'{"jsonrpc":"2.0","id":"%b","result":' + b'{"a":' * 200 + b"1" + b"}" * 201,
    "no UTF-8": b'{"jsonrpc":"2.0","id":"%b","result":{"action":"\xff"}}',
}


def asking() -> App:
    app = App("asking")

    @app.tool
    async def ask(ctx: Context) -> str:
        try:
            return await ctx.elicit("Who?", str)
        except RPCError as problem:
            return f"not told: {problem}"

    return app


async def asked(prober: Prober, id: int = 7) -> tuple[Stream, str]:
    """A call that asks, and the id of its question."""
    body = prober.message("tools/call", {"name": "ask", "arguments": {}}, id=id)
    stream = await prober.stream("POST", body)
    while True:
        event = await stream.next()
        assert event is not None
        if event.data:
            return stream, json.loads(event.data)["id"]


async def told(stream: Stream) -> Any:
    async with asyncio.timeout(10):
        (message,) = [json.loads(event.data) for event in await stream.rest() if event.data]
    return message["result"]["content"][0]["text"]


@pytest.mark.hostile
@pytest.mark.parametrize("why", UNREADABLE)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_question_ends(revision: str, why: str) -> None:
    async with serving(asking().asgi()) as port:
        prober = await Prober(port).ready(revision, {"elicitation": {}})
        stream, question = await asked(prober)
        refused = await prober.send("POST", UNREADABLE[why].replace(b"%b", question.encode()))
        assert refused.status == 400
        assert (await told(stream)).startswith("not told: the client's answer is malformed")
        for connection in prober.opened:
            await connection.close()


@pytest.mark.hostile
async def test_no_question_of_another_session_ends() -> None:
    """Nor one that is not there, nor by a message without an id of ours."""
    async with serving(asking().asgi()) as port:
        prober = await Prober(port).ready("2025-11-25", {"elicitation": {}})
        stranger = await Prober(port).ready("2025-11-25", {"elicitation": {}})
        stream, question = await asked(prober)
        theirs, other = await asked(stranger)
        for body in (UNREADABLE["cut off"], UNREADABLE["another version"]):
            assert (await stranger.send("POST", body.replace(b"%b", question.encode()))).status == 400
        for body in (b"{", b'{"id":"s1-', b'{"id":"' + question.rpartition("-")[0].encode() + b'-999"'):
            assert (await prober.send("POST", body)).status == 400
        answer = {
            "jsonrpc": "2.0",
            "id": question,
            "result": {"action": "accept", "content": {"value": "Ann"}},
        }
        assert (await prober.send("POST", json.dumps(answer).encode())).status == 202
        assert await told(stream) == "Ann"
        answer["id"] = other
        assert (await stranger.send("POST", json.dumps(answer).encode())).status == 202
        assert await told(theirs) == "Ann"
        for connection in (*prober.opened, *stranger.opened):
            await connection.close()
