"""Calls of every kind against real processes of both eras: results, pages, caching, validation, deadlines, ends."""

import asyncio
import dataclasses
import json
import logging
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from dovetail import App
from dovetail.client import Client, OutputInvalid, ToolFailed, ToolResult
from dovetail.protocol.errors import (
    Closed,
    ConnectionLost,
    FeatureUnavailable,
    InvalidParams,
    LocalProtocolError,
    MethodNotFound,
    RemoteProtocolError,
    RequestTimeout,
    ServerExited,
)
from dovetail.protocol.revisions import STATEFUL
from dovetail.protocol.types import ProgressNotice
from dovetail.telemetry import ObservedOperation, Observer

Command = Callable[..., list[str]]


@dataclasses.dataclass
class Number:
    n: int


async def state_of(client: Client) -> dict[str, Any]:
    return json.loads((await client.call_tool("state")).text)


@pytest.mark.parametrize("revision", STATEFUL)
async def test_everything_a_stateful_server_offers(stateful: Command, revision: str) -> None:
    async with Client(stateful(revision)) as client:
        assert [tool.name async for tool in client.tools()] == ["echo", "bad-output", "good-output"]
        assert [item.uri async for item in client.resources()] == ["raw://a"]
        assert [item.uri_template async for item in client.resource_templates()] == ["raw://{x}"]
        assert [item.name async for item in client.prompts()] == ["p"]
        assert (await client.read("raw://a")).contents[0].text == "A"
        assert len((await client.get_prompt("p")).messages) == 1
        assert (await client.complete("p", "x", "o")).values == ["one", "two"]
        await client.ping()
        await client.set_log_level("warning")
        state = await state_of(client)
        assert ["logging/setLevel", {"level": "warning"}] in state["seen"]


async def test_everything_a_stateless_server_offers(stateless: Command) -> None:
    async with Client(stateless()) as client:
        assert [tool.name async for tool in client.tools()] == ["t1"]
        assert (await client.read("raw://a")).contents[0].text == "A"
        assert len((await client.get_prompt("p")).messages) == 1
        assert (await client.complete("p", "x")).values == ["one"]
        await client.ping()
        await client.set_log_level("warning")
        meta = json.loads((await client.call_tool("meta", meta={"com.example/a": 1})).text)
        assert meta["io.modelcontextprotocol/logLevel"] == "warning"
        assert meta["com.example/a"] == 1


@pytest.mark.requirement("R2607-PAGINATION-005", "R2607-PAGINATION-006")
async def test_an_empty_cursor_goes_on_and_a_circle_ends(stateful: Command) -> None:
    async with Client(stateful()) as client:
        page = await client.list_tools()
        assert page.next_cursor == ""
        assert (await client.list_tools("")).next_cursor is None
    async with Client(stateful("2025-11-25", "circle")) as client:
        with pytest.raises(RemoteProtocolError, match="circles"):
            _ = [tool async for tool in client.tools()]


async def test_members_nobody_knows_are_kept(stateful: Command) -> None:
    async with Client(stateful("2025-11-25", "newer")) as client:
        first = (await client.list_tools()).tools[0]
        assert first.extra == {"x-new": {"deep": 1}}


async def test_results_in_the_shape_that_is_wanted(stateful: Command) -> None:
    async with Client(stateful()) as client:
        result = await client.call_tool("good-output")
        assert isinstance(result, ToolResult)
        assert (result.value, result.text, result.structured, result.is_error) == (
            {"n": 1},
            '{"n": 1}',
            {"n": 1},
            False,
        )
        assert await client.call_tool("good-output", into=Number) == Number(1)
        assert await client.call_tool("echo", {"text": "[1, 2]"}, into=list[int]) == [1, 2]
        assert await client.call_tool("echo", {"text": "5"}, into=str) == "5"
        with pytest.raises(OutputInvalid):
            await client.call_tool("echo", {"text": "x"}, into=Number)
        failed = await client.call_tool("fail")
        assert failed.is_error
        with pytest.raises(ToolFailed, match="it broke"):
            failed.raise_on_error()
        with pytest.raises(ToolFailed):
            await client.call_tool("fail", into=Number)
        with pytest.raises(InvalidParams, match="Unknown tool"):
            await client.call_tool("nothing")


async def test_output_is_held_against_the_listed_schema(stateful: Command) -> None:
    async with Client(stateful()) as client:
        assert (await client.call_tool("bad-output")).structured == {"n": "no number"}  # nothing listed yet
        _ = [tool async for tool in client.tools()]
        assert (await client.call_tool("good-output")).value == {"n": 1}
        with pytest.raises(OutputInvalid, match="n: expected") as caught:
            await client.call_tool("bad-output")
        assert caught.value.result.text == "x"


