"""What these tests share: clients that send the requests of tasks as they are, and apps that run them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from dovetail import App, Client, Principal
from dovetail.extensions import Extension, ExtensionMethod
from dovetail.extensions.tasks import tasks
from dovetail.runtime.connection import ServerConnection
from dovetail.security.principal import ANONYMOUS
from dovetail.testing import connected
from wire_of_server import Wire

TASKS = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
BOTH = (STATEFUL, STATELESS)
ENDED = ("completed", "failed", "cancelled")
DECLARED: dict[str, Any] = {"extensions": {TASKS: {}}, "elicitation": {"form": {}}}
ASKS: dict[str, Any] = {"elicitation": {"form": {}}}


def yes(value: Any = "Ada") -> dict[str, Any]:
    """The answer to a question for one value."""
    return {"action": "accept", "content": {"value": value}}


def app_of(name: str = "tasked", **options: Any) -> App:
    """An app that runs tasks; ``options`` of `tasks` among those of `App`."""
    own: dict[str, Any] = {"max_polls": None}  # these tests look as often as they can
    own |= {key: options.pop(key) for key in ("room", "max_unended", "lease", "max_polls") if key in options}
    return App(name, extensions=[tasks(**own)], rate_limit=None, **options)


class TaskWire(Wire):
    """A connection to an app, in bytes, by somebody with a name or nobody; with all that tasks are asked for."""

    def __init__(
        self,
        app: App,
        revision: str = STATELESS,
        capabilities: dict[str, Any] | None = None,
        *,
        name: str = "",
        transport: str = "memory",
        remote: str | None = None,
    ) -> None:
        declared = (DECLARED if revision == STATELESS else ASKS) if capabilities is None else capabilities
        super().__init__(app, revision, declared)
        principal = Principal(issuer="https://issuer.example", subject=name) if name else ANONYMOUS
        self.connection = ServerConnection(app.service, self._take, transport=transport, principal=principal)
        if remote is not None:
            self.connection.sent_by(principal, remote)
        self.statuses: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        """What comes next, but for notifications of a task's status, which are put into ``statuses``."""
        while (message := await super().next()).get("method") == "notifications/tasks/status":
            self.statuses.append(message["params"])
        return message

    async def begin(self, tool: str, *, ttl: Any = None, **arguments: Any) -> dict[str, Any]:
        """The task that a call of a tool becomes."""
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        if self.stateless:
            return await self.result("tools/call", params)
        told = {} if ttl is None else {"ttl": ttl}
        return (await self.result("tools/call", {**params, "task": told}))["task"]

    async def get(self, id: str) -> dict[str, Any]:
        """The task as it is now."""
        return await self.result("tasks/get", {"taskId": id})

    async def until(self, id: str, *statuses: str) -> dict[str, Any]:
        """The task once it has one of these statuses (default: those of the end)."""
        return await until(lambda: self.get(id), *statuses)

    async def update(self, id: str, **responses: Any) -> dict[str, Any]:
        """Answer questions of a task, in the stateless era."""
        return await self.result("tasks/update", {"taskId": id, "inputResponses": responses})

    async def payload(self, id: str) -> dict[str, Any]:
        """The whole answer of ``tasks/result``."""
        return await self.request("tasks/result", {"taskId": id})

    async def respond(self, answer: Any) -> dict[str, Any]:
        """Answer the next question that arrives; gives the question."""
        question = await self.next()
        await self.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
        return question


async def until(look: Callable[[], Awaitable[dict[str, Any]]], *statuses: str) -> dict[str, Any]:
    """A task once it has one of these statuses (default: those of the end)."""
    async with asyncio.timeout(20):
        while True:
            task = await look()
            if task["status"] in (statuses or ENDED):
                return task
            await asyncio.sleep(0.002)


async def noticed(condition: Callable[[], bool]) -> None:
    """Wait until something that happens elsewhere in this process is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in threads and on wires
            await asyncio.sleep(0.002)


open_wires: WeakKeyDictionary[App, int] = WeakKeyDictionary()


@asynccontextmanager
async def wired(app: App, revision: str = STATELESS, *more: Any, **options: Any) -> AsyncGenerator[TaskWire]:
    """One open `TaskWire`; the app serves as long as one of them lasts."""
    wire = TaskWire(app, revision, *more, **options)
    open_wires[app] = open_wires.get(app, 0) + 1
    try:
        await wire.open()
        yield wire
    finally:
        await wire.close()
        open_wires[app] -= 1
        if not open_wires[app]:
            await app.service.stop()


def raw_tasks() -> Extension:
    """What a `Client` needs to send the requests of tasks itself."""
    return Extension(
        identifier=TASKS,
        methods=[
            ExtensionMethod(name=name, subject="taskId", repeatable=True)
            for name in ("tasks/get", "tasks/update", "tasks/cancel")
        ],
    )


class Asked:
    """Runs a tool in one of the two eras and in one of two ways: at once, or as a task. ``asked``: what the person was
    asked; ``seen``: the statuses of the task.
    """

    def __init__(self, client: Client, revision: str, *, as_task: bool) -> None:
        self.client = client
        self.stateless = revision == STATELESS
        self.as_task = as_task
        self.asked: list[str] = []
        self.seen: list[str] = []

    async def run(self, tool: str, answer: Any = None) -> dict[str, Any]:
        """What the call came to, without `_meta`."""
        if not self.as_task:
            result = await self.client.request("tools/call", {"name": tool})
            while result.get("resultType") == "input_required":
                requests = result["inputRequests"]
                self.asked.extend(each["params"]["message"] for each in requests.values())
                more = {
                    "requestState": result["requestState"],
                    "inputResponses": dict.fromkeys(requests, answer),
                }
                result = await self.client.request("tools/call", {"name": tool, **more})
        elif self.stateless:
            result = await self._polled(tool, answer)
        else:
            made = await self.client.request("tools/call", {"name": tool, "task": {}})
            self.seen.append(made["task"]["status"])
            result = await self.client.request("tasks/result", {"taskId": made["task"]["taskId"]})
            assert result["_meta"][RELATED] == {"taskId": made["task"]["taskId"]}
        return {name: value for name, value in result.items() if name != "_meta"}

    async def _polled(self, tool: str, answer: Any) -> dict[str, Any]:
        task = await self.client.request("tools/call", {"name": tool})
        assert task["resultType"] == "task"
        about = {"taskId": task["taskId"]}
        while task["status"] not in ENDED:
            self.seen.append(task["status"])
            if task["status"] == "input_required":
                requests = task["inputRequests"]
                self.asked.extend(each["params"]["message"] for each in requests.values())
                responses = dict.fromkeys(requests, answer)
                await self.client.request("tasks/update", {**about, "inputResponses": responses})
            statuses = [each for each in ("working", "input_required", *ENDED) if each != task["status"]]
            task = await until(lambda: self.client.request("tasks/get", about), *statuses)
        return task["result"]


@asynccontextmanager
async def asking(
    app: App, revision: str, transport: Any, *, as_task: bool, answer: Any
) -> AsyncGenerator[Asked]:
    """An `Asked` over a transport; in the stateful era the person gives ``answer``."""
    asked: list[Asked] = []

    def fill(question: Any) -> Any:
        asked[0].asked.append(question.message)
        return {"value": answer}

    extensions = [raw_tasks()] if revision == STATELESS and as_task else []
    options: dict[str, Any] = {"revision": revision, "elicitation": fill, "extensions": extensions}
    async with connected(app, transport=transport, **options) as client:
        asked.append(Asked(client, revision, as_task=as_task))
        yield asked[0]
