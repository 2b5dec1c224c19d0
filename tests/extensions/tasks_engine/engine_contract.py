"""What every engine of tasks does, ours and those that operators bring: the suite that each is run through.

A subclass says in `engine` which one, and in `store` what keeps the tasks. Leases are short, so that what is found by
sweeps is found soon; no test waits for a time to pass.

Follows: `TaskEngine`; the extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from task_peer import wired, yes

from dovetail import App, Context
from dovetail.extensions import TaskOptions
from dovetail.extensions.tasks import DueTask, SubmitTask, TaskEngine, TaskRunner, tasks
from dovetail.stores import Store, TaskRecord

LEASE = 2.0
END = 30
"""Seconds that anything may take."""


class PlainEngine:
    """Runs each task at once, or when its time has come, in a task of asyncio."""

    @asynccontextmanager
    async def serve(self, runner: TaskRunner) -> AsyncGenerator[SubmitTask]:
        runs: set[asyncio.Task[None]] = set()

        async def bring(due: DueTask) -> None:
            pause: float | None = max(0.0, due.at - time.time())
            while pause is not None:
                await asyncio.sleep(pause)
                pause = await runner.run(due.id)

        async def submit(due: DueTask) -> None:
            task = asyncio.create_task(bring(due))
            runs.add(task)
            task.add_done_callback(runs.discard)

        try:
            yield submit
        finally:
            for task in runs:
                task.cancel()
            await asyncio.gather(*runs, return_exceptions=True)


class LossyEngine:
    """Another engine, to which nothing is submitted but what was lost: as if each process had died just before."""

    def __init__(self, engine: TaskEngine) -> None:
        self._engine = engine
        self.lost: list[DueTask] = []

    @asynccontextmanager
    async def serve(self, runner: TaskRunner) -> AsyncGenerator[SubmitTask]:
        async with self._engine.serve(runner) as submit:

            async def submit_lost(due: DueTask) -> None:
                if due.lost:
                    self.lost.append(due)
                    await submit(due)
                else:
                    raise ConnectionError("the engine is away")

            yield submit_lost


class TaskEngineContract:
    """Needs the fixtures `store` and `engine` (None: our own)."""

    def app_of(self, store: Store, engine: TaskEngine | None, **options: Any) -> App:
        brought = tasks(lease=LEASE, engine=engine, **options)
        return App("shop", store=store, extensions=[brought], rate_limit=None)

    async def test_a_task_with_steps_and_a_question_ends_once(
        self, store: Store, engine: TaskEngine | None
    ) -> None:
        app, done, keys = self.app_of(store, engine), list[str](), set[str]()

        @app.tool(task="required")
        async def travel(ctx: Context) -> str:
            keys.add(ctx.step_key("whole"))
            await ctx.step("pack", lambda: done.append("pack"))
            where = await ctx.elicit("Where to?", str, key="where")
            await ctx.step("go", lambda: done.append("go"))
            return f"to {where}"

        async with wired(app) as wire:
            id = (await wire.begin("travel"))["taskId"]
            await seen(store, id, "input_required")
            await wire.update(id, where=yes("Bath"))
            ended = await seen(store, id)
            assert ended.attempts == 2
            assert text(await wire.get(id)) == "to Bath"
        assert (done, len(keys)) == (["pack", "go"], 1)
        assert await store.tasks.count(ended=True) == await store.tasks.count() == 1

    async def test_cancelling_reaches_the_run(self, store: Store, engine: TaskEngine | None) -> None:
        app, begun, stopped = self.app_of(store, engine), asyncio.Event(), asyncio.Event()

        @app.tool(task="required")
        async def wait() -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return "never"

        async with asyncio.timeout(END), wired(app) as wire:
            id = (await wire.begin("wait"))["taskId"]
            await begun.wait()
            await wire.result("tasks/cancel", {"taskId": id})
            await stopped.wait()
            assert (await wire.get(id))["status"] == "cancelled"

    async def test_what_failed_is_tried_again(self, store: Store, engine: TaskEngine | None) -> None:
        app, runs = self.app_of(store, engine), list[int]()

        @app.tool(task=TaskOptions(support="required", retries=2, backoff=0.1))
        async def flaky() -> str:
            runs.append(1)
            if len(runs) < 3:
                raise OSError("gone")
            return "done"

        async with wired(app) as wire:
            id = (await wire.begin("flaky"))["taskId"]
            assert (await seen(store, id)).attempts == len(runs) == 3
            assert text(await wire.get(id)) == "done"

    @pytest.mark.parametrize("room, concurrency, most", [(9, 1, 1), (2, None, 2), (9, 2, 2)])
    async def test_limits_hold(
        self,
        store: Store,
        engine: TaskEngine | None,
        room: int,
        concurrency: int | None,
        most: int,
    ) -> None:
        app, now, counted = self.app_of(store, engine, room=room), 0, list[int]()

        @app.tool(task=TaskOptions(support="required", concurrency=concurrency))
        async def print_page(number: int) -> str:
            nonlocal now
            now += 1
            counted.append(now)
            for _ in range(20):
                await asyncio.sleep(0.002)
            now -= 1
            return f"{number}"

        async with wired(app) as wire:
            pages = [(await wire.begin("print_page", number=number))["taskId"] for number in range(6)]
            assert {(await seen(store, page)).status for page in pages} == {"completed"}
        assert len(counted) == 6
        assert max(counted) <= most

    async def test_what_was_never_submitted_is_found(self, store: Store, engine: TaskEngine | None) -> None:
        lossy = LossyEngine(engine or PlainEngine())  # our own asks the store itself, and is told nothing
        app = self.app_of(store, lossy)

        @app.tool(task="required")
        async def work(ctx: Context) -> str:
            return await ctx.elicit("Which?", str, key="which")

        async with wired(app) as wire:
            id = (await wire.begin("work"))["taskId"]
            await seen(store, id, "input_required")
            await wire.update(id, which=yes("this"))
            assert (await seen(store, id)).status == "completed"
        assert {(due.id, due.queue, len(due.key), due.lost) for due in lossy.lost} == {
            (id, "shop/work", 32, True)
        }

    async def test_an_app_that_ends_lets_go(self, store: Store, engine: TaskEngine | None) -> None:
        app, done, go = self.app_of(store, engine), list[str](), asyncio.Event()
        runs = [asyncio.Event(), asyncio.Event()]

        @app.tool(task="required")
        async def work(ctx: Context) -> str:
            await ctx.step("first", lambda: done.append("first"))
            next(each for each in runs if not each.is_set()).set()
            await go.wait()
            return "done"

        async with asyncio.timeout(END), wired(app) as wire:
            id = (await wire.begin("work"))["taskId"]
            await runs[0].wait()
        assert await store.tasks.due("shop/work", limit=9) == [id], "nobody has to wait for the lease"
        async with asyncio.timeout(END), wired(app) as wire:
            await runs[1].wait()
            go.set()
            ended = await seen(store, id)
            # An engine may bring a task twice: the second claim, made while the app ends, is let go of without a run.
            assert ended.attempts >= 2, ended
            assert text(await wire.get(id)) == "done", "a third run would have failed"
        assert done == ["first"]


def text(task: dict[str, Any]) -> str:
    """What the result of a task says."""
    return task["result"]["content"][0]["text"]


async def seen(store: Store, id: str, status: str = "") -> TaskRecord:
    """The task once it has that status, or has ended."""
    async with asyncio.timeout(END):
        while True:
            record = await store.tasks.load(id)
            assert record is not None
            if record.status == status or record.ended:
                return record
            await asyncio.sleep(0.01)
