"""What a server of 2025-11-25 asks a client as a task: made at once, looked at, fetched, cancelled, listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from must_peer import RawPeer
from task_server import NAME, STATEFUL
from waiting import until

from dovetail import Client
from dovetail.client import ElicitRequest
from dovetail.extensions.tasks import names, receiving, tasks

SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "Who?"}}], "maxTokens": 10}


class Asker(RawPeer):
    """A server that asks, and waits for the answers by their ids."""

    def __init__(self, revision: str = STATEFUL) -> None:
        hear: Any = type(self)._hear
        super().__init__(hear, revision=revision)
        self.answers: dict[Any, asyncio.Future[dict[str, Any]]] = {}
        self.told: list[dict[str, Any]] = []

    def _hear(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self.answers[message["id"]].set_result(message)
        else:
            self.told.append(message)

    def begin(self, method: str, params: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        id = f"q-{len(self.answers)}"
        self.answers[id] = asyncio.get_running_loop().create_future()
        self.say(id=id, method=method, params=params)
        return self.answers[id]

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a request of ours; of an error, its code as ``code``."""
        answer = await self.begin(method, params)
        return answer["result"] if "result" in answer else answer["error"]

    async def start(self, **task: Any) -> dict[str, Any]:
        return (await self.ask("elicitation/create", **NAME["params"], task=task))["task"]


class Person:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[ElicitRequest] = []
        self.may_answer = asyncio.Event()
        self.gone = 0

    async def __call__(self, request: ElicitRequest) -> dict[str, Any]:
        self.asked.append(request)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.gone += 1
            raise
        return {"name": "Ann"}


@asynccontextmanager
async def asking(**options: Any) -> AsyncGenerator[tuple[Asker, Person]]:
    server, person = Asker(), Person()
    options = {"elicitation": person, **options}
    async with Client(server, revision=STATEFUL, extensions=[tasks()], **options):
        yield server, person


@pytest.mark.requirement("R2511-TASKS-001", "R2511-TASKS-082")
async def test_a_client_declares_what_it_can_be_asked_as_a_task() -> None:
    async with asking() as (server, _):
        declared = server.sent("initialize")[0]["params"]["capabilities"]["tasks"]
        assert declared == {"list": {}, "cancel": {}, "requests": {"elicitation": {"create": {}}}}
    async with asking(sampling=lambda params: "Ann", elicitation=None) as (server, _):
        declared = server.sent("initialize")[0]["params"]["capabilities"]["tasks"]
        assert declared["requests"] == {"sampling": {"createMessage": {}}}
    async with asking(elicitation=None) as (server, _):
        assert "tasks" not in server.sent("initialize")[0]["params"]["capabilities"]


@pytest.mark.requirement(
    "R2511-TASKS-022",
    "R2511-TASKS-023",
    "R2511-TASKS-024",
    "R2511-TASKS-025",
    "R2511-TASKS-034",
    "R2511-TASKS-035",
)
@pytest.mark.requirement("R2511-TASKS-037", "R2511-TASKS-041", "R2511-TASKS-044", "R2511-TASKS-045")
@pytest.mark.requirement("R2511-TASKS-065", "R2511-TASKS-071")
async def test_a_form_is_filled_in_while_the_server_waits_elsewhere() -> None:
    async with asking() as (server, person):
        task = await server.start(ttl=60000)
        other = await server.start()
        assert (task["status"], task["ttl"], other["ttl"]) == ("working", 60000, 3_600_000)
        assert task["createdAt"].endswith("Z")
        assert task["lastUpdatedAt"] == task["createdAt"]
        assert isinstance(task["taskId"], str)
        assert task["taskId"] != other["taskId"]
        assert (await server.ask(names.GET, taskId=task["taskId"])) == task
        result = server.begin(names.RESULT, {"taskId": task["taskId"]})
        await until(lambda: len(person.asked) == 2)
        assert not result.done()
        person.may_answer.set()
        answer = (await result)["result"]
        assert (answer["action"], answer["content"]) == ("accept", {"name": "Ann"})
        assert answer["_meta"][names.META_RELATED] == {"taskId": task["taskId"]}
        assert (await server.ask(names.GET, taskId=task["taskId"]))["status"] == "completed"
        await until(lambda: len(server.told) == 2)
        assert {each["params"]["status"] for each in server.told} == {"completed"}