@pytest.mark.vendor_methods("acme/none")
async def test_raw_requests_and_notifications(stateful: Command) -> None:
    async with Client(stateful()) as client:
        found = await client.request("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        assert found["content"][0]["text"] == "x"
        with pytest.raises(MethodNotFound):
            await client.request("acme/none", {"a": 1})
        await client.notify("notifications/roots/list_changed")
        assert ["notifications/roots/list_changed", None] in (await state_of(client))["seen"]
        with pytest.raises(LocalProtocolError):
            await client.call_tool("echo", {"text": object()})


@pytest.mark.requirement("R2511-LIFECYCLE-021")
async def test_what_the_revision_lacks_is_refused_here(stateful: Command, stateless: Command) -> None:
    async with Client(stateless()) as client:
        with pytest.raises(FeatureUnavailable):
            await client.request("resources/subscribe", {"uri": "raw://a"})
        with pytest.raises(FeatureUnavailable):
            await client.request("logging/setLevel", {"level": "info"})
    async with Client(stateful()) as client:
        with pytest.raises(FeatureUnavailable):
            await client.request("server/discover")


@pytest.mark.requirement("R2607-CACHING-002")
async def test_lists_are_kept_as_long_as_allowed_and_dropped_on_a_change(stateless: Command) -> None:
    async with Client(stateless("2026-07-28", "public")) as client:
        assert [tool.name async for tool in client.tools()] == ["t1"]
        assert [tool.name async for tool in client.tools()] == ["t1"]
        async with client.listen(tools=True) as events:
            await client.call_tool("change")
            assert (await anext(events)).kind == "tools"
        assert [tool.name async for tool in client.tools()] == ["t2"]
    async with Client(stateless("2026-07-28", "public"), cache=False) as client:
        assert [tool.name async for tool in client.tools()] == ["t1"]
        assert [tool.name async for tool in client.tools()] == ["t2"]


@pytest.mark.requirement("R2607-LIFECYCLE-041")
@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-004", "R2607-SCHEMA-051")
async def test_types_of_results(stateless: Command) -> None:
    async with Client(stateless("2026-07-28", "asking-list")) as client:
        assert (await client.call_tool("bare")).text == "no type"
        with pytest.raises(RemoteProtocolError, match="unknown type"):
            await client.call_tool("odd")
        with pytest.raises(RemoteProtocolError, match="must not ask"):
            await client.list_tools()


async def test_log_messages_and_unknown_notifications(stateful: Command) -> None:
    heard: list[Any] = []
    async with Client(stateful(), logging=heard.append) as client:
        await client.call_tool("log")
    assert [(notice.level, notice.data) for notice in heard] == [("info", {"n": 1})]


# Deadlines and ends


@pytest.mark.requirement("R2607-PROGRESS-002", "R2607-PROGRESS-003")
async def test_progress_is_heard_before_the_result(stateless: Command) -> None:
    heard: list[ProgressNotice] = []

    async def hear(notice: ProgressNotice) -> None:
        await asyncio.sleep(0.01)
        heard.append(notice)

    async with Client(stateless()) as client:
        await client.call_tool("progress", progress=hear)
        assert [notice.progress for notice in heard] == [1, 2, 3]


async def test_progress_moves_the_deadline_but_not_the_last_one(stateful: Command) -> None:
    async with Client(stateful(), max_timeout=1.0) as client:
        slow = {"steps": 4, "pause": 0.15}
        result = await client.call_tool("slow", slow, timeout=0.4, progress=lambda _: None)
        assert result.text == "done"
    async with Client(stateful(), timeout=0.4, max_timeout=0.7) as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("slow", {"steps": 20, "pause": 0.1}, progress=lambda _: None)


@pytest.mark.requirement("R2511-CANCELLATION-001", "R2607-CANCELLATION-005", "R2607-CANCELLATION-007")
@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_a_timeout_and_a_cancellation_take_the_request_back(
    era: str, stateful: Command, stateless: Command
) -> None:
    async with Client((stateful if era == "stateful" else stateless)()) as client:
        with pytest.raises(RequestTimeout, match="tools/call"):
            await client.call_tool("hang", timeout=0.1)
        task = asyncio.create_task(client.call_tool("hang"))
        await until(lambda: client._connection.link._timeouts)
        await client.ping()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        async with asyncio.timeout(10):
            while len(cancelled := (await state_of(client))["cancelled"]) < 2:
                pass
        assert len({item["requestId"] for item in cancelled}) == 2


@pytest.mark.requirement("R2511-CANCELLATION-002", "R2411-LIFECYCLE-002", "R2511-LIFECYCLE-027")
async def test_initialize_is_never_cancelled(tmp_path: Path) -> None:
    program = "import sys\nfor line in sys.stdin:\n    open(sys.argv[1], 'a').write(line)\n"
    seen = tmp_path / "seen"
    with pytest.raises(RequestTimeout):
        await Client([sys.executable, "-c", program, str(seen)], revision="2025-11-25", timeout=0.5).open()
    assert [json.loads(line)["method"] for line in lines_of(seen)] == ["initialize"]


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_a_server_that_dies_ends_every_call_with_its_last_words(
    era: str, stateful: Command, stateless: Command
) -> None:
    async with Client((stateful if era == "stateful" else stateless)()) as client:
        outcomes = await asyncio.gather(
            *(client.call_tool("hang") for _ in range(5)), client.call_tool("die"), return_exceptions=True
        )
        for outcome in outcomes:
            assert isinstance(outcome, ServerExited)
            assert outcome.status == -9
            assert "last words" in outcome.stderr
            assert not outcome.retry_safe
        assert len({id(outcome) for outcome in outcomes}) == len(outcomes)
        with pytest.raises(ConnectionLost):
            await client.call_tool("echo", {"text": "x"})


async def test_closing_ends_calls_and_listening(stateless: Command) -> None:
    client = await Client(stateless()).open()
    call = asyncio.create_task(client.call_tool("hang"))
    events = client.listen(tools=True)
    await events.open()
    reading = asyncio.create_task(anext(events))
    await until(lambda: client._connection.link._timeouts)
    await client.close()
    with pytest.raises(Closed) as caught:
        await call
    assert not caught.value.retry_safe, "the tool had begun"
    with pytest.raises(StopAsyncIteration):
        await reading


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.requirement("R2607-SUBSCRIPTIONS-010", "R2607-LIFECYCLE-042")
async def test_a_server_is_started_again(revision: str, stateful: Command, stateless: Command) -> None:
    command = stateful() if revision < "2026" else stateless()
    async with (
        Client(command, restart=True) as client,
        client.listen(resources=["raw://a"], again=True) as events,
    ):
        for _ in range(2):
            with pytest.raises(ServerExited):
                await client.call_tool("die")
        assert (await client.call_tool("echo", {"text": "back"})).text == "back"
        change = await asyncio.wait_for(anext(events), 10) if revision >= "2026" else None
        assert change is None or change.uri == "raw://a"
        if revision >= "2026":
            while (await state_of(client))["listens"] != 1:
                pass
        await client.call_tool("change")
        assert (await asyncio.wait_for(anext(events), 10)).uri == "raw://a"


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_observers_hear_of_a_server_that_was_started_again(
    revision: str, stateful: Command, stateless: Command
) -> None:
    begun: list[str] = []

    class Noting(Observer):
        def begin(self, operation: ObservedOperation) -> None:
            if operation.target:
                begun.append(operation.target)

    command = stateful() if revision < "2026" else stateless()
    async with Client(command, restart=True, telemetry=Noting()) as client:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        await client.call_tool("echo", {"text": "back"})
    assert begun == ["die", "echo"]


async def test_a_server_that_keeps_dying_is_given_up(
    stateful: Command, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "dovetail.client")
    async with Client(stateful(), restart=True) as client:
        for _ in range(6):
            with pytest.raises(ServerExited):
                await client.call_tool("die")
        with pytest.raises(ServerExited):
            await client.call_tool("echo", {"text": "x"})


async def test_trace_context_travels(stateless: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def inject(carrier: dict[str, str]) -> None:
        carrier.update(traceparent=parent, tracestate="a=b", baggage="\x00")

    fake = types.SimpleNamespace(inject=inject)
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", fake)
    async with Client(stateless()) as client:
        meta = json.loads((await client.call_tool("meta")).text)
    assert (meta["traceparent"], meta["tracestate"]) == (parent, "a=b")
    assert "baggage" not in meta


async def test_the_wrong_loop_is_told(stateful: Command) -> None:
    async with Client(stateful()) as client:

        def elsewhere() -> None:
            with pytest.raises(LocalProtocolError, match="another event loop"):
                asyncio.run(client.ping())

        await asyncio.to_thread(elsewhere)


async def test_clients_are_closed_in_any_order(stateful: Command) -> None:
    clients = [await Client(stateful()).open() for _ in range(3)]
    for client in clients:
        await asyncio.create_task(client.close())


async def test_a_server_without_a_kind_of_thing_lists_none_of_it() -> None:
    app = App("bare")
    async with Client(app) as client:
        assert [tool async for tool in client.tools()] == []
        assert [prompt async for prompt in client.prompts()] == []
        with pytest.raises(FeatureUnavailable):
            await client.list_tools()
