"""One body asks, in every revision: by request in the stateful era, by rounds in the stateless one."""

import asyncio
import json
from enum import Enum
from typing import Annotated, Any

import pytest

from dovetail import App, Ask, Context, Elicit, Form, RegistrationError, Roots, Sample
from dovetail.protocol.revisions import REVISIONS, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def capabilities(revision: str) -> dict[str, Any]:
    """All that a client of the revision can declare."""
    if revision < "2025-06-18":
        return {"sampling": {}, "roots": {}}
    if revision < "2025-11-25":
        return {"elicitation": {}, "sampling": {}, "roots": {}}
    return ALL


async def answer(
    wire: Wire, name: str, replies: dict[str, dict[str, Any]], **arguments: Any
) -> dict[str, Any]:
    """Call a tool and answer what it asks, by method; gives the final answer, whatever the era."""
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if not wire.stateless:
        final = await wire.start(f"call-{name}", "tools/call", params)
        while True:
            waiting = asyncio.ensure_future(wire.inbox.get())
            done, _ = await asyncio.wait({final, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            if final in done:
                waiting.cancel()
                return final.result()
            asked = waiting.result()
            await wire.send({"jsonrpc": "2.0", "id": asked["id"], "result": replies[asked["method"]]})
    reply = await wire.request("tools/call", params)
    while reply.get("result", {}).get("resultType") == "input_required":
        result = reply["result"]
        responses = {key: replies[asked["method"]] for key, asked in result["inputRequests"].items()}
        again = {**params, "inputResponses": responses, "requestState": result["requestState"]}
        reply = await wire.request("tools/call", again)
    return reply


def make_app(marked: list[str] | None = None) -> App:
    app = App("asking")

    @app.tool
    async def pick(ctx: Context) -> str:
        colour = await ctx.elicit("Which colour?", Colour)
        return f"{colour!r}"

    @app.tool
    async def confirm(what: str, sure: Annotated[bool, Ask("Really {what}?")]) -> str:
        return f"{what}: {sure}"

    @app.tool
    async def think(ctx: Context) -> str:
        said = await ctx.sample("Say something", max_tokens=10)
        return f"{said.model}: {said.content}"

    @app.tool
    async def where(ctx: Context) -> str:
        return ", ".join(root.uri for root in await ctx.roots())

    @app.tool
    async def everything(ctx: Context) -> str:
        answers = await ctx.ask(
            name=Elicit("Your name?", Form.of(str)), thought=Sample("Think", max_tokens=5), folders=Roots()
        )
        return f"{answers['name']} {answers['thought'].model} {len(answers['folders'])}"

    @app.tool
    async def twice(ctx: Context) -> str:
        first = await ctx.elicit("First?", str)
        done = await ctx.step("mark", mark, first)
        second = await ctx.elicit("Second?", str)
        return f"{first} {second} {done}"

    def mark(word: str) -> str:
        if marked is not None:
            marked.append(word)
        return word.upper()

    @app.tool
    async def visit(ctx: Context) -> str:
        await ctx.elicit_url("Log in", "https://example.com/login")
        return "visited"

    @app.tool
    async def swallow(ctx: Context) -> str:
        try:
            await ctx.elicit("Swallowed?", bool)
        except BaseException:  # noqa: BLE001 - what this tool is about
            return "never"
        return "answered"

    return app


SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m-1"}
REPLIES: dict[str, dict[str, Any]] = {
    "elicitation/create": {"action": "accept", "content": {"value": "red"}},
    "sampling/createMessage": SAMPLED,
    "roots/list": {"roots": [{"uri": "file:///a"}]},
}


def text_of(reply: dict[str, Any]) -> str:
    return reply["result"]["content"][0]["text"]


@EVERY
async def test_a_form_is_asked_and_its_answer_typed(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    if revision < "2025-06-18":
        assert await wire.lacking("pick") == {"elicitation": {}}
        return
    assert text_of(await answer(wire, "pick", REPLIES)) == "<Colour.RED: 'red'>"


@pytest.mark.requirement("R2511-SAMPLING-014")
@pytest.mark.hostile
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
async def test_answers_that_never_fit_are_told_to_the_model(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    wrong = {"elicitation/create": {"action": "accept", "content": {}}}
    reply = await answer(wire, "pick", wrong)
    assert reply["result"]["isError"]
    assert text_of(reply).startswith("the client was asked 3 times, and gave no answer that fits: value: ")
    garbled = {"sampling/createMessage": {"role": "nobody"}}
    reply = await answer(wire, "think", garbled)
    assert text_of(reply) == "the client was asked 3 times, and gave no answer that fits: it can't be read"


@EVERY
async def test_sampling_and_roots(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    assert text_of(await answer(wire, "think", REPLIES)).startswith("m-1: TextContent")
    assert text_of(await answer(wire, "where", REPLIES)) == "file:///a"


@pytest.mark.requirement("R2411-LIFECYCLE-001", "R2503-LIFECYCLE-007")
@EVERY
async def test_what_the_client_did_not_declare_is_never_asked(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    for tool, needed in (("pick", "elicitation"), ("think", "sampling"), ("where", "roots")):
        assert await wire.lacking(tool) == {needed: {}}
    assert wire.inbox.empty()


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
class TestForms:
    """Revisions that have elicitation."""

    async def test_a_question_before_the_body(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, capabilities(revision))
        replies = {"elicitation/create": {"action": "accept", "content": {"value": True}}}
        assert text_of(await answer(wire, "confirm", replies, what="jump")) == "jump: True"

    async def test_several_questions_at_once(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, capabilities(revision))
        replies = {**REPLIES, "elicitation/create": {"action": "accept", "content": {"value": "Ada"}}}
        assert text_of(await answer(wire, "everything", replies)) == "Ada m-1 1"

    async def test_a_step_is_done_once(self, revision: str, connect: Any) -> None:
        marked: list[str] = []
        wire = await connect(make_app(marked), revision, capabilities(revision))
        replies = {"elicitation/create": {"action": "accept", "content": {"value": "x"}}}
        assert text_of(await answer(wire, "twice", replies)) == "x x X"
        assert marked == ["x"]

    @pytest.mark.parametrize("action", ["decline", "cancel"])
    async def test_no_answer_is_an_error_result(self, revision: str, action: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, capabilities(revision))
        result = (await answer(wire, "pick", {"elicitation/create": {"action": action}}))["result"]
        assert result["isError"] is True
        assert "Which colour?" in result["content"][0]["text"]

    async def test_an_address_to_visit(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, capabilities(revision))
        if revision < "2025-11-25":
            assert await wire.lacking("visit") == {"elicitation": {"url": {}}}
            return
        reply = await answer(wire, "visit", {"elicitation/create": {"action": "accept"}})
        assert text_of(reply) == "visited"


@pytest.mark.parametrize("revision", STATELESS)
class TestRounds:
    """What only the stateless era has."""

    async def first(self, wire: Wire, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await wire.result("tools/call", {"name": tool, "arguments": arguments})
        assert result["resultType"] == "input_required"
        return result

    @pytest.mark.hostile
    @pytest.mark.requirement("R2607-MRTR-011", "R2607-MRTR-012")
    async def test_state_that_was_touched_is_refused(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, ALL)
        result = await self.first(wire, "confirm", what="jump")
        state = result["requestState"]
        key = next(iter(result["inputRequests"]))
        accepted = {key: {"action": "accept", "content": {"value": True}}}
        good = {
            "name": "confirm",
            "arguments": {"what": "jump"},
            "inputResponses": accepted,
            "requestState": state,
        }
        flipped = state[:-2] + ("A" if state[-2] != "A" else "B") + state[-1]
        for bad in (
            {"requestState": flipped},
            {"requestState": state[: len(state) // 2]},
            {"requestState": ""},
            {"arguments": {"what": "run"}},
            {"name": "pick", "arguments": {}},
        ):
            error = await wire.error("tools/call", {**good, **bad})
            assert error["code"] == -32602, bad
        assert "jump: True" in json.dumps(await wire.result("tools/call", good))

    async def test_missing_answers_are_asked_again_and_foreign_ones_ignored(
        self, revision: str, connect: Any
    ) -> None:
        wire = await connect(make_app(), revision, ALL)
        result = await self.first(wire, "everything")
        assert set(result["inputRequests"]) == {"name", "thought", "folders"}
        partial = {"thought": SAMPLED, "stranger": {"action": "accept"}}
        again = await wire.result(
            "tools/call",
            {"name": "everything", "inputResponses": partial, "requestState": result["requestState"]},
        )
        assert again["resultType"] == "input_required"
        assert set(again["inputRequests"]) == {"name", "folders"}

    async def test_an_answer_that_does_not_fit_is_asked_again(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, ALL)
        result = await self.first(wire, "pick")
        key = next(iter(result["inputRequests"]))
        for content in ({"value": "green"}, {}, {"value": 5}):
            responses = {key: {"action": "accept", "content": content}}
            result = await wire.result(
                "tools/call",
                {"name": "pick", "inputResponses": responses, "requestState": result["requestState"]},
            )
            assert result["resultType"] == "input_required"

    async def test_swallowing_the_end_of_a_round_is_an_error(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, ALL)
        assert (await wire.error("tools/call", {"name": "swallow"}))["code"] == -32603

    async def test_answers_nobody_asked_for_are_not_taken(self, revision: str, connect: Any) -> None:
        wire = await connect(make_app(), revision, ALL)
        smuggled = {"question-1": {"action": "accept", "content": {"value": "red"}}}
        result = await wire.result("tools/call", {"name": "pick", "inputResponses": smuggled})
        assert result["resultType"] == "input_required"


@pytest.mark.requirement("R2411-LIFECYCLE-002", "R2511-LIFECYCLE-027")
@EVERY
async def test_a_question_that_can_not_be_asked_is_told_to_the_model(revision: str, connect: Any) -> None:
    """Up to 2025-11-25 as a result that a model can read; since 2026-07-28 the protocol has an error for it."""
    wire = await connect(make_app(), revision)
    reply = await wire.request("tools/call", {"name": "pick", "arguments": {}})
    if wire.stateless:
        assert reply["error"]["code"] == -32021
        assert reply["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}
        told = reply["error"]["message"]
    else:
        assert reply["result"]["isError"] is True
        assert reply["result"]["_meta"] == {"io.dovetail/requiredCapabilities": {"elicitation": {}}}
        told = text_of(reply)
    assert told.startswith("this request needs the client capability 'elicitation'")


@EVERY
async def test_what_stands_in_for_an_answer_is_each_calls_own(revision: str, connect: Any) -> None:
    app = App("x")

    @app.tool
    async def words(more: Annotated[list[Colour], Ask("More?", otherwise=[Colour.RED])]) -> str:
        more.append(Colour.BLUE)
        return " ".join(each.value for each in more)

    wire = await connect(app, revision)
    for _ in range(2):
        assert (await wire.call("words"))["content"][0]["text"] == "red blue"


def test_a_default_beside_a_question_is_refused() -> None:
    def sure(ok: Annotated[bool, Ask("Sure?")] = False) -> str:
        return f"{ok}"

    with pytest.raises(
        RegistrationError, match=r"never used beside Ask.*write Ask\(\.\.\., otherwise=False\)"
    ):
        App("x").tool(sure)
