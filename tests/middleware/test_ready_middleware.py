"""The other ready ones: what they tell, refuse, cut and translate, in both eras."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from io import StringIO
from typing import Annotated, Any

import pytest
from middleware_calls import CallerChannel, answer_to, person
from msgspec.structs import replace

from dovetail import App, CallToolResult, Client, Context, RPCError, Secret, TextContent, ToolError
from dovetail.errors import InternalError, InvalidParams
from dovetail.extensions.tasks import tasks
from dovetail.logs import log_json
from dovetail.middleware import (
    Call,
    CallLogging,
    CallTimer,
    CallTiming,
    Channel,
    Encoded,
    ErrorTable,
    Failures,
    Handler,
    Result,
    SizeLimit,
    ToolRateLimit,
    for_method,
    result_of,
)
from dovetail.protocol.revisions import REVISIONS
from dovetail.providers import Provided, Provider
from dovetail.stores import SQLiteStore
from dovetail.types import ListToolsResult, Tool

BOTH = pytest.mark.parametrize("revision", [REVISIONS[-2], REVISIONS[-1]])


class UnknownOrder(LookupError):
    """A program's own."""


def shop(*middleware: Any, **options: Any) -> App:
    app = App("shop", middleware=middleware, **options)

    @app.tool
    async def order(number: int, code: Annotated[str, Secret] = "") -> str:
        """Look at an order."""
        if number == 0:
            raise UnknownOrder("no row in table orders where secret = 'x'")
        if number < 0:
            raise ToolError("orders are counted from 1")
        return f"order {number}"

    @app.tool
    async def sure(ctx: Context) -> bool:
        """Ask."""
        return await ctx.elicit("Sure?", bool)

    @app.resource("shop://{number}")
    async def order_form(number: int) -> str:
        """The form of an order."""
        if number == 0:
            raise UnknownOrder("secret")
        return "form " * number

    @app.prompt
    async def complain(number: str) -> str:
        """Complain about an order."""
        if number == "0":
            raise UnknownOrder("secret")
        return f"complain about {number}"

    @app.completion("complain", "number")
    async def numbers(typed: str) -> list[str]:
        """Numbers of orders."""
        if typed == "0":
            raise UnknownOrder("secret")
        return [typed]

    return app


# Results, methods, failures


