"""Multi round-trip requests: where questions may be asked, what they may be, whose state counts."""

import asyncio
import json
from typing import Any

import pytest
from must_peer import RawPeer, all_capabilities

from dovetail import App, Client, Context, Elicit, Form, Roots, Sample
from dovetail.protocol.revisions import STATELESS
from dovetail.security.principal import Principal
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
ACCEPT = {"action": "accept", "content": {"value": "Ann"}}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m-1"}


def asking_app() -> App:
    app = App("asking")

    @app.tool
    async def everything(ctx: Context) -> str:
        answers = await ctx.ask(
            a=Elicit("?", Form.of(str)), b=Sample("?", max_tokens=1), c=Roots(), d=Elicit("?", Form.of(str))
        )
        return json.dumps(sorted(answers))

    @app.tool
    async def name(ctx: Context, of: str = "you") -> str:
        return await ctx.elicit(f"Name of {of}?", str)

    @app.tool
    async def same(ctx: Context) -> str:
        await ctx.ask(a=Elicit("?", Form.of(str)))
        return await ctx.elicit("again?", str, key="a")

    @app.prompt
    async def written(ctx: Context, x: str = "") -> str:
        return await ctx.elicit("Name?", str) + x

    @app.resource("note://asked")
    async def read(ctx: Context) -> str:
        return await ctx.elicit("Name?", str)

    @app.completion("written", "x")
    async def complete(typed: str, ctx: Context) -> list[str]:
        return [await ctx.elicit("Name?", str)]

    @app.resource("note://{day}")
    async def note(day: str) -> str:
        return day

    return app


@MODERN
@pytest.mark.requirement(
    "R2607-MRTR-001",
    "R2607-MRTR-008",
    "R2607-MRTR-009",
    "R2607-MRTR-016",
    "R2607-MRTR-033",
)
async def test_questions_have_keys_of_their_own_and_are_of_the_three_kinds(
    revision: str, connect: Any
) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    result = await wire.result("tools/call", {"name": "everything"})
    assert result["resultType"] == "input_required"
    assert result["inputRequests"] or result["requestState"]
    assert {key: each["method"] for key, each in result["inputRequests"].items()} == {
        "a": "elicitation/create",
        "b": "sampling/createMessage",
        "c": "roots/list",
        "d": "elicitation/create",
    }
    answers = {"a": ACCEPT, "b": SAMPLED, "c": {"roots": []}, "d": ACCEPT}
    final = await wire.result(
        "tools/call",
        {"name": "everything", "inputResponses": answers, "requestState": result["requestState"]},
    )
    assert final["content"][0]["text"] == '["a", "b", "c", "d"]'


@MODERN
@pytest.mark.requirement("R2607-MRTR-008")
async def test_two_questions_of_one_call_never_share_a_key(revision: str, connect: Any) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    result = await wire.result("tools/call", {"name": "same"})
    answers = {"inputResponses": {"a": ACCEPT}, "requestState": result["requestState"]}
    assert (await wire.result("tools/call", {"name": "same", **answers}))["isError"] is True


@MODERN
@pytest.mark.requirement("R2607-MRTR-005")
async def test_only_three_methods_ever_ask(revision: str, connect: Any) -> None:
    wire = await connect(asking_app(), revision, all_capabilities(revision))
    asking: dict[str, dict[str, Any]] = {
        "tools/call": {"name": "name"},
        "prompts/get": {"name": "written"},
        "resources/read": {"uri": "note://asked"},
    }
    for method, params in asking.items():
        assert (await wire.result(method, params))["resultType"] == "input_required", method
    ref = {"ref": {"type": "ref/prompt", "name": "written"}, "argument": {"name": "x", "value": ""}}
    error = await wire.error("completion/complete", ref)
    assert error["code"] == -32600
    assert "can't ask the client" in error["message"]
    for method in (
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "server/discover",
    ):
        params = {"inputResponses": {}, "requestState": "x"}
        assert (await wire.result(method, params))["resultType"] == "complete", method


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-011", "R2607-MRTR-012", "R2607-MRTR-032", "RXSEC-SECURITY-015")
async def test_r100_state_is_worth_nothing_to_anyone_else_or_for_anything_else(
    revision: str, connect: Any
) -> None:
    app = asking_app()
    wire = await connect(app, revision, all_capabilities(revision))
    first = await wire.result("tools/call", {"name": "name", "arguments": {"of": "the cat"}})
    key = next(iter(first["inputRequests"]))
    good = {
        "name": "name",
        "arguments": {"of": "the cat"},
        "inputResponses": {key: ACCEPT},
        "requestState": first["requestState"],
    }
    other = Wire(app, revision, all_capabilities(revision))
    other.connection._principal = Principal(issuer="https://issuer.example", subject="mallory")
    assert (await other.error("tools/call", good))["code"] == -32602
    namesake = asking_app()
    foreign = await connect(namesake, revision, all_capabilities(revision))
    assert (await foreign.error("tools/call", good))["code"] == -32602
    for change in (
        {"arguments": {"of": "the dog"}},
        {"arguments": {}},
        {"name": "everything", "arguments": {}},
        {"requestState": first["requestState"] + "A"},
        {"requestState": "\x00" * 40},
        {"requestState": "A" * 3_000_000},
    ):
        assert (await wire.error("tools/call", {**good, **change}))["code"] == -32602
    for method, params in (("prompts/get", {"name": "written"}), ("resources/read", {"uri": "note://asked"})):
        stolen = {**params, "inputResponses": {key: ACCEPT}, "requestState": first["requestState"]}
        assert (await wire.error(method, stolen))["code"] == -32602
    assert (await wire.result("tools/call", good))["content"][0]["text"] == "Ann"
    await other.close()


