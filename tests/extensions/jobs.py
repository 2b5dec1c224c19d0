"""An extension as somebody else would write one: it imports nothing but public names.

A tool whose name ends in "later" gives a job to clients that declared the extension, and its result at once to all
others. Clients ask how far a job is, listen to it, and may ask the server to hurry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from dovetail import Context, InvalidParams
from dovetail.extensions import (
    Call,
    ChangeType,
    Channel,
    Extension,
    ExtensionMethod,
    ExtensionNotice,
    Handler,
    Resolving,
    Result,
    ResultType,
    Serving,
)

NAME = "com.example/jobs"
CHANGES = ChangeType(
    kind="jobs", filter="jobIds", notification="notifications/com.example/jobs", subject="jobId"
)


class Job(msgspec.Struct, rename="camel"):
    """What a client reads of a job."""

    job_id: str
    done: bool = False
    result: dict[str, Any] | None = None


class JobResult(Result, frozen=True, kw_only=True):
    """What a server answers in place of a tool's result."""

    job_id: str


class Jobs:
    """The jobs of one server. ``extension``: to be given to its app."""

    def __init__(self) -> None:
        self.entered = 0
        self.hurried: list[Any] = []
        self._serving: Serving | None = None
        self._jobs: dict[str, asyncio.Task[Any]] = {}
        self.extension = Extension(
            identifier=NAME,
            settings={"most": 10},
            methods=[
                ExtensionMethod(
                    name="com.example/jobs/get", handler=self.get, subject="jobId", repeatable=True
                ),
                ExtensionMethod(name="com.example/jobs/count", handler=self.count, declared=False),
            ],
            notices=[
                ExtensionNotice(
                    name="notifications/com.example/hurry", sender="client", handler=self.hurried.append
                )
            ],
            changes=[CHANGES],
            wrappers={"tools/call": self.around},
            lifespan=self.life,
        )

    @asynccontextmanager
    async def life(self, serving: Serving) -> AsyncIterator[None]:
        self.entered += 1
        self._serving = serving
        yield
        self.entered -= 1
        for task in self._jobs.values():
            task.cancel()

    async def around(self, call: Call, channel: Channel, handler: Handler) -> Any:
        params: Any = call.params
        if not params.name.endswith("later") or not self.extension.declared_by(call):
            return await handler(call, channel)
        job = f"job-{len(self._jobs) + 1}"
        self._jobs[job] = asyncio.create_task(self._work(job, handler(call, channel)))
        return JobResult(result_type="com.example/job", job_id=job)

    async def _work(self, job: str, work: Awaitable[Any]) -> dict[str, Any]:
        result = await work
        assert self._serving is not None
        self._serving.publish(CHANGES.change(job, {"done": True}))
        return result.to_wire()

    def get(self, jobId: str, ctx: Context) -> dict[str, Any]:  # noqa: N803 - its name on the wire
        """How far a job is."""
        task = self._jobs.get(jobId)
        if task is None:
            raise InvalidParams(f"there is no job {jobId!r}")
        return {"jobId": jobId, "done": task.done(), "result": task.result() if task.done() else None}

    def count(self) -> dict[str, int]:
        """How many jobs there are."""
        return {"jobs": len(self._jobs)}


async def wait_for(client: Resolving, made: Job) -> Mapping[str, Any]:
    """What a client does with a job: ask until it is done."""
    while True:
        job = await client.request("com.example/jobs/get", {"jobId": made.job_id}, into=Job)
        if job.result is not None:
            return job.result
        await asyncio.sleep(0.01)


def for_clients(heard: list[Any] | None = None) -> Extension:
    """What a client is given."""
    return Extension(
        identifier=NAME,
        methods=[ExtensionMethod(name="com.example/jobs/get", subject="jobId", repeatable=True)],
        results=[ResultType(method="tools/call", name="com.example/job", type=Job, resolve=wait_for)],
        changes=[CHANGES],
    )
