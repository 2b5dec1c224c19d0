"""What ready middleware must not do, tried: hand on a person's answer, lose a limit, tell progress that goes back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from middleware_calls import CallerChannel, answer_to, person, text_of
from msgspec import Raw

from dovetail import App, Client, Context, LifespanFailed, TextContent, ToolAnnotations
from dovetail.middleware import ResultCache, Retries, SizeLimit, ToolRateLimit
from dovetail.protocol.revisions import REVISIONS
from dovetail.types import CallToolResult, reader

BOTH = pytest.mark.parametrize("revision", [REVISIONS[-2], REVISIONS[-1]])
READS = ToolAnnotations(read_only_hint=True)


# Results that are kept


@BOTH
async def test_what_a_person_answered_is_not_kept(revision: str) -> None:
    app = App("asking", middleware=[ResultCache(60, public=["sure"])])

    @app.tool
    async def sure(ctx: Context) -> str:
        return f"the person says {await ctx.elicit('Who are you?', str)}"

    for who in ("ada", "bob"):
        async with Client(app, revision=revision, elicitation=lambda _, who=who: {"value": who}) as client:
            for _ in range(2):
                assert (await client.call_tool("sure")).text == f"the person says {who}"


async def test_numbers_that_differ_are_different_arguments() -> None:
    runs: list[str] = []
    app = App("prices", middleware=[ResultCache(60, public=["price"])])

    @app.tool
    async def price(amount: Decimal) -> str:
        runs.append(str(amount))
        return str(amount)

    async with Client(app):
        for amount in ("0.1", "0.10000000000000000001", "0.1"):
            found = await answer_to(app, CallerChannel(), "price", {"amount": Raw(amount.encode())})
            assert text_of(found) == amount
    assert runs == ["0.1", "0.10000000000000000001"]


async def test_what_is_kept_of_one_app_is_not_given_by_another_of_its_name() -> None:
    cache = ResultCache(60, public=["which"])
    apps = [App("twin", middleware=[cache]) for _ in range(2)]
    for number, app in enumerate(apps):

        @app.tool
        async def which(number: int = number) -> str:
            return f"app {number}"

    async with Client(apps[0]):
        with pytest.raises(LifespanFailed) as failed:
            async with Client(apps[1]):
                pass
    assert "give each its own" in str(failed.value.__cause__)


async def test_mounted_tools_are_kept_for_their_caller_alone() -> None:
    runs: list[str] = []
    inner = App("inner")

    @inner.tool(annotations=READS)
    async def look(ctx: Context) -> str:
        runs.append(ctx.principal.subject)
        return f"for {ctx.principal.subject}"

    app = App("outer", middleware=[ResultCache(60)])
    app.mount("in", inner)
    async with Client(app):
        for subject in ("ada", "bob", "ada", "bob"):
            found = await answer_to(app, CallerChannel(person(subject)), "in_look")
            assert text_of(found) == f"for {subject}"
    assert runs == ["ada", "bob"]


async def test_who_lacks_a_scope_gets_nothing_that_is_kept_of_a_mounted_tool() -> None:
    inner = App("inner")

    @inner.tool(scopes=["read"])
    async def secret() -> str:
        return "the secret"

    app = App("outer", middleware=[ResultCache(60, public=["in_secret"])])
    app.mount("in", inner)
    async with Client(app):
        allowed, other = CallerChannel(person("ada", "read")), CallerChannel(person("bob"))
        assert text_of(await answer_to(app, allowed, "in_secret")) == "the secret"
        refused = await answer_to(app, other, "in_secret")
        assert "the secret" not in json.dumps(refused)
        assert refused["code"] < 0


# Limits


def nothing(call: Any, channel: Any, handler: Any) -> Any:
    return handler(call, channel)


async def test_a_named_limit_holds_for_what_has_to_be_asked() -> None:
    inner = App("inner", middleware=[nothing])

    @inner.tool
    async def order(number: int) -> str:
        return str(number)

    app = App("outer", middleware=[ToolRateLimit({"in_order": (0.001, 2)})])
    app.mount("in", inner)
    async with Client(app):
        ada = CallerChannel(person("ada"))
        codes = [(await answer_to(app, ada, "in_order", {"number": n})).get("code", 0) for n in range(3)]
    assert codes == [0, 0, -31429]


async def test_what_stands_beside_a_text_counts_too() -> None:
    app = App("large", middleware=[SizeLimit(2000)])

    @app.tool
    async def beside() -> CallToolResult:
        block = reader(TextContent).keep(b'{"type":"text","text":"short","more":"' + b"x" * 10_000 + b'"}')
        return CallToolResult(content=[block])

    async with Client(app) as client:
        result = await client.call_tool("beside")
        assert result.is_error
        assert "would have 10," in result.text


async def test_what_is_cut_is_no_longer_than_the_limit() -> None:
    app = App("large", middleware=[SizeLimit(2000, beyond="cut")])

    @app.tool
    async def noted() -> CallToolResult:
        return CallToolResult(content=[TextContent(text="y" * 5000, meta={"example.org/x": "x" * 100_000})])

    async with Client(app) as client:
        result = await client.call_tool("noted")
        assert len(json.dumps(result.raw.to_wire())) < 2300
        assert "yyyy" in result.text


# Attempts


@BOTH
async def test_progress_only_ever_grows_with_retries_inside_of_retries(revision: str) -> None:
    runs: list[int] = []
    heard: list[float] = []
    app = App("steps", middleware=[Retries(2, backoff=0.001), Retries(2, backoff=0.001)])

    @app.tool(annotations=READS)
    async def walk(ctx: Context) -> str:
        runs.append(1)
        for step in (1, 2, 3, 4):
            await ctx.progress(step)
            if step == 3 and len(runs) < 4:
                raise OSError("gone")
        return "there"

    async with Client(app, revision=revision) as client:
        found = await client.call_tool("walk", progress=lambda at, *_: heard.append(at.progress))
        assert found.text == "there"
    assert heard == [1, 2, 3, 4]