@MODERN
@pytest.mark.requirement("R2607-MRTR-019")
async def test_a_client_that_never_comes_back_costs_nothing(revision: str, connect: Any) -> None:
    app = asking_app()
    wire = await connect(app, revision, all_capabilities(revision))
    before = asyncio.all_tasks()
    for _ in range(200):
        await wire.result("tools/call", {"name": "name"})
    assert not wire.connection._running
    assert not wire.connection._channels
    assert len(asyncio.all_tasks()) == len(before)


@MODERN
@pytest.mark.requirement(
    "R2607-MRTR-003",
    "R2607-MRTR-024",
    "R2607-MRTR-027",
    "R2607-TOOLS-010",
    "R2607-MRTR-023",
    "R2607-MRTR-026",
)
async def test_a_client_hands_state_back_untouched_to_its_own_request_alone(revision: str) -> None:
    strange = ' {"looks": "like JSON"}\u2028\x00' + "=" * 5
    form = {
        "mode": "form",
        "message": "?",
        "requestedSchema": {"type": "object", "properties": {"v": {"type": "string"}}},
    }
    waiting: list[Any] = []

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        params = message["params"]
        if "requestState" in params or "inputResponses" in params:
            peer.result(message["id"], content=[])
        elif params["name"].startswith("ask"):
            waiting.append(message["id"])
            asked = {"k": {"method": "elicitation/create", "params": form}}
            state = " " + params["name"] + strange + " "
            peer.result(message["id"], resultType="input_required", inputRequests=asked, requestState=state)
        else:
            peer.result(message["id"], content=[])

    peer = RawPeer(answer)
    async with Client(peer, revision=revision, elicitation=lambda _: {"v": "x"}) as client:
        await asyncio.gather(client.call_tool("ask1"), client.call_tool("plain"), client.call_tool("ask2"))
        await client.call_tool("plain")
    calls = peer.sent("tools/call")
    for call in calls:
        params = call["params"]
        if params["name"] == "plain":
            assert not params.keys() & {"requestState", "inputResponses"}
        elif "requestState" in params:
            assert params["requestState"] == " " + params["name"] + strange + " "
            assert params["inputResponses"]["k"]["content"] == {"v": "x"}
            assert call["id"] not in waiting
    assert len({call["id"] for call in calls}) == len(calls) == 6


@MODERN
@pytest.mark.requirement("R2607-CACHING-003")
async def test_what_came_of_answers_is_never_kept(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        params = message["params"]
        hints = {"ttlMs": 60_000, "cacheScope": "public"}
        if params["uri"] == "note://asked" and "inputResponses" not in params:
            asked = {"k": {"method": "roots/list"}}
            peer.result(message["id"], resultType="input_required", inputRequests=asked)
        else:
            peer.result(message["id"], contents=[{"uri": params["uri"], "text": "x"}], **hints)

    peer = RawPeer(answer)
    async with Client(peer, revision=revision, roots=["file:///a"]) as client:
        for uri, trips in (("note://plain", 1), ("note://asked", 4)):
            before = len(peer.sent("resources/read"))
            await client.read(uri)
            await client.read(uri)
            assert len(peer.sent("resources/read")) - before == trips


@MODERN
async def test_answers_are_used_for_the_question_as_it_was_asked(revision: str, connect: Any) -> None:
    """A body whose question changes between rounds asks the new one: an old consent never counts for it."""
    app = App("moving")
    amounts = iter([10, 1000, 1000])

    @app.tool
    async def pay(ctx: Context) -> str:
        amount = next(amounts)
        return f"{amount} {await ctx.elicit(f'Pay {amount}?', bool, key='sure')}"

    wire = await connect(app, revision, {"elicitation": {}})
    yes = {"sure": {"action": "accept", "content": {"value": True}}}
    result = await wire.result("tools/call", {"name": "pay"})
    for message in ("Pay 10?", "Pay 1000?"):
        assert result["inputRequests"]["sure"]["params"]["message"] == message
        again = {"name": "pay", "inputResponses": yes, "requestState": result["requestState"]}
        result = await wire.result("tools/call", again)
    assert result["content"][0]["text"] == "1000 True"
