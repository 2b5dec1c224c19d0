"""Tasks of 2025-11-25 from the client's side: when a call is sent as one, and how it is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from task_server import NAME, STATEFUL, StatefulTaskServer, content, tasks_for_clients
from waiting import until

from dovetail import (
    Client,
    FeatureUnavailable,
    InvalidParams,
    MethodNotFound,
    RemoteProtocolError,
    RequestTimeout,
)
from dovetail.client import ElicitRequest
from dovetail.extensions.tasks import names
from dovetail.extensions.tasks.errors import TaskCancelled, TaskLost
from dovetail.extensions.tasks.listing import list_tasks
from dovetail.types import ProgressNotice

ENDED = {"status": "completed"}


def client_of(server: StatefulTaskServer, **options: Any) -> Client:
    return Client(server, revision=STATEFUL, extensions=[tasks_for_clients()], **options)


@pytest.mark.requirement("R2511-TASKS-008", "R2511-TASKS-018", "R2511-TASKS-052")
async def test_a_tool_that_must_be_a_task_is_sent_as_one_and_waited_for() -> None:
    server = StatefulTaskServer({}, ENDED)
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "done"
        assert (await client.call_tool("bake")).value == "done"
    assert [each["params"]["task"] for each in server.sent("tools/call")] == [{}, {}]
    assert len(server.sent("tools/list")) == 1
    assert server.sent(names.RESULT)[0]["params"]["taskId"] == "t-1"


@pytest.mark.requirement("R2511-TASKS-004")
@pytest.mark.parametrize(
    "offered",
    [{"tasks": None}, {"tasks": {}}, {"tasks": {"requests": {}}}, {"tasks": {"requests": {"tools": {}}}}],
)
async def test_a_server_that_declares_nothing_is_sent_no_task(offered: dict[str, Any]) -> None:
    server = StatefulTaskServer(ENDED, **offered)
    async with client_of(server) as client:
        await client.list_tools()
        with pytest.raises(MethodNotFound):
            await client.call_tool("bake")
        with pytest.raises(MethodNotFound):
            await client.start_tool("bake")
    assert all("task" not in each["params"] for each in server.sent("tools/call"))


@pytest.mark.requirement("R2511-TASKS-005")
@pytest.mark.parametrize("support", [None, "forbidden"])
async def test_a_tool_that_may_not_be_a_task_is_sent_as_none(support: str | None) -> None:
    server = StatefulTaskServer(ENDED, support=support)
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "at once"
        started = await client.start_tool("bake")
        assert (started.id, (await started).value) == ("", "at once")
        assert (await started.status()).status == "completed"
        assert [each.ended async for each in started.updates()] == [True]
    assert all("task" not in each["params"] for each in server.sent("tools/call"))


@pytest.mark.requirement("R2511-TASKS-007", "R2511-TASKS-010")
async def test_a_tool_that_may_be_either_is_a_task_for_who_starts_it() -> None:
    server = StatefulTaskServer({}, ENDED, support="optional")
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "at once"
        started = await client.start_tool("bake", ttl=120)
        assert (await started).value == "done"
    plain, task = server.sent("tools/call")
    assert "task" not in plain["params"]
    assert task["params"]["task"] == {"ttl": 120_000}


async def test_a_tool_that_became_a_task_since_the_listing_is_listed_again() -> None:
    server = StatefulTaskServer(ENDED, support="forbidden")
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "at once"
        server.support = "required"
        assert (await client.call_tool("bake")).value == "done"
    assert ["task" in each["params"] for each in server.sent("tools/call")] == [False, False, True]


async def test_the_error_of_the_call_comes_by_the_result() -> None:
    server = StatefulTaskServer({"status": "failed"}, outcome=-32602)
    async with client_of(server) as client:
        with pytest.raises(InvalidParams, match="as the tool said"):
            await client.call_tool("bake")


async def test_a_tool_that_failed_is_a_result() -> None:
    server = StatefulTaskServer({"status": "failed"}, outcome={**content("burnt"), "isError": True})
    async with client_of(server) as client:
        result = await client.call_tool("bake")
    assert (result.is_error, result.text) == (True, "burnt")


async def test_cancelled_and_lost_tasks() -> None:
    async with client_of(StatefulTaskServer({"status": "cancelled"}, outcome=-32603)) as client:
        with pytest.raises(TaskCancelled):
            await client.call_tool("bake")
    async with client_of(StatefulTaskServer({}, -32602)) as client:
        with pytest.raises(TaskLost):
            await client.call_tool("bake")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "ended,problem",
    [
        ({"status": "cancelled"}, TaskCancelled),
        ({"status": "failed", "statusMessage": "no flour"}, RemoteProtocolError),
        ({"status": "completed"}, RemoteProtocolError),
    ],
)
async def test_a_task_that_gives_nothing_is_told_as_it_ended(
    ended: dict[str, Any], problem: type[Exception]
) -> None:
    """As version 1 of the official SDK for Python does it."""

    class GivingNothing(StatefulTaskServer):
        def give(self) -> None:
            while self.waiting:
                self.result(self.waiting.pop(), _meta={names.META_RELATED: {"taskId": "t-1"}})

    async with client_of(GivingNothing(ended)) as client:
        wanted = ended.get("statusMessage", "was cancelled" if problem is TaskCancelled else "content")
        with pytest.raises(problem, match=wanted):
            await client.call_tool("bake")


@pytest.mark.requirement("R2511-TASKS-015")
@pytest.mark.hostile
@pytest.mark.parametrize("code", [-32602, -32600])
async def test_a_server_that_does_not_wait_in_the_request_is_asked_how_the_task_is(code: int) -> None:
    """As servers of FastMCP 3 do it."""

    class Impatient(StatefulTaskServer):
        def give(self) -> None:
            while self.waiting and len(self.script) > 1:
                self.error(self.waiting.pop(), code, "Task not completed yet (current state: working)")
            super().give()

    async with client_of(Impatient({}, ENDED)) as client:
        assert (await client.call_tool("bake")).value == "done", "it ended between the two questions"
    server = Impatient({}, {"status": "input_required"}, {"statusMessage": "half"}, {}, ENDED)
    heard: list[ProgressNotice] = []
    async with client_of(server, progress=heard.append) as client:
        assert (await client.call_tool("bake")).value == "done"
    assert len(server.sent(names.RESULT)) == 2
    assert "half" in [each.message for each in heard]


async def test_a_look_at_the_task_is_not_cancelled_while_the_server_answers_it() -> None:
    """Servers on version 1 of the official SDK for Python do not survive that."""

    class ResultFirst(StatefulTaskServer):
        held: Any = None

        def say_next(self, id: Any) -> None:
            self.held = id

        def give(self) -> None:
            if self.held is not None:
                super().give()

    server = ResultFirst(ENDED)
    async with client_of(server) as client:
        waiting = asyncio.ensure_future((await client.start_tool("bake")).result())
        await until(lambda: server.waiting and server.held is not None)
        server.give()
        asyncio.get_running_loop().call_later(0.05, super(ResultFirst, server).say_next, server.held)
        assert (await waiting).value == "done"
    assert not server.sent("notifications/cancelled")


@pytest.mark.hostile
async def test_a_task_without_a_ttl_has_no_end() -> None:
    """As libraries send it that leave null members out."""

    class Endless(StatefulTaskServer):
        def task(self, **members: Any) -> dict[str, Any]:
            return {name: value for name, value in super().task(**members).items() if name != "ttl"}

    async with client_of(Endless({}, ENDED)) as client:
        started = await client.start_tool("bake")
        assert (await started.status()).ttl is None
        assert (await started).value == "done"


@pytest.mark.requirement("R2511-TASKS-013", "R2511-TASKS-014", "R2511-TASKS-019")
async def test_status_notifications_only_save_time() -> None:
    server = StatefulTaskServer({}, {"statusMessage": "half"}, {}, ENDED)
    heard: list[ProgressNotice] = []
    async with client_of(server, progress=heard.append) as client:
        call = asyncio.create_task(client.call_tool("bake"))
        await until(lambda: server.sent(names.RESULT))
        server.tell(statusMessage="half")
        server.tell(taskId="t-9")
        server.say(method=names.NOTIFY_STATUS, params=server.task(status="working"))
        assert (await call).value == "done"
    assert heard[0].message == "half"


@pytest.mark.requirement("R2511-TASKS-046", "R2511-TASKS-063", "R2511-TASKS-032")
async def test_answers_to_the_questions_of_a_task_say_whose_they_are() -> None:
    related = {names.META_RELATED: {"taskId": "t-1"}}

    class Asking(StatefulTaskServer):
        def give(self) -> None:
            if self.waiting and not self.answers and not self.sent_question:
                self.sent_question = True
                self.say(id="q-1", method="elicitation/create", params={**NAME["params"], "_meta": related})
                self.say(id="q-2", method="elicitation/create", params=NAME["params"])
            super().give()

        sent_question = False

        def answered(self, message: dict[str, Any]) -> None:
            super().answered(message)
            if len(self.answers) == 2:
                self.script = [ENDED]
                self.give()

    def ann(request: ElicitRequest) -> dict[str, Any]:
        return {"name": "Ann"}

    server = Asking({"status": "input_required"})
    async with client_of(server, elicitation=ann) as client:
        assert (await client.call_tool("bake")).value == "done"
    by_id = {each["id"]: each["result"] for each in server.answers}
    assert by_id["q-1"]["_meta"] == related
    assert by_id["q-1"]["content"] == {"name": "Ann"}
    assert "_meta" not in by_id["q-2"]


@pytest.mark.requirement("R2511-TASKS-049")
async def test_requests_about_a_task_carry_no_related_task() -> None:
    server = StatefulTaskServer({}, {})
    async with client_of(server) as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("bake", timeout=0.4)
    assert server.sent(names.CANCEL)[0]["params"]["taskId"] == "t-1"
    for message in server.seen:
        assert names.META_RELATED not in (message.get("params") or {}).get("_meta", {})


@pytest.mark.requirement("R2511-TASKS-056")
async def test_all_tasks_are_listed_by_cursors_as_they_came() -> None:
    server = StatefulTaskServer(ENDED)
    async with client_of(server) as client:
        found = await list_tasks(client)
    assert [(each.id, each.status, each.ttl, each.poll) for each in found] == [
        ("t-1", "working", 60.0, 0.1),
        ("t-2", "completed", 60.0, 0.1),
    ]
    assert found[0].created is not None
    assert [each.get("params", {}).get("cursor") for each in server.sent(names.LIST)] == [None, "more"]


@pytest.mark.hostile
async def test_a_list_that_goes_round_in_circles_ends() -> None:
    class Round(StatefulTaskServer):
        def listed(self, id: Any, cursor: str | None) -> None:
            self.result(id, tasks=[], nextCursor="more")

    async with client_of(Round(ENDED)) as client:
        with pytest.raises(RemoteProtocolError, match="no end"):
            await list_tasks(client)


@pytest.mark.hostile
async def test_a_task_of_the_extension_means_nothing_here() -> None:
    class Wrong(StatefulTaskServer):
        def called(self, id: Any, params: dict[str, Any]) -> None:
            self.result(id, resultType="task", **self.task())

    async with client_of(Wrong(ENDED)) as client:
        with pytest.raises(RemoteProtocolError):
            await client.call_tool("bake")


async def test_older_revisions_have_no_tasks() -> None:
    server = StatefulTaskServer(ENDED)
    server.revision = "2025-06-18"
    server.support = None
    async with Client(server, revision="2025-06-18", extensions=[tasks_for_clients()]) as client:
        assert (await client.call_tool("bake")).value == "at once"
        with pytest.raises(FeatureUnavailable):
            await list_tasks(client)
