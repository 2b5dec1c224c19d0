"""``ctx.ask``: several questions at once, with the same outcome in both eras."""

import asyncio
import itertools
from typing import Any

import pytest
from playing import accept, by_message, capabilities, play

from dovetail import App, Context, Declined, Dismissed, Elicit, Form, Roots, Sample
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

FORMS = [revision for revision in REVISIONS if revision >= "2025-06-18"]
EVERY = pytest.mark.parametrize("revision", FORMS)
STATEFUL_FORMS = pytest.mark.parametrize("revision", [each for each in FORMS if each in STATEFUL])
KEYS = ("first", "second", "third")


def make_app() -> App:
    app = App("together", replay_check=True)

    @app.tool
    async def ask(ctx: Context) -> str:
        try:
            found = await ctx.ask(**{key: Elicit(f"{key}?", Form.of(str)) for key in KEYS})
        except Declined as problem:
            return f"declined: {problem}"
        except Dismissed as problem:
            return f"dismissed: {problem}"
        return " ".join(f"{key}={value}" for key, value in found.items())

    @app.tool
    async def mixed(ctx: Context) -> str:
        found = await ctx.ask(
            name=Elicit("name?", Form.of(str)), said=Sample("?", max_tokens=5), roots=Roots()
        )
        return f"{found['name']} {found['said'].model} {len(found['roots'])}"

    @app.tool(timeout=0.05)
    async def late(ctx: Context) -> str:
        await ctx.ask(a=Elicit("a?", Form.of(str)), b=Elicit("b?", Form.of(str)))
        return "never"

    return app


async def asked(wire: Wire, tool: str, count: int) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Call a tool; gives its answer to come, and the questions that came before any was answered."""
    final = await wire.start(f"call-{tool}", "tools/call", {"name": tool, "arguments": {}})
    found = [await wire.next() for _ in range(count)]
    return final, {each["params"].get("message", each["method"]): each for each in found}


async def give(wire: Wire, question: dict[str, Any], result: dict[str, Any]) -> None:
    await wire.send({"jsonrpc": "2.0", "id": question["id"], "result": result})


@STATEFUL_FORMS
async def test_all_are_sent_before_one_is_answered(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    for order in itertools.permutations(KEYS):
        final, questions = await asked(wire, "ask", 3)
        for key in order:
            assert not final.done()
            await give(wire, questions[f"{key}?"], accept(key.upper()))
        text = (await asyncio.wait_for(final, 5))["result"]["content"][0]["text"]
        assert text == "first=FIRST second=SECOND third=THIRD"


@EVERY
async def test_questions_of_every_kind(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    played = await play(wire, "mixed", by_message({"name?": "Ada"}))
    assert played.text == "Ada m-1 1"
    assert sorted(played.asked) == ["name?", "roots/list", "sampling/createMessage"]
    assert len(played.rounds) == (revision in STATELESS)


REFUSALS = {"decline": {"action": "decline"}, "dismiss": {"action": "cancel"}}
OUTCOMES = [
    (("decline", "x", "x"), "declined: the person declined: first?"),
    (("x", "x", "dismiss"), "dismissed: the person did not answer: third?"),
    (("x", "dismiss", "decline"), "dismissed: the person did not answer: second?"),
    (("decline", "dismiss", "x"), "declined: the person declined: first?"),
]


@EVERY
@pytest.mark.parametrize("answers,told", OUTCOMES)
async def test_a_refusal_ends_it_when_all_are_answered(
    revision: str, answers: tuple[str, ...], told: str, connect: Any
) -> None:
    """Nobody's question is taken back, and the first refusal as the questions stand counts, whichever came first."""
    wire = await connect(make_app(), revision, capabilities(revision))
    given = {f"{key}?": REFUSALS.get(each, each) for key, each in zip(KEYS, answers, strict=True)}
    played = await play(wire, "ask", by_message(given))
    assert played.text == told
    assert sorted(played.asked) == [f"{key}?" for key in KEYS]
    assert not played.notices
    if revision in STATEFUL:
        final, questions = await asked(wire, "ask", 3)
        for key in reversed(KEYS):
            assert not final.done()
            each = given[f"{key}?"]
            await give(wire, questions[f"{key}?"], each if isinstance(each, dict) else accept(each))
        assert (await final)["result"]["content"][0]["text"] == told


@EVERY
async def test_one_that_cant_be_asked_stops_all(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, {"elicitation": {}, "roots": {}})
    assert await wire.lacking("mixed") == {"sampling": {}}
    assert wire.inbox.empty()


@STATEFUL_FORMS
async def test_an_error_of_the_client_takes_the_others_back(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    final, questions = await asked(wire, "mixed", 3)
    refused = questions.pop("sampling/createMessage")
    await wire.send({"jsonrpc": "2.0", "id": refused["id"], "error": {"code": -1, "message": "not today"}})
    result = (await asyncio.wait_for(final, 5))["result"]
    assert result["isError"] is True
    assert "sampling/createMessage was answered with: not today" in result["content"][0]["text"]
    taken_back = {(await wire.next())["params"]["requestId"] for _ in questions}
    assert taken_back == {each["id"] for each in questions.values()}


@STATEFUL_FORMS
async def test_a_timeout_takes_all_back(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    final, questions = await asked(wire, "late", 2)
    assert (await asyncio.wait_for(final, 5))["result"]["isError"] is True
    taken_back = {(await wire.next())["params"]["requestId"] for _ in questions}
    assert taken_back == {each["id"] for each in questions.values()}


@STATEFUL_FORMS
async def test_what_is_no_answer_is_asked_again_alone(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision, capabilities(revision))
    final, questions = await asked(wire, "ask", 3)
    await give(wire, questions["second?"], accept(5))
    again = await wire.next()
    assert again["params"]["message"] == "second?"
    for question, value in ((questions["third?"], "3"), (again, "2"), (questions["first?"], "1")):
        await give(wire, question, accept(value))
    assert (await final)["result"]["content"][0]["text"] == "first=1 second=2 third=3"