@BOTH
async def test_a_middleware_for_some_methods_sees_lists_as_values(revision: str) -> None:
    seen: list[str] = []

    @for_method("tools/list")
    async def without_sure(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        seen.append(call.method)
        result = await handler(call, channel)
        assert isinstance(result, bytes)
        assert result_of(call, result, CallToolResult) is None
        page = result_of(call, result, ListToolsResult)
        assert page is not None
        assert result_of(call, page) is page
        return replace(page, tools=[tool for tool in page.tools if tool.name != "sure"])

    async with Client(shop(without_sure), revision=revision) as client:
        assert [tool.name async for tool in client.tools()] == ["order"]
        await client.call_tool("order", {"number": 1})
        assert (await client.read("shop://1")).contents[0].text == "form "
    assert set(seen) == {"tools/list"}


def test_for_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the name of a method"):
        for_method()


@BOTH
async def test_failures_are_heard_from_the_inside_out(revision: str) -> None:
    heard: list[str] = []

    def layer(name: str) -> Any:
        async def listen(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
            def translate(problem: Exception) -> Exception:
                heard.append(f"{name}: {type(problem).__name__}")
                return ToolError(f"{name} of {problem}") if isinstance(problem, ToolError) else problem

            with Failures(channel, translate) as failures:
                result = await handler(call, channel)
                assert (failures.last is None) == (not getattr(result, "is_error", None))
                return result

        return listen

    async with Client(shop(layer("outer"), layer("inner")), revision=revision) as client:
        assert not (await client.call_tool("order", {"number": 1})).is_error
        assert (
            await client.call_tool("order", {"number": -1})
        ).text == "outer of inner of orders are counted from 1"
        assert (await client.call_tool("order", {"number": 0})).text == "The tool 'order' failed."
    assert heard == ["inner: ToolError", "outer: ToolError", "inner: UnknownOrder", "outer: UnknownOrder"]


# Timing


@BOTH
async def test_every_call_is_timed(revision: str, caplog: pytest.LogCaptureFixture) -> None:
    timings: list[CallTiming] = []
    timer = CallTimer(timings.append, slow=0.0, meta="example.org/seconds")
    with caplog.at_level(logging.WARNING, "dovetail.calls"):
        async with Client(shop(timer), revision=revision, elicitation=lambda _: {"value": True}) as client:
            result = await client.call_tool("order", {"number": 1})
            assert result.meta is not None
            assert 0 < result.meta["example.org/seconds"] < 10
            await client.call_tool("order", {"number": 0})
            await client.call_tool("sure")
            with pytest.raises(RPCError):
                await client.call_tool("nothing of that name")
            await client.read("shop://1")
    told = [(each.method, each.tool, each.outcome) for each in timings if each.method != "server/discover"]
    rounds = ["input_required", "ok"] if revision == REVISIONS[-1] else ["ok"]
    assert [each for each in told if each[0] == "tools/call"] == [
        ("tools/call", "order", "ok"),
        ("tools/call", "order", "tool_error"),
        *(("tools/call", "sure", outcome) for outcome in rounds),
        ("tools/call", "", "error"),
    ]
    assert ("resources/read", "", "ok") in told
    assert any(record.__dict__.get("target") == "order" for record in caplog.records)


async def test_a_call_that_is_taken_back_and_one_that_listens() -> None:
    timings: list[CallTiming] = []
    ended: asyncio.Queue[CallTiming] = asyncio.Queue()

    def report(timing: CallTiming) -> None:
        timings.append(timing)
        if timing.outcome == "cancelled":
            ended.put_nowait(timing)

    app = shop(CallTimer(report))
    begun = asyncio.Event()

    @app.tool
    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with Client(app) as client, client.listen(tools=True):
        call = asyncio.create_task(client.call_tool("wait"))
        await begun.wait()
        call.cancel()
        assert (await ended.get()).tool == "wait"
    assert "subscriptions/listen" not in [each.method for each in timings]


# Logging


@BOTH
async def test_each_call_is_a_line_of_json(revision: str) -> None:
    lines = StringIO()
    handler = log_json(logging.INFO, lines)
    try:
        async with Client(shop(CallLogging(arguments=True)), revision=revision) as client:
            await client.call_tool("order", {"number": 1, "code": "hunter2"})
            await client.call_tool("order", {"number": 0})
            with pytest.raises(RPCError):
                await client.call_tool("evil\nname", {"x": 1})
    finally:
        logging.getLogger().removeHandler(handler)
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    ok, failed, unknown = [line for line in found if line.get("method") == "tools/call"]
    assert (ok["target"], ok["outcome"], ok["error_type"], ok["level"]) == ("order", "ok", "", "info")
    assert ok["arguments"] == {"number": 1, "code": "[redacted]"}
    assert ok["revision"] == revision
    assert ok["duration_ms"] > 0
    assert (failed["outcome"], failed["error_type"], failed["level"]) == (
        "tool_error",
        "UnknownOrder",
        "warning",
    )
    assert (unknown["target"], unknown["outcome"], unknown["error_type"]) == ("", "error", "InvalidParams")
    assert "hunter2" not in lines.getvalue()
    assert "evil" not in json.dumps(unknown)


async def test_without_being_asked_no_arguments_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dovetail.calls"):
        async with Client(shop(CallLogging())) as client:
            await client.call_tool("order", {"number": 4711})
    assert any(record.__dict__.get("target") == "order" for record in caplog.records)
    assert not any("arguments" in record.__dict__ for record in caplog.records)


# Errors


def too_many(problem: Exception) -> Exception:
    return InvalidParams(f"there is no such order ({type(problem).__name__})")


@BOTH
async def test_exceptions_are_answered_by_a_table(revision: str, caplog: pytest.LogCaptureFixture) -> None:
    app = shop(ErrorTable({LookupError: "We do not have that.", ArithmeticError: "never"}))
    async with Client(app, revision=revision) as client:
        result = await client.call_tool("order", {"number": 0})
        assert (result.is_error, result.text) == (True, "We do not have that.")
        assert (await client.call_tool("order", {"number": -1})).text == "orders are counted from 1"
        for asked in (
            client.read("shop://0"),
            client.get_prompt("complain", {"number": "0"}),
            client.complete("complain", "number", "0"),
        ):
            with pytest.raises(InternalError, match="We do not have that") as caught:
                await asked
            assert "secret" not in str(caught.value)
    assert any(
        record.exc_info and "orders where secret" in str(record.exc_info[1]) for record in caplog.records
    )


@BOTH
async def test_a_function_of_the_table_makes_the_error(revision: str) -> None:
    app = shop(ErrorTable({LookupError: "never", UnknownOrder: too_many}, logged=False))
    async with Client(app, revision=revision) as client:
        with pytest.raises(InvalidParams, match=r"no such order \(UnknownOrder\)"):
            await client.call_tool("order", {"number": 0})
        with pytest.raises(InvalidParams, match="no such order"):
            await client.read("shop://0")


@pytest.mark.parametrize("wrong", [lambda problem: 1 / 0, lambda problem: ValueError("secret")])
async def test_a_table_that_fails_lets_nothing_out(wrong: Any) -> None:
    async with Client(shop(ErrorTable({UnknownOrder: wrong}))) as client:
        assert (await client.call_tool("order", {"number": 0})).text == "The tool 'order' failed."


@pytest.mark.parametrize("table", [{"x": "y"}, {KeyError: ToolError}, {KeyError: 3}])
def test_a_table_that_is_none_is_refused(table: Any) -> None:
    with pytest.raises(TypeError, match="an ErrorTable"):
        ErrorTable(table)


# Size


def large(app: App) -> App:
    @app.tool
    async def texts(count: int) -> CallToolResult:
        blocks = [TextContent(text="ä\n" * 300) for _ in range(count)]
        return CallToolResult(content=[*blocks])

    @app.tool
    async def rows(count: int) -> list[int]:
        return list(range(count))

    return app


@BOTH
async def test_what_is_too_large_is_refused_with_its_size(revision: str) -> None:
    async with Client(large(shop(SizeLimit(2000))), revision=revision) as client:
        assert not (await client.call_tool("texts", {"count": 1})).is_error
        result = await client.call_tool("texts", {"count": 10})
        assert result.is_error
        assert result.text.startswith("The answer of 'texts' would have 12,")
        assert "2,000 are allowed" in result.text
        assert (await client.call_tool("rows", {"count": 5000})).is_error
        with pytest.raises(InternalError, match="the answer of 'shop://1000' would have 5,"):
            await client.read("shop://1000")


@BOTH
async def test_or_cut_where_nothing_else_was_promised(revision: str) -> None:
    async with Client(large(shop(SizeLimit(2000, beyond="cut"))), revision=revision) as client:
        result = await client.call_tool("texts", {"count": 10})
        assert not result.is_error
        assert len(json.dumps(result.raw.to_wire(), ensure_ascii=False).encode()) <= 2300
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        assert texts[0] == "ä\n" * 300
        assert texts[-2] != "ä\n" * 300
        assert ("ä\n" * 300).startswith(texts[-2])
        assert texts[-1].startswith("[Cut: the whole answer has 12,")
        assert (await client.call_tool("rows", {"count": 5000})).is_error, (
            "half of a list is not what was promised"
        )


def test_a_limit_that_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1024 bytes"):
        SizeLimit(10)


# Rates


async def test_each_caller_has_its_own_allowance_of_each_tool() -> None:
    app = shop(ToolRateLimit({"order": (0.001, 2)}), rate_limit=None)
    ada, bob = CallerChannel(person("ada")), CallerChannel(person("bob"))
    async with Client(app):

        async def codes(channel: CallerChannel, name: str, **arguments: int) -> list[int]:
            answers = [await answer_to(app, channel, name, arguments) for _ in range(3)]
            return [answer.get("code", 0) for answer in answers]

        assert await codes(ada, "order", number=1) == [0, 0, -31429]
        assert await codes(bob, "order", number=1) == [0, 0, -31429]
        assert await codes(CallerChannel(), "order", number=1) == [0, 0, -31429]
        assert (await answer_to(app, ada, "sure")).get("code") != -31429
        assert (await answer_to(app, ada, "order", {"number": 1}))["data"]["retryAfter"] > 0


async def test_tools_that_are_not_named_have_a_limit_each_and_those_that_are_not_known_share_one() -> None:
    limit = ToolRateLimit({"sure": (0.001, 1)}, others=(0.001, 1))
    async with Client(large(shop(limit))) as client:
        await client.call_tool("rows", {"count": 1})
        await client.call_tool("texts", {"count": 1})
        with pytest.raises(RPCError, match="too many calls of 'rows'; try again in"):
            await client.call_tool("rows", {"count": 1})
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("nothing of that name")
        with pytest.raises(RPCError, match="too many calls of such tools; try again in"):
            await client.call_tool("nothing of another name")


class Found(Provider):
    """Tools of which nobody knows before they are looked for."""

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        async def answer(call: Call, channel: Channel) -> CallToolResult:
            return CallToolResult(content=[TextContent(text=name)])

        return Provided(described=Tool(name=name, input_schema={"type": "object"}), answer=answer)


@BOTH
async def test_tools_of_providers_that_have_to_look_are_limited_too(revision: str) -> None:
    app = App("town", middleware=[ToolRateLimit({"in_named": (0.001, 1)}, others=(0.001, 2))])
    app.mount("in", Found())
    async with Client(app, revision=revision) as client:
        for name, calls in (("in_named", 1), ("in_a", 1), ("in_b", 1)):
            for _ in range(calls):
                await client.call_tool(name, {})
        for name in ("in_named", "in_c"):
            with pytest.raises(RPCError, match="too many calls of"):
                await client.call_tool(name, {})


async def test_with_a_store_the_allowance_is_that_of_all_processes(tmp_path: Any) -> None:
    def worker() -> App:
        return shop(ToolRateLimit({"order": (0.001, 3)}), store=SQLiteStore(tmp_path / "shop.db"))

    apps = [worker(), worker()]
    ada = CallerChannel(person("ada"))
    async with Client(apps[0]), Client(apps[1]):
        answers = [await answer_to(apps[n % 2], ada, "order", {"number": 1}) for n in range(6)]
    assert sum("code" not in answer for answer in answers) == 3


async def test_the_runs_of_a_task_do_not_count() -> None:
    app = App("tasked", middleware=[ToolRateLimit({"work": (0.001, 1)})], extensions=[tasks()])

    @app.tool(task="required")
    async def work() -> str:
        return "done"

    async with Client(app, extensions=[tasks()]) as client:
        assert (await client.call_tool("work")).text == "done"
        with pytest.raises(RPCError, match="too many calls of 'work'"):
            await client.call_tool("work")


def plain(call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
    """A middleware need not be async."""
    return handler(call, channel)


async def test_all_of_them_together() -> None:
    timings: list[CallTiming] = []
    app = shop(
        CallTimer(timings.append),
        CallLogging(),
        ErrorTable({LookupError: "We do not have that."}),
        ToolRateLimit({}, others=(100.0, 100)),
        SizeLimit(10_000),
        plain,
    )
    for revision in REVISIONS:
        async with Client(app, revision=revision) as client:
            assert (await client.call_tool("order", {"number": 1})).text == "order 1"
            assert (await client.call_tool("order", {"number": 0})).text == "We do not have that."
    assert len([each for each in timings if each.tool == "order"]) == 2 * len(REVISIONS)
