"""Who looks at a task far more often than it was told to is refused, at all workers together; nobody else is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from task_peer import BOTH, STATEFUL, TaskWire, app_of, wired

from dovetail import App, Client
from dovetail.extensions.tasks import TaskOptions, tasks
from dovetail.stores import SQLiteStore


def shop(**options: Any) -> App:
    app = app_of("shop", **options)

    @app.tool(task=TaskOptions(poll=60))
    async def rest() -> str:
        """Go on for ever."""
        await asyncio.Event().wait()
        return ""

    @app.tool(task=TaskOptions(poll=0.2))
    async def nap() -> str:
        """Go on for a while."""
        await asyncio.sleep(1)
        return "rested"

    return app


async def refused(wire: TaskWire, id: str, most: int) -> tuple[int, dict[str, Any]]:
    """After how many looks one is refused, and how."""
    for number in range(most):
        answer = await wire.request("tasks/get", {"taskId": id})
        if "error" in answer:
            return number, answer["error"]
    return most, {}


@pytest.mark.requirement("R2511-TASKS-078", "RXTSK-TASKS-015")
@pytest.mark.parametrize("revision", BOTH)
async def test_so_many_looks_at_once_and_then_as_many_as_told(revision: str) -> None:
    async with wired(shop(max_polls=5), revision) as wire:
        id, other = (await wire.begin("rest"))["taskId"], (await wire.begin("rest"))["taskId"]
        number, error = await refused(wire, id, 10)
        assert (number, error["code"]) == (5, -31429)
        assert 25 < error["data"]["retryAfter"] <= 30
        assert "every 60 seconds" in error["message"]
        assert (await wire.get(other))["status"] == "working"
        assert (await wire.request("tasks/cancel", {"taskId": id}))["result"] is not None


async def test_waiting_for_a_result_counts_as_a_look() -> None:
    async with wired(shop(max_polls=2), STATEFUL) as wire:
        id = (await wire.begin("rest"))["taskId"]
        for number in range(2):
            await wire.start(f"r{number}", "tasks/result", {"taskId": id})
        assert (await wire.payload(id))["error"]["code"] == -31429


async def test_any_number_of_looks_where_the_server_says_so() -> None:
    async with wired(shop(max_polls=None)) as wire:
        assert (await refused(wire, (await wire.begin("rest"))["taskId"], 300))[0] == 300


async def test_workers_count_together(tmp_path: Path) -> None:
    first, second = (shop(max_polls=32, store=SQLiteStore(tmp_path / "store.db")) for _ in range(2))
    async with wired(first) as one, wired(second) as two:
        id = (await one.begin("rest"))["taskId"]
        seen = [(await refused(wire, id, 64))[0] for wire in (one, two)]
        assert 32 <= sum(seen) <= 34, seen


@pytest.mark.parametrize("revision", BOTH)
async def test_our_clients_are_never_refused(revision: str) -> None:
    """They look as they are told, and come back later where they are told that."""
    async with Client(shop(max_polls=1), revision=revision, extensions=[tasks()]) as client:
        started = await client.start_tool("nap")
        assert (await started).value == "rested"
        for _ in range(3):
            assert (await client.reopen(started.save())).value == "rested"


def test_a_number_of_looks_is_one_at_least() -> None:
    with pytest.raises(ValueError, match="max_polls"):
        tasks(max_polls=0)
