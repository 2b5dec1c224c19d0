"""A call that became a task is waited for: 2026-07-28, against servers that are scripts."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from task_server import NAME, STATELESS, VENDOR, TaskServer, content, tasks_for_clients
from waiting import until

from dovetail import Client, InvalidParams, RemoteProtocolError, RequestTimeout, RPCError
from dovetail.client import ElicitRequest
from dovetail.errors import Closed
from dovetail.extensions.tasks import names
from dovetail.extensions.tasks.errors import TaskCancelled, TaskLost
from dovetail.extensions.tasks.watching import LONGEST_POLL, interval_of
from dovetail.extensions.tasks.wire import DetailedTask
from dovetail.types import ProgressNotice

pytestmark = [pytest.mark.vendor_methods(*VENDOR)]
DONE = {"status": "completed", "result": content()}
ASKS = {"status": "input_required", "inputRequests": {"name": NAME}}


def client_of(server: TaskServer, **options: Any) -> Client:
    return Client(server, revision=STATELESS, extensions=[tasks_for_clients()], **options)


@pytest.mark.requirement("RXTSK-TASKS-003", "RXTSK-TASKS-016")
async def test_a_task_is_asked_about_until_it_ends() -> None:
    server = TaskServer({}, {}, DONE)
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "done"
    assert len(server.sent(names.GET)) == 3
    assert [each["params"]["taskId"] for each in server.sent(names.GET)] == ["t-1"] * 3


@pytest.mark.requirement("RXTSK-TASKS-003")
async def test_a_plain_result_is_taken_as_well() -> None:
    server = TaskServer(DONE)
    server._answer = lambda peer, message: server.result(message["id"], **content("at once"))
    async with client_of(server) as client:
        assert (await client.call_tool("bake")).value == "at once"
    assert not server.sent(names.GET)


@pytest.mark.hostile
@pytest.mark.requirement("RXTSK-TASKS-004")
async def test_a_task_in_answer_to_anything_else_is_invalid() -> None:
    server = TaskServer(DONE)
    server._answer = lambda peer, message: server.result(message["id"], resultType="task", **server.task())
    async with client_of(server) as client:
        with pytest.raises(RemoteProtocolError, match="unknown type 'task'"):
            await client.get_prompt("bake")
        with pytest.raises(RemoteProtocolError, match="must not give a result of the type 'task'"):
            await client.request("prompts/get", {"name": "bake"})
    async with Client(TaskServer(DONE), revision=STATELESS) as client:
        with pytest.raises(RemoteProtocolError, match="unknown type 'task'"):
            await client.call_tool("bake")


async def test_who_listens_hears_of_the_end_at_once() -> None:
    server = TaskServer({}, listens=True, seed={"pollIntervalMs": 60000})
    async with client_of(server) as client:
        call = asyncio.create_task(client.call_tool("bake"))
        await until(lambda: server.sent(names.GET))
        begun = time.monotonic()
        server.tell(**DONE)
        assert (await call).value == "done"
    assert time.monotonic() - begun < 5
    (listen,) = server.sent("subscriptions/listen")
    assert listen["params"]["notifications"] == {"taskIds": ["t-1"]}
    assert len(server.sent(names.GET)) == 1


async def test_what_was_said_before_the_end_may_come_after_it() -> None:
    server = TaskServer({}, listens=True, seed={"pollIntervalMs": 60000})
    async with client_of(server) as client:
        call = asyncio.create_task(client.call_tool("bake"))
        await until(lambda: server.sent(names.GET))
        server.tell(**DONE)
        server.tell(statusMessage="nearly done")
        async with asyncio.timeout(10):
            assert (await call).value == "done"


async def test_what_ended_before_the_acknowledgement_is_found_by_asking() -> None:
    server = TaskServer(DONE, listens=True, seed={"pollIntervalMs": 60000})
    async with client_of(server) as client:
        async with asyncio.timeout(10):
            assert (await client.call_tool("bake")).value == "done"


@pytest.mark.hostile
async def test_notifications_of_another_task_or_none_change_nothing() -> None:
    server = TaskServer({}, listens=True, seed={"pollIntervalMs": 100})
    async with client_of(server) as client:
        call = asyncio.create_task(client.call_tool("bake"))
        await until(lambda: server.sent(names.GET))
        server.tell(taskId="t-2", status="cancelled")
        server.tell(status="baked")
        await until(lambda: len(server.sent(names.GET)) >= 2)
        assert not call.done()
        server.script = [DONE]
        server.tell(**DONE)
        assert (await call).value == "done"


@pytest.mark.requirement("RXTSK-TASKS-029", "RXTSK-TASKS-030", "RXTSK-TASKS-031")
async def test_questions_are_answered_by_the_clients_own_handlers() -> None:
    asked: list[ElicitRequest] = []

    class Asking(TaskServer):
        def updated(self, responses: dict[str, Any]) -> None:
            self.script = [
                {},
                {"status": "completed", "result": content(responses["name"]["content"]["name"])},
            ]

    def ann(request: ElicitRequest) -> dict[str, Any]:
        asked.append(request)
        return {"name": "Ann"}

    server = Asking(ASKS)
    async with client_of(server, elicitation=ann) as client:
        assert (await client.call_tool("greet")).value == "Ann"
    (request,) = asked
    assert request.message == "Who?"
    assert request.call is not None
    assert (request.call.method, request.call.name) == ("tools/call", "greet")
    (update,) = server.sent(names.UPDATE)
    assert update["params"]["taskId"] == "t-1"
    assert update["params"]["inputResponses"]["name"]["action"] == "accept"


@pytest.mark.requirement("RXTSK-TASKS-032", "RXTSK-TASKS-038")
async def test_a_key_is_asked_and_answered_once() -> None:
    asked: list[str] = []
    released = asyncio.Event()

    async def slowly(request: ElicitRequest) -> dict[str, Any]:
        asked.append(request.message)
        await released.wait()
        return {"name": "Ann"}

    server = TaskServer(ASKS)
    async with client_of(server, elicitation=slowly) as client:
        call = asyncio.create_task(client.call_tool("greet"))
        await until(lambda: len(server.sent(names.GET)) >= 3)
        released.set()
        await until(lambda: server.sent(names.UPDATE))
        seen = len(server.sent(names.GET))
        await until(lambda: len(server.sent(names.GET)) >= seen + 2)  # the same key again, after its answer
        server.script = [DONE]
        assert (await call).value == "done"
    assert asked == ["Who?"]
    assert len(server.sent(names.UPDATE)) == 1


async def test_no_look_crosses_an_answer() -> None:
    """FastMCP 4.1 takes a task for completed, without a result, that is looked at while it takes in the answer."""

    class Crossed(TaskServer):
        looking = taking = crossed = 0

        def answer(self, message: dict[str, Any]) -> None:
            if message["method"] not in (names.GET, names.UPDATE):
                return super().answer(message)
            self.crossed += self.taking + (self.looking if message["method"] == names.UPDATE else 0)
            if message["method"] == names.GET:
                self.looking += 1
                later = self.looked
            else:
                self.taking += 1
                later = self.taken
            asyncio.get_running_loop().call_later(0.25, later, message["id"])
            return None

        def looked(self, id: Any) -> None:
            self.looking -= 1
            self.say_next(id)

        def taken(self, id: Any) -> None:
            self.taking -= 1
            self.script = [DONE]
            self.result(id)

    released = asyncio.Event()

    async def ann(request: ElicitRequest) -> dict[str, Any]:
        await released.wait()
        return {"name": "Ann"}

    server = Crossed(ASKS)
    async with client_of(server, elicitation=ann) as client:
        call = asyncio.create_task(client.call_tool("greet"))
        await until(lambda: len(server.sent(names.GET)) >= 2 and server.looking)
        released.set()
        assert (await call).value == "done"
    assert len(server.sent(names.UPDATE)) == 1
    assert server.crossed == 0


async def test_a_handler_that_fails_ends_the_call_and_the_task() -> None:
    server = TaskServer(ASKS)

    def fail(request: ElicitRequest) -> str:
        raise RuntimeError("no person here")

    async with client_of(server, elicitation=fail) as client:
        with pytest.raises(RPCError, match="could not answer"):
            await client.call_tool("greet")
    assert not server.sent(names.UPDATE)
    assert len(server.sent(names.CANCEL)) == 1


async def test_a_task_that_ends_without_the_answer_frees_the_handler() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(request: ElicitRequest) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    server = TaskServer(ASKS)
    async with client_of(server, elicitation=never) as client:
        call = asyncio.create_task(client.call_tool("greet"))
        await begun.wait()
        server.script = [DONE]
        assert (await call).value == "done"
        assert ended.is_set()


async def test_the_error_of_a_task_is_that_of_the_call() -> None:
    error = {"code": -32602, "message": "no such oven", "data": {"oven": 3}}
    async with client_of(TaskServer({"status": "failed", "error": error})) as client:
        with pytest.raises(InvalidParams, match="no such oven") as raised:
            await client.call_tool("bake")
    assert (raised.value.code, raised.value.data) == (-32602, {"oven": 3})
    assert raised.value.method == "tools/call"


async def test_a_cancelled_task_and_a_lost_one_are_told_apart() -> None:
    async with client_of(TaskServer({"status": "cancelled", "statusMessage": "by the cook"})) as client:
        with pytest.raises(TaskCancelled, match="by the cook") as cancelled:
            await client.call_tool("bake")
    assert cancelled.value.task == "t-1"
    async with client_of(TaskServer({}, -32602)) as client:
        with pytest.raises(TaskLost, match="the task is gone") as lost:
            await client.call_tool("bake")
    assert lost.value.task == "t-1"


@pytest.mark.requirement("RXTSK-TASKS-042")
async def test_who_no_longer_waits_has_the_task_cancelled() -> None:
    server = TaskServer({})
    async with client_of(server) as client:
        call = asyncio.create_task(client.call_tool("bake"))
        await until(lambda: server.sent(names.GET))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (cancel,) = server.sent(names.CANCEL)
        assert cancel["params"]["taskId"] == "t-1"
    assert not [each for each in server.sent("notifications/cancelled") if each["params"]["requestId"] == 1]


async def test_a_task_that_never_ends_ends_with_the_calls_time() -> None:
    server = TaskServer({})
    async with client_of(server) as client:
        with pytest.raises(RequestTimeout, match="was not answered within"):
            await client.call_tool("bake", timeout=0.6)
    assert len(server.sent(names.CANCEL)) == 1


async def test_a_new_status_or_message_is_progress_and_starts_the_time_anew() -> None:
    said = [{"statusMessage": f"layer {number}"} for number in range(8)]
    server = TaskServer(*said, DONE)
    heard: list[ProgressNotice] = []
    async with client_of(server) as client:
        begun = time.monotonic()
        assert (await client.call_tool("bake", timeout=0.5, progress=heard.append)).value == "done"
        assert time.monotonic() - begun > 0.6
    assert [each.message for each in heard] == [*(f"layer {number}" for number in range(8)), "completed"]
    assert [each.progress for each in heard] == [float(number) for number in range(1, 10)]


async def test_a_question_that_is_being_answered_stops_the_time() -> None:
    class Asking(TaskServer):
        def updated(self, responses: dict[str, Any]) -> None:
            self.script = [DONE]

    async def slowly(request: ElicitRequest) -> dict[str, Any]:
        await asyncio.sleep(0.8)
        return {"name": "Ann"}

    async with client_of(Asking(ASKS), elicitation=slowly) as client:
        assert (await client.call_tool("greet", timeout=0.4)).value == "done"


async def test_the_end_of_the_client_ends_the_wait() -> None:
    server = TaskServer({}, seed={"pollIntervalMs": 60000})
    client = await client_of(server).open()
    call = asyncio.create_task(client.call_tool("bake"))
    await until(lambda: server.sent("subscriptions/listen"))
    await client.close()
    async with asyncio.timeout(5):
        with pytest.raises(Closed):
            await call


@pytest.mark.requirement("RXTSK-TASKS-013")
async def test_the_interval_is_honoured_and_may_change() -> None:
    times: list[float] = []

    class Timed(TaskServer):
        def say_next(self, id: Any) -> None:
            times.append(time.monotonic())
            super().say_next(id)

    server = Timed({"pollIntervalMs": 600}, {"pollIntervalMs": 100}, DONE, seed={"pollIntervalMs": 300})
    async with client_of(server) as client:
        begun = time.monotonic()
        await client.call_tool("bake")
    assert times[0] - begun >= 0.29
    assert times[1] - times[0] >= 0.59
    assert 0.09 <= times[2] - times[1] < 0.5


HOSTILE: dict[str, tuple[Any, str]] = {
    "another id": ({"taskId": "t-2"}, "told of 't-2'"),
    "no result": ({"status": "completed"}, "gives no result"),
    "a result that is no object": ({"status": "completed", "result": [1]}, "can't be read"),
    "a result of another shape": ({"status": "completed", "result": {"content": 7}}, "malformed"),
    "a task in a task": (
        {"status": "completed", "result": {"resultType": "task", "taskId": "t-3"}},
        "of the type 'task'",
    ),
    "questions in a result": (
        {"status": "completed", "result": {"resultType": "input_required", "inputRequests": {"name": NAME}}},
        "of the type 'input_required'",
    ),
    "no error": ({"status": "failed"}, "does not say by which error"),
    "an unknown status": ({"status": "baked"}, "malformed"),
    "very many questions": (
        {"status": "input_required", "inputRequests": {str(number): NAME for number in range(1000)}},
        "asks more than 64 questions",
    ),
}


@pytest.mark.hostile
@pytest.mark.parametrize("case", HOSTILE)
async def test_a_server_that_breaks_the_rules_is_told_on(case: str) -> None:
    said, match = HOSTILE[case]
    asked: list[Any] = []
    async with client_of(TaskServer(said), elicitation=asked.append) as client:
        with pytest.raises(RemoteProtocolError, match=match):
            await client.call_tool("bake")
        assert not asked


@pytest.mark.hostile
async def test_a_hundred_thousand_questions_are_no_message() -> None:
    asked: list[Any] = []
    said = {"status": "input_required", "inputRequests": {str(each): NAME for each in range(100_000)}}
    async with client_of(TaskServer(said), elicitation=asked.append) as client:
        with pytest.raises(RemoteProtocolError, match="malformed"):
            await client.call_tool("bake")
    assert not asked


@pytest.mark.hostile
@pytest.mark.parametrize("interval", [-5, 0, 1, -(10**18)])
async def test_an_interval_that_is_none_floods_nobody(interval: int) -> None:
    server = TaskServer({"pollIntervalMs": interval}, seed={"pollIntervalMs": interval})
    async with client_of(server) as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("bake", timeout=0.55)
    assert 1 <= len(server.sent(names.GET)) <= 7


def test_an_enormous_interval_is_no_reason_to_ask_never() -> None:
    task = DetailedTask(
        task_id="t", status="working", created_at="", last_updated_at="", ttl_ms=None, poll_interval_ms=2**62
    )
    assert interval_of(task) == LONGEST_POLL


@pytest.mark.hostile
async def test_a_flood_of_notifications_that_say_nothing_asks_no_more_often() -> None:
    server = TaskServer({}, listens=True)
    async with client_of(server) as client:
        call = asyncio.create_task(client.call_tool("bake", timeout=0.6))
        while not call.done():
            server.tell(status="baked")
            await asyncio.sleep(0.002)
        with pytest.raises(RequestTimeout):
            await call
    assert len(server.sent(names.GET)) <= 8


async def test_a_server_that_fails_to_tell_is_asked_again() -> None:
    async with client_of(TaskServer({}, -32603, -32603, DONE)) as client:
        assert (await client.call_tool("bake")).value == "done"
    server = TaskServer(-32603)
    async with client_of(server) as client:
        with pytest.raises(RPCError):
            await client.call_tool("bake")
    assert len(server.sent(names.GET)) == 5
