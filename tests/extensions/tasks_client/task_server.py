"""Servers that answer calls with tasks, as raw JSON: what they say of a task follows a script."""

from __future__ import annotations

from typing import Any

from must_peer import RawPeer

from dovetail.extensions import Extension, ExtensionMethod
from dovetail.extensions.tasks import names
from dovetail.extensions.tasks.client import client_parts

STATELESS, STATEFUL = "2026-07-28", "2025-11-25"
#: What the schemas do not know: the extension's own.
VENDOR = (names.GET, names.UPDATE, names.CANCEL, names.NOTIFY, names.TASK_IDS, names.RESULT_TASK)
NAME = {
    "method": "elicitation/create",
    "params": {
        "mode": "form",
        "message": "Who?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}


def tasks_for_clients() -> Extension:
    """What a client is given."""
    early, late, both = [STATEFUL], [STATELESS], [STATEFUL, STATELESS]
    method = ExtensionMethod
    return Extension(
        identifier=names.EXTENSION,
        methods=[
            method(name=names.GET, subject=names.TASK_ID, repeatable=True, revisions=both),
            method(name=names.CANCEL, subject=names.TASK_ID, repeatable=True, revisions=both),
            method(name=names.UPDATE, subject=names.TASK_ID, repeatable=True, revisions=late),
            method(name=names.RESULT, subject=names.TASK_ID, repeatable=True, revisions=early),
            method(name=names.LIST, repeatable=True, revisions=early),
        ],
        **client_parts(),
    )


def content(text: str = "done") -> dict[str, Any]:
    """The result of a tool."""
    return {"content": [{"type": "text", "text": text}]}


class TaskServer(RawPeer):
    """A server of 2026-07-28 whose tools are run as tasks.

    ``script``: what it says of the task each time that it is asked, the last again and again; an integer is the code of
    an error. ``listens``: whether it tells of changes to who listens.
    """

    def __init__(
        self, *script: Any, listens: bool = False, seed: dict[str, Any] | None = None, **more: Any
    ) -> None:
        answer: Any = type(self).answer
        super().__init__(answer, revision=STATELESS, extensions={names.EXTENSION: {}}, **more)
        self.script = list(script)
        self.listens = listens
        self.seed = seed or {}
        self.subscriptions: list[Any] = []

    def task(self, **members: Any) -> dict[str, Any]:
        """A task as it travels."""
        return {
            "taskId": "t-1",
            "status": "working",
            "createdAt": "2026-11-25T10:30:00Z",
            "lastUpdatedAt": "2026-11-25T10:30:00Z",
            "ttlMs": 60000,
            "pollIntervalMs": 100,
            **members,
        }

    def answer(self, message: dict[str, Any]) -> None:
        """Answer one message."""
        method, id = message["method"], message.get("id")
        if method == "tools/call":
            self.result(id, **{"resultType": "task", **self.task(**self.seed)})
        elif method == names.GET:
            self.say_next(id)
        elif method == names.UPDATE:
            self.updated(message["params"]["inputResponses"])
            self.result(id)
        elif method == names.CANCEL:
            self.result(id)
        elif method == "subscriptions/listen" and self.listens:
            self.subscriptions.append(id)
            self.acknowledge(id, message["params"]["notifications"])
        elif id is not None:
            self.error(id, -32601)

    def say_next(self, id: Any) -> None:
        """Answer with what comes next of the script."""
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, int):
            self.error(id, step, "the task is gone" if step == -32602 else "no")
        else:
            self.result(id, **self.task(**step))

    def updated(self, responses: dict[str, Any]) -> None:
        """Answers came."""

    def acknowledge(self, id: Any, wanted: dict[str, Any]) -> None:
        """Agree to tell of what is wanted."""
        meta = {"io.modelcontextprotocol/subscriptionId": id}
        params = {"_meta": meta, "notifications": wanted}
        self.say(method="notifications/subscriptions/acknowledged", params=params)

    def tell(self, **members: Any) -> None:
        """Tell all who listen of the task."""
        for id in self.subscriptions:
            meta = {"io.modelcontextprotocol/subscriptionId": id}
            self.say(method=names.NOTIFY, params={**self.task(**members), "_meta": meta})


class StatefulTaskServer(TaskServer):
    """A server of 2025-11-25. ``support``: what it lists of its one tool; ``script``: as before, and ``tasks/result``
    is answered once it has come to a task that ended, with ``outcome``: a result, or the code of an error.
    """

    def __init__(
        self, *script: Any, support: str | None = "required", outcome: Any = None, **more: Any
    ) -> None:
        offered = {"tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}, **more}
        super().__init__(*script)
        self.revision = STATEFUL
        self.offered = {"tools": {}, **{key: value for key, value in offered.items() if value is not None}}
        self.support = support
        self.outcome = content() if outcome is None else outcome
        self.waiting: list[Any] = []
        self.answers: list[dict[str, Any]] = []

    def task(self, **members: Any) -> dict[str, Any]:
        task = {**super().task(), **members}
        return {
            **{key: value for key, value in task.items() if not key.endswith("Ms")},
            "ttl": 60000,
            "pollInterval": 100,
        }

    def answer(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), message.get("id")
        if method is None:
            self.answered(message)
        elif method == "tools/list":
            tool: dict[str, Any] = {"name": "bake", "inputSchema": {"type": "object"}}
            if self.support is not None:
                tool["execution"] = {"taskSupport": self.support}
            self.result(id, tools=[tool])
        elif method == "tools/call":
            self.called(id, message["params"])
        elif method == names.RESULT:
            self.waiting.append(id)
            self.give()
        elif method == names.CANCEL:
            self.result(id, **self.task(status="cancelled"))
        elif method == names.LIST:
            self.listed(id, message.get("params", {}).get("cursor"))
        else:
            super().answer(message)

    def called(self, id: Any, params: dict[str, Any]) -> None:
        """Answer a call, as a task if it is one."""
        if "task" in params:
            self.result(id, task=self.task())
        elif self.support == "required":
            self.error(id, -32601, "it is a task")
        else:
            self.result(id, **content("at once"))

    def say_next(self, id: Any) -> None:
        super().say_next(id)
        self.give()

    def give(self) -> None:
        """Answer who waits for the result, if it is there."""
        step = self.script[0]
        if (
            len(self.script) > 1
            or isinstance(step, int)
            or step.get("status") not in ("completed", "failed", "cancelled")
        ):
            return
        while self.waiting:
            id = self.waiting.pop()
            if isinstance(self.outcome, int):
                self.error(id, self.outcome, "as the tool said")
            else:
                self.result(id, **self.outcome, _meta={names.META_RELATED: {"taskId": "t-1"}})

    def listed(self, id: Any, cursor: str | None) -> None:
        """Answer with one of two pages."""
        if cursor is None:
            self.result(id, tasks=[self.task()], nextCursor="more")
        else:
            self.result(id, tasks=[self.task(taskId="t-2", status="completed")])

    def answered(self, message: dict[str, Any]) -> None:
        """The client answered a request of ours."""
        self.answers.append(message)

    def tell(self, **members: Any) -> None:
        self.say(method=names.NOTIFY_STATUS, params=self.task(**members))
