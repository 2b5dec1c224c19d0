"""Calls that are started and waited for later: handles, in one process and across two."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from task_server import NAME, STATELESS, VENDOR, TaskServer, content, tasks_for_clients
from waiting import until

from dovetail import Client, FeatureUnavailable, InvalidParams, LocalProtocolError, RequestTimeout
from dovetail.client import ElicitRequest, OutputInvalid
from dovetail.extensions.tasks import names
from dovetail.extensions.tasks.errors import TaskLost

pytestmark = [pytest.mark.vendor_methods(*VENDOR)]
DONE = {"status": "completed", "result": content()}


def client_of(server: TaskServer, **options: Any) -> Client:
    return Client(server, revision=STATELESS, extensions=[tasks_for_clients()], **options)


async def test_a_handle_is_waited_for_when_it_suits() -> None:
    server = TaskServer({}, {"statusMessage": "half"}, DONE)
    async with client_of(server) as client:
        started = await client.start_tool("bake", {"loaves": 3})
        assert (started.id, started.tool) == ("t-1", "bake")
        assert not server.sent(names.GET)
        status = await started.status()
        assert (status.id, status.status, status.ttl, status.poll, status.ended) == (
            "t-1",
            "working",
            60,
            0.1,
            False,
        )
        result = await started
        assert result.value == "done"
        seen = len(server.sent(names.GET))
        assert (await started.result()) is result
        assert await started.result(into=str) == "done"
        with pytest.raises(OutputInvalid, match="'bake' is no int"):
            await started.result(into=int)
        assert len(server.sent(names.GET)) == seen
    assert len(server.sent("tools/call")) == 1


@pytest.mark.requirement("R2511-TASKS-015")
async def test_updates_end_with_the_task() -> None:
    server = TaskServer({}, {"statusMessage": "half"}, {"statusMessage": "half"}, DONE)
    async with client_of(server) as client:
        started = await client.start_tool("bake")
        seen = [(each.status, each.message) async for each in started.updates()]
    assert seen == [("working", ""), ("working", "half"), ("completed", "")]


@pytest.mark.requirement("RXTSK-TASKS-017")
async def test_a_handle_outlives_its_client() -> None:
    server = TaskServer({})
    async with client_of(server) as client:
        text = (await client.start_tool("bake")).save()
    assert text.replace("-", "").replace("_", "").replace(".", "").isalnum()
    later = TaskServer(DONE)
    async with client_of(later) as client:
        again = client.reopen(text)
        assert (again.id, again.tool) == ("t-1", "bake")
        assert (await again).value == "done"
    assert not later.sent("tools/call")


async def test_who_no_longer_waits_for_a_handle_leaves_the_task() -> None:
    server = TaskServer({})
    async with client_of(server) as client:
        started = await client.start_tool("bake")
        with pytest.raises(RequestTimeout):
            await started.result(timeout=0.3)
        waiting = asyncio.create_task(started.result())
        await until(lambda: len(server.sent(names.GET)) > 4)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not server.sent(names.CANCEL)
        await started.cancel()
        (cancel,) = server.sent(names.CANCEL)
    assert cancel["params"]["taskId"] == "t-1"


async def test_a_handler_may_call_tools_while_a_handle_is_waited_for() -> None:
    """What is wanted of one call is not wanted of those that are made meanwhile."""
    inner: list[Any] = []

    class Asking(TaskServer):
        def answer(self, message: dict[str, Any]) -> None:
            if message["method"] == "tools/call" and message["params"]["name"] == "look":
                self.result(message["id"], **content("Ann"))
            else:
                super().answer(message)

        def updated(self, responses: dict[str, Any]) -> None:
            self.script = [DONE]

    server = Asking({"status": "input_required", "inputRequests": {"name": NAME}})

    async def look(request: ElicitRequest) -> dict[str, Any]:
        found = await client.call_tool("look")
        inner.append(found.value)
        return {"name": found.value}

    async with client_of(server, elicitation=look) as client:
        started = await client.start_tool("greet")
        assert (await started).value == "done"
    assert inner == ["Ann"]


async def test_who_has_no_tasks_can_start_none() -> None:
    async with Client(TaskServer(DONE), revision=STATELESS) as client:
        with pytest.raises(FeatureUnavailable, match=r"extensions=\[tasks\(\)\]"):
            await client.start_tool("bake")
        with pytest.raises(FeatureUnavailable, match=r"extensions=\[tasks\(\)\]"):
            client.reopen("{}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "no",
        "dovetail-task-1.",
        "dovetail-task-1.e30",
        "dovetail-task-1.A",
        "dovetail-task-1.\udc80",
        "\udc80",
    ],
)
async def test_what_is_no_handle_is_refused(text: str) -> None:
    async with client_of(TaskServer(DONE)) as client:
        with pytest.raises(LocalProtocolError, match="no handle"):
            client.reopen(text)


async def test_an_answer_that_came_at_once_has_nothing_to_come_back_to() -> None:
    server = TaskServer(DONE)
    server._answer = lambda peer, message: server.result(message["id"], **content("at once"))
    async with client_of(server) as client:
        started = await client.start_tool("bake")
        assert (await started).value == "at once"
        await started.cancel()
        with pytest.raises(LocalProtocolError, match="at once"):
            started.save()


async def test_a_task_that_is_gone() -> None:
    async with client_of(TaskServer(-32602)) as client:
        started = await client.start_tool("bake")
        for asked in (started.status(), started.result(), anext(started.updates())):
            with pytest.raises(TaskLost):
                await asked


async def test_to_cancel_what_has_ended_is_no_mistake() -> None:
    class Refusing(TaskServer):
        def answer(self, message: dict[str, Any]) -> None:
            if message["method"] == names.CANCEL:
                self.error(message["id"], -32602, "it has ended")
            else:
                super().answer(message)

    server = Refusing(DONE)
    async with client_of(server) as client:
        started = await client.start_tool("bake")
        await started.cancel()
        server.script = [{}]
        with pytest.raises(InvalidParams, match="it has ended"):
            await started.cancel()


def test_the_blocking_client_has_the_same() -> None:
    """The server is a transport, which lives on the loop of the client's thread."""
    server = TaskServer({}, {}, DONE)
    options: dict[str, Any] = {"revision": STATELESS, "extensions": [tasks_for_clients()]}
    with Client.sync(server, **options) as client:
        assert client.call_tool("bake").value == "done"
        server.script = [{}, DONE]
        started = client.start_tool("bake")
        assert started.id == "t-1"
        text = started.save()
        assert [each.status for each in started.updates()] == ["working", "completed"]
        assert started.status().ended
        assert client.reopen(text).result().value == "done"
        assert client.reopen(text).result(into=str) == "done"
        started.cancel()
