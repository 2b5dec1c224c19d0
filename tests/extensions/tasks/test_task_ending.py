"""A process that is told to end gives a step that runs once the time to end; what is cut after it is unknown."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from task_ending import app_of
from task_peer import DECLARED, STATELESS, TaskWire

from dovetail import App
from dovetail.extensions.tasks import tasks
from dovetail.stores import SQLiteStore

PROCESS = Path(__file__).with_name("task_ending.py")


async def worked(path: Path, drain: float, seconds: float) -> tuple[str, list[str]]:
    """The id of a task whose process was told to end while its step ran, and what the process said."""
    store = SQLiteStore(path)
    app = App("shop", extensions=[tasks(room=0)], store=store)

    @app.tool(task="required")
    async def pay(seconds: float) -> str:
        """It is paid elsewhere."""
        raise AssertionError(seconds)

    wire = TaskWire(app, STATELESS, DECLARED)
    await wire.open()
    id = (await wire.begin("pay", seconds=seconds))["taskId"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), str(path), str(drain), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()]
    process.send_signal(signal.SIGTERM)
    rest, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    record = await store.tasks.load(id)
    assert record is not None
    assert (record.status, record.holder) == ("working", "")
    await wire.close()
    await app.service.stop()
    return id, [*said, *rest.decode().split()]


async def gone_on_with(path: Path, id: str) -> dict[str, Any]:
    """What the task comes to at another process."""
    app = app_of(str(path))
    wire = TaskWire(app, STATELESS, DECLARED)
    await wire.open()
    ended = await wire.until(id)
    await wire.close()
    await app.service.stop()
    return ended["result"]


async def test_a_step_that_runs_once_ends_before_its_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    id, said = await worked(path, drain=20, seconds=1)
    assert said == ["charging"]
    result = await gone_on_with(path, id)
    assert result["content"][0]["text"] == "charged while open, sent"
    assert capsys.readouterr().out.split() == ["sending"]


async def test_of_a_step_that_takes_longer_than_the_end_it_is_unknown_what_became(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    id, said = await worked(path, drain=1.5, seconds=3600)
    assert said == ["charging"]
    result = await gone_on_with(path, id)
    assert result["isError"]
    assert "charge" in result["content"][0]["text"]
