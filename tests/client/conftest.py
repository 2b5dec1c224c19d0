"""Servers to connect to: raw scripts, started as processes; and a look for tasks that were left behind."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.client import eras

SERVERS = Path(__file__).parent / "servers"


@pytest.fixture
def stateful() -> Callable[..., list[str]]:
    """The command of a stateful server: of a revision, with switches."""
    return lambda revision="2025-11-25", *switches: [
        sys.executable,
        str(SERVERS / "stateful.py"),
        revision,
        *switches,
    ]


@pytest.fixture
def stateless() -> Callable[..., list[str]]:
    """The command of a stateless server: of its revisions, with switches."""
    return lambda revisions="2026-07-28", *switches: [
        sys.executable,
        str(SERVERS / "stateless.py"),
        revisions,
        *switches,
    ]


@pytest.fixture
def scripted() -> Callable[..., list[str]]:
    """The command of a server that says exactly what it is told to; see `servers/scripted.py`."""

    def command(script: dict[str, list[Any]] | None = None) -> list[str]:
        return [sys.executable, str(SERVERS / "scripted.py"), json.dumps(script or {})]

    return command


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Each test starts knowing no server, and must leave no task behind."""
    eras.clear()
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=2)
    assert not left, f"tasks were left behind: {left}"
