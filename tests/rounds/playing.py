"""Playing a call to its end, in either era: whoever answers is a function of the question."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wire_of_server import Wire

Answerer = Callable[[dict[str, Any]], dict[str, Any]]

ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m-1"}


def capabilities(revision: str) -> dict[str, Any]:
    """All that a client of the revision can declare."""
    if revision < "2025-06-18":
        return {"sampling": {}, "roots": {}}
    if revision < "2025-11-25":
        return {"elicitation": {}, "sampling": {}, "roots": {}}
    return ALL


@dataclass
class Played:
    """A call that came to its end. ``rounds``: the keys asked in each round; in the stateful era none."""

    reply: dict[str, Any]
    rounds: list[set[str]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.reply["result"]["content"][0]["text"]

    @property
    def failed(self) -> bool:
        return bool(self.reply["result"].get("isError"))

    @property
    def code(self) -> int:
        return self.reply["error"]["code"]


def accept(value: Any) -> dict[str, Any]:
    """The answer to a form of one value."""
    return {"action": "accept", "content": {"value": value}}


def by_message(answers: dict[str, Any]) -> Answerer:
    """Answers forms by their message; samples and roots are always the same."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "sampling/createMessage":
            return SAMPLED
        if request["method"] == "roots/list":
            return {"roots": [{"uri": "file:///a"}]}
        found = answers[request["params"]["message"]]
        return found if isinstance(found, dict) else accept(found)

    return answer


async def play(wire: Wire, tool: str, answer: Answerer, **arguments: Any) -> Played:
    """Call a tool and answer what it asks."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    played = Played({})
    if not wire.stateless:
        final = await wire.start(f"play-{tool}", "tools/call", params)
        while True:
            waiting = asyncio.ensure_future(wire.inbox.get())
            done, _ = await asyncio.wait({final, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            assert done, "neither an answer nor a question came"
            if final in done:
                if waiting in done:
                    played.notices.append(waiting.result())
                waiting.cancel()
                while not wire.inbox.empty():
                    played.notices.append(wire.inbox.get_nowait())
                played.reply = final.result()
                return played
            asked = waiting.result()
            if "id" not in asked:
                played.notices.append(asked)
            else:
                played.asked.append(asked["params"].get("message", asked["method"]))
                await wire.send({"jsonrpc": "2.0", "id": asked["id"], "result": answer(asked)})
    played.reply = await wire.request("tools/call", params)
    while played.reply.get("result", {}).get("resultType") == "input_required":
        result = played.reply["result"]
        requests = result["inputRequests"]
        played.rounds.append(set(requests))
        played.states.append(result["requestState"])
        played.asked += [each["params"].get("message", each["method"]) for each in requests.values()]
        responses = {key: answer(each) for key, each in requests.items()}
        again = {**params, "inputResponses": responses, "requestState": result["requestState"]}
        played.reply = await wire.request("tools/call", again)
    return played