@pytest.mark.requirement("R2511-TASKS-043", "R2511-TASKS-070")
async def test_a_model_that_fails_fails_the_task() -> None:
    def fail(params: Any) -> str:
        raise RuntimeError("secret")

    async with asking(sampling=fail, elicitation=None) as (server, _):
        task = (await server.ask("sampling/createMessage", **SAMPLE, task={}))["task"]
        error = await server.ask(names.RESULT, taskId=task["taskId"])
        assert error["code"] == -32603
        assert "secret" not in error["message"]
        assert (await server.ask(names.GET, taskId=task["taskId"]))["status"] == "failed"


@pytest.mark.requirement(
    "R2511-TASKS-027", "R2511-TASKS-058", "R2511-TASKS-059", "R2511-TASKS-060", "R2511-TASKS-066"
)
async def test_a_task_is_cancelled_once() -> None:
    async with asking() as (server, person):
        task = await server.start()
        await until(lambda: person.asked)
        result = server.begin(names.RESULT, {"taskId": task["taskId"]})
        assert (await server.ask(names.CANCEL, taskId=task["taskId"]))["status"] == "cancelled"
        await until(lambda: person.gone)
        assert "error" in await result
        assert (await server.ask(names.CANCEL, taskId=task["taskId"]))["code"] == -32602
        assert (await server.ask(names.GET, taskId=task["taskId"]))["status"] == "cancelled"


@pytest.mark.requirement("R2511-TASKS-066")
@pytest.mark.parametrize("method", [names.GET, names.RESULT, names.CANCEL])
async def test_a_task_that_is_none_is_refused(method: str) -> None:
    async with asking() as (server, _):
        assert (await server.ask(method, taskId="t-1"))["code"] == -32602


@pytest.mark.requirement("R2511-TASKS-055", "R2511-TASKS-057", "R2511-TASKS-066")
async def test_tasks_are_listed_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "PAGE", 2)
    async with asking() as (server, _):
        made = [(await server.start())["taskId"] for _ in range(5)]
        found: list[str] = []
        params: dict[str, Any] = {}
        while True:
            page = await server.ask(names.LIST, **params)
            found += [each["taskId"] for each in page["tasks"]]
            if "nextCursor" not in page:
                break
            params = {"cursor": page["nextCursor"]}
        assert found == made
        assert (await server.ask(names.LIST, cursor="nonsense"))["code"] == -32602


@pytest.mark.requirement("R2511-TASKS-072", "R2511-TASKS-076", "R2511-TASKS-077")
async def test_another_connection_sees_none_of_them() -> None:
    both = tasks()
    first, second, person = Asker(), Asker(), Person()
    async with (
        Client(first, revision=STATEFUL, extensions=[both], elicitation=person),
        Client(second, revision=STATEFUL, extensions=[both], elicitation=person),
    ):
        task = await first.start()
        assert (await second.ask(names.GET, taskId=task["taskId"]))["code"] == -32602
        assert (await second.ask(names.LIST))["tasks"] == []
        assert len((await first.ask(names.LIST))["tasks"]) == 1


@pytest.mark.requirement("R2511-TASKS-020")
async def test_what_was_not_declared_is_answered_as_if_nothing_had_been_said() -> None:
    async def name(request: ElicitRequest) -> dict[str, Any]:
        return {"name": "Ann"}

    for extensions in ([], [tasks()]):
        server = Asker("2025-06-18" if extensions else STATEFUL)
        async with Client(server, revision=server.revision, extensions=extensions, elicitation=name):
            params = {key: value for key, value in NAME["params"].items() if key != "mode" or not extensions}
            assert (await server.ask("elicitation/create", **params, task={}))["action"] == "accept"


@pytest.mark.requirement("R2511-TASKS-079")
async def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking() as (server, person):
        await server.start(ttl=1)
        assert (await server.start(ttl=10**15))["ttl"] == receiving.LONGEST_TTL * 1000
        await until(lambda: person.gone == 1 or not server.begin(names.LIST, {}))
        monkeypatch.setattr(receiving, "MOST", 2)
        await server.start()
        answer = await server.begin("elicitation/create", {**NAME["params"], "task": {}})
        assert "2 tasks at a time" in answer["error"]["message"]


async def test_the_end_of_the_client_ends_them() -> None:
    async with asking() as (server, person):
        await server.start()
        await until(lambda: person.asked)
    assert person.gone == 1
